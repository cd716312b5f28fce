"""The instruction alone: the simplest prompt."""

from __future__ import annotations

from thirdlever import BaseModel, Deployment, Prepare, Store, StrategyError, Suite, ask, strategy


@strategy
def zero_shot(*, think: bool = False, votes: int = 1) -> Prepare:
    """The suite's instruction and answer specification, without demonstrations.

    Args:
        think: have the model reason step by step before it answers.
        votes: ask so many times with some randomness, and take the answer that most completions give.
    """
    if votes < 1:
        message = f"zero_shot: votes={votes} is not allowed; expected 1 or more"
        raise StrategyError(message)

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - nothing to keep
        return Deployment(ask(suite, think=think, votes=votes), model=model, lever="prompt")

    return prepare
