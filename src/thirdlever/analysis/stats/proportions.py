"""Proportions with intervals, macro-F1 and quantiles.

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

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray


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
    import numpy as np

    from thirdlever.analysis.stats import paired

    totals, sizes = paired.cluster_totals(means, clusters)
    n = len(means)
    value = float(np.cumsum(means)[-1]) / n  # added one by one, as inspect does, so that all digits agree
    alone = len(sizes) == n
    variance = float(means.var()) / n if alone else paired.cluster_variance(totals, sizes)
    effective = float(len(sizes))
    if 0 < value < 1:
        most = math.inf if graded else float(requests)
        effective = min(max(value * (1 - value) / max(variance, 1e-30), 1.0), most)
    if not alone:
        effective *= paired.student_factor(len(sizes), confidence)
    low, high = wilson(value * effective, effective, confidence)
    return Proportion(value, low, high, math.sqrt(variance) if math.isfinite(variance) else math.nan, n, len(sizes))


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
