"""Tests and intervals for the difference of two candidates on the same items, each with its source.

`compare` chooses between them.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]


FLIPS = 20_000
_EXACT_RANGE = 1 << 16  # totals up to here are counted exactly; beyond, the normal distribution is as good
_MANY = 1 << 12  # differing clusters of partial scores: likewise
_CHUNK_CELLS = 4_000_000
_HALVINGS = 48  # of an interval of length 2 at most: to 1e-14


def mcnemar(won: int, lost: int) -> float:
    """Two-sided p of the exact McNemar test: differing items fall either way like a fair coin.

    >>> round(mcnemar(16, 5), 4)
    0.0266
    """
    from scipy.stats import binomtest

    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def score_z(difference: ArrayLike, won: ArrayLike, lost: ArrayLike, n: ArrayLike) -> Floats:
    """Tango's score statistic of a hypothetical difference (Statistics in Medicine 17, 1998, 891-908).

    The number of standard errors by which the observed difference (won - lost) / n exceeds `difference`, with the
    standard error of the most likely table that has that difference. Counts need not be whole numbers.
    """
    d, b, c, size = (np.asarray(value, dtype=np.float64) for value in (difference, won, lost, n))
    middle = (2 * size - b + c) * d - b - c
    rest = -c * d * (1 - d)
    lost_share = (np.sqrt(np.maximum(middle * middle - 8 * size * rest, 0.0)) - middle) / (4 * size)
    variance = np.maximum(size * (2 * lost_share + d * (1 - d)), 0.0)
    gap = b - c - size * d
    with np.errstate(divide="ignore", invalid="ignore"):
        z: Floats = np.where(np.abs(gap) < 1e-12 * size, 0.0, gap / np.sqrt(variance))
    return z


def score_interval(won: ArrayLike, lost: ArrayLike, n: ArrayLike, confidence: float = 0.95) -> tuple[Floats, Floats]:
    """Tango's score interval for the difference of paired proportions, (won - lost) / n, as (low, high).

    It keeps its coverage with few items and without any difference, where Wald's shrinks to a point. Takes arrays.
    """
    b, c, size = (np.asarray(value, dtype=np.float64) for value in np.broadcast_arrays(won, lost, n))
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    # Both ends at once: the statistic falls from the observed difference, where it is 0, to either side.
    inside = np.stack([(b - c) / size] * 2)
    outside = np.stack([np.full_like(b, -1.0), np.full_like(b, 1.0)])
    for _ in range(_HALVINGS):
        middle = (inside + outside) / 2
        within = np.abs(score_z(middle, b, c, size)) <= z
        inside, outside = np.where(within, middle, inside), np.where(within, outside, middle)
    return inside[0], inside[1]


def cluster_totals(differences: Floats, clusters: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Sum of differences and number of items of each cluster: two arrays [clusters]."""
    sizes = np.bincount(clusters).astype(np.float64)
    totals: Floats = np.bincount(clusters, weights=differences, minlength=len(sizes)).astype(np.float64)
    return totals, sizes


def cluster_variance(totals: Floats, sizes: Floats) -> float:
    """Variance of the mean difference over items, robust to clusters (linearised ratio, Cochran 1977); above 0."""
    count, n = len(sizes), sizes.sum()
    if count < 2:  # noqa: PLR2004 - a variance takes two
        return float("inf")
    residuals = totals - sizes * (totals.sum() / n)
    return max(float(count / (count - 1) * (residuals @ residuals) / n**2), 1e-30)


def sign_flip(totals: Floats, *, seed: int = 0) -> float:
    """Two-sided p of the paired permutation test that swaps both candidates in whole clusters.

    If the two are equally good, a cluster's total is as likely with either sign, whatever the dependence within the
    cluster. With one right-or-wrong item per cluster this is the exact McNemar test. Whole totals are counted exactly,
    others drawn `FLIPS` times with `seed`; with very many, the normal distribution gives the same digits.

    Args:
        totals: [clusters]; sums of differences, scaled to whole numbers if possible.
        seed: of the draw.
    """
    size = np.abs(totals[totals != 0])
    if not len(size):
        return 1.0
    observed = abs(float(totals.sum()))
    whole = np.array_equal(size, np.rint(size))
    if whole and size.sum() <= _EXACT_RANGE:
        return _exact(size.astype(np.int64), round(observed))
    if whole or len(size) > _MANY:
        # Whole sums are 2 gcd apart: half a step corrects for the continuous distribution.
        step = int(np.gcd.reduce(size.astype(np.int64))) if whole else 0
        return min(1.0, 2 * NormalDist().cdf((step - observed) / math.sqrt(size @ size)))
    rng = np.random.default_rng(seed)
    near = observed - 1e-6 * float(size.sum())  # equal sums differ in the last bits of a float32
    weights = size.astype(np.float32)
    rows = max(1, _CHUNK_CELLS // len(size))
    extreme = 0
    for start in range(0, FLIPS, rows):
        part = min(rows, FLIPS - start)
        bits = np.frombuffer(rng.bytes((part * len(size) + 7) // 8), dtype=np.uint8)
        flips = np.unpackbits(bits, count=part * len(size)).reshape(part, -1).astype(np.float32)
        extreme += int((np.abs(2 * (flips @ weights) - size.sum()) >= near).sum())
    return (extreme + 1) / (FLIPS + 1)


def _exact(size: NDArray[np.int64], observed: int) -> float:
    """P(|sum of ±size| >= observed): each size that repeats is a binomial on a grid; these are convolved."""
    from scipy.signal import convolve
    from scipy.stats import binom

    law = np.ones(1)
    for step, times in zip(*np.unique(size, return_counts=True), strict=True):
        grid = np.zeros(step * times + 1)
        grid[::step] = binom.pmf(np.arange(times + 1), times, 0.5)
        law = convolve(law, grid)
    total = len(law) - 1  # the sum of the positive ones runs from 0 to total; the signed sum is twice it minus total
    low = (total - observed) // 2
    return min(1.0, max(0.0, 2 * float(law[: low + 1].sum())))


def student_factor(clusters: int, confidence: float = 0.95) -> float:
    """Reduces an effective sample size because the variance of few clusters is an estimate: (z / t)², 1 for many."""
    from scipy.stats import t

    if clusters < 2:  # noqa: PLR2004 - no degree of freedom
        return 1.0
    bound = 0.5 + confidence / 2
    return float(NormalDist().inv_cdf(bound) / t.ppf(bound, clusters - 1)) ** 2
