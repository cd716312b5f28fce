"""A learning curve for people: would more labels help, and from how many on does tuning pay?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from thirdlever.charts.learning_curve import about, overtakes
from thirdlever.core.table import Column, Table
from thirdlever.core.text import WIDTH, amount, counted, duration, paragraph, points, usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.analysis.learning import CurveLine, CurvePoint, LearningCurve, NextLabels, Overtaking, Worth
    from thirdlever.core.table import Cell


_ACROSS = 5  # numbers of labels side by side
_FAR = 1.5  # times the most labels that were measured: from here on, an extrapolation is a long one
_LEAST = 0.0005  # of an accuracy: below, it is no gain


def render_curve(found: LearningCurve, fmt: Literal["text", "json"] = "text", *, width: int = WIDTH) -> str:
    """The table, then what it says in sentences.

    Args:
        found: the curve.
        fmt: "text" for a terminal; "json" holds every figure at full precision.
        width: columns of the terminal.
    """
    if fmt == "json":
        return json.dumps(found.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    tables = [table.terminal(width) for table in tables_of(found)]
    lines = [paragraph(line, width=width) for line in sentences(found)]
    legend = "\n".join(paragraph(line, width=width, rest="  ") for line in legend_of(found))
    return "\n\n".join([*tables, *lines, legend]) + "\n"


def tables_of(found: LearningCurve) -> list[Table]:
    """Accuracy by strategy and number of labels; and what that takes."""
    sizes = sorted({point.labels for line in found.lines for point in line.points if point.labels}) or [0]
    parts = [sizes[start : start + _ACROSS] for start in range(0, len(sizes), _ACROSS)]
    heads = ("latency\np50", "cost $\nper 1,000", "set-up\ncost $", "set-up\ntime", "labels\nused")
    further = [Column("with most labels", "name"), *map(Column, heads)]
    return [*(_accuracies(found, part) for part in parts), Table(further, [_taking(line) for line in found.lines])]


def _accuracies(found: LearningCurve, sizes: Sequence[int]) -> Table:
    columns = [Column("accuracy %\nwith labels", "name"), *(Column(f"{size:,}") for size in sizes)]
    rows: list[list[Cell]] = [[_title(line), *(_accuracy(_at(line, size)) for size in sizes)] for line in found.lines]
    return Table(columns, rows)


def _title(line: CurveLine) -> str:
    return f"{line.title} (no labels)" if line.flat else line.title


def _at(line: CurveLine, size: int) -> CurvePoint | None:
    return line.points[0] if line.flat else next((point for point in line.points if point.labels == size), None)


def _accuracy(point: CurvePoint | None) -> Cell:
    if point is None:
        return "–"
    return f"{100 * point.accuracy:.1f}", f"[{100 * point.low:.1f}, {100 * point.high:.1f}]"


def _taking(line: CurveLine) -> list[Cell]:
    last = line.points[-1]
    figures = (duration(last.latency_s), amount(last.usd_per_1000), amount(last.setup_usd), duration(last.setup_s))
    return [line.title, *figures, f"{last.used:,}"]


def legend_of(found: LearningCurve) -> list[str]:
    """What the figures mean."""
    draws = sorted({point.draws for line in found.lines for point in line.points if point.labels})
    varied = any(line.draws_vary for line in found.lines)
    number = counted(draws[-1], "draw") if draws else "0 draws"
    source = "the test items and the draw of the labels" if varied else "the test items alone; give several --seeds"
    lines = [
        f"Accuracy: mean over {number} and {counted(found.items, 'test item')}; 95 % interval from {source}.",
        "Labels: examples in train and dev together. Set-up: paid once, without labels and engineering.",
    ]
    if any(line.flat for line in found.lines):
        lines.append("No labels: measured once.")
    for why in dict.fromkeys(one.why for one in found.lost):
        of = dict.fromkeys(f"{one.line} with {one.labels:,} labels" for one in found.lost if one.why == why)
        lines.append(f"{', '.join(of)}: {why}.")
    return lines


# In sentences


def sentences(found: LearningCurve) -> list[str]:
    """Where one overtakes another, what noise costs, and what more labels would buy."""
    return [
        *map(overtaking_sentence, found.overtakings),
        *map(worth_sentence, found.worths),
        *(gain_sentence(one, found.usd_per_label) for one in found.gains),
    ]


def overtaking_sentence(one: Overtaking) -> str:
    """Where a line overtakes another, and how certain that is."""
    last = f"With {one.last:,}, the difference is {_signed(one.difference)} (95 % interval {_span(one)})."
    if one.open:
        known = f"{one.first:,} to {one.last:,} labels" if one.last > one.first else f"{one.first:,} labels"
        return f"{overtakes(one)}, but the interval of that includes every outcome within {known}. {last}"
    return f"{overtakes(one)} ({_interval(one)}). {last}"


def _interval(one: Overtaking) -> str:
    if one.certain:
        return "95 % interval: the same"
    if one.low is None:
        return f"95 % interval: at most {about(one.high or one.last)}"
    if one.high is None:
        return f"95 % interval: {about(one.low)} or more, or not at all"
    return f"95 % interval: {about(one.low)} to {about(one.high)}"


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f} points"


def _span(one: Overtaking) -> str:
    return f"{100 * one.difference_low:+.1f} to {100 * one.difference_high:+.1f}"


def worth_sentence(one: Worth) -> str:
    """How many right labels are as good as many of which some are wrong."""
    found, noisy = one.clean, f"{one.noisy:,} labels of which {100 * one.noise:g} % are wrong"
    if found.outcome == "within" and found.labels is not None:
        at_least = (
            f"95 % interval: {about(found.low)} or more" if found.low and found.high is None else _interval(found)
        )
        return f"{one.line}: {noisy} are as good as about {about(found.labels)} right ones ({at_least})."
    if found.outcome == "already":
        return f"{one.line}: {noisy} are no better than {found.first:,} right ones ({_interval(found)})."
    return f"{one.line}: {noisy} are at least as good as {found.last:,} right ones ({_interval(found)})."


def gain_sentence(one: NextLabels, usd_per_label: float | None) -> str:
    """What more labels would buy, what they would cost, and how far that can be trusted."""
    gain = max(one.gain, 0.0)
    what = f"{one.line}: {one.more:,} labels beyond {one.last:,}"
    bought = f"would add about {points(gain)}" if gain >= _LEAST else "would add nothing that this curve shows"
    text = f"{what} {bought} (95 % interval {100 * one.gain_low:.1f} to {100 * one.gain_high:.1f})"
    if usd_per_label is not None:
        cost = one.more * usd_per_label
        text += f" for {usd(cost)}"
        text += f", {usd(cost / (100 * gain))} a point" if gain >= _LEAST and cost else ""
    return " ".join([f"{text}.", *_trust(one)])


def _trust(one: NextLabels) -> list[str]:
    far = (one.last + one.more) / one.last
    reach = f"extrapolated to {far:.1f} times the most that was measured" if far > _FAR else "extrapolated"
    notes = [f"This is {reach} by error = {one.a:.2g} · n^-{one.b:.2f} + {one.c:.2g}, fitted to {one.sizes} sizes"]
    if one.p is None:
        notes[0] += ", which such a curve always fits: measure a fourth"
    notes[0] += "."
    if not one.fits:
        notes.append("The formula does not fit what was measured, so do not rely on it.")
    if one.available:
        notes.append(f"The suite has {one.available:,} more labels: measure with them instead.")
    return notes
