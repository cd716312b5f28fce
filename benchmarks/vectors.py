"""A million vectors in Chroma: time to build, size, memory, speed and recall of search; killed, restarted, resumed.

The vectors are clustered: a random centre of 48 dimensions, a deviation from it, and a projection to those asked for
with noise in each. Exact neighbours are found by brute force. Each fill is a process of its own.

    python benchmarks/vectors.py                                      # 1,000,000 embedded, then in a server
    python benchmarks/vectors.py --count 20000 --kill-at 0.4          # killed in a batch, then filled to the end
    python benchmarks/vectors.py --count 20000 --where server --restart-server
    python benchmarks/vectors.py --count 20000 --hnsw ef_construction=100,sync_threshold=1000
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from thirdlever import Store
from thirdlever.retrieval import stores
from thirdlever.retrieval.stores import find_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

LATENT, CENTRES, BLOCK = 48, 2000, 20_000
K, QUERIES = 10, 200
MEGA = 1e6


def main() -> None:
    """Fill and search, as the arguments say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=384)
    parser.add_argument("--where", choices=["embedded", "server"])
    parser.add_argument("--store", default="chroma", help="chroma, or a file in stores/")
    parser.add_argument("--kill-at", type=float, help="share of the vectors after which the filling process is killed")
    parser.add_argument("--restart-server", action="store_true", help="kill the server half-way; it returns after 3 s")
    parser.add_argument("--hnsw", default="", help="settings of the graph, e.g. ef_construction=100")
    parser.add_argument("--add", type=int, default=0, help="vectors a batch")
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.fill:
        fill(asked)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, asked.count, asked.dimensions)
        for where in [asked.where] if asked.where else ["embedded", "server"]:
            measure(where, folder, asked)


def make(folder: Path, count: int, dimensions: int) -> None:
    """Write unit vectors, queries like them, and the queries' exact neighbours."""
    draw = np.random.default_rng(0)
    centres, project = draw.normal(size=(CENTRES, LATENT)), draw.normal(size=(LATENT, dimensions))

    def some(n: int) -> NDArray[np.float32]:
        near = centres[draw.integers(CENTRES, size=n)] + 0.8 * draw.normal(size=(n, LATENT))
        made = near @ project + 0.5 * draw.normal(size=(n, dimensions))
        return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True), np.float32)

    queries = some(QUERIES)
    path = folder / "vectors.npy"
    vectors = np.lib.format.open_memmap(path, "w+", np.float32, (count, dimensions))
    kept: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    for start in range(0, count, BLOCK):
        block = some(min(BLOCK, count - start))
        vectors[start : start + len(block)] = block
        cosines = queries @ block.T
        top = np.argsort(-cosines, axis=1)[:, :K]
        kept.append((np.take_along_axis(cosines, top, 1), top + start))
    cosines = np.concatenate([each for each, _ in kept], axis=1)
    places = np.concatenate([each for _, each in kept], axis=1)
    np.save(folder / "exact.npy", np.take_along_axis(places, np.argsort(-cosines, axis=1)[:, :K], 1))
    np.save(folder / "queries.npy", queries)


