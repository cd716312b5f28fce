"""Vector stores: what a Chroma collection must be to be searched, fills that are interrupted, stores as files."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from thirdlever import Store, StrategyError
from thirdlever.cli import main
from thirdlever.core.errors import ThirdleverError
from thirdlever.retrieval import stores as module
from thirdlever.retrieval.stores import SERVER, TOKEN, Nearest, chroma, find_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from helpers.chroma_servers import ChromaServer
    from numpy.typing import NDArray

pytest.importorskip("chromadb", reason="needs the extra `rag`")

import chromadb
from chromadb.api.models.Collection import Collection

COUNT, DIMENSIONS, BATCH = 120, 16, 25
EXAMPLE = Path(__file__).parents[2] / "docs/examples/stores/faiss_hnsw.py"


def unit_vectors(count: int = COUNT, dimensions: int = DIMENSIONS, seed: int = 0) -> NDArray[np.float32]:
    made = np.random.default_rng(seed).normal(size=(count, dimensions))
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)


def assert_nearest(found: Nearest, vectors: NDArray[np.float32], n: int = 10) -> None:
    """The same as by brute force, with the same distances."""
    for query in unit_vectors(5, seed=99):
        distances = 1 - vectors @ query
        got = found.nearest(query, n)
        assert [position for position, _ in got] == np.argsort(distances)[:n].tolist()
        assert [distance for _, distance in got] == pytest.approx(np.sort(distances)[:n].tolist(), abs=1e-5)


@dataclass
class Uploads:
    """The sizes of the batches sent to Chroma, and what happens before one of them."""

    sizes: list[int] = field(default_factory=list)
    before: dict[int, Any] = field(default_factory=dict)


@pytest.fixture(autouse=True)
def uploads(monkeypatch: pytest.MonkeyPatch) -> Uploads:
    noted, upsert = Uploads(), Collection.upsert

    def noting(collection: Collection, ids: list[str], **rest: Any) -> None:  # noqa: ANN401 - Chroma's
        if act := noted.before.pop(len(noted.sizes), None):
            act()
        upsert(collection, ids=ids, **rest)
        noted.sizes.append(len(ids))

    monkeypatch.setattr(Collection, "upsert", noting)
    monkeypatch.setattr(module, "_ADDED", BATCH)
    return noted


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A collection of the test's own; all share the server."""
    return f"collection-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


@pytest.fixture
def client(server: str, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - Chroma's
    """A client of the server, which the tested code uses too."""
    monkeypatch.setenv(SERVER, server)
    return module.connect(server)


# What is refused


def test_a_collection_that_thirdlever_did_not_make_is_refused(client: Any, name: str, store: Store) -> None:  # noqa: ANN401
    foreign = client.create_collection(name, embedding_function=None)
    foreign.upsert(ids=["a", "b"], embeddings=unit_vectors(2, 8))
    with pytest.raises(ThirdleverError) as caught:
        chroma(name, unit_vectors(), store)
    assert "not made by thirdlever: 2 entries, 8 dimensions, metric l2" in str(caught.value)
    assert "delete the collection, or name another server" in str(caught.value)
    assert foreign.count() == 2


@pytest.mark.parametrize(
    ("count", "dimensions", "seed", "embedder", "words"),
    [
        (COUNT, DIMENSIONS, 0, "other", "embedder 'one' in place of 'other'"),
        (COUNT, 8, 0, "one", "dimensions 16 in place of 8"),
        (COUNT - 9, DIMENSIONS, 0, "one", "120 entries in place of 111"),
        (COUNT, DIMENSIONS, 1, "one", "has other vectors than these texts"),
    ],
)
def test_a_collection_of_something_else_is_refused(  # noqa: PLR0917 - a case's parts
    client: Any,  # noqa: ANN401
    store: Store,
    uploads: Uploads,
    name: str,
    count: int,
    dimensions: int,
    seed: int,
    embedder: str,
    words: str,
) -> None:
    assert client.heartbeat()
    chroma(name, unit_vectors(), store, embedder="one")
    sent = len(uploads.sizes)
    with pytest.raises(ThirdleverError, match=words):
        chroma(name, unit_vectors(count, dimensions, seed), store, embedder=embedder)
    assert len(uploads.sizes) == sent


def test_a_metric_other_than_cosine_is_refused(client: Any, name: str, store: Store) -> None:  # noqa: ANN401
    stated = {"thirdlever": module.FORMAT, "embedder": "", "dimensions": DIMENSIONS, "count": COUNT}
    client.create_collection(name, metadata=stated, embedding_function=None)
    with pytest.raises(ThirdleverError, match="metric 'l2' in place of 'cosine'"):
        chroma(name, unit_vectors(), store)


def test_a_collection_that_lost_entries_is_refused(client: Any, name: str, store: Store) -> None:  # noqa: ANN401
    chroma(name, unit_vectors(), store)
    client.get_collection(name, embedding_function=None).delete(ids=["7", "8"])
    with pytest.raises(ThirdleverError, match="holds 118 of 120 vectors"):
        chroma(name, unit_vectors(), store)


def test_a_folder_that_lost_entries_is_refused(name: str, store: Store) -> None:
    chroma(name, unit_vectors(), store)
    (folder,) = (path.parent for path in store.root.glob("index/*/chroma.sqlite3"))
    module._client(folder).get_collection(name, embedding_function=None).delete(ids=["7"])  # noqa: SLF001
    with pytest.raises(ThirdleverError, match=r"holds 119 of 120 vectors.*delete this folder and run again"):
        chroma(name, unit_vectors(), store)


# What is interrupted


@pytest.mark.parametrize("where", ["embedded", "server"])
def test_a_killed_fill_goes_on_where_it_stopped(  # noqa: PLR0917 - fixtures
    where: str,
    request: pytest.FixtureRequest,
    store: Store,
    uploads: Uploads,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if where == "server":
        monkeypatch.setenv(SERVER, request.getfixturevalue("server"))
    vectors = unit_vectors()
    np.save(tmp_path / "vectors.npy", vectors)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path), f"killed-{where}"], check=False)
    assert killed.returncode == -signal.SIGKILL
    found = chroma(f"killed-{where}", vectors, store)
    assert uploads.sizes == [25, 25, 20]
    assert_nearest(found, vectors)


