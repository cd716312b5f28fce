"""Look up the price of a model's tokens: price tables, then rates of tuned models, then genai-prices."""

from __future__ import annotations

import functools
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thirdlever.catalog.prices import Price, Tier, overlaid
from thirdlever.core.progress import note
from thirdlever.models.base import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from genai_prices.types import ModelPrice, PriceCalculation


def price_of(model: BaseModel) -> Price | None:
    """The current price of a model's tokens; None if no source states it.

    A row of `prices.toml` names a model in full, as the user or inspect writes it.

    Raises:
        ThirdleverError: the user's prices.toml or tuning.toml is malformed.
    """
    if (price := overlaid(model.plain_name, model.inspect_name)) or model.local:
        return price
    from thirdlever.catalog.tuning import tuned_price

    return tuned_price(model.plain_name) or listed(model)


def embedding_price(name: str) -> Price | None:
    """The current price of a hosted embedder's tokens; None if no source states it.

    Args:
        name: in full and without options, such as "openai/text-embedding-3-small"; a row of `prices.toml` has it too.

    Raises:
        ThirdleverError: the user's prices.toml is malformed.
    """
    return overlaid(name) or listed(BaseModel(name, name, revision=name), embeds=True)


# inspect's provider names that differ in genai-prices
_PROVIDERS = {
    "azureai": "azure",
    "bedrock": "aws",
    "grok": "x-ai",
    "moonshot": "moonshotai",
}
# inspect's `<maker>/<host>/<model>`: the host is paid
_HOSTS = {"azure": "azure", "bedrock": "aws", "vertex": "google"}
_MAKERS = {"anthropic", "google", "mistral", "openai"}
# inspect's providers for any OpenAI-style service: `openai-api/<service>/<model>`
_ANY_SERVICE = {"openai-api", "openai-api-completions"}


def listed(model: BaseModel, *, embeds: bool = False) -> Price | None:
    """A model's price in the bundled list; None if the model or its provider is not listed.

    Args:
        model: to look up.
        embeds: it returns vectors, so that its output has no price.
    """
    found = _look_up(model)
    if found is None:
        return None
    rates = found.model_price
    base = _rates(rates, 0, embeds=embeds)
    if base is None:
        return None
    starts = sorted(set(_tier_starts(rates)))
    updated = found.auto_update_timestamp
    return Price(
        f"{found.provider.id}/{found.model.id}",
        input_per_m=base.input_per_m,
        cached_input_per_m=base.cached_input_per_m,
        output_per_m=base.output_per_m,
        source=f"genai-prices {version('genai-prices')}",
        as_of=updated.date().isoformat() if updated else None,
        tiers=tuple(tier for start in starts if (tier := _rates(rates, start, embeds=embeds))),
        cache_write_per_m=base.cache_write_per_m,
    )


def _look_up(model: BaseModel) -> PriceCalculation | None:
    service, _, name = model.inspect_name.partition("/")
    if service in _ANY_SERVICE:
        service, _, name = name.partition("/")
    host, _, hosted = name.partition("/")
    by_host = service in _MAKERS and host in _HOSTS
    if url := model.args.get("base_url"):  # the server at the address is paid, whatever the model's name
        return _priced(name, url=str(url))
    gateway = None if by_host else _environment_url(service)
    if gateway and (found := _priced(name, url=gateway)):
        return found
    if by_host:
        service, name = _HOSTS[host], hosted
    provider = _PROVIDERS.get(service, service)
    found = _priced(name, provider=provider)
    # genai-prices also matches a name that merely contains a provider's ("my-openai-proxy"); that would be a guess.
    if found is None or found.provider.id != provider:
        return None
    if gateway:
        _announce(found.provider.name, urlsplit(gateway).hostname or "another address")
    return found


def _priced(name: str, *, provider: str = "", url: str = "") -> PriceCalculation | None:
    """The price of a name at a provider, or at an address."""
    from genai_prices import Usage, calc_price

    try:
        if url:
            return calc_price(Usage(), name, provider_api_url=url)
        return calc_price(Usage(), name, provider_id=provider)
    except LookupError:
        return None


@functools.cache
def _announce(maker: str, host: str) -> None:
    """Say once whose prices are used; the address may contain a secret, its host does not."""
    note(f"prices are {maker}'s list prices; requests go to {host}")


def _environment_url(service: str) -> str | None:
    """The address that the environment sets for a service."""
    names = [f"{service.upper().replace('-', '_')}_BASE_URL", "INSPECT_EVAL_MODEL_BASE_URL"]
    if service == "grok":
        names.insert(0, "XAI_BASE_URL")
    return next((url for name in names if (url := os.environ.get(name))), None)


def _rates(rates: ModelPrice, above: int, *, embeds: bool) -> Tier | None:
    """Rates for prompts of more than `above` tokens; None if the model is not priced by tokens."""

    def at(value: Any) -> float:  # noqa: ANN401 - Decimal or TieredPrices
        steps = [tier.price for tier in getattr(value, "tiers", ()) if above >= tier.start]
        return float(steps[-1] if steps else getattr(value, "base", value))

    output = 0 if embeds and rates.output_mtok is None else rates.output_mtok
    if rates.input_mtok is None or output is None:
        return None
    cached = rates.input_mtok if rates.cache_read_mtok is None else rates.cache_read_mtok
    return Tier(
        above=above,
        input_per_m=at(rates.input_mtok),
        cached_input_per_m=at(cached),
        output_per_m=at(output),
        cache_write_per_m=None if rates.cache_write_mtok is None else at(rates.cache_write_mtok),
    )


def _tier_starts(rates: ModelPrice) -> Iterator[int]:
    for value in (rates.input_mtok, rates.cache_read_mtok, rates.cache_write_mtok, rates.output_mtok):
        yield from (tier.start for tier in getattr(value, "tiers", ()))
