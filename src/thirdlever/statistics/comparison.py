"""Two candidates on the same items: how far apart, how sure, and what the items could have shown.

Which method, and why, is on docs/statistics.md.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from thirdlever.statistics.differences import Differences
from thirdlever.statistics.power import ALPHA, POWER, Design
from thirdlever.statistics.proportions import of_items

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.statistics.outcomes import Outcomes
    from thirdlever.statistics.proportions import Proportion


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidate b held against candidate a.

    Attributes:
        a: the reference.
        b: the one that is held against it.
        n: items that both answered.
        clusters: independent groups among them; n when no items belong together.
        difference: b's mean score less a's.
        low: lower end of its interval.
        high: upper end.
        confidence: coverage of the interval.
        p: two-sided, for this comparison alone.
        p_adjusted: Holm's, over all comparisons made together.
        won: items that b does better.
        lost: items that a does better.
        mde: smallest true difference that so many items show with 80 % power (two-sided 5 %); nan when none would.
        method: the test, in words.
        discordant: share of items on which the two differ.
        epochs: how often each item was asked.
        graded: whether scores are other than right or wrong.
        design: what decides about power, apart from n.
    """

    a: str
    b: str
    n: int
    clusters: int
    difference: float
    low: float
    high: float
    confidence: float
    p: float
    p_adjusted: float
    won: int
    lost: int
    mde: float
    method: str
    discordant: float
    epochs: int
    graded: bool
    design: Design

    def significant(self, alpha: float = ALPHA) -> bool:
        """Whether the difference stands after Holm's correction."""
        return self.p_adjusted <= alpha

    def needed(self, difference: float, power: float = POWER) -> int:
        """Paired items that show such a true difference with such power, if the two disagree as often as here."""
        return self.design.needed(difference, power)


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """Whether a candidate may replace a reference: it is worse by less than a margin, if at all.

    Attributes:
        candidate: the one that would replace.
        reference: the one that would be replaced.
        margin: what loss would be put up with, as a difference of mean scores.
        difference: the candidate's mean score less the reference's.
        low: one-sided lower bound of it.
        p: one-sided, of the hypothesis that the loss is the margin or more.
        holds: whether p is at most alpha.
        needed: paired items that would show it with 80 % power if the two are in truth equally good.
    """

    candidate: str
    reference: str
    margin: float
    difference: float
    low: float
    p: float
    holds: bool
    needed: int


def compare(o: Outcomes, a: str, b: str, *, confidence: float = 0.95) -> Comparison:
    """Hold b against a; p_adjusted is p, for this is the only comparison.

    Raises:
        RunError: there is no such candidate.
    """
    differences = Differences(o, a, b)
    low, high = differences.interval(confidence)
    design = differences.design()
    return Comparison(
        a=a,
        b=b,
        n=differences.n,
        clusters=len(differences.sizes),
        difference=differences.mean,
        low=low,
        high=high,
        confidence=confidence,
        p=(p := differences.p()),
        p_adjusted=p,
        won=differences.won,
        lost=differences.lost,
        mde=design.detectable(differences.n),
        method=differences.method,
        discordant=(differences.won + differences.lost) / differences.n,
        epochs=o.epochs,
        graded=o.graded,
        design=design,
    )


def compare_all(o: Outcomes, *, against: str | None = None, confidence: float = 0.95) -> list[Comparison]:
    """Every pair, the better of each as `a`, best first; or every candidate against one. Holm's correction over them.

    `against` must be chosen before looking at the scores. The best of a run is chosen by looking: hold every pair
    against every other then, and read those of the best.
    """
    ranked = [o.candidates[i] for i in np.argsort(-o.scores.mean(axis=1), kind="stable")]
    if against is None:
        pairs = list(itertools.combinations(ranked, 2))
    else:
        o.row(against)
        pairs = [(against, name) for name in ranked if name != against]
    return holm([compare(o, a, b, confidence=confidence) for a, b in pairs])


def accuracy(o: Outcomes, name: str, *, confidence: float = 0.95) -> Proportion:
    """A candidate's mean score with its interval.

    Raises:
        RunError: there is no such candidate.
    """
    asked = len(o.items) * o.epochs
    return of_items(o.row(name), o.clusters, requests=asked, graded=o.graded, confidence=confidence)


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with p adjusted for having made all of them (Holm 1979)."""
    if not comparisons:
        return []
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests([one.p for one in comparisons], method="holm")[1]
    return [replace(one, p_adjusted=float(p)) for one, p in zip(comparisons, adjusted, strict=True)]


def non_inferior(o: Outcomes, candidate: str, reference: str, margin: float, *, alpha: float = ALPHA) -> NonInferiority:
    """Whether a candidate is worse than a reference by less than `margin`; for a slice give `o.slice(name)`.

    Raises:
        RunError: there is no such candidate.
        ValueError: the margin is not above 0 and below 1.
    """
    if not 0 < margin < 1:
        message = f"a margin lies between 0 and 1, not {margin!r}"
        raise ValueError(message)
    differences = Differences(o, reference, candidate)
    p = differences.p_below(-margin)
    design = differences.design()
    spread = max(design.discordant, margin) * design.effect
    z = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(POWER)
    return NonInferiority(
        candidate=candidate,
        reference=reference,
        margin=margin,
        difference=differences.mean,
        low=differences.interval(1 - 2 * alpha)[0],
        p=p,
        holds=p <= alpha,
        needed=math.ceil(z * z * spread / margin**2),
    )
