"""Vector stores by name: Chroma, in this process or on its server, or a file in `stores/` of the project.

A collection of Chroma's states in its metadata what it is: the embedder, the dimensions, the number of vectors. It is
filled in the order of positions, so that an interrupted fill goes on where it stopped. It is searched only if it is
what it should be and holds all of its vectors.
"""

from __future__ import annotations

import inspect
import os
import re
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import urlsplit

from thirdlever.core import project
from thirdlever.core.errors import StrategyError, ThirdleverError, need, unknown
from thirdlever.core.progress import note, progress
from thirdlever.core.text import clipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store

    _Stated = Mapping[str, Any]

SERVER = "THIRDLEVER_CHROMA_URL"  # http://host:port of a running Chroma server; if unset, Chroma is embedded
TOKEN = "CHROMA_CLIENT_AUTH_CREDENTIALS"  # noqa: S105 - Chroma's own variable for a server's token
FORMAT = 1  # of a collection; counted up when an earlier one must be filled again
_ADDED = 5000  # vectors at a time; Chroma takes up to 5,461
# Measured by benchmarks/vectors.py, see the lab notes.
_HNSW = {"space": "cosine", "ef_construction": 100, "ef_search": 200, "max_neighbors": 16, "sync_threshold": 5000}
_SAME = 0.1  # distance up to which unit vectors are one text's, whatever number format a machine computes in
_TRIED = 5  # vectors of a batch
_PATIENCE_S = 60.0  # for a server to come back while it is filled
_SEARCH_PATIENCE_S = 10.0  # the same for one search
_TIMEOUT_S = 300.0  # for one answer; a server may write its whole graph before it answers

T = TypeVar("T")


@dataclass(frozen=True)
class Chroma:
    """A filled collection.

    Attributes:
        seconds: what filling it took when it was done.
        size: bytes on disk; None on a server.
    """

    seconds: float
    size: int | None
    _collection: Any
    _place: _Place

    def nearest(self, vector: NDArray[np.float32], n: int) -> list[tuple[int, float]]:
        """Positions and cosine distances of the `n` vectors nearest to one [dimensions], nearest first."""
        with self._place.explained():
            query = self._collection.query
            found = self._place.search(query, query_embeddings=[vector], n_results=n, include=["distances"])
        return [(int(at), float(far)) for at, far in zip(found["ids"][0], found["distances"][0], strict=True)]


def chroma(name: str, vectors: NDArray[np.float32], store: Store, *, embedder: str = "") -> Chroma:
    """The collection of a name with these vectors [n, dimensions], by position; filled if it is not.

    Args:
        name: of the collection, a hash of the texts and the embedder.
        vectors: unit vectors; of a memory-mapped array, a batch at a time is in memory.
        store: keeps the collection if no server does.
        embedder: identity of what computed the vectors.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
        ThirdleverError: the server at `THIRDLEVER_CHROMA_URL` does not answer, or the collection of this name is
            another one.
    """
    stated = {"thirdlever": FORMAT, "embedder": embedder, "dimensions": vectors.shape[1], "count": len(vectors)}
    if url := os.environ.get(SERVER):
        there = _OnServer(url, connect(url))
        seconds, collection = _filled(there, name, vectors, stated)
        return Chroma(seconds, None, collection, there)

    def build(folder: Path) -> None:
        if any(folder.iterdir()) and not _usable(folder, name, vectors, stated):
            note("what an interrupted run left of the index cannot be used; it is built again")
            shutil.rmtree(folder)
            folder.mkdir()
        with _client(folder) as client:
            _filled(_InFolder(folder, client), name, vectors, stated)

    made = store.once("index", of={"name": name, "stated": stated}, build=build, resume=True)
    here = _InFolder(made.folder, _client(made.folder))
    seconds, collection = _filled(here, name, vectors, stated)
    return Chroma(seconds, folder_size(made.folder), collection, here)


