"""Which assumption would change the verdict, and at what value: one at a time, by bisection."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.decision.assumptions import YES_OR_NO, about

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thirdlever.decision.assumptions import Assumptions, Value


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
        flips_at: where the other verdict begins, to a thousandth; None when there is none in the span, when it holds
            from the span's beginning, or when the assumption is a yes or no.
        becomes: the verdict there; "" when no value in the span has another.
        answer: for a yes or no, the answer with that verdict.
        until: where that verdict ends, for an assumption that is unknown today; None when it holds to the span's end.
    """

    name: str
    value: Value
    flips_at: float | None = None
    becomes: str = ""
    answer: bool | None = None
    until: float | None = None

    def at(self, shown: Callable[[Any], str]) -> str:
        """For which values, in words; `shown` writes one value."""
        if self.answer is not None:
            return "yes" if self.answer else "no"
        if self.until is not None:
            begin = f"{shown(self.flips_at)} to under" if self.flips_at is not None else "under"
            return f"{begin} {shown(self.until)}"
        if self.flips_at is None:
            return "any value"
        under = isinstance(self.value, float) and self.flips_at < self.value
        return f"under {shown(self.flips_at)}" if under else f"{shown(self.flips_at)} or more"


def sensitivity(verdict_of: Verdict, a: Assumptions) -> list[Flip]:
    """Every assumption that is a number or a yes or no, one at a time; those that change the verdict come first.

    From today's value the nearest change is sought upwards and downwards; of an unknown one every part of its span with
    another verdict is told, so that a reader sees which value would settle it.

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
        return list(_parts(name, points, ask, now))
    below, above = [point for point in reversed(points) if point < value], [point for point in points if point > value]
    return [flip for way in (below, above) for flip in _nearest(name, value, now, way, ask)]


def _nearest(name: str, value: float, now: str, way: Sequence[float], ask: Callable[[Any], str]) -> list[Flip]:
    """Where the verdict first changes on the way from today's value."""
    before = value
    for point in way:
        told = ask(point)
        if told != now:
            return [Flip(name=name, value=value, flips_at=_bisect(ask, before, point, told), becomes=told)]
        before = point
    return []


def _parts(name: str, points: Sequence[float], ask: Callable[[Any], str], now: str) -> Iterator[Flip]:
    """The parts of the span with another verdict than today's."""
    told = [(point, ask(point)) for point in points]
    parts = [[*part] for _, part in groupby(told, key=lambda one: one[1])]
    starts = [_bisect(ask, before[-1][0], after[0][0], after[0][1]) for before, after in pairwise(parts)]
    for part, start, end in zip(parts, [None, *starts], [*starts, None], strict=True):
        if part[0][1] != now:
            yield Flip(name=name, value=None, flips_at=start, becomes=part[0][1], until=end)


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
