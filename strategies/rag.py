"""Retrieval: for each item, the most similar labelled examples and documents."""

from __future__ import annotations

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
    Worked,
    ask,
    index,
    need,
    passages,
    require,
    require_vectors,
    strategy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever import Document

TRIED = 10  # train items looked at for each worked example that is wanted


@strategy
def rag(
    *,
    k: int = 10,
    documents: int = 0,
    passage: int | None = None,
    worked: int = 0,
    order: Literal["nearest_last", "nearest_first"] = "nearest_last",
    embedder: str = "minilm",
    think: bool = False,
    votes: int = 1,
) -> Prepare:
    """The k nearest labelled examples, and the nearest documents, from a Chroma index.

    Args:
        k: number of examples; 0 for none.
        documents: number of documents, if the suite has any; 0 for none.
        passage: retrieve passages of at most this many tokens of the embedder in place of whole documents, which are
            found by their first 256 tokens.
        worked: number of train items to show, the same for every item, each with the documents found for it; items
            whose answer is in these documents come first.
        order: where the nearest example and document stand: next to the item, or first.
        embedder: name of the embedder: "minilm", a folder, "hf/<hub id>", "openai/text-embedding-3-small", ….
        think: have the model reason step by step before it answers.
        votes: ask so many times with some randomness, and take the answer that most completions give.
    """
    if votes < 1:
        message = f"rag: votes={votes} is not allowed; expected 1 or more"
        raise StrategyError(message)
    if (passage or worked) and not documents:
        message = "rag: passage and worked need documents; give documents 1 or more"
        raise StrategyError(message)
    if worked < 0 or (passage is not None and passage < 1):
        message = (
            f"rag: passage={passage}, worked={worked} is not allowed; expected a passage of 1 or more, worked of 0"
        )
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
        labelled = tuple(suite.train) if k else ()
        known = suite.documents if documents else ()
        known = passages(known, passage) if passage else known
        require_vectors(store, labelled, known, embedder=embedder)
        examples, notes = index(labelled, store, embedder=embedder), index(known, store, embedder=embedder)
        step = 1 if order == "nearest_first" else -1

        def read(text: str) -> list[Document]:
            return notes.nearest(text, documents)[::step]

        shown = _worked(suite, read, worked)

        def find(text: str) -> Context:
            return Context(shots=[*shown, *examples.nearest(text, k)[::step]], documents=read(text))

        indexes = (examples, notes)
        charged = [one.usd for one in indexes if one.usd is not None]
        labels = len(examples.entries) or len(shown)
        setup = SetupCost(
            labels=labels,
            seconds=sum(one.seconds for one in indexes),
            device_seconds=sum(one.device_seconds for one in indexes),
            usd=sum(charged) if len(charged) == len(indexes) else None,
        )
        return Deployment(
            ask(suite, find, think=think, votes=votes),
            model=model,
            lever="retrieval",
            setup=setup,
            given=(*examples.entries, *notes.entries, *(each.item for each in shown)),
        )

    return prepare


def _worked(suite: Suite, read: Callable[[str], list[Document]], count: int) -> list[Worked]:
    """Train items with what retrieval finds for them; those whose answer it contains teach to read it off."""
    tried = [Worked(item, read(item.input)) for item in suite.train.sample(count * TRIED, how="random")]
    tried.sort(key=lambda each: not _contains(each.documents, suite.right_answer(each.item)))
    return tried[:count]


def _contains(documents: Sequence[Document], answer: str) -> bool:
    return any(document.says(answer) for document in documents)
