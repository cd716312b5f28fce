"""Where to write the names in a scatter chart so that they cover nothing: the same places every time.

Each label may stand at many places around its point. The labels take turns, each moving to the place that costs least
as the others stand, until none can improve; of several orders of moving, the best outcome is kept. A far label is tied
to its point by a leader line, which is kept off the other labels as well.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    Array: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
    Mask: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]

# Right first: text reads away from its point; straight up and down last: error bars are there.
_DIRECTIONS = (
    *((1, 0), (-1, 0), (1, 0.5), (1, -0.5), (-1, 0.5), (-1, -0.5), (1, 1), (1, -1), (-1, 1), (-1, -1)),
    *((0.6, 1), (0.6, -1), (-0.6, 1), (-0.6, -1), (0.3, 1), (0.3, -1), (-0.3, 1), (-0.3, -1), (0, 1), (0, -1)),
)
_RINGS = (1.0, 1.6, 2.2, 3.0, 4.0, 5.2, 6.6, 8.2, 10.0, 12.0, 14.5, 17.5, 21.0, 25.0, 30.0)  # in gaps
_LED = 1  # from this ring on, a leader line ties the label to its point
_ORDERS, _PASSES = 24, 40
# What a place costs: covering a mark or another label, a leader that crosses one, a leader that crosses another,
# standing beside another point and not beside its own, covering a line, a further ring, a later direction.
_COVER, _CROSS, _TANGLE, _ASTRAY, _LINE, _RING, _TURN = 1000.0, 150.0, 40.0, 40.0, 9.0, 3.0, 0.3


class Box(NamedTuple):
    """A rectangle."""

    x0: float
    y0: float
    x1: float
    y1: float

    def grown(self, margin: float) -> Box:
        """With a margin on every side."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)


class Spot(NamedTuple):
    """Where a label stands, and the line (x0, y0, x1, y1) that ties it to its point when it stands far off."""

    box: Box
    leader: tuple[float, float, float, float] | None


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    *,
    bounds: Box,
    hard: Sequence[Box],
    soft: Sequence[Box],
    gap: float,
) -> list[Spot]:
    """Places for labels, one a point.

    Args:
        points: what is labelled.
        sizes: width and height of each label.
        bounds: labels stay inside.
        hard: what a label must not cover (marks, error bars).
        soft: what it had better not cover (lines).
        gap: distance of a label beside its point, in the same unit as all the rest.
    """
    choices = [
        _choices(point, size, points=points, bounds=bounds, hard=hard, soft=soft, gap=gap)
        for point, size in zip(points, sizes, strict=True)
    ]
    shuffler, order = random.Random(0), list(range(len(points)))  # noqa: S311 - not a secret
    outcomes = []
    for _ in range(_ORDERS):
        outcomes.append(_settle(choices, order))
        shuffler.shuffle(order)
    _, best = min(outcomes)
    return [options.spot(c) for options, c in zip(choices, best, strict=True)]


@dataclass(frozen=True, slots=True)
class _Choices:
    """A label's possible places.

    Attributes:
        boxes: (places, 4).
        leaders: (places, 4), from the point to the label.
        led: (places,) whether the leader is drawn.
        cost: (places,) what each costs before any other label is there.
    """

    boxes: Array
    leaders: Array
    led: Mask
    cost: Array

    def spot(self, c: int) -> Spot:
        x0, y0, x1, y1 = map(float, self.leaders[c])
        return Spot(Box(*map(float, self.boxes[c])), (x0, y0, x1, y1) if self.led[c] else None)


