"""Comparisons as sentences that need no statistics to be read."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import textwrap
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.core.text import md_code, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.analysis.compare import Compared, Comparison, NonInferiority
    from thirdlever.analysis.stats.variance import Variance


_Z95 = 1.96
_MOST_ITEMS = 10_000_000  # nobody labels more to settle one question


def points(share: float) -> str:
    """A share in points, signed: +4.4."""
    return f"{100 * share:+.1f}" if round(100 * share, 1) else "0.0"


def p_value(p: float) -> str:
    """Two digits: 0.027; what is smaller than 0.0001 says so."""
    if p < 0.0001:  # noqa: PLR2004 - as journals do
        return "<0.0001"
    return f"{p:.1f}" if p > 0.995 else f"{p:.2g}"  # noqa: PLR2004 - it rounds to 1


def difference_sentence(one: Comparison, name: Callable[[str], str], family: int) -> str:
    """Who was right where, by how much, how sure that is, and what the items could have shown."""
    a, b = name(one.a), name(one.b)
    return " ".join([_flips(one, a, b), _size(one, b), _luck(one, family), _reach(one)])


def loss_sentence(found: NonInferiority, name: Callable[[str], str]) -> str:
    """Whether one may take the other's place."""
    candidate, reference, margin = name(found.candidate), name(found.reference), _plain_share(found.margin)
    if found.holds:
        return f"{candidate} may replace {reference}: a loss of {margin} or more is ruled out (95 % sure)."
    bound = f"it may be {_plain_share(-found.low)} worse" if found.low < 0 else "the items are too few"
    return (
        f"That {candidate} is less than {margin} worse than {reference} is not shown: {bound}. "
        f"About {found.needed:,} items would show it, were the two equally good."
    )


def spread_sentence(one: Variance, name: Callable[[str], str]) -> str:
    """How far one run of a recipe can mislead."""
    seeds = len(one.candidates)
    return (
        f"{name(one.recipe)} was tried with {seeds} seeds and scored "
        f"{100 * one.lowest:.1f} to {100 * one.highest:.1f} %. "
        f"One such run is off by up to {_plain_share(_Z95 * one.se_one)} (95 % of the time): "
        f"{_plain_share(_Z95 * one.se_items)} from the choice of items, "
        f"{_plain_share(_Z95 * one.se_seeds)} from the draw of its {one.source}, which no interval of one run can see. "
        f"The mean of all {seeds} is {100 * one.mean:.1f} %, give or take {_plain_share(_Z95 * one.se_all)}."
    )


def _flips(one: Comparison, a: str, b: str) -> str:
    if not one.won + one.lost:
        return f"{b} and {a} do equally well on every item."
    if one.epochs == 1 and not one.graded:
        return f"{b} is right on {_items(one.won)} where {a} is wrong, and wrong on {one.lost:,} where {a} is right."
    return f"{b} does better than {a} on {_items(one.won)}, and worse on {one.lost:,}."


def _size(one: Comparison, b: str) -> str:
    """The difference and its interval, in the direction that is observed."""
    sign = -1 if one.difference < 0 else 1
    better, worse = ("worse", "better") if sign < 0 else ("better", "worse")
    near, far = sorted((sign * one.low, sign * one.high))
    between = (
        f"{_plain_share(far)} {better}"
        if near >= 0
        else f"{_plain_share(-near)} {worse} to {_plain_share(far)} {better}"
    )
    between = f"{_plain_share(near)} to {between}" if near >= 0 else between
    what = f"{_plain_share(abs(one.difference))} {better}" if one.difference else "exactly as good"
    return f"So {b} is {what} here; on other such items it would be {between} ({100 * one.confidence:g} % sure)."


def _luck(one: Comparison, family: int) -> str:
    odds = _odds(one.p)
    if one.p <= 0.05 < one.p_adjusted:  # noqa: PLR2004 - the usual level
        return (
            f"Luck alone would part two equals so far in {odds}; but among {family} comparisons "
            f"one like it is no rarity (adjusted p {p_value(one.p_adjusted)}): the difference is not proven."
        )
    verdict = "the difference is real" if one.significant() else "the difference is not proven"
    among = f", {p_value(one.p_adjusted)} among {family} comparisons" if family > 1 else ""
    return f"Luck alone would part two equals so far in {odds} (p {p_value(one.p)}{among}): {verdict}."


def _reach(one: Comparison) -> str:
    if one.significant():
        return ""
    reach = f"So many items reliably show differences from {_plain_share(one.mde)} on"
    if math.isnan(one.mde):
        reach = "So few items cannot show any difference"
    if not one.difference or (more := one.needed(abs(one.difference))) > _MOST_ITEMS:
        return f"{reach}; not proven is not the same as equal."
    gap = _plain_share(abs(one.difference))
    return f"{reach}; for {gap} it takes about {more:,}. Not proven is not the same as equal."


def _odds(p: float) -> str:
    if p < 0.0001:  # noqa: PLR2004 - as p_value
        return "fewer than 1 of 10,000 cases"
    return f"{100 * p:.2g} % of cases" if p < 0.995 else "every case"  # noqa: PLR2004 - it rounds to 100


