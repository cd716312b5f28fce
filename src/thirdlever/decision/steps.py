"""The plan that follows from a verdict: steps in order, each with its effort, its condition and what ends the plan."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.core.text import months, percent, points, usd
from thirdlever.decision.verdict import TUNE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever.decision.evidence import Standing
    from thirdlever.decision.verdict import Decision

_RELEASE = "the base model's next release"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a plan.

    Attributes:
        action: what to do, as an order.
        candidate: what it puts into use or measures; None if it is about none.
        begins: weeks from now; None if the effort of an earlier step is not stated.
        weeks: its effort; None if not stated.
        usd: its cost, once; None if unknown.
        only_if: clauses that must hold before it begins.
        stop: a clause; if it holds after the step, the rest of the plan is not needed. "" if nothing ends the plan.
    """

    action: str
    candidate: str | None = None
    begins: float | None = None
    weeks: float | None = None
    usd: float | None = None
    only_if: tuple[str, ...] = ()
    stop: str = ""


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A candidate that is not used, and why: a clause."""

    candidate: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do in which order.

    Attributes:
        steps: in order.
        rejected: candidates that cost more without reaching the target or being better enough.
        owner: who maintains the tuned model; None if nobody is named, or if there is none.
        review: when to decide again, as a clause.
    """

    steps: tuple[Step, ...]
    rejected: tuple[Rejected, ...]
    owner: str | None
    review: str


def plan(d: Decision) -> Plan:
    """The plan of a decision."""
    named = d.assumptions.maintainer if d.verdict in TUNE else None
    owner = None if any(one.code == "maintainer" for one in d.conditions) else named
    return Plan(steps=tuple(_steps(d)), rejected=tuple(_rejected(d)), owner=owner, review=_review(d))


def _steps(d: Decision) -> Iterator[Step]:
    stay = d.standings[d.stay] if d.stay else None
    tune, weeks = d.verdict in TUNE, 0.0 if stay is None or stay.today else stay.weeks
    if stay and not (tune and (stay.today or not d.given)):  # a measured tune replaces it at once
        yield _use(d, stay)
    if tune and d.tuned:
        tuned, cost = d.standings[d.tuned], d.costs.get(d.tuned)
        yield Step(
            action=f"use {tuned.name}",
            candidate=tuned.name,
            begins=weeks if d.given else None,
            weeks=tuned.weeks,
            usd=cost.setup_usd if cost else None,
            only_if=tuple(one.text for one in d.conditions),
        )
        return
    wanted = [one for one in d.reasons if d.verdict == "NEED-MORE-DATA" or one.code == "retrieval_first"]
    yield from (Step(action=_order(change)) for change in dict.fromkeys(one.change for one in wanted))


def _use(d: Decision, one: Standing) -> Step:
    """To use a candidate that is not tuned, or to keep it."""
    cost, target = d.costs.get(one.name), d.assumptions.target_accuracy
    if d.worse_than_today and d.chosen == one.name:
        return Step(action="keep the current solution")
    if one.today:
        return Step(action=f"keep {one.name}", candidate=one.name)
    short = target is not None and one.against(target) != "meets" and d.verdict != "NO-GO"
    return Step(
        action=f"use {one.name}",
        candidate=one.name,
        begins=0.0,
        weeks=one.weeks,
        usd=cost.setup_usd if cost else None,
        stop=f"it reaches {percent(target)}" if short else "",
    )


def _rejected(d: Decision) -> Iterator[Rejected]:
    """Candidates without tuning that are as accurate or more than the one to use without tuning, and dearer."""
    volume, stay = d.assumptions.monthly_volume, d.standings.get(d.stay or "")
    ours = d.costs.get(d.stay or "")
    mine = ours.monthly_usd(volume) if ours and volume is not None else None
    if stay is None or volume is None or mine is None or not math.isfinite(mine):
        return
    for one in d.evidence.of("prompt", "retrieval", "model"):
        cost = d.costs.get(one.name)
        other = cost.monthly_usd(volume) if cost else None
        gain = (one.accuracy or 0.0) - (stay.accuracy or 0.0)
        if one is stay or one.name == d.chosen or other is None or other <= mine or gain <= 0:
            continue
        more = f"{usd(other - mine)} a month more than {stay.name}"
        times = f", {_times(other / mine)} times its bill" if mine > 0 else ""
        target = d.assumptions.target_accuracy
        missed = target is not None and one.against(target) == "misses"
        short = f"and still misses the target of {percent(target)}" if missed else f"for {points(gain)}"
        yield Rejected(candidate=one.name, reason=f"{more}{times}, {short}")


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"  # noqa: PLR2004 - two digits


def _review(d: Decision) -> str:
    tuned = d.costs.get(d.chosen or "")
    if tuned and tuned.retires:
        return f"by {tuned.retires:%Y-%m-%d}, when its base model is retired, or at {_RELEASE} if that is earlier"
    then = "once this is done, at the latest " if d.verdict == "NEED-MORE-DATA" else ""
    return f"{then}at {_RELEASE}, expected in {months(d.assumptions.horizon_months)}"


def _order(change: str) -> str:
    return (
        f"{change[:1].lower()}{change[1:].rstrip('.')}"
        if not change.startswith(("About", "Or"))
        else change.rstrip(".")
    )
