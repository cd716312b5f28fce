"""Suites of every answer kind: loaded, measured, compared, decided on, and tested at a release."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from helpers.releases import pin
from typer.testing import CliRunner

from thirdlever import Json, Labels, Number, Split, Suite, SuiteError, load_suite
from thirdlever.analysis.compare import compared
from thirdlever.cli import main
from thirdlever.lifecycle.regress import regress
from thirdlever.runner.runner import run
from thirdlever.suites.suite import check
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.analysis.run import Run
    from thirdlever.answers.answer import Answer

pytestmark = pytest.mark.usefixtures("fast_runs")

ORDER = Json(("intent", "order_id", "note"), partial=True)
ITEMS = 80


def order(number: int, *, wrong: Sequence[str] = ()) -> str:
    right = {"intent": ("buy", "return")[number % 2], "order_id": f"AC-{number}", "note": None}
    return json.dumps(right | dict.fromkeys(wrong, "wrong"))


def orders(answer: Answer = ORDER, target: Callable[[int], str] = order) -> Suite:
    """The suite of the tests, with other targets."""
    suite = make_suite(ITEMS)

    def split(old: Split) -> Split:
        return replace(old, items=tuple(replace(item, target=target(_number(item.input))) for item in old))

    train, dev, test = map(split, (suite.train, suite.dev, suite.test))
    return check(replace(suite, answer=answer, train=train, dev=dev, test_split=test))


def _number(text: str) -> int:
    return int(re.findall(r"number (\d+)", text)[-1])


def model(name: str, say: Callable[[int], str]) -> FakeModel:
    return FakeModel(name=name, inspect_name=name, answer=lambda prompt: say(_number(prompt)))


def slip(number: int) -> str:
    """One field in three is wrong for half of the items."""
    return order(number, wrong=["note"] if number % 2 else [])


def command(*arguments: str) -> str:
    done = CliRunner().invoke(main.app, [*arguments])
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


@pytest.fixture
def two_models(project: Path) -> Run:  # noqa: ARG001 - the current folder
    return run(orders(), ["plain"], models=[model("fake/right", order), model("fake/slips", slip)], probe=0, out="out")


# Data


def test_lists_of_labels_are_loaded_in_one_order_and_may_be_empty(project: Path) -> None:
    folder = project / "datasets" / "cards"
    folder.mkdir(parents=True)
    rows = [
        ("cancel my card and tell me the fee", ["cancel", "fee"]),
        ("the fee, and cancel", ["fee", "cancel"]),
        ("hi", []),
    ]
    for part in ("train", "test"):
        lines = [
            json.dumps({"id": f"{part}{n}", "input": f"{part} {text}", "target": t}) for n, (text, t) in enumerate(rows)
        ]
        (folder / f"{part}.jsonl").write_text("\n".join(lines), "utf-8")
    suite = check(load_suite("cards", instruction="", answer=Labels(("cancel", "fee"))))
    assert [item.target for item in suite.test] == ["cancel, fee", "cancel, fee", "none"]
    assert check(replace(suite, answer=Labels(("cancel", "fee"), partial=True))).hash != suite.hash


def test_an_unknown_label_is_named_with_its_line(project: Path) -> None:
    folder = project / "datasets" / "cards"
    folder.mkdir(parents=True)
    for part in ("train", "test"):
        row = {"id": part, "input": part, "target": ["x"]}
        (folder / f"{part}.jsonl").write_text(json.dumps(row), "utf-8")
    said = r"train.jsonl:1: the target of train item 'train': 'x' of '\[\"x\"\]' is not one of the suite's labels"
    with pytest.raises(SuiteError, match=said):
        check(load_suite("cards", instruction="", answer=Labels(("cancel", "fee"))))


# Figures


def test_the_table_of_partial_scores_shows_a_score_and_both_f1s(two_models: Run) -> None:
    scores = two_models.summary.set_index("model")["accuracy"]
    assert scores["fake/right"] == 1
    assert scores["fake/slips"] == pytest.approx(1 - 0.5 / 3)
    shown = command("show", "out")
    assert "score %" in shown
    assert "accuracy %" not in shown
    assert "Score: mean score of the answers to 80 test items" in shown
    assert "100.0/100.0" in shown  # macro and micro F1


def test_show_by_field_counts_each_field(two_models: Run) -> None:
    table = two_models.parts("field")
    slips = {part.part: part for part in next(table[name] for name in table if "slips" in name).parts}
    assert (slips["intent"].accuracy, slips["note"].accuracy) == (1, 0.5)
    assert "order_id 80 100.0" in command("show", "out", "--by", "field")
    rows = json.loads(CliRunner().invoke(main.app, ["show", "out", "--by", "field", "--format", "json"]).stdout)
    assert {row["field"]: row["accuracy"] for row in rows if "slips" in row["candidate"]}["note"] == 0.5
    csv = CliRunner().invoke(main.app, ["show", "out", "--by", "field", "--format", "csv"]).stdout
    assert csv.startswith("candidate,field,targets,accuracy,precision,recall,F1,valid\n")
    assert (
        "| `plain @ fake/right` | intent | 80 | 100.0 |"
        in CliRunner().invoke(main.app, ["show", "out", "--by", "field", "--format", "md"]).stdout
    )


def test_the_wrong_part_is_answered_with_the_right_one(two_models: Run) -> None:  # noqa: ARG001 - the run
    done = CliRunner().invoke(main.app, ["show", "out", "--by", "label"])
    assert done.exit_code != 0
    assert "use --by field" in str(done.exception)


def test_show_by_label_works_for_runs_that_state_no_kind(project: Path) -> None:  # noqa: ARG001 - the current folder
    done = run(make_suite(20), ["plain"], models=[FakeModel(answer=lambda _: "fuel")], probe=0, out="out")
    path = done.folder / "run.json"
    info = json.loads(path.read_text("utf-8"))
    assert info["suite"].pop("answer")["labels"] == ["food", "fuel"]
    shown = command("show", "out", "--by", "label")
    path.write_text(json.dumps(info), "utf-8")
    assert command("show", "out", "--by", "label") == shown
    assert "fuel" in shown


@pytest.mark.parametrize(
    ("answer", "target", "reply", "score"),
    [
        (Labels(("buy", "return", "late"), partial=True), lambda n: "buy, late" if n % 2 else "none", "buy", 1 / 3),
        (Number(tolerance=1), lambda n: str(n % 2), "The answer is 1", 1.0),
    ],
    ids=["labels", "number"],
)
def test_other_kinds_are_graded_in_a_run(
    project: Path,  # noqa: ARG001 - the current folder
    answer: Answer,
    target: Callable[[int], str],
    reply: str,
    score: float,
) -> None:
    done = run(orders(answer, target), ["plain"], models=[FakeModel(answer=lambda _: reply)], probe=0, out="out")
    assert done.summary["accuracy"][0] == pytest.approx(score, abs=0.02)
    assert done.records["status"].eq("answered").all()


# Decisions


def test_partial_scores_are_compared_by_a_sign_flip_test(two_models: Run) -> None:
    [pair] = compared(two_models).comparisons
    assert pair.graded
    assert pair.method == "sign-flip test by cluster"
    assert pair.difference == pytest.approx(-0.5 / 3)
    assert (pair.won, pair.lost) == (0, 40)
    assert pair.low < pair.difference < pair.high < 0
    assert pair.p < 0.001


def test_a_decision_and_a_memo_are_made_from_partial_scores(two_models: Run) -> None:  # noqa: ARG001 - the run
    stated = ("--assume", "target_accuracy=0.9", "--assume", "monthly_volume=100000")
    assert "NO-GO" in command("decide", "out", *stated)
    command("memo", "out", *stated)
    memo = Path("out/memo/memo.md").read_text("utf-8")
    assert "Score, % [95 %]" in memo
    assert "83.3" in memo


@pytest.mark.parametrize(("say", "verdict"), [(order, "PASS"), (slip, "FAIL")])
def test_the_release_gate_tests_partial_scores(project: Path, say: Any, verdict: str) -> None:  # noqa: ANN401, ARG001
    pin(model("fake/old", order), suite=orders())
    found = regress(orders(), baseline="payments", models=[model("fake/new", say)], limits={"margin": 0.1}, out="new")
    assert found.verdict == verdict
