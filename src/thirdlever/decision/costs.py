"""Costs of a candidate: per request, once for its set-up, and per month.

Each figure has a basis: "measured" in the run, or "assumed" with the source. A sum with an unknown part is unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.usage import total
from thirdlever.core.text import counted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.analysis.run import Run
    from thirdlever.analysis.scorecards import CandidateFigures
    from thirdlever.decision.assumptions import Assumptions

HOURS_PER_MONTH = 365 * 24 / 12
_ENDS = (2.5, 97.5)
_PREPARED = "the job's charge, tokens and device time"


@dataclass(frozen=True, eq=False, kw_only=True)
class Cost:
    """Costs of a candidate, in USD; None is unknown.

    Attributes:
        model: its model; None if it uses none.
        per_request_usd: mean of the answered requests.
        low, high: ends of the 95 % bootstrap interval of `per_request_usd`, resampled by source of the items.
        setup: once, by part: labels, training, indexing, evaluation, engineering.
        standing: per month, by part: hosting, index, upkeep, re-tuning.
        basis: "measured …" or "assumed …" for each part and for "per request".
        retires: the first day on which the model no longer answers; None if not announced.
        draws: bootstrap means of the cost per request [draws].
        accuracy_draws: bootstrap means of the accuracy [draws]; all candidates of a run share the resamples.
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
        """Sum of the set-up costs."""
        return total([*self.setup.values()])

    @property
    def standing_usd_per_month(self) -> float | None:
        """Sum of the monthly costs that do not depend on the volume."""
        return total([*self.standing.values()])

    @property
    def per_correct_usd(self) -> float | None:
        """Cost per correct answer; wrong answers are paid for as well. inf if none is correct."""
        if self.per_request_usd is None or self.accuracy is None:
            return None
        if not self.per_request_usd:
            return 0.0 if self.accuracy else math.inf
        return self.per_request_usd / self.accuracy if self.accuracy else math.inf

    @property
    def per_correct_interval(self) -> tuple[float, float] | None:
        """95 % interval of `per_correct_usd`."""
        if self.draws is None or self.accuracy_draws is None:
            return None
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            return interval(self.draws / self.accuracy_draws)

    def monthly_usd(self, volume: float) -> float | None:
        """Cost of a month with `volume` requests."""
        if self.per_request_usd is None or self.standing_usd_per_month is None:
            return None
        return self.standing_usd_per_month + volume * self.per_request_usd

    def cumulative_usd(self, month: float, volume: float) -> float | None:
        """Cost up to the end of a month at `volume` requests a month; month 0 is the set-up."""
        monthly = self.monthly_usd(volume)
        return None if monthly is None or self.setup_usd is None else self.setup_usd + month * monthly


def costs(run: Run, a: Assumptions) -> dict[str, Cost]:
    """Costs of every candidate, in the order of run.json.

    Raises:
        ThirdleverError: an invalid hourly rate or utilisation of the device.
    """
    info = run.info
    rate = info.get("device_usd_per_hour") if a.device_usd_per_hour is None else a.device_usd_per_hour
    utilisation = info.get("utilisation", 1.0) if a.utilisation is None else a.utilisation
    return {
        candidate["name"]: _cost(candidate, run.figures[candidate["name"]], a, rate, utilisation)
        for candidate in info["candidates"]
    }


def interval(draws: NDArray[np.float64]) -> tuple[float, float] | None:
    """The middle 95 % of bootstrap draws, without NaN; None if nothing is left. inf stays inf."""
    import numpy as np

    known = draws[~np.isnan(draws)]
    if not len(known):
        return None
    low, high = np.percentile(known, _ENDS, method="inverted_cdf")  # other methods would subtract inf from inf
    return float(low), float(high)


