"""Proportions with intervals, macro-F1, quantiles, and paired tests of two candidates, each with its source.

Repeats of an item (epochs) show how stable an answer is, not how a candidate does on new items: they are averaged
within the item. Items from one source (its `group`) are alike, so every interval counts sources.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Proportion:
    """A mean of scores in [0, 1] over items.

    Attributes:
        value: the mean over items of the mean over an item's repeats.
        low: lower end of the interval.
        high: upper end.
        se: standard error of the mean, clustered by source; nan with a single source.
        n: number of items.
        clusters: number of sources they come from.
    """

    value: float
    low: float
    high: float
    se: float
    n: int
    clusters: int


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion, as (low, high).

    In closed form, because `scipy.stats.binomtest` does not take an effective sample size, which need not be whole.

    >>> [round(bound, 4) for bound in wilson(82, 100)]
    [0.7333, 0.883]
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def of_items(
    means: NDArray[np.float64],
    clusters: NDArray[np.int64],
    *,
    requests: int,
    graded: bool = False,
    confidence: float = 0.95,
) -> Proportion:
    """Mean of item means, with Wilson's interval at the effective number of items.

    That number is p(1 - p) / se², where se is the standard error of the mean, robust to clusters (survey practice:
    Franco et al. 2019, PMC6690503): ten items from one source count less than ten sources, and ten repeats that always
    agree count as one. Independent right-or-wrong items without repeats give Wilson's interval exactly.

    Args:
        means: [items]; scores, averaged over an item's repeats.
        clusters: [items]; items from one source share a number.
        requests: for all items together: the most that independent repeats could be worth.
        graded: whether scores other than 0 and 1 occur, for which that limit does not hold.
        confidence: coverage of the interval.
    """
    value, variance, sources = _mean(means, clusters)
    effective = effective_size(means, clusters, requests=requests, graded=graded, confidence=confidence)
    low, high = wilson(value * effective, effective, confidence)
    se = math.sqrt(variance) if math.isfinite(variance) else math.nan
    return Proportion(value, low, high, se, len(means), sources)


def effective_size(
    means: NDArray[np.float64],
    clusters: NDArray[np.int64],
    *,
    requests: int,
    graded: bool = False,
    confidence: float = 0.95,
) -> float:
    """The number of independent items, right or wrong, with the same uncertainty; arguments as in `of_items`."""
    value, variance, sources = _mean(means, clusters)
    effective = float(sources)
    if 0 < value < 1:
        most = math.inf if graded else float(requests)
        effective = min(max(value * (1 - value) / max(variance, 1e-30), 1.0), most)
    return effective if sources == len(means) else effective * student_factor(sources, confidence)


def _mean(means: NDArray[np.float64], clusters: NDArray[np.int64]) -> tuple[float, float, int]:
    """Mean over items, its variance, and the number of sources."""
    import numpy as np

    totals, sizes = cluster_totals(means, clusters)
    n = len(means)
    value = float(np.cumsum(means)[-1]) / n  # added one by one, as inspect does, so that all digits agree
    return value, float(means.var()) / n if len(sizes) == n else cluster_variance(totals, sizes), len(sizes)


def clusters(groups: pd.Series[Any]) -> NDArray[np.int64]:
    """Numbers from 0, one for each source and for each item that stands alone ("" or missing)."""
    import numpy as np
    import pandas as pd

    known = groups.notna() & (groups != "")
    codes = np.arange(len(groups), dtype=np.int64)
    codes[known.to_numpy()] = len(groups) + pd.factorize(groups[known], sort=True)[0]
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def macro_f1(targets: Sequence[str], predictions: Sequence[str | None]) -> float:
    """F1 averaged over the labels among the targets, each with equal weight.

    An answer that could not be parsed (None) counts as a wrong label and reduces recall.
    """
    from sklearn.metrics import f1_score

    # As numbers, which scikit-learn compares many times faster than text; -1 is no label.
    code = {label: number for number, label in enumerate(sorted(set(targets)))}
    read = [-1 if prediction is None else code.get(prediction, -1) for prediction in predictions]
    truth = [code[target] for target in targets]
    return float(f1_score(truth, read, labels=[*code.values()], average="macro", zero_division=0))


_ONE_SIDED = 0.05


def quantile_interval(values: Sequence[float], q: float) -> tuple[float, float] | None:
    """A 90 % interval of a quantile from order statistics: each of its ends is wrong in at most 5 % of samples.

    The number of values below the true quantile is binomial, whatever their distribution (David and Nagaraja, Order
    Statistics, 3rd edition, 2003, section 7.1). The upper end exists from 59 values on for the 95th percentile, and
    from 299 on for the 99th.

    Args:
        values: independent and from one distribution.
        q: 0 to 1.

    Returns:
        (low, high); None if there are too few values for both.

    >>> quantile_interval(range(1, 61), 0.95)
    (54, 60)
    >>> quantile_interval(range(1, 59), 0.95) is None
    True
    """
    from scipy.stats import binom

    ordered, n = sorted(values), len(values)
    below, above = int(binom.ppf(_ONE_SIDED, n, q)), int(binom.ppf(1 - _ONE_SIDED, n, q))
    # The value of rank r is at most the quantile if r or more are below it, and at least if fewer than r are.
    return None if below < 1 or above >= n else (ordered[below - 1], ordered[above])


def quantile(values: Sequence[float], q: float) -> float | None:
    """Quantile by linear interpolation (NumPy's "linear", Hyndman and Fan's type 7); None without values."""
    import numpy as np

    return float(np.quantile(np.asarray(values, dtype=float), q, method="linear")) if len(values) else None


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
    import numpy as np

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
    import numpy as np

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
    import numpy as np

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
    import numpy as np

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
    import numpy as np
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
