"""The chart of a learning curve: accuracy against the number of labels, with cost and latency below it."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.charts import style
from thirdlever.charts.accuracy import dollars, limits, seconds, ticks
from thirdlever.core.text import counted, escape_terminal, listed, percent, points

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from thirdlever.analysis.learning import CurveLine, CurvePoint, LearningCurve, Overtaking


NAME = "curve"
_HEIGHT = 3.0  # inches of the axes
_PANEL, _GAP = 0.95, 0.62  # inches: the height of a panel, and what is above and below it
_NAME_LINE = 0.15  # inches of a line of a name
_BESIDE = 0.16  # inches between the axes and the names
_CROSSINGS = 2  # that are marked, at most
_TICK, _SHORT_TICK = 0.5, 0.3  # inches of a tick label
_BRIEF = 3.0  # inches of an axis below which its ticks are short
_ROOM = 0.06  # of the width, left and right of the points
_TITLE = 78  # characters that fit a line
_BANDS = 0.13  # opacity
_DASHED = (0, (4, 2.2))


@dataclass(frozen=True, slots=True)
class _Look:
    """How a line is drawn."""

    shape: str
    colour: str
    dashed: bool


@dataclass(frozen=True, slots=True)
class _Panel:
    """A small chart below: its caption, a place's value, and how a value is written."""

    caption: str
    value: Callable[[CurvePoint], float | None]
    tick: Callable[[float], str]


_PANELS = (
    _Panel("USD per 1,000 requests", lambda point: point.usd_per_1000, dollars),
    _Panel("Median latency", lambda point: point.latency_s, seconds),
)


# What it says


def about(labels: float) -> str:
    """A number of labels in two digits.

    >>> about(617.3), about(12_345), about(43)
    ('620', '12,000', '43')
    """
    digits = 1 - math.floor(math.log10(labels)) if labels >= 1 else 0
    return f"{round(labels, min(digits, 0)):,.0f}"


def overtakes(one: Overtaking) -> str:
    """Where a line overtakes another, as a sentence without its end."""
    if one.outcome == "within" and one.labels is not None:
        return f"{one.a} overtakes {one.b} at about {about(one.labels)} labels"
    if one.outcome == "already":
        on = f"already with {one.first:,} labels" if one.last > one.first else f"with {one.first:,} labels"
        return f"{one.a} is ahead of {one.b} {on}"
    if one.first == one.last:
        return f"{one.a} is not ahead of {one.b} with {one.first:,} labels"
    return f"{one.a} does not overtake {one.b} within {one.first:,} to {one.last:,} labels"


def finding(found: LearningCurve) -> str:
    """The most important thing that a curve says, as its title."""
    order = {"within": 0, "not within": 1, "already": 2}
    if found.overtakings:
        first = min(found.overtakings, key=lambda one: (one.open, order[one.outcome]))
        end = ", as far as can be told." if first.open else "."
        whole = f"{overtakes(first)}{end}"
        short = replace(first, a=first.a.partition("(")[0], b=first.b.partition("(")[0])
        return whole if len(whole) <= _TITLE or short.a == short.b else f"{overtakes(short)}{end}"
    best = next((line.title for line in found.lines if not line.noise and not line.flat), "")
    if gain := next((one for one in found.gains if one.fits and one.line == best), None):
        return f"{best} would gain about {points(max(gain.gain, 0.0))} from {gain.more:,} more labels."
    return "Accuracy by number of labels."


# The picture


def picture(found: LearningCurve) -> style.Picture:
    """The chart with its words."""
    title = escape_terminal(finding(found))
    draws = max((point.draws for line in found.lines for point in line.points), default=0)
    under = style.heading(found.suite, counted(found.items, "test item"), f"{counted(draws, 'draw')} of the labels")
    notes = _notes(found)
    values = "; ".join(
        f"{escape_terminal(line.title)}: "
        + ", ".join(
            f"{percent(point.accuracy)}{f' with {point.labels:,} labels' if point.labels else ', without labels'}"
            for point in line.points
        )
        for line in found.lines
    )
    draw = partial(_figure, found, title=title, under=under, notes=notes)
    return style.Picture(NAME, title, under, notes, f"{title} Accuracy by number of labels. {values}.", draw)