def _choices(
    point: tuple[float, float],
    size: tuple[float, float],
    *,
    points: Sequence[tuple[float, float]],
    bounds: Box,
    hard: Sequence[Box],
    soft: Sequence[Box],
    gap: float,
) -> _Choices:
    """Every direction on every ring that is inside the bounds."""
    places = list(itertools.product(enumerate(_RINGS), enumerate(_DIRECTIONS)))
    reach = np.array([radius * gap for (_, radius), _ in places])[:, None]
    half = np.array(size) / 2
    centre = np.array(point) + np.array([direction for _, (_, direction) in places]) * (reach + half)
    boxes = np.hstack([centre - half, centre + half])
    inside = (boxes[:, :2] >= bounds[:2]).all(axis=1) & (boxes[:, 2:] <= bounds[2:]).all(axis=1)
    taste = np.array([_RING * ring**1.5 + _TURN * turn for (ring, _), (turn, _) in places])
    led = np.array([ring >= _LED for (ring, _), _ in places])
    if inside.any():
        boxes, taste, led = boxes[inside], taste[inside], led[inside]
    leaders = np.hstack([np.broadcast_to(point, (len(boxes), 2)), np.clip(point, boxes[:, :2], boxes[:, 2:])])
    barred, lined = np.array(hard).reshape(-1, 4), np.array(soft).reshape(-1, 4)
    passed = barred[~((barred[:, :2] <= point) & (barred[:, 2:] >= point)).all(axis=1)]  # not its own mark
    away = np.array([_distance(boxes, other) for other in points])
    cost = taste + _COVER * _overlap(boxes, barred).sum(axis=1) + _LINE * _overlap(boxes, lined).sum(axis=1)
    cost += np.where(led, _CROSS * _cross(leaders, passed).sum(axis=1), 0.0)
    cost += _ASTRAY * (away.min(axis=0) < np.minimum(_distance(boxes, point), 2 * gap))
    return _Choices(boxes, leaders, led, cost)


def _settle(choices: Sequence[_Choices], order: Sequence[int]) -> tuple[float, list[int]]:
    """Let the labels take turns until none can improve.

    Returns:
        (total cost, the place chosen for each)
    """
    chosen = [int(options.cost.argmin()) for options in choices]

    def costs(i: int) -> Array:
        """What each place of label i costs as the others stand."""
        mine, others = choices[i], [(choices[j], c) for j, c in enumerate(chosen) if j != i]
        if not others:
            return mine.cost
        boxes = np.array([options.boxes[c] for options, c in others])
        leaders = np.array([options.leaders[c] for options, c in others])
        led = np.array([options.led[c] for options, c in others])
        both = mine.led[:, None] & led
        clash = _COVER * _overlap(mine.boxes, boxes) + _TANGLE * (both & _tangle(mine.leaders, leaders))
        clash += _CROSS * (mine.led[:, None] & _cross(mine.leaders, boxes))
        clash += _CROSS * (led & _cross(leaders, mine.boxes).T)
        total: Array = mine.cost + clash.sum(axis=1)
        return total

    for _ in range(_PASSES):
        before = list(chosen)
        for i in order:
            chosen[i] = int(costs(i).argmin())
        if chosen == before:
            break
    return float(sum(costs(i)[c] for i, c in enumerate(chosen))), chosen


def _distance(boxes: Array, point: tuple[float, float]) -> Array:
    """From each box (n, 4) to a point: (n,)."""
    apart: Array = np.clip(point, boxes[:, :2], boxes[:, 2:]) - point
    return np.hypot(apart[:, 0], apart[:, 1])


def _overlap(boxes: Array, others: Array) -> Mask:
    """Whether boxes (n, 4) and others (m, 4) share area: (n, m)."""
    ax0, ay0, ax1, ay1 = (side[:, None] for side in boxes.T)
    bx0, by0, bx1, by1 = others.T
    shared: Mask = (ax0 < bx1) & (bx0 < ax1) & (ay0 < by1) & (by0 < ay1)
    return shared


def _cross(lines: Array, boxes: Array) -> Mask:
    """Whether segments (n, 4) pass through boxes (m, 4): (n, m), by Liang and Barsky's clipping."""
    enter, leave = np.zeros((len(lines), len(boxes))), np.ones((len(lines), len(boxes)))
    for low in (0, 1):
        start, end = lines[:, low, None], lines[:, low + 2, None]
        step = np.where(end == start, 1e-9, end - start)
        near, far = (boxes[:, low] - start) / step, (boxes[:, low + 2] - start) / step
        enter = np.maximum(enter, np.minimum(near, far))
        leave = np.minimum(leave, np.maximum(near, far))
    passes: Mask = np.less(enter, leave)
    return passes


def _tangle(lines: Array, others: Array) -> Mask:
    """Whether segments (n, 4) and others (m, 4) cross, ends apart: (n, m)."""
    px, py, qx, qy = (end[:, None] for end in lines.T)
    rx, ry, sx, sy = others.T
    ux, uy, vx, vy = qx - px, qy - py, sx - rx, sy - ry
    apart = (ux * (ry - py) - uy * (rx - px)) * (ux * (sy - py) - uy * (sx - px)) < 0
    meet: Mask = apart & ((vx * (py - ry) - vy * (px - rx)) * (vx * (qy - ry) - vy * (qx - rx)) < 0)
    return meet
