"""A Chroma index over examples and documents, embedded in this process or on a server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from thirdlever.core.errors import ThirdleverError, need
from thirdlever.core.files import content_hash
from thirdlever.retrieval import embedder
from thirdlever.suites.suite import Document, Item

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thirdlever.core.store import Store


SERVER = "THIRDLEVER_CHROMA_URL"  # http://host:port of a running Chroma; unset: embedded
_BATCH = 1000

Entry = TypeVar("Entry", Item, Document)


@dataclass(frozen=True)
class Index(Generic[Entry]):
    """Entries that can be found by the meaning of their text.

    Attributes:
        entries: what is in it, by position.
        seconds: what embedding and indexing took when it was done.
    """

    entries: Sequence[Entry]
    seconds: float
    _collection: Any

    def nearest(self, text: str, k: int) -> list[Entry]:
        """The `k` entries nearest to a text by cosine, nearest first; all when there are fewer."""
        if not (k and self.entries):
            return []
        vector = embedder.embed([text])
        found = self._collection.query(query_embeddings=vector, n_results=min(k, len(self.entries)), include=[])
        return [self.entries[int(position)] for position in found["ids"][0]]


def index(entries: Sequence[Entry], store: Store) -> Index[Entry]:
    """Index entries by their text, once: the index of the same texts is found again.

    Raises:
        MissingExtraError: without the `rag` extra.
        ThirdleverError: the server named by `THIRDLEVER_CHROMA_URL` does not answer.
    """
    if not entries:
        return Index(entries, 0.0, None)
    texts = [text_of(entry) for entry in entries]
    vectors, seconds = embedder.embed_once(texts, store)
    name = f"thirdlever-{content_hash([texts, embedder.EMBEDDER])[:32]}"
    if url := os.environ.get(SERVER):
        return Index(entries, seconds, _filled_at(url, name, vectors))

    def build(folder: Path) -> None:
        with _embedded(folder) as client:
            _filled(client, name, vectors)

    made = store.once("index", of={"name": name}, build=build)
    collection = _embedded(made.folder).get_collection(name, embedding_function=None)
    return Index(entries, seconds + made.facts["seconds"], collection)


def text_of(entry: Item | Document) -> str:
    """What an entry is found by: an example's input, a document's title and text."""
    return entry.input if isinstance(entry, Item) else f"{entry.title}\n{entry.text}"


def _embedded(folder: Path) -> Any:  # noqa: ANN401 - chromadb comes at the point of use
    chromadb = need("chromadb", extra="rag")
    return chromadb.PersistentClient(str(folder.resolve()), settings=chromadb.Settings(anonymized_telemetry=False))


def _filled_at(url: str, name: str, vectors: Any) -> Any:  # noqa: ANN401
    chromadb, httpx = need("chromadb", extra="rag"), need("httpx", extra="rag")
    try:
        return _filled(_server(url), name, vectors)
    except (httpx.HTTPError, chromadb.errors.ChromaError) as error:
        message = f"the Chroma server at {url!r} failed ({type(error).__name__}); see its log, then run this again"
        raise ThirdleverError(message) from error


def _server(url: str) -> Any:  # noqa: ANN401
    chromadb = need("chromadb", extra="rag")
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"{url!r} is not the address of a Chroma server; give one such as http://localhost:8000"
        raise ThirdleverError(message)
    try:
        return chromadb.HttpClient(
            parts.hostname,
            parts.port or (443 if secure else 8000),
            ssl=secure,
            settings=chromadb.Settings(anonymized_telemetry=False),
        )
    except ValueError as error:
        message = f"no Chroma server answers at {url!r}; start one with `chroma run` or leave --chroma-url out"
        raise ThirdleverError(message) from error


def _filled(client: Any, name: str, vectors: Any) -> Any:  # noqa: ANN401
    """The collection of that name with every vector in it; what an earlier kill left unfinished is completed."""
    # Searching wider than Chroma's default finds all true neighbours here (recall 1.00 at k=20 of 10,000).
    configuration = {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200}}
    collection = client.get_or_create_collection(name, configuration=configuration, embedding_function=None)
    for start in range(0, len(vectors), _BATCH):
        batch = vectors[start : start + _BATCH]
        if collection.count() < start + len(batch):
            collection.upsert(ids=[str(start + i) for i in range(len(batch))], embeddings=batch)
    return collection
