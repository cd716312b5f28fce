"""The chart of accuracy against cost; against latency where a cost is unknown. Both on a log scale."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.scorecards import rows
from thirdlever.charts import style
from thirdlever.core.text import escape_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


_MOST_TICKS, _FEW_TICKS = 8, 4  # the latter on a narrow sheet
_COLUMN = 0.15  # width of the column for $0, as a share of the scale beside it
_LEAST_S = 1e-6  # a clock may measure 0
_KEY = 0.2  # inches between the axes and the key of the models, for names
_HEIGHT = 3.12  # inches of the axes
AT_THE_END = 0.97  # of the axis: from here on, a centred tick label would stick out
_MODEL = 24  # characters of a model's name in the key
_NAME, _NARROW_NAME = (26, 3), (18, 4)  # characters per line, lines


@dataclass(frozen=True, slots=True)
class Axis:
    """A horizontal scale with every candidate's place on it.

    Attributes:
        title: "cost" or "latency"; "" if both are unknown.
        caption: the scale's name and unit.
        shown: for each candidate, whether it has a place.
        positions: the places of those that have one.
        limits: ends of the scale.
        ticks: (position, label).
        broken_at: where the scale is broken; to the left is a column for $0, which a log scale lacks.
        notes: why the scale is what it is, and which candidates have no place.
    """

    title: str
    caption: str
    shown: Sequence[bool]
    positions: Sequence[float]
    limits: tuple[float, float]
    ticks: Sequence[tuple[float, str]] = ()
    broken_at: float | None = None
    notes: Sequence[str] = ()


def choose(summary: pd.DataFrame) -> Axis:
    """Cost per 1,000 requests if every candidate's is known and not all are 0; else latency; else neither."""
    rated = summary["accuracy"].notna()
    cost, latency = summary["cost_per_1k_usd"], summary["latency_p50_s"]
    priced = (cost[rated] > 0).any()
    notes = _naming("Not shown (not measured)", summary, ~rated)
    if priced and cost[rated].notna().all():
        return _cost(summary, rated, notes)
    if latency[rated].notna().any():
        if cost[rated].isna().all():
            notes = ["The cost is unknown, so latency is shown instead.", *notes]
        else:
            notes = _naming("Latency is shown because the cost is unknown for", summary, rated & cost.isna()) + notes
        notes += _naming("Not shown (no latency measured)", summary, rated & latency.isna())
        return _latency(summary, rated & latency.notna(), notes)
    if priced:
        notes += _naming("Not shown (cost unknown)", summary, rated & cost.isna())
        return _cost(summary, rated & cost.notna(), notes)
    count = int(rated.sum())
    caption = "" if summary.empty else "Cost and latency are unknown"
    return Axis("", caption, rated.to_list(), range(1, count + 1), (0.3, count + 0.7), notes=notes)


def _cost(summary: pd.DataFrame, shown: pd.Series[bool], notes: Sequence[str]) -> Axis:
    values = summary.loc[shown, "cost_per_1k_usd"].to_list()
    low, high = limits([value for value in values if value > 0])
    marks, broken_at = ticks(low, high, dollars), None
    if 0 in values:
        decades = math.log10(high / low) * _COLUMN
        zero, broken_at = low / 10 ** (decades / 2), low
        low /= 10**decades
        values = [value or zero for value in values]
        marks = [(zero, "$0"), *marks]
    caption = "USD per 1,000 requests (log scale)"
    return Axis("cost", caption, shown.to_list(), values, (low, high), marks, broken_at, notes)


def _latency(summary: pd.DataFrame, shown: pd.Series[bool], notes: Sequence[str]) -> Axis:
    values = [max(value, _LEAST_S) for value in summary.loc[shown, "latency_p50_s"]]
    ends = limits(values)
    how = "as stated by its file" if summary["imported"].notna().all() else "one request at a time"
    caption = f"Median latency, {how} (log scale)"
    return Axis("latency", caption, shown.to_list(), values, ends, ticks(*ends, seconds), notes=notes)


def _naming(why: str, summary: pd.DataFrame, which: pd.Series[bool]) -> list[str]:
    names = [escape_terminal(name) for name in summary.loc[which, "candidate"]]
    return [f"{why}: {', '.join(names)}."] if names else []


