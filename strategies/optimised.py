"""How far a prompt can go: instruction and demonstrations are searched on the labelled data."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from thirdlever import BaseModel, Deployment, Prepare, Store, StrategyError, Suite, ask, optimise, resolve, strategy


@strategy
def optimised(
    *,
    calls: int = 300,
    reflection: str | None = None,
    search: Literal["instruction", "demonstrations", "both"] = "both",
    k: int = 4,
    seed: int = 0,
) -> Prepare:
    """The best prompt that reflective evolution (GEPA) finds on dev, starting from the one it is put in.

    Args:
        calls: answers to spend on the search.
        reflection: the model that rewrites the instruction; none uses the candidate's own.
        search: what to change.
        k: number of demonstrations in the prompt.
        seed: for every draw.
    """
    if calls < 1 or k < 0:
        message = "optimised: calls must be 1 or more and k 0 or more; correct them"
        raise StrategyError(message)

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        writer = resolve(reflection) if reflection else None
        made = optimise(suite, model, store, calls=calls, reflection=writer, what=search, k=k, seed=seed)
        return Deployment(
            ask(replace(suite, prompt=made.prompt)),
            model=model,
            lever="prompt",
            setup=made.setup,
            given=made.given,
            found=made.found,
        )

    return prepare
