"""Two runs of a suite: what changed between them, and which items flipped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite

from thirdlever.core.errors import RunError
from thirdlever.lifecycle import baseline, regress
from thirdlever.lifecycle.diff import diff
from thirdlever.report.regression import render_diff
from thirdlever.runner.runner import run
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from thirdlever import Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project", "fast_runs")

V7 = "system:\nSort payments.\n{{ answer_format }}\nuser:\n{{ input }}\n"


@pytest.fixture
def suite() -> Suite:
    Path("prompts").mkdir()
    write(V7)
    return make_suite()


def write(text: str) -> None:
    Path("prompts/v7.jinja").write_text(text, "utf-8")


def reader(prompt: str) -> str:
    """Right about everything but multiples of three, which it learns from one line; then it is wrong about number 1."""
    number = int(prompt.rpartition("number ")[2].split()[0])
    if "Shops by threes sell food." in prompt:
        return "food" if number % 3 == 0 or number == 1 else "fuel"
    return "fuel"


def measure(suite: Suite, out: str, *, model: FakeModel | None = None, **options: Any) -> Run:  # noqa: ANN401
    options = {"prompts": ["v7"], **options}
    return run(suite, ["plain"], models=[model or FakeModel(answer=reader)], probe=0, out=out, **options)


def test_a_changed_prompt_is_shown_with_the_items_it_flipped(suite: Suite, snapshot: SnapshotAssertion) -> None:
    before = measure(suite, "a")
    write(V7.replace("Sort payments.", "Sort payments.\nShops by threes sell food."))
    after = measure(suite, "b")
    found = diff(before, after)
    [one] = found.candidates
    assert [flip.id for flip in one.fixed] == ["test-0", "test-3", "test-6", "test-9"]
    assert [(flip.id, flip.before, flip.after) for flip in one.broken] == [("test-1", "fuel", "food")]
    assert one.comparison is not None
    assert one.comparison.difference == pytest.approx(3 / 12)
    assert found.prompts["v7"] == [
        "@@ -2,2 +2,3 @@",
        " Sort payments.",
        "+Shops by threes sell food.",
        " {{ answer_format }}",
    ]
    assert found.changes == []
    assert render_diff(found) == snapshot
    assert "```diff" in render_diff(found, "md")
    assert json.loads(render_diff(found, "json"))["candidates"][0]["fixed"][0]["id"] == "test-0"


def test_models_data_options_and_prices_are_named(suite: Suite) -> None:
    before = measure(suite, "a")
    changed = replace(
        suite.test, items=(replace(suite.test.items[0], input="POS other number 0"), *suite.test.items[1:9])
    )
    other = FakeModel(answer=reader, name="fake/other", revision="2")
    after = measure(replace(suite, test_split=changed), "b", model=other, epochs=2)
    found = diff(before, after)
    [one] = found.candidates
    assert found.common == 8
    assert one.changes[0] == "model fake/model -> fake/other"
    assert "3 items asked in only the first run, such as test-10" in found.changes
    assert "1 item with another input or target, such as test-0" in found.changes
    assert "--epochs 1 -> 2" in found.changes


def test_one_strategy_in_two_prompts_is_compared(suite: Suite) -> None:
    Path("prompts/v8.jinja").write_text(V7.replace("Sort", "Please sort"), "utf-8")
    found = diff(measure(suite, "a"), measure(suite, "b", prompts=["v8"]))
    [one] = found.candidates
    assert (one.before, one.after) == ("plain in v7", "plain in v8")
    assert one.changes == ['prompt "v7" -> "v8"']
    assert list(found.prompts) == ["v7 -> v8"]


def test_runs_of_two_suites_are_refused(suite: Suite) -> None:
    with pytest.raises(RunError, match="give two runs of one suite"):
        diff(measure(suite, "a"), measure(replace(suite, name="other"), "b"))


def test_the_gate_names_the_changed_lines(suite: Suite) -> None:
    pinned = baseline.pin(measure(suite, "a"), "pinned")
    write(V7.replace("Sort payments.", "Sort payments.\nShops by threes sell food."))
    [result] = regress.diff(pinned, measure(suite, "b")).results
    assert "prompt v7 changed since the baseline: + 'Shops by threes sell food.'" in result.notes
    assert len(result.fixed) == 4
