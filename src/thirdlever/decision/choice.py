"""Which candidate to use: the cheapest that is good enough. A cost that nobody knows is never the lowest."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from thirdlever.decision.gates import RANK, Verdict, worst

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.decision.evidence import Evidence, Standing
    from thirdlever.decision.gates import Gate
    from thirdlever.decision.matrix import Question
    from thirdlever.economics.assumptions import Assumptions
    from thirdlever.economics.costs import Cost

    Judged: TypeAlias = tuple[Standing | None, tuple[Gate, ...], tuple[Question, ...]]


def good_enough(e: Evidence, a: Assumptions, pool: Sequence[Standing]) -> list[Standing]:
    """Those that meet the target and are not worse than the best of the pool by the margin or more.

    Where none meets the target, those that hold the second condition alone.

    Args:
        e: what was measured.
        a: target and margin.
        pool: candidates that answered, best first.
    """
    level = [one for one in pool if e.not_worse(one.name, pool[0].name, a.margin)]
    target = a.target_accuracy
    meeting = [one for one in level if target is not None and one.against(target) == "meets"]
    return meeting or level


def stay_with(e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Standing | None:
    """The candidate to use without tuning; None when none answered."""
    enough = good_enough(e, a, e.untuned)
    return min(enough, key=lambda one: price(one, costs, a), default=None)


def ranked(judged: Sequence[Judged], e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Judged:
    """The tuned candidate with the best verdict; of several that are justified, the cheapest that is good enough."""
    best = min(RANK[overall(gates, questions)] for _, gates, questions in judged)
    equals = [one for one in judged if RANK[overall(one[1], one[2])] == best]
    tuned = [one[0] for one in equals if one[0] is not None]
    if best or not tuned:  # none is justified: the one that comes nearest
        return min(equals, key=lambda one: (RANK[one[1][2].verdict], -((one[0] and one[0].accuracy) or 0.0)))
    enough = good_enough(e, a, tuned)
    chosen = min(enough, key=lambda one: price(one, costs, a))
    return next(one for one in equals if one[0] is chosen)


def overall(gates: Sequence[Gate], questions: Sequence[Question]) -> Verdict:
    """GO only when all three gates and all six questions lead on; a NO-GO weighs more than what is still open."""
    return worst([*gates, *questions])


def price(one: Standing, costs: Mapping[str, Cost], a: Assumptions) -> tuple[float, float, float]:
    """To sort by: over the horizon, else of a request; then the better first."""
    cost = costs.get(one.name)
    whole = cost.cumulative_usd(a.horizon_months, a.monthly_volume) if cost and a.monthly_volume is not None else None
    request = cost.per_request_usd if cost else None
    return _known(whole), _known(request), -(one.accuracy or 0.0)


def _known(amount: float | None) -> float:
    return math.inf if amount is None or math.isnan(amount) else amount
