"""The Chroma index, embedded and on a real server: results are right, and work is done once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers.chroma_servers import free_port
from helpers.encoders import Hashing

from thirdlever import Document, Item, Store, index
from thirdlever.core.errors import ThirdleverError
from thirdlever.retrieval import embedders, stores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever import Index

pytest.importorskip("chromadb", reason="needs the extra `rag`")

from chromadb.api.models.Collection import Collection

WORDS = ("bread", "milk", "diesel", "petrol", "cinema", "opera", "rent", "water", "bus", "plane", "doctor", "vet")
QUERIES = ("bread and milk", "opera bus rent", "petrol petrol petrol water", "doctor")


def entries(n: int = 60, seed: int = 0) -> tuple[Item, ...]:
    """Texts of a few words each, no two alike."""
    draw = np.random.default_rng(seed)
    texts = {" ".join(draw.choice(WORDS, size=draw.integers(2, 6))): None for _ in range(3 * n)}
    return tuple(Item(f"i{i}", f"{text} {i}", "any") for i, text in enumerate([*texts][:n]))


@dataclass
class Uploads:
    """What is sent to Chroma, and when that is to fail."""

    sizes: list[int] = field(default_factory=list)
    interrupted_at: int | None = None


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Hashing:
    hashing = Hashing()
    monkeypatch.setattr(embedders, "_model", lambda _: hashing)
    monkeypatch.setattr("thirdlever.models.bundled.embedder_folder", Path)  # is not downloaded
    return hashing


@pytest.fixture(autouse=True)
def uploads(monkeypatch: pytest.MonkeyPatch) -> Uploads:
    """Batches of 25, noted; one may be interrupted."""
    noted, upsert = Uploads(), Collection.upsert

    def noting(collection: Collection, ids: Sequence[str], **rest: Any) -> None:  # noqa: ANN401 - Chroma's
        if len(noted.sizes) == noted.interrupted_at:
            raise KeyboardInterrupt
        noted.sizes.append(len(ids))
        upsert(collection, ids=list(ids), **rest)

    monkeypatch.setattr(Collection, "upsert", noting)
    monkeypatch.setattr(stores, "_ADDED", 25)
    return noted


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(params=["embedded", "server"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to have an index."""
    if request.param == "server":
        monkeypatch.setenv(stores.SERVER, request.getfixturevalue("server"))
    return str(request.param)


def similarities(pool: Sequence[Item], text: str) -> dict[str, float]:
    """Cosines by brute force."""
    vectors, query = embedders.embed([item.input for item in pool]), embedders.embed([text])[0]
    return {item.id: float(score) for item, score in zip(pool, vectors @ query, strict=True)}


def assert_nearest(found: Index[Item], text: str, k: int) -> None:
    """The k most similar in falling order; equally similar ones may change places."""
    scores = similarities(found.entries, text)
    got = [scores[item.id] for item in found.nearest(text, k)]
    assert got == pytest.approx(sorted(scores.values(), reverse=True)[:k], abs=1e-5)


# What is found


@pytest.mark.parametrize("k", [1, 7, 60])
def test_neighbours_equal_those_of_brute_force(where: str, store: Store, k: int) -> None:
    found = index(entries(seed=len(where)), store)
    for text in QUERIES:
        assert_nearest(found, text, k)


def test_an_entry_is_nearest_to_itself(where: str, store: Store) -> None:
    pool = entries(seed=10 + len(where))
    found = index(pool, store)
    assert [found.nearest(item.input, 1) for item in pool] == [[item] for item in pool]


def test_a_document_is_found_by_title_and_text(store: Store) -> None:
    documents = (Document("a", "Fuel rule", "petrol at pumps"), Document("b", "Food rule", "bread at shops"))
    found = index(documents, store)
    assert found.nearest("fuel", 1) == [documents[0]]
    assert found.nearest("shops", 1) == [documents[1]]


@pytest.mark.usefixtures("where")
def test_of_equally_near_entries_the_earlier_comes_first(store: Store) -> None:
    pool = tuple(Item(f"i{n}", f"bread {word}", "any") for n, word in enumerate(WORDS[1:]))
    assert [item.id for item in index(pool, store).nearest("bread", 4)] == ["i0", "i1", "i2", "i3"]


def test_a_search_for_too_many_returns_all(store: Store) -> None:
    assert len(index(entries(5), store).nearest("bread", 99)) == 5


def test_an_empty_index_returns_nothing(store: Store, encoder: Hashing) -> None:
    assert index(entries(0), store).nearest("bread", 3) == []
    assert index(entries(5), store).nearest("bread", 0) == []
    assert len(encoder.texts) == 5  # no query was embedded
    assert len([*store.root.glob("index/*")]) <= 2  # one index and its lock


