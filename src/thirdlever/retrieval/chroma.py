"""Vectors in a Chroma collection, embedded in this process or on its server."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thirdlever.core.errors import ThirdleverError, need
from thirdlever.core.text import without_password

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store


SERVER = "THIRDLEVER_CHROMA_URL"  # http://host:port of a running Chroma server; if unset, Chroma is embedded
_ADDED = 1000  # vectors at a time


@dataclass(frozen=True)
class Chroma:
    """A filled collection.

    Attributes:
        seconds: what filling it took when it was done.
    """

    seconds: float
    _collection: Any

    def nearest(self, vector: NDArray[np.float32], n: int) -> list[tuple[int, float]]:
        """Positions and cosine distances of the `n` vectors nearest to one [dimensions], nearest first."""
        found = self._collection.query(query_embeddings=[vector], n_results=n, include=["distances"])
        return [(int(at), float(far)) for at, far in zip(found["ids"][0], found["distances"][0], strict=True)]


def chroma(name: str, vectors: NDArray[np.float32], store: Store) -> Chroma:
    """The collection of a name with these vectors [n, dimensions], by position; filled if it is not.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
        ThirdleverError: the server at `THIRDLEVER_CHROMA_URL` does not answer.
    """
    if url := os.environ.get(SERVER):
        chromadb, httpx = need("chromadb", extra="rag"), need("httpx", extra="rag")
        try:
            return Chroma(0.0, _fill_server(url, name, vectors))
        except (httpx.HTTPError, chromadb.errors.ChromaError) as error:
            failed = f"the Chroma server at {without_password(url)!r} failed ({type(error).__name__})"
            message = f"{failed}; see its log, then run again"
            raise ThirdleverError(message) from error

    def build(folder: Path) -> None:
        with _embedded(folder) as client:
            _fill(client, name, vectors)

    made = store.once("index", of={"name": name}, build=build)
    collection = _embedded(made.folder).get_collection(name, embedding_function=None)
    return Chroma(float(made.facts["seconds"]), collection)


def _embedded(folder: Path) -> Any:  # noqa: ANN401 - chromadb is imported at the point of use
    chromadb = need("chromadb", extra="rag")
    return chromadb.PersistentClient(str(folder.resolve()), settings=chromadb.Settings(anonymized_telemetry=False))


def _fill_server(url: str, name: str, vectors: Any) -> Any:  # noqa: ANN401
    chromadb = need("chromadb", extra="rag")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"{without_password(url)!r} is not the address of a Chroma server; expected one such as http://localhost:8000"
        raise ThirdleverError(message)
    secure = parts.scheme == "https"
    settings = chromadb.Settings(anonymized_telemetry=False)
    try:
        port = parts.port or (443 if secure else 8000)
        client = chromadb.HttpClient(parts.hostname, port, ssl=secure, settings=settings)
    except ValueError as error:
        message = (
            f"no Chroma server answers at {without_password(url)!r}; start one with `chroma run` or omit --chroma-url"
        )
        raise ThirdleverError(message) from error
    return _fill(client, name, vectors)


def _fill(client: Any, name: str, vectors: Any) -> Any:  # noqa: ANN401
    """The collection of that name with every vector in it, completing what an interrupted attempt left."""
    # A wider search than Chroma's default finds all true neighbours here (recall 1.00 at k=20 of 10,000).
    configuration = {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200}}
    collection = client.get_or_create_collection(name, configuration=configuration, embedding_function=None)
    for start in range(0, len(vectors), _ADDED):
        batch = vectors[start : start + _ADDED]
        if collection.count() < start + len(batch):
            collection.upsert(ids=[str(start + i) for i in range(len(batch))], embeddings=batch)
    return collection
