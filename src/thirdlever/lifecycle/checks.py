"""The checks of the release gate: accuracy, latency, cost, unparsed and failed requests, each against a limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thirdlever.analysis.compare import non_inferior
from thirdlever.analysis.scorecards import LEAST_TIMED
from thirdlever.analysis.stats import intervals
from thirdlever.analysis.stats.power import ALPHA
from thirdlever.analysis.statuses import MAX_FAILED, MAX_UNPARSED, Tolerance
from thirdlever.core.errors import SuiteError, unknown
from thirdlever.core.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.lifecycle.baseline import BaselineCandidate


Verdict: TypeAlias = Literal["PASS", "FAIL", "INCONCLUSIVE", "NOT-MEASURED"]
_WORST: Sequence[Verdict] = ("NOT-MEASURED", "FAIL", "INCONCLUSIVE")
Level: TypeAlias = Callable[[int], float]  # one-sided level of one test, by the number of tests
Unit: TypeAlias = Literal["share", "s", "usd_per_1k"]

OLD, NEW = "old", "new"
MAX_ITEMS = 1_000_000  # a larger sample is not worth recommending
RESAMPLES = 2_000


_Margin: TypeAlias = Annotated[
    float, Field(gt=0, lt=1, strict=True, description="a share above 0 and below 1, such as 0.02 for 2 points")
]
_Share: TypeAlias = Annotated[float, Field(ge=0, le=1, strict=True, description="a share from 0 to 1")]
_Ratio: TypeAlias = Annotated[
    float, Field(gt=0, strict=True, allow_inf_nan=False, description="a multiple above 0, such as 1.25")
]


class Limits(BaseModel):
    """Limits of the release gate. Shares are 0 to 1.

    Attributes:
        margin: maximum acceptable drop in accuracy.
        slice_margin: the same within one slice, which has fewer items.
        prove_slices: whether each slice must be shown to stay within its margin. If not, a slice only fails when it
            is shown to exceed it.
        max_p95_ratio: maximum p95 latency, as a multiple of the baseline's.
        max_cost_ratio: maximum cost per request, as a multiple of the baseline's.
        max_unparseable_rise: maximum rise in the share of unparsed answers.
        max_errors: maximum share of failed requests.
        max_failed: share of failed, cut-off and refused requests above which a candidate is not measured.
        max_unparsed: the same of unparsed answers.
        sources: where a limit was set, "baseline", "card" or "given"; the others are defaults.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    margin: _Margin = 0.02
    slice_margin: _Margin = 0.05
    prove_slices: Annotated[bool, Field(strict=True, description="true or false")] = False
    max_p95_ratio: _Ratio = 1.25
    max_cost_ratio: _Ratio = 1.25
    max_unparseable_rise: _Share = 0.01
    max_errors: _Share = 0.01
    max_failed: _Share = MAX_FAILED
    max_unparsed: _Share = MAX_UNPARSED
    sources: dict[str, str] = {}

    def source(self, name: str) -> str:
        """Where a limit was set: "baseline", "card", "given" or "default"."""
        return self.sources.get(name, "default")

    @property
    def tolerance(self) -> Tolerance:
        """When a candidate counts as measured."""
        return Tolerance(self.max_failed, self.max_unparsed)


def resolve_limits(card: Mapping[str, Any], given: Mapping[str, Any], pinned: Mapping[str, Any]) -> Limits:
    """Combine the limits of a baseline's run, of a suite's card and of the command line; the last one wins.

    Args:
        card: the suite's card, whose `regression` has limits.
        given: on the command line; None is not given.
        pinned: options of the baseline, which say when a candidate counts as measured.

    Raises:
        SuiteError: a limit does not exist or has an invalid value.
    """
    stated = card.get("regression") or {}
    if not isinstance(stated, dict):
        message = "card.yaml: 'regression' must be a mapping of limits, such as margin: 0.02"
        raise SuiteError(message)
    known = Limits.model_fields.keys() - {"sources"}
    for name in stated:
        if name not in known:
            message = f"card.yaml, regression: {unknown('limit', str(name), known)}"
            raise SuiteError(message)
    given = {name: value for name, value in given.items() if value is not None}
    run = {name: pinned[name] for name in Tolerance.__dataclass_fields__ if pinned.get(name) is not None}
    sources = dict.fromkeys(run, "baseline") | dict.fromkeys(stated, "card") | dict.fromkeys(given, "given")
    try:
        return Limits(**{**run, **stated, **given}, sources=sources)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        message = f"invalid limit {name}={first['input']!r}; expected {Limits.model_fields[name].description}"
        raise SuiteError(message) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One figure compared with one limit.

    Attributes:
        name: "accuracy", "accuracy, slice …", "p95 latency", "cost per 1,000", "unparseable" or "errors"; "measured"
            alone if there is nothing to judge.
        unit: unit of `before` and `after`.
        before: the baseline's figure; None if unknown.
        after: the new model's figure; None if unknown.
        change: `after` less `before`; for latency and cost `after` divided by `before`.
        low: lower end of the change's interval, 90 % at a single look.
        high: upper end.
        limit: limit of the change (for unparseable and errors: of `after`); None if no limit applies.
        source: where the limit was set.
        verdict: None if the figure is only reported.
        reason: one sentence.
        needed: sample size that would settle it with 80 % power, in items (for latency: timed requests). None if it is
            settled, or if no sample size would settle it.
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
    """NOT-MEASURED if any was not measured, else FAIL if any failed, else INCONCLUSIVE if any is. None is ignored."""
    found = set(verdicts)
    return next((verdict for verdict in _WORST if verdict in found), "PASS")


