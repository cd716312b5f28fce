from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.simulation import World
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from thirdlever.analysis.compare import accuracy, compare, compare_all, non_inferior
from thirdlever.analysis.outcomes import Outcomes
from thirdlever.analysis.stats import intervals
from thirdlever.analysis.stats.intervals import wilson
from thirdlever.core.errors import RunError


def pair(won: int, lost: int, both: int = 0, neither: int = 0) -> Outcomes:
    """Right-or-wrong answers of A and B; B wins `won` items and loses `lost`."""
    a = np.repeat([0.0, 1.0, 1.0, 0.0], [won, lost, both, neither])
    b = np.repeat([1.0, 0.0, 1.0, 0.0], [won, lost, both, neither])
    return Outcomes(("A", "B"), tuple(map(str, range(len(a)))), np.stack([a, b]), np.arange(len(a)), ("",) * len(a))


PUBLISHED = pair(16, 5, both=205, neither=24)


# The published figures: 16 flips against 5 of 250


def test_a_comparison_of_sixteen_wins_to_five_is_significant() -> None:
    found = compare(PUBLISHED, "A", "B")
    assert (found.n, found.won, found.lost) == (250, 16, 5)
    assert found.difference == pytest.approx(0.044)
    assert round(found.p, 4) == 0.0266
    assert found.method == "exact McNemar"
    assert found.discordant == pytest.approx(0.084)
    assert 0 < found.low < 0.044 < found.high


def test_a_swapped_comparison_changes_signs_only() -> None:
    one, other = compare(PUBLISHED, "A", "B"), compare(PUBLISHED, "B", "A")
    assert (other.difference, other.low, other.high) == pytest.approx((-one.difference, -one.high, -one.low))
    assert (other.won, other.lost, other.p, other.mde) == (one.lost, one.won, one.p, one.mde)


@pytest.mark.parametrize(("won", "lost"), [(16, 5), (0, 6), (3, 3), (1, 0), (240, 199)])
def test_mcnemar_agrees_with_statsmodels(won: int, lost: int) -> None:
    theirs = mcnemar([[0, won], [lost, 0]], exact=True).pvalue
    assert compare(pair(won, lost, both=10), "A", "B").p == pytest.approx(theirs, abs=1e-12)


# No flips, one item, everything wrong


def test_candidates_that_never_differ_have_an_interval() -> None:
    found = compare(pair(0, 0, both=50), "A", "B")
    assert (found.p, found.difference) == (1.0, 0.0)
    assert (found.low, found.high) == pytest.approx((-0.0714, 0.0714), abs=1e-3)


def test_a_single_item_is_not_significant() -> None:
    found = compare(pair(1, 0), "A", "B")
    assert found.p == 1.0
    assert np.isnan(found.mde)
    assert found.low < 0 < found.high == 1.0


# Tango's interval


def test_the_interval_ends_where_the_statistic_reaches_the_quantile() -> None:
    ends = np.array(intervals.score_interval(16, 5, 250))
    assert np.abs(intervals.score_z(ends, 16, 5, 250)) == pytest.approx([1.959964] * 2, abs=1e-5)


def test_the_score_statistic_at_zero_is_mcnemars() -> None:
    assert intervals.score_z(0.0, 16, 5, 250) == pytest.approx(11 / 21**0.5, abs=1e-12)


def test_intervals_accept_arrays() -> None:
    low, high = intervals.score_interval([16, 0], [5, 0], [250, 50])
    assert (low[0], high[0]) == pytest.approx(intervals.score_interval(16, 5, 250))
    assert low[1] == -high[1]


# Groups and repeats


def test_the_cluster_test_of_independent_items_is_mcnemars() -> None:
    totals = np.repeat([1.0, -1.0, 0.0], [16, 5, 100])
    assert intervals.sign_flip(totals) == pytest.approx(intervals.mcnemar(16, 5), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_cluster_test_agrees_with_scipys_permutation_test(seed: int) -> None:
    totals = np.random.default_rng(seed).integers(-4, 5, 12).astype(float)
    theirs = stats.permutation_test(
        (totals, np.zeros(12)), lambda x, y: float(np.sum(x - y)), permutation_type="samples", n_resamples=1 << 14
    )
    assert intervals.sign_flip(totals) == pytest.approx(theirs.pvalue, abs=1e-12)


def test_the_cluster_test_samples_partial_scores() -> None:
    totals = np.random.default_rng(0).normal(0.3, 1.0, 40)
    theirs = stats.permutation_test(
        (totals, np.zeros(40)),
        lambda x, y: np.sum(x - y, axis=-1),
        permutation_type="samples",
        n_resamples=19_999,
        rng=1,
    )
    assert intervals.sign_flip(totals) == pytest.approx(theirs.pvalue, abs=0.01)
    assert intervals.sign_flip(totals) == intervals.sign_flip(totals)


def test_the_cluster_test_of_many_items_uses_the_normal_distribution() -> None:
    few, many = np.repeat([3.0, -3.0], [10_600, 10_400]), np.repeat([3.0, -3.0], [11_100, 10_900])
    exact = intervals.mcnemar(11_100, 10_900)
    assert intervals.sign_flip(few) == pytest.approx(intervals.mcnemar(10_600, 10_400), abs=1e-9)
    assert intervals.sign_flip(many) == pytest.approx(exact, abs=1e-5)


def test_identical_items_of_a_group_count_as_one() -> None:
    often = PUBLISHED.only(np.repeat([True], 250))
    tripled = replace(
        often,
        items=tuple(map(str, range(750))),
        scores=np.repeat(often.scores, 3, axis=1),
        clusters=np.repeat(often.clusters, 3),
        slices=("",) * 750,
    )
    once, thrice = compare(PUBLISHED, "A", "B"), compare(tripled, "A", "B")
    assert thrice.p == pytest.approx(once.p)
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high), abs=2e-3)
    assert (thrice.n, thrice.clusters) == (750, 250)
    assert thrice.mde == pytest.approx(once.mde, abs=2e-3)


