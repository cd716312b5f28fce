"""Costs of a candidate: per request, once for its set-up, and per month.

Each figure has a basis: "measured" in the run, or "assumed" with the source. A sum with an unknown part is unknown.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from thirdlever.analysis.usage import total
from thirdlever.core.text import counted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.analysis.run import Run
    from thirdlever.analysis.scorecards import CandidateFigures
    from thirdlever.decision.assumptions import Assumptions

HOURS_PER_MONTH = 365 * 24 / 12
_ENDS = (2.5, 97.5)
_PREPARED = "the job's charge, tokens and device time"


class Month(NamedTuple):
    """What a month costs, in USD.

    Attributes:
        bill: requests, fixed costs, and the share of the next re-tuning.
        errors: cost of the wrong answers; None if an error has no stated price, or the accuracy is unknown.
        low, high: ends of the 95 % interval of `total`; None for stated figures.
    """

    bill: float
    errors: float | None
    low: float | None
    high: float | None

    @property
    def total(self) -> float:
        """The bill and, where an error has a price, the errors."""
        return self.bill + (self.errors or 0.0)


class Range(NamedTuple):
    """An amount in USD with the ends of its published range."""

    usd: float
    low: float
    high: float


@dataclass(frozen=True, eq=False, kw_only=True)
class Cost:
    """Costs of a candidate, in USD; None is unknown.

    Attributes:
        model: its model; None if it uses none.
        per_request_usd: mean of the answered requests.
        low, high: ends of the 95 % bootstrap interval of `per_request_usd`, resampled by source of the items.
        setup: once, by part: labels, training, indexing, evaluation, engineering.
        standing: per month, by part: hosting, index, upkeep, a machine that is always on.
        retuning: each time that a new base model replaces the tuned one; None if it is not tuned, or unknown.
        release_months: time between two of them.
        machine_usd_per_month: of a machine that is always on, if requests are priced by the time that they keep a
            machine busy; None for any other price.
        weeks: time until it can be in use, if stated.
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
    retuning: Range | None = None
    release_months: float = math.inf
    machine_usd_per_month: float | None = None
    weeks: float | None = None
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
        """Cost of a month with `volume` requests, with the share of the next re-tuning."""
        if self.per_request_usd is None or self.standing_usd_per_month is None:
            return None
        return self.standing_usd_per_month + volume * self.per_request_usd + self._accrued

    def month(self, volume: float, error_usd: float | None) -> Month | None:
        """Bill and errors of a month with `volume` requests; None if the bill is unknown.

        Args:
            volume: requests a month.
            error_usd: price of an error; None if not stated.
        """
        bill = self.monthly_usd(volume)
        if bill is None or self.per_request_usd is None:
            return None
        each = error_usd or 0.0
        errors = None if error_usd is None or self.accuracy is None else (1 - self.accuracy) * each * volume
        ends = None
        if self.draws is not None:
            wrong = 0.0 if self.accuracy_draws is None else (1 - self.accuracy_draws) * each
            ends = interval(volume * (self.draws + wrong))
        fixed = bill - volume * self.per_request_usd
        low, high = (None, None) if ends is None else (fixed + ends[0], fixed + ends[1])
        return Month(bill, errors, low, high)

    def cumulative_usd(self, month: float, volume: float, error_usd: float | None = None) -> float | None:
        """Cost up to the end of a month at `volume` requests a month; month 0 is the set-up.

        A tuned model is tuned again at each release of its base before that month. With the price of an error, wrong
        answers are counted.
        """
        whole = self.month(volume, error_usd)
        if whole is None or self.setup_usd is None:
            return None
        monthly = whole.total
        again = 0.0 if self.retuning is None else self.retuning.usd * self.retunings(month)
        return self.setup_usd + month * (monthly - self._accrued) + again

    def retunings(self, month: float) -> int:
        """How often a tuned model is tuned again before the end of a month."""
        return max(math.ceil(month / self.release_months) - 1, 0)

    @property
    def _accrued(self) -> float:
        return 0.0 if self.retuning is None else self.retuning.usd / self.release_months


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


def averaged(known: Mapping[str, Cost], repeats: Mapping[str, Sequence[str]]) -> dict[str, Cost]:
    """The costs, with one for all repeats of a recipe: the means of theirs, since one of them will be in use.

    Args:
        known: by candidate.
        repeats: for each recipe's name, the candidates that repeat it.
    """
    found = dict(known)
    for recipe, names in repeats.items():
        own = [found.pop(name) for name in names]
        draws, right = _mean([one.draws for one in own]), _mean([one.accuracy_draws for one in own])
        low, high = (draws is not None and interval(draws)) or (None, None)
        found[recipe] = replace(
            own[0],
            candidate=recipe,
            accuracy=_mean([one.accuracy for one in own]),
            per_request_usd=_mean([one.per_request_usd for one in own]),
            low=low,
            high=high,
            setup={part: _mean([one.setup[part] for one in own]) for part in own[0].setup},
            draws=draws,
            accuracy_draws=right,
        )
    return found


