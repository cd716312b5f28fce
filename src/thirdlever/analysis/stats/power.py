"""Power of a comparison, the smallest difference it detects, and the items needed to detect one.

Right-or-wrong answers: the power of the exact McNemar test, summed over the number of items answered differently
(Connor, Biometrics 43, 1987, 207-211). It needs more items than the usual normal formula, because the exact test stays
below its 5 %. Groups and repeats enter by the design effect (Kish 1965). Repeats and partial scores: the normal
distribution with the measured spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable


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
    """

    discordant: float
    effect: float = 1.0
    smooth: bool = False
    alpha: float = ALPHA

    def power(self, n: int, difference: float) -> float:
        """Probability of detecting a true difference with n items."""
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
