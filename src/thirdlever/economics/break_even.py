"""When money comes back: plain formulas over money, requests and months.

Throughout, None is unknown and inf is never. Where a saving is nought or negative nothing ever comes back.
"""

from __future__ import annotations

import math


def break_even_requests(
    extra_setup: float | None, saving: float | None, *, extra_standing: float | None = 0.0, months: float = 0.0
) -> float | None:
    """N*: how many requests pay for a set-up and for what must be paid while they come.

        N* = (set-up + fixed costs over the horizon) / (cost per request before - after)

    Args:
        extra_setup: USD once, beyond the reference's.
        saving: USD a request, against the reference.
        extra_standing: USD a month, beyond the reference's.
        months: how long it is paid.

    Returns:
        Requests; 0 when there is nothing to pay back; inf when the saving never does.
    """
    if extra_setup is None or saving is None or extra_standing is None:
        return None
    outlay = extra_setup + extra_standing * months
    if outlay <= 0:
        return 0.0 if saving >= 0 else math.inf
    return outlay / saving if saving > 0 else math.inf


def payback_months(
    extra_setup: float | None, saving: float | None, volume: float | None, *, extra_standing: float | None = 0.0
) -> float | None:
    """After how many months everything spent has come back, and stays so.

    Args:
        extra_setup: USD once, beyond the reference's.
        saving: USD a request, against the reference.
        volume: requests a month.
        extra_standing: USD a month, beyond the reference's.

    Returns:
        Months; 0 when it is the cheaper one from the first day; inf when never.
    """
    if extra_setup is None or saving is None or volume is None or extra_standing is None:
        return None
    monthly = volume * saving - extra_standing
    if extra_setup <= 0:
        return 0.0 if monthly >= 0 else math.inf
    return extra_setup / monthly if monthly > 0 else math.inf


def required_saving(
    extra_setup: float | None, volume: float | None, months: float, *, extra_standing: float | None = 0.0
) -> float | None:
    """What each request must save for everything to be back within so many months, USD.

    Returns:
        Nought or less when nothing must be saved; inf when no saving is enough: no volume, or no time.
    """
    if extra_setup is None or volume is None or extra_standing is None:
        return None
    if not months:
        return math.inf
    monthly = extra_setup / months + extra_standing
    if not volume:
        return math.inf if monthly > 0 else 0.0
    return monthly / volume


def required_fall(
    extra_setup: float | None,
    volume: float | None,
    months: float,
    before: float | None,
    *,
    extra_standing: float | None = 0.0,
) -> float | None:
    """That saving as a share of the cost of a request before.

    >>> round(required_fall(6_000, 3_000_000, 2, 0.0014), 3)  # $6,000 back in two months at $0.0014 a request
    0.714

    Returns:
        More than 1 when no cost is low enough; nought or less when it may even rise.
    """
    saving = required_saving(extra_setup, volume, months, extra_standing=extra_standing)
    if saving is None or before is None:
        return None
    if not before:
        return math.inf if saving > 0 else 0.0
    return saving / before
