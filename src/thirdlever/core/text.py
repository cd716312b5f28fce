"""How figures are written, and how text from outside is made safe for the medium that shows it.

Names, answers and messages come from users, models and providers: they pass through one of the `escape_` functions
before they are shown. Tables are written by `thirdlever.core.table`, which escapes its cells.
"""

from __future__ import annotations

import html
import math
import re
import string
import textwrap
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


UNKNOWN = "unknown"
WIDTH = 100  # columns of a terminal
_LEAST_NAME, _MOST_NAME = 16, 40  # characters of a line of a name
_DAYS_PER_MONTH = 365.25 / 12
# What spreadsheets take for the start of a formula, full-width forms included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
# What Markdown acts on: marks anywhere, addresses that become links by themselves, marks at the start of a line.
_MARKS = re.compile(r"[\\`*_\[\]<>|#~&@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/?#\s]*@")
_LINE_START = re.compile(r"^(?:([-+=])(?!\d)|(\d+)(?=[.)](?:\s|$)))")


# Figures


def percent(share: float | None) -> str:
    """A share in percent.

    >>> percent(0.9234)
    '92.3 %'
    """
    return UNKNOWN if share is None or math.isnan(share) else f"{100 * share:.1f} %"


def points(difference: float) -> str:
    """The size of a difference of shares, in percentage points.

    >>> points(-0.034)
    '3.4 points'
    """
    shown = f"{abs(100 * difference):.1f}"
    return f"{shown} point" if shown == "1.0" else f"{shown} points"


def signed(difference: float) -> str:
    """A difference of shares with its sign, under a heading that names the unit.

    >>> signed(0.044), signed(0.0)
    ('+4.4', '0.0')
    """
    return f"{100 * difference:+.1f}" if round(100 * difference, 1) else "0.0"


def interval(value: float, low: float, high: float, *, sign: bool = False) -> str:
    """A share and its interval, under a heading that names the unit.

    >>> interval(0.897, 0.883, 0.91), interval(0.044, -0.01, 0.098, sign=True)
    ('89.7 [88.3, 91.0]', '+4.4 [-1.0, +9.8]')
    """
    shown, below, above = (signed(share) if sign else f"{100 * share:.1f}" for share in (value, low, high))
    return f"{shown} [{below}, {above}]"


_LEAST_USD = 1e-6
_MOST_MONTHS = 120


def usd(value: float | None) -> str:
    """Money; below ten cents two significant digits.

    >>> [usd(4200), usd(0.0014), usd(-0.5), usd(0), usd(9.3e-9)]
    ['$4,200', '$0.0014', '-$0.50', '$0', 'less than $0.000001']
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if 0 < abs(value) < _LEAST_USD:
        return f"less than ${_LEAST_USD:f}"
    return f"-${amount(-value)}" if value < 0 else f"${amount(value)}"


def amount(value: float | None) -> str:
    """Money under a heading that names the currency.

    >>> [amount(4200), amount(0.0014), amount(0.5), amount(0)]
    ['4,200', '0.0014', '0.50', '0']
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    size = abs(value)
    if 0 < size < _LEAST_USD:
        return f"<{_LEAST_USD:f}"
    if size >= 100 or not size:  # noqa: PLR2004 - cents no longer matter
        return f"{value:,.0f}"
    digits = 2 if size >= 0.1 else 1 - math.floor(math.log10(size))  # noqa: PLR2004
    return f"{value:,.{digits}f}"


def duration(seconds: float | None) -> str:
    """A time in two or three digits.

    >>> [duration(value) for value in (0.0004, 0.0175, 0.612, 1.553, 75.2)]
    ['400 µs', '18 ms', '612 ms', '1.55 s', '75 s']
    """
    if seconds is None or math.isnan(seconds):
        return UNKNOWN
    if seconds >= 0.9995:  # noqa: PLR2004 - below, it is less than 1,000 ms
        return f"{seconds:,.2f} s" if seconds < 10 else f"{seconds:,.0f} s"  # noqa: PLR2004 - three digits
    return f"{1e3 * seconds:.0f} ms" if seconds >= 0.9995e-3 else f"{1e6 * seconds:.0f} µs"  # noqa: PLR2004


