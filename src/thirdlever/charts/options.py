"""The chart of a decision: accuracy against dollars a month, with the target, today, and the options that matter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.charts import style
from thirdlever.charts.accuracy import AT_THE_END, Point, dollars, limits, names, ticks
from thirdlever.core.text import counted, escape_terminal, percent, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


Role = Literal["recommended", "tuned", "today", "other"]

_BESIDE = style.Sheet(5.8, worded=False)  # on a page, the options stand beside it
_HEIGHT = 2.7  # inches of the axes
_COLUMN = 0.13  # width of a column for costs that a log scale lacks, as a share of the scale beside it
_BELOW = 25.0  # points under the options that matter: what is further below is named in the notes
_FEW_TICKS, _MOST_TICKS = 4, 7
_NAMED = 3  # candidates that are not an option and are named in the chart, at most
_NAME, _NARROW_NAME = (36, 3), (20, 4)  # characters per line, lines
COLOURS = {"recommended": style.GO, "tuned": style.MORE_DATA, "today": style.INK, "other": style.LINE}
_LEGEND = {"recommended": "recommended", "tuned": "fine-tuned", "today": "today"}  # the others are grey
_SHAPES = {"none": "v", "prompt": "o", "retrieval": "s", "model": "P", "tuned": "D"}


@dataclass(frozen=True, kw_only=True)
class Option:
    """A candidate, or today's solution.

    Attributes:
        name: for people.
        role: what it is in the decision.
        lever: the lever it pulls.
        accuracy: 0 to 1, as `low` and `high`, the ends of its 95 % interval; None for stated figures.
        usd: a month, or for 1,000 requests if no volume is stated; None if unknown.
        usd_per_1000: for 1,000 requests; None if unknown.
        at_most: `usd` is the highest with which it pays back, its own being unknown.
    """

    name: str
    role: Role
    lever: str
    accuracy: float
    low: float | None = None
    high: float | None = None
    usd: float | None = None
    usd_per_1000: float | None = None
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class _Scale:
    """The horizontal scale: ends, ticks, and the columns for $0 (left) and for an unknown cost (right)."""

    caption: str
    low: float
    high: float
    marks: Sequence[tuple[float, str]]
    zero: float | None
    unknown: float | None


def picture(
    options: Sequence[Option],
    *,
    finding: str,
    volume: float | None,
    target: float | None = None,
    items: int = 0,
    source: Sequence[str] = (),
) -> style.Picture:
    """The chart with its words.

    Args:
        options: candidates with an accuracy, and today's solution.
        finding: what the chart shows, as a sentence: its title.
        volume: requests a month; None if not stated, and `usd` is for 1,000 requests then.
        target: the accuracy that the product needs.
        items: number of test items; 0 for stated figures.
        source: run, suite, date and base model, for the line under the title.
    """
    scale = _scale([one.usd for one in options], volume)
    shown, below = _visible(options)
    under = style.heading(*source, f"{items:,} test items" if items else "stated figures, not measured")
    notes = _notes(options, below)
    values = "; ".join(f"{escape_terminal(one.name)} {percent(one.accuracy)}, {_money(one, volume)}" for one in options)
    alt = f"{escape_terminal(finding)} {values}."
    draw = partial(_figure, shown, scale, target=target, volume=volume, title=finding, under=under, notes=notes)
    return style.Picture("chart", finding, under, notes, alt, draw, wide=_BESIDE)


def _axis(volume: float | None) -> str:
    if volume is None:
        return "USD per 1,000 requests (the monthly volume is not stated)"
    return f"USD a month at {counted(round(volume), 'request')}"


def _money(one: Option, volume: float | None) -> str:
    """What it costs, the month first."""
    if one.usd is None:
        return "cost unknown"
    least = "at most " if one.at_most else ""
    if volume is None:
        return f"{least}{usd(one.usd)} per 1,000"
    each = "" if one.usd_per_1000 is None or one.at_most else f" ({usd(one.usd_per_1000)} per 1,000)"
    return f"{least}{usd(one.usd)} a month{each}"


def _scale(costs: Sequence[float | None], volume: float | None) -> _Scale:
    known = [cost for cost in costs if cost is not None]
    low, high = limits([cost for cost in known if cost > 0] or [1.0])
    marks, column = ticks(low, high, dollars, most=_MOST_TICKS), math.log10(high / low) * _COLUMN
    zero = unknown = None
    if any(cost <= 0 for cost in known):
        zero = low / 10 ** (column / 2)
        marks = [(zero, "$0"), *marks]
    if len(known) < len(costs):
        unknown = high * 10 ** (column / 2)
        marks = [*marks, (unknown, "unknown")]
    ends = low / 10**column if zero else low, high * 10**column if unknown else high
    return _Scale(f"{_axis(volume)}, log scale", *ends, marks, zero, unknown)


def _visible(options: Sequence[Option]) -> tuple[list[Option], list[Option]]:
    """Options that the scale shows, and those far below them."""
    matter = [one for one in options if one.role != "other"] or list(options)
    least = min((one.accuracy for one in matter), default=0.0) - _BELOW / 100
    return [one for one in options if one.accuracy >= least], [one for one in options if one.accuracy < least]


def _notes(options: Sequence[Option], below: Sequence[Option]) -> list[str]:
    bars = any(one.low is not None for one in options)
    notes = ["Bars: 95 % intervals."] if bars else []
    if bars and any(one.low is None for one in options):
        notes.append("Hollow: stated, not measured.")
    if any(one.at_most for one in options):
        notes.append("Arrow: its cost is unknown; the mark is the most at which it pays back.")
    if below:
        names = ", ".join(f"{escape_terminal(one.name)} ({percent(one.accuracy)})" for one in below)
        notes.append(f"Below the scale: {names}.")
    return notes


def _figure(
    options: Sequence[Option],
    scale: _Scale,
    sheet: style.Sheet,
    *,
    target: float | None,
    volume: float | None,
    title: str,
    under: str,
    notes: Sequence[str],
) -> Figure:
    left, right = (0.48, 0.2) if sheet.worded else (0.3, 0.06)
    height = _HEIGHT * (1.25 if sheet.narrow else 1)
    top = 0.56 if sheet.narrow else 0.36  # on a narrow sheet, the key is above the caption
    figure, axes = style.blank(sheet, height, left=left, right=right, top=top, bottom=0.56, notes=notes)
    _axes(axes, scale, options, target, few=sheet.narrow)
    points = [_point(one, scale, volume) for one in options]
    for one, point in zip(options, points, strict=True):
        _mark(axes, one, point)
    named = [one.role != "other" for one in options]
    spare = _NAMED
    for i, one in enumerate(options):
        if one.role == "other" and spare:
            named[i], spare = True, spare - 1
    names(
        axes,
        points,
        *(_NARROW_NAME if sheet.narrow else _NAME),
        shown=named,
        colours=[COLOURS[one.role] if one.role in {"recommended", "tuned"} else None for one in options],
    )
    at = (-left + (0.16 if sheet.worded else 0)) / (sheet.width - left - right)
    look: dict[str, Any] = {"transform": axes.transAxes, "fontsize": 9, "color": style.QUIET, "va": "bottom"}
    axes.text(at, 1 + 0.1 / height, "Accuracy, %", **look)
    _key(axes, options, 1 + (top - 0.3) / height)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


def _point(one: Option, scale: _Scale, volume: float | None) -> Point:
    """Its place; a name with its figures if it is an option that matters."""
    x = scale.unknown if one.usd is None else (scale.zero if one.usd <= 0 else one.usd)
    name = one.name
    if one.role != "other":
        name = f"{name}\n{percent(one.accuracy)}, {_money(one, volume).replace(' (', chr(10)).rstrip(')')}"
    low, high = one.accuracy if one.low is None else one.low, one.accuracy if one.high is None else one.high
    matters = one.role in {"recommended", "tuned"}
    return Point(name, "", one.lever, x or scale.low, 100 * one.accuracy, 100 * low, 100 * high, matters)


def _axes(axes: Axes, scale: _Scale, options: Sequence[Option], target: float | None, *, few: bool) -> None:
    from matplotlib.ticker import MaxNLocator, NullLocator

    style.bare(axes)
    axes.set_xscale("log")
    axes.set_xlim(scale.low, scale.high)
    axes.xaxis.set_minor_locator(NullLocator())
    marks = scale.marks[:: -(-len(scale.marks) // _FEW_TICKS)] if few else scale.marks
    labels = axes.set_xticks([x for x, _ in marks], [label for _, label in marks])
    if marks and axes.transAxes.inverted().transform(axes.transData.transform((marks[-1][0], 0)))[0] > AT_THE_END:
        labels[-1].label1.set_horizontalalignment("right")
    ends = [100 * end for one in options for end in (one.low, one.high, one.accuracy) if end is not None]
    ends += [] if target is None else [100 * target]
    low, high = min(ends, default=0.0), max(ends, default=100.0)
    margin = max(0.09 * (high - low), (10 - (high - low)) / 2, 1.0)
    axes.set_ylim(low - margin, high + margin)
    values = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(*axes.get_ylim())
    axes.set_yticks([y for y in values if max(0, low - margin) <= y <= min(100, high + margin)])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=style.GRID, linewidth=0.8)
    axes.set_xlabel(scale.caption, fontsize=9, color=style.QUIET, loc="right", labelpad=5)
    for place, ends_at in ((scale.zero, scale.low), (scale.unknown, scale.high)):
        if place is not None:
            edge = place**2 / ends_at
            axes.axvspan(*sorted((edge, ends_at)), color=style.BAND, linewidth=0, zorder=0)
    if target is not None:
        line: dict[str, Any] = {"color": style.INK, "linewidth": 1, "linestyle": (0, (5, 3)), "zorder": 1.5}
        axes.plot([scale.low, scale.high], [100 * target] * 2, gid="target", **line)
        look: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 8.5, "color": style.INK}
        axes.text(1, 100 * target, f"target {percent(target)}", ha="right", va="bottom", parse_math=False, **look)


def _mark(axes: Axes, one: Option, point: Point) -> None:
    """Mark and interval: hollow if only stated, an arrow towards lower costs if the cost is a limit."""
    colour, stated = COLOURS[one.role], one.low is None
    matters = one.role in {"recommended", "tuned"}
    look: dict[str, Any] = {"markersize": 10 if matters else 7.5, "mec": colour, "mew": 1.5}
    look["mfc"] = style.PAPER if stated else colour
    x, y = point.x, point.accuracy
    axes.plot([x, x], [point.low, point.high], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3, gid="bar")
    if one.at_most:
        end = max(axes.get_xlim()[0], x / 10 ** (math.log10(axes.get_xlim()[1] / axes.get_xlim()[0]) * 0.16))
        arrow: dict[str, Any] = {"arrowstyle": "->", "color": colour, "linewidth": 1.6, "shrinkA": 6, "shrinkB": 0}
        axes.annotate("", xy=(end, y), xytext=(x, y), arrowprops=arrow, zorder=3)
    shape = _SHAPES.get(one.lever, "o")
    axes.plot([x], [y], marker=shape, linestyle="none", zorder=4 + matters, gid="mark", **look)


def _key(axes: Axes, options: Sequence[Option], bottom: float) -> None:
    """Which colour is which role."""
    from matplotlib.lines import Line2D

    roles = [role for role in _LEGEND if any(one.role == role for one in options)]
    look: dict[str, Any] = {"marker": "o", "linestyle": "none", "markersize": 7, "mec": "none"}
    handles = [Line2D([], [], mfc=COLOURS[role], label=_LEGEND[role], **look) for role in roles]
    place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, bottom), "borderaxespad": 0.15}
    axes.legend(
        handles=handles,
        ncols=len(handles),
        frameon=False,
        fontsize=8.5,
        handletextpad=0.2,
        labelcolor=style.INK,
        **place,
    )