def _notes(found: LearningCurve) -> list[str]:
    varied = any(line.draws_vary for line in found.lines)
    notes = [
        f"Bands: 95 % intervals of {'items and draws' if varied else 'the items; the draw of labels adds to them'}."
    ]
    if any(line.noise for line in found.lines):
        notes.append("Dashed, hollow: some labels are wrong.")
    if any(line.flat for line in found.lines):
        notes.append("Dotted: uses no labels.")
    if any(one.outcome == "within" for one in found.overtakings):
        notes.append("Ring: about where one overtakes another, with the number of labels.")
    lost = list(dict.fromkeys(f"{one.line} with {one.labels:,} labels" for one in found.lost))
    if lost:
        notes.append(f"Not measured: {escape_terminal(listed(lost))}.")
    if not any(point.usd_per_1000 is not None for line in found.lines for point in line.points):
        notes.append("The cost is unknown.")
    return notes


def _looks(lines: Sequence[CurveLine]) -> Mapping[tuple[str, float], _Look]:
    """A look for each line: that of its strategy; further ones where several lines share a strategy."""
    names = list(dict.fromkeys(line.name for line in lines))
    strategies = {line.name: line.strategy for line in lines}
    of_strategies = style.styles(strategies.values())
    taken = set(of_strategies.values())
    spare = itertools.cycle([look for look in style.LOOKS if look not in taken] or style.LOOKS)
    looks: dict[str, tuple[str, str]] = {}
    for name in names:
        own = of_strategies[strategies[name]]
        looks[name] = next(spare) if own in looks.values() else own
    return {(line.name, line.noise): _Look(*looks[line.name], dashed=line.noise > 0) for line in lines}


def _figure(found: LearningCurve, sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]) -> Figure:
    left, right, width = (0.5, 1.05, 11) if sheet.narrow else (0.52, 1.85, 24)
    panels = [panel for panel in _PANELS if any(_values(line, panel) for line in found.lines)]
    rows = len(panels) if sheet.narrow else min(len(panels), 1)
    bottom = 0.56 + rows * (_PANEL + _GAP)
    figure, axes = style.blank(sheet, _HEIGHT, left=left, right=right, top=0.36, bottom=bottom, notes=notes)
    ends = _ends(found.lines)
    looks = _looks(found.lines)
    _scales(axes, found.lines, ends)
    for line in found.lines:
        _draw(axes, line, looks[line.name, line.noise], ends)
    _crossings(axes, found)
    _names(axes, found.lines, looks, width=width, inches=(sheet.width - left - right, _HEIGHT))
    _caption(axes, "Accuracy, %", _HEIGHT)
    caption = "Labels (log scale)" if sheet.narrow else "Labelled examples, of train and dev (log scale)"
    axes.set_xlabel(caption, fontsize=9, color=style.QUIET, loc="right", labelpad=5)
    place = axes.get_position()
    unit = 1 / figure.get_figheight()
    for i, panel in enumerate(panels):
        row, column = (i, 0) if sheet.narrow else (0, i)
        each = place.width if sheet.narrow else (sheet.width - left - 0.2) / sheet.width / 2
        below = place.y0 - (0.56 + (row + 1) * (_PANEL + _GAP) - 0.3) * unit
        small = figure.add_axes(
            (place.x0 + column * each, below, each - (0 if sheet.narrow else 0.5 / sheet.width), _PANEL * unit),
            facecolor="none",
        )
        _small(small, panel, found.lines, looks, ends)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


def _ends(lines: Sequence[CurveLine]) -> tuple[float, float]:
    """Ends of the scale of labels, in logarithms."""
    sizes = [point.labels for line in lines for point in line.points if point.labels] or [1]
    low, high = math.log10(min(sizes)), math.log10(max(sizes))
    room = max(_ROOM * (high - low), 0.05) if high > low else 0.5
    return low - room, high + room


def _scales(axes: Axes, lines: Sequence[CurveLine], ends: tuple[float, float]) -> None:
    from matplotlib.ticker import MaxNLocator

    style.bare(axes)
    _label_scale(axes, lines, ends)
    low = 100 * min((point.low for line in lines for point in line.points), default=0.0)
    high = 100 * max((point.high for line in lines for point in line.points), default=1.0)
    margin = max(0.05 * (high - low), (10 - (high - low)) / 2, 1.0)
    axes.set_ylim(max(low - margin, -3.0), min(high + margin, 103.0))
    values = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(*axes.get_ylim())
    axes.set_yticks([y for y in values if max(0, axes.get_ylim()[0]) <= y <= min(100, axes.get_ylim()[1])])
    axes.yaxis.set_major_formatter("{x:g}")
    axes.grid(axis="y", color=style.GRID, linewidth=0.8)


