"""Search over labelled examples and documents by meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from thirdlever.core.files import content_hash
from thirdlever.retrieval import vectors
from thirdlever.retrieval.chroma import chroma
from thirdlever.retrieval.embedders import MINILM, find_embedder, usd_of
from thirdlever.suites.suite import Document, Item

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.core.store import Store
    from thirdlever.retrieval.chroma import Chroma
    from thirdlever.retrieval.embedders import Embedder


_DECIMALS = 5  # of a distance that are the same however it is added up
_EQUALS = 20  # entries searched for beside twice those wanted

Entry = TypeVar("Entry", Item, Document)


@dataclass(frozen=True)
class Index(Generic[Entry]):
    """Entries that can be searched by meaning.

    Attributes:
        entries: what is in it, by position.
        seconds: what embedding and indexing took when they were done.
        device_seconds: the part of them that was this machine's work.
        usd: what a provider charged for the embedding; None if unknown.
    """

    entries: Sequence[Entry]
    seconds: float
    device_seconds: float
    usd: float | None
    _embedder: Embedder
    _vectors: Chroma | None

    def nearest(self, text: str, k: int) -> list[Entry]:
        """The `k` entries nearest to a text by cosine, nearest first; all if there are fewer.

        Which of equally near entries the search finds first depends on how the index grew. More are searched for than
        are wanted, and of equals the earlier entry comes first, so that two indexes of the same texts agree.
        """
        if not (k and self._vectors):
            return []
        vector = self._embedder.embed([text], query=True).vectors[0]
        found = self._vectors.nearest(vector, min(2 * k + _EQUALS, len(self.entries)))
        ranked = sorted((round(distance, _DECIMALS), position) for position, distance in found)
        return [self.entries[position] for _, position in ranked[:k]]


def index(entries: Sequence[Entry], store: Store, *, embedder: str = MINILM) -> Index[Entry]:
    """Index entries by their text; the index of the same texts is reused.

    Args:
        entries: to search.
        store: keeps the embeddings and the index.
        embedder: its name, see `find_embedder`.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
        ThirdleverError: the server at `THIRDLEVER_CHROMA_URL` does not answer.
    """
    by = find_embedder(embedder)
    if not entries:
        return Index(entries, 0.0, 0.0, 0.0, by, None)
    texts = [text_of(entry) for entry in entries]
    kept = vectors.keep(texts, store, by)
    by.embed([])  # loads the model, for which the first search should not pay
    filled = chroma(f"thirdlever-{content_hash([texts, by.identity])[:32]}", kept.vectors, store)
    device = filled.seconds + (kept.seconds if by.local else 0.0)
    return Index(entries, kept.seconds + filled.seconds, device, usd_of(by, kept.tokens), by, filled)


def require_vectors(store: Store, *lists: Sequence[Item] | Sequence[Document], embedder: str = MINILM) -> None:
    """Let a plan count the texts of all indexes together; call it before the first `index`. A run goes on.

    Raises:
        NotBuilt: the store is a plan's, and lacks vectors.
    """
    vectors.require(store, find_embedder(embedder), *([text_of(entry) for entry in entries] for entries in lists))


def text_of(entry: Item | Document) -> str:
    """What an entry is found by: an example's input, a document's title and text."""
    return entry.input if isinstance(entry, Item) else f"{entry.title}\n{entry.text}"