KILLED = f"""
import os, signal, sys
from pathlib import Path
import numpy as np
from chromadb.api.models.Collection import Collection
from thirdlever import Store
from thirdlever.retrieval import stores

folder, name = Path(sys.argv[1]), sys.argv[2]
stores._ADDED, upsert = {BATCH}, Collection.upsert

def until(collection, ids, **rest):
    if ids[0] == "50":
        os.kill(os.getpid(), signal.SIGKILL)
    upsert(collection, ids=ids, **rest)

Collection.upsert = until
stores.chroma(name, np.load(folder / "vectors.npy"), Store(folder / "store"))
"""


def test_what_cannot_be_resumed_is_built_again(
    name: str, store: Store, uploads: Uploads, capsys: pytest.CaptureFixture[str]
) -> None:
    vectors = unit_vectors()

    def stop() -> None:
        raise KeyboardInterrupt

    uploads.before[2] = stop
    with pytest.raises(KeyboardInterrupt):
        chroma(name, vectors, store)
    (left,) = store.root.glob("index/*.partial/chroma.sqlite3")
    for file in left.parent.glob("chroma.sqlite3*"):
        file.write_bytes(b"not a database" * 1000)
    assert_nearest(chroma(name, vectors, store), vectors)
    assert uploads.sizes == [25, 25, 25, 25, 25, 25, 20]
    assert "it is built again" in capsys.readouterr().err


