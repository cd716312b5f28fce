"""Search for similar examples and documents in a Chroma index, embedded in this process or on a server."""

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


SERVER = "THIRDLEVER_CHROMA_URL"  # http://host:port of a running Chroma server; if unset, Chroma is embedded
_BATCH = 1000
_DECIMALS = 5  # of a distance that are the same however it is added up
_EQUALS = 20  # entries searched for beside twice those wanted

Entry = TypeVar("Entry", Item, Document)


@dataclass(frozen=True)
class Index(Generic[Entry]):
    """Entries that can be searched by meaning.

    Attributes:
        entries: what is in it, by position.
        seconds: what embedding and indexing took when they were done.
    """

    entries: Sequence[Entry]
    seconds: float
    _collection: Any

    def nearest(self, text: str, k: int) -> list[Entry]:
        """The `k` entries nearest to a text by cosine, nearest first; all if there are fewer.

        Which of equally near entries the search finds first depends on how the index grew. More are searched for than
        are wanted, and of equals the earlier entry comes first, so that two indexes of the same texts agree.
        """
        if not (k and self.entries):
            return []
        vector = embedder.embed([text])
        more = min(2 * k + _EQUALS, len(self.entries))
        found = self._collection.query(query_embeddings=vector, n_results=more, include=["distances"])
        rounded = (round(float(distance), _DECIMALS) for distance in found["distances"][0])
        ranked = sorted(zip(rounded, map(int, found["ids"][0]), strict=True))
        return [self.entries[position] for _, position in ranked[:k]]


def index(entries: Sequence[Entry], store: Store) -> Index[Entry]:
    """Index entries by their text; the index of the same texts is reused.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
        ThirdleverError: the server at `THIRDLEVER_CHROMA_URL` does not answer.
    """
    if not entries:
        return Index(entries, 0.0, None)
    texts = [text_of(entry) for entry in entries]
    vectors, seconds = embedder.embed_once(texts, store)
    name = f"thirdlever-{content_hash([texts, embedder.EMBEDDER])[:32]}"
    if url := os.environ.get(SERVER):
        chromadb, httpx = need("chromadb", extra="rag"), need("httpx", extra="rag")
        try:
            return Index(entries, seconds, _fill_server(url, name, vectors))
        except (httpx.HTTPError, chromadb.errors.ChromaError) as error:
            message = f"the Chroma server at {url!r} failed ({type(error).__name__}); see its log, then run again"
            raise ThirdleverError(message) from error

    def build(folder: Path) -> None:
        with _embedded(folder) as client:
            _fill(client, name, vectors)

    made = store.once("index", of={"name": name}, build=build)
    collection = _embedded(made.folder).get_collection(name, embedding_function=None)
    return Index(entries, seconds + made.facts["seconds"], collection)


def text_of(entry: Item | Document) -> str:
    """What an entry is found by: an example's input, a document's title and text."""
    return entry.input if isinstance(entry, Item) else f"{entry.title}\n{entry.text}"


def _embedded(folder: Path) -> Any:  # noqa: ANN401 - chromadb is imported at the point of use
    chromadb = need("chromadb", extra="rag")
    return chromadb.PersistentClient(str(folder.resolve()), settings=chromadb.Settings(anonymized_telemetry=False))


def _fill_server(url: str, name: str, vectors: Any) -> Any:  # noqa: ANN401
    chromadb = need("chromadb", extra="rag")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"{url!r} is not the address of a Chroma server; expected one such as http://localhost:8000"
        raise ThirdleverError(message)
    secure = parts.scheme == "https"
    settings = chromadb.Settings(anonymized_telemetry=False)
    try:
        port = parts.port or (443 if secure else 8000)
        client = chromadb.HttpClient(parts.hostname, port, ssl=secure, settings=settings)
    except ValueError as error:
        message = f"no Chroma server answers at {url!r}; start one with `chroma run` or omit --chroma-url"
        raise ThirdleverError(message) from error
    return _fill(client, name, vectors)


def _fill(client: Any, name: str, vectors: Any) -> Any:  # noqa: ANN401
    """The collection of that name with every vector in it, completing what an interrupted attempt left."""
    # A wider search than Chroma's default finds all true neighbours here (recall 1.00 at k=20 of 10,000).
    configuration = {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200}}
    collection = client.get_or_create_collection(name, configuration=configuration, embedding_function=None)
    for start in range(0, len(vectors), _BATCH):
        batch = vectors[start : start + _BATCH]
        if collection.count() < start + len(batch):
            collection.upsert(ids=[str(start + i) for i in range(len(batch))], embeddings=batch)
    return collection
