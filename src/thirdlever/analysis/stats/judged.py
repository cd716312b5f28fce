"""The accuracy behind a grader's verdicts, from people's labels of some of the answers it judged.

A grader that errs reports accuracy + bias, and no number of items averages the bias away. Two ways out:

Rogan and Gladen (American Journal of Epidemiology 107, 1978, 71-76): of right answers the grader accepts a share
`right` (its sensitivity), of wrong ones a share `wrong` (1 less its specificity): accuracy = (accepted - wrong) /
(right - wrong). The variance of both shares enters as in Lang and Reiczigel (Preventive Veterinary Medicine 113, 2014,
13-22). The interval inverts the test of the ratio with that variance (Fieller, JRSS B 16, 1954, 175-185), because Lang
and Reiczigel's covers up to 99.7 % where the grader is good and the sample small; `benchmarks/judge.py` has figures.

Prediction-powered inference (Angelopoulos et al., Science 382, 2023, 669-674), power-tuned (Angelopoulos, Duchi and
Zrnic, PPI++, 2023): where people labelled a random sample of a candidate's own answers, the mean verdict is corrected
by the mean difference between people and grader. It needs no assumption that the grader errs alike on all candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import ArrayLike, NDArray

    Floats: TypeAlias = NDArray[np.float64]


class Share(NamedTuple):
    """A share with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class GraderRate:
    """How a grader scores answers of one kind, right or wrong ones; both may be arrays.

    Attributes:
        value: its mean score of them.
        n: number of them that people labelled.
    """

    value: Any
    n: Any

    @property
    def shrunk(self) -> Any:  # noqa: ANN401 - a float or an array
        """With half an answer added to either side (Jeffreys), so that 20 of 20 are not certainty."""
        return (self.n * self.value + 0.5) / (self.n + 1)

    @property
    def variance(self) -> Any:  # noqa: ANN401 - likewise
        """Of `shrunk`; of partial scores an upper bound."""
        return self.shrunk * (1 - self.shrunk) / (self.n + 1)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What people's labels say about a grader.

    Attributes:
        right: its scores of answers that are right; their mean is its sensitivity.
        wrong: of answers that are wrong; their mean is 1 less its specificity.
    """

    right: GraderRate
    wrong: GraderRate

    @property
    def youden(self) -> Any:  # noqa: ANN401 - a float or an array
        """Sensitivity + specificity - 1: 1 for a perfect grader, 0 for one that guesses."""
        return self.right.value - self.wrong.value

    def draws(self, n: int) -> tuple[Floats, Floats]:
        """Draws [n] of both means, the same every time: what else the labels might have shown (Jeffreys)."""
        rng = np.random.default_rng(0)
        right, wrong = (
            rng.beta(rate.n * rate.value + 0.5, rate.n * (1 - rate.value) + 0.5, n) for rate in (self.right, self.wrong)
        )
        return right, wrong

    def tells_apart(self, confidence: float = 0.95) -> bool:
        """Whether Youden's index is above 0, with this confidence."""
        spread = math.sqrt(self.right.variance + self.wrong.variance)
        return bool(self.right.shrunk - self.wrong.shrunk > NormalDist().inv_cdf(0.5 + confidence / 2) * spread)


def calibrate(scores: ArrayLike, human: ArrayLike) -> Calibration:
    """A grader's mean scores of right and of wrong answers.

    Args:
        scores: [answers]; the grader's, 0 to 1.
        human: [answers]; 1 right, 0 wrong, or the share of people who say right: such an answer counts in parts.
    """
    score, label = np.asarray(scores, np.float64), np.asarray(human, np.float64)

    def rate(weights: Floats) -> GraderRate:
        n = float(weights.sum())
        return GraderRate(float(weights @ score) / n if n else math.nan, n)

    return Calibration(rate(label), rate(1 - label))


def corrected(
    mean: ArrayLike, n: ArrayLike, calibration: Calibration, *, judged: ArrayLike = 1.0, confidence: float = 0.95
) -> tuple[Floats, Floats, Floats]:
    """Accuracy from the mean verdict, as (value, low, high). Takes arrays.

    Args:
        mean: the mean verdict, answers that were not judged counting 0.
        n: number of independent items, need not be whole.
        calibration: of the grader.
        judged: share of the items that it judged; the others are wrong.
        confidence: coverage of the interval.
    """
    score, size, share = (np.asarray(value, np.float64) for value in (mean, n, judged))
    value = np.clip((score - share * calibration.wrong.value) / calibration.youden, 0, 1)
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
    middle = (size * score + z2 / 2) / (size + z2)  # Wilson's, so that 0 of n has a variance
    low, high = ratio_interval(middle, middle * (1 - middle) / (size + z2), calibration, judged=share, z2=z2)
    return value, np.clip(low, 0, 1), np.clip(high, 0, 1)


