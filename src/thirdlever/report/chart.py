"""The chart of a run: accuracy with its interval against cost, and the Pareto front."""

from __future__ import annotations

import io
import itertools
import textwrap
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever import atomic
from thirdlever.report.axis import Axis, choose
from thirdlever.report.export import rows
from thirdlever.report.text import fold, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE, _DPI = (8.0, 5.2), 200  # inches, pixels per inch
_FRAME = (0.06, 0.185, 0.915, 0.6)  # left, bottom, width, height of the axes in the figure
_LEFT = 0.02  # of all text outside the axes
_INK, _QUIET, _LINE, _GRID, _BAND = "#1f1f1f", "#595959", "#9a9a9a", "#e4e4e4", "#f5f5f5"
_LABEL_WIDTH, _NOTE_WIDTH = 26, 145  # characters a line
_LABEL_LINES = 3
# Okabe and Ito's colours, which colour-blind readers can tell apart; shapes that say the same in grey, even hollow.
_STYLES = {
    "null": ("o", "#7f7f7f"),
    "zero_shot": ("v", "#56B4E9"),
    "few_shot": ("^", "#E69F00"),
    "long_context": ("D", "#CC79A7"),
    "rag": ("s", "#0072B2"),
    "lora": ("p", "#D55E00"),
    "managed": (">", "#009E73"),
    "distilled": ("<", "#000000"),
}
_OWN_SHAPES, _OWN_COLOUR = ("*", "h", "8", "d", "P", "X"), "#595959"
_SETTINGS: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same chart everywhere
    "svg.hashsalt": "thirdlever",  # the same file for the same run
}


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
    import matplotlib as mpl

    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # drawn as a box; the table has it
        mpl.rcdefaults()  # the reader's own style sheet is for the reader's own charts
        mpl.rcParams.update(_SETTINGS)
        chart = figure(summary, suite=suite, date=date)
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            buffer = io.BytesIO()
            chart.savefig(buffer, format=kind, dpi=_DPI, metadata=metadata)
            atomic.write(Path(folder, f"chart.{kind}"), buffer.getvalue())


def figure(summary: pd.DataFrame, *, suite: str = "", date: str = "") -> Figure:
    """The chart as a matplotlib figure, for a notebook."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    axis = choose(summary)
    points = _points(summary, axis)
    chart = Figure(figsize=_SIZE, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(chart)
    axes = chart.add_axes(_FRAME, facecolor="none")
    _scales(axes, axis, points)
    _front(axes, points)
    _marks(axes, points)
    _names(axes, points)
    counts = sorted(set(summary["n"]))
    items = "–".join(f"{n:,}" for n in counts[:: max(1, len(counts) - 1)])
    under = [printable(suite), f"{items} test items" if items else "", printable(date)]
    _words(chart, axis, points, " · ".join(filter(None, under)))
    return chart


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


def _scales(axes: Axes, axis: Axis, points: Sequence[_Point]) -> None:
    """Scales, ticks and grid, with as little ink as will do."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

    axes.set_xscale("log" if axis.ordered else "linear")
    axes.set_xlim(*axis.limits)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_locator(FixedLocator([x for x, _ in axis.ticks]))
    axes.set_xticklabels([label for _, label in axis.ticks])
    # From a little under the lowest interval to a little over the highest, 10 points at least.
    low, high = min((p.low for p in points), default=0.0), max((p.high for p in points), default=100.0)
    margin = max(0.09 * (high - low), (10 - (high - low)) / 2, 1.0)
    axes.set_ylim(low - margin, high + margin)
    ticks = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(*axes.get_ylim())
    ticks = [tick for tick in ticks if 0 <= tick <= 100 and low - margin <= tick <= high + margin]  # noqa: PLR2004
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.set_yticklabels([f"{tick:g}" for tick in ticks])
    axes.grid(axis="y", color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["left", "top", "right"]].set_visible(False)
    axes.spines["bottom"].set_color(_QUIET)
    axes.tick_params(axis="y", length=0, labelsize=9, labelcolor=_QUIET)
    axes.tick_params(axis="x", length=4, color=_QUIET, labelsize=9, labelcolor=_QUIET, pad=4)
    axes.set_xlabel(axis.caption, fontsize=9, color=_QUIET, loc="right", labelpad=5)
    if axis.broken_at:
        axes.axvspan(axis.limits[0], axis.broken_at, color=_BAND, linewidth=0, zorder=0)
        cut: dict[str, Any] = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.5}, "color": _QUIET}
        where = axes.get_xaxis_transform()
        axes.text(axis.broken_at, 0, "//", transform=where, ha="center", va="center", fontsize=10, zorder=5, **cut)


