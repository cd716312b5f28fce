"""A handful of demonstrations, the same for every item."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from thirdlever import (
    BaseModel,
    Context,
    Deployment,
    Prepare,
    SetupCost,
    Store,
    StrategyError,
    Suite,
    ask,
    choose,
    strategy,
)

OPTIONS = (4, 8, 16, 32)  # for k="auto"


@strategy
def few_shot(
    *, k: int | Literal["auto"] = 8, select: Literal["balanced", "random"] = "balanced", seed: int = 0
) -> Prepare:
    """K labelled demonstrations, the same for every item.

    Args:
        k: number of demonstrations, or "auto" to choose between 4, 8, 16 and 32 on dev.
        select: "balanced" takes the labels in turn, "random" draws by frequency.
        seed: for the draw.
    """
    if k != "auto" and k < 0:
        message = f"few_shot: k={k} is not allowed; expected 0 or more, or auto"
        raise StrategyError(message)

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        if k != "auto":
            shots = suite.train.sample(k, how=select, seed=seed)
            return Deployment(
                ask(suite, Context(shots)), model=model, lever="prompt", setup=SetupCost(labels=len(shots)), given=shots
            )
        drawn = {str(n): suite.train.sample(n, how=select, seed=seed) for n in OPTIONS}
        options = {name: ask(suite, Context(shots)) for name, shots in drawn.items()}
        choice = choose(suite, model, store, options, of={"few_shot": [select, seed]})
        shots = drawn[choice.best]
        setup = replace(choice.setup, labels=choice.setup.labels + len(shots))
        return Deployment(options[choice.best], model=model, lever="prompt", setup=setup, given=shots)

    return prepare
