"""Figures in words, the same everywhere: a reader should not have to know what a number is."""

from __future__ import annotations

import math
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
