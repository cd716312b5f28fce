"""Corrected accuracies: worked values, simulated truth, and what must not change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from thirdlever.analysis import grader
from thirdlever.analysis.compare import Differences
from thirdlever.analysis.grader import LEAST_OWN, Grader, Labelled
from thirdlever.analysis.outcomes import Corrections, Outcomes
from thirdlever.analysis.stats import intervals
from thirdlever.analysis.stats.judged import Agreement, Calibration, GraderRate, calibrate, corrected, powered

MANY = 10**12


def outcomes(*rows: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Outcomes:
    n = len(rows[0])
    names = tuple("abc"[: len(rows)])
    return Outcomes(names, tuple(map(str, range(n))), np.stack(rows), np.arange(n), ("",) * n)


def test_the_estimate_is_rogan_and_gladens() -> None:
    """epiR's example: 23 of 150 positive, sensitivity 96 %, specificity 89 %: a true prevalence of 5.1 %."""
    known = Calibration(GraderRate(0.96, MANY), GraderRate(0.11, MANY))
    value, low, high = corrected(23 / 150, 150, known)
    assert round(float(value), 3) == 0.051
    ends = [(end - 0.11) / 0.85 for end in intervals.wilson(23, 150)]
    assert [float(low), float(high)] == pytest.approx([max(ends[0], 0), ends[1]], abs=1e-3)  # Wilson's


def test_kappa_sensitivity_and_specificity_are_the_textbooks() -> None:
    """Cohen's kappa of a 2 x 2 table 20, 5, 10, 15 is 0.4."""
    human = np.repeat([1.0, 1.0, 0.0, 0.0], [20, 5, 10, 15])
    scores = np.repeat([1.0, 0.0, 1.0, 0.0], [20, 5, 10, 15])
    found = Agreement(scores, human)
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(0.4)
    assert found.kappa.low < 0.4 < found.kappa.high
    assert (found.agreement.value, found.sensitivity.value, found.specificity.value) == (0.7, 0.8, 0.6)


def test_a_label_that_people_do_not_share_counts_in_parts() -> None:
    found = calibrate([1.0, 1.0, 0.0], [1.0, 0.5, 0.0])
    assert (found.right.n, found.wrong.n) == (1.5, 1.5)
    assert found.wrong.value == pytest.approx(1 / 3)


@pytest.mark.parametrize("truth", [0.5, 0.9])
def test_the_interval_covers_the_truth(truth: float) -> None:
    rng, runs, n = np.random.default_rng(7), 4000, 300
    accepted = rng.binomial(n, truth * 0.9 + (1 - truth) * 0.2, runs) / n
    judge = Calibration(
        GraderRate(rng.binomial(80, 0.9, runs) / 80, 80), GraderRate(rng.binomial(60, 0.2, runs) / 60, 60)
    )
    _, low, high = corrected(accepted, n, judge)
    assert 0.94 <= ((low <= truth) & (truth <= high)).mean() <= 0.97


def test_a_grader_that_may_be_guessing_bounds_nothing() -> None:
    guess = Calibration(GraderRate(0.55, 30), GraderRate(0.5, 30))
    _, low, high = corrected(0.7, 500, guess)
    assert (float(low), float(high)) == (0.0, 1.0)
    assert not guess.tells_apart()


def test_an_accuracy_with_groups_is_less_certain() -> None:
    rng = np.random.default_rng(3)
    judge = Calibration(GraderRate(0.9, 200), GraderRate(0.1, 200))
    scores = np.repeat(rng.random(60) < 0.7, 5).astype(float)
    alone, grouped = (
        grader.accuracy(scores, np.ones(300), clusters, judge, requests=300, graded=False)
        for clusters in (np.arange(300), np.repeat(np.arange(60), 5))
    )
    assert alone.value == grouped.value
    assert grouped.high - grouped.low > alone.high - alone.low


