"""A seeded source of chance that gives the same draws on every Python and every machine.

Only `random.Random.random` is used: the standard library promises its sequence across versions, and
promises nothing of the kind for `choice`, `shuffle` or `sample`. Weights are whole numbers and
amounts need only products, because `sum` of floats changed in Python 3.12 and `exp` and `log` may
differ in the last bit between C libraries.
"""

import hashlib
import random
from collections.abc import Mapping, MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """One named stream of chance; two streams with different names are independent.

    Args:
        seed: The seed of the whole data set.
        stream: What the stream is for. A new stream does not disturb the draws of the others.
    """

    def __init__(self, seed: int, stream: str) -> None:
        """Seed the stream from a digest, because `hash` of a string differs between runs."""
        digest = hashlib.sha256(f"{seed}/{stream}".encode()).digest()
        self._random = random.Random(int.from_bytes(digest[:8], "big"))  # noqa: S311 - no secrets here

    def chance(self, probability: float) -> bool:
        """Return true with the given probability."""
        return self._random.random() < probability

    def below(self, bound: int) -> int:
        """Return a whole number from 0 to `bound` - 1."""
        return int(self._random.random() * bound)

    def pick(self, items: Sequence[T]) -> T:
        """Return one of the items, each as likely as the next."""
        return items[self.below(len(items))]

    def weighted(self, weights: Mapping[T, int]) -> T:
        """Return a key, with a chance in proportion to its weight."""
        mark = self.below(sum(weights.values()))
        for item, weight in weights.items():
            mark -= weight
            if mark < 0:
                return item
        msg = "nothing to pick: every weight is zero"
        raise ValueError(msg)

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put the items in random order, in place (Fisher-Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]

    def skewed(self, low: float, median: float, high: float) -> float:
        """Return an amount, half of them under `median`, with a long tail towards `high`."""
        draw = self._random.random()
        if self.chance(0.5):
            return low + (median - low) * draw
        return median + (high - median) * draw * draw * draw

    def digits(self, count: int) -> str:
        """Return `count` decimal digits."""
        return "".join(str(self.below(10)) for _ in range(count))
