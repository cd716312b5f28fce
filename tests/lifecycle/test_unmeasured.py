"""Candidates that are not measured: neither pinned, nor passed, nor failed, nor compared."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from helpers.lost import ITEMS, model, run, suite

from thirdlever.analysis.compare import compared
from thirdlever.core.errors import RunError
from thirdlever.decision.assumptions import assume
from thirdlever.lifecycle import baseline
from thirdlever.lifecycle.history import history
from thirdlever.lifecycle.regress import REPORT, diff, regress
from thirdlever.lifecycle.replace import propose
from thirdlever.report import tables, trend
from thirdlever.report.regression import headline, render
from thirdlever.report.tables import render_history
from thirdlever.testing import FakeModel, offline

if TYPE_CHECKING:
    from thirdlever.lifecycle.regress import Regression

pytestmark = pytest.mark.usefixtures("fast_runs")

CUT_OFF = "not measured: 10 of 40 answers were cut off (maximum 5 %, --max-failed)"


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pinned(old: FakeModel, *strategies: str) -> None:
    baseline.save(baseline.pin(run(Path("old"), strategies or ["zero_shot"], old), "example"))


def gate(new: FakeModel, **limits: Any) -> Regression:  # noqa: ANN401 - a limit
    with offline():
        return regress(
            suite(), baseline="example", models=[new], limits={"margin": 0.2, "max_errors": 1.0, **limits}, out="new"
        )


# Baselines


def test_a_baseline_leaves_out_what_is_not_measured() -> None:
    pinned(model("fake/old", bare_first=[("no_room", 10)]), "zero_shot", "few_shot:k=2")
    assert [one.name for one in baseline.load("example").candidates] == ["few_shot(k=2)"]


def test_an_unmeasured_candidate_cannot_be_pinned_by_name() -> None:
    made = run(Path("old"), ["zero_shot", "few_shot:k=2"], model(bare_first=[("no_room", 10)]))
    with pytest.raises(RunError, match="'zero_shot' cannot be pinned; not measured: 10 of 40 answers were cut off"):
        baseline.pin(made, "example", only=["zero_shot"])


def test_a_run_without_a_measured_candidate_is_not_pinned() -> None:
    made = run(Path("old"), ["zero_shot"], model(first=[("failed", ITEMS)]))
    with pytest.raises(RunError, match="cannot be pinned: no candidate is measured; zero_shot: not measured: 40 of 40"):
        baseline.pin(made, "example")


def test_a_baseline_keeps_the_counts_and_the_shares() -> None:
    made = run(Path("old"), ["zero_shot"], model(first=[("no_room", 3), ("failed", 1)]), max_failed=0.1)
    baseline.save(baseline.pin(made, "example"))
    stored = json.loads(Path("results/baselines/example.json").read_text("utf-8"))
    assert (stored["options"]["max_failed"], stored["options"]["max_unparsed"]) == (0.1, 0.2)
    [one] = stored["candidates"]
    assert (one["figures"]["cut_off"], one["figures"]["errors"], one["figures"]["refused"]) == (3, 1, 0)
    assert "why_unmeasured" not in one


# The release gate


def test_the_gate_gives_no_verdict_on_an_unmeasured_model() -> None:
    pinned(model("fake/old"))
    found = gate(model("fake/new", first=[("no_room", 10)]))
    assert (found.verdict, found.exit_code) == ("NOT-MEASURED", 2)
    [check] = found.results[0].checks
    assert check.reason.startswith(f"the new run is {CUT_OFF}: the limit on output tokens was reached")
    assert headline(found).startswith("NOT-MEASURED: fake/new cannot be judged")
    assert json.loads(Path("new", REPORT).read_text("utf-8"))["exit_code"] == 2
    assert f"measured: the new run is {CUT_OFF}" in " ".join(render(found).split())
    assert "NOT-MEASURED" in render(found, "md")
    [case] = ET.fromstring(render(found, "junit")).iter("testcase")  # noqa: S314 - ours
    assert [child.tag for child in case] == ["error"]


def test_the_gate_gives_no_verdict_if_the_baseline_is_not_measured() -> None:
    made = run(Path("old"), ["zero_shot"], model("fake/old", first=[("no_room", 10)]))
    baseline.save(baseline.from_run(made, "example"))  # as earlier releases did
    [result] = gate(model("fake/new")).results
    assert result.verdict == "NOT-MEASURED"
    assert result.checks[0].reason == f"the baseline is {CUT_OFF}; pin a run without such losses"


def test_the_gate_takes_the_shares_of_the_command_before_those_of_the_baseline() -> None:
    made = run(Path("old"), ["zero_shot"], model("fake/old"), max_failed=0.1)
    baseline.save(baseline.pin(made, "example"))
    lost = model("fake/new", first=[("failed", 4)])
    found = gate(lost)
    assert (found.limits.max_failed, found.limits.source("max_failed")) == (0.1, "baseline")
    assert found.verdict != "NOT-MEASURED"
    assert gate(lost, max_failed=0.05).verdict == "NOT-MEASURED"


def test_one_unmeasured_candidate_leaves_the_whole_gate_without_a_verdict() -> None:
    pinned(model("fake/old"), "zero_shot", "few_shot:k=2")
    found = gate(model("fake/new", bare_first=[("unparsed", 20)]))
    verdicts = {one.candidate: one.verdict for one in found.results}
    assert verdicts == {"zero_shot": "NOT-MEASURED", "few_shot(k=2)": "PASS"}
    assert found.verdict == "NOT-MEASURED"


def test_a_finished_run_that_is_not_measured_gets_no_verdict_from_a_diff() -> None:
    pinned(model("fake/old"))
    made = run(Path("fresh"), ["zero_shot"], model("fake/new", first=[("no_room", 10)]))
    assert diff(baseline.load("example"), made).verdict == "NOT-MEASURED"


# Comparing, replacing and looking back


def test_a_comparison_leaves_out_what_is_not_measured() -> None:
    made = run(Path("out"), ["null", "zero_shot", "few_shot:k=2"], model(bare_first=[("no_room", 10)]))
    found = compared(made)
    assert {one.b for one in found.comparisons} | {one.a for one in found.comparisons} == {"null", "few_shot(k=2)"}
    assert f"zero_shot is left out: {CUT_OFF}" in " ".join(tables.render_comparison(found).split())
    assert json.loads(tables.render_comparison(found, "json"))["not_measured"].keys() == {"zero_shot"}


def test_fewer_than_two_measured_candidates_are_not_compared() -> None:
    made = run(Path("out"), ["zero_shot", "few_shot:k=2"], model(bare_first=[("no_room", 10)]))
    with pytest.raises(RunError, match=r"'few_shot\(k=2\)' is the run's only measured candidate; zero_shot: not meas"):
        compared(made)
    with pytest.raises(RunError, match="cannot compare 'zero_shot'; not measured: 10 of 40"):
        compared(made, "few_shot(k=2)", "zero_shot")


def test_an_unmeasured_candidate_is_no_replacement() -> None:
    made = run(Path("out"), ["null", "zero_shot", "few_shot:k=2"], model(bare_first=[("no_room", 10)]))
    proposal = propose(made, "few_shot(k=2)", assume({}, {}))
    assert [one.cost.candidate for one in proposal.options] == ["null"]
    with pytest.raises(RunError, match="'zero_shot' cannot be compared; not measured: 10 of 40"):
        propose(made, "zero_shot", assume({}, {}))


def test_the_history_shows_no_accuracy_of_an_unmeasured_candidate() -> None:
    run(Path("results/one"), ["zero_shot", "few_shot:k=2"], model(bare_first=[("no_room", 10)]))
    points = history("example")
    assert [math.isnan(one.accuracy) for one in points if one.candidate == "zero_shot"] == [True]
    assert "not measured" in render_history(points)
    assert trend.picture(points).notes[1] == "Runs in which a candidate was not measured are left out: zero_shot."