def measure(where: str, folder: Path, asked: argparse.Namespace) -> None:
    """Fill in a process of its own, killed first if asked, and print what it measured."""
    print(f"\n{asked.store}, {where}: {asked.count:,} vectors of {asked.dimensions} dimensions", flush=True)
    place = folder / where
    place.mkdir()
    with served(place) if where == "server" else nothing() as server:
        watcher = threading.Thread(target=server.restart_at, args=(asked.count // 2,), daemon=True) if server else None
        if asked.restart_server and watcher:
            watcher.start()
        environment = os.environ | ({stores.SERVER: server.url} if server else {})
        command = [sys.executable, __file__, *sys.argv[1:], "--fill", str(place)]
        begun = time.perf_counter()
        with memory_of(lambda: server.process.pid if server else os.getpid()) as used:
            for _ in range(2 if asked.kill_at else 1):
                done = subprocess.run(command, env=environment, check=False)  # noqa: S603 - ours
                print(f"  exit code {done.returncode} after {time.perf_counter() - begun:.1f} s", flush=True)
        if server:
            disk = stores.folder_size(place / "data")
            print(f"  server: peak memory {max(used) / MEGA:,.0f} MB, on disk {disk / MEGA:,.0f} MB", flush=True)


def fill(asked: argparse.Namespace) -> None:
    """In a process of its own: fill, search, print."""
    folder = asked.fill.parent
    settings = dict(pair.split("=") for pair in asked.hnsw.split(",") if pair)
    stores._HNSW |= {key: int(value) for key, value in settings.items()}  # noqa: SLF001 - what is measured
    if asked.add:
        stores._ADDED = asked.add  # noqa: SLF001
    dies = not (asked.fill / "killed").exists() and asked.kill_at
    vectors = Watched(np.load(folder / "vectors.npy", mmap_mode="r"), round(dies * asked.count) if dies else None)
    vectors.died = asked.fill / "killed"
    with memory_of(os.getpid) as used:
        start = time.perf_counter()
        by, store = find_store(asked.store), Store(asked.fill / "store")
        found = by("thirdlever-benchmark", vectors, store, embedder="random")  # type: ignore[arg-type]
        took = time.perf_counter() - start
        queries, exact = np.load(folder / "queries.npy"), np.load(folder / "exact.npy")
        times, right = [], 0
        for query, true in zip(queries, exact, strict=True):
            begun = time.perf_counter()
            got = found.nearest(query, K)
            times.append(time.perf_counter() - begun)
            right += len({position for position, _ in got} & set(true.tolist()))
    p50, p95 = np.percentile(times, [50, 95]) * 1000
    print(f"  this process filled {vectors.read:,} in {took:.1f} s; the whole fill took {found.seconds:.1f} s")
    print(f"  vectors/s by tenths of this fill: {', '.join(vectors.rates())}")
    print(f"  peak memory of this process {max(used) / MEGA:,.0f} MB (without mapped files)")
    if found.size:
        print(f"  on disk {found.size / MEGA:,.0f} MB")
    print(f"  search, k={K}: p50 {p50:.1f} ms, p95 {p95:.1f} ms; recall {right / exact.size:.3f}", flush=True)


@dataclass
class Watched:
    """Vectors that note when each batch is read, and may kill the process in the middle of one."""

    vectors: NDArray[np.float32]
    dies_at: int | None
    died: Path = Path("killed")
    reads: list[tuple[float, int]] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the vectors."""
        return self.vectors.shape

    @property
    def read(self) -> int:
        """Vectors read in batches."""
        return sum(count for _, count in self.reads)

    def __len__(self) -> int:
        """Count of the vectors."""
        return len(self.vectors)

    def __getitem__(self, at: Any) -> NDArray[np.float32]:  # noqa: ANN401 - a position or a slice
        """A vector, or a batch in memory."""
        got = np.array(self.vectors[at])
        if isinstance(at, slice):
            self.reads.append((time.perf_counter(), len(got)))
            if self.dies_at is not None and at.start >= self.dies_at:
                self.died.write_text("killed")
                threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return got

    def rates(self) -> Sequence[str]:
        """Vectors a second, of each tenth."""
        moments = [moment for moment, _ in self.reads]
        step = max(len(moments) // 10, 1)
        spans = zip(moments[::step], moments[step::step], strict=False)
        each = self.reads[0][1] * step if self.reads else 0
        return [f"{each / (after - before):,.0f}" for before, after in spans]


@dataclass
class Served:
    """A Chroma server that can be killed and started again."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def restart_at(self, count: int) -> None:
        """Once the collection has so many entries, kill the server and start it again after 3 s."""
        client = stores.connect(self.url)
        while not (found := client.list_collections()) or found[0].count() < count:
            time.sleep(0.2)
        self.process.kill()
        self.process.wait()
        print("  server killed", flush=True)
        time.sleep(3)
        self.process = start(self.folder, self.port)


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A server with its data in a folder."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = Served(folder, port, start(folder, port))
    try:
        yield server
    finally:
        server.process.terminate()
        server.process.wait()


@contextmanager
def nothing() -> Iterator[None]:
    """No server."""
    yield None


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start a server and wait until it accepts connections."""
    program = Path(sys.executable).with_name("chroma")
    command = [str(program), "run", "--path", str(folder / "data"), "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # noqa: S603 - ours
    while process.poll() is None:
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    return process


@contextmanager
def memory_of(pid: Callable[[], int]) -> Iterator[list[int]]:
    """Bytes that a process uses, twice a second, without pages of mapped files."""
    used, over = [0], threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            try:
                memory = psutil.Process(pid()).memory_info()
            except psutil.Error:  # a server between two lives
                continue
            used.append(int(memory.rss - getattr(memory, "shared", 0)))

    threading.Thread(target=look, daemon=True).start()
    try:
        yield used
    finally:
        over.set()


if __name__ == "__main__":
    main()