def measured(old: BaselineCandidate, new: BaselineCandidate, limits: Limits) -> Check | None:
    """The only check of a candidate that is not measured, here or in the baseline; None if both are."""
    if why := new.not_measured(limits.tolerance):
        reason = f"the new run is {why}"
    elif why := old.not_measured(limits.tolerance):
        reason = f"the baseline is {why}; pin a run without such losses"
    else:
        return None
    return Check(name="measured", unit="share", verdict="NOT-MEASURED", reason=reason)


# Accuracy


def one_look(tests: int) -> float:
    """Level of one of several tests if all items are looked at once."""
    return ALPHA / tests


def accuracy(o: Outcomes, limits: Limits, level: Level = one_look) -> list[Check]:
    """Test non-inferiority of `NEW` over all items, then within each slice, at a level by the number of tests.

    PASS requires every check with a limit to pass, so it needs no correction for their number (an intersection-union
    test: Berger, Technometrics 24, 1982, 295-300). FAIL requires only one, so Holm corrects the slices.
    """
    alpha = level(1)
    whole, p = _non_inferiority("accuracy", o, limits, "margin", alpha)
    slices = [
        _non_inferiority(f"accuracy, slice {name}", o.slice(name), limits, "slice_margin", alpha)
        for name in sorted({label for label in o.slices if label})
    ]
    worse = _holm([1 - p for _, p in slices], level)
    return [
        _with_verdict(whole, p, alpha, fails=1 - p <= alpha, required=True),
        *[
            _with_verdict(check, p, alpha, fails=fails, required=limits.prove_slices)
            for (check, p), fails in zip(slices, worse, strict=True)
        ],
    ]


def _holm(p: Sequence[float], level: Level) -> list[bool]:
    """Which p are significant by Holm's procedure: smallest first, each as one of those that remain."""
    found = [False] * len(p)
    for rank, place in enumerate(sorted(range(len(p)), key=p.__getitem__)):
        if p[place] > level(len(p) - rank):
            break
        found[place] = True
    return found


def _non_inferiority(name: str, o: Outcomes, limits: Limits, limit: str, alpha: float) -> tuple[Check, float]:
    """A check without its verdict, and the p-value of a loss of the margin or more."""
    margin: float = getattr(limits, limit)
    test = non_inferior(o, NEW, OLD, margin, alpha=alpha)
    needed = scaled(test.needed, margin, test.difference + margin)
    if needed is None:
        enough = "the observed loss is at the margin, which no sample size would settle; "
        enough += f"{counted(test.needed, 'item')} would be enough if both are equally good"
    else:
        enough = f"about {needed:,} would be enough if "
        if needed != test.needed:
            enough += f"the observed difference is real, {test.needed:,} if "
        enough += "both are equally good"
    check = Check(
        name=name,
        unit="share",
        before=float(o.row(OLD).mean()),
        after=float(o.row(NEW).mean()),
        change=test.difference,
        low=test.low,
        high=-non_inferior(o, OLD, NEW, margin, alpha=alpha).low,  # swapped, which gives the upper end
        limit=-margin,
        source=limits.source(limit),
        reason=f"{_are(len(o.items), 'item')} not enough; {enough}",
        needed=needed,
    )
    return check, test.p


def _with_verdict(check: Check, p: float, alpha: float, *, fails: bool, required: bool) -> Check:
    points = f"{-100 * (check.limit or 0):g} points"
    if p <= alpha:
        return replace(check, verdict="PASS", reason=f"shown to lose less than {points}", needed=None)
    if fails:
        return replace(check, verdict="FAIL", reason=f"shown to lose more than {points}", needed=None)
    return replace(check, verdict="INCONCLUSIVE") if required else check


def scaled(items: int, distance: float, gap: float) -> int | None:
    """Sample size that settles `gap` as surely as `items` settle `distance`; None above `MAX_ITEMS`."""
    needed = items * (distance / gap) ** 2 if gap else math.inf
    return math.ceil(needed) if needed <= MAX_ITEMS else None


# Latency, cost, unparsed and failed requests


def operations(old: BaselineCandidate, new: BaselineCandidate, limits: Limits, incomparable: str = "") -> list[Check]:
    """The four checks other than accuracy; `incomparable` says why times cannot be compared, "" if they can."""
    requests = old.figure("requests"), new.figure("requests")
    unparsed, failed = (
        [side.figure(name) / total for side, total in zip((old, new), requests, strict=True)]
        for name in ("unparseable", "errors")
    )
    most = min(1.0, unparsed[0] + limits.max_unparseable_rise)
    n = int(new.figure("n"))
    return [
        _latency(old.latencies_s, new.latencies_s, limits, incomparable),
        _cost(old, new, limits, incomparable),
        _share("unparseable", *unparsed, n=n, limit=most, source=limits.source("max_unparseable_rise")),
        _share("errors", *failed, n=n, limit=limits.max_errors, source=limits.source("max_errors")),
    ]


