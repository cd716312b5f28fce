"""Figures in words, the same everywhere: a reader should not have to know what a number is."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


UNKNOWN = "unknown"
_FEW = 10  # below it, one decimal


def percent(share: float | None) -> str:
    """A share in per cent.

    >>> percent(0.9234)
    '92.3 %'
    """
    return UNKNOWN if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """A difference of shares, without its sign.

    >>> points(-0.034)
    '3.4 points'
    """
    shown = f"{abs(100 * difference):.1f}"
    return f"{shown} point" if shown == "1.0" else f"{shown} points"


def usd(amount: float | None) -> str:
    """Money; below a cent two significant digits.

    >>> [usd(4200), usd(0.0014), usd(0.5)]
    ['$4,200', '$0.0014', '$0.50']
    """
    if amount is None or math.isnan(amount):
        return UNKNOWN
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size >= 100 or not size:  # noqa: PLR2004 - no cents
        return f"{sign}${size:,.0f}"
    digits = 2 if size >= 0.1 else 1 - math.floor(math.log10(size))  # noqa: PLR2004
    return f"{sign}${size:,.{digits}f}"


def months(value: float | None) -> str:
    """A time to pay back.

    >>> [months(1.94), months(math.inf), months(None), months(0.025)]
    ['1.9 months', 'never', 'unknown', 'less than a day']
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if value == math.inf:
        return "never"
    days = value * 365.25 / 12
    if days < 1:
        return "less than a day"
    if value < 1:
        return counted(round(days), "day")
    shown = f"{value:.1f}" if value < _FEW else f"{value:,.0f}"
    return f"{shown.removesuffix('.0')} month{'' if shown == '1.0' else 's'}"


def counted(number: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "item"), counted(2000, "item")
    ('1 item', '2,000 items')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def listed(names: Sequence[str]) -> str:
    """Names in a row.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


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


class _Blanked(dict[int, str]):
    """Characters as `str.translate` asks for them: punctuation is a space; all else, emoji too, stays."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        blank = character in string.punctuation or unicodedata.category(character).startswith("P")
        self[code] = " " if blank else character
        return self[code]


_BLANKED = _Blanked()


def normalise(text: str) -> str:
    """Casefold, punctuation to space, white space collapsed: equal results are the same text to any strategy.

    >>> normalise("Where's my  CARD?!")
    'where s my card'

    A text of nothing but punctuation is itself, or "?" and "!" would be the same.
    """
    return " ".join(text.casefold().translate(_BLANKED).split()) or text.strip()
