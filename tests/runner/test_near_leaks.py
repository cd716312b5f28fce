"""A run stops if too many test items are nearly in train, unless somebody says that they may."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import thirdlever
from thirdlever import Label
from thirdlever.core.errors import LeakageError
from thirdlever.report.memo_content import near_leak_facts
from thirdlever.runner.importing import import_results
from thirdlever.suites.suite import Item, Split, Suite
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever import Run

WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "ivory",
    "jetty",
    "knoll",
    "larch",
    "maple",
    "north",
    "ocean",
    "pearl",
]
LABELS = ("fee", "fuel")


def sentence(number: int) -> str:
    """Eight words, and few of them in one order twice."""
    return " ".join(WORDS[(number * (place + 3) + place * place) % 16] + str(number * 7 + place) for place in range(8))


def items(name: str, numbers: range) -> tuple[Item, ...]:
    return tuple(Item(f"{name}{number}", sentence(number), LABELS[number % 2]) for number in numbers)


@pytest.fixture
def leaky() -> Suite:
    """A suite of which two in twenty test items are nearly in train."""
    train, test = items("train", range(60)), items("test", range(100, 120))
    near = [Item(f"near{item.id}", f"{item.input} today", item.target) for item in test[:2]]
    return Suite(
        "leaky",
        "Name it.",
        Label(LABELS),
        Split("train", (*train, *near)),
        Split("dev", items("dev", range(70, 76))),
        Split("test", test),
    )


def run(suite: Suite, folder: Path, *, allow: bool | str = False) -> Run:
    model = FakeModel(answer=lambda prompt: LABELS["1000" in prompt])
    return thirdlever.run(suite, ["zero_shot"], models=[model], probe=0, out=folder / "run", allow_near_leaks=allow)


def test_a_run_with_too_many_near_leaks_stops(leaky: Suite, tmp_path: Path) -> None:
    with pytest.raises(
        LeakageError, match=r"2 of 20 test items \(10.0 %\) are nearly in train or dev; see: .*allow-near"
    ):
        run(leaky, tmp_path)
    assert not (tmp_path / "run").exists()


def test_allowed_near_leaks_are_reported_with_the_accuracy_without_them(leaky: Suite, tmp_path: Path) -> None:
    done = run(leaky, tmp_path, allow=True)
    assert done.info["near_leaks"] == {"items": ["test100", "test101"], "allowed": "by --allow-near-leaks"}
    facts = dict(near_leak_facts(done))
    assert facts["Nearly in train or dev"] == "2 of 20 test items; allowed: by --allow-near-leaks"
    left = done.records[~done.records["item_id"].isin(["test100", "test101"])]["score"].mean()
    whole = done.summary["accuracy"].iloc[0]
    assert facts["Accuracy without them"] == f"zero_shot {100 * left:.1f} % ({100 * whole:.1f} % with them)"


def test_a_reason_is_reported_as_it_is_given(leaky: Suite, tmp_path: Path) -> None:
    done = run(leaky, tmp_path, allow="the baseline has the same")
    assert done.info["near_leaks"]["allowed"] == "the baseline has the same"


def test_imported_results_are_shown_without_near_leaks_too(leaky: Suite, tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    table.write_text("item,score\n" + "".join(f"{item.id},{n % 2}\n" for n, item in enumerate(leaky.test)))
    done = import_results([str(table)], leaky, out=tmp_path / "imported").run
    assert dict(near_leak_facts(done))["Nearly in train or dev"] == (
        "2 of 20 test items; allowed: the results were measured elsewhere"
    )


def test_the_card_may_allow_them_with_a_reason(leaky: Suite, tmp_path: Path) -> None:
    done = run(replace(leaky, card={"near_leaks": "one merchant a line"}), tmp_path)
    assert done.info["near_leaks"]["allowed"] == "one merchant a line"


def test_few_near_leaks_are_reported_and_stop_nothing(leaky: Suite, tmp_path: Path) -> None:
    many = replace(leaky.test, items=(*leaky.test, *items("more", range(200, 400))))
    done = run(replace(leaky, test_split=many), tmp_path)
    assert done.info["near_leaks"] == {"items": ["test100", "test101"], "allowed": None}
    assert dict(near_leak_facts(done))["Nearly in train or dev"] == "2 of 220 test items"


def test_a_run_without_near_leaks_says_nothing(leaky: Suite, tmp_path: Path) -> None:
    done = run(replace(leaky, train=replace(leaky.train, items=leaky.train.items[:60])), tmp_path)
    assert "near_leaks" not in done.info
    assert near_leak_facts(done) == []
