"""From a run and its assumptions to what each candidate costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thirdlever.analysis.usage import preparing_usd, total
from thirdlever.economics.costs import Cost, interval

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from thirdlever.analysis.run import Run
    from thirdlever.analysis.usage import Usage
    from thirdlever.economics.assumptions import Assumptions

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
        candidate["name"]: _cost(candidate, run.usage[candidate["name"]], a, rate, utilisation)
        for candidate in info["candidates"]
    }


def _cost(candidate: Mapping[str, Any], used: Usage, a: Assumptions, rate: float | None, utilisation: float) -> Cost:
    factor = used.usd_factor(rate, utilisation)
    per_request = None if factor is None or used.amount is None else used.amount * factor
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
        accuracy=used.accuracy,
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
    candidate: Mapping[str, Any], used: Usage, a: Assumptions, rate: float | None, utilisation: float
) -> dict[str, float | None]:
    """By part; what is prepared is trained weights, or else an index or a choice of demonstrations."""
    setup, tuned = candidate.get("setup"), candidate.get("tuning") is not None
    labels = setup["labels"] if setup else None
    prepared = preparing_usd(setup, used.base_price, rate, utilisation) if setup else None
    return {
        "labels": 0.0 if labels == 0 else _times(labels, a.usd_per_label),
        "training" if tuned or not used.asks else "indexing": prepared,
        "engineering": getattr(a, _work(candidate)),
    }


def _standing(
    tuning: Mapping[str, Any] | None, setup: Mapping[str, float | None], used: Usage, a: Assumptions
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
    candidate: Mapping[str, Any], used: Usage, a: Assumptions, rate: float | None, utilisation: float
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
