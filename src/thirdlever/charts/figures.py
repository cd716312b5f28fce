"""The memo's charts of a decision: the three gates, cumulative cost, and latency."""

from __future__ import annotations

import itertools
import math
import textwrap
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.analysis.scorecards import rows
from thirdlever.charts import style
from thirdlever.charts.accuracy import limits, seconds, ticks
from thirdlever.core.text import counted, duration, escape_terminal, usd

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from thirdlever.decision.costs import Cost
    from thirdlever.decision.gates import Gate
    from thirdlever.decision.payback import Payback


_Card: TypeAlias = tuple[str, str, str]  # heading, verdict, reason

VERDICTS = {
    "GO": ("✓", style.GO),
    "GO-FOR-COST": ("✓", style.GO),
    "NO-GO": ("✕", style.NO_GO),
    "NEED-MORE-DATA": ("?", style.MORE_DATA),
}
OUTCOMES = {
    "passed": ("✓", style.GO),
    "failed": ("✕", style.NO_GO),
    "open": ("?", style.MORE_DATA),
}
_LOOKS = VERDICTS | OUTCOMES
_CARD_LINE, _CARD_GAP, _CARD_PAD = 0.155, 0.12, 0.12  # inches
_WORD = 0.42  # inches of the verdict's line
_MOST_LINES = 7
_LETTER = 4.75  # points of a letter at 8.5 points, on average

_LEAST_MONTHS, _MOST_MONTHS = 12.0, 36.0
_HEIGHT = 3.1  # inches of the axes, unless the names need more
_NAME_LINE = 0.155  # inches of a line of a name
_NAME_GAP = 0.26  # inches between the axes and the names
_ROOM = 1.12  # the end of the scale, as a multiple of the highest cost that must be visible
_OUTLIER = 3.0  # a line that ends above so many times the marked ones may leave the scale

_ROW_LINE, _ROW_PAD = 0.16, 0.3  # inches: a line of a name, and the rest of a candidate's row
_EDGE = 0.05  # share of the scale at either end without a tick label, which would stick out
_LEAST_S = 1e-6  # a clock may measure 0


# The three gates


def gates_picture(
    gates: Sequence[Gate],
    verdict: str,
    outcome: str,
    *,
    names: Collection[str] = (),
    suite: str = "",
    date: str = "",
) -> style.Picture:
    """A card for each gate and one for the verdict: word, shape and colour say the same.

    Args:
        gates: in order.
        verdict: of the decision.
        outcome: what to do, in a few words.
        names: of candidates; a sentence that begins with one is not capitalised.
        suite: for the heading, as `date`.
        date: of the run.
    """
    cards: list[_Card] = [
        (f"{i}  {gate.name}", gate.outcome, _capital(gate.reason, names)) for i, gate in enumerate(gates, 1)
    ]
    cards.append(("Fine-tune?", verdict, outcome))
    title, under = "The three gates before fine-tuning", style.heading(suite, date)
    texts = "; ".join(f"{escape_terminal(name)}: {word}, {escape_terminal(why)}" for name, word, why in cards[:-1])
    alt = f"Gates. {texts}. Verdict: {verdict}. {escape_terminal(outcome)}"
    return style.Picture("gates", title, under, [], alt, partial(_gates_figure, cards, title=title, under=under))


def _capital(text: str, names: Collection[str]) -> str:
    return text if text.startswith(tuple(names)) else text[:1].upper() + text[1:]