def test_requests_without_an_answer_are_wrong_and_not_judged() -> None:
    judge = Calibration(GraderRate(1.0, MANY), GraderRate(0.5, MANY))
    scores, judged = np.repeat([1.0, 0.0], 50), np.repeat([1.0, 0.0], 50)
    found = grader.accuracy(scores, judged, np.arange(100), judge, requests=100, graded=False)
    assert found.value == pytest.approx(0.5)  # every judged answer is right


def test_own_labels_correct_a_grader_that_errs_on_one_candidate() -> None:
    """The mean of many experiments is the truth, and their spread is the stated one."""
    rng, n, labelled = np.random.default_rng(5), 400, 100
    found, spread = [], []
    for _ in range(600):
        right = rng.random(n) < 0.6
        verdict = (rng.random(n) < np.where(right, 0.95, 0.5)).astype(float)
        human = np.where(np.arange(n) < labelled, right, np.nan)
        values, floor = powered(verdict, human)
        found.append(values.mean())
        spread.append(values.var() / n + floor)
    assert np.mean(found) == pytest.approx(0.6, abs=0.01)
    assert np.std(found) == pytest.approx(math.sqrt(np.mean(spread)), rel=0.1)
    assert np.std(found) < math.sqrt(0.24 / labelled)  # better than the labels alone


def test_a_useless_grader_leaves_the_labels_alone() -> None:
    human = np.full(500, np.nan)
    human[:100] = np.tile([1.0, 1.0, 0.0, 0.0], 25)
    values, _ = powered(np.tile([1.0, 0.0], 250), human)
    assert values.mean() == pytest.approx(0.5)


def test_a_correction_changes_no_test_of_equality_and_stretches_the_difference() -> None:
    rng = np.random.default_rng(1)
    raw = outcomes(*(rng.random((2, 300)) < [[0.5], [0.65]]).astype(float))
    judge = Calibration(GraderRate(0.9, 100), GraderRate(0.3, 100))
    before, after = Differences(raw, "a", "b"), Differences(Corrections.of(raw, judge), "a", "b")
    assert (after.p(), after.won, after.lost, after.simple) == (before.p(), before.won, before.lost, True)
    assert after.mean == pytest.approx(before.mean / 0.6)
    low, high = after.interval(0.95)
    assert low < after.mean < high
    assert high - low > (before.interval(0.95)[1] - before.interval(0.95)[0]) / 0.6
    assert after.p_below(low) == pytest.approx(0.025, abs=1e-6)
    assert after.design().needed(0.05) > before.design().needed(0.05)


def test_own_labels_of_both_candidates_are_used_for_their_difference() -> None:
    """A grader that accepts everything of b cannot make it better."""
    rng, n = np.random.default_rng(2), 400
    right = rng.random(n) < 0.6
    human = np.where(np.arange(n) < 200, right, np.nan)
    raw = outcomes(right.astype(float), np.ones(n))
    judge = Calibration(GraderRate(0.95, 100), GraderRate(0.1, 100))
    fooled = Differences(Corrections.of(raw, judge), "a", "b")
    found = {"a": powered(raw.row("a"), human), "b": powered(raw.row("b"), human)}
    told = Differences(Corrections.of(raw, judge, None, found), "a", "b")
    assert fooled.interval(0.95)[0] > 0.3
    low, high = told.interval(0.95)
    assert low < 0 < high


def test_own_labels_are_found_by_item_and_text() -> None:
    import pandas as pd

    labels = [Labelled(str(i), grader.answer_hash("x"), 1.0, 1.0) for i in range(LEAST_OWN)]
    judge = Grader("judge", "suite", labels)
    answers = pd.DataFrame({"item_id": [str(i) for i in range(100)], "prediction": ["x"] * 99 + [None]})
    assert np.isfinite(judge.own(answers)).sum() == LEAST_OWN
    assert judge.powered(answers, np.ones(100)) is not None
    assert judge.powered(answers.assign(prediction="y"), np.ones(100)) is None
    assert judge.why_not is not None
    assert "0 wrong" in judge.why_not