def folder_size(folder: Path) -> int:
    """Bytes of the files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def connect(url: str) -> Any:  # noqa: ANN401 - chromadb is imported at the point of use
    """A client of the Chroma server at an address.

    A token in `CHROMA_CLIENT_AUTH_CREDENTIALS` is sent as a bearer token, or as Chroma's other variables state.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
        ThirdleverError: the address is invalid, or no Chroma server of this version answers there.
    """
    chromadb = need("chromadb", extra="rag")
    host, port, secure = address(url)
    settings = chromadb.Settings(anonymized_telemetry=False)
    if settings.chroma_client_auth_credentials and not settings.chroma_client_auth_provider:
        settings.chroma_client_auth_provider = "chromadb.auth.token_authn.TokenAuthClientProvider"
    try:
        client = chromadb.HttpClient(host, port, ssl=secure, settings=settings)
    except Exception as error:  # Chroma raises ValueError, KeyError and httpx's own, by what answers at the address
        missing = f"no Chroma server answers at {url!r}; start one with `chroma run` or omit --chroma-url"
        raise ThirdleverError(_known(url, error) or missing) from error
    client._server._session.timeout = _TIMEOUT_S  # noqa: SLF001 - Chroma has no setting for it and would wait for ever
    return client


def address(url: str) -> tuple[str, int, bool]:
    """Host, port and whether TLS is used, of a Chroma server's address.

    Raises:
        ThirdleverError: it is not an address, or has a password, which would be kept with the run.
    """
    parts = urlsplit(url)
    if parts.username or parts.password:
        message = f"the address of a Chroma server has no user or password; set {TOKEN} in the environment"
        raise ThirdleverError(message)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0 or parts.path.strip("/"):
        message = f"{url!r} is not the address of a Chroma server; expected one such as http://localhost:8000"
        raise ThirdleverError(message)
    secure = parts.scheme == "https"
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return host, port or (443 if secure else 8000), secure


@dataclass(frozen=True)
class _InFolder:
    """A collection's place in a folder."""

    folder: Path
    client: Any

    @property
    def where(self) -> str:
        return f"in {str(self.folder)!r}"

    @property
    def remedy(self) -> str:
        return "delete this folder and run again"

    def call(self, function: Callable[..., T], **arguments: Any) -> T:  # noqa: ANN401 - as Chroma has them
        return function(**arguments)

    search = call

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn Chroma's errors into one sentence."""
        chromadb = need("chromadb", extra="rag")
        try:
            yield
        except chromadb.errors.ChromaError as error:
            message = f"Chroma failed {self.where} ({clipped(error, 200)}); free space on the disk, or {self.remedy}"
            raise ThirdleverError(message) from error


@dataclass(frozen=True)
class _OnServer:
    """A collection's place on a server, which may be restarted meanwhile."""

    url: str
    client: Any

    @property
    def where(self) -> str:
        return f"on the Chroma server at {self.url!r}"

    @property
    def remedy(self) -> str:
        return "delete the collection, or name another server"

    def call(self, function: Callable[..., T], **arguments: Any) -> T:  # noqa: ANN401 - as Chroma has them
        return self._patiently(_PATIENCE_S, function, **arguments)

    def search(self, function: Callable[..., T], **arguments: Any) -> T:  # noqa: ANN401
        return self._patiently(_SEARCH_PATIENCE_S, function, **arguments)

    def _patiently(self, seconds: float, function: Callable[..., T], **arguments: Any) -> T:  # noqa: ANN401
        """Repeat a call while the server is away; each call that is made here may be made twice."""
        tenacity = need("tenacity", extra="rag")

        def tell(state: Any) -> None:  # noqa: ANN401 - tenacity's
            if state.attempt_number == 2:  # noqa: PLR2004 - the first may only have met a connection closed long ago
                note(f"the Chroma server at {self.url!r} does not answer; waiting up to {seconds:.0f} s for it")

        repeated: T = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_away),
            stop=tenacity.stop_after_delay(seconds),
            wait=tenacity.wait_exponential(multiplier=0.1, max=2),
            before_sleep=tell,
            reraise=True,
        )(function, **arguments)
        return repeated

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn a server's failure, of whatever type, into one sentence."""
        try:
            yield
        except ThirdleverError:
            raise
        except Exception as error:  # any of httpx's, Chroma's and JSON's
            remedy = "see its log, then run again: a fill goes on where it stopped"
            failed = f"the Chroma server at {self.url!r} failed ({clipped(error, 200)}); {remedy}"
            raise ThirdleverError(_known(self.url, error) or failed) from error


_Place = _InFolder | _OnServer


def _client(folder: Path) -> Any:  # noqa: ANN401
    chromadb = need("chromadb", extra="rag")
    path = str(folder.resolve())
    try:
        return chromadb.PersistentClient(path, settings=chromadb.Settings(anonymized_telemetry=False))
    except Exception:
        # Chroma keeps what could not start, and would return it the next time.
        shared = need("chromadb.api.shared_system_client", extra="rag").SharedSystemClient
        shared._identifier_to_system.pop(path, None)  # noqa: SLF001
        raise


def _usable(folder: Path, name: str, vectors: NDArray[np.float32], stated: _Stated) -> bool:
    try:
        with _client(folder) as client:
            place = _InFolder(folder, client)
            collection = _opened(place, name, vectors, stated)
            _require_found(place, collection, vectors, collection.count())
    except Exception:  # noqa: BLE001 - whatever Chroma raises of damaged files
        return False
    return True


