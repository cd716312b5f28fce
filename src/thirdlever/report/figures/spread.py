"""Labels in a column, moved apart no more than they must be."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def spread(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Where labels stand that would like to stand at `wanted`, so that none overlaps and all are from 0 to 1.

    Labels that would touch become a block that stands around the mean of what they want (pool adjacent violators).
    Labels that need more than all the room start at 0 and go on beyond 1.

    Args:
        wanted: the middle of each, ascending.
        sizes: the height of each, in the same unit.

    >>> [round(at, 3) for at in spread([0.5, 0.5, 0.9], [0.2, 0.2, 0.1])]
    [0.4, 0.6, 0.9]
    """
    total = sum(sizes)
    # In the frame in which labels have no height, "apart" means "in order".
    before = [sum(sizes[:i]) + size / 2 for i, size in enumerate(sizes)]
    blocks: list[list[float]] = []  # [sum of places, number]
    for want, offset in zip(wanted, before, strict=True):
        blocks.append([want - offset, 1])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            place, number = blocks.pop()
            blocks[-1][0] += place
            blocks[-1][1] += number
    places = [place / number for place, number in blocks for _ in range(int(number))]
    return [min(max(place, 0.0), max(1 - total, 0.0)) + offset for place, offset in zip(places, before, strict=True)]