def limits(values: Iterable[float]) -> tuple[float, float]:
    """Ends of a log scale with room for names. It spans a decade at least, so that small differences look small."""
    ends = [math.log10(value) for value in values]
    low, high = min(ends), max(ends)
    room = max(0.12 * (high - low), (1 - (high - low)) / 2, 0.1)
    return 10 ** (low - room), 10 ** (high + room)


def ticks(
    low: float, high: float, label: Callable[[float], str], *, most: int = _MOST_TICKS
) -> list[tuple[float, str]]:
    """At most so many (position, label): at 1, 2 and 5 of each decade, else at decades, else at every nth decade."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1,)):
        values = [step * 10.0**decade for decade in decades for step in steps if low <= step * 10.0**decade <= high]
        if len(values) <= most:
            break
    return [(value, label(value)) for value in values[:: math.ceil(len(values) / most)]]


def dollars(value: float) -> str:
    """A round amount on a scale."""
    decimals = 0 if value >= 1 else max(2, -math.floor(math.log10(value) + 1e-9))  # 1e-9: 0.001 is not quite 10^-3
    return f"${value:,.{decimals}f}"


def seconds(value: float) -> str:
    """A round number of s, ms or µs."""
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= size * (1 - 1e-9):
            return f"{value / size:,.0f} {unit}"
    return f"{value / 1e-6:,.0f} µs"


@dataclass(frozen=True, slots=True)
class Mark:
    """One candidate in a chart; accuracy and the ends of its interval in percent.

    Attributes:
        base: its base model, if the chart has several; its name is then without it, and its colour is the model's.
    """

    name: str
    base: str
    strategy: str
    x: float
    accuracy: float
    low: float
    high: float
    front: bool


def draw(summary: pd.DataFrame, folder: Path, *, suite: str = "", date: str = "") -> None:
    """Write the chart of the scorecards to `chart.png` and `chart.svg`, each whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    style.save(picture(summary, suite=suite, date=date), folder)


def picture(summary: pd.DataFrame, *, suite: str = "", date: str = "") -> style.Picture:
    """The chart with its words, for a page."""
    axis = choose(summary)
    points = _points(summary, axis)
    counts = sorted(set(summary["n"]))
    items = "–".join(f"{n:,}" for n in counts[:: max(1, len(counts) - 1)])
    title = f"Accuracy against {axis.title}" if axis.title else "Accuracy"
    under = style.heading(suite, f"{items} test items" if items else "", date)
    notes = [*axis.notes, "Bars: 95 % intervals."] if points else list(axis.notes)
    if axis.title:
        marks = "Line and filled marks" if sum(p.front for p in points) > 1 else "Filled marks"
        notes.append(f"{marks}: the Pareto front (no other candidate is better on both accuracy and {axis.title}).")
    if len(_bases(points)) > 1:
        notes.append("Dotted: the same strategy on different models.")
    values = (f"{escape_terminal(_whole(p))} {p.accuracy:.1f} % ({p.low:.1f} to {p.high:.1f})" for p in points)
    alt = f"{title}: {'; '.join(values)}. {notes[-1] if notes else ''}".strip()
    draw = partial(_figure, axis, points, title=title, under=under, notes=notes)
    return style.Picture("chart", title, under, notes, alt, draw)


def pareto(points: Iterable[tuple[float, float]]) -> list[bool]:
    """Whether each point (x, y) is on the front: no other is at least as low in x and as high in y, and differs."""
    points = list(points)
    return [not any(a <= x and b >= y and (a, b) != (x, y) for a, b in points) for x, y in points]


def _points(summary: pd.DataFrame, axis: Axis) -> list[Mark]:
    shown = rows(summary[axis.shown])
    places = ((x, row["accuracy"]) for x, row in zip(axis.positions, shown, strict=True))
    fronts = pareto(places) if axis.title else [False] * len(shown)
    return [
        Mark(name, base, row["strategy"], x, 100 * row["accuracy"], 100 * low, 100 * high, front)
        for row, x, front in zip(shown, axis.positions, fronts, strict=True)
        for low, high in [row["accuracy_ci95"]]
        for name, _, base in [row["candidate"].partition(" @ ")]
    ]