def months(value: float | None) -> str:
    """A payback time.

    >>> [months(1.94), months(math.inf), months(None), months(0.025), months(119_000)]
    ['1.9 months', 'never', 'unknown', 'less than a day', 'more than 10 years']
    """
    if value is None or math.isnan(value):
        return UNKNOWN
    if value == math.inf:
        return "never"
    if value > _MOST_MONTHS:
        return "more than 10 years"
    days = value * _DAYS_PER_MONTH
    if days < 1:
        return "less than a day"
    if value < 1:
        return counted(round(days), "day")
    shown = f"{value:.1f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004 - two digits
    return f"{shown.removesuffix('.0')} month{'' if shown == '1.0' else 's'}"


def compact(count: float) -> str:
    """A count in at most five characters.

    >>> [compact(count) for count in (0, 812, 15814, 1_234_567, math.nan)]
    ['0', '812', '15.8k', '1.23M', '?']
    """
    if math.isnan(count):
        return "?"
    if count < 9_999.5:  # noqa: PLR2004 - rounded, it has four digits
        return f"{count:.0f}"
    return f"{count / 1e3:.3g}k" if count < 999_500 else f"{count / 1e6:.3g}M"  # noqa: PLR2004 - a million, rounded


def counted(number: int, thing: str) -> str:
    """A number of things.

    >>> counted(1, "item"), counted(2000, "item")
    ('1 item', '2,000 items')
    """
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def p_value(p: float) -> str:
    """A p-value in two digits.

    >>> [p_value(0.0266), p_value(0.00001), p_value(0.999)]
    ['0.027', '<0.0001', '1.0']
    """
    if p < 0.0001:  # noqa: PLR2004 - as journals do
        return "<0.0001"
    return f"{p:.1f}" if p > 0.995 else f"{p:.2g}"  # noqa: PLR2004 - which rounds to 1


def quantity(value: float | str | bool | None, unit: str) -> str:  # noqa: FBT001 - any value
    """A value of an assumption, by its unit: "share", "USD …", any other, or "".

    >>> [quantity(0.92, "share"), quantity(0.5, "USD a label"), quantity(3e6, "requests"), quantity(True, "")]
    ['92.0 %', '$0.50', '3,000,000', 'yes']
    """
    match value:
        case None:
            return UNKNOWN
        case bool():
            return "yes" if value else "no"
        case str():
            return value
    if unit == "share":
        return percent(value)
    return usd(value) if unit.startswith("USD") else f"{value:,.10g}"


# Sentences


