"""Which assumptions would change the verdict, and at which value: one at a time, by bisection."""

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

VerdictOf: TypeAlias = Callable[["Assumptions"], str]

_POINTS = 13  # tried over a span before a change is bisected
_TOLERANCE = 1e-3  # of the value
_HALVINGS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictChange:
    """Effect of one assumption on the verdict, all others unchanged.

    Attributes:
        name: the assumption.
        value: its current value; None when unknown.
        flips_at: where the other verdict begins, within a thousandth; None if there is none in the span, if it begins
            with the span, or if the assumption is a yes or no.
        becomes: the other verdict; "" if no value in the span changes it.
        answer: for a yes or no, the answer that leads to the other verdict.
        until: for an unknown assumption, where that verdict ends; None if it holds to the end of the span.
    """

    name: str
    value: Value
    flips_at: float | None = None
    becomes: str = ""
    answer: bool | None = None
    until: float | None = None

    def at(self, shown: Callable[[Any], str]) -> str:
        """The values with the other verdict; `shown` formats a value."""
        if self.answer is not None:
            return "yes" if self.answer else "no"
        if self.until is not None:
            begin = f"{shown(self.flips_at)} to under" if self.flips_at is not None else "under"
            return f"{begin} {shown(self.until)}"
        if self.flips_at is None:
            return "any value"
        under = isinstance(self.value, float) and self.flips_at < self.value
        return f"under {shown(self.flips_at)}" if under else f"{shown(self.flips_at)} or more"


def sensitivity(verdict_of: VerdictOf, a: Assumptions) -> list[VerdictChange]:
    """Vary each numeric or yes-or-no assumption; those that change the verdict come first.

    From a known value, the nearest change in each direction is found. For an unknown value, every part of the span with
    another verdict is listed.

    Args:
        verdict_of: the verdict under given assumptions; called about 30 times per assumption.
        a: the current assumptions.
    """
    now = verdict_of(a)
    found: list[VerdictChange] = []
    for one in a.listed():
        verdict_at = _varying(verdict_of, a, one.name)
        span = about(one.name).span
        if one.name in YES_OR_NO:
            changes = [
                VerdictChange(name=one.name, value=one.value, becomes=verdict, answer=answer)
                for answer in (True, False)
                if answer is not one.value and (verdict := verdict_at(answer)) != now
            ]
        elif span:
            changes = list(_numeric(one.name, getattr(a, one.name), verdict_at, now, _points(*span)))
        else:
            continue
        found += changes or [VerdictChange(name=one.name, value=one.value)]
    return sorted(found, key=lambda change: not change.becomes)


def _varying(verdict_of: VerdictOf, a: Assumptions, name: str) -> Callable[[Any], str]:
    return lambda value: verdict_of(replace(a, **{name: value}))


def _points(low: float, high: float) -> list[float]:
    """Values to try: evenly spaced from 0, geometrically from any other start."""
    shares = [index / (_POINTS - 1) for index in range(_POINTS)]
    return [low * (high / low) ** share if low else high * share for share in shares]


def _numeric(
    name: str,
    value: float | None,
    verdict_at: Callable[[Any], str],
    now: str,
    points: Sequence[float],
) -> Iterator[VerdictChange]:
    if value is None:
        yield from _parts(name, points, verdict_at, now)
        return
    below, above = [point for point in reversed(points) if point < value], [point for point in points if point > value]
    for direction in (below, above):
        for before, point in pairwise([value, *direction]):
            if (verdict := verdict_at(point)) != now:
                flips_at = _bisect(verdict_at, before, point, verdict)
                yield VerdictChange(name=name, value=value, flips_at=flips_at, becomes=verdict)
                break


def _parts(name: str, points: Sequence[float], verdict_at: Callable[[Any], str], now: str) -> Iterator[VerdictChange]:
    """The parts of the span with another verdict than `now`."""
    tried = [(point, verdict_at(point)) for point in points]
    parts = [[*part] for _, part in groupby(tried, key=lambda pair: pair[1])]
    starts = [_bisect(verdict_at, before[-1][0], after[0][0], after[0][1]) for before, after in pairwise(parts)]
    for part, start, end in zip(parts, [None, *starts], [*starts, None], strict=True):
        if part[0][1] != now:
            yield VerdictChange(name=name, value=None, flips_at=start, becomes=part[0][1], until=end)


def _bisect(verdict_at: Callable[[Any], str], same: float, other: float, becomes: str) -> float:
    """The end of the narrowed interval that has the other verdict."""
    for _ in range(_HALVINGS):
        if abs(other - same) <= _TOLERANCE * max(abs(other), abs(same)):
            break
        # Money and volumes span orders of magnitude: halfway between 1 and 10,000 is 100.
        middle = math.sqrt(same * other) if min(same, other) > 0 else (same + other) / 2
        if verdict_at(middle) == becomes:
            other = middle
        else:
            same = middle
    return other
