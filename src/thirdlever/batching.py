"""Batch APIs: the same answers within a day and for about half the price, where a provider has one.

Only accuracy passes go through them. A latency is never that of a batch, and what a candidate costs in production is
told at the full rate; the batch rate is what the run itself is charged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thirdlever.catalog.prices import in_batch

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from thirdlever.catalog.prices import Price
    from thirdlever.models.base import BaseModel

# inspect's providers that have a batcher (its `_providers/*_batch.py`); all others pass the wish over without a word.
_PROVIDERS = {"anthropic", "google", "grok", "openai", "together"}
# Cloud vendors that these providers reach as well, in the second part of a model's name; inspect batches none of them.
_ELSEWHERE = {"azure", "bedrock", "vertex"}


def batches(model: BaseModel | None) -> bool:
    """Whether a model's accuracy pass can go through a batch API."""
    if model is None or model.local:
        return False
    provider, service, *_ = [*model.inspect_name.split("/"), ""]
    return provider in _PROVIDERS and service not in _ELSEWHERE


def priced_in_batch(model: BaseModel, prices: MutableMapping[str, Price | None]) -> BaseModel:
    """The model under a name of its own among the prices, at its batch rate.

    Args:
        model: whose full price is among them.
        prices: by model name; run.json lists them.

    Raises:
        ThirdleverError: the user's overlay of prices is malformed.
    """
    named = replace(model, name=f"{model.name}, batch")
    if named.name not in prices:
        price = prices[model.name]
        prices[named.name] = price and in_batch(price)
    return named
