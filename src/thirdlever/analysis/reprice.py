"""A run at other prices: its measured tokens and seconds stay, and nobody is asked anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from thirdlever.analysis.run import Run
from thirdlever.analysis.usage import price_in
from thirdlever.catalog.lookup import price_of
from thirdlever.catalog.prices import Hour, Price, hour, in_batch, overlaid
from thirdlever.core.errors import ThirdleverError
from thirdlever.models.base import BaseModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from thirdlever.catalog.tuning import Profile, Rate


@dataclass(frozen=True, kw_only=True)
class Repriced:
    """What came of it.

    Attributes:
        run: the same records at the new prices; the folder is as it was.
        prices: by model, of its tokens; None where its device's time is paid, or the price is unknown.
        device: an hour of the device; None when no rate is stated.
        utilisation: share of the device's paid hours that serve requests.
    """

    run: Run
    prices: Mapping[str, Price | None]
    device: Hour | None
    utilisation: float


def reprice(
    run: Run,
    *,
    model: str | None = None,
    device: str | None = None,
    utilisation: float | None = None,
    batch: bool = False,
) -> Repriced:
    """Apply other prices; whatever is not given is as today's price lists have it, or else as the run had it.

    Args:
        run: a finished one; it is left as it is.
        model: whose prices to take for every model that was asked. A tuned candidate takes those of this model tuned.
        device: USD an hour of the local models' device, or a GPU's name.
        utilisation: share of the device's paid hours that serve requests.
        batch: take the rates of batch APIs.

    Raises:
        ThirdleverError: no source has a price for `model`; no such GPU; a malformed overlay.
    """
    info: dict[str, Any] = dict(run.info)
    records, tuned = run.records, _tuned(model) if model else None
    if model:
        info["candidates"] = [_trained_as(tuned, candidate) for candidate in info["candidates"]]
        records = _off_the_device(records, info["candidates"])
    prices = _prices_as(model, tuned, info) if model else {name: _today(name, info) for name in info["prices"]}
    if batch:
        prices = {name: price and in_batch(price) for name, price in prices.items()}
    rate = hour(device) if device is not None else _hour_of(info)
    info |= {
        "prices": {name: price and price.to_dict() for name, price in prices.items()},
        "device_usd_per_hour": rate.usd if rate else None,
        "utilisation": info.get("utilisation", 1.0) if utilisation is None else utilisation,
    }
    again = Run(run.folder)
    vars(again).update(info=info, records=records)
    return Repriced(run=again, prices=prices, device=rate, utilisation=info["utilisation"])


def _today(model: str, info: Mapping[str, Any]) -> Price | None:
    """Today's. Only a model that had a listed price is looked up again: a name may have stood for a server's own."""
    frozen = price_in(info, model)
    if frozen is None:
        return overlaid(model)
    return price_of(BaseModel(model, model)) or frozen


def _prices_as(model: str, tuned: _Terms | None, info: Mapping[str, Any]) -> dict[str, Price | None]:
    """By model of the run, another model's; its tuned one's where the run's is tuned.

    Raises:
        ThirdleverError: no source states the model's price.
    """
    price = price_of(BaseModel(model, model))
    if price is None:
        message = f"--as {model}: no source states its price; add it to prices.toml, with its source and date"
        raise ThirdleverError(message)
    tuned_price = tuned.rate.price() if tuned else None
    asked = {candidate.get("model"): candidate.get("tuning") is not None for candidate in info["candidates"]}
    prices = dict.fromkeys(info["prices"], price)
    return prices | {name: tuned_price if was else price for name, was in asked.items() if name is not None}


class _Terms(NamedTuple):
    """Who tunes a model, and at what price."""

    profile: Profile
    rate: Rate


def _tuned(model: str) -> _Terms | None:
    """None when nobody that is known tunes the model, or no source states what it costs."""
    from thirdlever.catalog.tuning import profiles, rate

    for profile in profiles().values():
        base = profile.base(model)
        if not profile.free and base != model and (found := rate(profile.name, base)):
            return _Terms(profile, found)
    return None


def _trained_as(terms: _Terms | None, candidate: Mapping[str, Any]) -> Mapping[str, Any]:
    """A tuned candidate as if that provider had trained on its tokens; what nobody states is unknown."""
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
    """A hosted model takes no time of a device here: where it has no price, its cost is unknown."""
    hosted = [candidate["name"] for candidate in candidates if candidate.get("model") is not None]
    return records.assign(device_s=records["device_s"].mask(records["candidate"].isin(hosted)))


def _hour_of(info: Mapping[str, Any]) -> Hour | None:
    usd = info.get("device_usd_per_hour")
    return None if usd is None else Hour(usd=usd, source="as the run had it")