def _figure(
    axis: Axis, points: Sequence[Mark], sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]
) -> Figure:
    left, right = (0.48, 0.2) if sheet.worded else (0.3, 0.06)
    height = _HEIGHT * (1.25 if sheet.narrow else 1)
    top = 0.32 + (_KEY if len(_bases(points)) > 1 else 0)
    chart, axes = style.blank(sheet, height, left=left, right=right, top=top, bottom=0.56, notes=notes)
    _scales(axes, axis, points, few=sheet.narrow)
    _front(axes, points)
    _joined(axes, points)
    _marks(axes, points)
    _models(axes, points, 1 + _KEY / height)
    names(axes, points, *(_NARROW_NAME if sheet.narrow else _NAME))
    at = (-left + (0.16 if sheet.worded else 0)) / (sheet.width - left - right)
    axes.text(at, 1 + 0.1 / height, "Accuracy, %", transform=axes.transAxes, fontsize=9, color=style.QUIET, va="bottom")
    style.words(chart, sheet, title=title, under=under, notes=notes)
    return chart


def _scales(axes: Axes, axis: Axis, points: Sequence[Mark], *, few: bool) -> None:
    """Scales, ticks and grid."""
    from matplotlib.ticker import MaxNLocator, NullLocator

    style.bare(axes)
    axes.set_xscale("log" if axis.title else "linear")
    axes.set_xlim(*axis.limits)
    axes.xaxis.set_minor_locator(NullLocator())
    marks = axis.ticks[:: -(-len(axis.ticks) // _FEW_TICKS)] if few and axis.ticks else axis.ticks
    labels = axes.set_xticks([x for x, _ in marks], [label for _, label in marks])
    if marks and axes.transAxes.inverted().transform(axes.transData.transform((marks[-1][0], 0)))[0] > AT_THE_END:
        labels[-1].label1.set_horizontalalignment("right")
    # From a little under the lowest interval to a little over the highest, 10 points at least.
    low, high = min((p.low for p in points), default=0.0), max((p.high for p in points), default=100.0)
    margin = max(0.09 * (high - low), (10 - (high - low)) / 2, 1.0)
    axes.set_ylim(low - margin, high + margin)
    values = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(*axes.get_ylim())
    axes.set_yticks([y for y in values if max(0, low - margin) <= y <= min(100, high + margin)])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=style.GRID, linewidth=0.8)
    axes.set_xlabel(axis.caption, fontsize=9, color=style.QUIET, loc="right", labelpad=5)
    if axis.broken_at:
        axes.axvspan(axis.limits[0], axis.broken_at, color=style.BAND, linewidth=0, zorder=0)
        cut: dict[str, Any] = {"facecolor": style.PAPER, "edgecolor": "none", "pad": 0.5}
        look: dict[str, Any] = {"bbox": cut, "color": style.QUIET, "transform": axes.get_xaxis_transform()}
        axes.text(axis.broken_at, 0, "//", ha="center", va="center", fontsize=10, zorder=5, **look)


def _front(axes: Axes, points: Sequence[Mark]) -> None:
    """The best accuracy at each cost, as a step line."""
    steps = sorted((p.x, p.accuracy) for p in points if p.front)
    look: dict[str, Any] = {"drawstyle": "steps-post", "color": style.LINE, "linewidth": 1.2}
    axes.plot([x for x, _ in steps], [y for _, y in steps], zorder=2, gid="front", **look)


def _whole(point: Mark) -> str:
    return f"{point.name} @ {point.base}" if point.base else point.name


def _bases(points: Sequence[Mark]) -> dict[str, str]:
    """Colour of each base model."""
    names = dict.fromkeys(point.base for point in points if point.base)
    return dict(zip(names, itertools.cycle(style.MODELS)))


def _joined(axes: Axes, points: Sequence[Mark]) -> None:
    """A line through the marks of each strategy that ran on several models."""
    look: dict[str, Any] = {"color": style.LINE, "linewidth": 0.9, "linestyle": (0, (1.2, 2))}
    for name in dict.fromkeys(point.name for point in points):
        same = sorted((p.x, p.accuracy) for p in points if p.name == name and p.base)
        if len(same) > 1:
            axes.plot([x for x, _ in same], [y for _, y in same], zorder=1.8, gid="joined", **look)


def _models(axes: Axes, points: Sequence[Mark], bottom: float) -> None:
    """Which colour is which model, if there are several; above the names, at this share of the axes' height."""
    colours = _bases(points)
    if len(colours) < 2:  # noqa: PLR2004 - one colour needs no key
        return
    style.colour_key(axes, [(_shortened(base), colour) for base, colour in colours.items()], bottom)


def _shortened(base: str) -> str:
    return escape_terminal(base if len(base) <= _MODEL else f"…{base[1 - _MODEL :]}")


def _marks(axes: Axes, points: Sequence[Mark]) -> None:
    """Each candidate's mark and interval; marks on the front are filled."""
    looks = style.styles(p.strategy for p in points)
    models = _bases(points)
    for p in points:
        shape, colour = looks[p.strategy]
        if len(models) > 1:
            colour = models.get(p.base, style.QUIET)
        if p.front:
            look: dict[str, Any] = {"markersize": 9, "mfc": colour, "mec": style.INK, "mew": 0.8}
        else:
            look = {"markersize": 7.5, "mfc": style.PAPER, "mec": colour, "mew": 1.5}
        axes.plot([p.x] * 2, [p.low, p.high], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3, gid="bar")
        axes.plot([p.x], [p.accuracy], marker=shape, linestyle="none", zorder=4, gid="mark", **look)


def names(
    axes: Axes,
    points: Sequence[Mark],
    width: int,
    lines: int,
    *,
    shown: Sequence[bool] | None = None,
    colours: Sequence[str | None] | None = None,
) -> None:
    """Write each candidate's name near its mark.

    Places are found in pixels and kept as shares of the axes, for the SVG.

    Args:
        axes: with their final limits.
        points: the candidates; those on the front are in bold.
        width: characters of a line of a name.
        lines: of a name, at most.
        shown: which points have a name; all if None. Names cover no mark in any case.
        colours: of the names; None for the usual one.
    """
    from matplotlib.patheffects import withStroke

    chart: Any = axes.figure
    renderer = chart.canvas.get_renderer()
    unit = chart.dpi / 72  # pixels a typographic point
    marks, sizes, texts, hard = [], [], [], []
    hard += [style.Box(*text.get_window_extent(renderer).extents) for text in axes.texts]
    for i, p in enumerate(points):
        (x, y), (_, y0), (_, y1) = axes.transData.transform([(p.x, p.accuracy), (p.x, p.low), (p.x, p.high)])
        hard += [style.Box(x, y, x, y).grown(5.5 * unit), style.Box(x, y0, x, y1).grown(1.5 * unit)]
        if shown is not None and not shown[i]:
            continue
        look: dict[str, Any] = {"color": style.INK, "weight": "bold"} if p.front else {"color": style.QUIET}
        if colours and colours[i]:
            look["color"] = colours[i]
        look |= {"path_effects": [withStroke(linewidth=2.5, foreground=style.PAPER)], "parse_math": False}
        text = axes.text(
            0,
            0,
            "\n".join(style.label(part, width, lines) for part in p.name.split("\n")),
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
    inside = style.Box(*axes.get_window_extent(renderer).extents)
    bounds = inside.grown(-2 * unit)._replace(y1=inside.y1 + 10 * unit)  # above the axes is only the caption, far left
    soft = [style.Box(*corners).grown(unit) for corners in _segments(axes, "front")]
    hard += [style.Box(*corners).grown(unit) for corners in _segments(axes, "target")]
    spots = style.place(marks, sizes, bounds=bounds, hard=hard, soft=soft, gap=8 * unit)
    to_axes = axes.transAxes.inverted()
    for text, spot, (x, _) in zip(texts, spots, marks, strict=True):
        text.set_multialignment("right" if spot.box.x1 < x else "left")
        text.set_position(tuple(to_axes.transform((spot.box.x0 + unit, spot.box.y0 + unit))))
        if spot.leader:
            ends = to_axes.transform([spot.leader[:2], spot.leader[2:]])
            axes.plot(*ends.T, transform=axes.transAxes, color=style.LINE, linewidth=0.6, zorder=2.5, gid="leader")


def _segments(axes: Axes, gid: str) -> list[tuple[float, float, float, float]]:
    """A line's horizontals and verticals, in pixels, lower left corner first."""
    paths = [axes.transData.transform(line.get_xydata()) for line in axes.lines if line.get_gid() == gid]
    found = []
    for (x0, y0), (x1, y1) in (pair for path in paths for pair in itertools.pairwise(path)):
        found += [(x0, y0, x1, y0), (x1, min(y0, y1), x1, max(y0, y1))]
    return found
