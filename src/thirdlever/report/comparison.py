"""Comparisons for a terminal, as Markdown and as JSON."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import textwrap
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.core.text import md_code, printable
from thirdlever.report import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.analysis.compare import Compared

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
            f"{words.points(one.difference)} [{words.points(one.low)}, {words.points(one.high)}]",
            f"{one.won:,}/{one.lost:,}",
            f"{words.p_value(one.p)} ({words.p_value(one.p_adjusted)})",
            "none" if math.isnan(one.mde) else f"{100 * one.mde:.1f}",
        )
        for one in found.comparisons
    ]


def _sentences(found: Compared, name: Callable[[str], str]) -> list[str]:
    told = []
    if len(found.comparisons) <= _IN_WORDS:
        losses = [" " + words.loss(one, name) for one in found.non_inferiority] or [""] * len(found.comparisons)
        for one, loss in zip(found.comparisons, losses, strict=True):
            told.append(words.difference(one, name, found.family).rstrip() + loss)
    return told + [words.spread(one, name) for one in found.variances]


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
