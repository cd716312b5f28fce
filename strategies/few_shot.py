"""A handful of demonstrations, the same for every item."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

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
    pick,
    read_examples,
    strategy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever import Item

OPTIONS = (4, 8, 16, 32)  # for k="auto"


@strategy
def few_shot(
    *,
    k: int | Literal["auto"] = 8,
    select: Literal["balanced", "random", "diverse"] = "balanced",
    examples: str | None = None,
    order: Literal["drawn", "grouped", "reversed"] = "drawn",
    think: bool = False,
    votes: int = 1,
    seed: int = 0,
) -> Prepare:
    """K labelled demonstrations, the same for every item.

    Args:
        k: number of demonstrations, or "auto" to choose between 4, 8, 16 and 32 on dev.
        select: "balanced" takes the labels in turn, "random" draws by frequency, "diverse" takes texts that differ.
        examples: file with the demonstrations, in place of a draw: ids of train items, one a line, or labelled rows
            with the columns input and target.
        order: "grouped" puts demonstrations of one answer together; "reversed" turns the drawn order round.
        think: have the model reason step by step before it answers.
        votes: ask so many times with some randomness, and take the answer that most completions give.
        seed: for the draw.
    """
    if k != "auto" and k < 0:
        message = f"few_shot: k={k} is not allowed; expected 0 or more, or auto"
        raise StrategyError(message)
    if votes < 1:
        message = f"few_shot: votes={votes} is not allowed; expected 1 or more"
        raise StrategyError(message)

    def draw(suite: Suite, store: Store, n: int) -> Sequence[Item]:
        if select == "diverse":
            return _ordered(pick(suite.train, n, store, seed=seed), order)
        return _ordered(suite.train.sample(n, how=select, seed=seed), order)

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        if examples is not None or k != "auto":
            n = k if isinstance(k, int) else 0
            shots = _ordered(read_examples(suite, examples), order) if examples else draw(suite, store, n)
            asking = ask(suite, Context(shots), think=think, votes=votes)
            return Deployment(asking, model=model, lever="prompt", setup=SetupCost(labels=len(shots)), given=shots)
        drawn = {str(n): draw(suite, store, n) for n in OPTIONS}
        options = {name: ask(suite, Context(shots), think=think, votes=votes) for name, shots in drawn.items()}
        of = [select, seed] if (order, think, votes) == ("drawn", False, 1) else [select, seed, order, think, votes]
        choice = choose(suite, model, store, options, of={"few_shot": of})
        shots = drawn[choice.best]
        setup = replace(choice.setup, labels=choice.setup.labels + len(shots))
        return Deployment(
            options[choice.best], model=model, lever="prompt", setup=setup, given=shots, chosen=f"k={choice.best}"
        )

    return prepare


def _ordered(shots: Sequence[Item], order: str) -> Sequence[Item]:
    if order == "reversed":
        return tuple(reversed(shots))
    return tuple(sorted(shots, key=lambda shot: shot.target)) if order == "grouped" else tuple(shots)
