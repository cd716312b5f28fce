"""What a request costs. Money is never guessed: a price that no source states is unknown, and unknown is None.

Sources, first match wins: `prices.toml` in the current folder (the user's own rates), the rows shipped beside this
file, the genai-prices package's bundled data (never its network updates). A local model has no price per token;
it costs device time, see `device_cost`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from thirdlever.core.dated_tables import check_amounts, check_keys, read_overlay, read_rows
from thirdlever.core.errors import ThirdleverError, unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.dated_tables import Row

    Floats: TypeAlias = NDArray[np.float64]


OVERLAY = "prices.toml"
_REQUIRED = ("model", "input", "output", "source", "as_of")
_AMOUNTS = ("input", "cached_input", "cache_write", "output")
_OPTIONAL = {"cached_input", "cache_write", "batch", "confidence"}
_RATES = ("input_per_m", "cached_input_per_m", "output_per_m", "cache_write_per_m")


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates for the whole of a request whose prompt is longer than `above` tokens."""

    above: int
    input_per_m: float
    cached_input_per_m: float
    output_per_m: float
    cache_write_per_m: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost, in USD per 1M tokens.

    Attributes:
        model: the model as its source names it.
        input_per_m: prompt tokens.
        cached_input_per_m: prompt tokens found in the provider's cache; `input_per_m` where no discount is stated.
        output_per_m: completion tokens, reasoning included.
        source: where the rates come from, with its version.
        as_of: date of the rates (ISO 8601); None where the source gives none.
        confidence: how far to trust it, in the source's words; "" when unstated.
        tiers: dearer rates for long prompts, shortest first.
        cache_write_per_m: prompt tokens put into the provider's cache; None where they cost as much as others.
        batch_share: what a request costs in the provider's batch API, as a share of the above; None when unstated.
    """

    model: str
    input_per_m: float
    cached_input_per_m: float
    output_per_m: float
    source: str
    as_of: str | None
    confidence: str = ""
    tiers: tuple[Tier, ...] = ()
    cache_write_per_m: float | None = None
    batch_share: float | None = None

    @property
    def origin(self) -> str:
        """Source and date, to be printed."""
        return f"{self.source}, {self.as_of}" if self.as_of else self.source

    def cost(
        self, input_tokens: float, cached_tokens: float, output_tokens: float, cache_write_tokens: float = 0
    ) -> float:
        """USD for one request.

        Args:
            input_tokens: all prompt tokens, cached ones included.
            cached_tokens: those of them that came from the provider's cache.
            output_tokens: completion tokens.
            cache_write_tokens: those of the prompt tokens that were put into the cache.
        """
        rate: Price | Tier = self
        for tier in self.tiers:
            if input_tokens > tier.above:
                rate = tier
        return _usd(rate, input_tokens, cached_tokens, output_tokens, cache_write_tokens)

    def costs(self, input_tokens: Floats, cached_tokens: Floats, output_tokens: Floats, written: Floats) -> Floats:
        """`cost` of many requests at once [requests]; NaN where a count is."""
        import numpy as np

        used = input_tokens, cached_tokens, output_tokens, written
        usd = _usd(self, *used)
        for tier in self.tiers:
            usd = np.where(input_tokens > tier.above, _usd(tier, *used), usd)
        return usd

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for run.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Price:
        """The inverse of `to_dict`."""
        return cls(**{**row, "tiers": tuple(Tier(**tier) for tier in row.get("tiers", ()))})


def overlaid(*names: str) -> Price | None:
    """The row that the user's overlay, or else the shipped one, has for the first of the names.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    for overlay in (Path(OVERLAY), Path(__file__).with_name(OVERLAY)):
        rows = _overlay(overlay)
        for name in names:
            if name in rows:
                return rows[name]
    return None


