"""Latency, cost, unreadable answers and failures of a new model, held to limits.

A figure within its limit passes. One beyond it fails where even the near end of its 90 % interval is beyond; else it is
open. A limit that somebody stated and that cannot be judged leaves the verdict open too; a default is then only told.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from thirdlever.analysis.scorecards import LEAST_TIMED
from thirdlever.analysis.stats import proportions
from thirdlever.analysis.stats.power import ALPHA
from thirdlever.regression.checks import Check, Verdict, scaled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.regression.baseline import Pinned
    from thirdlever.regression.limits import Limits

RESAMPLES = 2_000
PERCENT = 100


@dataclass(frozen=True, slots=True)
class Sides:
    """A pinned candidate and the same on the new model.

    Attributes:
        old: as it was pinned.
        new: as it was measured now.
        limits: what it is held to.
        elsewhere: why times of the two cannot be compared, and what to do; "" when they can.
    """

    old: Pinned
    new: Pinned
    limits: Limits
    elsewhere: str


def operations(sides: Sides) -> list[Check]:
    """The four checks beside accuracy."""
    return [_latency(sides), _cost(sides), _unparseable(sides), _errors(sides)]


def _latency(sides: Sides) -> Check:
    times = sides.old.latencies_s, sides.new.latencies_s
    before, after = (proportions.quantile(own, 0.95) for own in times)
    check = Check(name="p95 latency", unit="s", before=before, after=after)
    if not before or not after:
        return _unjudged(check, sides.limits, "max_p95_ratio", "it was not timed: pin a run that was made with a probe")
    if sides.elsewhere:
        return _unjudged(check, sides.limits, "max_p95_ratio", sides.elsewhere)
    if (timed := min(map(len, times))) < LEAST_TIMED:
        why = f"{timed} timed requests do not tell a p95: pin a run that was made with --probe {LEAST_TIMED} or more"
        return _unjudged(check, sides.limits, "max_p95_ratio", why)
    ratio, limit = after / before, sides.limits.max_p95_ratio
    low, high = _interval(*times)
    verdict: Verdict = "PASS" if ratio <= limit else "FAIL" if low > limit else "INCONCLUSIVE"
    check = replace(check, change=ratio, low=low, high=high, limit=limit, source=sides.limits.source("max_p95_ratio"))
    if verdict != "INCONCLUSIVE":
        return replace(check, verdict=verdict, reason=_times(ratio, limit))
    needed = scaled(timed, math.log(ratio / low), math.log(ratio / limit))
    reason = f"{_times(ratio, limit)}, but the few timed requests may mislead"
    if needed:
        reason += f"; about {needed:,} would tell"
    return replace(check, verdict=verdict, needed=needed, reason=reason)


def _interval(old: Sequence[float], new: Sequence[float]) -> tuple[float, float]:
    """90 % bootstrap interval of the ratio of p95s."""
    rng = np.random.default_rng(0)
    p95 = [np.quantile(rng.choice(times, (RESAMPLES, len(times))), 0.95, axis=1) for times in (old, new)]
    low, high = np.quantile(p95[1] / p95[0], [ALPHA, 1 - ALPHA])
    return float(low), float(high)


def _cost(sides: Sides) -> Check:
    before, after = (_known(one.figure("cost_per_1k_usd")) for one in (sides.old, sides.new))
    check = Check(name="cost per 1,000", unit="usd_per_1k", before=before, after=after)
    if before is None or after is None:
        why = "no price is known: state it in prices.toml, for a local model pin a run with --device-usd-per-hour"
        return _unjudged(check, sides.limits, "max_cost_ratio", why)
    by_time = any(math.isfinite(one.figure("device_s_per_request")) for one in (sides.old, sides.new))
    if by_time and sides.elsewhere:
        return _unjudged(check, sides.limits, "max_cost_ratio", sides.elsewhere)
    if by_time and not sides.limits.stated("max_cost_ratio"):
        why = "it is device time, which depends on what else the machine did; state one to hold it all the same"
        return _unjudged(replace(check, change=after / before if before else None), sides.limits, "max_cost_ratio", why)
    limit = sides.limits.max_cost_ratio
    ratio = after / before if before else math.inf if after else 1.0
    return replace(
        check,
        change=ratio,
        limit=limit,
        source=sides.limits.source("max_cost_ratio"),
        verdict="PASS" if ratio <= limit else "FAIL",
        reason=_times(ratio, limit),
    )


def _unparseable(sides: Sides) -> Check:
    before, after = (one.figure("unparseable") / one.figure("requests") for one in (sides.old, sides.new))
    check = Check(name="unparseable", unit="share", before=before, after=after)
    limit = min(1.0, before + sides.limits.max_unparseable_rise)
    return _share(check, after, limit, sides, "max_unparseable_rise")


def _errors(sides: Sides) -> Check:
    before, after = (one.figure("errors") / one.figure("requests") for one in (sides.old, sides.new))
    check = Check(name="errors", unit="share", before=before, after=after)
    return _share(check, after, sides.limits.max_errors, sides, "max_errors")


def _share(check: Check, share: float, limit: float, sides: Sides, name: str) -> Check:
    """A share of the answers that may be so large; items are counted, not their repeats."""
    n = int(sides.new.figure("n"))
    low, high = proportions.wilson(share * n, n, 1 - 2 * ALPHA)
    verdict: Verdict = "PASS" if share <= limit else "FAIL" if low > limit else "INCONCLUSIVE"
    reason, needed = f"{_percent(share)}, at most {_percent(limit)} allowed", None
    if verdict == "INCONCLUSIVE":
        needed = scaled(n, share - low, share - limit)  # the interval narrows with the root of the number
        reason += f", but {n:,} items may mislead" + (f"; about {needed:,} would tell" if needed else "")
    return replace(
        check,
        change=share - (check.before or 0.0),
        low=low - (check.before or 0.0),
        high=high - (check.before or 0.0),
        limit=limit,
        source=sides.limits.source(name),
        verdict=verdict,
        reason=reason,
        needed=needed,
    )


def _unjudged(check: Check, limits: Limits, name: str, why: str) -> Check:
    if not limits.stated(name):
        return replace(check, reason=f"not held to a limit: {why}")
    limit: float = getattr(limits, name)
    reason = f"the limit of ×{limit:g} cannot be judged: {why}"
    return replace(check, limit=limit, source=limits.source(name), verdict="INCONCLUSIVE", reason=reason)


def _times(ratio: float, limit: float) -> str:
    return f"×{ratio:.2f}, at most ×{limit:g} allowed"


def _percent(share: float) -> str:
    return f"{PERCENT * share:.3g} %"


def _known(figure: float) -> float | None:
    return figure if math.isfinite(figure) else None
