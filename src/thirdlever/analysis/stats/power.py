"""Power of a comparison, the smallest difference it detects, the items needed, and tests at several looks.

Right-or-wrong answers: the power of the exact McNemar test, summed over the number of items answered differently
(Connor, Biometrics 43, 1987, 207-211). It needs more items than the usual normal formula, because the exact test stays
below its 5 %. Groups and repeats enter by the design effect (Kish 1965). Repeats and partial scores: the normal
distribution with the measured spread.

Testing after every batch at 5 % errs in far more than 5 % of cases. A group-sequential design spends the 5 % over the
looks, almost nothing at the first and most at the last (the O'Brien-Fleming-type spending function of Lan and DeMets,
Biometrika 70, 1983, 659-663). Boundaries and powers come from the recursive integration of Armitage, McPherson and Rowe
(JRSS A 132, 1969, 235-244) as in Jennison and Turnbull, Group Sequential Methods, 2000, chapter 19. PASS (the loss is
below the margin) and FAIL (it is above) are two one-sided tests of the same point, each with its own 5 % and the
mirrored boundary. Neither relies on the other to stop: continuing past a boundary does not add errors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]


ALPHA = 0.05
POWER = 0.8
_TAIL = 8.0  # standard deviations of the number of differing items to sum over
_MANY_DIFFERING = 4000  # beyond, the normal distribution is within half a point
_MOST = 1 << 40  # items


@dataclass(frozen=True, slots=True)
class Design:
    """What determines the power of a comparison, apart from its number of items.

    Attributes:
        discordant: mean absolute difference per item; for right-or-wrong answers, the share answered differently.
        effect: design effect: n items are worth n / effect independent ones without repeats.
        smooth: whether the sum of differences is nearly continuous (repeats, partial scores).
        alpha: two-sided level of the test.
        unit: what a true difference of 1 is in scores; less than 1 if a grader blurs it.
    """

    discordant: float
    effect: float = 1.0
    smooth: bool = False
    alpha: float = ALPHA
    unit: float = 1.0

    def power(self, n: int, difference: float) -> float:
        """Probability of detecting a true difference with n items."""
        difference *= self.unit
        # A true difference of d implies a mean absolute difference of at least d.
        discordant = max(self.discordant, abs(difference))
        worth = n / self.effect
        if self.smooth or worth * discordant > _MANY_DIFFERING:
            return normal_power(worth, discordant, difference, self.alpha)
        return mcnemar_power(int(worth), discordant, difference, self.alpha)

    def detectable(self, n: int, power: float = POWER) -> float:
        """The smallest true difference that n items detect with this power; nan if not even 1.0."""
        if self.power(n, 1.0) < power:
            return math.nan
        low, high = 0.0, 1.0
        while high - low > 1e-5:  # noqa: PLR2004 - a thousandth of a point
            middle = (low + high) / 2
            low, high = (low, middle) if self.power(n, middle) >= power else (middle, high)
        return high

    def needed(self, difference: float, power: float = POWER) -> int:
        """Paired items that detect a true difference with this power.

        Raises:
            ValueError: the difference is 0, or above 1.
        """
        if not 0 < abs(difference) <= 1:
            message = f"invalid difference {difference!r}; expected a number above 0 and up to 1"
            raise ValueError(message)
        return smallest(lambda n: self.power(n, difference) >= power)


def mcnemar_power(n: int, discordant: float, difference: float, alpha: float = ALPHA) -> float:
    """Power of the two-sided exact McNemar test.

    Args:
        n: paired items.
        discordant: share of items that the candidates answer differently; at least `difference`.
        difference: the true one.
        alpha: level of the test.
    """
    from scipy.stats import binom

    middle, sd = n * discordant, math.sqrt(n * discordant * (1 - discordant))
    flips = np.arange(max(0, math.floor(middle - _TAIL * sd - 1)), min(n, math.ceil(middle + _TAIL * sd + 1)) + 1)
    # The largest number of the rarer outcome that is still significant; -1 if there is none.
    few = binom.ppf(alpha / 2, flips, 0.5)
    few = np.where(2 * binom.cdf(few, flips, 0.5) <= alpha, few, few - 1)
    share = min(1.0, (1 + difference / discordant) / 2)
    found = binom.cdf(few, flips, 1 - share) + binom.cdf(few, flips, share)
    return float(binom.pmf(flips, n, discordant) @ found)


def normal_power(n: float, spread: float, difference: float, alpha: float = ALPHA) -> float:
    """Power of a z-test whose standard error without a difference is sqrt(spread / n)."""
    law = NormalDist()
    bound = law.inv_cdf(1 - alpha / 2) * math.sqrt(spread)
    actual = math.sqrt(max(spread - difference * difference, 1e-12))  # 0 if every item differs
    shift = abs(difference) * math.sqrt(n)
    return law.cdf((shift - bound) / actual) + law.cdf((-shift - bound) / actual)


def smallest(enough: Callable[[int], bool]) -> int:
    """The smallest number of items for which `enough` holds, by doubling and halving."""
    high = 1
    while not enough(high) and high < _MOST:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


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
