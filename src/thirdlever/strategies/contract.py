"""The contract: a strategy is a factory whose keyword arguments are its whole configuration.

    @strategy
    def few_shot(*, k: int = 8, seed: int = 0) -> Prepare:
        '''k labelled demonstrations, the same for every item.'''

        def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
            shots = suite.train.sample(k, seed=seed)
            return Deployment(ask(suite, shots=shots), model=model, lever="prompt", given=shots)

        return prepare

`prepare` does the one-off work (an index, a training run, a managed job) and is idempotent by content: what it makes
lives in the store under a key of everything it depends on, so a second prepare does no work and spends no money.
The suite it gets has no test split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.catalog.lookup import price_of
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
    """What preparing a deployment took, once: measured when it was made, not when it was found again.

    Attributes:
        labels: labelled examples that it needs.
        seconds: wall time.
        device_seconds: seconds that a local model's device was busy.
        input_tokens: tokens sent to the base model while preparing.
        output_tokens: tokens it answered with.
        usd: money known to have been charged beyond those tokens (a training job); None when it cannot be known.
    """

    labels: int = 0
    seconds: float = 0.0
    device_seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """What a tune came to: the inputs of its economics, and what a reader of the memo asks about it.

    Attributes:
        method: "lora", "qlora", "full", or what the provider calls it.
        where: "local", or the provider that trained it, e.g. "local endpoint", "openai".
        examples: rows trained on.
        epochs: passes over them that were made.
        tokens: trained on, all epochs together; None when the provider does not say.
        bytes: size of what was trained: the adapter, or all weights; None when it is not here.
        hosting_usd_per_hour: what the tuned model costs while it is deployed and idle; None when unknown.
        survived: share of a teacher's rows that passed the filters; None where people labelled them.
    """

    method: str
    where: str
    examples: int
    epochs: float
    tokens: int | None
    bytes: int | None = None
    hosting_usd_per_hour: float | None = 0.0
    survived: float | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """Something that answers requests, plus what it cost to set up.

    Attributes:
        solver: an inspect solver; it leaves the completion in `state.output`.
        model: the model it asks; None when it asks none.
        setup: the one-off cost.
        given: every labelled item and document that the solver, its index or its training was given; the leakage check
            reads it.
        tuning: what tuning the model came to; None when it was not tuned.
        lever: what the decision counts it as. If not stated, the run derives it: "none" without a model, "tuned" with
            `tuning`, "retrieval" if its requests report retrieval time, otherwise "prompt".
    """

    solver: Solver
    model: BaseModel | None = field(kw_only=True)
    setup: SetupCost = field(default=SetupCost(), kw_only=True)
    given: Sequence[Item | Document] = field(default=(), kw_only=True, repr=False)
    tuning: Tuning | None = field(default=None, kw_only=True)
    lever: Lever | None = field(default=None, kw_only=True)


def strategy(factory: Factory) -> Factory:
    """Mark a factory as a strategy; `strategies/<name>.py` holds one of its file's name."""
    factory.__thirdlever_strategy__ = True  # type: ignore[attr-defined]
    return factory


def add_setups(*setups: SetupCost, teacher: BaseModel | None = None) -> SetupCost:
    """One cost of several steps; of the labels the largest number, for all steps draw on the same train split.

    Args:
        setups: the steps'.
        teacher: the model that they asked, where it is not the candidate's own: a run prices its tokens at the
            candidate's rates, so those of another hosted model are turned into money here, at its own.
    """
    usds = [setup.usd for setup in setups]
    total = SetupCost(
        labels=max(setup.labels for setup in setups),
        seconds=sum(setup.seconds for setup in setups),
        device_seconds=sum(setup.device_seconds for setup in setups),
        input_tokens=sum(setup.input_tokens for setup in setups),
        output_tokens=sum(setup.output_tokens for setup in setups),
        usd=None if None in usds else sum(usd or 0.0 for usd in usds),
    )
    if teacher is None or teacher.local:
        return total
    price = price_of(teacher)
    known = price is not None and total.usd is not None
    asked = price.cost(total.input_tokens, 0, total.output_tokens) if price else 0.0
    return SetupCost(
        labels=total.labels,
        seconds=total.seconds,
        device_seconds=total.device_seconds,
        usd=(total.usd or 0.0) + asked if known else None,
    )
