"""Which assumption would change the verdict, and at what value: one at a time, by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.economics.assumptions import YES_OR_NO, about

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thirdlever.economics.assumptions import Assumptions, Value

Verdict: TypeAlias = Callable[["Assumptions"], str]

_POINTS = 13  # looked at over a span before a change is narrowed down
_CLOSE = 1e-3  # how near to the change is near enough, as a share of the value
_HALVINGS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """What one assumption does to the verdict, all others as they are.

    Attributes:
        name: of the assumption.
        value: today's; None when unknown.
        flips_at: where the other verdict begins, to a thousandth; None when there is none in the span, or when the
            assumption is a yes or no.
        becomes: the verdict there; "" when no value in the span has another.
        answer: for a yes or no, the answer with that verdict.
    """

    name: str
    value: Value
    flips_at: float | None = None
    becomes: str = ""
    answer: bool | None = None


def sensitivity(verdict_of: Verdict, a: Assumptions) -> list[Flip]:
    """Every assumption that is a number or a yes or no, one at a time; those that change the verdict come first.

    From today's value the nearest change is sought upwards and downwards; of an unknown one every change over its span
    is told, so that a reader sees which value would settle the verdict.

    Args:
        verdict_of: the verdict under given assumptions; asked some 30 times for each assumption.
        a: today's.
    """
    now = verdict_of(a)
    found: list[Flip] = []
    for one in a.listed():
        ask = _one_at_a_time(verdict_of, a, one.name)
        if one.name in YES_OR_NO:
            flips = _answers(one.name, one.value, ask, now)
        elif "span" in about(one.name):
            flips = _numbers(one.name, one.value, ask, now)
        else:
            continue
        found += flips or [Flip(name=one.name, value=one.value)]
    return sorted(found, key=lambda flip: not flip.becomes)


def _one_at_a_time(verdict_of: Verdict, a: Assumptions, name: str) -> Callable[[Any], str]:
    return lambda value: verdict_of(replace(a, **{name: value}))


def _answers(name: str, value: Value, ask: Callable[[Any], str], now: str) -> list[Flip]:
    others = [answer for answer in (True, False) if answer is not value]
    told = ((answer, ask(answer)) for answer in others)
    return [Flip(name=name, value=value, becomes=verdict, answer=answer) for answer, verdict in told if verdict != now]


def _numbers(name: str, value: Any, ask: Callable[[Any], str], now: str) -> list[Flip]:  # noqa: ANN401 - a Value
    points = _span(name)
    if value is None:
        return list(_changes(name, None, now, points, ask))
    below, above = [point for point in reversed(points) if point < value], [point for point in points if point > value]
    return [flip for way in (below, above) for flip in islice(_changes(name, value, now, way, ask), 1)]


def _changes(
    name: str, value: float | None, now: str, way: Sequence[float], ask: Callable[[Any], str]
) -> Iterator[Flip]:
    """Where the verdict changes on the way from today's value."""
    before, verdict = value, now
    for point in way:
        told = ask(point)
        if told != verdict:
            at = point if before is None else _bisect(ask, before, point, told)
            yield Flip(name=name, value=value, flips_at=at, becomes=told)
        before, verdict = point, told


def _bisect(ask: Callable[[Any], str], same: float, other: float, becomes: str) -> float:
    """The end of the narrowed interval that has the other verdict."""
    for _ in range(_HALVINGS):
        if abs(other - same) <= _CLOSE * max(abs(other), abs(same)):
            break
        # Money and volumes are found by their size: halfway between 1 and 10,000 is 100.
        middle = math.sqrt(same * other) if min(same, other) > 0 else (same + other) / 2
        if ask(middle) == becomes:
            other = middle
        else:
            same = middle
    return other


def _span(name: str) -> list[float]:
    """Points over the sensible values: evenly, or by their size where the span does not begin at nought."""
    low, high = about(name)["span"]
    shares = [index / (_POINTS - 1) for index in range(_POINTS)]
    return [low * (high / low) ** share if low else high * share for share in shares]
