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
    from thirdlever.decision.payback import Payback

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


# How much each assumption matters


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """What one figure's uncertainty does to the net gain of the tune until the next release, all others unchanged.

    Attributes:
        name: what varies, for people.
        low: its lower value.
        high: its higher value.
        unit: as of an assumption.
        usd_low: the net gain at `low`.
        usd_high: likewise.
    """

    name: str
    low: float
    high: float
    unit: str
    usd_low: float
    usd_high: float


_TWICE = 2.0  # a stated number may be off by this factor


def swings(
    back: Payback,
    a: Assumptions,
    *,
    gain: tuple[float, float] | None,
    setup: tuple[float, float] | None,
    releases: Sequence[float],
) -> list[Swing]:
    """The figures that matter for a tune's net gain, the most important first; empty if the gain is unknown.

    Measured figures vary over their 95 % interval, defaults over their published range, and stated ones from half to
    twice.

    Args:
        back: of the tune.
        a: the assumptions.
        gain: the 95 % interval of its gain in accuracy; None for stated figures.
        setup: the range of its set-up cost, USD; None if it is stated.
        releases: months between releases of base models, from and to.
    """
    if net_gain(back, a.monthly_volume) is None or a.monthly_volume is None:
        return []
    volume, each = a.monthly_volume, a.error_cost_usd
    found = [
        _swing(back, volume, "Requests a month", (volume / _TWICE, volume * _TWICE), unit="", varied="volume"),
        _swing(
            back,
            volume,
            "Months until the next base model",
            (releases[0], releases[-1]),
            unit="",
            varied="horizon_months",
        ),
    ]
    if back.saving_low is not None and back.saving_high is not None:
        ends = (back.saving_low, back.saving_high)
        found.append(_swing(back, volume, "Saving per request", ends, unit="USD", varied="saving_per_request_usd"))
    if each:
        now = back.avoided_errors_usd_per_request or 0.0
        found.append(_scaled(back, volume, "Price of an error", (each / _TWICE, each * _TWICE), now / each))
        if gain is not None:
            found.append(_scaled(back, volume, "Gain in accuracy", gain, each, unit="share"))
    if setup is not None and back.extra_setup_usd is not None:
        found.append(_swing(back, volume, "Set-up of the tune", setup, unit="USD", varied="extra_setup_usd"))
    known = [one for one in found if one.usd_low != one.usd_high]
    return sorted(known, key=lambda one: -abs(one.usd_high - one.usd_low))


def net_gain(back: Payback, volume: float | None) -> float | None:
    """Gains until the next release minus what the tune costs more, in USD; None if unknown."""
    saving, standing, setup = back.saving_per_request_usd, back.extra_standing_usd_per_month, back.extra_setup_usd
    if saving is None or standing is None or setup is None or volume is None:
        return None
    gain = saving + (back.avoided_errors_usd_per_request or 0.0)
    return back.horizon_months * (volume * gain - standing) - setup


def _swing(back: Payback, volume: float, name: str, ends: tuple[float, float], *, unit: str, varied: str) -> Swing:
    def net(end: float) -> float:
        changed: dict[str, Any] = {varied: end}
        found = net_gain(back, end) if varied == "volume" else net_gain(replace(back, **changed), volume)
        return found or 0.0

    low, high = map(net, ends)
    return Swing(name=name, low=ends[0], high=ends[1], unit=unit, usd_low=low, usd_high=high)


def _scaled(
    back: Payback, volume: float, name: str, ends: tuple[float, float], factor: float, *, unit: str = "USD"
) -> Swing:
    """A figure that the value of fewer errors is proportional to."""
    avoided = (ends[0] * factor, ends[1] * factor)
    found = _swing(back, volume, name, avoided, unit=unit, varied="avoided_errors_usd_per_request")
    return replace(found, low=ends[0], high=ends[1])
