"""Documents in passages that an embedder can read whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.core.errors import need
from thirdlever.retrieval.embedders import MINILM, find_embedder
from thirdlever.suites.suite import Document

if TYPE_CHECKING:
    from collections.abc import Sequence


def passages(
    documents: Sequence[Document], tokens: int, *, overlap: int = 0, embedder: str = MINILM
) -> tuple[Document, ...]:
    """Documents in passages of at most so many of the embedder's tokens, cut between sections, paragraphs or sentences.

    A document that is longer than the embedder's window is found by its beginning alone; its passages are all found.
    They keep its title, and their id is its id and their number.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
    """
    splitters = need("semantic_text_splitter", extra="rag")
    splitter = splitters.MarkdownSplitter.from_huggingface_tokenizer(find_embedder(embedder).tokenizer, tokens, overlap)
    return tuple(
        Document(f"{document.id}#{number}", document.title, text, document.fields)
        for document in documents
        for number, text in enumerate(splitter.chunks(document.text), start=1)
    )
