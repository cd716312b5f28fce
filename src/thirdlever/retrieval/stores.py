"""Vector stores by name: Chroma, or a file in `stores/` of the project."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from thirdlever.core import project
from thirdlever.core.errors import StrategyError, unknown
from thirdlever.retrieval.chroma import chroma, folder_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store


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
