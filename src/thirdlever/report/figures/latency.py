"""How long one request takes: from the median to what one request in twenty exceeds, a line a candidate."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.scorecards import rows
from thirdlever.core.text import printable
from thirdlever.report.axis import limits, seconds, ticks
from thirdlever.report.figures import style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE, _PAD = 0.16, 0.3  # inches: a line of a name, and the rest of a candidate's row
_EDGE = 0.05  # share of the scale at either end without a label, which would stand out
_LEAST_S = 1e-6  # a clock may not see less


def picture(summary: pd.DataFrame, *, suite: str = "", date: str = "") -> style.Picture:
    """Latencies, fastest first.

    Args:
        summary: what `scorecards` returns.
        suite: its name, for the heading.
        date: of the run, for the heading.
    """
    timed = summary["latency_p50_s"].notna()
    shown = sorted(rows(summary[timed]), key=lambda row: (row["latency_p50_s"], row["candidate"]))
    title = "How long one request takes"
    under = style.heading(suite, "single requests, one at a time, warm", date)
    notes = ["Mark: half of all requests are faster. Bar: 95 of 100 are faster. Log scale."]
    if missing := [printable(name) for name in summary.loc[~timed, "candidate"]]:
        notes.append(f"Not shown, no latency measured: {', '.join(missing)}.")
    said = (f"{printable(row['candidate'])} {' to '.join(_ends(row))}" for row in shown)
    alt = f"Latency of single requests, median to 95th percentile: {'; '.join(said) or 'none was measured'}."
    draw = partial(_figure, shown, title=title, under=under, notes=notes)
    return style.Picture("latency", title, under, notes, alt, draw)


def duration(value: float) -> str:
    """Two or three digits and a unit.

    >>> [duration(value) for value in (0.0004, 0.0175, 0.612, 1.553, 75.2)]
    ['400 µs', '18 ms', '612 ms', '1.55 s', '75 s']
    """
    if value >= 1:
        return f"{value:,.2f} s" if value < 10 else f"{value:,.0f} s"  # noqa: PLR2004 - three digits
    return seconds(value)


def _ends(row: Mapping[str, Any]) -> tuple[str, str]:
    return duration(row["latency_p50_s"]), duration(row["latency_p95_s"])


def _figure(
    shown: Sequence[Mapping[str, Any]], sheet: style.Sheet, *, title: str, under: str, notes: Sequence[str]
) -> Figure:
    width = 30 if sheet.narrow else 80
    names = [style.label(row["candidate"], width, 2) for row in shown]
    edges = list(itertools.accumulate((_PAD + _LINE * (1 + name.count("\n")) for name in names), initial=0.0))
    side = 0.16 if sheet.worded else 0.03
    height = max(edges[-1], _PAD)
    figure, axes = style.blank(sheet, height, left=side, right=side, top=0.04, bottom=0.52, notes=notes)
    style.bare(axes)
    axes.set_ylim(height, 0)
    axes.set_yticks([])
    _scale(axes, shown, few=sheet.narrow)
    looks = style.styles(row["strategy"] for row in shown)
    for row, name, (top, bottom) in zip(shown, names, itertools.pairwise(edges), strict=True):
        _row(axes, row, name, looks[row["strategy"]], top=top, bottom=bottom)
    style.words(figure, sheet, title=title, under=under, notes=notes)
    return figure


def _scale(axes: Axes, shown: Sequence[Mapping[str, Any]], *, few: bool) -> None:
    from matplotlib.ticker import FixedLocator, NullLocator

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
    axes.xaxis.set_major_locator(FixedLocator([x for x, _ in marks]))
    axes.set_xticklabels([text for _, text in marks])
    axes.set_xlabel("Time to the whole answer (log scale)", fontsize=9, color=style.QUIET, loc="right", labelpad=5)


def _row(axes: Axes, row: Mapping[str, Any], name: str, look: tuple[str, str], *, top: float, bottom: float) -> None:
    """Name and figures above, the line below."""
    shape, colour = look
    across = axes.get_yaxis_transform()
    half, slow = (max(row[f"latency_p{q}_s"], _LEAST_S) for q in (50, 95))
    text: dict[str, Any] = {"transform": across, "va": "baseline", "fontsize": 8.5, "parse_math": False}
    for i, line in enumerate(name.splitlines()):
        axes.text(0, top + 0.18 + i * _LINE, line, ha="left", color=style.INK, gid="name", **text)
    axes.text(1, top + 0.18, " – ".join(_ends(row)), ha="right", color=style.QUIET, gid="figures", **text)
    y = bottom - 0.12
    axes.plot([0, 1], [y, y], transform=across, color=style.GRID, linewidth=0.8, zorder=1)
    axes.plot([half, slow], [y, y], color=colour, linewidth=3, solid_capstyle="butt", zorder=2, gid="bar")
    axes.plot([slow, slow], [y - 0.05, y + 0.05], color=colour, linewidth=2, zorder=2)
    axes.plot([half], [y], marker=shape, markersize=7.5, mfc=colour, mec=style.PAPER, mew=0.8, zorder=3, gid="mark")
