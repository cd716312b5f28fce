from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from helpers.curves import Experiment, Truth, bootstrap, table

from thirdlever.analysis.learning import ScoreTable, analyse, band, crossing, fitted, gain, overtaking

SIZES = [100, 300, 1000, 3000]


def law(labels: float, *, a: float, b: float, c: float) -> float:
    return float(a * labels**-b + c)


TUNED = Truth(line="tuned", lever="tuned", error=partial(law, a=6.0, b=0.5, c=0.05))
RETRIEVED = Truth(line="retrieved", lever="retrieval", error=partial(law, a=1.2, b=0.3, c=0.12))
MEETING = 590  # labels, where the two are equally good
FLAT = Truth(line="prompt", lever="prompt", error=lambda _: 0.35, flat=True)
MANY = Experiment(items=4000, seeds=3)


# Where one overtakes another


def test_lines_cross_between_sizes_on_a_logarithmic_scale() -> None:
    assert crossing([100, 10_000], np.array([[-0.1, 0.1]])) == pytest.approx([1000])


def test_a_line_that_falls_back_has_not_overtaken() -> None:
    assert crossing(SIZES, np.array([[-0.1, 0.1, 0.1, -0.01]]))[0] == math.inf


def test_the_last_crossing_counts() -> None:
    assert 1000 < crossing(SIZES, np.array([[-0.1, 0.1, -0.1, 0.1]]))[0] < 3000


def test_a_tie_is_not_ahead() -> None:
    assert crossing(SIZES, np.zeros((1, 4)))[0] == math.inf


def test_a_known_crossing_is_found() -> None:
    draws = MANY.draws([TUNED, RETRIEVED], np.random.default_rng(0))
    [found] = analyse(draws).overtakings
    assert (found.a, found.b, found.outcome) == ("tuned", "retrieved", "within")
    assert found.labels == pytest.approx(MEETING, rel=0.25)
    assert found.low is not None
    assert found.high is not None
    assert found.low < MEETING < found.high


def test_a_line_that_is_ahead_everywhere_is_so_already() -> None:
    better = replace(TUNED, error=lambda labels: RETRIEVED.error(labels) / 2)
    [found] = analyse(MANY.draws([better, RETRIEVED], np.random.default_rng(0))).overtakings
    assert (found.outcome, found.labels, found.certain) == ("already", None, True)
    assert found.difference_low > 0


def test_a_line_that_is_behind_everywhere_does_not_overtake() -> None:
    worse = replace(TUNED, error=lambda labels: 0.2 + RETRIEVED.error(labels))
    [found] = analyse(MANY.draws([worse, RETRIEVED], np.random.default_rng(0))).overtakings
    assert (found.outcome, found.certain, found.share) == ("not within", True, 0.0)


def test_equals_leave_it_open_which_is_ahead() -> None:
    same = replace(RETRIEVED, line="same", lever="tuned")
    [found] = analyse(Experiment(items=200).draws([same, RETRIEVED], np.random.default_rng(0))).overtakings
    assert found.open
    assert found.difference_low < 0 < found.difference_high


def test_a_line_without_labels_is_compared_at_every_size() -> None:
    [found] = analyse(MANY.draws([TUNED, FLAT], np.random.default_rng(0))).overtakings
    assert found.labels == pytest.approx((6.0 / 0.30) ** 2, rel=0.2)


def test_the_most_laborious_lever_is_compared_with_all_others() -> None:
    lines = [replace(FLAT, line="null", lever="none"), FLAT, RETRIEVED, replace(RETRIEVED, line="other")]
    found = analyse(Experiment(items=50).draws(lines, np.random.default_rng(0))).overtakings
    assert sorted((one.a, one.b) for one in found) == [
        ("other", "null"),
        ("other", "prompt"),
        ("retrieved", "null"),
        ("retrieved", "prompt"),
    ]


def test_lines_are_compared_where_both_are_measured() -> None:
    draws = [
        d
        for d in MANY.draws([TUNED, RETRIEVED], np.random.default_rng(0))
        if d.line != "tuned" or d.labels in {100, 300}
    ]
    [found] = analyse(draws).overtakings
    assert (found.first, found.last, found.outcome) == (100, 300, "not within")


# Bands


def test_a_band_includes_the_spread_between_draws() -> None:
    spread = replace(TUNED, spread=lambda _: 0.05)
    for truth, least, most in ((replace(TUNED, spread=lambda _: 0.0), 0.02, 0.05), (spread, 0.1, 0.5)):
        line = analyse(Experiment(items=2000, seeds=3).draws([truth], np.random.default_rng(3))).lines[0]
        widths = [point.high - point.low for point in line.points]
        assert least < np.mean(widths) < most