def _gates_figure(cards: Sequence[_Card], sheet: style.Sheet, *, title: str, under: str) -> Figure:
    side = 0.16 if sheet.worded else 0.03
    across = 1 if sheet.narrow else len(cards)
    width = (sheet.width - 2 * side - (across - 1) * _CARD_GAP) / across
    characters = int((width - 2 * _CARD_PAD) * style.POINTS / _LETTER)
    headings = [textwrap.wrap(escape_terminal(heading), characters) for heading, _, _ in cards]
    reasons = [
        textwrap.wrap(escape_terminal(why), characters, max_lines=_MOST_LINES, placeholder=" …") for *_, why in cards
    ]
    most = max(map(len, headings))
    above = [len(heading) if sheet.narrow else most for heading in headings]  # verdicts line up
    heights = [2 * _CARD_PAD + _CARD_LINE * (a + len(b)) + _WORD for a, b in zip(above, reasons, strict=True)]
    if sheet.narrow:
        *tops, end = itertools.accumulate((height + _CARD_GAP for height in heights), initial=0.0)
        boxes = [(0.0, top, width, height) for top, height in zip(tops, heights, strict=True)]
        whole = end - _CARD_GAP
    else:
        whole = max(heights)
        boxes = [(i * (width + _CARD_GAP), 0.0, width, whole) for i in range(across)]
    figure, axes = style.blank(sheet, whole, left=side, right=side, top=0.05, bottom=0.05)
    axes.set_xlim(0, sheet.width - 2 * side)
    axes.set_ylim(whole, 0)
    axes.axis("off")
    for i, (_, verdict, _) in enumerate(cards):
        x, y, _, _ = boxes[i]
        _frame(axes, boxes[i], _LOOKS[verdict][1], framed=i == len(cards) - 1)
        _lines(axes, headings[i], x + _CARD_PAD, y + _CARD_PAD + 0.14, style.QUIET)
        y += _CARD_PAD + above[i] * _CARD_LINE
        _chip(axes, verdict, x + _CARD_PAD + 0.08, y + 0.22, size=10.5 if sheet.narrow else 8.5)
        _lines(axes, reasons[i], x + _CARD_PAD, y + _WORD + 0.12, style.INK)
    style.words(figure, sheet, title=title, under=under, notes=[])
    return figure


def _frame(axes: Axes, box: tuple[float, float, float, float], colour: str, *, framed: bool) -> None:
    from matplotlib.patches import Rectangle

    x, y, width, height = box
    axes.add_patch(Rectangle((x, y), width, height, facecolor=style.BAND, linewidth=0, gid="card"))
    axes.add_patch(Rectangle((x, y), width, 0.05, facecolor=colour, linewidth=0))
    if framed:
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=colour, linewidth=1.6))


def _lines(axes: Axes, lines: Sequence[str], x: float, y: float, colour: str) -> None:
    for i, line in enumerate(lines):
        axes.text(x, y + i * _CARD_LINE, line, fontsize=8.5, color=colour, parse_math=False, gid="words")


def _chip(axes: Axes, verdict: str, x: float, y: float, *, size: float) -> None:
    """The verdict: a sign in a disc, and the word."""
    sign, colour = _LOOKS[verdict]
    look: dict[str, Any] = {"weight": "bold", "parse_math": False}
    axes.plot([x], [y], marker="o", markersize=11.5, mfc=colour, mec="none")
    axes.text(x, y, sign, fontsize=8, color=style.PAPER, ha="center", va="center", **look)
    axes.text(x + 0.15, y + size / 200, verdict, fontsize=size, color=colour, gid="words", **look)


# Cumulative cost


@dataclass(frozen=True, slots=True)
class _Line:
    """A candidate's cumulative cost: USD at month 0 and at the last month."""

    name: str
    strategy: str
    start: float
    end: float
    marked: bool


@dataclass(frozen=True, slots=True)
class _Span:
    """The months shown, and the events in them."""

    end: float
    release: float
    pays: Payback | None


