"""Comparisons of candidates: tables of differences, and sentences that need no statistics to be read."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, astuple
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.core.table import Column, Table
from thirdlever.core.text import WIDTH, counted, escape_markdown, interval, p_value, paragraph, points
from thirdlever.report import regression

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.analysis.compare import Compared, Comparison, NonInferiority
    from thirdlever.analysis.variance import Variance
    from thirdlever.lifecycle.diff import CandidateDiff


Format = Literal["text", "md", "json"]
_IN_WORDS = 8  # at most so many comparisons are described in sentences; more are shown in the table only
_Z95 = 1.96
_MOST_ITEMS = 10_000_000  # a larger test set is not worth suggesting


def render(
    found: Compared, fmt: Format = "text", *, width: int = WIDTH, items: Sequence[CandidateDiff] | None = None
) -> str:
    """Accuracies, differences with their uncertainty, and the same in sentences.

    Args:
        found: what was compared.
        fmt: "text" for a terminal, "md" for Markdown; "json" holds every figure at full precision.
        width: columns of the terminal.
        items: on which the candidates of each comparison differ; None to leave them out.
    """
    if fmt == "json":
        listed = {} if items is None else {"differing": [_differing_json(one) for one in items]}
        return json.dumps(_plain(asdict(found) | listed), indent=2, allow_nan=False)
    tables = [_accuracies(found), _differences(found, found.comparisons)]
    if found.overall:
        tables.insert(1, _differences(found, found.overall))
    sentences, notes = _sentences(found), _notes(found)
    if fmt == "md":
        blocks = [escape_markdown(_intro(found)), *(table.markdown() for table in tables)]
        blocks.append("\n".join(f"- {escape_markdown(line)}" for line in sentences))
        blocks.append("  \n".join(map(escape_markdown, notes)))
        blocks += [regression.render_alone(one, "md") for one in items or ()]
        return "\n\n".join(filter(None, blocks)) + "\n"
    blocks = [paragraph(_intro(found), width=width), *(table.terminal(width) for table in tables)]
    blocks += [paragraph(line, width=width) for line in sentences]
    blocks.append("\n".join(paragraph(note, width=width, rest="  ") for note in notes))
    blocks += [regression.render_alone(one, "text") for one in items or ()]
    return "\n\n".join(blocks) + "\n"


def _differing_json(one: CandidateDiff) -> dict[str, Any]:
    lists = (("better_a", one.broken), ("better_b", one.fixed), ("same_score", one.reworded))
    names = ("id", "input", "target", "answer_a", "answer_b")
    found = {key: [dict(zip(names, astuple(flip), strict=True)) for flip in flips] for key, flips in lists}
    return {"a": one.before, "b": one.after, **found}


def _intro(found: Compared) -> str:
    part = "" if found.part is None else f", slice {found.part}"
    groups = "" if found.clusters == found.items else f" from {counted(found.clusters, 'independent group')}"
    epochs = "" if found.epochs == 1 else f", each run {found.epochs} times"
    return f"Suite {found.suite}{part}: {counted(found.items, 'test item')}{groups}{epochs}."


def _accuracies(found: Compared) -> Table:
    columns = [Column("candidate", "name"), Column(f"accuracy %\n[{_confidence(found.comparisons[0])}]")]
    return Table(columns, [(name, interval(one.value, one.low, one.high)) for name, one in found.accuracies.items()])


def _differences(found: Compared, comparisons: Sequence[Comparison]) -> Table:
    heads = (
        f"difference, points\n[{_confidence(found.comparisons[0])}]",
        "items better/\nworse",
        "p\n(adjusted)",
        "detectable,\npoints",
    )
    rows = [
        (
            one.b,
            one.a,
            interval(one.difference, one.low, one.high, sign=True),
            f"{one.won:,}/{one.lost:,}",
            f"{p_value(one.p)} ({p_value(one.p_adjusted)})",
            "none" if math.isnan(one.mde) else f"{100 * one.mde:.1f}",
        )
        for one in comparisons
    ]
    return Table([Column("candidate", "name"), Column("reference", "name"), *map(Column, heads)], rows)


def _sentences(found: Compared) -> list[str]:
    lines = []
    if len(found.comparisons) <= _IN_WORDS:
        losses = [loss_sentence(one) for one in found.non_inferiority] or [""] * len(found.comparisons)
        for one, loss in zip(found.comparisons, losses, strict=True):
            lines.append(" ".join(filter(None, [difference_sentence(one, found.family), loss])))
    return lines + [spread_sentence(one) for one in found.variances]


def _notes(found: Compared) -> list[str]:
    methods = " or ".join(sorted({one.method for one in found.comparisons}))
    several = found.family > 1
    overall = f"Over all {found.by} pairs: each item counts with the mean score of the candidates on it."
    notes = [
        *([overall] if found.overall else []),
        *(f"{name} is left out: {why}." for name, why in found.not_measured.items()),
        f"Test: {methods}; p {f'adjusted (Holm) for all {found.family} comparisons' if several else 'not adjusted'}.",
        "Items better/worse: where the candidate does better/worse than the reference.",
        "Detectable: the smallest true difference found with 80 % power on this many items (two-sided, 5 % level).",
    ]
    if len(found.comparisons) > _IN_WORDS:
        notes.append("To read a comparison in words, name its two candidates.")
    if not several and not found.by:
        notes.append("If you picked this pair by its scores, use --all, which adjusts for the choice.")
    return notes


def difference_sentence(one: Comparison, family: int) -> str:
    """Which items differ, by how much, how likely chance is as the cause, and what the items can detect."""
    if not one.won + one.lost:
        return f"{_items(one)} {_power(one)}"
    return " ".join(filter(None, [_items(one), _size(one), _chance(one, family), _power(one)]))


def loss_sentence(found: NonInferiority) -> str:
    """Whether the candidate can replace the reference."""
    candidate, reference, margin = found.candidate, found.reference, points(found.margin)
    if found.holds:
        return f"{candidate} can replace {reference}: a loss of {margin} or more is ruled out (95 % confidence)."
    bound = f"it may be {points(found.low)} worse" if found.low < 0 else "there are too few items"
    return (
        f"It is not shown that {candidate} is less than {margin} worse than {reference}: {bound}. "
        f"If both are equally good, about {counted(found.needed, 'item')} would show it."
    )


def spread_sentence(one: Variance) -> str:
    """How much the result depends on the seed."""
    seeds, (all_, items, draw, mean) = (
        len(one.candidates),
        (points(_Z95 * error) for error in (one.se_one, one.se_items, one.se_seeds, one.se_all)),
    )
    return (
        f"{one.recipe} was run with {seeds} seeds and scored {100 * one.lowest:.1f} to {100 * one.highest:.1f} %. "
        f"A single run is off by up to {all_} (95 % confidence): {items} from the choice of items and {draw} from the "
        f"draw of its {one.source}, which the interval of a single run does not cover. "
        f"The mean of all {seeds} is {100 * one.mean:.1f} %, plus or minus {mean}."
    )


def _items(one: Comparison) -> str:
    if not one.won + one.lost:
        return f"{one.b} and {one.a} do equally well on every item."
    won = counted(one.won, "item")
    if one.epochs == 1 and not one.graded:
        return f"{one.b} is right on {won} that {one.a} gets wrong, and wrong on {one.lost:,} that {one.a} gets right."
    return f"{one.b} does better than {one.a} on {won}, and worse on {one.lost:,}."


def _size(one: Comparison) -> str:
    """The difference and its interval, in the observed direction."""
    better, worse = ("better", "worse") if one.difference >= 0 else ("worse", "better")
    near, far = sorted((one.low, one.high) if one.difference >= 0 else (-one.low, -one.high))
    least = f"{100 * near:.1f}" if near >= 0 else f"{points(near)} {worse}"
    span = f"{_confidence(one)}: {least} to {points(far)} {better}"
    if not one.difference:
        return f"Overall, no difference was found between {one.b} and {one.a} ({span})."
    return f"Overall, {one.b} is {points(one.difference)} {better} ({span})."


def _chance(one: Comparison, family: int) -> str:
    if one.p >= 0.995:  # noqa: PLR2004 - as p_value
        return f"The difference is what chance alone would bring ({_p(one.p)}): it is not significant."
    share = "fewer than 1 in 10,000" if one.p < 0.0001 else f"{100 * one.p:.2g} % of"  # noqa: PLR2004 - as p_value
    chance = f"If both were equally good, a difference this large would occur in {share} runs"
    adjusted = f"adjusted {_p(one.p_adjusted)}"
    if one.p <= 0.05 < one.p_adjusted:  # noqa: PLR2004 - the usual level
        return f"{chance}; among {family} comparisons that is not unusual ({adjusted}): it is not significant."
    verdict = "the difference is significant" if one.significant() else "the difference is not significant"
    among = f", {adjusted} for {family} comparisons" if family > 1 else ""
    return f"{chance} ({_p(one.p)}{among}): {verdict}."


def _p(value: float) -> str:
    shown = p_value(value)
    return f"p < {shown[1:]}" if shown.startswith("<") else f"p = {shown}"


def _power(one: Comparison) -> str:
    if one.significant():
        return ""
    found = f"This many items reliably detect differences of {points(one.mde)} or more"
    if math.isnan(one.mde):
        found = "This few items cannot detect any difference"
    if one.difference and (needed := one.needed(abs(one.difference))) <= _MOST_ITEMS:
        found += f"; to detect {points(one.difference)}, use about {counted(needed, 'item')}"
    return f"{found}. Not significant does not mean equal."


def _confidence(one: Comparison) -> str:
    return f"{100 * one.confidence:g} % CI"


def _plain(value: Any) -> Any:  # noqa: ANN401 - what JSON takes
    """The same with null for NaN and infinity."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
