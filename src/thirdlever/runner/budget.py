"""What a run has cost so far, held against what it may."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from thirdlever.catalog.lookup import price_of
from thirdlever.catalog.prices import Price, device_cost, in_batch
from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping, Sequence

    from thirdlever.evaluation.records import Reply
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import SetupCost


@dataclass(kw_only=True)
class Budget:
    """Money spent by a run, whenever and by whichever process it was spent.

    Attributes:
        limit: USD; None for no limit.
        device_usd_per_hour: what a local model's device costs.
        utilisation: the share of its hours that the device serves requests.
        spent: USD; meaningful only under a limit, for without one unknown prices are let through.
        prices: of every model seen; None where it is unknown.
    """

    limit: float | None
    device_usd_per_hour: float | None
    utilisation: float
    spent: float = 0.0
    prices: dict[str, Price | None] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether more than the limit is spent."""
        return self.limit is not None and self.spent > self.limit

    def admit(self, model: BaseModel | None) -> None:
        """Look up a model's price before anything is spent on it.

        Raises:
            RunError: there is a limit, and no source states what the model costs.
        """
        if model is None:
            return
        self.prices.setdefault(model.name, price_of(model))
        if self.limit is None or self.prices[model.name] is not None:
            return
        if not model.costs_device_time:
            message = f"--budget: the price of {model.name!r} is unknown; state it in prices.toml or leave --budget out"
            raise RunError(message)
        if self.device_usd_per_hour is None:
            message = (
                f"--budget: what {model.name!r} costs on this machine is unknown; "
                "give --device-usd-per-hour (0 when its time costs you nothing) or leave --budget out"
            )
            raise RunError(message)

    def add_setup(self, setup: SetupCost, model: BaseModel | None) -> None:
        """Count what preparing took, at the price of the model that it was prepared for."""
        self.spent += setup.usd or 0.0
        self.spent += self._cost((setup.input_tokens, 0, setup.output_tokens), setup.device_seconds, model)

    def add(self, replies: Iterable[Reply], model: BaseModel | None) -> None:
        """Count requests.

        Raises:
            RunError: there is a limit, and a reply does not say what was used.
        """
        for reply in replies:
            tokens = (reply.input_tokens, reply.cached_tokens, reply.output_tokens)
            counted = tokens if model is None or self.prices[model.name] else (reply.device_s,)
            if self.limit is not None and reply.error is None and None in counted:
                message = f"--budget: {model and model.name!r} does not report what it used; leave --budget out"
                raise RunError(message)
            sent, cached, came = (count or 0 for count in tokens)
            used = (sent, cached, came, reply.cache_write_tokens or 0)
            self.spent += self._cost(used, reply.device_s or 0.0, model)

    def _cost(self, tokens: Sequence[int], device_s: float, model: BaseModel | None) -> float:
        """Of tokens, in the order of `Price.cost`, or of the device's time."""
        if model is None:
            return 0.0
        if price := self.prices[model.name]:
            return price.cost(*tokens)
        return device_cost(device_s, self.device_usd_per_hour, self.utilisation) or 0.0


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
