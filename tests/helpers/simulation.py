"""Simulated outcomes with known true accuracies, to check the statistics.

A Gaussian copula: an answer is right if a standard normal value is below the accuracy's quantile, so every candidate's
true accuracy is exact. The value is the sum of effects of the item and of its group on all candidates, and on one
candidate alone; the group's effect on one candidate is what makes *differences* cluster.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from thirdlever.analysis.outcomes import Outcomes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class World:
    """A distribution of outcomes.

    Attributes:
        accuracies: true accuracy of each candidate, above 0 and below 1.
        n: items per draw.
        agreement: correlation of two candidates on an item: 0 if they err independently, near 1 on the same items.
        group_size: mean items per group; 1 for none. Sizes are uniform from 1 to 2 * group_size - 1.
        group_share: share of a value's variance that a group's items share.
        epochs: repeats of each item.
        steadiness: share of a candidate's own variance that is the same in every repeat.
        softness: 0 for right or wrong; above, scores are partial, spread more evenly, with the same mean.
    """

    accuracies: Sequence[float]
    n: int
    agreement: float = 0.5
    group_size: int = 1
    group_share: float = 0.0
    epochs: int = 1
    steadiness: float = 1.0
    softness: float = 0.0

    def draws(self, times: int, seed: int = 0) -> Iterator[Outcomes]:
        """Draw several times, the same for the same seed."""
        rng = np.random.default_rng(seed)
        for _ in range(times):
            yield self.draw(rng)

    def draw(self, rng: np.random.Generator) -> Outcomes:
        """One experiment: all candidates on n fresh items (and fresh groups)."""
        count, clusters = len(self.accuracies), self._clusters(rng)
        groups = int(clusters[-1]) + 1
        common = self._mixed(rng.standard_normal(groups)[clusters], rng.standard_normal(self.n))
        own = self._mixed(rng.standard_normal((count, groups))[:, clusters], rng.standard_normal((count, self.n)))
        bounds = np.array([NormalDist().inv_cdf(p) for p in self.accuracies])[:, None]
        scores = np.zeros((count, self.n))
        for _ in range(self.epochs):
            value = own
            if self.steadiness < 1:
                fresh = rng.standard_normal(own.shape)
                value = np.sqrt(self.steadiness) * own + np.sqrt(1 - self.steadiness) * fresh
            value = np.sqrt(self.agreement) * common + np.sqrt(1 - self.agreement) * value
            scores += self._graded(bounds, value)
        return Outcomes(
            candidates=tuple(f"candidate {i}" for i in range(count)),
            items=_ids(self.n),
            scores=scores / self.epochs,
            clusters=clusters,
            slices=("",) * self.n,
            epochs=self.epochs,
            graded=self.softness > 0,
        )

    def _graded(self, bounds: NDArray[np.float64], value: NDArray[np.float64]) -> NDArray[np.float64]:
        if not self.softness:
            return (value < bounds).astype(np.float64)
        from scipy.special import ndtr

        # The mean of ndtr((m - z) / s) over a standard normal z is ndtr(m / sqrt(1 + s * s)).
        scores: NDArray[np.float64] = ndtr((bounds * np.hypot(1, self.softness) - value) / self.softness)
        return scores

    def _clusters(self, rng: np.random.Generator) -> NDArray[np.int64]:
        if self.group_size == 1:
            return np.arange(self.n, dtype=np.int64)
        sizes = rng.integers(1, 2 * self.group_size, self.n)
        return np.repeat(np.arange(self.n, dtype=np.int64), sizes)[: self.n]

    def _mixed(self, group: NDArray[np.float64], item: NDArray[np.float64]) -> NDArray[np.float64]:
        mixed: NDArray[np.float64] = np.sqrt(self.group_share) * group + np.sqrt(1 - self.group_share) * item
        return mixed


@functools.lru_cache(maxsize=8)
def _ids(n: int) -> tuple[str, ...]:
    return tuple(f"{i:07}" for i in range(n))