def clipped(value: object, longest: int = 60) -> str:
    """A value as code, of at most so many characters.

    >>> clipped("a" * 80, 10)
    "'aaaaaaaa…"
    """
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def listed(names: Sequence[str]) -> str:
    """Names in a row.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def sentence(clause: str) -> str:
    """A clause as a sentence.

    >>> sentence("it pays back in 3 months")
    'It pays back in 3 months.'
    """
    return f"{clause[:1].upper()}{clause[1:].rstrip('.')}." if clause else ""


def paragraph(text: str, *, width: int = WIDTH, first: str = "", rest: str = "") -> str:
    """Text for a terminal, escaped and wrapped; `first` and `rest` begin its first and its other lines."""
    return textwrap.fill(
        escape_terminal(text), width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False
    )


def fold(name: str, width: int) -> str:
    r"""A candidate's name in lines of at most `width`: its model on its own line, breaks after , ( / = - _ and spaces.

    A parenthesis after a space stays with what it opens.

    >>> fold("rag(k=20,source=both) @ openai/gpt-5.4-mini", 20)
    'rag(k=20,\nsource=both)\nopenai/gpt-5.4-mini'
    >>> fold("openai/gpt-4.1-mini", 10)
    'openai/\ngpt-4.1-\nmini'
    >>> fold("Fine-tuned (distilled), 94 examples", 14)
    'Fine-tuned\n(distilled),\n94 examples'
    """
    lines: list[str] = []
    for part in name.split(" @ "):
        line = ""
        for piece in re.findall(r"(?<= )\([^,(/ ]*[,/ ]?|[^,(/ ]*[,(/ ]|[^,(/ ]+", part):
            for bit in [piece] if len(piece) <= width else re.findall(rf"[^=_-]{{1,{width - 1}}}[=_-]?|[=_-]", piece):
                if line and len(line) + len(bit) > width:
                    lines.append(line.strip())
                    line = ""
                line += bit
        lines.append(line.strip())
    return "\n".join(lines)


def aligned(rows: Sequence[tuple[str, str]], *, indent: int = 0) -> list[str]:
    r"""Names and what is said about them, for a terminal: a second column, and long names in several lines.

    Args:
        rows: names and texts; both are escaped.
        indent: columns before the name, for the further lines of a long one.

    >>> print("\n".join(aligned([("tickets", "Routes a ticket."), ("lora", "Tunes.")])))
    tickets          Routes a ticket.
    lora             Tunes.
    """
    names = [fold(escape_terminal(name), _MOST_NAME).split("\n") for name, _ in rows]
    width = max([_LEAST_NAME, *(len(line) for lines in names for line in lines)])
    return [
        "\n".join([f"{first:<{width}} {escape_terminal(text)}".rstrip(), *(" " * indent + line for line in rest)])
        for (first, *rest), (_, text) in zip(names, rows, strict=True)
    ]


# Escaping, one function for each medium


def escape_terminal(text: str) -> str:
    r"""For a terminal: escape sequences, line breaks and direction marks are shown, not obeyed.

    >>> escape_terminal("rag\x1b[2J")
    'rag\\x1b[2J'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def escape_markdown(text: str) -> str:
    r"""For GitHub's Markdown: text of a paragraph, heading, list or table cell, in which no markup takes effect.

    >>> escape_markdown("<b>rag_k</b> | http://x")
    '\\<b\\>rag\\_k\\</b\\> \\| http\\://x'
    """
    escaped = _MARKS.sub(r"\\\g<0>", escape_terminal(text.strip()))
    return _LINE_START.sub(lambda found: f"\\{found[1]}" if found[1] else f"{found[2]}\\", escaped)


def markdown_code(text: str) -> str:
    """For GitHub's Markdown: a code span, in a table cell too, that nothing in the text can end."""
    # GitHub splits a row at bare pipes even inside code; a backtick would end the span.
    shown = escape_terminal(text).replace("`", "'").replace("|", "\\|")
    return f"`{shown}`" if shown else ""


def escape_html(text: str) -> str:
    """For HTML: text of an element or of a quoted attribute. Jinja templates escape by themselves."""
    return html.escape(escape_terminal(text))


def escape_csv(text: str) -> str:
    """For CSV: a cell that no spreadsheet runs as a formula, by a leading quote that spreadsheets do not show."""
    return ("'" if text.startswith(_FORMULA) else "") + escape_terminal(text)


def unescaped_csv(text: str) -> str:
    """A cell that `escape_csv` wrote, without its leading quote.

    >>> unescaped_csv(escape_csv("=1+1")), unescaped_csv("'tis")
    ('=1+1', "'tis")
    """
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text


def without_password(text: str) -> str:
    """A text whose addresses lack the user name and the password that they may have.

    >>> without_password("--chroma-url=http://me:pass@chroma.example:8000")
    '--chroma-url=http://chroma.example:8000'
    """
    return _CREDENTIALS.sub("", text)


# Comparing texts


class _Blanked(dict[int, str]):
    """Characters as `str.translate` asks for them: punctuation becomes a space; all else, emoji too, stays."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        blank = character in string.punctuation or unicodedata.category(character).startswith("P")
        self[code] = " " if blank else character
        return self[code]


_BLANKED = _Blanked()


def normalise(text: str) -> str:
    """Casefold, turn punctuation into spaces and collapse white space.

    >>> normalise("Where's my  CARD?!")
    'where s my card'

    A text that is all punctuation is returned as it is, so that "?" and "!" stay different.
    """
    return " ".join(text.casefold().translate(_BLANKED).split()) or text.strip()


def common(a: Sequence[object], b: Sequence[object]) -> int:
    """Length of what two texts or sequences of tokens begin with, by bisection: comparing slices is fast.

    >>> common("category: pet", "category: pay")
    11
    """
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
