"""The instruction alone: the simplest prompt."""

from __future__ import annotations

from thirdlever import BaseModel, Deployment, Prepare, Store, Suite, ask, strategy


@strategy
def zero_shot() -> Prepare:
    """The suite's instruction and answer specification, without demonstrations."""

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - nothing to keep
        return Deployment(ask(suite), model=model, lever="prompt")

    return prepare
