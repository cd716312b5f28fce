"""Paired differences of two candidates, and the test and the interval that fit them.

Two cases. One right-or-wrong answer to each of independent items: the exact McNemar test, Tango's score interval.
Items that share a group, repeats of an item, graded scores: the same test by whole clusters (a sign-flip test), Tango's
interval at the effective sample size. docs/statistics.md says why.
"""

from __future__ import annotations

import math
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from thirdlever.statistics import paired
from thirdlever.statistics.power import Design

if TYPE_CHECKING:
    from thirdlever.statistics.outcomes import Outcomes

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
