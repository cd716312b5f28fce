"""Comparisons as sentences that need no statistics to be read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever.analysis.compare import Comparison, NonInferiority
    from thirdlever.analysis.stats.variance import Variance

_Z95 = 1.96
_MOST_ITEMS = 10_000_000  # nobody labels more to settle one question


def points(share: float) -> str:
    """A share in points, signed: +4.4."""
    return f"{100 * share:+.1f}" if round(100 * share, 1) else "0.0"


def p_value(p: float) -> str:
    """Two digits: 0.027; what is smaller than 0.0001 says so."""
    if p < 0.0001:  # noqa: PLR2004 - as journals do
        return "<0.0001"
    return f"{p:.1f}" if p > 0.995 else f"{p:.2g}"  # noqa: PLR2004 - it rounds to 1


def difference(one: Comparison, name: Callable[[str], str], family: int) -> str:
    """Who was right where, by how much, how sure that is, and what the items could have shown."""
    a, b = name(one.a), name(one.b)
    return " ".join([_flips(one, a, b), _size(one, b), _luck(one, family), _reach(one)])


def loss(found: NonInferiority, name: Callable[[str], str]) -> str:
    """Whether one may take the other's place."""
    candidate, reference, margin = name(found.candidate), name(found.reference), _plain(found.margin)
    if found.holds:
        return f"{candidate} may replace {reference}: a loss of {margin} or more is ruled out (95 % sure)."
    bound = f"it may be {_plain(-found.low)} worse" if found.low < 0 else "the items are too few"
    return (
        f"That {candidate} is less than {margin} worse than {reference} is not shown: {bound}. "
        f"About {found.needed:,} items would show it, were the two equally good."
    )


def spread(one: Variance, name: Callable[[str], str]) -> str:
    """How far one run of a recipe can mislead."""
    seeds = len(one.candidates)
    return (
        f"{name(one.recipe)} was tried with {seeds} seeds and scored "
        f"{100 * one.lowest:.1f} to {100 * one.highest:.1f} %. "
        f"One such run is off by up to {_plain(_Z95 * one.se_one)} (95 % of the time): "
        f"{_plain(_Z95 * one.se_items)} from the choice of items, "
        f"{_plain(_Z95 * one.se_seeds)} from the draw of its {one.source}, which no interval of one run can see. "
        f"The mean of all {seeds} is {100 * one.mean:.1f} %, give or take {_plain(_Z95 * one.se_all)}."
    )


def _flips(one: Comparison, a: str, b: str) -> str:
    if not one.won + one.lost:
        return f"{b} and {a} do equally well on every item."
    if one.epochs == 1 and not one.graded:
        return f"{b} is right on {_items(one.won)} where {a} is wrong, and wrong on {one.lost:,} where {a} is right."
    return f"{b} does better than {a} on {_items(one.won)}, and worse on {one.lost:,}."


def _size(one: Comparison, b: str) -> str:
    """The difference and its interval, in the direction that is observed."""
    sign = -1 if one.difference < 0 else 1
    better, worse = ("worse", "better") if sign < 0 else ("better", "worse")
    near, far = sorted((sign * one.low, sign * one.high))
    between = f"{_plain(far)} {better}" if near >= 0 else f"{_plain(-near)} {worse} to {_plain(far)} {better}"
    between = f"{_plain(near)} to {between}" if near >= 0 else between
    what = f"{_plain(abs(one.difference))} {better}" if one.difference else "exactly as good"
    return f"So {b} is {what} here; on other such items it would be {between} ({100 * one.confidence:g} % sure)."


def _luck(one: Comparison, family: int) -> str:
    odds = _odds(one.p)
    if one.p <= 0.05 < one.p_adjusted:  # noqa: PLR2004 - the usual level
        return (
            f"Luck alone would part two equals so far in {odds}; but among {family} comparisons "
            f"one like it is no rarity (adjusted p {p_value(one.p_adjusted)}): the difference is not proven."
        )
    verdict = "the difference is real" if one.significant() else "the difference is not proven"
    among = f", {p_value(one.p_adjusted)} among {family} comparisons" if family > 1 else ""
    return f"Luck alone would part two equals so far in {odds} (p {p_value(one.p)}{among}): {verdict}."


def _reach(one: Comparison) -> str:
    if one.significant():
        return ""
    reach = f"So many items reliably show differences from {_plain(one.mde)} on"
    if math.isnan(one.mde):
        reach = "So few items cannot show any difference"
    if not one.difference or (more := one.needed(abs(one.difference))) > _MOST_ITEMS:
        return f"{reach}; not proven is not the same as equal."
    return f"{reach}; for {_plain(abs(one.difference))} it takes about {more:,}. Not proven is not the same as equal."


def _odds(p: float) -> str:
    if p < 0.0001:  # noqa: PLR2004 - as p_value
        return "fewer than 1 of 10,000 cases"
    return f"{100 * p:.2g} % of cases" if p < 0.995 else "every case"  # noqa: PLR2004 - it rounds to 100


def _plain(share: float) -> str:
    return f"{abs(100 * share):.1f} points"


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"