def in_batch(price: Price) -> Price:
    """The same in the provider's batch API; where the price's row does not say, at the share that is common.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    share, source = price.batch_share, f"{price.source}, its batch rate"
    if share is None:
        path = next(p for p in (Path(OVERLAY), Path(__file__).with_name(OVERLAY)) if "batch" in read_overlay(p))
        row = read_overlay(path)["batch"]
        if not isinstance(row, dict):
            message = f"{path}: batch = {row!r} is no table; write [batch] with its share and source"
            raise ThirdleverError(message)
        share, source = _share(row, f"{path}, batch", "share"), f"{price.source}; batch: {row.get('source', path)}"
    tiers = tuple(replace(tier, **_scaled(tier, share)) for tier in price.tiers)
    return replace(price, **_scaled(price, share), tiers=tiers, source=source, batch_share=None)


def _scaled(rate: Price | Tier, share: float) -> dict[str, Any]:
    rates = {name: getattr(rate, name) for name in _RATES}
    return {name: None if usd is None else usd * share for name, usd in rates.items()}


def device_cost(seconds: float, usd_per_hour: float | None, utilisation: float) -> float | None:
    """USD for the time that a request keeps a device busy; None when no hourly rate is stated.

    Args:
        seconds: device time.
        usd_per_hour: what the device costs for an hour, busy or idle.
        utilisation: share of the paid hours that serve requests, 0 < u <= 1: idle time is paid for as well.

    Raises:
        ThirdleverError: a negative rate, or a utilisation outside (0, 1].
    """
    if not 0 < utilisation <= 1:
        message = f"utilisation {utilisation!r} is not in (0, 1]; give the share of paid hours that serve requests"
        raise ThirdleverError(message)
    if usd_per_hour is None:
        return None
    if not 0 <= usd_per_hour < float("inf"):
        message = f"device price {usd_per_hour!r} is no amount of USD per hour; give a number that is not negative"
        raise ThirdleverError(message)
    return seconds * usd_per_hour / 3600 / utilisation


@overload
def _usd(rate: Price | Tier, sent: float, cached: float, came: float, written: float) -> float: ...
@overload
def _usd(rate: Price | Tier, sent: Floats, cached: Floats, came: Floats, written: Floats) -> Floats: ...
def _usd(rate: Price | Tier, sent: Any, cached: Any, came: Any, written: Any) -> Any:
    """At one set of rates."""
    dearer = rate.input_per_m if rate.cache_write_per_m is None else rate.cache_write_per_m
    fresh = sent - cached - written
    return (
        fresh * rate.input_per_m + cached * rate.cached_input_per_m + written * dearer + came * rate.output_per_m
    ) / 1e6


def _overlay(path: Path) -> dict[str, Price]:
    """Rows of an overlay by model; none when there is no such file."""
    prices: dict[str, Price] = {}
    for row, where in read_rows(path, "price", beside={"gpu", "batch"}):
        price = _row(row, where)
        if price.model in prices:
            message = f"{path}: {price.model!r} is priced twice; keep one row"
            raise ThirdleverError(message)
        prices[price.model] = price
    return prices


def _row(row: Row, where: str) -> Price:
    check_keys(row, {*_REQUIRED, *_OPTIONAL}, _REQUIRED, where)
    check_amounts(row, _AMOUNTS, where)
    as_of = row["as_of"]
    return Price(
        model=str(row["model"]),
        input_per_m=float(row["input"]),
        cached_input_per_m=float(row.get("cached_input", row["input"])),
        output_per_m=float(row["output"]),
        source=str(row["source"]),
        as_of=as_of.isoformat() if isinstance(as_of, dt.date) else str(as_of),
        confidence=str(row.get("confidence", "")),
        cache_write_per_m=float(row["cache_write"]) if "cache_write" in row else None,
        batch_share=_share(row, where) if "batch" in row else None,
    )


def _share(row: Row, where: str, key: str = "batch") -> float:
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        message = f"{where}: {key} = {value!r} is no share of the price; give a number above 0 and at most 1"
        raise ThirdleverError(message)
    return float(value)


_GPU_REQUIRED = ("name", "provider", "usd_per_hour", "source", "as_of")
_GPU_OPTIONAL = ("least", "confidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour of a device, USD.

    Attributes:
        usd: the rate; where a provider has several, the highest.
        source: who asks it; "given" when the user stated the amount.
        as_of: the day it was read (ISO 8601); None for a stated amount.
        least: the lowest, where a provider has several.
        confidence: "list", "mirror" or "contract"; "" when unstated.
    """

    usd: float
    source: str = "given"
    as_of: str | None = None
    least: float | None = None
    confidence: str = ""


def hour(text: str) -> Hour:
    """An amount as it is, or a GPU's rate: `2.5`, `h200`, `h100@aws`.

    A name alone takes the first row of that GPU, the user's own first.

    Raises:
        ThirdleverError: neither an amount nor a GPU that has a row; or the user's overlay is malformed.
    """
    try:
        return Hour(usd=float(text.removeprefix("$")))
    except ValueError:
        rows = gpus()
    found = rows.get(text.lower())
    if found is None:
        message = f"{unknown('GPU', text, rows)}; or give an amount of USD an hour"
        raise ThirdleverError(message)
    return found


def gpus() -> dict[str, Hour]:
    """By name, and by name@provider.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    found: dict[str, Hour] = {}
    for path in (Path(OVERLAY), Path(__file__).with_name(OVERLAY)):
        for row, where in read_rows(path, "gpu", beside={"price", "batch"}):
            one = _hour(row, where)
            name = str(row["name"]).lower()
            found.setdefault(name, one)
            found.setdefault(f"{name}@{row['provider']}".lower(), one)
    return found


def _hour(row: Row, where: str) -> Hour:
    check_keys(row, {*_GPU_REQUIRED, *_GPU_OPTIONAL}, _GPU_REQUIRED, where)
    check_amounts(row, ("usd_per_hour", "least"), where, per="an hour")
    as_of = row["as_of"]
    return Hour(
        usd=float(row["usd_per_hour"]),
        source=str(row["source"]),
        as_of=as_of.isoformat() if isinstance(as_of, dt.date) else str(as_of),
        least=float(row["least"]) if "least" in row else None,
        confidence=str(row.get("confidence", "")),
    )
