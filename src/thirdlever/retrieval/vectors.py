"""Vectors that are computed once: kept by embedder and by text, so that a changed list embeds only its new texts.

One SQLite file for each embedder. Every batch is committed as it arrives, with what it took: an interrupted embedding
goes on where it stopped, and a text is paid for once.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from filelock import FileLock

from thirdlever.core.errors import RunError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import progress
from thirdlever.core.store import NotBuilt, ReadOnlyStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store
    from thirdlever.retrieval.embedding import Embedded, Embedder

KIND = "embeddings"  # of artefact
_FORMAT = 1
_SHOWN = 512  # texts; progress is shown for more
_KEYS = 900  # of a query: SQLite takes 999 variables in its oldest builds
_WAIT_S = 120.0  # for another process that writes
_TABLE = """
    CREATE TABLE IF NOT EXISTS vectors (
        key BLOB PRIMARY KEY, vector BLOB NOT NULL, seconds REAL NOT NULL, tokens REAL, chars INTEGER NOT NULL
    )
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """Vectors of texts, and what computing them took when it was done.

    Attributes:
        vectors: unit vectors, [texts, dimensions].
        seconds: wall time.
        tokens: that the provider billed; None for an embedder on this machine, and if one is not known.
    """

    vectors: NDArray[np.float32]
    seconds: float
    tokens: float | None


@dataclass(frozen=True, slots=True)
class EmbedderUse:
    """What an embedder has taken in this store.

    Attributes:
        texts: that it has embedded.
        seconds: wall time.
        chars: of these texts whose tokens were reported.
        tokens: reported.
    """

    texts: int = 0
    seconds: float = 0.0
    chars: int = 0
    tokens: float = 0.0


def keep(texts: Sequence[str], store: Store, by: Embedder) -> Kept:
    """Vectors of texts that are searched; what the store lacks is embedded.

    Raises:
        NotBuilt: the store builds nothing and lacks some. `of` has these texts and the embedder's name.
        RunError: the file of vectors cannot be read or written.
    """
    if not texts:
        import numpy as np

        return Kept(np.zeros((0, by.dimensions), np.float32), 0.0, 0 if not by.local else None)
    require(store, by, texts)
    file = _File(_path(store, by))
    if file.missing(texts):
        file.path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(file.path.with_suffix(".lock")):  # another process may be embedding the same texts
            _embed(file.missing(texts), file, by)
    return file.read(texts)


def require(store: Store, by: Embedder, *lists: Sequence[str]) -> None:
    """Raise for all texts of several lists that a store lacks and does not build, so that a plan counts them together.

    A store that builds what costs a moment of this machine does not pay a provider. One that builds nothing is a
    plan's, and has no vectors of a hosted embedder: searching them would send queries.

    Raises:
        NotBuilt: `of` has these texts, and the embedder's name.
    """
    if not isinstance(store, ReadOnlyStore):
        return
    builds = KIND in store.builds
    if builds and by.local:
        return
    lacking = _File(_path(store, by)).missing([text for texts in lists for text in texts])
    if lacking or not (builds or by.local):
        raise NotBuilt(KIND, {"texts": lacking, "embedder": by.name})


def measured(store: Store, by: Embedder) -> EmbedderUse:
    """What an embedder has taken in a store."""
    return _File(_path(store, by)).measured()


def _path(store: Store, by: Embedder) -> Path:
    return store.root / "vectors" / f"{content_hash([_FORMAT, by.identity])[:24]}.sqlite"


def _embed(texts: Sequence[str], file: _File, by: Embedder) -> None:
    if not texts:
        return
    start = time.perf_counter()
    with progress("embedding", len(texts) if len(texts) > _SHOWN else None) as advance:
        for positions, part in by.batches(texts):
            now = time.perf_counter()
            file.write([texts[at] for at in positions], part, now - start)
            start = now
            for _ in positions:
                advance()


@dataclass(frozen=True, slots=True)
class _File:
    path: Path

    def missing(self, texts: Sequence[str]) -> list[str]:
        """The texts that it lacks, each once, in their order."""
        wanted = {_key(text): text for text in texts}
        if not self.path.exists():
            return [*wanted.values()]
        with _readable(self.path) as base:
            for keys in _some(tuple(wanted)):
                for (key,) in base.execute(f"SELECT key FROM vectors WHERE key IN ({_marks(keys)})", keys):  # noqa: S608
                    del wanted[key]
        return [*wanted.values()]

    def read(self, texts: Sequence[str]) -> Kept:
        """Vectors of texts, all of which it has."""
        import numpy as np

        keys = [_key(text) for text in texts]
        places = {key: at for at, key in enumerate(dict.fromkeys(keys))}
        rows: NDArray[np.float32] | None = None
        seconds, tokens = 0.0, [0.0]
        with _readable(self.path) as base:
            for some in _some(places):
                asked = f"SELECT key, vector, seconds, tokens FROM vectors WHERE key IN ({_marks(some)})"  # noqa: S608
                for key, packed, took, used in base.execute(asked, some):
                    vector = np.frombuffer(packed, "<f4")
                    rows = np.empty((len(places), len(vector)), np.float32) if rows is None else rows
                    rows[places[key]] = vector
                    seconds += took
                    tokens.append(used)
        assert rows is not None  # noqa: S101 - it has all of them
        if len(places) < len(keys):
            rows = rows[[places[key] for key in keys]]
        return Kept(rows, seconds, None if None in tokens else sum(tokens))

    def write(self, texts: Sequence[str], part: Embedded, seconds: float) -> None:
        """Add the vectors of a batch; its time, and its tokens by length, are shared among its texts."""
        chars, each = sum(map(len, texts)), 1 / len(texts)
        rows = []
        for text, vector in zip(texts, part.vectors, strict=True):
            share = len(text) / chars if chars else each
            tokens = None if part.tokens is None else part.tokens * share
            rows.append((_key(text), vector.astype("<f4").tobytes(), seconds * each, tokens, len(text)))
        with _opened(str(self.path), self.path) as base, base:
            base.execute(_TABLE)
            base.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?, ?, ?, ?)", rows)

    def measured(self) -> EmbedderUse:
        """What computing its vectors took."""
        if not self.path.exists():
            return EmbedderUse()
        known = "sum(chars) FILTER (WHERE tokens IS NOT NULL), sum(tokens)"
        with _readable(self.path) as base:
            texts, seconds, chars, tokens = base.execute(
                f"SELECT count(*), sum(seconds), {known} FROM vectors"  # noqa: S608 - a constant
            ).fetchone()
        return EmbedderUse(texts, seconds or 0.0, chars or 0, tokens or 0.0)


@contextmanager
def _opened(target: str, path: Path, *, uri: bool = False) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(target, timeout=_WAIT_S, uri=uri)) as base:
            yield base
    except sqlite3.Error as error:
        message = f"{path} cannot be used ({error}); delete it, and its vectors are computed again"
        raise RunError(message) from error


def _readable(path: Path) -> AbstractContextManager[sqlite3.Connection]:
    """Open a file without changing it: a plan writes nothing."""
    return _opened(f"{path.absolute().as_uri()}?mode=ro", path, uri=True)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _some(keys: Iterable[bytes]) -> Iterator[list[bytes]]:
    """As many keys as one query takes."""
    left = iter(keys)
    while some := list(islice(left, _KEYS)):
        yield some


def _marks(keys: Sequence[bytes]) -> str:
    return ",".join("?" * len(keys))
