"""What each candidate has cost by the end of each month: set-up first, then requests; where a tune breaks even."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.core.text import printable, usd
from thirdlever.report.figures import style
from thirdlever.report.figures.spread import spread

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from thirdlever.decision.costs import Cost
    from thirdlever.decision.payback import Payback

_LEAST_MONTHS, _MOST_MONTHS = 12.0, 36.0
_HEIGHT = 3.1  # inches of the frame, where the names need no more
_LINE = 0.155  # inches of a line of a name
_GAP = 0.26  # inches between the frame and the names
_ROOM = 1.12  # the scale beyond the dearest that must be seen
_OUTLIER = 3.0  # so many times dearer than what matters, a line may leave the scale


@dataclass(frozen=True, slots=True)
class _Line:
    """A candidate's money: USD at month 0 and at the last month."""

    name: str
    strategy: str
    start: float
    end: float
    marked: bool


@dataclass(frozen=True, slots=True)
class _Span:
    """The months that are shown, and what happens in them."""

    end: float
    release: float
    pays: Payback | None


def picture(
    costs: Iterable[Cost],
    *,
    volume: float,
    release: float,
    marked: Collection[str],
    pays: Payback | None = None,
    suite: str = "",
    date: str = "",
) -> style.Picture:
    """Money over months.

    Args:
        costs: the candidates'.
        volume: requests a month.
        release: months until the next base model is expected.
        marked: names of the candidates that the decision is about; the scale is made for them.
        pays: when the judged tuned candidate breaks even.
        suite: its name, for the heading.
        date: of the run, for the heading.
    """
    span = _Span(_last(release, pays), release, pays)
    lines, unknown = [], []
    for cost in costs:
        start, end = cost.cumulative_usd(0, volume), cost.cumulative_usd(span.end, volume)
        if start is None or end is None:
            unknown.append(printable(cost.candidate))
        else:
            lines.append(_Line(cost.candidate, cost.strategy, start, end, cost.candidate in marked))
    lines.sort(key=lambda line: (line.end, line.name))
    title = "What it costs over time"
    under = style.heading(suite, f"{volume:,.0f} requests a month", date)
    notes = _notes(span, unknown)
    said = (f"{printable(line.name)} {usd(line.start)} to set up, {usd(line.end)} in all" for line in lines)
    alt = f"Cumulative cost over {span.end:g} months: {'; '.join(said) or 'unknown for every candidate'}."
    if pays and pays.months is not None and math.isfinite(pays.months):
        alt += f" {printable(pays.candidate)} breaks even in month {pays.months:.1f}."
    draw = partial(_figure, lines, span, title=title, under=under, notes=notes)
    return style.Picture("cumulative", title, under, notes, alt, draw)


def _last(release: float, pays: Payback | None) -> float:
    """The last month shown: a year, two releases, a break-even that is not too far."""
    last = max(_LEAST_MONTHS, 2 * release)
    if pays and pays.months is not None and pays.months * 1.25 <= _MOST_MONTHS:
        last = max(last, pays.months * 1.25)
    return float(math.ceil(min(last, _MOST_MONTHS)))


def _notes(span: _Span, unknown: Sequence[str]) -> list[str]:
    notes = [
        "Heavy lines: the candidates that the decision is about. Shaded: after the next base model, tuning is due."
    ]
    if span.pays:
        name, reference = printable(span.pays.candidate), printable(span.pays.reference)
        if span.pays.months == math.inf:
            notes.append(f"{name} never breaks even against {reference}.")
        elif span.pays.months is None:
            notes.append(f"When {name} breaks even against {reference} is unknown.")
        elif span.pays.months > span.end:
            notes.append(f"{name} breaks even against {reference} only in month {span.pays.months:,.0f}.")
        else:
            notes.append(f"Ring: {name} has cost as much as {reference}, and less from there on.")
    if unknown:
        notes.append(f"Not shown, cost unknown: {', '.join(unknown)}.")
    return notes


def _figure(
    lines: Sequence[_Line], span: _Span, sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]
) -> Figure:
    left, right, width = (0.5, 1.5, 14) if sheet.narrow else (0.75, 2.3, 25)
    top = _top(lines)
    texts = [_text(line, top, width, 3 if sheet.narrow else 2) for line in lines]
    sizes = [_LINE * (text.count("\n") + 1) + 0.06 for text in texts]
    height = max(_HEIGHT, sum(sizes))
    figure, axes = style.blank(sheet, height, left=left, right=right, top=0.5, bottom=0.52, notes=notes)
    _scales(axes, top, span)
    looks = style.styles(line.strategy for line in lines)
    for line in lines:
        _draw(axes, line, looks[line.strategy], span.end)
    places = spread([min(line.end, top) / top for line in lines], [size / height for size in sizes])
    for line, text, at in zip(lines, texts, places, strict=True):
        _name(axes, line, text, at, gap=_GAP / (sheet.width - left - right))
    _events(axes, span, lines, height)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


