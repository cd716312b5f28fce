"""The chart of a suite's runs: accuracy, cost and latency, with a column for each run and base model."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.charts import style
from thirdlever.charts.accuracy import limits, seconds, ticks
from thirdlever.core.errors import RunError
from thirdlever.core.text import escape_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from thirdlever.lifecycle.history import Point


_PANEL, _GAP = 1.75, 0.42  # inches: a panel's height, and the gap between panels
_MOST_LABELS = 7  # labelled columns
_LINE = 0.155  # inches: a name's line height


@dataclass(frozen=True, slots=True)
class _Column:
    """One run on one base model."""

    run: str
    model: str | None
    label: str


@dataclass(frozen=True, slots=True)
class _Panel:
    """One measure: its caption, a point's value, and the tick format of a log scale (None for a linear one)."""

    caption: str
    value: Callable[[Point], float]
    tick: Callable[[float], str] | None = None


_PANELS = (
    _Panel("Accuracy, %", lambda point: 100 * point.accuracy),
    _Panel("USD per 1,000 requests (log scale)", lambda point: point.usd_per_1k, lambda value: f"${value:g}"),
    _Panel("Median latency (log scale)", lambda point: point.p50_s, seconds),
)


def picture(points: Sequence[Point], *, suite: str = "") -> style.Picture:
    """Draw the chart.

    Args:
        points: one suite's, oldest first.
        suite: its name, for the heading.
    """
    title = "Accuracy, cost and latency over runs"
    unmeasured = {point.candidate for point in points if math.isnan(point.accuracy)}
    points = [point for point in points if not math.isnan(point.accuracy)]
    first, last = points[0].when, points[-1].when
    under = style.heading(suite, f"{len({point.run for point in points})} runs", f"{first:%Y-%m-%d} to {last:%Y-%m-%d}")
    notes = ["Each column is a run on one base model, oldest first. Bars: 95 % confidence intervals."]
    if any(point.released for point in points):
        notes.append("rel.: release date of the base model.")
    if len({point.suite_hash for point in points}) > 1:
        notes.append("Dashed line: the suite changed; figures on either side of it are not comparable.")
    if unmeasured:
        notes.append(f"Runs in which a candidate was not measured are left out: {', '.join(sorted(unmeasured))}.")
    if any(math.isnan(point.usd_per_1k) for point in points):
        notes.append("Unknown costs are left out.")
    said = (
        f"{point.when:%Y-%m-%d} {escape_terminal(point.candidate)}, {escape_terminal(point.model or 'no model')}:"
        f" {100 * point.accuracy:.1f} %"
        for point in points
    )
    draw = partial(_figure, points, title=title, under=under, notes=notes)
    return style.Picture("history", title, under, notes, f"{title}: {'; '.join(said)}.", draw)


def save(points: Sequence[Point], path: Path, *, suite: str) -> list[Path]:
    """Write the chart as PNG and as SVG, beside each other.

    Args:
        points: what `history` returns.
        path: one of the two files.
        suite: its name, for the heading.

    Raises:
        RunError: no candidate was measured in any run.
        OSError: the files cannot be written.
    """
    if all(math.isnan(point.accuracy) for point in points):
        message = f"no candidate of suite {suite!r} was measured in any run, so there is nothing to draw"
        raise RunError(message)
    return style.save(replace(picture(points, suite=suite), name=path.stem), path.parent)


def _figure(points: Sequence[Point], sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]) -> Figure:
    from matplotlib.transforms import Bbox

    columns = _columns(points)
    panels = [panel for panel in _PANELS if not all(map(math.isnan, map(panel.value, points)))]
    height = len(panels) * (_PANEL + _GAP)
    left, right, bottom = 0.62, 0.4 if sheet.narrow else 1.75, 0.62
    figure, whole = style.blank(sheet, height, left=left, right=right, top=0.1, bottom=bottom, notes=notes)
    place = whole.get_position()
    whole.remove()
    share = place.height / len(panels)
    for row, panel in enumerate(panels):
        top = place.y1 - row * share - share * _GAP / (_PANEL + _GAP)
        box = Bbox.from_extents(place.x0, top - share * _PANEL / (_PANEL + _GAP), place.x1, top)
        axes = figure.add_axes(box.bounds, facecolor="none")
        _panel(axes, panel, points, columns, named=not row and not sheet.narrow)
        _feet(axes, columns, written=row == len(panels) - 1, few=sheet.narrow)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


def _columns(points: Sequence[Point]) -> list[_Column]:
    """One for each run and base model; a candidate without a model belongs to the first of its run."""
    found: dict[tuple[str, str | None], str] = {}
    for point in points:
        model = point.model or next((one.model for one in points if one.run == point.run and one.model), None)
        lines = [f"{point.when:%Y-%m-%d}", style.label(model or "", 15, 2)]
        released = next((one.released for one in points if one.model == model and one.released), None)
        if released:
            lines.append(f"rel. {released:%Y-%m-%d}")
        found.setdefault((point.run, model), "\n".join(filter(None, lines)))
    return [_Column(run, model, label) for (run, model), label in found.items()]


