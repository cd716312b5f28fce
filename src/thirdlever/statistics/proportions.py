"""Figures with their uncertainty: proportions with intervals, macro-F1, quantiles.

Repeats of an item (epochs) say how steady an answer is, not how a candidate does on items nobody has tried: they are
averaged within the item, and every interval counts items, never requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Proportion:
    """A mean of scores in [0, 1] over items.

    Attributes:
        value: the mean over items of the mean over an item's repeats.
        low: lower end of the interval.
        high: upper end of the interval.
        se: standard error of the mean, clustered by item.
        n: number of items.
    """

    value: float
    low: float
    high: float
    se: float
    n: int


def wilson(successes: float, n: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a proportion, as (low, high).

    In closed form, not `scipy.stats.binomtest`, because an effective sample size is no whole number.

    >>> [round(bound, 4) for bound in wilson(82, 100)]
    [0.7333, 0.883]
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def proportion(scores: Iterable[float], items: Iterable[Hashable], confidence: float = 0.95) -> Proportion:
    """Mean score with a cluster-robust Wilson interval; items are the clusters.

    The interval is Wilson's at the effective sample size p(1 - p) / se², where se is the standard error of the mean of
    item means (survey practice: Franco et al. 2019, PMC6690503). One repeat of right-or-wrong scores
    gives Wilson's interval exactly; ten repeats that always agree give that of one. Where items do not differ, the size
    is bounded by the number of requests, which is what independent repeats would be worth.

    Args:
        scores: one for each request, 0 to 1.
        items: the item that each request asks, in the same order.
        confidence: coverage of the interval.

    Raises:
        ValueError: no scores, or not as many items as scores.
    """
    import numpy as np
    import pandas as pd

    values = np.fromiter(scores, dtype=np.float64)
    asked = pd.factorize(items if isinstance(items, pd.Series) else pd.Series(list(items), dtype=object))[0]
    if len(values) != len(asked) or not len(values):
        message = f"a proportion needs at least one score, and an item for each; got {len(values)} and {len(asked)}"
        raise ValueError(message)
    means = np.bincount(asked, weights=values) / np.bincount(asked)
    n, requests = len(means), len(values)
    value = float(np.cumsum(means)[-1]) / n  # one after the other: inspect adds so, and digits must agree
    variance = float(np.square(means - value).mean())
    effective = float(n)
    if 0 < value < 1:
        effective = n * min(value * (1 - value) / variance, requests / n) if variance else float(requests)
    low, high = wilson(value * effective, effective, confidence)
    return Proportion(value, low, high, math.sqrt(variance / n), n)


def macro_f1(targets: Sequence[str], predictions: Sequence[str | None]) -> float:
    """F1 averaged over the labels that occur among the targets, each label counting the same.

    A prediction that could not be read (None) is a wrong label: it costs recall and cannot be skipped.
    """
    from sklearn.metrics import f1_score

    # By number, which scikit-learn compares many times faster than text; -1 is no label.
    code = {label: number for number, label in enumerate(sorted(set(targets)))}
    read = [-1 if prediction is None else code.get(prediction, -1) for prediction in predictions]
    truth = [code[target] for target in targets]
    return float(f1_score(truth, read, labels=[*code.values()], average="macro", zero_division=0))


def quantile(values: Sequence[float], q: float) -> float | None:
    """Quantile by linear interpolation between order statistics (numpy's "linear", Hyndman and Fan's type 7).

    Returns:
        The quantile in the values' unit; None when there are none.
    """
    import numpy as np

    return float(np.quantile(np.asarray(values, dtype=float), q, method="linear")) if len(values) else None