def cumulative_picture(
    costs: Iterable[Cost],
    *,
    volume: float,
    release: float,
    marked: Collection[str],
    pays: Payback | None = None,
    suite: str = "",
    date: str = "",
) -> style.Picture:
    """Cumulative cost over months.

    Args:
        costs: of the candidates.
        volume: requests per month.
        release: months until the next base model is expected.
        marked: names of the candidates that the decision is about; the scale fits them.
        pays: when the tuned candidate breaks even.
        suite: for the heading, as `date`.
        date: of the run.
    """
    span = _Span(_last(release, pays), release, pays)
    lines, unknown = [], []
    for cost in costs:
        start, end = cost.cumulative_usd(0, volume), cost.cumulative_usd(span.end, volume)
        if start is None or end is None:
            unknown.append(escape_terminal(cost.candidate))
        else:
            lines.append(_Line(cost.candidate, cost.strategy, start, end, cost.candidate in marked))
    lines.sort(key=lambda line: (line.end, line.name))
    title, under = "Cumulative cost", style.heading(suite, f"{counted(round(volume), 'request')} per month", date)
    notes = _notes(span, unknown)
    values = (f"{escape_terminal(line.name)} {usd(line.start)} to set up, {usd(line.end)} in total" for line in lines)
    alt = f"Cumulative cost over {span.end:g} months: {'; '.join(values) or 'unknown for every candidate'}."
    if pays and pays.months is not None and math.isfinite(pays.months):
        alt += f" {escape_terminal(pays.candidate)} breaks even in month {pays.months:.1f}."
    draw = partial(_cumulative_figure, lines, span, title=title, under=under, notes=notes)
    return style.Picture("cumulative", title, under, notes, alt, draw)


def _last(release: float, pays: Payback | None) -> float:
    """The last month shown: a year, two releases, or a break-even that is not too far away."""
    last = max(_LEAST_MONTHS, 2 * release)
    if pays and pays.months is not None and pays.months * 1.25 <= _MOST_MONTHS:
        last = max(last, pays.months * 1.25)
    return float(math.ceil(min(last, _MOST_MONTHS)))


def _notes(span: _Span, unknown: Sequence[str]) -> list[str]:
    notes = ["Thick lines: the candidates in the decision. Shaded: the next base model is out; re-tuning is due."]
    if pays := span.pays:
        name, reference = escape_terminal(pays.candidate), escape_terminal(pays.reference)
        if pays.months == math.inf:
            notes.append(f"{name} never breaks even with {reference}.")
        elif pays.months is None:
            notes.append(f"When {name} breaks even with {reference} is unknown.")
        elif pays.months > span.end:
            notes.append(f"{name} breaks even with {reference} only in month {pays.months:,.0f}.")
        else:
            notes.append(f"Ring: {name} breaks even with {reference}.")
    if unknown:
        notes.append(f"Not shown (cost unknown): {', '.join(unknown)}.")
    return notes


def _cumulative_figure(
    lines: Sequence[_Line], span: _Span, sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]
) -> Figure:
    left, right, width = (0.5, 1.5, 14) if sheet.narrow else (0.75, 2.3, 25)
    top = _top(lines)
    texts = [
        f"{style.label(line.name, width, 3 if sheet.narrow else 2)}\n{'↑ ' if line.end > top else ''}{usd(line.end)}"
        for line in lines
    ]
    sizes = [_NAME_LINE * (text.count("\n") + 1) + 0.06 for text in texts]
    height = max(_HEIGHT, sum(sizes))
    figure, axes = style.blank(sheet, height, left=left, right=right, top=0.5, bottom=0.52, notes=notes)
    _money_scales(axes, top, span)
    looks = style.styles(line.strategy for line in lines)
    places = style.spread([min(line.end, top) / top for line in lines], [size / height for size in sizes])
    for line, text, at in zip(lines, texts, places, strict=True):
        _draw_line(axes, line, looks[line.strategy], span.end)
        _name(axes, line, text, at, gap=_NAME_GAP / (sheet.width - left - right))
    _events(axes, span, lines, height)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


def _top(lines: Sequence[_Line]) -> float:
    """The end of the scale: above the marked lines and those that are not much more expensive."""
    ends = [line.end for line in lines]
    matters = max((line.end for line in lines if line.marked), default=max(ends, default=0))
    return _ROOM * max((end for end in ends if end <= _OUTLIER * matters), default=0) or 1.0


