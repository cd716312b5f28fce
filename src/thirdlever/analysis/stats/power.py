"""What a comparison can see: power, the smallest difference it would find, the items it takes to find one.

Right-or-wrong answers: the power of the exact McNemar test itself, summed over how many items will be answered
differently (Connor, Biometrics 43, 1987, 207-211). It needs more items than the usual normal formula says, because the
exact test keeps below its 5 %. Groups and repeats change what an item is worth, by the design effect (Kish 1965).
Repeats and graded scores: the normal law with the measured spread.
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
_TAIL = 8.0  # standard deviations of the number of differing items that are summed over
_MANY_FLIPS = 4000  # beyond, the normal law is within half a point
_MOST = 1 << 40  # items; more than anybody has


@dataclass(frozen=True, slots=True)
class Design:
    """What decides how much a comparison sees, apart from its number of items.

    Attributes:
        discordant: mean absolute difference an item; for right-or-wrong answers the share that is answered differently.
        effect: design effect: n items are worth n / effect independent ones that are asked once.
        smooth: whether sums of differences are too many to tell (repeats, graded scores): the test has no jumps then.
        alpha: two-sided level of the test.
    """

    discordant: float
    effect: float = 1.0
    smooth: bool = False
    alpha: float = ALPHA

    def power(self, n: int, difference: float) -> float:
        """Chance that a true difference is found with n items."""
        # A true difference of d takes a mean absolute one of d at least: what looks calm here must be less so there.
        discordant = max(self.discordant, abs(difference))
        worth = n / self.effect
        if self.smooth or worth * discordant > _MANY_FLIPS:
            return normal_power(worth, discordant, difference, self.alpha)
        return mcnemar_power(int(worth), discordant, difference, self.alpha)

    def detectable(self, n: int, power: float = POWER) -> float:
        """The smallest true difference that n items show with the wanted power; nan when even 1.0 would not."""
        if self.power(n, 1.0) < power:
            return math.nan
        low, high = 0.0, 1.0
        while high - low > 1e-5:  # noqa: PLR2004 - a thousandth of a point
            middle = (low + high) / 2
            low, high = (low, middle) if self.power(n, middle) >= power else (middle, high)
        return high

    def needed(self, difference: float, power: float = POWER) -> int:
        """The paired items that show a true difference with the wanted power.

        Raises:
            ValueError: no difference, or one above 1.
        """
        if not 0 < abs(difference) <= 1:
            message = f"a difference lies between 0 and 1, not {difference!r}"
            raise ValueError(message)
        return smallest(lambda n: self.power(n, difference) >= power)


def mcnemar_power(n: int, discordant: float, difference: float, alpha: float = ALPHA) -> float:
    """Power of the two-sided exact McNemar test.

    Args:
        n: paired items.
        discordant: share of items that one candidate has right and the other wrong; at least `difference`.
        difference: the true one.
        alpha: level of the test.
    """
    from scipy.stats import binom

    middle, sd = n * discordant, math.sqrt(n * discordant * (1 - discordant))
    flips = np.arange(max(0, math.floor(middle - _TAIL * sd - 1)), min(n, math.ceil(middle + _TAIL * sd + 1)) + 1)
    # The most losses of the rarer kind that are still significant; -1 when none are.
    few = binom.ppf(alpha / 2, flips, 0.5)
    few = np.where(2 * binom.cdf(few, flips, 0.5) <= alpha, few, few - 1)
    share = min(1.0, (1 + difference / discordant) / 2)
    found = binom.cdf(few, flips, 1 - share) + binom.cdf(few, flips, share)
    return float(binom.pmf(flips, n, discordant) @ found)


def normal_power(n: float, spread: float, difference: float, alpha: float = ALPHA) -> float:
    """Power of a test that holds the mean difference against sqrt(spread / n), its standard error if there is none."""
    law = NormalDist()
    bound = law.inv_cdf(1 - alpha / 2) * math.sqrt(spread)
    actual = math.sqrt(max(spread - difference * difference, 1e-12))  # nought when every item shows it
    shift = abs(difference) * math.sqrt(n)
    return law.cdf((shift - bound) / actual) + law.cdf((-shift - bound) / actual)


def smallest(enough: Callable[[int], bool]) -> int:
    """The smallest number of items for which `enough` holds from there on, by doubling and halving."""
    high = 1
    while not enough(high) and high < _MOST:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high