def _label_scale(axes: Axes, lines: Sequence[CurveLine], ends: tuple[float, float]) -> None:
    """Ticks at the numbers of labels that were measured, as far as there is room for them."""
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log")
    axes.set_xlim(10 ** ends[0], 10 ** ends[1])
    axes.xaxis.set_minor_locator(NullLocator())
    sizes = sorted({point.labels for line in lines for point in line.points if point.labels})
    inches = axes.get_position().width * axes.figure.get_figwidth()  # type: ignore[union-attr]
    brief = inches < _BRIEF
    least = (_SHORT_TICK if brief else _TICK) / inches * (ends[1] - ends[0])
    shown: list[int] = []
    for size in reversed(sizes):
        if not shown or math.log10(shown[-1] / size) >= least:
            shown.append(size)
    axes.set_xticks(shown, [_short(size) if brief else f"{size:,}" for size in shown])


def _short(labels: int) -> str:
    """A number of labels where there is little room.

    >>> _short(300), _short(3000), _short(10_003)
    ('300', '3k', '10k')
    """
    return f"{labels}" if labels < 1000 else f"{labels / 1000:.3g}k"  # noqa: PLR2004


def _draw(axes: Axes, line: CurveLine, look: _Look, ends: tuple[float, float]) -> None:
    """A line with its band; one without labels is the same everywhere."""
    colour: dict[str, Any] = {"color": look.colour, "linewidth": 0}
    places = line.points
    if line.flat:
        x, places = [10 ** ends[0], 10 ** ends[1]], [places[0]] * 2
    else:
        x = [point.labels for point in places]
    y, low, high = ([100 * getattr(point, name) for point in places] for name in ("accuracy", "low", "high"))
    if len(x) > 1:
        axes.fill_between(x, low, high, alpha=_BANDS * (0.5 if line.flat else 1), zorder=2, gid="band", **colour)
    else:
        axes.plot(x * 2, [low[0], high[0]], color=look.colour, linewidth=1.6, zorder=2, gid="band")
    pattern: Any = (0, (1.2, 2)) if line.flat else _DASHED if look.dashed else "-"
    axes.plot(x, y, color=look.colour, linewidth=1.8, linestyle=pattern, zorder=3, gid="line")
    if not line.flat:
        face = style.PAPER if look.dashed else look.colour
        mark: dict[str, Any] = {"marker": look.shape, "linestyle": "none", "markersize": 6.5, "mew": 1.3}
        axes.plot(x, y, mfc=face, mec=look.colour, zorder=4, gid="mark", **mark)


def _crossings(axes: Axes, found: LearningCurve) -> None:
    """A ring where one line overtakes another, and a dotted line down to the number of labels."""
    lines = {line.title: line for line in found.lines}
    within = [one for one in found.overtakings if one.outcome == "within" and not one.open]
    shown = sorted(within[:_CROSSINGS], key=lambda one: one.labels or 0.0)
    bottom = axes.get_ylim()[0]
    for i, one in enumerate(shown):
        if one.labels is None:
            continue
        height = (_height(lines[one.a], one.labels) + _height(lines[one.b], one.labels)) / 2
        axes.plot([one.labels] * 2, [bottom, height], color=style.INK, linewidth=0.9, linestyle=(0, (1, 2)), zorder=3.5)
        ring: dict[str, Any] = {"marker": "o", "markersize": 11, "mfc": "none", "mec": style.INK, "mew": 1.3}
        axes.plot([one.labels], [height], zorder=5, gid="crossing", **ring)
        # The first is left of its line, so that two do not meet.
        side = "right" if len(shown) > 1 and not i else "left"
        place: dict[str, Any] = {"fontsize": 8.5, "color": style.INK, "va": "bottom", "parse_math": False}
        axes.text(one.labels, bottom, f" {about(one.labels)} ", ha=side, zorder=6, gid="event", **place)


def _height(line: CurveLine, labels: float) -> float:
    """Accuracy of a line at a number of labels, in percent."""
    if line.flat:
        return 100 * line.points[0].accuracy
    pairs = itertools.pairwise(line.points)
    before, after = next((a, b) for a, b in pairs if a.labels <= labels <= b.labels)
    share = math.log(labels / before.labels) / math.log(after.labels / before.labels)
    return 100 * (before.accuracy + share * (after.accuracy - before.accuracy))


