"""The memo as Markdown (GitHub's), in which no name or answer is a link, HTML or layout."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thirdlever.core.text import md_code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thirdlever.report.figures.style import Picture
    from thirdlever.report.memo_content import Memo, Shown
    from thirdlever.report.memo_tables import Table

# What Markdown would obey: marks anywhere, addresses that become links by themselves, marks that begin a line.
_MARKS = re.compile(r"([\\`*_\[\]<>|#~&])|(:)(?=//)|(@)|(?<=www)(\.)")
_BEGINNING = re.compile(r"^(?:([-+=])(?!\d)|(\d+)(?=[.)](?:\s|$)))")
_SIGNS = {"GO": "✓", "NO-GO": "✕", "NEED-MORE-DATA": "?"}


def render(memo: Memo, pictures: Sequence[Picture]) -> str:
    """The memo's text; figures are referred to as files beside it."""
    return "\n".join(_lines(memo, {picture.name: picture for picture in pictures})).rstrip() + "\n"


def escaped(text: str) -> str:
    r"""Text in which Markdown finds nothing to obey.

    >>> escaped("<b>rag_k</b> | http://x")
    '\\<b\\>rag\\_k\\</b\\> \\| http\\://x'
    """
    text = _MARKS.sub(r"\\\g<0>", text.strip())
    return _BEGINNING.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\", text)


def _lines(memo: Memo, pictures: dict[str, Picture]) -> Iterator[str]:
    yield from (
        f"**{memo.verdict}.** {escaped(memo.sentence)}",
        "",
        f"# {escaped(memo.title)}",
        "",
        memo.under + ".",
        "",
    )
    yield from (f"- {escaped(what)}: **{escaped(value.replace(chr(10), ' '))}**" for what, value in memo.facts)
    yield from ("", "## Side by side", "", *_table(memo.candidates))
    yield from _picture(pictures.pop("chart"))
    yield from _picture(pictures.pop("gates"))
    yield from ("## Money and time", "")
    for picture in pictures.values():
        yield from _picture(picture)
    yield from _gates(memo)
    yield from ("## What would change our mind", "", *(f"- {escaped(line)}" for line in memo.changes))
    yield from ("", *(f"> {escaped(note)}  " for note in memo.notes), "")
    yield from ("## Failures worth reading", "")
    for heading, items in memo.failures:
        yield from (f"### {escaped(heading)}", "", *(line for item in items for line in _failure(item)))
    if not memo.failures:
        yield from ("No item sets the chosen candidate apart from the others.", "")
    for table in (memo.assumptions, memo.questions, *memo.details):
        yield from (f"## {table.title}", "", *_table(table))
    yield from ("## Provenance", "", *(f"- {escaped(what)}: {md_code(value)}" for what, value in memo.provenance), "")
    for table in memo.sources:
        yield from (f"### {table.title}", "", *_table(table))
    yield from ("### To recompute", "", "Offline, from the run's folder:", "")
    yield from (f"    {line}" for line in memo.recompute)


def _gates(memo: Memo) -> Iterator[str]:
    yield from ("## The gates in full", "")
    for i, gate in enumerate(memo.gates, 1):
        heading = f"### {i}. {escaped(gate.name)}: {_SIGNS[gate.verdict]} {gate.verdict}"
        yield from (heading, "", escaped(gate.question), "")
        told = {"Evidence": gate.evidence, "Held against": gate.threshold, "What would change it": gate.change}
        yield from (f"- {what}: {escaped(text)}" for what, text in told.items())
        yield ""


def _table(table: Table) -> Iterator[str]:
    yield "| " + " | ".join(table.columns) + " |"
    yield "|" + "|".join("--:" if i in table.figures else ":--" for i in range(len(table.columns))) + "|"
    for row in table.rows:
        name, _, role = row[0].partition("\n")
        first = md_code(name) if table.names else escaped(name)
        yield "| " + " | ".join([f"{first}<br>**{role}**" if role else first, *map(escaped, row[1:])]) + " |"
    yield from ("", table.note, "") if table.note else ("",)


def _picture(picture: Picture) -> Iterator[str]:
    yield from (f"![{escaped(picture.alt)}]({picture.name}.png)", "")


def _failure(item: Shown) -> Iterator[str]:
    part = f" ({md_code(item.slice)})" if item.slice else ""
    yield from (f"- {md_code(item.item)}{part}: {md_code(item.input)}", f"  - Right: {md_code(item.target)}")
    for reply in item.replies:
        names = ", ".join(map(md_code, reply.candidates))
        yield f"  - {'✓' if reply.right else '✕'} {md_code(reply.text)}: {names}"
    yield from ([f"  - and {item.more} more"] if item.more else [])
    yield ""
