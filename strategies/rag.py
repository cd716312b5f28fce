"""Retrieval: for each item, the most similar labelled examples and documents."""

from __future__ import annotations

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
    index,
    need,
    require,
    strategy,
)


@strategy
def rag(
    *,
    k: int = 10,
    documents: int = 0,
    order: Literal["nearest_last", "nearest_first"] = "nearest_last",
    think: bool = False,
    votes: int = 1,
) -> Prepare:
    """The k nearest labelled examples, and the nearest documents, from a Chroma index.

    Args:
        k: number of examples; 0 for none.
        documents: number of documents, if the suite has any; 0 for none.
        order: where the nearest example stands: next to the item, or first.
        think: have the model reason step by step before it answers.
        votes: ask so many times with some randomness, and take the answer that most completions give.
    """
    if votes < 1:
        message = f"rag: votes={votes} is not allowed; expected 1 or more"
        raise StrategyError(message)
    need("chromadb", extra="rag")
    require("sentence_transformers", extra="local")

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        if documents and not suite.documents:
            message = f"rag: suite {suite.name!r} has no documents; leave documents={documents} out"
            raise StrategyError(message)
        if k < 0 or documents < 0 or not (k or documents):
            message = f"rag: k={k}, documents={documents} retrieves nothing; give k or documents 1 or more"
            raise StrategyError(message)
        examples = index(tuple(suite.train) if k else (), store)
        notes = index(suite.documents if documents else (), store)

        def find(text: str) -> Context:
            near = examples.nearest(text, k)
            return Context(
                shots=near if order == "nearest_first" else near[::-1], documents=notes.nearest(text, documents)
            )

        seconds = examples.seconds + notes.seconds
        setup = SetupCost(labels=len(examples.entries), seconds=seconds, device_seconds=seconds)
        return Deployment(
            ask(suite, find, think=think, votes=votes),
            model=model,
            lever="retrieval",
            setup=setup,
            given=(*examples.entries, *notes.entries),
        )

    return prepare
