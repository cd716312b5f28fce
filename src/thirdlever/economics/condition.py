"""What payback in a stated time would take, in one sentence: shown as a condition, never assumed."""

from __future__ import annotations

import math
from typing import NamedTuple

from thirdlever.core.text import UNKNOWN, usd


class Terms(NamedTuple):
    """What a condition speaks of; None is unknown.

    Attributes:
        months: when everything should be back.
        before: USD a request of the reference.
        after: USD a request of the candidate.
        needed: USD that each request must bring, by costing less or by fewer errors; inf when no amount is enough.
        avoided: USD a request that fewer errors are worth; None when an error has no stated price.
        volume_needed: requests a month that bring everything back in time at what a request brings; inf when none do.
    """

    months: float
    before: float | None
    after: float | None
    needed: float | None
    avoided: float | None
    volume_needed: float | None


def condition(terms: Terms) -> str:
    """The sentence.

    >>> condition(Terms(2, 0.0014, 0.0003, 0.001, None, 2.7e6))
    'pays back within 2 months only if the cost per request falls by at least 71 % (from $0.0014 to at most $0.00040)'
    """
    when = f"within {_span(terms.months)}"
    if terms.needed is None:
        return _without_volume(terms, when)
    if terms.before is None:
        return f"whether it pays back {when} is {UNKNOWN}: the cost of a request of the reference is {UNKNOWN}"
    if math.isinf(terms.needed):
        return f"never pays back {when}: there are no requests, or no time is left, to bring the money back"
    avoided = terms.avoided or 0.0
    fall = terms.needed - avoided
    besides = f", counting {usd(avoided)} a request for fewer errors" if avoided > 0 else ""
    besides = f", counting {usd(-avoided)} a request for more errors" if avoided < 0 else besides
    if fall <= 0:
        most = terms.before - fall
        return f"pays back {when} as long as the cost per request stays at or below {usd(most)}{besides}"
    if fall > terms.before:
        free = "nothing" if not terms.before else f"only {usd(terms.before)}"
        return (
            f"cannot pay back {when}: each request must save {usd(fall)}{besides}; one that costs nothing saves {free}"
        )
    return (
        f"pays back {when} only if the cost per request falls by at least {100 * fall / terms.before:.0f} % "
        f"(from {usd(terms.before)} to at most {usd(terms.before - fall)}){besides}"
    )


def _without_volume(terms: Terms, when: str) -> str:
    if terms.volume_needed is None:
        return f"whether it pays back {when} is {UNKNOWN}: state the figures that are {UNKNOWN}"
    if math.isinf(terms.volume_needed):
        return "never pays back, at any volume: a request brings nothing that the reference's does not"
    return f"pays back {when} only with at least {math.ceil(terms.volume_needed):,} requests a month"


def _span(months: float) -> str:
    return "1 month" if months == 1 else f"{months:.2g} months"
