"""An unmeasured candidate is no evidence: neither for a lever nor against it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from helpers.lost import model, run

from thirdlever.core.errors import RunError
from thirdlever.decision.verdict import decide_on_run
from thirdlever.report.decision import notes, render
from thirdlever.report.memo import MARKDOWN, Subject, write

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.lost import Way

pytestmark = pytest.mark.usefixtures("fast_runs")

STABLE = ("stable=yes", "behaviour=yes", "changing_knowledge=no", "maintainer=us", "target_accuracy=0.95")


def test_an_unmeasured_prompt_was_not_tried(tmp_path: Path) -> None:
    made = run(tmp_path, ["zero_shot", "rag:k=2"], model(bare_first=[("cut_off", 30)]))
    d = decide_on_run(made, ())
    gate = d.gates[0]
    assert (gate.outcome, gate.reason) == ("open", "prompting was not tried (zero_shot not measured)")
    assert "zero_shot does not count as tried; it is not measured: 30 of 40 answers were cut off" in gate.evidence
    assert "raise max_tokens in --model" in gate.evidence
    assert gate.change == "Mend what kept zero_shot from being measured (see the notes), and measure it again."


def test_an_unmeasured_candidate_is_neither_recommended_nor_the_reference(tmp_path: Path) -> None:
    losing = model(first=[("failed", 5)], bare_first=[("wrong", 5)])
    d = decide_on_run(run(tmp_path, ["null:method=majority", "few_shot:k=2", "lora"], losing), STABLE)
    assert (d.chosen, d.stay, d.best_prompt) == ("null(method=majority)", "null(method=majority)", None)
    assert [one.a for one in d.comparisons] == ["null(method=majority)"]
    assert "few_shot(k=2)" not in d.paybacks


@pytest.mark.parametrize(
    ("way", "reason"),
    [
        ("unparsed", "lora is not measured: training or decoding is broken"),
        ("no_room", "lora is not measured: training or decoding is broken"),
        ("failed", "lora is not measured"),
    ],
)
def test_an_unmeasured_tune_needs_more_data(way: Way, reason: str, tmp_path: Path) -> None:
    losing = model(first=[("wrong", 10)], bare_first=[(way, 20)])
    d = decide_on_run(run(tmp_path, ["few_shot:k=2", "rag:k=2", "lora"], losing), STABLE)
    assert (d.verdict, d.tuned) == ("NEED-MORE-DATA", "lora")
    assert (d.gates[2].outcome, d.gates[2].reason) == ("open", reason)
    assert d.gates[2].evidence.startswith("lora is not measured: 20 of 40")
    assert "lora" not in d.paybacks
    assert not d.comparisons


def test_a_tune_that_is_never_right_needs_more_data(tmp_path: Path) -> None:
    tuned = model(first=[("wrong", 10)], bare_first=[("wrong", 40)])
    d = decide_on_run(run(tmp_path, ["few_shot:k=2", "rag:k=2", "lora"], tuned), STABLE)
    assert d.verdict == "NEED-MORE-DATA"
    assert d.gates[2].reason == "lora is right on no item: training or decoding is broken"


def test_a_run_without_a_measured_candidate_is_refused(tmp_path: Path) -> None:
    made = run(tmp_path, ["zero_shot", "lora"], model(first=[("failed", 40)]))
    with pytest.raises(RunError, match=r"no candidate of run .* is measured; zero_shot: not measured: 40 of 40"):
        decide_on_run(made, ())


def test_text_and_json_state_the_statuses(tmp_path: Path) -> None:
    few = model(first=[("failed", 1), ("unparsed", 3)], bare_first=[])
    d = decide_on_run(run(tmp_path, ["few_shot:k=2", "rag:k=2", "zero_shot"], few), ())
    assert any(note.startswith("Counted as wrong: 3 unparsed and 1 failed of 40 requests to") for note in notes(d))
    stored = json.loads(render(d, "json"))["standings"]["few_shot(k=2)"]
    assert stored["statuses"] == {"answered": 36, "unparsed": 3, "refused": 0, "cut_off": 0, "failed": 1, "ungraded": 0}
    assert (stored["failed"], stored["not_measured"]) == (1, None)


def test_the_memo_states_the_statuses_and_what_is_not_measured(tmp_path: Path) -> None:
    made = run(tmp_path, ["null", "few_shot:k=2", "zero_shot"], model(bare_first=[("no_room", 7)]), max_failed=0.1)
    page = write(Subject(title="t", source=made.folder, run=made), decide_on_run(made, ()), tmp_path / "memo")[1]
    assert page.name == MARKDOWN
    text = page.read_text("utf-8")
    assert (
        "The prompt without examples is not measured: 7 of 40 answers were cut off (maximum 10 %, --max-failed)" in text
    )
    assert "| 0 / 0 / 7 / 0 |" in text
    assert "not measured" in next(line for line in text.splitlines() if line.startswith("| `zero_shot`"))
    assert "--max-failed 0.1 --max-unparsed 0.2" in text
