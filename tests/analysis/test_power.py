from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from thirdlever.analysis.stats import intervals
from thirdlever.analysis.stats.power import Design, mcnemar_power, normal_power

BANKING = Design(0.084)  # 21 flips of 250 items


def by_definition(n: int, discordant: float, difference: float) -> float:
    """Power of the exact McNemar test, table by table."""
    won, lost = (discordant + difference) / 2, (discordant - difference) / 2
    power = 0.0
    for b, c in itertools.product(range(n + 1), repeat=2):
        if b + c <= n and intervals.mcnemar(b, c) <= 0.05:
            ways = math.factorial(n) // math.factorial(b) // math.factorial(c) // math.factorial(n - b - c)
            power += ways * won**b * lost**c * (1 - discordant) ** (n - b - c)
    return power


@pytest.mark.parametrize(("n", "discordant", "difference"), [(20, 0.4, 0.3), (16, 0.3, 0.3), (24, 0.4, 0.05)])
def test_power_matches_its_definition(n: int, discordant: float, difference: float) -> None:
    assert mcnemar_power(n, discordant, difference) == pytest.approx(by_definition(n, discordant, difference), abs=1e-9)


def test_normal_power_agrees_with_statsmodels() -> None:
    # Where the difference is small, its own square does not matter.
    theirs = NormalIndPower(ddof=0).power(0.001 / 0.3, 700_000, 0.05, ratio=0)
    assert normal_power(700_000, 0.09, 0.001) == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize(("difference", "published"), [(0.02, 1620), (0.03, 720), (0.05, 260)])
def test_the_exact_test_needs_more_items_than_published_tables(difference: float, published: int) -> None:
    usual = Design(0.0826, smooth=True).needed(difference)
    exact = BANKING.needed(difference)
    assert usual == pytest.approx(published, rel=0.03)
    assert published < exact < 1.12 * published


@pytest.mark.parametrize("design", [BANKING, Design(0.1, 1.6), Design(0.2, 0.4), Design(0.05, 0.3, smooth=True)])
def test_the_items_needed_are_the_minimum(design: Design) -> None:
    n = design.needed(0.04)
    assert design.power(n, 0.04) >= 0.8
    assert design.power(math.floor(n * 0.97), 0.04) < 0.8


def test_the_detectable_difference_needs_exactly_these_items() -> None:
    reach = BANKING.detectable(1000)
    assert BANKING.power(1000, reach) == pytest.approx(0.8, abs=1e-3)
    assert BANKING.needed(reach) == pytest.approx(1000, rel=0.02)


def test_more_items_detect_smaller_differences() -> None:
    reaches = [BANKING.detectable(n) for n in (50, 200, 1000, 20_000, 1_000_000)]
    assert reaches == sorted(reaches, reverse=True)
    assert reaches[-1] < 0.001


def test_a_handful_of_items_detects_nothing() -> None:
    assert math.isnan(Design(0.1).detectable(5))


def test_a_pair_that_never_differed_still_has_power() -> None:
    assert Design(0.0).detectable(100) == pytest.approx(0.079, abs=0.002)  # six flips of one kind


def test_equal_candidates_differ_significantly_in_at_most_5_percent() -> None:
    assert BANKING.power(1000, 0.0) <= 0.05


@pytest.mark.parametrize("difference", [0.0, 1.5])
def test_a_difference_outside_0_to_1_is_refused(difference: float) -> None:
    with pytest.raises(ValueError, match="difference"):
        BANKING.needed(difference)


def test_power_holds_in_simulation() -> None:
    n, rng = BANKING.needed(0.05), np.random.default_rng(0)
    won, lost = (0.084 + 0.05) / 2, (0.084 - 0.05) / 2
    tables = rng.multinomial(n, [won, lost, 1 - won - lost], 3000)
    flips, times = np.unique(tables[:, :2], axis=0, return_counts=True)
    found = [intervals.mcnemar(int(b), int(c)) <= 0.05 for b, c in flips]
    assert np.average(found, weights=times) == pytest.approx(0.8, abs=0.03)
