"""A run at other prices: its measured tokens and seconds stay, and no model is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from thirdlever.analysis.run import Run
from thirdlever.analysis.usage import price_in
from thirdlever.catalog.price_lookup import price_of
from thirdlever.catalog.prices import Hour, Price, hour, in_batch, overlaid
from thirdlever.core.errors import ThirdleverError
from thirdlever.models.base import BaseModel
from thirdlever.models.model_settings import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from thirdlever.catalog.tuning import Profile, Rate


@dataclass(frozen=True, kw_only=True)
class Repriced:
    """A run at other prices.

    Attributes:
        run: the same records at the new prices; the folder is unchanged.
        prices: of tokens, by model; None if device time is paid instead, or the price is unknown.
        device: an hour of the device; None if no rate is stated.
        utilisation: share of the device's hours in which it serves requests.
    """

    run: Run
    prices: Mapping[str, Price | None]
    device: Hour | None
    utilisation: float


class _Terms(NamedTuple):
    """Who tunes a model, and at what price."""

    profile: Profile
    rate: Rate


def reprice(
    run: Run,
    *,
    model: str | None = None,
    device: str | None = None,
    utilisation: float | None = None,
    batch: bool = False,
) -> Repriced:
    """Apply other prices. What is not given comes from today's price lists, or else from the run.

    Args:
        run: a finished run, which is not changed.
        model: use this model's prices for every model in the run, and those of its tuned version for tuned candidates.
        device: USD per hour of the local models' device, or a GPU's name.
        utilisation: share of the device's hours in which it serves requests.
        batch: use the rates of batch APIs.

    Raises:
        ThirdleverError: the price of `model` is unknown, there is no such GPU, or the price overlay is malformed.
    """
    info: dict[str, Any] = dict(run.info)
    records = run.records
    if model:
        model = plain(model)
        terms = _tuning_terms(model)
        info["candidates"] = [_trained_as(terms, candidate) for candidate in info["candidates"]]
        records = _off_the_device(records, info["candidates"])
        prices = _prices_as(model, terms, info)
    else:
        prices = {name: _todays_price(name, info) for name in info["prices"]}
    if batch:
        prices = {name: price and in_batch(price) for name, price in prices.items()}
    stated = info.get("device_usd_per_hour")
    rate = Hour(usd=stated, source="as the run had it") if stated is not None else None
    if device is not None:
        rate = hour(device)
    info |= {
        "prices": {name: price and price.to_dict() for name, price in prices.items()},
        "device_usd_per_hour": rate.usd if rate else None,
        "utilisation": info.get("utilisation", 1.0) if utilisation is None else utilisation,
    }
    again = Run(run.folder)
    vars(again).update(info=info, records=records)
    return Repriced(run=again, prices=prices, device=rate, utilisation=info["utilisation"])


def _todays_price(model: str, info: Mapping[str, Any]) -> Price | None:
    """Today's price, or else the run's.

    A model without a price in the run is looked up in the user's overlay only: its name may be a private server's.
    """
    frozen = price_in(info, model)
    return overlaid(plain(model)) if frozen is None else price_of(BaseModel(model, plain(model))) or frozen


def _prices_as(model: str, terms: _Terms | None, info: Mapping[str, Any]) -> dict[str, Price | None]:
    """Another model's price for every model of the run; that of its tuned version for tuned ones.

    Raises:
        ThirdleverError: the model's price is unknown.
    """
    price = price_of(BaseModel(model, model))
    if price is None:
        message = f"--as {model}: its price is unknown; add it to prices.toml, with its source and date"
        raise ThirdleverError(message)
    tuned = terms.rate.price() if terms else None
    asked = {candidate.get("model"): candidate.get("tuning") is not None for candidate in info["candidates"]}
    prices: dict[str, Price | None] = dict.fromkeys(info["prices"], price)
    return prices | {name: tuned if was_tuned else price for name, was_tuned in asked.items() if name is not None}


def _tuning_terms(model: str) -> _Terms | None:
    """None if no known provider tunes the model, or its price for that is unknown."""
    from thirdlever.catalog.tuning import profiles, rate

    for profile in profiles().values():
        base = profile.base(model)
        if not profile.free and base != model and (found := rate(profile.name, base)):
            return _Terms(profile, found)
    return None


def _trained_as(terms: _Terms | None, candidate: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tuned candidate as if that provider had trained on its tokens; None is unknown."""
    tuning = candidate.get("tuning")
    if tuning is None:
        return candidate
    known = terms is not None and tuning["tokens"] is not None
    usd = terms.rate.estimate(tuning["tokens"]).usd if terms is not None and known else None
    hosting = {
        "where": terms.profile.title if terms else "",
        "hosting_usd_per_hour": terms.profile.idle_usd_per_hour if terms else None,
    }
    setup = {**candidate["setup"], "usd": usd, "device_seconds": 0.0}
    return {**candidate, "setup": setup, "tuning": {**tuning, **hosting}}


def _off_the_device(records: pd.DataFrame, candidates: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """A hosted model uses no local device: without a price, its cost is unknown."""
    hosted = [candidate["name"] for candidate in candidates if candidate.get("model") is not None]
    return records.assign(device_s=records["device_s"].mask(records["candidate"].isin(hosted)))