def _names(
    axes: Axes,
    lines: Sequence[CurveLine],
    looks: Mapping[tuple[str, float], _Look],
    *,
    width: int,
    inches: tuple[float, float],
) -> None:
    """Names with the last accuracy, right of the axes at the height of each line's end."""
    low, high = axes.get_ylim()
    most = max((point.labels for line in lines for point in line.points), default=1)
    ordered = sorted(lines, key=lambda line: line.points[-1].accuracy)
    texts = [_name(line, most, width) for line in ordered]
    sizes = [(_NAME_LINE * (text.count("\n") + 1) + 0.05) / inches[1] for text in texts]
    wanted = [(100 * line.points[-1].accuracy - low) / (high - low) for line in ordered]
    gap = _BESIDE / inches[0]
    for line, text, want, at in zip(ordered, texts, wanted, style.spread(wanted, sizes), strict=True):
        colour = looks[line.name, line.noise].colour
        place: dict[str, Any] = {"transform": axes.transAxes, "va": "center", "fontsize": 8.5, "linespacing": 1.2}
        axes.text(1 + gap, at, text, color=colour, weight="bold", parse_math=False, gid="name", **place)
        end = (
            1.0
            if line.flat
            else float(axes.transAxes.inverted().transform(axes.transData.transform((line.points[-1].labels, 1)))[0])
        )
        reach: dict[str, Any] = {"transform": axes.transAxes, "color": style.LINE, "linewidth": 0.6, "clip_on": False}
        axes.plot([end + 0.2 * gap, 1 + 0.2 * gap, 1 + 0.85 * gap], [want, want, at], zorder=1.5, gid="leader", **reach)


def _name(line: CurveLine, most: int, width: int) -> str:
    last = line.points[-1]
    short = f" with {last.labels:,}" if 0 < last.labels < most else ""
    noise = f"\n{100 * line.noise:g} % wrong" if line.noise else ""
    return f"{style.label(line.name, width, 3)}{noise}\n{percent(last.accuracy)}{short}"


def _caption(axes: Axes, text: str, height: float) -> None:
    look: dict[str, Any] = {"transform": axes.transAxes, "fontsize": 9, "color": style.QUIET, "va": "bottom"}
    axes.text(0, 1 + 0.09 / height, text, parse_math=False, **look)


# Cost and latency


def _values(line: CurveLine, panel: _Panel) -> list[tuple[int, float]]:
    found = [(point.labels, panel.value(point)) for point in line.points]
    return [(labels, value) for labels, value in found if value is not None]


def _small(
    axes: Axes,
    panel: _Panel,
    lines: Sequence[CurveLine],
    looks: Mapping[tuple[str, float], _Look],
    ends: tuple[float, float],
) -> None:
    """Cost or latency of a request by number of labels, on a log scale unless something is free."""
    style.bare(axes)
    _label_scale(axes, lines, ends)
    known = [value for line in lines for _, value in _values(line, panel)]
    logs = min(known) > 0
    if logs:
        axes.set_yscale("log")
        axes.set_ylim(*limits(known))
        marks = ticks(*axes.get_ylim(), panel.tick, most=5)
        axes.set_yticks([y for y, _ in marks], [text for _, text in marks])
        axes.minorticks_off()
    else:
        axes.set_ylim(0, 1.15 * max(known) or 1.0)
        axes.locator_params(axis="y", nbins=3)
        axes.yaxis.set_major_formatter(lambda value, _: "0" if not value else panel.tick(value))
    axes.grid(axis="y", color=style.GRID, linewidth=0.8)
    axes.tick_params(labelsize=8)
    for line in lines:
        look, values = looks[line.name, line.noise], _values(line, panel)
        if not values:
            continue
        if line.flat:
            values = [(10**end, values[0][1]) for end in ends]  # type: ignore[misc]
        x, y = zip(*values, strict=True)
        pattern: Any = (0, (1.2, 2)) if line.flat else _DASHED if look.dashed else "-"
        axes.plot(x, y, color=look.colour, linewidth=1.4, linestyle=pattern, zorder=3, gid="small")
        if not line.flat:
            mark: dict[str, Any] = {"marker": look.shape, "linestyle": "none", "markersize": 4.5, "mew": 1.0}
            face = style.PAPER if look.dashed else look.colour
            axes.plot(x, y, mfc=face, mec=look.colour, zorder=4, **mark)
    _caption(axes, f"{panel.caption}{' (log scale)' if logs else ''}", _PANEL)
