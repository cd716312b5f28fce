"""What a run has spent, checked against its budget, and which passes can use a batch API."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from thirdlever.analysis.scorecards import LEAST_TIMED
from thirdlever.catalog.price_lookup import price_of
from thirdlever.catalog.prices import Price, device_cost, in_batch
from thirdlever.core.errors import RunError
from thirdlever.models.parameters import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, MutableMapping

    from thirdlever.evaluation.records import Reply
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import SetupCost


_UNREPORTED = 3  # answers without usage, and none with it, before a budget is given up
# inspect's providers that have a batcher (its `_providers/*_batch.py`); all others silently ignore the option.
_PROVIDERS = {"anthropic", "google", "grok", "openai", "together"}
# Clouds that these providers also reach, as the second part of a model's name; inspect batches none of them.
_CLOUDS = {"azure", "bedrock", "vertex"}


def timed_requests(probe: int | None, limit: int | None) -> int:
    """How many requests are timed one by one: as asked, or as a p95 needs, but at most `limit`."""
    if probe is not None:
        return probe
    return LEAST_TIMED[95] if limit is None else min(LEAST_TIMED[95], limit)


@dataclass(kw_only=True)
class Budget:
    """Money spent by a run, across all processes that worked on it.

    Attributes:
        limit: USD; None for no limit.
        device_usd_per_hour: price of a local model's device.
        utilisation: share of its hours in which the device serves requests.
        spent: USD; meaningful only with a limit, because without one unknown prices are allowed.
        unreported: answers without usage, which are counted at the average.
        prices: of every model seen; None if unknown.
    """

    limit: float | None
    device_usd_per_hour: float | None
    utilisation: float
    spent: float = 0.0
    unreported: int = 0
    prices: dict[str, Price | None] = field(default_factory=dict)
    _prepared: float = 0.0  # USD of the requests that preparing the last candidate sent
    _counted: int = 0
    _mean: float = 0.0  # USD of a request

    @property
    def passed(self) -> bool:
        """Whether more than the limit is spent."""
        return self.limit is not None and self.spent > self.limit

    def admit(self, model: BaseModel | None) -> None:
        """Look up a model's price before any money is spent on it.

        Raises:
            RunError: there is a limit, and the model's price is unknown.
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
                f"--budget: the cost of running {model.name!r} on this machine is unknown; "
                "give --device-usd-per-hour (0 if its time is free) or leave --budget out"
            )
            raise RunError(message)

    def add_setup(self, setup: SetupCost, model: BaseModel | None) -> None:
        """Count a set-up, at the price of the model it was made for.

        Where a part of it is unknown, it counts at least as much as its requests did while it was prepared.
        """
        price = self.prices[model.name] if model else None
        tokens: float | None = 0.0
        if price:
            tokens = price.cost_together(
                setup.input_tokens, setup.cached_tokens, setup.output_tokens, setup.cache_write_tokens
            )
        elif model:
            tokens = device_cost(setup.device_seconds, self.device_usd_per_hour, self.utilisation) or 0.0
        known = (setup.usd or 0.0) + (tokens or 0.0)
        self.spent += max(known, self._prepared) if None in (setup.usd, tokens) else known

    def add(self, reply: Reply, model: BaseModel | None) -> None:
        """Count a request. One that does not report its usage counts as much as the others did on average.

        Raises:
            RunError: there is a limit, and none of the first answers reports its usage.
        """
        tokens = (reply.input_tokens, reply.cached_tokens, reply.output_tokens)
        needed = tokens if model is None or self.prices[model.name] else (reply.device_s,)
        if None in needed:
            self.unreported += reply.error is None
            if self.limit is not None and not self._counted and self.unreported >= _UNREPORTED:
                message = f"--budget: {model and model.name!r} does not report its usage; leave --budget out"
                raise RunError(message)
            self.spent += self._mean if reply.error is None else 0.0
            return
        counted = tuple(count or 0 for count in (*tokens, reply.cache_write_tokens))
        cost = self._cost(counted, reply.device_s or 0.0, model)
        self.spent += cost
        self._counted += 1
        self._mean += (cost - self._mean) / self._counted

    @contextmanager
    def preparing(self) -> Iterator[Callable[[Reply, BaseModel | None], bool]]:
        """Count the requests that preparing a candidate sends, as they come.

        Yields:
            A function that counts a reply and says whether more may be sent. Once the candidate is prepared, its
            `SetupCost` stands for these requests, see `add_setup`.
        """
        before = self.spent

        def count(reply: Reply, model: BaseModel | None) -> bool:
            self.admit(model)
            self.add(reply, model)
            return not self.passed

        yield count
        self._prepared = self.spent - before
        self.spent = before

    def _cost(self, tokens: tuple[int, ...], device_s: float, model: BaseModel | None) -> float:
        """Cost of tokens, in the order of `Price.cost`, or of device time."""
        if model is None:
            return 0.0
        if price := self.prices[model.name]:
            return price.cost(*tokens)
        return device_cost(device_s, self.device_usd_per_hour, self.utilisation) or 0.0


def batches(model: BaseModel | None) -> bool:
    """Whether a model's accuracy pass can use a batch API."""
    if model is None or model.local:
        return False
    provider, service, *_ = [*model.inspect_name.split("/"), ""]
    return provider in _PROVIDERS and service not in _CLOUDS


def priced_in_batch(model: BaseModel, prices: MutableMapping[str, Price | None]) -> BaseModel:
    """The model under a name of its own, and its batch rate under that name.

    Args:
        model: one whose full price is in `prices`.
        prices: by model name, as run.json lists them; the batch rate is added.

    Raises:
        ThirdleverError: the user's price overlay is malformed.
    """
    named = replace(model, name=joined(f"{model.plain_name}, batch", model.settings))
    if named.name not in prices:
        price = prices[model.name]
        prices[named.name] = price and in_batch(price)
    return named