def _front(axes: Axes, points: Sequence[_Point]) -> None:
    """The best accuracy to be had at each cost, as a step line."""
    steps = sorted((p.x, p.accuracy) for p in points if p.front)
    style: dict[str, Any] = {"drawstyle": "steps-post", "color": _LINE, "linewidth": 1.2, "zorder": 2, "gid": "front"}
    axes.plot([x for x, _ in steps], [y for _, y in steps], **style)


def _marks(axes: Axes, points: Sequence[_Point]) -> None:
    """A mark and an interval a candidate: filled on the front, hollow behind it."""
    styles = _styles(p.strategy for p in points)
    for p in points:
        shape, colour = styles[p.strategy]
        if p.front:
            look: dict[str, Any] = {"markersize": 9, "mfc": colour, "mec": _INK, "mew": 0.8}
        else:
            look = {"markersize": 7.5, "mfc": "white", "mec": colour, "mew": 1.5}
        axes.plot([p.x] * 2, [p.low, p.high], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3, gid="bar")
        axes.plot([p.x], [p.accuracy], marker=shape, linestyle="none", zorder=4, gid="mark", **look)


def _styles(strategies: Iterable[str]) -> Mapping[str, tuple[str, str]]:
    """Shape and colour by strategy; a user's own strategies take further shapes in order of name."""
    own = sorted(set(strategies) - set(_STYLES))
    return _STYLES | {name: (_OWN_SHAPES[i % len(_OWN_SHAPES)], _OWN_COLOUR) for i, name in enumerate(own)}


def _names(axes: Axes, points: Sequence[_Point]) -> None:
    """Each candidate's name beside its mark.

    Distances are pixels while places are sought, and shares of the axes when they are kept: an SVG has other pixels.
    """
    from matplotlib.patheffects import withStroke

    from thirdlever.report.labels import Box, place

    chart: Any = axes.figure
    renderer = chart.canvas.get_renderer()
    unit = chart.dpi / 72  # pixels a typographic point
    marks, sizes, texts, hard = [], [], [], []
    for p in points:
        (x, y), (_, y0), (_, y1) = axes.transData.transform([(p.x, p.accuracy), (p.x, p.low), (p.x, p.high)])
        hard += [Box(x, y, x, y).grown(5.5 * unit), Box(x, y0, x, y1).grown(1.5 * unit)]
        style: dict[str, Any] = {"color": _INK, "weight": "bold"} if p.front else {"color": _QUIET}
        style |= {"path_effects": [withStroke(linewidth=2.5, foreground="white")], "parse_math": False, "gid": "name"}
        text = axes.text(
            0,
            0,
            _label(p.name),
            transform=axes.transAxes,
            fontsize=8.5,
            linespacing=1.15,
            va="bottom",
            zorder=6,
            **style,
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
            axes.plot(*ends.T, transform=axes.transAxes, color=_LINE, linewidth=0.6, zorder=2.5, gid="leader")


def _label(name: str) -> str:
    """A name in a few short lines."""
    lines = fold(printable(name), _LABEL_WIDTH).splitlines()
    return "\n".join(lines[:_LABEL_LINES]) + ("…" if len(lines) > _LABEL_LINES else "")


def _segments(axes: Axes) -> list[tuple[float, float, float, float]]:
    """The front's horizontals and verticals, in pixels, lower left corner first."""
    paths = [axes.transData.transform(line.get_xydata()) for line in axes.lines if line.get_gid() == "front"]
    found = []
    for (x0, y0), (x1, y1) in (pair for path in paths for pair in itertools.pairwise(path)):
        found += [(x0, y0, x1, y0), (x1, min(y0, y1), x1, max(y0, y1))]
    return found


def _words(chart: Figure, axis: Axis, points: Sequence[_Point], under: str) -> None:
    """What is shown, of what, when; and what the marks mean."""
    notes = [*axis.notes, "Bars: 95 % intervals."] if points else list(axis.notes)
    if axis.ordered:
        marks = "Line and filled marks" if sum(p.front for p in points) > 1 else "Filled marks"
        notes.append(f"{marks}: the Pareto front, more accuracy only for more {axis.title}.")
    note = "\n".join(textwrap.wrap(" ".join(notes), _NOTE_WIDTH, max_lines=2, placeholder=" …"))
    title = f"Accuracy against {axis.title}" if axis.title else "Accuracy"
    style: dict[str, Any] = {"ha": "left", "parse_math": False, "color": _QUIET}
    chart.text(_LEFT, 0.955, title, fontsize=13.5, weight="bold", va="top", **(style | {"color": _INK}))
    chart.text(_LEFT, 0.898, under, fontsize=9.5, va="top", **style)
    chart.text(_LEFT, 0.805, "Accuracy, %", fontsize=9, va="bottom", **style)
    chart.text(_LEFT, 0.02, note, fontsize=7.5, va="bottom", linespacing=1.35, **style)
