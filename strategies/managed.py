"""Managed fine-tuning: upload the examples, wait for the provider's job, ask the tuned model."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from thirdlever import (
    BaseModel,
    Deployment,
    Prepare,
    Store,
    StrategyError,
    Suite,
    ask,
    conversations,
    strategy,
    tune_managed,
)

MAX_EXAMPLES = 10_000  # default: more rarely help a narrow task, and each costs money in every epoch
MAX_DEV = 200  # and never more than the training examples


@strategy
def managed(
    *,
    provider: Literal[
        "auto", "openai", "azure", "together", "fireworks", "nebius", "crusoe", "local", "bedrock", "vertex"
    ] = "auto",
    epochs: int | Literal["auto"] = 3,
    examples: int | None = None,
    seed: int = 0,
    max_usd: float | None = None,
    horizon_days: int = 120,
    max_queue_hours: float = 24.0,
) -> Prepare:
    """A provider tunes the model, which is then asked with the instruction alone.

    Args:
        provider: who trains. "auto" follows the model's name; local models use the free endpoint on this machine.
        epochs: passes over the examples; "auto" lets the provider choose.
        examples: labelled rows to train on, balanced over the labels; none uses all, up to 10,000.
        seed: for the draw and the training.
        max_usd: submit without confirmation if the estimate is at most this; otherwise the terminal asks.
        horizon_days: refuse a base model that retires sooner than this.
        max_queue_hours: cancel a job that has not started this many hours after its submission.
    """
    if epochs != "auto" and epochs < 1:
        message = f"managed: epochs={epochs} is not allowed; expected 1 or more, or auto"
        raise StrategyError(message)
    if not max_queue_hours > 0:
        message = f"managed: max_queue_hours={max_queue_hours} is not allowed; expected hours, more than 0"
        raise StrategyError(message)
    if max_usd is not None and not max_usd >= 0:  # NaN is not
        message = f"managed: max_usd={max_usd} is not allowed; expected an amount in USD"
        raise StrategyError(message)

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - the job is in the ledger
        train = suite.train.sample(MAX_EXAMPLES if examples is None else examples, seed=seed)
        dev = suite.dev.first(min(MAX_DEV, len(train)))
        made = tune_managed(
            model,
            conversations(suite, train),
            dev=conversations(suite, dev),
            provider=provider,
            epochs=None if epochs == "auto" else epochs,
            seed=seed,
            max_usd=max_usd,
            horizon_days=horizon_days,
            max_queue_hours=max_queue_hours,
            label=suite.name,
        )
        given = (*train, *dev)
        return Deployment(
            ask(suite, brief=True),
            model=made.model,
            lever="tuned",
            setup=replace(made.setup, labels=len(given)),
            given=given,
            tuning=made.tuning,
        )

    return prepare