def _plain_share(share: float) -> str:
    return f"{abs(100 * share):.1f} points"


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}"


Format = Literal["text", "md", "json"]
_IN_WORDS = 8  # comparisons told one by one; more are a table to look up
_HEADERS = (
    "candidate",
    "held\nagainst",
    "points\n[{} interval]",
    "won/\nlost",
    "p\n(adjusted)",
    "would show\n(points)",
)


def render(found: Compared, fmt: Format = "text", *, width: int = 100) -> str:
    """Accuracies, differences with their uncertainty, and the same in words.

    Args:
        found: what was compared.
        fmt: "text" for a terminal, "md" for Markdown; "json" holds every figure at full precision.
        width: columns of the terminal.
    """
    match fmt:
        case "json":
            return json.dumps(_plain(dataclasses.asdict(found)), indent=2, allow_nan=False)
        case "md":
            return _markdown(found)
        case "text":
            return _text(found, width)


def _text(found: Compared, width: int) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    tables = []
    for headers, rows in (
        (_accuracy_headers(found), _accuracies(found, printable)),
        (_headers(found), _rows(found, printable)),
    ):
        table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
        for header in headers:
            named = header.startswith(("candidate", "held"))
            table.add_column(Text(header), justify="left" if named else "right", no_wrap=not named)
        for row in rows:
            table.add_row(*map(Text, row))
        tables.append(table)
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, legacy_windows=False)
    for part in (*_wrapped(_intro(found), width), "", tables[0], "", tables[1], ""):
        console.print(Text(part) if isinstance(part, str) else part)
    for paragraph in (*_sentences(found, printable), *_notes(found)):
        console.print(Text("\n".join(_wrapped(paragraph, width)) + "\n"))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()).rstrip() + "\n"


def _markdown(found: Compared) -> str:
    lines = [_intro(found), ""]
    for headers, rows in (
        (_accuracy_headers(found), _accuracies(found, md_code)),
        (_headers(found), _rows(found, md_code)),
    ):
        lines += ["| " + " | ".join(header.replace("\n", " ") for header in headers) + " |"]
        lines += ["|" + "|".join(":--" if h.startswith(("candidate", "held")) else "--:" for h in headers) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines += [""]
    lines += [f"- {sentence}" for sentence in _sentences(found, md_code)]
    return "\n".join([*lines, "", *(f"{note}  " for note in _notes(found))]).rstrip() + "\n"


def _intro(found: Compared) -> str:
    part = "" if found.part is None else f", slice {printable(found.part)}"
    grouped = "" if found.clusters == found.items else f" from {found.clusters:,} independent groups"
    asked = "" if found.epochs == 1 else f", each asked {found.epochs} times"
    return f"Suite {printable(found.suite)}{part}: {found.items:,} test items{grouped}{asked}."


def _accuracy_headers(found: Compared) -> Sequence[str]:
    return "candidate", f"accuracy %\n[{_confidence(found)} interval]"


def _accuracies(found: Compared, name: Callable[[str], str]) -> list[Sequence[str]]:
    return [
        (name(candidate), f"{100 * one.value:.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]")
        for candidate, one in found.accuracies.items()
    ]


def _headers(found: Compared) -> Sequence[str]:
    return [header.format(_confidence(found)) for header in _HEADERS]


def _rows(found: Compared, name: Callable[[str], str]) -> list[Sequence[str]]:
    return [
        (
            name(one.b),
            name(one.a),
            f"{points(one.difference)} [{points(one.low)}, {points(one.high)}]",
            f"{one.won:,}/{one.lost:,}",
            f"{p_value(one.p)} ({p_value(one.p_adjusted)})",
            "none" if math.isnan(one.mde) else f"{100 * one.mde:.1f}",
        )
        for one in found.comparisons
    ]


def _sentences(found: Compared, name: Callable[[str], str]) -> list[str]:
    told = []
    if len(found.comparisons) <= _IN_WORDS:
        losses = [" " + loss_sentence(one, name) for one in found.non_inferiority] or [""] * len(found.comparisons)
        for one, loss in zip(found.comparisons, losses, strict=True):
            told.append(difference_sentence(one, name, found.family).rstrip() + loss)
    return told + [spread_sentence(one, name) for one in found.variances]


def _notes(found: Compared) -> list[str]:
    """How to read the table."""
    methods = sorted({one.method for one in found.comparisons})
    among = f"adjusted (Holm) for all {found.family} comparisons" if found.family > 1 else "of this one comparison"
    notes = [
        f"Test: {' or '.join(methods)}; p {among}.",
        "Won/lost: items on which the candidate does better/worse than the one it is held against.",
        "Would show: the smallest true difference that so many items show in 8 of 10 tries (at a two-sided 5 %).",
    ]
    if len(found.comparisons) > _IN_WORDS:
        notes.append("Name two candidates to read their comparison in words.")
    if found.family == 1:
        notes.append("A pair that was picked for its scores needs --all, which allows for the picking.")
    return notes


def _confidence(found: Compared) -> str:
    return f"{100 * found.comparisons[0].confidence:g} %"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=True, break_on_hyphens=False)


def _plain(value: Any) -> Any:  # noqa: ANN401 - what JSON takes
    """The same with null for what is no number."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
