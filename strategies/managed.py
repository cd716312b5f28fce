"""Fine-tuning bought as a service: upload the examples, wait for the job, ask the tuned model."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from thirdlever import BaseModel, Deployment, Prepare, Store, Suite, ask, strategy
from thirdlever.core.errors import StrategyError
from thirdlever.finetune.conversations import conversations
from thirdlever.finetune.managed import tune

MOST = 10_000  # examples by default: more seldom help a narrow task, and each is paid for in every epoch
MOST_DEV = 200  # and no more than there are to train on


@strategy
def managed(
    *,
    provider: Literal["auto", "openai", "azure", "nebius", "crusoe", "local", "bedrock", "vertex"] = "auto",
    epochs: int | Literal["auto"] = 3,
    examples: int | None = None,
    seed: int = 0,
    max_usd: float | None = None,
    horizon_days: int = 120,
) -> Prepare:
    """A tuning service trains the model; it is asked the question alone, without list of answers or demonstrations.

    Args:
        provider: who trains; "auto" goes by the model's name: local models on this machine's own endpoint, for nothing.
        epochs: passes over the examples; "auto" leaves it to the provider.
        examples: labelled rows to train on, balanced over the labels; none takes all, up to 10000.
        seed: of the draw and of the training.
        max_usd: submit without asking when the estimate is no higher; without it somebody at the terminal says yes.
        horizon_days: refuse a base that retires sooner.
    """
    if epochs != "auto" and epochs < 1:
        message = f"managed: epochs={epochs} is not allowed; give 1 or more, or auto"
        raise StrategyError(message)
    if max_usd is not None and not max_usd >= 0:  # NaN is not
        message = f"managed: max_usd={max_usd} is not allowed; give an amount in USD"
        raise StrategyError(message)

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - the job ledger keeps it
        train = suite.train.sample(MOST if examples is None else examples, seed=seed)
        dev = suite.dev.first(min(MOST_DEV, len(train)))
        made = tune(
            model,
            conversations(suite, train),
            dev=conversations(suite, dev),
            provider=provider,
            epochs=None if epochs == "auto" else epochs,
            seed=seed,
            max_usd=max_usd,
            horizon_days=horizon_days,
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
