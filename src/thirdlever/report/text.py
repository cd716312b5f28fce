"""Names made safe to show: they come from users' files and from providers, and may hold anything."""

from __future__ import annotations

import re

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def printable(text: str) -> str:
    r"""Terminal escapes, line breaks and direction marks made visible instead of obeyed.

    >>> printable("rag\x1b[2J")
    'rag\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def csv_cell(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: a leading quote, which spreadsheets do not show."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def md_code(text: str) -> str:
    """A code span for a cell of a Markdown table: nothing in it is a link, HTML or the end of the cell."""
    # GitHub splits a row at bare pipes even inside code; a backquote would end the span.
    return "`" + printable(text).replace("`", "'").replace("|", "\\|") + "`"


def fold(name: str, width: int) -> str:
    r"""A candidate's name in lines of at most `width`: its model on a line of its own, breaks after , ( / and spaces.

    >>> fold("rag(k=20,source=both) @ openai/gpt-4o-mini", 20)
    'rag(k=20,\nsource=both)\nopenai/gpt-4o-mini'
    """
    lines: list[str] = []
    for part in name.split(" @ "):
        line = ""
        for piece in re.findall(rf"[^,(/ ]{{1,{width - 1}}}[,(/ ]?|[,(/ ]", part):
            if line and len(line) + len(piece) > width:
                lines.append(line.strip())
                line = ""
            line += piece
        lines.append(line.strip())
    return "\n".join(lines)
