"""Rankings of search results: several in one, and one whose results differ from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


FUSION = 60  # the constant of reciprocal rank fusion, from the paper


def fused(*rankings: Sequence[int]) -> list[tuple[int, float]]:
    """Reciprocal rank fusion of rankings, best first; of equals, the lower number.

    A result's score is the sum of 1 / (60 + its rank) over the rankings that have it (Cormack, Clarke and Büttcher,
    "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009).

    >>> [number for number, _ in fused([7, 3], [3, 5])]
    [3, 7, 5]
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, number in enumerate(ranking, start=1):
            scores[number] = scores.get(number, 0.0) + 1 / (FUSION + rank)
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 12), pair[0]))


def diverse(scores: Sequence[float], vectors: NDArray[np.float32], n: int, diversity: float) -> list[int]:
    """Maximal marginal relevance: places of `n` results, each relevant and unlike those before it.

    Next comes the result with the highest (1 - diversity) × relevance - diversity × its highest cosine with those
    already taken (Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998). The relevance is
    the score, scaled so that the results' scores span 0 to 1: cosines, BM25 and a re-ranker's scores have no common
    unit.

    Args:
        scores: of the results.
        vectors: unit vectors of the results, [results, dimensions].
        n: how many to take; all if there are fewer.
        diversity: 0 goes by relevance alone, 1 by difference alone.
    """
    import numpy as np

    relevance = np.asarray(scores, np.float64)
    spread = float(np.ptp(relevance)) if len(relevance) else 0.0
    relevance = (relevance - relevance.min()) / spread if spread else np.zeros_like(relevance)
    alike = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    closest = np.zeros(len(relevance))
    taken: list[int] = []
    while len(taken) < min(n, len(relevance)):
        gain = np.round((1 - diversity) * relevance - diversity * closest, 6)
        gain[taken] = -np.inf
        best = int(gain.argmax())
        closest = np.maximum(closest, alike[best]) if taken else alike[best]
        taken.append(best)
    return taken