def ratio_interval(
    mean: ArrayLike, variance: ArrayLike, calibration: Calibration, *, judged: ArrayLike, z2: float
) -> tuple[Floats, Floats]:
    """Fieller's interval for (mean - judged * wrong) / (right - wrong), as (low, high) within [-1, 1]. Takes arrays.

    All values t for which the mean is within z standard errors of what an accuracy, or a difference, of t implies. If
    the grader may be guessing, that is every value.

    Args:
        mean: of the verdicts, or of a difference of verdicts.
        variance: of that mean.
        calibration: of the grader.
        judged: share of the items that were judged, or the difference of two shares.
        z2: squared normal quantile.
    """
    right, wrong = calibration.right, calibration.wrong
    share = np.asarray(judged, np.float64)
    rest, youden = np.asarray(mean) - share * wrong.shrunk, right.shrunk - wrong.shrunk
    a = youden**2 - z2 * (right.variance + wrong.variance)
    b = rest * youden - z2 * share * wrong.variance
    c = rest**2 - z2 * (np.asarray(variance) + share**2 * wrong.variance)
    root = np.sqrt(np.maximum(b * b - a * c, 0))
    known = a > 0
    divisor = np.where(known, a, 1)
    low: Floats = np.where(known, np.maximum((b - root) / divisor, -1), -1)
    high: Floats = np.where(known, np.minimum((b + root) / divisor, 1), 1)
    return low, high


def ratio_z(t: float, mean: float, variance: float, calibration: Calibration, *, judged: float) -> float:
    """Standard errors by which the mean exceeds what an accuracy, or a difference, of `t` implies."""
    right, wrong = calibration.right, calibration.wrong
    gap = mean - judged * wrong.shrunk - t * (right.shrunk - wrong.shrunk)
    return float(gap / math.sqrt(variance + t * t * right.variance + (judged - t) ** 2 * wrong.variance))


class Powered(NamedTuple):
    """A prediction-powered mean, as one value for each item.

    Attributes:
        by_item: [items]; their mean is the estimate, and the variance of their mean is its variance.
        floor: variance to add, because a few labels that all agree do not show that the grader never errs.
    """

    by_item: Floats
    floor: float


def powered(scores: Floats, human: Floats) -> Powered:
    """Correct a candidate's mean verdict by people's labels of a random sample of its own answers.

    The weight of the verdicts is the one with the smallest variance (PPI++): with a useless grader the labels alone
    remain.

    Args:
        scores: [items]; the grader's.
        human: [items]; people's, nan where there is none.
    """
    known = ~np.isnan(human)
    n, labelled = len(scores), int(known.sum())
    label, verdict = human[known], scores[known]
    spread = float(verdict.var())
    weight = min(max(float(np.cov(label, verdict, bias=True)[0, 1]) / spread, 0.0), 1.0) if spread else 0.0
    off = label - weight * verdict
    values = np.full(n, weight * scores.mean() + off.mean()) + weight * (scores - scores.mean())
    values[known] += n / labelled * (off - off.mean())
    return Powered(values, 0.5 / labelled**2)  # as half a label more, on which the two differ


@dataclass(frozen=True, eq=False)
class Agreement:
    """How far a grader agrees with people on the answers that both judged.

    Attributes:
        scores: [answers]; the grader's.
        human: [answers]; people's.
    """

    scores: Floats
    human: Floats

    @cached_property
    def calibration(self) -> Calibration:
        """Its mean scores of right and wrong answers."""
        return calibrate(self.scores, self.human)

    @cached_property
    def agreement(self) -> Share:
        """Share of the answers on which both say the same: right, wrong, or in between."""
        if not len(self.scores):
            return _share(math.nan, 0)
        return _share(float((np.sign(self.scores - 0.5) == np.sign(self.human - 0.5)).mean()), len(self.scores))

    @cached_property
    def kappa(self) -> Share | None:
        """Cohen's kappa, agreement beyond chance; None if either always says the same.

        The interval is the standard error's of Fleiss, Cohen and Everitt (Psychological Bulletin 72, 1969).
        """
        from sklearn.metrics import cohen_kappa_score, confusion_matrix
        from statsmodels.stats.inter_rater import cohens_kappa

        ours, theirs = (np.sign(values - 0.5) for values in (self.scores, self.human))
        if min(len({*ours}), len({*theirs})) < 2:  # noqa: PLR2004 - chance alone
            return None
        found = cohens_kappa(confusion_matrix(theirs, ours))
        return Share(float(cohen_kappa_score(theirs, ours)), float(found.kappa_low), float(found.kappa_upp))

    @cached_property
    def sensitivity(self) -> Share:
        """Mean score of right answers."""
        return _share(self.calibration.right.value, self.calibration.right.n)

    @cached_property
    def specificity(self) -> Share:
        """1 less the mean score of wrong answers."""
        return _share(1 - self.calibration.wrong.value, self.calibration.wrong.n)


def _share(value: float, n: float) -> Share:
    from thirdlever.analysis.stats.intervals import wilson

    if not n:
        return Share(math.nan, math.nan, math.nan)
    low, high = wilson(value * n, n)
    return Share(value, low, high)