def test_one_draw_has_the_band_of_its_items() -> None:
    line = analyse(Experiment(seeds=1).draws([TUNED], np.random.default_rng(0))).lines[0]
    assert not line.draws_vary
    scores = np.array([[1.0] * 80 + [0.0] * 20])
    assert band(scores, np.arange(100), 0.0, 0, graded=False) == pytest.approx((0.7111, 0.8666), abs=1e-3)


def test_a_band_stays_within_0_and_1() -> None:
    perfect = replace(TUNED, error=lambda _: 0.0, spread=lambda _: 0.0)
    for point in analyse(Experiment(items=30).draws([perfect], np.random.default_rng(0))).lines[0].points:
        assert 0.8 < point.low < point.high == 1.0


def test_bands_cover_the_truth() -> None:
    rng, hits = np.random.default_rng(5), []
    truth = replace(TUNED, spread=lambda _: 0.02)
    for _ in range(60):
        line = analyse(Experiment(items=200, seeds=2, sizes=(100, 1000)).draws([truth], rng)).lines[0]
        hits += [point.low <= 1 - truth.error(point.labels) <= point.high for point in line.points]
    assert np.mean(hits) >= 0.88  # benchmarks/curve.py has the precise figure


# The power law


def test_a_power_law_is_recovered_from_its_points() -> None:
    errors = np.array([law(n, a=5.0, b=0.4, c=0.06) for n in SIZES])
    assert fitted(SIZES, errors, np.full(4, 0.01)) == pytest.approx((5.0, 0.4, 0.06), rel=1e-3)


def test_errors_that_rise_are_fitted_by_no_gain() -> None:
    a, b, c = fitted(SIZES, np.array([0.2, 0.25, 0.3, 0.35]), np.full(4, 0.01))
    assert law(3000, a=a, b=b, c=c) == pytest.approx(law(4000, a=a, b=b, c=c), abs=1e-3)


def test_the_gain_of_more_labels_is_that_of_the_law() -> None:
    draws = Experiment(items=4000, seeds=3, sizes=(100, 300, 1000, 3000)).draws([TUNED], np.random.default_rng(0))
    found = gain(table(draws, "tuned"), "tuned", bootstrap(draws), draws[0].items, available=5000)
    truth = TUNED.error(3000) - TUNED.error(4000)
    assert found.gain_low < truth < found.gain_high
    assert found.gain == pytest.approx(truth, abs=0.005)
    assert found.fits
    assert (found.last, found.available) == (3000, 2000)


def test_a_curve_that_is_no_power_law_is_said_not_to_fit() -> None:
    errors = {100: 0.5, 300: 0.5, 1000: 0.5, 3000: 0.1, 10_000: 0.1}
    step = replace(TUNED, error=lambda labels: errors[int(labels)], spread=lambda _: 0.002)
    [found] = analyse(MANY.draws([step], np.random.default_rng(0))).gains
    assert not found.fits


def test_three_sizes_cannot_show_that_the_law_fits() -> None:
    [found] = analyse(Experiment(sizes=(100, 300, 1000)).draws([TUNED], np.random.default_rng(0))).gains
    assert found.p is None


def test_two_sizes_have_no_law() -> None:
    assert analyse(Experiment(sizes=(100, 300)).draws([TUNED], np.random.default_rng(0))).gains == []


# Noise


def test_noisy_labels_are_worth_fewer_right_ones() -> None:
    noisy = replace(TUNED, noise=0.2, error=lambda labels: TUNED.error(labels / 4))  # four are as good as one
    [found] = analyse(MANY.draws([TUNED, noisy], np.random.default_rng(0))).worths
    assert found.noisy == 10_000
    assert found.clean.labels == pytest.approx(2500, rel=0.35)


# Edges


def test_nothing_measured_says_nothing() -> None:
    found = analyse([], suite="payments", available=10)
    assert (found.suite, found.lines, found.overtakings) == ("payments", (), ())


def test_a_single_item_has_no_resamples() -> None:
    draws = Experiment(items=1, sizes=(100, 300, 1000)).draws([TUNED, RETRIEVED], np.random.default_rng(0))
    assert len(analyse(draws).lines) == 2


def test_a_table_without_draws_has_no_variance_between_them() -> None:
    assert ScoreTable([100], [np.ones((1, 5))]).between.tolist() == [0.0]


def test_the_resamples_are_the_same_every_time() -> None:
    draws = Experiment().draws([TUNED, RETRIEVED], np.random.default_rng(0))
    first, second = (
        overtaking(table(draws, "tuned", "retrieved"), "a", "b", bootstrap(draws), draws[0].items) for _ in range(2)
    )
    assert first == second