def _money_scales(axes: Axes, top: float, span: _Span) -> None:
    from matplotlib.ticker import MaxNLocator

    style.bare(axes)
    axes.set_xlim(0, span.end)
    axes.set_ylim(0, top)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda value, _: _short(value))
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


def _draw_line(axes: Axes, line: _Line, look: tuple[str, str], end: float) -> None:
    shape, colour = look
    width, order = (2.4, 4) if line.marked else (1.1, 3)
    axes.plot([0, end], [line.start, line.end], color=colour, linewidth=width, zorder=order, gid="line")
    inside: dict[str, Any] = {"markersize": 7, "mfc": colour if line.marked else style.PAPER, "mec": colour}
    if line.end <= axes.get_ylim()[1]:
        axes.plot([end], [line.end], marker=shape, mew=1.2, zorder=5, clip_on=False, gid="mark", **inside)


def _name(axes: Axes, line: _Line, text: str, at: float, *, gap: float) -> None:
    """A name to the right of the end of its line, with a thin line between them."""
    look: dict[str, Any] = {"color": style.INK, "weight": "bold"} if line.marked else {"color": style.QUIET}
    look |= {"transform": axes.transAxes, "va": "center", "linespacing": 1.2, "parse_math": False, "gid": "name"}
    axes.text(1 + gap, at, text, fontsize=8.5, **look)
    end = line.end / axes.get_ylim()[1]
    if end <= 1:
        reach = [1 + 0.35 * gap, 1 + 0.85 * gap]
        axes.plot(reach, [end, at], transform=axes.transAxes, color=style.LINE, linewidth=0.6, clip_on=False)


def _events(axes: Axes, span: _Span, lines: Sequence[_Line], height: float) -> None:
    """The next release and the break-even, with their labels on separate lines above the axes."""
    axes.axvspan(span.release, span.end, color=style.BAND, linewidth=0, zorder=0)
    axes.axvline(span.release, color=style.QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    _event(axes, span.release, 0.27 / height, f"next base model, month {span.release:g}")
    pays = span.pays
    own = next((line for line in lines if pays and line.name == pays.candidate), None)
    if own is None or pays is None or pays.months is None or pays.months > span.end:
        return
    y = own.start + (own.end - own.start) * pays.months / span.end
    low, high = pays.months_low, pays.months_high
    if low is not None and high is not None:
        axes.plot([low, min(high, span.end)], [y, y], color=style.INK, linewidth=1.2, zorder=6, gid="interval")
    axes.plot([pays.months] * 2, [y, axes.get_ylim()[1]], color=style.INK, linewidth=1, zorder=2.5)
    ring: dict[str, Any] = {"markersize": 10, "mfc": style.PAPER, "mec": style.INK, "mew": 1.8}
    axes.plot([pays.months], [y], marker="o", zorder=7, gid="break-even", **ring)
    _event(axes, pays.months, 0.07 / height, f"break-even, month {pays.months:.1f}", weight="bold")


def _event(axes: Axes, month: float, above: float, text: str, *, weight: str = "normal") -> None:
    side = "left" if month < axes.get_xlim()[1] / 2 else "right"
    look: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": side, "weight": weight, "gid": "event"}
    axes.text(month, 1 + above, text, fontsize=8.5, color=style.INK, va="bottom", parse_math=False, **look)


# Latency


def latency_picture(summary: pd.DataFrame, *, suite: str = "", date: str = "") -> style.Picture:
    """Median and 95th percentile of the latency in the scorecards, fastest first."""
    timed = summary["latency_p50_s"].notna()
    shown = sorted(rows(summary[timed]), key=lambda row: (row["latency_p50_s"], row["candidate"]))
    title, under = "Latency of one request", style.heading(suite, "one request at a time, warm", date)
    notes = ["Mark: median. Bar: up to the 95th percentile. Log scale."]
    if missing := [escape_terminal(name) for name in summary.loc[~timed, "candidate"]]:
        notes.append(f"Not shown (no latency measured): {', '.join(missing)}.")
    values = (f"{escape_terminal(row['candidate'])} {' to '.join(_ends(row))}" for row in shown)
    alt = f"Latency of one request, median to 95th percentile: {'; '.join(values) or 'not measured'}."
    draw = partial(_latency_figure, shown, title=title, under=under, notes=notes)
    return style.Picture("latency", title, under, notes, alt, draw)


def _ends(row: Mapping[str, Any]) -> tuple[str, str]:
    return duration(row["latency_p50_s"]), duration(row["latency_p95_s"])


def _latency_figure(
    shown: Sequence[Mapping[str, Any]], sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]
) -> Figure:
    width = 30 if sheet.narrow else 80
    names = [style.label(row["candidate"], width, 2) for row in shown]
    edges = list(itertools.accumulate((_ROW_PAD + _ROW_LINE * (1 + name.count("\n")) for name in names), initial=0.0))
    side = 0.16 if sheet.worded else 0.03
    height = max(edges[-1], _ROW_PAD)
    figure, axes = style.blank(sheet, height, left=side, right=side, top=0.04, bottom=0.52, notes=notes)
    style.bare(axes)
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    _time_scale(axes, shown, few=sheet.narrow)
    looks = style.styles(row["strategy"] for row in shown)
    for row, name, (top, bottom) in zip(shown, names, itertools.pairwise(edges), strict=True):
        _row(axes, row, name, looks[row["strategy"]], top=top, bottom=bottom)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