def _latency(old: Sequence[float], new: Sequence[float], limits: Limits, incomparable: str) -> Check:
    before, after = (intervals.quantile(times, 0.95) for times in (old, new))
    check = Check(name="p95 latency", unit="s", before=before, after=after)
    timed = min(len(old), len(new))
    if not before or not after:
        incomparable = "it was not timed; pin a run that was made with a probe"
    elif not incomparable and timed < LEAST_TIMED[95]:
        incomparable = f"{timed} timed requests are too few for a p95; pin a run made with --probe {LEAST_TIMED[95]}"
        check = replace(check, before=None, after=None)
    if incomparable or not before or not after:
        return _not_judged(check, limits, "max_p95_ratio", incomparable)
    ratio, limit = after / before, limits.max_p95_ratio
    rng = np.random.default_rng(0)
    p95 = [np.quantile(rng.choice(times, (RESAMPLES, len(times))), 0.95, axis=1) for times in (old, new)]
    low, high = map(float, np.quantile(p95[1] / p95[0], [ALPHA, 1 - ALPHA]))  # 90 % bootstrap interval
    check = replace(check, change=ratio, low=low, high=high, limit=limit, source=limits.source("max_p95_ratio"))
    reason = _ratio(ratio, limit)
    if ratio <= limit or low > limit:
        return replace(check, verdict="PASS" if ratio <= limit else "FAIL", reason=reason)
    needed = scaled(timed, math.log(ratio / low), math.log(ratio / limit))
    reason += f", but {_are(timed, 'timed request')} not enough to be sure"
    reason += f"; about {needed:,} would be" if needed else ""
    return replace(check, verdict="INCONCLUSIVE", needed=needed, reason=reason)


def _cost(old: BaselineCandidate, new: BaselineCandidate, limits: Limits, incomparable: str) -> Check:
    before, after = (
        cost if math.isfinite(cost) else None for cost in (side.figure("cost_per_1k_usd") for side in (old, new))
    )
    check = Check(name="cost per 1,000", unit="usd_per_1k", before=before, after=after)
    if before is None or after is None:
        why = "the price is unknown; add it to prices.toml, or for a local model pin a run with --device-usd-per-hour"
        return _not_judged(check, limits, "max_cost_ratio", why)
    ratio = after / before if before else math.inf if after else 1.0
    if any(math.isfinite(side.figure("device_s_per_request")) for side in (old, new)):
        if incomparable:
            return _not_judged(check, limits, "max_cost_ratio", incomparable)
        if "max_cost_ratio" not in limits.sources:
            why = "it is device time, which depends on the machine's other load; state a limit to apply one"
            change = ratio if before else None
            return _not_judged(replace(check, change=change), limits, "max_cost_ratio", why)
    limit = limits.max_cost_ratio
    return replace(
        check,
        change=ratio,
        limit=limit,
        source=limits.source("max_cost_ratio"),
        verdict="PASS" if ratio <= limit else "FAIL",
        reason=_ratio(ratio, limit),
    )


def _share(name: str, before: float, after: float, *, n: int, limit: float, source: str) -> Check:
    """A share of the requests against its maximum; the interval counts items, not epochs."""
    low, high = intervals.wilson(after * n, n, 1 - 2 * ALPHA)
    verdict: Verdict = "PASS" if after <= limit else "FAIL" if low > limit else "INCONCLUSIVE"
    reason, needed = f"{100 * after:.3g} %, maximum {100 * limit:.3g} %", None
    if verdict == "INCONCLUSIVE":
        needed = scaled(n, after - low, after - limit)  # the interval narrows with the root of the number
        reason += f", but {_are(n, 'item')} not enough to be sure" + (f"; about {needed:,} would be" if needed else "")
    return Check(
        name=name,
        unit="share",
        before=before,
        after=after,
        change=after - before,
        low=low - before,
        high=high - before,
        limit=limit,
        source=source,
        verdict=verdict,
        reason=reason,
        needed=needed,
    )


def _not_judged(check: Check, limits: Limits, name: str, why: str) -> Check:
    """A figure that cannot be judged leaves the verdict open only if somebody stated its limit."""
    if name not in limits.sources:
        return replace(check, reason=f"no limit applied: {why}")
    limit: float = getattr(limits, name)
    reason = f"cannot be compared with the limit ×{limit:g}: {why}"
    return replace(check, limit=limit, source=limits.source(name), verdict="INCONCLUSIVE", reason=reason)


def _ratio(ratio: float, limit: float) -> str:
    return f"×{ratio:.2f}, maximum ×{limit:g}"


def _are(number: int, thing: str) -> str:
    return f"{counted(number, thing)} {'is' if number == 1 else 'are'}"
