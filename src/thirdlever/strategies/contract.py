r"""The contract: a strategy is a factory whose keyword arguments are its whole configuration.

>>> from thirdlever import BaseModel, Context, Deployment, Prepare, SetupCost, Store, Suite, ask, strategy
>>> @strategy
... def few_shot(*, k: int = 8, seed: int = 0) -> Prepare:
...     '''K labelled demonstrations, the same for every item.'''
...
...     def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
...         shots = suite.train.sample(k, seed=seed)
...         return Deployment(ask(suite, Context(shots)), model=model, setup=SetupCost(labels=len(shots)), given=shots)
...
...     return prepare

`prepare` receives the suite without its test split and does the one-off work. Whatever is slow or costs money (an
index, a choice made on dev) goes through `store.once`, so that a second `prepare` does nothing and spends nothing.

>>> from pathlib import Path
>>> from thirdlever.testing import FakeModel, example_suite
>>> deployment = few_shot(k=2)(example_suite().without_test(), FakeModel(), Store(Path("store")))
>>> deployment.setup.labels, sorted(shot.target for shot in deployment.given)
(2, ['fuel', 'groceries'])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.catalog.price_lookup import price_of
from thirdlever.core.store import Store
from thirdlever.models.base import BaseModel
from thirdlever.suites.suite import Document, Item, Suite

if TYPE_CHECKING:
    from inspect_ai.solver import Solver


Prepare: TypeAlias = Callable[[Suite, BaseModel, Store], "Deployment"]
Factory: TypeAlias = Callable[..., Prepare]
Lever: TypeAlias = Literal["none", "prompt", "retrieval", "tuned"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupCost:
    """One-off cost of a deployment, as measured when it was built.

    Attributes:
        labels: labelled examples that it needs.
        seconds: wall time.
        device_seconds: seconds that a local model's device was busy.
        input_tokens: tokens sent to the base model during preparation, including cached and cache-written ones. None if
            the provider did not report every count; the same applies to the other counts of tokens.
        cached_tokens: input tokens read from the provider's cache.
        cache_write_tokens: input tokens written to it.
        output_tokens: tokens generated.
        usd: money charged beyond those tokens, such as a training job; None if unknown.
        index_bytes: size of its index on this machine, in bytes; 0 if it has none.
    """

    labels: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    input_tokens: int | None = 0
    cached_tokens: int | None = 0
    cache_write_tokens: int | None = 0
    output_tokens: int | None = 0
    usd: float | None = 0.0
    index_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """How a model was tuned.

    Attributes:
        method: "lora", "qlora", "full", or the provider's name for it.
        where: "local", or the provider that trained it, e.g. "local endpoint", "openai".
        examples: training rows.
        epochs: passes over them.
        tokens: tokens trained on, all epochs together; None if the provider does not report them.
        bytes: size of the adapter, or of the whole model, in bytes; None if it is not on this machine.
        hosting_usd_per_hour: price of the deployed model while idle; None if unknown.
        survived: share of a teacher's rows that passed the filters; None if people labelled them.
    """

    method: str
    where: str
    examples: int
    epochs: float
    tokens: int | None
    bytes: int | None = None
    hosting_usd_per_hour: float | None = 0.0
    survived: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A prompt that was searched on dev.

    Attributes:
        source: its text, as a .jinja file has it.
        accuracy: on the dev items, which it was chosen by: higher than on new items.
        start: the accuracy of the prompt that the search began with, on the same items.
        items: number of dev items.
        prompts: number of prompts that were measured on them.
        calls: answers that the search took.
    """

    source: str
    accuracy: float
    start: float
    items: int
    prompts: int
    calls: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """Answers requests.

    Attributes:
        solver: an inspect solver; it leaves the completion in `state.output`.
        model: the model that the solver calls; None if it calls no model.
        setup: the one-off cost.
        given: every labelled item and document that the solver, its index or its training uses; read by the leakage
            check.
        tuning: how the model was tuned; None if it was not.
        lever: what the decision counts it as. If not stated, the run derives it: "none" without a model, "tuned" with
            `tuning`, "retrieval" if its requests report retrieval time, otherwise "prompt".
        found: the prompt that was searched for it; None if none was.
        chosen: the arguments that were chosen on dev, as a spec has them; "" if none were.
    """

    solver: Solver
    model: BaseModel | None = field(kw_only=True)
    setup: SetupCost = field(default=SetupCost(), kw_only=True)
    given: Sequence[Item | Document] = field(default=(), kw_only=True, repr=False)
    tuning: Tuning | None = field(default=None, kw_only=True)
    lever: Lever | None = field(default=None, kw_only=True)
    found: Found | None = field(default=None, kw_only=True)
    chosen: str = field(default="", kw_only=True)


def strategy(factory: Factory) -> Factory:
    """Mark a factory as a strategy; `strategies/<name>.py` must contain one called `<name>`."""
    factory.__thirdlever_strategy__ = True  # type: ignore[attr-defined]
    return factory


def add_setups(*setups: SetupCost, teacher: BaseModel | None = None) -> SetupCost:
    """Add the costs of several steps. Labels are the maximum, because all steps draw on the same train split.

    Args:
        setups: the steps.
        teacher: the model that the steps called, if it is not the candidate's own. A run prices tokens at the
            candidate's rates, so the tokens of another hosted model are converted to money here.
    """
    usds = [setup.usd for setup in setups]
    total = SetupCost(
        labels=max(setup.labels for setup in setups),
        seconds=sum(setup.seconds for setup in setups),
        device_seconds=sum(setup.device_seconds for setup in setups),
        input_tokens=added([setup.input_tokens for setup in setups]),
        cached_tokens=added([setup.cached_tokens for setup in setups]),
        cache_write_tokens=added([setup.cache_write_tokens for setup in setups]),
        output_tokens=added([setup.output_tokens for setup in setups]),
        usd=None if None in usds else sum(usd or 0.0 for usd in usds),
        index_bytes=sum(setup.index_bytes for setup in setups),
    )
    if teacher is None or teacher.local:
        return total
    price = price_of(teacher)
    tokens = (
        None
        if price is None
        else price.cost_together(total.input_tokens, total.cached_tokens, total.output_tokens, total.cache_write_tokens)
    )
    return replace(
        total,
        input_tokens=0,
        cached_tokens=0,
        cache_write_tokens=0,
        output_tokens=0,
        usd=None if tokens is None or total.usd is None else total.usd + tokens,
    )


def added(counts: Sequence[int | None]) -> int | None:
    """The sum; None if any count is unknown."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None