def _filled(place: _Place, name: str, vectors: NDArray[np.float32], stated: _Stated) -> tuple[float, Any]:
    """The seconds that filling took, and the collection, which holds every vector."""
    with place.explained():
        collection = _opened(place, name, vectors, stated)
        _add(place, collection, vectors, stated)
        if (count := place.call(collection.count)) != len(vectors):
            message = f"the collection {collection.name!r} {place.where} holds {count:,} of {len(vectors):,} vectors"
            message = f"{message}, although all were sent; {place.remedy}"
            raise ThirdleverError(message)
        _require_found(place, collection, vectors, count)
        return float(collection.metadata.get("seconds", 0.0)), collection


def _opened(place: _Place, name: str, vectors: NDArray[np.float32], stated: _Stated) -> Any:  # noqa: ANN401
    """The collection as it is, or a new one.

    Raises:
        ThirdleverError: it is another one, by what it states or by a few of its vectors.
    """
    make = place.client.get_or_create_collection
    configuration, metadata = {"hnsw": dict(_HNSW)}, dict(stated)
    collection = place.call(make, name=name, configuration=configuration, metadata=metadata, embedding_function=None)
    count = place.call(collection.count)
    if other := _differences(collection, count, stated):
        message = f"the collection {name!r} {place.where} is another one ({other}); {place.remedy}"
        raise ThirdleverError(message)
    if count and not _same_vectors(place, collection, vectors, sorted({0, count // 2, count - 1})):
        message = f"the collection {name!r} {place.where} has other vectors than these texts; {place.remedy}"
        raise ThirdleverError(message)
    return collection


def _differences(collection: Any, count: int, stated: _Stated) -> str:  # noqa: ANN401
    """What a collection is, where it is not what it should be; empty if it is."""
    metadata, configuration = collection.metadata or {}, collection.configuration_json
    dimensions = collection.get_model().dimension or metadata.get("dimensions")
    metric = (configuration.get("hnsw") or configuration.get("spann") or {}).get("space")
    if "thirdlever" not in metadata:
        return f"not made by thirdlever: {count:,} entries, {dimensions} dimensions, metric {metric}"
    there = {**metadata, "dimensions": dimensions, "metric": metric}
    wanted = {**stated, "metric": _HNSW["space"]}
    other = [
        f"{key} {there.get(key)!r} in place of {value!r}" for key, value in wanted.items() if there.get(key) != value
    ]
    if count > stated["count"]:
        other.append(f"{count:,} entries in place of {stated['count']:,}")
    return ", ".join(other)


def _same_vectors(place: _Place, collection: Any, vectors: NDArray[np.float32], positions: Sequence[int]) -> bool:  # noqa: ANN401
    import numpy as np

    found = place.call(collection.get, ids=[str(position) for position in positions], include=["embeddings"])
    there = dict(zip(found["ids"], found["embeddings"], strict=True))
    return all(
        str(position) in there and np.linalg.norm(there[str(position)] - vectors[position]) < _SAME
        for position in positions
    )


def _add(place: _Place, collection: Any, vectors: NDArray[np.float32], stated: _Stated) -> None:  # noqa: ANN401
    """Add what is missing.

    Positions are added in their order, each batch after all before it. So the first `count` positions are there, also
    while another process fills the same collection.
    """
    total, start = len(vectors), place.call(collection.count)
    began = time.perf_counter() - float(collection.metadata.get("seconds", 0.0))
    with progress("indexing" if total - start > _ADDED else "", total - start) as advance:
        while start < total:
            batch = vectors[start : start + _ADDED]
            ids = [str(position) for position in range(start, start + len(batch))]
            place.call(collection.upsert, ids=ids, embeddings=batch)
            place.call(collection.modify, metadata={**stated, "seconds": time.perf_counter() - began})
            reached = max(start + len(batch), min(place.call(collection.count), total))
            advance(reached - start)
            start = reached


def _require_found(place: _Place, collection: Any, vectors: NDArray[np.float32], count: int) -> None:  # noqa: ANN401
    """Search for vectors of each batch: the graph is written apart from the entries that `count` counts."""
    for start in range(0, count, _ADDED):
        tried = range(start, min(start + _TRIED, count))  # the graph may miss one, as it is approximate
        if not any(_finds(place, collection, vectors[position]) for position in tried):
            message = f"the collection {collection.name!r} {place.where} does not find vectors that it holds"
            message = f"{message} ({start:,} to {tried[-1]:,}); {place.remedy}"
            raise ThirdleverError(message)


def _finds(place: _Place, collection: Any, vector: NDArray[np.float32]) -> bool:  # noqa: ANN401
    found = place.call(collection.query, query_embeddings=[vector], n_results=1, include=["distances"])["distances"][0]
    return bool(found) and found[0] < _SAME**2 / 2


def _known(url: str, error: BaseException) -> str | None:
    """The cause of a server's failure if it is a refused token or another version."""
    if (status := _status(error)) in {401, 403}:
        return f"the Chroma server at {url!r} refuses access ({status}); set {TOKEN} to its token"
    chromadb = need("chromadb", extra="rag")
    if (version := _version(url)) and version.partition(".")[0] != chromadb.__version__.partition(".")[0]:
        needed = f"start the server of {chromadb.__version__} (its image, or `chroma run`), or omit --chroma-url"
        return (
            f"the Chroma server at {url!r} has version {version}, and its client here {chromadb.__version__}; {needed}"
        )
    return None


def _version(url: str) -> str | None:
    """What a server says its version is; servers of 1.x all say 1.0.0."""
    httpx = need("httpx", extra="rag")
    for path in ("/api/v2/version", "/api/v1/version"):
        try:
            answer = httpx.get(url.rstrip("/") + path, timeout=5).text
        except httpx.HTTPError:
            return None
        if said := re.fullmatch(r'"(\d+\.\d+[\w.]{0,20})"\s*', answer):
            return said[1]
    return None


def _status(error: BaseException | None) -> int | None:
    """The HTTP status behind an error of Chroma's client."""
    httpx = need("httpx", extra="rag")
    while error is not None:
        if isinstance(error, httpx.HTTPStatusError):
            status: int = error.response.status_code
            return status
        error = error.__cause__ or error.__context__
    return None


def _away(error: BaseException) -> bool:
    """Whether the server may come back: no connection, or a gateway that has none."""
    httpx = need("httpx", extra="rag")
    return isinstance(error, httpx.TransportError) or _status(error) in {502, 503, 504}


# Stores by name

CHROMA = "chroma"
_FOLDER = "stores"


class Nearest(Protocol):
    """Vectors that can be searched. What `load` of a file in `stores/` returns."""

    def nearest(self, vector: NDArray[np.float32], n: int) -> list[tuple[int, float]]:
        """Positions and cosine distances of the `n` vectors nearest to one [dimensions], nearest first."""


class Vectors(Nearest, Protocol):
    """Vectors that can be searched, with what they cost.

    Attributes:
        seconds: what building the index took when it was done.
        size: bytes on disk; None if they are not on this machine.
    """

    @property
    def seconds(self) -> float: ...  # noqa: D102
    @property
    def size(self) -> int | None: ...  # noqa: D102


class Fill(Protocol):
    """Indexes vectors, or opens the index that exists. What `find_store` returns."""

    def __call__(self, name: str, vectors: NDArray[np.float32], store: Store, *, embedder: str = "") -> Vectors:
        """The index of a name with these unit vectors [n, dimensions], by position."""


@dataclass(frozen=True)
class KeptIndex:
    """An index that a file in `stores/` built. See `Vectors`."""

    seconds: float
    size: int
    _opened: Nearest

    def nearest(self, vector: NDArray[np.float32], n: int) -> list[tuple[int, float]]:
        """Positions and cosine distances of the nearest vectors. See `Nearest`."""
        return self._opened.nearest(vector, n)


def find_store(name: str = CHROMA) -> Fill:
    """The vector store of a name: "chroma", or a file `stores/<name>.py` with the functions `build` and `load`.

    `build(folder, vectors)` writes an index of unit vectors [n, dimensions] into an empty folder; `load(folder)` opens
    it and returns a `Nearest`. A change to the file builds its indexes again.

    Raises:
        StrategyError: there is no such file, or it cannot be imported or lacks a function.
    """
    if name == CHROMA:
        return chroma
    files = project.files(_FOLDER)
    if name not in files:
        raise StrategyError(unknown("vector store", name, [CHROMA, *files]))
    module = project.load_module(files[name], StrategyError)
    for function, takes in {"build": 2, "load": 1}.items():
        found = getattr(module, function, None)
        if not inspect.isfunction(found) or len(inspect.signature(found).parameters) != takes:
            given = "folder, vectors" if takes > 1 else "folder"
            message = f"{files[name]}: a vector store needs the function {function}({given}); add it"
            raise StrategyError(message)

    kind = name

    def fill(name: str, vectors: NDArray[np.float32], store: Store, *, embedder: str = "") -> Vectors:
        of = {"name": name, "embedder": embedder, "store": kind}
        made = store.once("index", of=of, build=partial(module.build, vectors=vectors))
        return KeptIndex(float(made.facts["seconds"]), folder_size(made.folder), module.load(made.folder))

    return fill