def _cost(
    candidate: Mapping[str, Any], used: CandidateFigures, a: Assumptions, rate: float | None, utilisation: float
) -> Cost:
    factor = used.usd_factor(rate, utilisation)
    per_request = used.usd(rate, utilisation)
    draws = None if factor is None or used.draws is None else used.draws * factor
    low, high = (draws is not None and interval(draws)) or (None, None)
    setup = _setup(candidate, used, a, rate, utilisation)
    setup["evaluation"] = None if per_request is None else per_request * used.requests
    standing = _standing(candidate.get("tuning"), setup, used, a)
    basis = _basis(candidate, used, a, rate, utilisation)
    return Cost(
        candidate=candidate["name"],
        strategy=candidate["strategy"],
        model=candidate.get("model"),
        tuned=candidate.get("tuning") is not None,
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
    """Set-up costs by part; preparing means training, or else indexing or selecting demonstrations."""
    setup, tuned = candidate.get("setup"), candidate.get("tuning") is not None
    labels = setup["labels"] if setup else None
    prepared = used.setup_usd(rate, utilisation)
    return {
        "labels": 0.0 if labels == 0 else _product(labels, a.usd_per_label),
        "training" if tuned or not used.asks else "indexing": prepared,
        "engineering": getattr(a, _engineering(candidate)),
    }


def _standing(
    tuning: Mapping[str, Any] | None, setup: Mapping[str, float | None], used: CandidateFigures, a: Assumptions
) -> dict[str, float | None]:
    """Monthly costs by part. A tuned model is trained and measured again at each release of its base."""
    index = {"index": a.rag_usd_per_month} if used.retrieves and used.asks else {}
    if tuning is None:
        return {**index}
    again = total([setup["training"], setup["evaluation"]])
    return {
        **index,
        "hosting": _product(tuning["hosting_usd_per_hour"], HOURS_PER_MONTH),
        "upkeep": a.upkeep_usd_per_month,
        "re-tuning": None if again is None else again / a.horizon_months,
    }


def _basis(
    candidate: Mapping[str, Any], used: CandidateFigures, a: Assumptions, rate: float | None, utilisation: float
) -> dict[str, str]:
    sources = {one.name: one.source for one in a.listed()}
    if used.price:
        request = f"measured: tokens, at the price of {used.price.model} ({used.price.origin})"
    elif rate is None:
        request = "unknown: no source states a price; for a local model give device_usd_per_hour"
    else:
        request = f"measured: device time, at ${rate:g} an hour, {100 * utilisation:.0f} % utilised"
    labels = (candidate.get("setup") or {}).get("labels")
    return {
        "per request": request,
        "labels": f"measured: {'unknown number of labels' if labels is None else counted(labels, 'label')}; "
        f"assumed: the price of one ({sources['usd_per_label']})",
        "training": f"measured: {_PREPARED}",
        "indexing": f"measured: {_PREPARED}",
        "evaluation": f"measured: {counted(used.requests, 'request')}",
        "engineering": f"assumed: people's work ({sources[_engineering(candidate)]})",
        "hosting": "assumed: the provider's price list, every hour of the month",
        "index": f"assumed: keeping the index ({sources['rag_usd_per_month']})",
        "upkeep": f"assumed: people's work ({sources['upkeep_usd_per_month']})",
        "re-tuning": f"measured: training and evaluation; assumed: every {a.horizon_months:g} months"
        f" ({sources['horizon_months']})",
    }


def _engineering(candidate: Mapping[str, Any]) -> str:
    """The name of the assumption for the candidate's engineering."""
    tuning = candidate.get("tuning")
    if tuning is None:
        return "prompt_usd"
    return "engineering_usd" if tuning["where"] == "local" else "managed_engineering_usd"


def _retirement(candidate: Mapping[str, Any]) -> dt.date | None:
    """The announced retirement of the base, and so of the model that a provider tuned from it."""
    from thirdlever.catalog.retirements import retirement
    from thirdlever.catalog.tuning import profiles

    where, base = (candidate.get("tuning") or {}).get("where"), candidate.get("base")
    terms = next((one for one in profiles().values() if one.title == where), None)
    known = retirement(terms.name, terms.base(base)) if terms and base else None
    return known.retires if known else None


def _product(amount: float | None, each: float | None) -> float | None:
    return None if amount is None or each is None else amount * each