def _time_scale(axes: Axes, shown: Sequence[Mapping[str, Any]], *, few: bool) -> None:
    from matplotlib.ticker import NullLocator

    if not shown:
        axes.set_xticks([])
        return
    ends = [max(row[f"latency_p{q}_s"], _LEAST_S) for row in shown for q in (50, 95)]
    low, high = limits(ends)
    room = math.log10(high / low) * _EDGE * (2 if few else 1)
    inside = low * 10**room, high / 10**room
    marks = [tick for tick in ticks(low, high, seconds, most=4 if few else 8) if inside[0] <= tick[0] <= inside[1]]
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks([x for x, _ in marks], [text for _, text in marks])
    axes.set_xlabel("Time to the complete answer (log scale)", fontsize=9, color=style.QUIET, loc="right", labelpad=5)


def _row(axes: Axes, row: Mapping[str, Any], name: str, look: tuple[str, str], *, top: float, bottom: float) -> None:
    """A candidate's name and figures, and its bar below them."""
    shape, colour = look
    across = axes.get_yaxis_transform()
    half, slow = (max(row[f"latency_p{q}_s"], _LEAST_S) for q in (50, 95))
    text: dict[str, Any] = {"transform": across, "va": "baseline", "fontsize": 8.5, "parse_math": False}
    for i, line in enumerate(name.splitlines()):
        axes.text(0, top + 0.18 + i * _ROW_LINE, line, ha="left", color=style.INK, gid="name", **text)
    axes.text(1, top + 0.18, " – ".join(_ends(row)), ha="right", color=style.QUIET, gid="figures", **text)
    y = bottom - 0.12
    axes.plot([0, 1], [y, y], transform=across, color=style.GRID, linewidth=0.8, zorder=1)
    axes.plot([half, slow], [y, y], color=colour, linewidth=3, solid_capstyle="butt", zorder=2, gid="bar")
    axes.plot([slow, slow], [y - 0.05, y + 0.05], color=colour, linewidth=2, zorder=2)
    axes.plot([half], [y], marker=shape, markersize=7.5, mfc=colour, mec=style.PAPER, mew=0.8, zorder=3, gid="mark")