def _top(lines: Sequence[_Line]) -> float:
    """The end of the scale: all that matters is on it, and what is not much dearer."""
    matters = max((line.end for line in lines if line.marked), default=max((line.end for line in lines), default=0))
    return _ROOM * max((line.end for line in lines if line.end <= _OUTLIER * matters), default=0) or 1.0


def _text(line: _Line, top: float, width: int, most: int) -> str:
    arrow = "↑ " if line.end > top else ""
    return f"{style.label(line.name, width, most)}\n{arrow}{usd(line.end)}"


def _scales(axes: Axes, top: float, span: _Span) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    style.bare(axes)
    axes.set_xlim(0, span.end)
    axes.set_ylim(0, top)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.grid(axis="y", color=style.GRID, linewidth=0.8)
    axes.set_xlabel("Months in use", fontsize=9, color=style.QUIET, loc="right", labelpad=5)


def _short(value: float) -> str:
    """A round amount.

    >>> [_short(value) for value in (0, 0.5, 2500, 20000, 1500000)]
    ['$0', '$0.50', '$2,500', '$20k', '$1.5M']
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if value >= 10 * size or (size == 1e6 and value >= size):  # noqa: PLR2004 - two digits and the unit
            return f"${value / size:,g}{unit}"
    return usd(value)


def _draw(axes: Axes, line: _Line, look: tuple[str, str], end: float) -> None:
    shape, colour = look
    width, order = (2.4, 4) if line.marked else (1.1, 3)
    axes.plot([0, end], [line.start, line.end], color=colour, linewidth=width, zorder=order, gid="line")
    inside: dict[str, Any] = {"markersize": 7, "mfc": colour if line.marked else style.PAPER, "mec": colour}
    if line.end <= axes.get_ylim()[1]:
        axes.plot([end], [line.end], marker=shape, mew=1.2, zorder=5, clip_on=False, gid="mark", **inside)


def _name(axes: Axes, line: _Line, text: str, at: float, *, gap: float) -> None:
    """A name right of the end of its line, tied to it by a thin one."""
    look: dict[str, Any] = {"color": style.INK, "weight": "bold"} if line.marked else {"color": style.QUIET}
    look |= {"transform": axes.transAxes, "va": "center", "linespacing": 1.2, "parse_math": False, "gid": "name"}
    axes.text(1 + gap, at, text, fontsize=8.5, **look)
    end = line.end / axes.get_ylim()[1]
    if end <= 1:
        reach = [1 + 0.35 * gap, 1 + 0.85 * gap]
        axes.plot(reach, [end, at], transform=axes.transAxes, color=style.LINE, linewidth=0.6, clip_on=False)


def _events(axes: Axes, span: _Span, lines: Sequence[_Line], height: float) -> None:
    """The next release and the break-even, each with its words above the frame, on lines of their own."""
    axes.axvspan(span.release, span.end, color=style.BAND, linewidth=0, zorder=0)
    axes.axvline(span.release, color=style.QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    _word(axes, span.release, 0.27 / height, f"next base model, month {span.release:g}")
    pays = span.pays
    if pays is None or pays.months is None or not pays.months <= span.end:
        return
    own = next((line for line in lines if line.name == pays.candidate), None)
    if own is None:
        return
    y = own.start + (own.end - own.start) * pays.months / span.end
    low, high = pays.months_low, pays.months_high
    if low is not None and high is not None:
        axes.plot([low, min(high, span.end)], [y, y], color=style.INK, linewidth=1.2, zorder=6, gid="interval")
    axes.plot([pays.months] * 2, [y, axes.get_ylim()[1]], color=style.INK, linewidth=1, zorder=2.5)
    ring: dict[str, Any] = {"markersize": 10, "mfc": style.PAPER, "mec": style.INK, "mew": 1.8}
    axes.plot([pays.months], [y], marker="o", zorder=7, gid="break-even", **ring)
    _word(axes, pays.months, 0.07 / height, f"break-even, month {pays.months:.1f}", weight="bold")


def _word(axes: Axes, month: float, above: float, text: str, *, weight: str = "normal") -> None:
    side = "left" if month < axes.get_xlim()[1] / 2 else "right"
    look: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": side, "weight": weight, "gid": "event"}
    axes.text(month, 1 + above, text, fontsize=8.5, color=style.INK, va="bottom", parse_math=False, **look)
