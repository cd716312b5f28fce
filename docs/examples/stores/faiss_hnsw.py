"""FAISS as a vector store: `python -m pip install faiss-cpu`, then copy this file to `stores/` of your project.

The graph is searched in memory; the index is one file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import faiss

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

FILE = "vectors.faiss"
BATCH = 5000


@dataclass(frozen=True)
class Index:
    """An opened index."""

    graph: Any

    def nearest(self, vector: NDArray[np.float32], n: int) -> list[tuple[int, float]]:
        """Positions and cosine distances, nearest first; the inner product of unit vectors is their cosine."""
        cosines, positions = self.graph.search(vector[None], min(n, self.graph.ntotal))
        pairs = zip(positions[0].tolist(), cosines[0].tolist(), strict=True)
        return [(at, 1 - cosine) for at, cosine in pairs if at >= 0]


def build(folder: Path, vectors: NDArray[np.float32]) -> None:
    """Write an index of unit vectors [n, dimensions] into an empty folder."""
    graph = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = 200
    for start in range(0, len(vectors), BATCH):
        graph.add(vectors[start : start + BATCH])
    faiss.write_index(graph, str(folder / FILE))


def load(folder: Path) -> Index:
    """Open what `build` wrote."""
    graph: Any = faiss.read_index(str(folder / FILE))
    graph.hnsw.efSearch = 200
    return Index(graph)
