"""One pinned candidate and the same on a new model: what is compared, and what it is held to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.analysis.compare import non_inferior
from thirdlever.analysis.stats.power import ALPHA

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.regression.limits import Limits

Verdict: TypeAlias = Literal["PASS", "FAIL", "INCONCLUSIVE"]
Level: TypeAlias = Callable[[int], float]
Unit: TypeAlias = Literal["share", "s", "usd_per_1k"]

OLD, NEW = "old", "new"
MANY = 1_000_000  # items; a need beyond is no plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure held to one limit.

    Attributes:
        name: "accuracy", "accuracy, slice …", "p95 latency", "cost per 1,000", "unparseable", "errors".
        unit: of `before` and `after`.
        before: the baseline's; None where it is unknown.
        after: the new model's.
        change: `after` less `before`, or for latency and cost its multiple.
        low: lower end of the interval of the change, 90 % at one look.
        high: upper end.
        limit: what the change (or, for errors, `after`) is held to; None where nothing is.
        source: who set the limit.
        verdict: None where the figure is told and not held to anything.
        reason: one sentence.
        needed: items (for latency: timed requests) that would settle it with 80 % power; None where it is settled, or
            where no number would.
    """

    name: str
    unit: Unit
    before: float | None = None
    after: float | None = None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None
    source: str = ""
    verdict: Verdict | None = None
    reason: str = ""
    needed: int | None = None


def worst(verdicts: Iterable[Verdict | None]) -> Verdict:
    """FAIL if one fails, else INCONCLUSIVE if one is open; None is held to nothing."""
    found = set(verdicts)
    return "FAIL" if "FAIL" in found else "INCONCLUSIVE" if "INCONCLUSIVE" in found else "PASS"


def one_look(among: int) -> float:
    """Level of one of so many tests when all items are answered."""
    return ALPHA / among


def accuracy(o: Outcomes, limits: Limits, level: Level = one_look) -> list[Check]:
    """Non-inferiority over all items, then in each slice.

    A PASS takes every check that is held, so it needs no correction for their number (an intersection-union test:
    Berger, Technometrics 24, 1982, 295-300). A FAIL takes one: over the slices its p is corrected by Holm.

    Args:
        o: outcomes of `OLD` and `NEW`.
        limits: what is put up with.
        level: one-sided level of one of so many tests.
    """
    slices = sorted({label for label in o.slices if label})
    parts = [_held(f"accuracy, slice {name}", o.slice(name), limits, "slice_margin", level(1)) for name in slices]
    lost = _holm([1 - p for _, p in parts], level)
    whole, p = _held("accuracy", o, limits, "margin", level(1))
    return [
        _decided(whole, p, level(1), lost=1 - p <= level(1), held=True),
        *[
            _decided(part, p, level(1), lost=fails, held=limits.prove_slices)
            for (part, p), fails in zip(parts, lost, strict=True)
        ],
    ]


def _holm(p: Sequence[float], level: Level) -> list[bool]:
    """Which are significant by Holm's procedure: the smallest p first, each as one of those that are left."""
    found = [False] * len(p)
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[place] > level(len(p) - rank):
            break
        found[place] = True
    return found


def _held(name: str, o: Outcomes, limits: Limits, limit: str, level: float) -> tuple[Check, float]:
    """The figures of a check, and p of losing the margin or more."""
    margin: float = getattr(limits, limit)
    test = non_inferior(o, NEW, OLD, margin, alpha=level)
    needed = scaled(test.needed, margin, test.difference + margin)
    check = Check(
        name=name,
        unit="share",
        before=float(o.row(OLD).mean()),
        after=float(o.row(NEW).mean()),
        change=test.difference,
        low=test.low,
        high=-non_inferior(o, OLD, NEW, margin, alpha=level).low,  # the other way round, the other end
        limit=-margin,
        source=limits.source(limit),
        reason=f"{len(o.items):,} items do not settle it; {_enough(needed, test.needed)}",
        needed=needed,
    )
    return check, test.p


def _decided(check: Check, p: float, level: float, *, lost: bool, held: bool) -> Check:
    """With a verdict; a slice that need not be shown to hold does not keep the whole open."""
    points = f"{-100 * (check.limit or 0):g} points"
    if p <= level:
        return replace(check, verdict="PASS", reason=f"shown to lose less than {points}", needed=None)
    if lost:
        return replace(check, verdict="FAIL", reason=f"shown to lose more than {points}", needed=None)
    return replace(check, verdict="INCONCLUSIVE") if held else check


def scaled(items: int, distance: float, gap: float) -> int | None:
    """Items that settle a gap as surely as so many settle another distance; None where no plan has as many."""
    needed = items * (distance / gap) ** 2 if gap else math.inf
    return math.ceil(needed) if needed <= MANY else None


def _enough(seen: int | None, equal: int) -> str:
    """What would settle it: at the difference that is seen, and if there is none."""
    if seen is None:
        return f"no number would, if the loss is the one seen, which is the margin; {equal:,} if both are equally good"
    if seen == equal:
        return f"about {seen:,} would, if both are equally good"
    return f"about {seen:,} would, if the difference is the one seen; {equal:,} if both are equally good"