def test_repeats_that_agree_change_nothing() -> None:
    once, often = compare(PUBLISHED, "A", "B"), compare(replace(PUBLISHED, epochs=5), "A", "B")
    assert often.p == pytest.approx(once.p)
    assert (often.low, often.high) == pytest.approx((once.low, once.high), abs=2e-3)
    assert often.n == 250


def test_repeats_that_disagree_narrow_a_comparison() -> None:
    worlds = [World((0.8, 0.85), 300, epochs=epochs, steadiness=0.2) for epochs in (1, 8)]
    widths = [np.ptp([(c := compare(next(w.draws(1)), "candidate 0", "candidate 1")).low, c.high]) for w in worlds]
    assert widths[1] < 0.7 * widths[0]


# Graded scores


def test_intervals_of_partial_scores_follow_the_variance_of_clusters() -> None:
    o = next(World((0.6, 0.7), 200, group_size=3, group_share=0.4, softness=0.5).draws(1, seed=3))
    found = compare(o, "candidate 0", "candidate 1")
    totals, sizes = intervals.cluster_totals(o.scores[1] - o.scores[0], o.clusters)
    half = 1.97 * intervals.cluster_variance(totals, sizes) ** 0.5
    assert found.method == "sign-flip test by cluster"
    assert (found.low, found.high) == pytest.approx((found.difference - half, found.difference + half), abs=0.01)
    assert found == compare(o, "candidate 0", "candidate 1")


def test_equal_partial_scores_have_an_interval() -> None:
    o = replace(pair(0, 0, both=20), graded=True)
    found = compare(o, "A", "B")
    assert (found.p, found.difference) == (1.0, 0.0)
    assert found.low < -0.05 < 0.05 < found.high


# Many comparisons


def test_holm_over_all_pairs_agrees_with_statsmodels() -> None:
    o = next(World((0.7, 0.75, 0.8, 0.85), 300).draws(1))
    found = compare_all(o)
    assert [(one.a, one.b) for one in found][:3] == [("candidate 3", f"candidate {i}") for i in (2, 1, 0)]
    assert len(found) == 6
    theirs = multipletests([one.p for one in found], method="holm")[1]
    assert [one.p_adjusted for one in found] == pytest.approx(list(theirs), abs=1e-12)


def test_comparing_against_one_candidate_is_a_smaller_family() -> None:
    o = next(World((0.7, 0.75, 0.8), 300).draws(1))
    found = compare_all(o, against="candidate 0")
    assert [(one.a, one.b) for one in found] == [("candidate 0", "candidate 2"), ("candidate 0", "candidate 1")]
    with pytest.raises(RunError, match="not found"):
        compare_all(o, against="candidate 9")


def test_one_candidate_has_no_comparisons() -> None:
    assert compare_all(next(World((0.7,), 20).draws(1))) == []


# Not significant is not equal


def test_non_inferiority_needs_enough_items() -> None:
    few, many = pair(10, 10, both=180), pair(100, 100, both=9800)
    assert not non_inferior(few, "B", "A", 0.02).holds
    assert non_inferior(many, "B", "A", 0.02).holds
    assert non_inferior(few, "B", "A", 0.02).needed == pytest.approx(0.1 * 2.4865**2 / 0.02**2, abs=2)


@pytest.mark.parametrize("margin", [0.01, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("o", [PUBLISHED, pair(5, 16, both=229), replace(PUBLISHED, graded=True)])
def test_the_non_inferiority_bound_agrees_with_its_test(o: Outcomes, margin: float) -> None:
    found = non_inferior(o, "B", "A", margin)
    assert found.holds == (found.p <= 0.05)
    assert found.holds == (found.low > -margin)


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0])
def test_a_margin_outside_0_to_1_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        non_inferior(PUBLISHED, "A", "B", margin)


# Accuracies


def test_an_accuracy_of_independent_items_has_wilsons_interval() -> None:
    found = accuracy(pair(16, 5, both=205, neither=24), "B")
    assert found.value == pytest.approx(221 / 250)
    assert found.n == 250
    assert (found.low, found.high) == pytest.approx(wilson(221, 250))


def test_an_accuracy_counts_groups() -> None:
    grouped = replace(PUBLISHED, clusters=np.arange(250) // 10)
    one, ten = accuracy(PUBLISHED, "A"), accuracy(grouped, "A")
    assert ten.high - ten.low > 1.5 * (one.high - one.low)
