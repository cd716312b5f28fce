"""What a candidate costs: for each request, once to set it up, and for each month that it stands.

Every figure says what it rests on: "measured" in the run, or "assumed", by whom (see `assumptions`). What is unknown is
None, and whatever it is a part of is unknown with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.usage import total

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.analysis.run import Run
    from thirdlever.analysis.scorecards import CandidateFigures
    from thirdlever.decision.assumptions import Assumptions


_ENDS = (2.5, 97.5)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cost:
    """A candidate in money. USD; None is unknown.

    Attributes:
        candidate: as in the run.
        strategy: its strategy.
        model: the model that it asks; None when it asks none.
        tuned: whether the model was tuned for it.
        accuracy: 0 to 1.
        per_request_usd: of one answered request, mean.
        low: lower end of its 95 % interval, by bootstrap over the sources of the items.
        high: upper end.
        setup: USD once, by part: labels, training, indexing, evaluation, engineering.
        standing: USD a month, by part: hosting, index, upkeep, re-tuning.
        basis: what a part rests on, "measured …" or "assumed …"; "per request" is among the parts.
        retires: the day from which it no longer answers; None when none is announced.
        draws: bootstrap means of the cost of a request [draws].
        accuracy_draws: bootstrap means of the accuracy [draws], of the same resamples for every candidate of a run.
    """

    candidate: str
    strategy: str
    model: str | None = None
    tuned: bool = False
    accuracy: float | None = None
    per_request_usd: float | None = None
    low: float | None = None
    high: float | None = None
    setup: Mapping[str, float | None] = field(default_factory=dict)
    standing: Mapping[str, float | None] = field(default_factory=dict)
    basis: Mapping[str, str] = field(default_factory=dict)
    retires: dt.date | None = None
    draws: NDArray[np.float64] | None = field(default=None, repr=False)
    accuracy_draws: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def setup_usd(self) -> float | None:
        """All of the set-up."""
        return total([*self.setup.values()])

    @property
    def standing_usd_per_month(self) -> float | None:
        """All that a month costs before the first request."""
        return total([*self.standing.values()])

    @property
    def per_correct_usd(self) -> float | None:
        """Of one right answer: what wrong ones cost is paid as well. inf when there is none for the money."""
        if self.per_request_usd is None or self.accuracy is None:
            return None
        if not self.per_request_usd:
            return 0.0 if self.accuracy else math.inf
        return self.per_request_usd / self.accuracy if self.accuracy else math.inf

    @property
    def per_correct_interval(self) -> tuple[float, float] | None:
        """Its 95 % interval."""
        if self.draws is None or self.accuracy_draws is None:
            return None
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            return interval(self.draws / self.accuracy_draws)

    def monthly_usd(self, volume: float) -> float | None:
        """Of a month with so many requests."""
        if self.per_request_usd is None or self.standing_usd_per_month is None:
            return None
        return self.standing_usd_per_month + volume * self.per_request_usd

    def cumulative_usd(self, month: float, volume: float) -> float | None:
        """All that is spent by the end of a month, at so many requests a month; month 0 is the set-up."""
        monthly = self.monthly_usd(volume)
        return None if monthly is None or self.setup_usd is None else self.setup_usd + month * monthly


def interval(draws: NDArray[np.float64]) -> tuple[float, float] | None:
    """The middle 95 % of bootstrap draws; None when none of them says anything. inf stays inf."""
    import numpy as np

    known = draws[~np.isnan(draws)]
    if not len(known):
        return None
    low, high = np.percentile(known, _ENDS, method="inverted_cdf")  # others would take inf from inf
    return float(low), float(high)


HOURS_PER_MONTH = 365 * 24 / 12
_PREPARED = "the job's charge, tokens and device time"
_WORK, _KEPT = "people's work", "keeping the index"


def costs(run: Run, a: Assumptions) -> dict[str, Cost]:
    """Every candidate's, in the order of run.json.

    Raises:
        ThirdleverError: the hourly rate of the device, or its utilisation, cannot be.
    """
    info = run.info
    rate = info.get("device_usd_per_hour") if a.device_usd_per_hour is None else a.device_usd_per_hour
    utilisation = info.get("utilisation", 1.0) if a.utilisation is None else a.utilisation
    return {
        candidate["name"]: _cost(candidate, run.figures[candidate["name"]], a, rate, utilisation)
        for candidate in info["candidates"]
    }


def _cost(
    candidate: Mapping[str, Any], used: CandidateFigures, a: Assumptions, rate: float | None, utilisation: float
) -> Cost:
    factor = used.usd_factor(rate, utilisation)
    per_request = used.usd(rate, utilisation)
    draws = None if factor is None or used.draws is None else used.draws * factor
    low, high = (draws is not None and interval(draws)) or (None, None)
    tuning = candidate.get("tuning")
    setup = _setup(candidate, used, a, rate, utilisation)
    setup["evaluation"] = None if per_request is None else per_request * used.requests
    standing = _standing(tuning, setup, used, a)
    basis = _basis(candidate, used, a, rate, utilisation)
    return Cost(
        candidate=candidate["name"],
        strategy=candidate["strategy"],
        model=candidate.get("model"),
        tuned=tuning is not None,
        accuracy=used.accuracy.value if used.accuracy else None,
        per_request_usd=per_request,
        low=low,
        high=high,
        setup=setup,
        standing=standing,
        basis={part: why for part, why in basis.items() if part in {"per request", *setup, *standing}},
        retires=_retirement(candidate),
        draws=draws,
        accuracy_draws=used.accuracy_draws,
    )


def _setup(
    candidate: Mapping[str, Any], used: CandidateFigures, a: Assumptions, rate: float | None, utilisation: float
) -> dict[str, float | None]:
    """By part; what is prepared is trained weights, or else an index or a choice of demonstrations."""
    setup, tuned = candidate.get("setup"), candidate.get("tuning") is not None
    labels = setup["labels"] if setup else None
    prepared = used.setup_usd(rate, utilisation)
    return {
        "labels": 0.0 if labels == 0 else _times(labels, a.usd_per_label),
        "training" if tuned or not used.asks else "indexing": prepared,
        "engineering": getattr(a, _work(candidate)),
    }


def _standing(
    tuning: Mapping[str, Any] | None, setup: Mapping[str, float | None], used: CandidateFigures, a: Assumptions
) -> dict[str, float | None]:
    """By part. A tuned model is trained and measured again at each release of its base."""
    index = {"index": a.rag_usd_per_month} if used.retrieves and used.asks else {}
    if tuning is None:
        return dict(index)
    again = total([setup["training"], setup["evaluation"]])
    return {
        **index,
        "hosting": _times(tuning["hosting_usd_per_hour"], HOURS_PER_MONTH),
        "upkeep": a.upkeep_usd_per_month,
        "re-tuning": None if again is None else again / a.horizon_months,
    }


def _basis(
    candidate: Mapping[str, Any], used: CandidateFigures, a: Assumptions, rate: float | None, utilisation: float
) -> dict[str, str]:
    """What each part rests on."""
    sources = {one.name: one.source for one in a.listed()}
    if used.price:
        use = f"measured: tokens, at the price of {used.price.model} ({used.price.origin})"
    elif rate is None:
        use = "unknown: no source states a price; for a local model give device_usd_per_hour"
    else:
        use = f"measured: device time, at ${rate:g} an hour, {100 * utilisation:.0f} % utilised"
    labels = (candidate.get("setup") or {}).get("labels")
    examples = "unknown" if labels is None else f"{labels:,}"
    return {
        "per request": use,
        "labels": f"measured: {examples} labels; assumed: the price of one ({sources['usd_per_label']})",
        "training": f"measured: {_PREPARED}",
        "indexing": f"measured: {_PREPARED}",
        "evaluation": f"measured: {used.requests:,} requests",
        "engineering": f"assumed: {_WORK} ({sources[_work(candidate)]})",
        "hosting": "assumed: the provider's price list, every hour of the month",
        "index": f"assumed: {_KEPT} ({sources['rag_usd_per_month']})",
        "upkeep": f"assumed: {_WORK} ({sources['upkeep_usd_per_month']})",
        "re-tuning": f"measured: training and evaluation; assumed: every {a.horizon_months:g} months"
        f" ({sources['horizon_months']})",
    }


def _work(candidate: Mapping[str, Any]) -> str:
    """The assumption that states people's work on a candidate."""
    tuning = candidate.get("tuning")
    if tuning is None:
        return "prompt_usd"
    return "engineering_usd" if tuning["where"] == "local" else "managed_engineering_usd"


def _retirement(candidate: Mapping[str, Any]) -> dt.date | None:
    """Of the base that a provider tuned, and of the tuned model with it; None when none is announced."""
    from thirdlever.catalog.retirements import retirement
    from thirdlever.catalog.tuning import profiles

    where, base = (candidate.get("tuning") or {}).get("where"), candidate.get("base")
    terms = next((one for one in profiles().values() if one.title == where), None)
    if terms is None or not base:
        return None
    known = retirement(terms.name, terms.base(base))
    return known.retires if known else None


def _times(amount: float | None, each: float | None) -> float | None:
    return None if amount is None or each is None else amount * each
