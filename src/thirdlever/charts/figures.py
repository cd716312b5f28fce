"""The memo's charts: the decision (accuracy against $ a month), the gates, cumulative cost, sensitivity and latency."""

from __future__ import annotations

import itertools
import math
import textwrap
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.analysis.scorecards import rows
from thirdlever.charts import style
from thirdlever.charts.accuracy import AT_THE_END, Mark, dollars, limits, names, seconds, ticks
from thirdlever.core.text import counted, duration, escape_terminal, percent, usd

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from thirdlever.decision.gates import Gate
    from thirdlever.decision.payback import Payback
    from thirdlever.decision.sensitivity import Swing


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
_ROOM = 1.12  # the end of the scale, as a multiple of the highest cost
_BAR = 0.46  # inches of a bar and its name

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


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What a candidate costs over time.

    Attributes:
        name: for people.
        colour: of its line.
        path: (month, USD so far), in order; a step is two places with the same month.
    """

    name: str
    colour: str
    path: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Span:
    """The months shown, and the events in them: the next base model, and the break-even of the tune."""

    end: float
    release: float
    crossing: float | None


def months_shown(release: float, pays: Payback | None) -> float:
    """The last month shown: a year, two releases, or a break-even that is not too far away."""
    last = max(_LEAST_MONTHS, 2 * release)
    if pays and pays.months is not None and pays.months * 1.25 <= _MOST_MONTHS:
        last = max(last, pays.months * 1.25)
    return float(math.ceil(min(last, _MOST_MONTHS)))


def cumulative_picture(
    lines: Sequence[Spending],
    *,
    volume: float,
    release: float,
    tuned: str | None,
    pays: Payback | None,
    errors: bool,
    source: Sequence[str] = (),
) -> style.Picture:
    """Cumulative cost over months of today's solution, the recommended candidate and the tune.

    Args:
        lines: their costs.
        volume: requests per month.
        release: months until the next base model is expected.
        tuned: the name of the tune's line; None if there is none.
        pays: when it breaks even.
        errors: whether wrong answers are counted.
        source: for the line under the title.
    """
    end = max((line.path[-1][0] for line in lines), default=months_shown(release, pays))
    crossing = pays.months if pays and tuned and pays.months is not None and 0 < pays.months <= release else None
    span = _Span(end, release, crossing)
    title = _crossing(tuned, pays, release)
    under = style.heading(*source, f"{counted(round(volume), 'request')} a month")
    notes = ["Shaded: the next base model is out. A step is the cost of tuning again."]
    notes.append(
        "Wrong answers are counted." if errors else "Wrong answers are not counted: their price is not stated."
    )
    values = (
        f"{escape_terminal(line.name)} {usd(line.path[0][1])} to set up, {usd(line.path[-1][1])}" for line in lines
    )
    alt = f"{title} Cost over {end:g} months: {'; '.join(values) or 'unknown for every candidate'}."
    draw = partial(_cumulative_figure, lines, span, title=title, under=under, notes=notes)
    return style.Picture("cumulative", title, under, notes, alt, draw)


def _crossing(tuned: str | None, pays: Payback | None, release: float) -> str:
    """What the figure shows, in a sentence."""
    if tuned is None or pays is None or pays.months is None:
        return "Cost over time."
    if not pays.months:
        return "The tune is cheaper from the first day."
    if pays.months > release:
        later = "at all" if pays.months == math.inf else f"before the next base model, but in month {pays.months:,.1f}"
        return f"The tune does not pay back {later}."
    return f"The tune has paid back in month {pays.months:.1f}."


def _cumulative_figure(
    lines: Sequence[Spending], span: _Span, sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]
) -> Figure:
    left, right, width = (0.5, 1.5, 14) if sheet.narrow else (0.75, 2.3, 25)
    top = _ROOM * max((line.path[-1][1] for line in lines), default=0.0) or 1.0
    ordered = sorted(lines, key=lambda line: line.path[-1][1])
    texts = [f"{style.label(line.name, width, 4 if sheet.narrow else 3)}\n{usd(line.path[-1][1])}" for line in ordered]
    sizes = [_NAME_LINE * (text.count("\n") + 1) + 0.06 for text in texts]
    height = max(_HEIGHT, sum(sizes))
    figure, axes = style.blank(sheet, height, left=left, right=right, top=0.5, bottom=0.52, notes=notes)
    _money_scales(axes, top, span)
    places = style.spread([line.path[-1][1] / top for line in ordered], [size / height for size in sizes])
    for line, text, at in zip(ordered, texts, places, strict=True):
        axes.plot(*zip(*line.path, strict=True), color=line.colour, linewidth=2.2, zorder=4, gid="line")
        _name(axes, line, text, at, gap=_NAME_GAP / (sheet.width - left - right))
    _events(axes, span, height)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


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

    >>> [_short(value) for value in (0, 0.5, 2500, 20000, -20000, 1500000)]
    ['$0', '$0.50', '$2,500', '$20k', '-$20k', '$1.5M']
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 10 * size or (size == 1e6 and abs(value) >= size):  # noqa: PLR2004 - two digits and the unit
            return f"{'-' if value < 0 else ''}${abs(value) / size:,g}{unit}"
    return usd(value)


def _name(axes: Axes, line: Spending, text: str, at: float, *, gap: float) -> None:
    """A name to the right of the end of its line, with a thin line between them."""
    look: dict[str, Any] = {"color": style.INK if line.colour == style.LINE else line.colour, "va": "center"}
    look |= {"transform": axes.transAxes, "linespacing": 1.2, "parse_math": False, "gid": "name", "weight": "bold"}
    axes.text(1 + gap, at, text, fontsize=8.5, **look)
    end = line.path[-1][1] / axes.get_ylim()[1]
    reach = [1 + 0.35 * gap, 1 + 0.85 * gap]
    axes.plot(reach, [end, at], transform=axes.transAxes, color=style.LINE, linewidth=0.6, clip_on=False)


def _events(axes: Axes, span: _Span, height: float) -> None:
    """The next release and the break-even, with their labels on separate lines above the axes."""
    axes.axvspan(span.release, span.end, color=style.BAND, linewidth=0, zorder=0)
    axes.axvline(span.release, color=style.QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=2)
    _event(axes, span.release, 0.27 / height, f"next base model, month {span.release:g}")
    if span.crossing is not None:
        axes.axvline(span.crossing, color=style.INK, linewidth=1, zorder=2.5, gid="break-even")
        _event(axes, span.crossing, 0.07 / height, f"paid back, month {span.crossing:.1f}", weight="bold")


def _event(axes: Axes, month: float, above: float, text: str, *, weight: str = "normal") -> None:
    side = "left" if month < axes.get_xlim()[1] / 2 else "right"
    look: dict[str, Any] = {"transform": axes.get_xaxis_transform(), "ha": side, "weight": weight, "gid": "event"}
    axes.text(month, 1 + above, text, fontsize=8.5, color=style.INK, va="bottom", parse_math=False, **look)


# What matters most


def tornado_picture(
    bars: Sequence[Swing], now: float, *, shown: Callable[[Swing, float], str], source: Sequence[str] = ()
) -> style.Picture:
    """The net gain of the tune, and how far each figure's uncertainty moves it: the longest bar first.

    Args:
        bars: at least one.
        now: the net gain with the figures as they are, USD.
        shown: formats a value of a bar.
        source: for the line under the title.
    """
    first = bars[0]
    sides = {one.usd_low > 0 for one in bars} | {one.usd_high > 0 for one in bars}
    stays = "stays positive" if sides == {True} else "stays negative" if sides == {False} else "may be either sign"
    gain = f"The tune gains {usd(now)}" if now >= 0 else f"The tune loses {usd(-now)}"
    title = f"{gain} until the next base model; what matters most: {first.name[0].lower()}{first.name[1:]}."
    under = style.heading(*source, "compared with the best without tuning")
    notes = [f"One figure at a time, all others as assumed; the gain {stays}."]
    values = "; ".join(f"{one.name} from {usd(one.usd_low)} to {usd(one.usd_high)}" for one in bars)
    draw = partial(_tornado_figure, bars, now, shown=shown, title=title, under=under, notes=notes)
    return style.Picture("sensitivity", title, under, notes, f"{title} {values}.", draw)


def _tornado_figure(
    bars: Sequence[Swing],
    now: float,
    sheet: style.Sheet,
    *,
    shown: Callable[[Swing, float], str],
    title: str,
    under: str,
    notes: Sequence[str],
) -> Figure:
    from matplotlib.ticker import MaxNLocator

    side = 0.16 if sheet.worded else 0.03
    height = _BAR * len(bars)
    figure, axes = style.blank(sheet, height, left=side + 0.1, right=side + 0.1, top=0.1, bottom=0.52, notes=notes)
    style.bare(axes)
    axes.set_ylim(len(bars), 0)
    axes.set_yticks([])
    ends = [now, 0.0, *(end for one in bars for end in (one.usd_low, one.usd_high))]
    room = 0.06 * (max(ends) - min(ends))
    axes.set_xlim(min(ends) - room, max(ends) + room)
    axes.xaxis.set_major_locator(MaxNLocator(3 if sheet.narrow else 6))
    axes.xaxis.set_major_formatter(lambda value, _: _short(value))
    axes.axvline(0, color=style.QUIET, linewidth=1, zorder=1)
    axes.axvline(now, color=style.INK, linewidth=1.2, zorder=3)
    text: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 8.5, "va": "center"}
    text |= {"parse_math": False, "bbox": {"facecolor": style.PAPER, "edgecolor": "none", "pad": 1.0}, "zorder": 4}
    for i, one in enumerate(bars):
        low, high = sorted((one.usd_low, one.usd_high))
        axes.barh(i + 0.7, high - low, left=low, height=0.3, color=style.MORE_DATA, linewidth=0, zorder=2, gid="bar")
        axes.text(0, i + 0.28, one.name, ha="left", color=style.INK, gid="name", **text)
        span = f"{shown(one, one.low)} to {shown(one, one.high)}"
        axes.text(1, i + 0.28, span, ha="right", color=style.QUIET, gid="figures", **text)
    axes.set_xlabel("Net gain, USD", fontsize=9, color=style.QUIET, loc="right", labelpad=5)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


# Latency


def latency_picture(summary: pd.DataFrame, *, suite: str = "", date: str = "") -> style.Picture:
    """Median and 95th percentile of the latency in the scorecards, fastest first.

    Without a 95th percentile, the bar is the 90 % interval of the median.
    """
    timed = summary["latency_p50_s"].notna()
    shown = sorted(rows(summary[timed]), key=lambda row: (row["latency_p50_s"], row["candidate"]))
    title, under = "Latency of one request", style.heading(suite, "one request at a time, warm", date)
    known = all(not math.isnan(row["latency_p95_s"]) for row in shown)
    bar = "up to the 95th percentile" if known else "up to the 95th percentile, or else the 90 % interval of the median"
    notes = [f"Mark: median. Bar: {bar}. Log scale."]
    if missing := [escape_terminal(name) for name in summary.loc[~timed, "candidate"]]:
        notes.append(f"Not shown (no latency measured): {', '.join(missing)}.")
    values = (f"{escape_terminal(row['candidate'])} {' to '.join(_ends(row))}" for row in shown)
    ends = "median to 95th percentile" if known else "median, and the 95th percentile where it is known"
    alt = f"Latency of one request, {ends}: {'; '.join(values) or 'not measured'}."
    draw = partial(_latency_figure, shown, title=title, under=under, notes=notes)
    return style.Picture("latency", title, under, notes, alt, draw)


def _ends(row: Mapping[str, Any]) -> list[str]:
    return [duration(row[f"latency_p{q}_s"]) for q in (50, 95) if not math.isnan(row[f"latency_p{q}_s"])]


def _bar(row: Mapping[str, Any]) -> tuple[float, float]:
    """From the median to the 95th percentile, or else the interval of the median, or else the median alone."""
    half, slow = row["latency_p50_s"], row["latency_p95_s"]
    ends = (half, slow) if not math.isnan(slow) else (row["latency_p50_low_s"], row["latency_p50_high_s"])
    return (half, half) if math.isnan(ends[0]) else ends


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
    ends = [max(end, _LEAST_S) for row in shown for end in _bar(row)]
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
    half, low, high = (max(end, _LEAST_S) for end in (row["latency_p50_s"], *_bar(row)))
    text: dict[str, Any] = {"transform": across, "va": "baseline", "fontsize": 8.5, "parse_math": False}
    for i, line in enumerate(name.splitlines()):
        axes.text(0, top + 0.18 + i * _ROW_LINE, line, ha="left", color=style.INK, gid="name", **text)
    axes.text(1, top + 0.18, " – ".join(_ends(row)), ha="right", color=style.QUIET, gid="figures", **text)
    y = bottom - 0.12
    axes.plot([0, 1], [y, y], transform=across, color=style.GRID, linewidth=0.8, zorder=1)
    axes.plot([low, high], [y, y], color=colour, linewidth=3, solid_capstyle="butt", zorder=2, gid="bar")
    axes.plot([high, high], [y - 0.05, y + 0.05], color=colour, linewidth=2, zorder=2)
    axes.plot([half], [y], marker=shape, markersize=7.5, mfc=colour, mec=style.PAPER, mew=0.8, zorder=3, gid="mark")


Role = Literal["recommended", "tuned", "today", "other"]

_BESIDE = style.Sheet(5.8, worded=False)  # on a page, the options stand beside it
_OPTIONS_HEIGHT = 2.6  # inches of the axes
_COLUMN = 0.13  # width of a column for costs that a log scale lacks, as a share of the scale beside it
_BELOW = 25.0  # points under the options that matter: what is further below is named in the notes
_FEW_TICKS, _MOST_TICKS = 4, 7
_NAMED = 3  # candidates that are not an option and are named in the chart, at most
_NAME, _NARROW_NAME = (36, 3), (20, 4)  # characters per line, lines
COLOURS = {"recommended": style.GO, "tuned": style.MORE_DATA, "today": style.INK, "other": style.LINE}
_LEGEND = {"recommended": "recommended", "tuned": "fine-tuned", "today": "today"}  # the others are grey
_SHAPES = {"none": "v", "prompt": "o", "retrieval": "s", "model": "P", "tuned": "D"}


@dataclass(frozen=True, kw_only=True)
class OptionMark:
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


def options_picture(
    options: Sequence[OptionMark],
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


def _money(one: OptionMark, volume: float | None) -> str:
    """What it costs, the month first."""
    if one.usd is None:
        return "cost unknown"
    least = "at most " if one.at_most else ""
    if volume is None:
        return f"{least}{usd(one.usd)} per 1,000"
    each = "" if one.usd_per_1000 is None or one.at_most else f" (requests: {usd(one.usd_per_1000)} per 1,000)"
    return f"{least}{usd(one.usd)} a month{each}"


def _scale(costs: Sequence[float | None], volume: float | None) -> _Scale:
    known = [cost for cost in costs if cost is not None]
    low, high = limits([cost for cost in known if cost > 0] or [1.0])
    marks, column = ticks(low, high, dollars, most=_MOST_TICKS), math.log10(high / low) * _COLUMN
    zero = unknown = None
    if not known:
        return _Scale("Cost unknown; the best is on the left", low, high, [], None, None)
    if any(cost <= 0 for cost in known):
        zero = low / 10 ** (column / 2)
        marks = [(zero, "$0"), *marks]
    if len(known) < len(costs):
        unknown = high * 10 ** (column / 2)
        marks = [*marks, (unknown, "unknown")]
    ends = low / 10**column if zero else low, high * 10**column if unknown else high
    return _Scale(f"{_axis(volume)}, log scale", *ends, marks, zero, unknown)


def _visible(options: Sequence[OptionMark]) -> tuple[list[OptionMark], list[OptionMark]]:
    """Options that the scale shows, and those far below the ones that matter and the best of the others."""
    others = sorted((one for one in options if one.role == "other"), key=lambda one: one.accuracy)
    matter = [*(one for one in options if one.role != "other"), *others[-1:]]
    least = min((one.accuracy for one in matter), default=0.0) - _BELOW / 100
    return [one for one in options if one.accuracy >= least], [one for one in options if one.accuracy < least]


def _notes(options: Sequence[OptionMark], below: Sequence[OptionMark]) -> list[str]:
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
    options: Sequence[OptionMark],
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
    height = _OPTIONS_HEIGHT * (1.25 if sheet.narrow else 1)
    top = 0.56 if sheet.narrow else 0.36  # on a narrow sheet, the key is above the caption
    figure, axes = style.blank(sheet, height, left=left, right=right, top=top, bottom=0.56, notes=notes)
    _axes(axes, scale, options, target, few=sheet.narrow)
    points = [_point(one, scale, volume) for one in options]
    if not scale.marks:  # no cost is known
        points = _side_by_side(points, scale)
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


def _point(one: OptionMark, scale: _Scale, volume: float | None) -> Mark:
    """Its place; a name with its figures if it is an option that matters."""
    x = scale.unknown if one.usd is None else (scale.zero if one.usd <= 0 else one.usd)
    name = one.name
    if one.role != "other":
        name = f"{name}\n{percent(one.accuracy)}, {_money(one, volume).replace(' (', chr(10)).rstrip(')')}"
    low, high = one.accuracy if one.low is None else one.low, one.accuracy if one.high is None else one.high
    matters = one.role in {"recommended", "tuned"}
    return Mark(name, "", one.lever, x or scale.low, 100 * one.accuracy, 100 * low, 100 * high, matters)


def _side_by_side(points: Sequence[Mark], scale: _Scale) -> list[Mark]:
    """Marks without a cost, from the most accurate."""
    ranks = {i: rank for rank, i in enumerate(sorted(range(len(points)), key=lambda i: -points[i].accuracy))}
    ratio = scale.high / scale.low
    return [replace(one, x=scale.low * ratio ** ((ranks[i] + 0.5) / len(points))) for i, one in enumerate(points)]


def _axes(axes: Axes, scale: _Scale, options: Sequence[OptionMark], target: float | None, *, few: bool) -> None:
    from matplotlib.ticker import MaxNLocator, NullLocator

    style.bare(axes)
    axes.set_xscale("log")
    axes.set_xlim(scale.low, scale.high)
    axes.xaxis.set_minor_locator(NullLocator())
    marks = scale.marks[:: max(1, -(-len(scale.marks) // _FEW_TICKS))] if few else scale.marks
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


def _mark(axes: Axes, one: OptionMark, point: Mark) -> None:
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


def _key(axes: Axes, options: Sequence[OptionMark], bottom: float) -> None:
    """Which colour is which role."""
    roles = [role for role in _LEGEND if any(one.role == role for one in options)]
    style.colour_key(axes, [(_LEGEND[role], COLOURS[role]) for role in roles], bottom)