def _mean(values: Sequence[Any]) -> Any:  # noqa: ANN401 - numbers, or draws
    """The mean of numbers or of arrays; None if one is unknown."""
    return None if any(value is None for value in values) else sum(values) / len(values)


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
    machine = None if used.price or rate is None else rate * HOURS_PER_MONTH * _machines(used, a)
    standing = _standing(candidate.get("tuning"), used, a)
    busy = rate
    if machine is not None and a.always_on:  # a request then costs what others charge
        busy, standing["machine"] = 0.0, machine
    per_request, draws = used.usd(busy, utilisation), used.usd_draws(busy, utilisation)
    low, high = (draws is not None and interval(draws)) or (None, None)
    setup = _setup(candidate, used, a, rate, utilisation)
    asked = None if per_request is None else per_request * used.requests
    setup["evaluation"] = total([asked, used.grading_usd(rate, utilisation)])
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
        retuning=_retuning(candidate, setup, a),
        release_months=a.horizon_months,
        machine_usd_per_month=machine,
        basis={part: why for part, why in basis.items() if part in {"per request", "re-tuning", *setup, *standing}},
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


def _standing(tuning: Mapping[str, Any] | None, used: CandidateFigures, a: Assumptions) -> dict[str, float | None]:
    """Monthly costs by part."""
    index = {"index": a.rag_usd_per_month} if used.retrieves and used.asks else {}
    if tuning is None:
        return {**index}
    hosting = _product(tuning["hosting_usd_per_hour"], HOURS_PER_MONTH)
    return {**index, "hosting": hosting, "upkeep": a.upkeep_usd_per_month}


def _retuning(candidate: Mapping[str, Any], setup: Mapping[str, float | None], a: Assumptions) -> Range | None:
    """Training, evaluation and people's work, again at each release of the base."""
    if candidate.get("tuning") is None:
        return None
    if a.retuning_usd is not None:
        return Range(a.retuning_usd, a.retuning_usd, a.retuning_usd)
    again, work = total([setup["training"], setup["evaluation"]]), a.range(_engineering(candidate))
    return None if again is None or work is None else Range(*(again + usd for usd in work))


def _machines(used: CandidateFigures, a: Assumptions) -> int:
    """How many machines the volume keeps busy: 1 at least."""
    busy_s = (a.monthly_volume or 0.0) * (used.amount or 0.0)
    return max(1, math.ceil(busy_s / (3600 * HOURS_PER_MONTH)))


def _basis(
    candidate: Mapping[str, Any], used: CandidateFigures, a: Assumptions, rate: float | None, utilisation: float
) -> dict[str, str]:
    sources = {one.name: one.source for one in a.listed()}
    if used.price:
        request = f"measured: tokens, at the price of {used.price.model} ({used.price.origin})"
    elif rate is None:
        request = "unknown: no source states a price; for a local model give device_usd_per_hour"
    elif a.always_on:
        request = "none: the machine is always on"
    else:
        request = f"measured: device time, at ${rate:g} an hour, {100 * utilisation:.0f} % utilised"
    labels = (candidate.get("setup") or {}).get("labels")
    again = "measured: training and evaluation; assumed: people's work as in the first tune"
    if a.retuning_usd is not None:
        again = f"assumed: {sources['retuning_usd']}"
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
        "machine": "assumed: its hourly price, every hour of the month",
        "re-tuning": f"{again}; assumed: every {a.horizon_months:g} months ({sources['horizon_months']})",
    }


def _engineering(candidate: Mapping[str, Any]) -> str:
    """The name of the assumption for the candidate's engineering."""
    tuning = candidate.get("tuning")
    if tuning is None:
        return "prompt_usd"
    return "engineering_usd" if tuning["where"] == "local" else "managed_engineering_usd"


def _retirement(candidate: Mapping[str, Any]) -> dt.date | None:
    """The announced retirement of the base, and so of the model that a provider tuned from it."""
    from thirdlever.catalog.model_names import retirement
    from thirdlever.catalog.tuning import profiles

    where, base = (candidate.get("tuning") or {}).get("where"), candidate.get("base")
    terms = next((one for one in profiles().values() if one.title == where), None)
    known = retirement(terms.name, terms.base(base)) if terms and base else None
    return known.retires if known else None


def _product(amount: float | None, each: float | None) -> float | None:
    return None if amount is None or each is None else amount * each
