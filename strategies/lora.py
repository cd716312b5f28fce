"""Fine-tuning on this machine: the model itself learns the train split."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from thirdlever import (
    BaseModel,
    Deployment,
    Prepare,
    Settings,
    Store,
    StrategyError,
    Suite,
    Tuned,
    ask,
    strategy,
    tune,
)

RANKS = (8, 16, 32)  # for rank="auto"
MAX_DEV = 200  # dev items that choose the epoch and the rank; never more than the training examples


@strategy
def lora(
    *,
    method: Literal["lora", "qlora", "full"] = "lora",
    examples: int | None = None,
    epochs: int | Literal["auto"] = 3,
    rank: int | Literal["auto"] = 16,
    learning_rate: float | None = None,
    seed: int = 0,
) -> Prepare:
    """The base model tuned on the train split, then asked with the instruction alone.

    Args:
        method: "lora" trains small adapters, "qlora" the same over 4-bit weights, "full" all weights.
        examples: number to train on, balanced over the labels; none uses all.
        epochs: passes over them, or "auto" to stop when the loss on dev no longer falls.
        rank: of the adapters, or "auto" to choose between 8, 16 and 32 on dev.
        learning_rate: the peak; none uses the method's default.
        seed: for the draw, the initial weights and the order.
    """
    if examples is not None and examples < 1:
        message = f"lora: examples={examples} is not allowed; expected 1 or more"
        raise StrategyError(message)
    first = Settings(
        method=method,
        rank=RANKS[0] if rank == "auto" else rank,
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
    )
    tried = [replace(first, rank=r) for r in RANKS] if rank == "auto" and method != "full" else [first]

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        items = suite.train.items if examples is None else suite.train.sample(examples, seed=seed)
        chosen = epochs != 1 or len(tried) > 1
        dev = tuple(suite.dev.first(min(MAX_DEV, len(items)))) if chosen else ()
        if not dev and "auto" in {epochs, rank}:
            message = f"lora: suite {suite.name!r} has no dev split to choose on; add dev.jsonl, or set epochs and rank"
            raise StrategyError(message)
        tuned = [tune(suite, model, store, items, dev=dev, settings=settings) for settings in tried]
        best = min(tuned, key=_loss)
        setup = replace(
            best.setup,
            seconds=sum(t.setup.seconds for t in tuned),
            device_seconds=sum(t.setup.device_seconds for t in tuned),
        )
        return Deployment(
            ask(suite, brief=True),
            model=best.model,
            lever="tuned",
            setup=setup,
            given=(*items, *dev),
            tuning=best.tuning,
        )

    return prepare


def _loss(tuned: Tuned) -> float:
    return tuned.dev_loss or 0.0
