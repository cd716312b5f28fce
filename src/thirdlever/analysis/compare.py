"""Paired differences of two candidates, and the test and the interval that fit them.

Two cases. One right-or-wrong answer to each of independent items: the exact McNemar test, Tango's score interval.
Items that share a group, repeats of an item, graded scores: the same test by whole clusters (a sign-flip test), Tango's
interval at the effective sample size. docs/statistics.md says why.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from thirdlever.analysis import outcomes
from thirdlever.analysis.stats import paired
from thirdlever.analysis.stats.power import ALPHA, POWER, Design
from thirdlever.analysis.stats.proportions import of_items
from thirdlever.analysis.stats.variance import Variance, by_recipe
from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.run import Run
    from thirdlever.analysis.stats.proportions import Proportion


MCNEMAR = "exact McNemar"
SIGN_FLIP = "sign-flip test by cluster"


class Differences:
    """b's scores less a's, item by item.

    Attributes:
        values: [items].
        totals: [clusters]; their sums.
        sizes: [clusters]; items.
        n: items.
        mean: over items.
        won: items on which b does better.
        lost: items on which a does.
        simple: whether items are independent, asked once, and answered right or wrong.
    """

    def __init__(self, o: Outcomes, a: str, b: str) -> None:
        """Take b's scores less a's; RunError when there is no such candidate."""
        self.values = o.row(b) - o.row(a)
        self.totals, self.sizes = paired.cluster_totals(self.values, o.clusters)
        self.n = len(self.values)
        self.mean = float(self.values.mean())
        self.won = int((self.values > 0).sum())
        self.lost = int((self.values < 0).sum())
        self._epochs, self._graded = o.epochs, o.graded
        self.simple = len(self.sizes) == self.n and o.epochs == 1 and not o.graded

    @property
    def method(self) -> str:
        """The test."""
        return MCNEMAR if self.simple else SIGN_FLIP

    def p(self) -> float:
        """Two-sided, of no difference."""
        if self.simple:
            return paired.mcnemar(self.won, self.lost)
        # Right-or-wrong answers counted in whole ones, so that their flips can be counted out.
        return paired.sign_flip(self.totals if self._graded else np.rint(self.totals * self._epochs))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Of the mean difference."""
        low, high = paired.score_interval(*self._table, confidence)
        return float(low), float(high)

    def p_below(self, value: float) -> float:
        """One-sided, of a true difference of `value` or less."""
        return NormalDist().cdf(-float(paired.score_z(value, *self._table)))

    def design(self) -> Design:
        """What the comparison sees, whatever its number of items."""
        discordant = float(np.abs(self.values).mean())
        if self._graded and discordant:
            spread = self.n * paired.cluster_variance(self.totals, self.sizes) + self.mean**2
            return Design(discordant, spread / discordant, smooth=True)
        return Design(discordant, self.n / self._table[2], smooth=self._graded or self._epochs > 1)

    @cached_property
    def _table(self) -> tuple[float, float, float]:
        """Won, lost and n of independent right-or-wrong items that would leave the same uncertainty."""
        won = float(np.maximum(self.values, 0).mean())
        lost = float(np.maximum(-self.values, 0).mean())
        effective = float(len(self.sizes))
        if not self.simple and won + lost:
            effective = (won + lost - self.mean**2) / paired.cluster_variance(self.totals, self.sizes)
            # No more than all that was asked is worth, no less than one answer.
            most = math.inf if self._graded else float(self.n * self._epochs)
            effective = min(max(effective, 1.0), most)
            if self._epochs > 1 or (self._graded and len(self.sizes) < self.n):
                # Nearly smooth means: few clusters' variance is felt, as by Student's t.
                effective *= paired.student_factor(len(self.sizes))
        return won * effective, lost * effective, effective


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


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run's comparisons, with what is needed to read them.

    Attributes:
        suite: name.
        part: the slice; None for all items.
        items: how many.
        clusters: independent groups among them.
        epochs: how often each was asked.
        accuracies: of the candidates that are compared, best first.
        comparisons: a is the one that was named first, or the better of the pair.
        family: how many comparisons p is adjusted for.
        non_inferiority: of b to a for each comparison, in the same order; empty without a margin.
        variances: for recipes that were tried with several seeds.
    """

    suite: str
    part: str | None
    items: int
    clusters: int
    epochs: int
    accuracies: dict[str, Proportion]
    comparisons: Sequence[Comparison]
    family: int
    non_inferiority: Sequence[NonInferiority]
    variances: Sequence[Variance]


def compared(
    run: Run,
    a: str | None = None,
    b: str | None = None,
    *,
    every: bool = False,
    part: str | None = None,
    confidence: float = 0.95,
    margin: float | None = None,
) -> Compared:
    """Hold b against a; every other candidate against a; or, of neither, every other against the best.

    The best is known by looking, so p is adjusted for all pairs then, shown or not.

    Raises:
        RunError: the run's candidates cannot be paired, there are not two, or a name is unknown.
    """
    o = outcomes.load(run)
    if len(o.candidates) < 2:  # noqa: PLR2004 - a pair
        message = (
            f"{o.candidates[0]!r} is the run's only candidate; run another strategy with the same --out to compare"
        )
        raise RunError(message)
    if a == b and a is not None:
        message = f"{a!r} against itself is no comparison; name two candidates"
        raise RunError(message)
    if part is not None:
        o = o.slice(part)
    found, family = _pairs(o, a, b, every=every, confidence=confidence)
    named = {name for one in found for name in (one.a, one.b)}
    accuracies = {name: accuracy(o, name, confidence=confidence) for name in o.candidates if name in named}
    return Compared(
        suite=run.info["suite"]["name"],
        part=part,
        items=len(o.items),
        clusters=len(set(o.clusters.tolist())),
        epochs=o.epochs,
        accuracies=dict(sorted(accuracies.items(), key=lambda pair: -pair[1].value)),
        comparisons=found,
        family=family,
        non_inferiority=[] if margin is None else [non_inferior(o, one.b, one.a, margin) for one in found],
        variances=by_recipe(o, run.info),
    )


def _pairs(
    o: Outcomes, a: str | None, b: str | None, *, every: bool, confidence: float
) -> tuple[list[Comparison], int]:
    """What to show, and among how many comparisons."""
    if a is not None and b is not None:
        return [compare(o, a, b, confidence=confidence)], 1
    found = compare_all(o, against=a, confidence=confidence)
    best = o.best()
    return [one for one in found if every or a is not None or one.a == best], len(found)
