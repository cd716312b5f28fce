"""Prices of tokens and of device time. A price that no source states is unknown (None); it is never guessed.

Rows come from `prices.toml` in the current folder (the user's own rates), then from the shipped file of that name;
`catalog/price_lookup.py` adds further sources. A local model has no price per token: it costs device time
(`device_cost`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

from thirdlever.core.errors import ThirdleverError, unknown
from thirdlever.core.validation import Amount, FileModel, PositiveShare, read_toml

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


OVERLAY = "prices.toml"
_RATES = ("input_per_m", "cached_input_per_m", "output_per_m", "cache_write_per_m")


@dataclass(frozen=True, slots=True)
class Tier:
    """Rates of a request whose prompt is longer than `above` tokens; they apply to all its tokens."""

    above: int
    input_per_m: float
    cached_input_per_m: float
    output_per_m: float
    cache_write_per_m: float | None = None


@dataclass(frozen=True, slots=True)
class Price:
    """The price of a model's tokens, in USD per 1M tokens.

    Attributes:
        model: the model as its source names it.
        input_per_m: prompt tokens.
        cached_input_per_m: prompt tokens found in the provider's cache; `input_per_m` where no discount is stated.
        output_per_m: completion tokens, reasoning included.
        as_of: date of the rates (ISO 8601); None where the source gives none.
        confidence: "list", "mirror" or "contract"; "" when not stated.
        tiers: higher rates for long prompts, shortest first.
        cache_write_per_m: prompt tokens written to the provider's cache; None where they cost the same as others.
        batch_share: price in the provider's batch API, as a share of the rates above; None when not stated.
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
        """Source and date, for display."""
        return f"{self.source}, {self.as_of}" if self.as_of else self.source

    def cost(
        self, input_tokens: float, cached_tokens: float, output_tokens: float, cache_write_tokens: float = 0
    ) -> float:
        """Cost of one request in USD.

        Args:
            input_tokens: all prompt tokens, including cached and cache-written ones.
            cached_tokens: prompt tokens read from the provider's cache.
            output_tokens: completion tokens.
            cache_write_tokens: prompt tokens written to the cache.
        """
        rate: Price | Tier = self
        for tier in self.tiers:
            if input_tokens > tier.above:
                rate = tier
        return _usd(rate, input_tokens, cached_tokens, output_tokens, cache_write_tokens)

    def costs(self, input_tokens: Floats, cached_tokens: Floats, output_tokens: Floats, written: Floats) -> Floats:
        """`cost` of many requests [requests]; NaN where a count is NaN."""
        import numpy as np

        used = input_tokens, cached_tokens, output_tokens, written
        usd = _usd(self, *used)
        for tier in self.tiers:
            usd = np.where(input_tokens > tier.above, _usd(tier, *used), usd)
        return usd

    def cost_together(self, *tokens: float | None) -> float | None:
        """Cost of many requests in USD, from their summed tokens in the order of `cost`; None if a count is unknown.

        Tiers apply to the prompt of a single request, so none applies to the sum.
        """
        known = [count for count in tokens if count is not None]
        return _usd(self, *known) if len(known) == len(tokens) else None

    def to_dict(self) -> dict[str, Any]:
        """JSON-able, for run.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Price:
        """The inverse of `to_dict`."""
        return cls(**{**row, "tiers": tuple(Tier(**tier) for tier in row.get("tiers", ()))})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """Price of a device for one hour, in USD.

    Attributes:
        usd: the rate; the highest where a provider has several.
        source: where the rate was read; "given" when the user stated the amount.
        as_of: date of the rate (ISO 8601); None for a stated amount.
        least: the lowest rate, where a provider has several.
        confidence: "list", "mirror" or "contract"; "" when not stated.
    """

    usd: float
    source: str = "given"
    as_of: str | None = None
    least: float | None = None
    confidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _PriceRow(FileModel):
    model: str
    input: Amount
    output: Amount
    source: str
    as_of: dt.date | str
    cached_input: Amount | None = None
    cache_write: Amount | None = None
    batch: PositiveShare | None = None
    confidence: str = ""

    def price(self) -> Price:
        return Price(
            model=self.model,
            input_per_m=self.input,
            cached_input_per_m=self.input if self.cached_input is None else self.cached_input,
            output_per_m=self.output,
            source=self.source,
            as_of=str(self.as_of),
            confidence=self.confidence,
            cache_write_per_m=self.cache_write,
            batch_share=self.batch,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _GpuRow(FileModel):
    name: str
    provider: str
    usd_per_hour: Amount
    source: str
    as_of: dt.date | str
    least: Amount | None = None
    confidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch(FileModel):
    share: PositiveShare
    source: str = OVERLAY
    as_of: dt.date | str = ""
    confidence: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prices(FileModel):
    price: list[_PriceRow] = field(default_factory=list)
    gpu: list[_GpuRow] = field(default_factory=list)
    batch: _Batch | None = None

    def __post_init__(self) -> None:
        names = [row.model for row in self.price]
        if twice := next((name for name in names if names.count(name) > 1), None):
            message = f"{twice!r} is priced twice; keep one row"
            raise ValueError(message)


def overlaid(*names: str) -> Price | None:
    """The price of the first of `names` that has a row, the user's rows first; None if there is none.

    Raises:
        ThirdleverError: the user's prices.toml is malformed.
    """
    for table in _tables():
        prices = {row.model: row for row in table.price}
        for name in names:
            if name in prices:
                return prices[name].price()
    return None


def in_batch(price: Price) -> Price:
    """The price in the provider's batch API; the common share where the price states none.

    Raises:
        ThirdleverError: the user's prices.toml is malformed.
    """
    share, source = price.batch_share, f"{price.source}, its batch rate"
    if share is None:
        common = next(table.batch for table in _tables() if table.batch)
        share, source = common.share, f"{price.source}; batch: {common.source}"
    tiers = tuple(replace(tier, **_scaled(tier, share)) for tier in price.tiers)
    return replace(price, **_scaled(price, share), tiers=tiers, source=source, batch_share=None)


def device_cost(seconds: float, usd_per_hour: float | None, utilisation: float) -> float | None:
    """Cost in USD of the time a request occupies a device; None if the hourly rate is unknown.

    Args:
        seconds: device time.
        usd_per_hour: price of the device, busy or idle.
        utilisation: share of the paid hours that serve requests, 0 < u <= 1; idle time is paid for as well.

    Raises:
        ThirdleverError: a negative rate, or a utilisation outside (0, 1].
    """
    if not 0 < utilisation <= 1:
        message = f"invalid utilisation {utilisation!r}; expected a share of paid hours above 0 and at most 1"
        raise ThirdleverError(message)
    if usd_per_hour is None:
        return None
    if not 0 <= usd_per_hour < float("inf"):
        message = f"invalid device price {usd_per_hour!r}; expected an amount of at least 0 USD per hour"
        raise ThirdleverError(message)
    return seconds * usd_per_hour / 3600 / utilisation


def hour(text: str) -> Hour:
    """An hourly rate from an amount or a GPU's name: `2.5`, `h200`, `h100@aws`.

    A name without a provider takes the first row of that GPU; the user's rows come first.

    Raises:
        ThirdleverError: neither an amount nor a known GPU, or the user's prices.toml is malformed.
    """
    try:
        return Hour(usd=float(text.removeprefix("$")))
    except ValueError:
        rows = gpus()
    found = rows.get(text.lower())
    if found is None:
        message = f"{unknown('GPU', text, rows)}; or give an amount in USD per hour"
        raise ThirdleverError(message)
    return found


def gpus() -> dict[str, Hour]:
    """Hourly rates by name and by name@provider.

    Raises:
        ThirdleverError: the user's prices.toml is malformed.
    """
    found: dict[str, Hour] = {}
    for row in (row for table in _tables() for row in table.gpu):
        rate = Hour(
            usd=row.usd_per_hour,
            source=row.source,
            as_of=str(row.as_of),
            least=row.least,
            confidence=row.confidence,
        )
        found.setdefault(row.name.lower(), rate)
        found.setdefault(f"{row.name}@{row.provider}".lower(), rate)
    return found


def _tables() -> list[_Prices]:
    """The user's prices.toml, then the shipped one."""
    return [read_toml(path, _Prices) for path in (Path(OVERLAY), Path(__file__).with_name(OVERLAY))]


def _scaled(rate: Price | Tier, share: float) -> dict[str, Any]:
    rates = {name: getattr(rate, name) for name in _RATES}
    return {name: None if usd is None else usd * share for name, usd in rates.items()}


@overload
def _usd(rate: Price | Tier, sent: float, cached: float, received: float, written: float) -> float: ...
@overload
def _usd(rate: Price | Tier, sent: Floats, cached: Floats, received: Floats, written: Floats) -> Floats: ...
def _usd(rate: Price | Tier, sent: Any, cached: Any, received: Any, written: Any) -> Any:
    write_per_m = rate.input_per_m if rate.cache_write_per_m is None else rate.cache_write_per_m
    uncached = sent - cached - written
    return (
        uncached * rate.input_per_m
        + cached * rate.cached_input_per_m
        + written * write_per_m
        + received * rate.output_per_m
    ) / 1e6
