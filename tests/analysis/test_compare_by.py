"""Comparisons of candidates that differ in one respect alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from conftest import make_suite
from typer.testing import CliRunner

from thirdlever.analysis.compare import compared
from thirdlever.cli.main import app
from thirdlever.core.errors import RunError
from thirdlever.lifecycle.diff import between
from thirdlever.report.tables import render_comparison
from thirdlever.runner.runner import run
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project", "fast_runs")


@pytest.fixture
def measured() -> Run:
    Path("prompts").mkdir()
    Path("prompts/good.txt").write_text("Sort well.", "utf-8")
    Path("prompts/bad.txt").write_text("Sort.", "utf-8")

    def answer(prompt: str) -> str:
        number = int(prompt.rpartition("number ")[2].split()[0])
        right = "fuel" if number % 3 else "food"
        return right if "Sort well." in prompt else "fuel"

    models = [FakeModel(answer=answer), FakeModel(answer=lambda _: "fuel", name="fake/other")]
    return run(make_suite(), ["plain", "plain:k=1"], models=models, prompts=["bad", "good"], probe=0, out="out")


def test_prompts_are_compared_on_each_model_and_strategy(measured: Run) -> None:
    found = compared(measured, by="prompt")
    assert [(one.a, one.b) for one in found.comparisons] == [
        ("plain in bad @ fake/model", "plain in good @ fake/model"),
        ("plain in bad @ fake/other", "plain in good @ fake/other"),
        ("plain(k=1) in bad @ fake/model", "plain(k=1) in good @ fake/model"),
        ("plain(k=1) in bad @ fake/other", "plain(k=1) in good @ fake/other"),
    ]
    assert [round(12 * one.difference) for one in found.comparisons] == [4, 0, 4, 0]
    assert found.family == 4
    [overall] = found.overall
    assert (overall.a, overall.b) == ("bad: 4 candidates", "good: 4 candidates")
    assert overall.difference == pytest.approx(4 / 12 / 2)
    assert (overall.won, overall.lost) == (4, 0)


def test_models_and_strategies_are_compared_alike(measured: Run) -> None:
    assert {
        (one.a.partition(" @ ")[2], one.b.partition(" @ ")[2]) for one in compared(measured, by="model").comparisons
    } == {("fake/model", "fake/other")}
    strategies = compared(measured, by="strategy").comparisons
    assert [one.b.partition(" in ")[0] for one in strategies] == ["plain(k=1)"] * 4
    text = render_comparison(compared(measured, by="prompt"))
    assert "Over all prompt pairs: each item counts with the mean score of the candidates on it." in text


def test_the_items_on_which_two_prompts_differ_are_listed(measured: Run) -> None:
    names = "plain in bad @ fake/model", "plain in good @ fake/model"
    found = between(measured, *names)
    assert found.broken == []
    assert [(flip.id, flip.before, flip.after) for flip in found.fixed] == [
        (f"test-{n}", "fuel", "food") for n in (0, 3, 6, 9)
    ]
    assert [flip.id for flip in between(measured, *names[::-1]).broken] == ["test-0", "test-3", "test-6", "test-9"]
    text = CliRunner().invoke(app, ["compare", str(measured.folder), *names, "--items"]).output
    assert f"{names[0]} does better than {names[1]} on 0 items\n" in text
    first = "    test-0  POS test purchase at shop number 0  fuel → food\n"
    head = f"{names[1]} does better than {names[0]} on 4 items (answer of {names[0]} → of {names[1]}):"
    assert f"{head}\n{first}" in text
    shown = compared(measured, *names)
    listed = json.loads(render_comparison(shown, "json", items=[found]))["differing"]
    assert listed[0]["better_b"][0] == {
        "id": "test-0",
        "input": "POS test purchase at shop number 0",
        "target": "food",
        "answer_a": "fuel",
        "answer_b": "food",
    }
    assert listed[0]["better_a"] == []
    assert "### plain in good \\@ fake/model does better than" in render_comparison(shown, "md", items=[found])


def test_what_cannot_be_compared_by_it_is_said(measured: Run) -> None:
    with pytest.raises(
        RunError, match="--by prompt compares all candidates that differ in their prompt; leave the names"
    ):
        compared(measured, "plain in bad @ fake/model", by="prompt")
    one = run(
        make_suite(), ["plain"], models=[FakeModel(answer=lambda _: "fuel")], prompts=["bad", "good"], probe=0, out="b"
    )
    with pytest.raises(RunError, match="no two candidates differ in their model alone"):
        compared(one, by="model")
