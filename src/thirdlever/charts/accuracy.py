"""What the chart's candidates are held against: cost where all of it is known, else latency, on a log scale."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.scorecards import rows
from thirdlever.charts import style
from thirdlever.charts import style as files
from thirdlever.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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


_HEIGHT = 3.12  # inches of the frame
_FEW = 4  # ticks on a narrow sheet
_AT_THE_END = 0.97  # of the axis: a label centred under a tick there would stick out
_NAME, _NARROW_NAME = (26, 3), (18, 4)  # characters a line, lines


@dataclass(frozen=True, slots=True)
class _Point:
    """One candidate in the chart; accuracy and the ends of its interval in percent."""

    name: str
    strategy: str
    x: float
    accuracy: float
    low: float
    high: float
    front: bool


def draw(summary: pd.DataFrame, folder: Path, *, suite: str = "", date: str = "") -> None:
    """Write `chart.png` and `chart.svg`, each whole or not at all.

    Args:
        summary: what `scorecards` returns.
        folder: the run's.
        suite: its name, for the heading.
        date: of the run, for the heading.

    Raises:
        OSError: the folder cannot be written.
    """
    files.save(picture(summary, suite=suite, date=date), folder)


def picture(summary: pd.DataFrame, *, suite: str = "", date: str = "") -> style.Picture:
    """The chart with its words, for a page."""
    axis = choose(summary)
    points = _points(summary, axis)
    counts = sorted(set(summary["n"]))
    items = "–".join(f"{n:,}" for n in counts[:: max(1, len(counts) - 1)])
    title = f"Accuracy against {axis.title}" if axis.title else "Accuracy"
    under = style.heading(suite, f"{items} test items" if items else "", date)
    notes = _notes(axis, points)
    said = (f"{printable(p.name)} {p.accuracy:.1f} % ({p.low:.1f} to {p.high:.1f})" for p in points)
    alt = f"{title}: {'; '.join(said)}. {notes[-1] if notes else ''}".strip()
    draw = partial(_figure, axis, points, title=title, under=under, notes=notes)
    return style.Picture("chart", title, under, notes, alt, draw)


def figure(summary: pd.DataFrame, *, suite: str = "", date: str = "") -> Figure:
    """The chart as a matplotlib figure, for a notebook."""
    return picture(summary, suite=suite, date=date).draw(style.FILE)


def pareto(points: Iterable[tuple[float, float]]) -> list[bool]:
    """Which of the points (x, y) no other beats: none is as low in x and as high in y, and better in one of them."""
    points = list(points)
    return [not any(a <= x and b >= y and (a, b) != (x, y) for a, b in points) for x, y in points]


def _points(summary: pd.DataFrame, axis: Axis) -> list[_Point]:
    shown = rows(summary[axis.shown])
    if axis.ordered:
        fronts = pareto((x, row["accuracy"]) for x, row in zip(axis.positions, shown, strict=True))
    else:
        fronts = [False] * len(shown)
    return [
        _Point(row["candidate"], row["strategy"], x, 100 * row["accuracy"], 100 * low, 100 * high, front)
        for row, x, front in zip(shown, axis.positions, fronts, strict=True)
        for low, high in [row["accuracy_ci95"]]
    ]


def _notes(axis: Axis, points: Sequence[_Point]) -> list[str]:
    """What the marks mean, and what a reader must know of the scale."""
    notes = [*axis.notes, "Bars: 95 % intervals."] if points else list(axis.notes)
    if axis.ordered:
        marks = "Line and filled marks" if sum(p.front for p in points) > 1 else "Filled marks"
        notes.append(f"{marks}: the Pareto front, more accuracy only for more {axis.title}.")
    return notes


def _figure(
    axis: Axis, points: Sequence[_Point], sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]
) -> Figure:
    left, right = (0.48, 0.2) if sheet.worded else (0.3, 0.06)
    height = _HEIGHT * (1.25 if sheet.narrow else 1)
    chart, axes = style.blank(sheet, height, left=left, right=right, top=0.32, bottom=0.56, notes=notes)
    _scales(axes, axis, points, few=sheet.narrow)
    _front(axes, points)
    _marks(axes, points)
    _names(axes, points, *(_NARROW_NAME if sheet.narrow else _NAME))
    at = (-left + (0.16 if sheet.worded else 0)) / (sheet.width - left - right)
    axes.text(at, 1 + 0.1 / height, "Accuracy, %", transform=axes.transAxes, fontsize=9, color=style.QUIET, va="bottom")
    style.words(chart, sheet, title=title, under=under, notes=notes)
    return chart


def _scales(axes: Axes, axis: Axis, points: Sequence[_Point], *, few: bool) -> None:
    """Scales, ticks and grid, with as little ink as will do."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    axes.set_xscale("log" if axis.ordered else "linear")
    axes.set_xlim(*axis.limits)
    axes.xaxis.set_minor_locator(NullLocator())
    marks = axis.ticks[:: -(-len(axis.ticks) // _FEW)] if few and axis.ticks else axis.ticks
    axes.xaxis.set_major_locator(FixedLocator([x for x, _ in marks]))
    labels = axes.set_xticklabels([label for _, label in marks])
    if marks and axes.transAxes.inverted().transform(axes.transData.transform((marks[-1][0], 0)))[0] > _AT_THE_END:
        labels[-1].set_horizontalalignment("right")
    # From a little under the lowest interval to a little over the highest, 10 points at least.
    low, high = min((p.low for p in points), default=0.0), max((p.high for p in points), default=100.0)
    margin = max(0.09 * (high - low), (10 - (high - low)) / 2, 1.0)
    axes.set_ylim(low - margin, high + margin)
    ticks = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(*axes.get_ylim())
    ticks = [tick for tick in ticks if 0 <= tick <= 100 and low - margin <= tick <= high + margin]  # noqa: PLR2004
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_yticklabels([f"{tick:g}" for tick in ticks])
    axes.grid(axis="y", color=style.GRID, linewidth=0.8)
    style.bare(axes)
    axes.set_xlabel(axis.caption, fontsize=9, color=style.QUIET, loc="right", labelpad=5)
    if axis.broken_at:
        axes.axvspan(axis.limits[0], axis.broken_at, color=style.BAND, linewidth=0, zorder=0)
        cut: dict[str, Any] = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.5}
        look: dict[str, Any] = {"bbox": cut, "color": style.QUIET, "transform": axes.get_xaxis_transform()}
        axes.text(axis.broken_at, 0, "//", ha="center", va="center", fontsize=10, zorder=5, **look)


def _front(axes: Axes, points: Sequence[_Point]) -> None:
    """The best accuracy to be had at each cost, as a step line."""
    steps = sorted((p.x, p.accuracy) for p in points if p.front)
    look: dict[str, Any] = {"drawstyle": "steps-post", "color": style.LINE, "linewidth": 1.2}
    axes.plot([x for x, _ in steps], [y for _, y in steps], zorder=2, gid="front", **look)


def _marks(axes: Axes, points: Sequence[_Point]) -> None:
    """A mark and an interval a candidate: filled on the front, hollow behind it."""
    looks = style.styles(p.strategy for p in points)
    for p in points:
        shape, colour = looks[p.strategy]
        if p.front:
            look: dict[str, Any] = {"markersize": 9, "mfc": colour, "mec": style.INK, "mew": 0.8}
        else:
            look = {"markersize": 7.5, "mfc": style.PAPER, "mec": colour, "mew": 1.5}
        axes.plot([p.x] * 2, [p.low, p.high], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3, gid="bar")
        axes.plot([p.x], [p.accuracy], marker=shape, linestyle="none", zorder=4, gid="mark", **look)


def _names(axes: Axes, points: Sequence[_Point], width: int, lines: int) -> None:
    """Each candidate's name beside its mark.

    Distances are pixels while places are sought, and shares of the axes when they are kept: an SVG has other pixels.
    """
    from matplotlib.patheffects import withStroke

    from thirdlever.charts.style import Box, place

    chart: Any = axes.figure
    renderer = chart.canvas.get_renderer()
    unit = chart.dpi / 72  # pixels a typographic point
    marks, sizes, texts, hard = [], [], [], []
    for p in points:
        (x, y), (_, y0), (_, y1) = axes.transData.transform([(p.x, p.accuracy), (p.x, p.low), (p.x, p.high)])
        hard += [Box(x, y, x, y).grown(5.5 * unit), Box(x, y0, x, y1).grown(1.5 * unit)]
        look: dict[str, Any] = {"color": style.INK, "weight": "bold"} if p.front else {"color": style.QUIET}
        look |= {"path_effects": [withStroke(linewidth=2.5, foreground=style.PAPER)], "parse_math": False}
        text = axes.text(
            0,
            0,
            style.label(p.name, width, lines),
            transform=axes.transAxes,
            fontsize=8.5,
            linespacing=1.15,
            va="bottom",
            zorder=6,
            gid="name",
            **look,
        )
        extent = text.get_window_extent(renderer)
        marks.append((float(x), float(y)))
        sizes.append((extent.width + 2 * unit, extent.height + 2 * unit))
        texts.append(text)
    inside = Box(*axes.get_window_extent(renderer).extents)
    bounds = inside.grown(-2 * unit)._replace(y1=inside.y1 + 10 * unit)  # above is only the caption, far left
    soft = [Box(*corners).grown(unit) for corners in _segments(axes)]
    spots = place(marks, sizes, bounds=bounds, hard=hard, soft=soft, gap=8 * unit)
    to_axes = axes.transAxes.inverted()
    for text, spot, (x, _) in zip(texts, spots, marks, strict=True):
        text.set_multialignment("right" if spot.box.x1 < x else "left")
        text.set_position(tuple(to_axes.transform((spot.box.x0 + unit, spot.box.y0 + unit))))
        if spot.leader:
            ends = to_axes.transform([spot.leader[:2], spot.leader[2:]])
            axes.plot(*ends.T, transform=axes.transAxes, color=style.LINE, linewidth=0.6, zorder=2.5, gid="leader")


def _segments(axes: Axes) -> list[tuple[float, float, float, float]]:
    """The front's horizontals and verticals, in pixels, lower left corner first."""
    paths = [axes.transData.transform(line.get_xydata()) for line in axes.lines if line.get_gid() == "front"]
    found = []
    for (x0, y0), (x1, y1) in (pair for path in paths for pair in itertools.pairwise(path)):
        found += [(x0, y0, x1, y0), (x1, min(y0, y1), x1, max(y0, y1))]
    return found
