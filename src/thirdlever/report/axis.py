"""What the chart's candidates are held against: cost where all of it is known, else latency, on a log scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import pandas as pd

_MOST_TICKS = 8
_COLUMN = 0.15  # width of the column for nought, as a share of the scale beside it


@dataclass(frozen=True, slots=True)
class Axis:
    """A horizontal scale with every candidate's place on it.

    Attributes:
        title: what accuracy is held against, for the heading; "" when against nothing.
        caption: the scale's name and unit.
        shown: for each candidate whether it has a place.
        positions: the places of those that do.
        limits: ends of the scale.
        ticks: (position, label).
        broken_at: where the scale breaks off; left of it is the column for nought, which a log scale lacks.
        notes: what a reader must know of those without a place.
    """

    title: str
    caption: str
    shown: Sequence[bool]
    positions: Sequence[float]
    limits: tuple[float, float]
    ticks: Sequence[tuple[float, str]] = ()
    broken_at: float | None = None
    notes: Sequence[str] = ()

    @property
    def ordered(self) -> bool:
        """Whether left is better, so that a Pareto front means something."""
        return bool(self.title)


def choose(summary: pd.DataFrame) -> Axis:
    """Cost per 1,000 requests when every candidate's is known and money is spent at all; else latency; else nothing."""
    rated = summary["accuracy"].notna()
    cost, latency = summary["cost_per_1k_usd"], summary["latency_p50_s"]
    priced = (cost[rated] > 0).any()
    notes = _missing("Not shown, without any answer", summary, ~rated)
    if priced and cost[rated].notna().all():
        return _cost(summary, rated, notes)
    if latency[rated].notna().any():
        if cost[rated].isna().all():
            notes = ["Cost is unknown, so latency stands in for it.", *notes]
        elif cost[rated].isna().any():
            notes = _missing("Latency stands in for cost, unknown for", summary, rated & cost.isna()) + notes
        notes += _missing("Not shown, without a latency", summary, rated & latency.isna())
        return _latency(summary, rated & latency.notna(), notes)
    if priced:
        notes += _missing("Not shown, without a known cost", summary, rated & cost.isna())
        return _cost(summary, rated & cost.notna(), notes)
    count = int(rated.sum())
    caption = "" if summary.empty else "Neither cost nor latency is known"
    return Axis("", caption, rated.to_list(), range(1, count + 1), (0.3, count + 0.7), notes=notes)


def _cost(summary: pd.DataFrame, shown: pd.Series[bool], notes: Sequence[str]) -> Axis:
    values = summary.loc[shown, "cost_per_1k_usd"].to_list()
    low, high = limits([value for value in values if value > 0])
    marks, broken_at = ticks(low, high, _dollars), None
    if 0 in values:
        decades = math.log10(high / low) * _COLUMN
        nought, broken_at = low / 10 ** (decades / 2), low
        low /= 10**decades
        values = [value or nought for value in values]
        marks = [(nought, "$0"), *marks]
    caption = "USD per 1,000 requests (log scale)"
    return Axis("cost", caption, shown.to_list(), values, (low, high), marks, broken_at, notes)


def _latency(summary: pd.DataFrame, shown: pd.Series[bool], notes: Sequence[str]) -> Axis:
    values = [max(value, 1e-6) for value in summary.loc[shown, "latency_p50_s"]]  # a clock may not see less
    ends = limits(values)
    caption = "Median latency of single requests (log scale)"
    return Axis("latency", caption, shown.to_list(), values, ends, ticks(*ends, seconds), notes=notes)


def _missing(why: str, summary: pd.DataFrame, which: pd.Series[bool]) -> list[str]:
    names = [printable(name) for name in summary.loc[which, "candidate"]]
    return [f"{why}: {', '.join(names)}."] if names else []


def limits(values: Iterable[float]) -> tuple[float, float]:
    """Ends of a log scale with room for names, and a decade at least: a smaller one would magnify nothing."""
    ends = [math.log10(value) for value in values]
    low, high = min(ends), max(ends)
    room = max(0.12 * (high - low), (1 - (high - low)) / 2, 0.1)
    return 10 ** (low - room), 10 ** (high + room)


def ticks(
    low: float, high: float, label: Callable[[float], str], *, most: int = _MOST_TICKS
) -> list[tuple[float, str]]:
    """(position, label) at 1, 2, 5 of a decade; where those are too many, decades; where those are, every so many."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        values = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(values) <= most:
            break
    return [(value, label(value)) for value in values[:: math.ceil(len(values) / most)]]


def _dollars(value: float) -> str:
    decimals = 0 if value >= 1 else max(2, -math.floor(math.log10(value) + 1e-9))  # 1e-9: 0.001 is not quite 10^-3
    return f"${value:,.{decimals}f}"


def seconds(value: float) -> str:
    """A round number and a unit."""
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= size * (1 - 1e-9):
            return f"{value / size:,.0f} {unit}"
    return f"{value / 1e-6:,.0f} µs"
