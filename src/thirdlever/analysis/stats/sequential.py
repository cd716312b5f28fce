"""Group-sequential designs: test one difference at several looks, and stop early without inflating the error rate.

Testing after every batch at 5 % errs in far more than 5 % of cases. Here the 5 % are spent over the looks, almost
nothing at the first and most at the last (the O'Brien-Fleming-type spending function of Lan and DeMets, Biometrika 70,
1983, 659-663). Boundaries and powers come from the recursive integration of Armitage, McPherson and Rowe (JRSS A 132,
1969, 235-244) as in Jennison and Turnbull, Group Sequential Methods, 2000, chapter 19.

PASS (the loss is below the margin) and FAIL (it is above) are two one-sided tests of the same point, each with its own
5 % and the mirrored boundary. Neither relies on the other to stop: continuing past a boundary does not add errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from thirdlever.analysis.stats.power import ALPHA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


LOOKS = (0.25, 0.5, 0.75, 1.0)
LEAST = 30  # items at the first look: with fewer, the normal distribution fits poorly
_NODES = 64  # of the quadrature between two boundaries: nine digits
_FAR = 9.0  # standard deviations; nothing lies beyond
_LAW = NormalDist()


@dataclass(frozen=True, slots=True)
class SequentialDesign:
    """When to look, and the level of the test at each look.

    Attributes:
        items: number answered at each look; all of them at the last.
        alpha: one-sided level over all looks together.
    """

    items: tuple[int, ...]
    alpha: float

    @property
    def bounds(self) -> tuple[float, ...]:
        """Standard errors from the margin that settle the test at each look."""
        return bounds(self._fractions, self.alpha)

    def level(self, look: int, among: int = 1) -> float:
        """One-sided level of the test at a look, 0 for the first.

        Args:
            look: its index.
            among: number of tests that share alpha: each has its own looks at its part (Bonferroni), stepped down from
                look to look as Holm does (Ye et al., Statistics in Medicine 32, 2013).
        """
        return _LAW.cdf(-bounds(self._fractions, self.alpha / among)[look])

    def ends(self, drift: float) -> tuple[Floats, Floats]:
        """Probability of PASS and of FAIL at each look.

        Args:
            drift: standard errors by which the true difference exceeds the margin once all items are answered.
        """
        return _ends(self._fractions, self.bounds, drift, both=True)

    def power(self, drift: float) -> float:
        """Probability of PASS."""
        return float(self.ends(drift)[0].sum())

    def expected(self, drift: float) -> float:
        """Expected share of the items that is asked."""
        above, below = self.ends(drift)
        saved = 1 - np.array(self._fractions)
        return float(1 - (above + below) @ saved)  # reaching the last look saves nothing

    @property
    def _fractions(self) -> tuple[float, ...]:
        return tuple(count / self.items[-1] for count in self.items)


def sequential_design(n: int, *, early: bool, alpha: float = ALPHA) -> SequentialDesign:
    """One look at all n items, or several.

    Args:
        n: total number of items.
        early: whether to look before all are answered.
        alpha: one-sided level over all looks together.
    """
    counts = {math.ceil(n * fraction) for fraction in LOOKS} if early else {n}
    items = tuple(sorted(count for count in counts if count >= LEAST or count == n))
    return SequentialDesign(items, alpha)


def spent(fraction: float, alpha: float = ALPHA) -> float:
    """The part of alpha spent once a fraction of the items is answered."""
    return 2 * _LAW.cdf(-_LAW.inv_cdf(1 - alpha / 2) / math.sqrt(fraction))


@cache
def bounds(fractions: tuple[float, ...], alpha: float = ALPHA) -> tuple[float, ...]:
    """Boundaries that chance crosses with the probability that `spent` gives.

    >>> [round(bound, 3) for bound in bounds((0.2, 0.4, 0.6, 0.8, 1.0), 0.025)]
    [4.877, 3.357, 2.68, 2.29, 2.031]
    """
    from scipy.optimize import brentq

    found: tuple[float, ...] = ()
    before = 0.0
    for look, fraction in enumerate(fractions):
        upto, wanted = fractions[: look + 1], spent(fraction, alpha)

        def excess(bound: float, upto: tuple[float, ...] = upto, share: float = wanted - before) -> float:
            return float(_ends(upto, (*found, bound), 0.0, both=False)[0][-1]) - share  # noqa: B023 - called at once

        found = (*found, float(brentq(excess, 0.0, _FAR)))
        before = wanted
    return found


def _ends(fractions: Sequence[float], limits: Sequence[float], drift: float, *, both: bool) -> tuple[Floats, Floats]:
    """Probability of crossing the upper and the lower boundary at each look; without `both`, there is no lower one."""
    from scipy.special import ndtr

    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    at, mass = np.zeros(1), np.ones(1)  # values of the score, and their probabilities
    above, below = np.zeros(len(fractions)), np.zeros(len(fractions))
    before = 0.0
    for look, (fraction, limit) in enumerate(zip(fractions, limits, strict=True)):
        step, moved = math.sqrt(fraction - before), at + drift * (fraction - before)
        high = limit * math.sqrt(fraction)
        low = -high if both else min(-_FAR, drift * fraction - _FAR)
        above[look] = mass @ ndtr((moved - high) / step)
        below[look] = mass @ ndtr((low - moved) / step)
        grid = (high - low) / 2 * nodes + (high + low) / 2
        z = (grid[:, None] - moved) / step
        density = np.exp(-z * z / 2) / (step * math.sqrt(2 * math.pi)) @ mass
        at, mass = grid, density * weights * (high - low) / 2
        before = fraction
    return above, below
