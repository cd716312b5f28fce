"""Boundaries and their error rates, against published tables and by simulation."""

from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from thirdlever.analysis.stats.power import bounds, sequential_design, spent

DRIFT = NormalDist().inv_cdf(0.95) + NormalDist().inv_cdf(0.8)  # 80 % power at one look


# Two-sided 5 %, O'Brien-Fleming-type spending, equally spaced looks: Reboussin et al., Controlled Clinical Trials 21,
# 2000, and the R package ldbounds.
@pytest.mark.parametrize(
    ("looks", "published"),
    [
        (1, [1.960]),
        (2, [2.963, 1.969]),
        (3, [3.710, 2.511, 1.993]),
        (4, [4.333, 2.963, 2.359, 2.014]),
        (5, [4.877, 3.357, 2.680, 2.290, 2.031]),
    ],
)
def test_boundaries_match_published_tables(looks: int, published: list[float]) -> None:
    found = bounds(tuple((i + 1) / looks for i in range(looks)), 0.025)
    assert found == pytest.approx(published, abs=6e-4)


def test_one_look_is_an_ordinary_test() -> None:
    fixed = sequential_design(500, early=False)
    assert fixed.items == (500,)
    assert fixed.level(0) == pytest.approx(0.05)
    assert fixed.power(DRIFT) == pytest.approx(0.8, abs=1e-6)
    assert fixed.expected(DRIFT) == 1


def test_all_looks_together_spend_exactly_alpha() -> None:
    early = sequential_design(2000, early=True)
    above, below = early.ends(0.0)
    assert float(above.sum()) == pytest.approx(0.05, abs=1e-6)  # at the margin, PASS
    assert float(below.sum()) == pytest.approx(0.05, abs=1e-6)  # and FAIL
    assert spent(1.0) == pytest.approx(0.05)
    assert early.level(0) < 0.001 < early.level(3) < 0.05


def test_several_tests_share_alpha_over_all_looks() -> None:
    assert sequential_design(500, early=False).level(0, among=10) == pytest.approx(0.005)
    early = sequential_design(2000, early=True)
    assert [early.level(look, among=10) for look in range(4)] == [
        replace(early, alpha=0.005).level(look) for look in range(4)
    ]


def test_early_looks_cost_little_power_and_save_items() -> None:
    early = sequential_design(2000, early=True)
    assert 0.78 < early.power(DRIFT) < 0.8
    assert early.expected(DRIFT) < 0.85
    assert early.expected(-5 * DRIFT) == pytest.approx(0.25, abs=0.01)  # hopeless: the first look ends it


def test_looks_count_whole_items_and_start_at_thirty() -> None:
    assert sequential_design(2000, early=True).items == (500, 1000, 1500, 2000)
    assert sequential_design(90, early=True).items == (45, 68, 90)
    assert sequential_design(12, early=True).items == (12,)


@pytest.mark.parametrize("drift", [0.0, DRIFT])
def test_the_probabilities_match_a_simulated_walk(drift: float) -> None:
    early = sequential_design(2000, early=True)
    times = np.array(early.items) / early.items[-1]
    steps = np.diff(times, prepend=0)
    draws = np.random.default_rng(1).normal(drift * steps, np.sqrt(steps), (100_000, len(times)))
    z = draws.cumsum(axis=1) / np.sqrt(times)
    crossed = np.abs(z) >= np.array(early.bounds)
    first = crossed.argmax(axis=1)
    passed = crossed.any(axis=1) & (z[np.arange(len(z)), first] > 0)
    assert passed.mean() == pytest.approx(early.power(drift), abs=4 * math.sqrt(0.25 / len(z)))