def _at(point: Point, columns: Sequence[_Column]) -> int:
    own = [i for i, column in enumerate(columns) if column.run == point.run]
    return next((i for i in own if columns[i].model == point.model), own[0])


def _panel(axes: Axes, panel: _Panel, points: Sequence[Point], columns: Sequence[_Column], *, named: bool) -> None:
    style.bare(axes)
    axes.set_xlim(-0.5, len(columns) - 0.5)
    axes.text(0, 1.05, panel.caption, transform=axes.transAxes, fontsize=9, color=style.QUIET, va="bottom")
    shown = [point for point in points if not math.isnan(panel.value(point))]
    _scale(axes, panel, shown)
    series: dict[str, list[Point]] = {}
    for point in shown:
        series.setdefault(point.candidate, []).append(point)
    looks = style.styles(point.strategy for point in points)
    for place, own in enumerate(series.values()):
        aside = (place - (len(series) - 1) / 2) * min(0.06, 0.5 / len(series))  # keeps intervals from overlapping
        xs = [_at(point, columns) + aside for point in own]
        _line(axes, panel, own, xs, looks[own[0].strategy])
    versions = {point.run: point.suite_hash for point in points}
    for i, (before, after) in enumerate(itertools.pairwise(columns)):
        if versions[before.run] != versions[after.run]:
            axes.axvline(i + 0.5, color=style.LINE, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    if named:
        ends = {name: panel.value(own[-1]) for name, own in series.items()}
        _names(axes, ends, {name: looks[own[0].strategy] for name, own in series.items()})


def _scale(axes: Axes, panel: _Panel, shown: Sequence[Point]) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

    if panel.tick:
        low, high = limits([value for point in shown if (value := panel.value(point)) > 0] or [1.0])
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        axes.yaxis.set_minor_locator(NullLocator())
        marks = ticks(low, high, panel.tick, most=5)
        axes.yaxis.set_major_locator(FixedLocator([value for value, _ in marks]))
        axes.set_yticklabels([text for _, text in marks])
    else:
        low, high = min(100 * point.low for point in shown), max(100 * point.high for point in shown)
        room = max(3.0, 0.06 * (high - low))
        axes.set_ylim(max(-2.0, low - room), min(102.0, high + room))
        axes.locator_params(axis="y", nbins=5)
    axes.grid(axis="y", color=style.GRID, linewidth=0.8)


def _line(axes: Axes, panel: _Panel, own: Sequence[Point], xs: Sequence[float], look: tuple[str, str]) -> None:
    """One candidate's points; they are joined within a version of the suite only."""
    shape, colour = look
    ys = [panel.value(point) for point in own]
    for version in dict.fromkeys(point.suite_hash for point in own):
        same = [i for i, point in enumerate(own) if point.suite_hash == version]
        joined = [xs[i] for i in same], [ys[i] for i in same]
        axes.plot(*joined, color=colour, linewidth=1.2, zorder=2, gid="line")
    axes.plot(xs, ys, color=colour, marker=shape, markersize=6.5, linestyle="none", mec=style.INK, mew=0.5, zorder=3)
    if not panel.tick:
        for x, point in zip(xs, own, strict=True):
            axes.plot([x, x], [100 * point.low, 100 * point.high], color=colour, linewidth=1.2, zorder=1.5)


def _names(axes: Axes, ends: Mapping[str, float], looks: Mapping[str, tuple[str, str]]) -> None:
    """Mark and name of each line, right of the frame, ordered by the lines' ends and spaced so that none overlap."""
    texts = {name: style.label(name, 19, 2) for name in ends}
    inches = axes.figure.get_size_inches()[1] * axes.get_position().height  # type: ignore[union-attr]
    low, high = axes.get_ylim()
    y = 1.0
    for name in sorted(ends, key=lambda name: -ends[name]):
        y = min(y, (ends[name] - low) / (high - low) + 0.5 * _LINE / inches)
        shape, colour = looks[name]
        look: dict[str, Any] = {"transform": axes.transAxes, "clip_on": False}
        axes.plot([1.035], [y], marker=shape, color=colour, mec=style.INK, mew=0.5, markersize=6, **look)
        axes.text(
            1.06, y, texts[name], fontsize=8, color=style.INK, va="center", linespacing=1.1, parse_math=False,
            transform=axes.transAxes, gid="name",
        )  # fmt: skip
        y -= (1 + texts[name].count("\n")) * _LINE / inches + 0.02


def _feet(axes: Axes, columns: Sequence[_Column], *, written: bool, few: bool) -> None:
    """Label the columns with dates and models, under the lowest panel only."""
    from matplotlib.ticker import FixedLocator

    step = -(-len(columns) // (3 if few else _MOST_LABELS))
    shown = range(len(columns) - 1, -1, -step)  # the latest always has a label
    axes.xaxis.set_major_locator(FixedLocator(sorted(shown)))
    axes.set_xticklabels([columns[i].label if written else "" for i in sorted(shown)], fontsize=7.5)
