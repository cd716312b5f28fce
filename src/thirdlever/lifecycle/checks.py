"""One pinned candidate and the same on a new model: what is compared, and what it is held to."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from thirdlever.analysis.compare import non_inferior
from thirdlever.analysis.scorecards import LEAST_TIMED
from thirdlever.analysis.stats import proportions
from thirdlever.analysis.stats.power import ALPHA
from thirdlever.core.errors import SuiteError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.lifecycle.baseline import Pinned


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


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of the release gate. Shares are 0 to 1.

    Attributes:
        margin: the loss of accuracy that is put up with.
        slice_margin: the same in one slice, which has fewer items.
        prove_slices: whether each slice must be shown to hold; else a slice only fails where it is shown not to.
        max_p95_ratio: p95 latency, as a multiple of the baseline's.
        max_cost_ratio: cost per request, as a multiple of the baseline's.
        max_unparseable_rise: share of answers that cannot be read, above the baseline's.
        max_errors: share of requests that fail.
        sources: by name, "card" or "given"; the others are defaults.
    """

    margin: float = 0.02
    slice_margin: float = 0.05
    prove_slices: bool = False
    max_p95_ratio: float = 1.25
    max_cost_ratio: float = 1.25
    max_unparseable_rise: float = 0.01
    max_errors: float = 0.01
    sources: Mapping[str, str] = field(default_factory=dict)

    def source(self, name: str) -> str:
        """Who set a limit: "card", "given" or "default"."""
        return self.sources.get(name, "default")

    def stated(self, name: str) -> bool:
        """Whether somebody asked for this limit: what cannot be judged then leaves the verdict open."""
        return name in self.sources


_BELOW_ONE = {"margin", "slice_margin"}
_SHARES = {"max_unparseable_rise", "max_errors"}


def limits(card: Mapping[str, Any], given: Mapping[str, Any]) -> Limits:
    """Limits of a card, overridden by flags.

    Args:
        card: the suite's.
        given: by name; None is not given.

    Raises:
        SuiteError: the card sets a limit that does not exist, or a limit cannot have its value.
    """
    stated = card.get("regression") or {}
    known = {one.name for one in fields(Limits)} - {"sources"}
    if not isinstance(stated, dict):
        message = "card.yaml: 'regression' holds no limits; write, for example, margin: 0.02 below it"
        raise SuiteError(message)
    for name in stated:
        if name not in known:
            message = f"card.yaml, regression: {unknown('limit', str(name), known)}"
            raise SuiteError(message)
    given = {name: value for name, value in given.items() if value is not None}
    sources = dict.fromkeys(stated, "card") | dict.fromkeys(given, "given")
    values = {name: _checked(name, value) for name, value in {**stated, **given}.items()}
    return Limits(**values, sources=sources)


def _checked(name: str, value: Any) -> Any:  # noqa: ANN401 - as a card has it
    if name == "prove_slices":
        allowed, right = "true or false", isinstance(value, bool)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        allowed, right = "a number", False
    elif name in _BELOW_ONE:
        allowed, right = "a share above 0 and below 1, such as 0.02 for 2 points", 0 < value < 1
    elif name in _SHARES:
        allowed, right = "a share from 0 to 1", 0 <= value <= 1
    else:
        allowed, right = "a multiple above 0, such as 1.25", value > 0
    if not right:
        message = f"limit {name}={value!r} is not allowed; give {allowed}"
        raise SuiteError(message)
    return value