def test_a_fill_waits_for_a_server_that_restarts(  # noqa: PLR0917 - fixtures
    client: Any,  # noqa: ANN401
    chroma_server: ChromaServer,
    name: str,
    store: Store,
    uploads: Uploads,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert client.heartbeat()

    def restart() -> None:
        chroma_server.kill()
        threading.Timer(0.7, chroma_server.start).start()

    uploads.before[2] = restart
    vectors = unit_vectors()
    assert_nearest(chroma(name, vectors, store), vectors)
    assert uploads.sizes == [25, 25, 25, 25, 20]
    assert capsys.readouterr().err.count("does not answer; waiting up to 60 s") == 1


def test_a_fill_goes_on_after_a_server_stayed_away(  # noqa: PLR0917 - fixtures
    client: Any,  # noqa: ANN401
    chroma_server: ChromaServer,
    name: str,
    store: Store,
    uploads: Uploads,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert client.heartbeat()
    monkeypatch.setattr(module, "_PATIENCE_S", 0.3)
    uploads.before[2] = chroma_server.kill
    vectors = unit_vectors()
    try:
        with pytest.raises(ThirdleverError, match=r"failed \(ConnectError.*a fill goes on where it stopped"):
            chroma(name, vectors, store)
    finally:
        chroma_server.start()
    found = chroma(name, vectors, store)
    assert uploads.sizes == [25, 25, 25, 25, 20]
    assert_nearest(found, vectors)
    assert found.seconds > 0
    assert chroma(name, vectors, store).seconds == found.seconds


def test_two_that_fill_a_collection_at_once_both_end_well(client: Any, name: str, tmp_path: Path) -> None:  # noqa: ANN401
    vectors, found = unit_vectors(), list[Nearest]()
    fills = [
        threading.Thread(target=lambda place=place: found.append(chroma(name, vectors, Store(tmp_path / place))))
        for place in ("one", "two")
    ]
    for fill in fills:
        fill.start()
    for fill in fills:
        fill.join()
    assert client.get_collection(name, embedding_function=None).count() == COUNT
    assert len(found) == 2
    for each in found:
        assert_nearest(each, vectors)


def test_a_fill_reads_a_batch_at_a_time(name: str, store: Store) -> None:
    @dataclass
    class Read:
        vectors: NDArray[np.float32]
        most: int = 0
        shape: tuple[int, ...] = (COUNT, DIMENSIONS)

        def __len__(self) -> int:
            return len(self.vectors)

        def __getitem__(self, at: Any) -> NDArray[np.float32]:  # noqa: ANN401 - a position or a slice
            got: NDArray[np.float32] = self.vectors[at]
            self.most = max(self.most, len(got) if isinstance(at, slice) else 1)
            return got

    read = Read(unit_vectors())
    assert_nearest(chroma(name, read, store), read.vectors)  # type: ignore[arg-type]
    assert read.most == BATCH


# What a server answers


class _Imitation(BaseHTTPRequestHandler):
    """A server of Chroma's first protocol, or one that wants a token."""

    status = 404
    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization", ""))
        if self.path == "/api/v1/version" and self.status == 404:
            self._answer(200, b'"0.5.0"')
        else:
            self._answer(self.status, b'{"error":"no"}')

    def do_POST(self) -> None:
        self.do_GET()

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def imitation(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[_Imitation]]:
    monkeypatch.setattr(_Imitation, "seen", [], raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Imitation) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        monkeypatch.setenv(SERVER, f"http://127.0.0.1:{other.server_port}")
        try:
            yield _Imitation
        finally:
            other.shutdown()
            thread.join()


@pytest.mark.usefixtures("imitation")
def test_a_server_of_another_version_is_named_with_both_versions(store: Store) -> None:
    with pytest.raises(ThirdleverError) as caught:
        chroma("versions", unit_vectors(), store)
    assert f"has version 0.5.0, and its client here {chromadb.__version__}" in str(caught.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_is_sent_and_never_shown(
    status: int, imitation: type[_Imitation], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imitation, "status", status)
    monkeypatch.setenv(TOKEN, "s3cret-t0ken")
    with pytest.raises(ThirdleverError) as caught:
        chroma("token", unit_vectors(), store)
    assert "Bearer s3cret-t0ken" in imitation.seen
    assert f"refuses access ({status}); set {TOKEN} to its token" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_password_in_the_address_is_refused_and_not_shown(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    command = "thirdlever run tiny --strategy rag --chroma-url http://me:s3cret@localhost:8000"
    monkeypatch.setattr(sys, "argv", command.split())
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 2
    shown = "".join(capsys.readouterr())
    assert TOKEN in shown
    assert "s3cret" not in shown


# Stores as files


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stores").mkdir()
    return tmp_path / "stores"


def test_the_example_of_a_store_finds_the_same_neighbours(stores: Path, store: Store) -> None:
    pytest.importorskip("faiss")
    (stores / "faiss_hnsw.py").write_text(EXAMPLE.read_text())
    vectors = unit_vectors()
    found = find_store("faiss_hnsw")("any", vectors, store)
    assert_nearest(found, vectors)
    assert len(found.nearest(vectors[0], 999)) == COUNT
    assert found.size
    assert found.size > vectors.nbytes
    assert find_store("faiss_hnsw")("any", vectors, store).seconds == found.seconds


EXACT = """
import numpy as np

class Exact:
    def __init__(self, vectors):
        self.vectors = vectors

    def nearest(self, vector, n):
        distances = 1 - self.vectors @ vector
        return [(int(at), float(distances[at])) for at in np.argsort(distances)[:n]]

def build(folder, vectors):
    np.save(folder / "vectors.npy", vectors)

def load(folder):
    return Exact(np.load(folder / "vectors.npy", mmap_mode="r"))
"""


def test_a_store_of_a_few_lines_is_built_again_when_its_file_changes(stores: Path, store: Store) -> None:
    vectors = unit_vectors()
    for text in (EXACT, EXACT, f"{EXACT}\n# changed\n"):
        (stores / "exact.py").write_text(text)
        assert_nearest(find_store("exact")("any", vectors, store), vectors)
    assert len([*store.root.glob("index/*/vectors.npy")]) == 2


def test_chroma_is_a_store_by_name(name: str, store: Store) -> None:
    vectors = unit_vectors()
    found = find_store()(name, vectors, store)
    assert_nearest(found, vectors)
    assert found.size
    assert found.size > vectors.nbytes


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("exakt", "vector store 'exakt' not found; did you mean 'exact'? Available: chroma, exact"),
        ("exact", "a vector store needs the function load(folder); add it"),
    ],
)
def test_a_store_that_is_not_there_or_incomplete_is_one_sentence(stores: Path, asked: str, words: str) -> None:
    (stores / "exact.py").write_text("def build(folder, vectors): ...\n")
    with pytest.raises(StrategyError) as caught:
        find_store(asked)
    assert words in str(caught.value)