# What is done once


def test_the_index_is_built_once(where: str, store: Store, encoder: Hashing, uploads: Uploads) -> None:
    pool = entries(seed=20 + len(where))
    first = index(pool, store)
    assert (len(encoder.texts), uploads.sizes) == (60, [25, 25, 10])
    second = index(pool, store)
    assert (len(encoder.texts), uploads.sizes) == (60, [25, 25, 10])
    assert second.seconds == pytest.approx(first.seconds)
    assert first.seconds > 0
    assert_nearest(second, QUERIES[0], 9)


def test_a_server_receives_an_index_only_once(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uploads: Uploads
) -> None:
    monkeypatch.setenv(stores.SERVER, server)
    pool = entries(seed=31)
    index(pool, Store(tmp_path / "one"))
    uploads.sizes.clear()
    assert_nearest(index(pool, Store(tmp_path / "two")), QUERIES[1], 5)
    assert uploads.sizes == []


def test_other_texts_have_another_index(where: str, store: Store, uploads: Uploads) -> None:
    pool = entries(seed=40 + len(where))
    index(pool, store)
    index(pool[:-1], store)
    assert uploads.sizes == [25, 25, 10, 25, 25, 9]


def test_labels_do_not_change_an_index(store: Store, uploads: Uploads) -> None:
    pool = entries(20)
    index(pool, store)
    relabelled = tuple(Item(item.id, item.input, "other") for item in pool)
    assert index(relabelled, store).nearest(pool[3].input, 1) == [relabelled[3]]
    assert uploads.sizes == [20]


def test_an_interrupted_fill_is_completed(where: str, store: Store, encoder: Hashing, uploads: Uploads) -> None:
    pool = entries(seed=50 + len(where))
    uploads.interrupted_at = 2
    with pytest.raises(KeyboardInterrupt):
        index(pool, store)
    uploads.interrupted_at = None
    found = index(pool, store)
    assert uploads.sizes == [25, 25, 10]
    assert len(encoder.texts) == 60  # embedded before it was interrupted
    for text in QUERIES:
        assert_nearest(found, text, 60)


def test_two_projects_in_one_process_have_separate_indices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notebook that changes folder: the store's path is the same, relative to another."""
    pool = entries(20)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert_nearest(index(pool, Store(Path(".thirdlever", "store"))), QUERIES[0], 5)
        assert len([*Path(".thirdlever", "store", "index").glob("*/chroma.sqlite3")]) == 1


# What goes wrong


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "nonsense"])
def test_an_invalid_address_is_refused(url: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stores.SERVER, url)
    with pytest.raises(ThirdleverError) as caught:
        index(entries(5), store)
    assert (
        str(caught.value)
        == f"{url!r} is not the address of a Chroma server; expected one such as http://localhost:8000"
    )


@pytest.mark.parametrize("port", ["closed", "99999", "many"])
def test_a_missing_server_is_reported_in_one_sentence(port: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"http://127.0.0.1:{free_port() if port == 'closed' else port}"
    monkeypatch.setenv(stores.SERVER, url)
    with pytest.raises(ThirdleverError) as caught:
        index(entries(5), store)
    assert str(caught.value) in {
        f"no Chroma server answers at {url!r}; start one with `chroma run` or omit --chroma-url",
        f"{url!r} is not the address of a Chroma server; expected one such as http://localhost:8000",
    }


class _Other(BaseHTTPRequestHandler):
    """A web server that is no Chroma."""

    status = 200

    def do_GET(self) -> None:
        self.answer()

    def do_POST(self) -> None:
        self.answer()

    def answer(self) -> None:
        body = b"<html>It works!</html>"
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.mark.parametrize("status", [200, 404, 500])
def test_another_kind_of_server_is_one_sentence(status: int, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Other, "status", status)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Other) as other:
        thread = threading.Thread(target=other.serve_forever)
        thread.start()
        monkeypatch.setenv(stores.SERVER, f"http://127.0.0.1:{other.server_port}")
        try:
            with pytest.raises(ThirdleverError, match="no Chroma server answers at"):
                index(entries(5), store)
        finally:
            other.shutdown()
            thread.join()


def test_a_failure_during_indexing_is_reported_in_one_sentence(
    server: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    def breaks(*_: object, **__: object) -> None:
        message = "server disconnected"
        raise httpx.RemoteProtocolError(message)

    monkeypatch.setenv(stores.SERVER, server)
    monkeypatch.setattr(Collection, "upsert", breaks)
    monkeypatch.setattr(stores, "_PATIENCE_S", 0.2)
    with pytest.raises(ThirdleverError, match=r"the Chroma server at .* failed"):
        index(entries(5, seed=60), store)
