"""A broken measurement is never a score: statuses, and candidates that are not measured."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from helpers.lost import ITEMS, model, run

from thirdlever.analysis import outcomes
from thirdlever.analysis.run import RECORDS, SUMMARY, Run, load
from thirdlever.analysis.scorecards import to_json
from thirdlever.analysis.statuses import MAX_FAILED, MAX_UNPARSED, Tolerance
from thirdlever.core.errors import RunError
from thirdlever.evaluation.records import statuses
from thirdlever.report.tables import render_summary

if TYPE_CHECKING:
    from pathlib import Path

    from helpers.lost import Way

    from thirdlever.analysis.scorecards import CandidateFigures

pytestmark = pytest.mark.usefixtures("fast_runs")


def zero_shot(folder: Path, *first: tuple[Way, int]) -> CandidateFigures:
    return run(folder, ["zero_shot"], model(first=first)).figures["zero_shot"]


def with_column(folder: Path, **column: pd.Series[Any]) -> Run:
    """The run with one more column in its records."""
    path = folder / RECORDS
    pd.read_parquet(path).assign(**column).to_parquet(path)
    return Run(folder)


def test_every_answer_has_one_status(tmp_path: Path) -> None:
    found = zero_shot(tmp_path, ("failed", 1), ("cut_off", 2), ("too_long", 3), ("unparsed", 4), ("wrong", 5))
    assert found.statuses == {"answered": 30, "unparsed": 4, "refused": 0, "cut_off": 5, "failed": 1, "ungraded": 0}
    assert sum(found.statuses.values()) == ITEMS
    assert found.accuracy_parsed == 25 / 30


def test_a_stored_status_is_kept_and_a_missing_one_derived(tmp_path: Path) -> None:
    records = run(tmp_path, ["zero_shot"], model(first=[("unparsed", 2), ("cut_off", 1)])).records
    stored = pd.Series(["refused", *[None] * (ITEMS - 1)], index=records.index)
    found = statuses(records.assign(status=stored))
    assert found.value_counts().to_dict() == {"answered": 37, "refused": 1, "unparsed": 1, "cut_off": 1}


@pytest.mark.parametrize(
    ("first", "sentence"),
    [
        (
            [("no_room", ITEMS)],
            (
                "not measured: 40 of 40 answers were cut off (maximum 5 %, --max-failed): "
                "the limit on output tokens was reached; "
                "ask for a short answer in the prompt, use --constrain, or raise max_tokens in --model"
            ),
        ),
        (
            [("too_long", 3)],
            (
                "not measured: 3 of 40 answers were cut off (maximum 5 %, --max-failed): "
                "prompt and answer exceed the model's context window; shorten the prompt or use another model"
            ),
        ),
        (
            [("failed", 2), ("no_room", 1)],
            (
                "not measured: 2 of 40 requests failed and 1 of 40 answers were cut off (maximum 5 %, --max-failed): "
                "the first with 'RuntimeError: 401 Incorrect API key provided'; "
                "fix this, and repeat the run's command with the same --out"
            ),
        ),
        (
            [("unparsed", 9)],
            (
                "not measured: 9 of 40 answers could not be parsed (maximum 20 %, --max-unparsed): "
                "read them with `thirdlever report`, then change the prompt or use --constrain"
            ),
        ),
        (
            [("unparsed", 12), ("no_room", 3)],
            (
                "not measured: 3 of 40 answers were cut off (maximum 5 %, --max-failed) and "
                "12 of 40 answers could not be parsed (maximum 20 %, --max-unparsed): "
                "read them with `thirdlever report`, then change the prompt or use --constrain"
            ),
        ),
        ([("failed", 2)], None),
        ([("cut_off", 1), ("failed", 1), ("unparsed", 8)], None),
        ([("wrong", ITEMS)], None),
    ],
)
def test_a_candidate_with_too_many_lost_answers_is_not_measured(
    first: list[tuple[Way, int]], sentence: str | None, tmp_path: Path
) -> None:
    found = zero_shot(tmp_path, *first)
    said = found.not_measured and re.sub(r"/\S+/lost\.py:\d+: ", "", found.not_measured)
    assert said == sentence
    assert (found.accuracy is None) == (sentence is not None)
    assert found.score is not None


def test_reasoning_that_took_the_room_is_named_as_the_cause(tmp_path: Path) -> None:
    records = run(tmp_path, ["zero_shot"], model(first=[("cut_off", 10)])).records
    made = with_column(tmp_path, reasoning_tokens=records["stop_reason"].eq("max_tokens") * 12)
    assert made.figures["zero_shot"].not_measured == (
        "not measured: 10 of 40 answers were cut off (maximum 5 %, --max-failed): "
        "reasoning used most of the tokens; raise max_tokens in --model"
    )
    assert made.summary["reasoning_tokens"].to_list() == [3.0]
    text = render_summary(made.summary)
    assert "reasoning" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_few_lost_answers_count_as_wrong(tmp_path: Path) -> None:
    found = zero_shot(tmp_path, ("failed", 1), ("cut_off", 1), ("unparsed", 4))
    assert found.accuracy is not None
    assert found.accuracy.value == 34 / 40
    assert found.accuracy_parsed == 1.0


def test_refused_answers_count_as_lost(tmp_path: Path) -> None:
    records = run(tmp_path, ["zero_shot"], model(first=[("unparsed", 3)])).records
    made = with_column(tmp_path, status=statuses(records).replace("unparsed", "refused"))
    assert made.not_measured["zero_shot"] == (
        "not measured: 3 of 40 answers were refused (maximum 5 %, --max-failed): the model or its provider declined; "
        "read them with `thirdlever report`, then change the prompt or the model"
    )
    assert made.summary["refused"].to_list() == [3]


def test_the_scorecard_of_an_unmeasured_candidate_has_no_accuracy_and_comes_last(tmp_path: Path) -> None:
    made = run(tmp_path, ["few_shot:k=2", "zero_shot"], model(bare_first=[("no_room", 30)]))
    card = made.summary.iloc[-1]
    assert (card["candidate"], bool(card["measured"]), card["cut_off"], card["n"]) == ("zero_shot", False, 30, ITEMS)
    assert math.isnan(card["accuracy"])
    assert math.isnan(card["macro_f1"])
    assert (card["accuracy_ci95"], card["accuracy_parsed"]) == (None, 1.0)
    stored = pd.read_csv(tmp_path / SUMMARY).iloc[-1]
    assert (stored["measured"], stored["cut_off"], stored["not_measured"]) == (False, 30, card["not_measured"])
    first, last = json.loads(to_json(made.summary))
    assert (first["measured"], first["not_measured"], first["accuracy"]) == (True, None, 1.0)
    assert (last["measured"], last["accuracy"], last["refused"]) == (False, None, 0)


def test_the_table_shows_no_accuracy_of_an_unmeasured_candidate(tmp_path: Path) -> None:
    made = run(tmp_path, ["few_shot:k=2", "zero_shot"], model(bare_first=[("no_room", 30)]))
    text = render_summary(made.summary)
    line = next(line for line in text.splitlines() if line.startswith("zero_shot "))
    assert line.split() == ["zero_shot", "not", "measured", "–", "unknown", *line.split()[5:]]
    assert line.endswith("0/0/30/0")
    assert "zero_shot: not measured: 30 of 40 answers were cut off" in text
    assert max(map(len, text.splitlines())) <= 100
    assert "reasoning" not in text


def test_outcomes_leave_out_an_unmeasured_candidate(tmp_path: Path) -> None:
    made = run(tmp_path, ["null", "few_shot:k=2", "zero_shot"], model(bare_first=[("unparsed", 30)]))
    assert outcomes.load(made).candidates == ("few_shot(k=2)", "null")


def test_a_run_without_a_measured_candidate_has_no_outcomes(tmp_path: Path) -> None:
    made = run(tmp_path, ["zero_shot"], model(first=[("failed", ITEMS)]))
    with pytest.raises(RunError, match=r"no candidate of run '.*' is measured; zero_shot: not measured: 40 of 40"):
        outcomes.load(made)


def test_a_slice_is_judged_by_the_whole_run(tmp_path: Path) -> None:
    from thirdlever.analysis.scorecards import figures

    made = run(tmp_path, ["zero_shot"], model(first=[("failed", 2)]))
    part = made.records.assign(slice=["a" if row < 4 else "b" for row in range(ITEMS)])
    assert figures(part, made.info, part="a")["zero_shot"].not_measured is None


def test_the_shares_are_kept_in_the_run_and_can_be_changed_later(tmp_path: Path) -> None:
    made = run(tmp_path, ["zero_shot"], model(first=[("failed", 4), ("unparsed", 10)]), max_failed=0.1)
    stored = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert (stored["max_failed"], stored["max_unparsed"]) == (0.1, MAX_UNPARSED)
    assert "10 of 40 answers could not be parsed" in made.not_measured["zero_shot"]
    assert not load(tmp_path, max_unparsed=0.25).not_measured
    assert "4 of 40 requests failed" in load(tmp_path, max_failed=0.05).not_measured["zero_shot"]


def test_a_run_of_an_earlier_release_has_the_default_shares(tmp_path: Path) -> None:
    run(tmp_path, ["zero_shot"], model(first=[("failed", 3)]))
    info = json.loads((tmp_path / "run.json").read_text("utf-8"))
    del info["max_failed"], info["max_unparsed"]
    (tmp_path / "run.json").write_text(json.dumps(info), "utf-8")
    assert "3 of 40 requests failed" in Run(tmp_path).not_measured["zero_shot"]
    assert Tolerance.of(info) == Tolerance(MAX_FAILED, MAX_UNPARSED)


@pytest.mark.parametrize("share", [-0.1, 1.5, math.nan])
def test_an_impossible_share_is_refused_before_anything_is_asked(share: float, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"max_unparsed=.* is not allowed; give a share from 0 to 1"):
        run(tmp_path, ["zero_shot"], model(), max_unparsed=share)
    assert not (tmp_path / "run.json").exists()
