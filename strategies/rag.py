"""Retrieval: for each item, the most similar labelled examples and documents."""

from __future__ import annotations

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
def rag(*, k: int = 10, documents: int = 0) -> Prepare:
    """The k nearest labelled examples, and the nearest documents, from a Chroma index.

    Args:
        k: number of examples, the nearest last; 0 for none.
        documents: number of documents, if the suite has any; 0 for none.
    """
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
            return Context(shots=examples.nearest(text, k)[::-1], documents=notes.nearest(text, documents))

        seconds = examples.seconds + notes.seconds
        setup = SetupCost(labels=len(examples.entries), seconds=seconds, device_seconds=seconds)
        return Deployment(
            ask(suite, find), model=model, lever="retrieval", setup=setup, given=(*examples.entries, *notes.entries)
        )

    return prepare
