"""Simulated learning curves with known truths.

An answer is right if a normal value is below the quantile of the accuracy; the value is partly the item's own, for all
lines and draws. A draw of labels shifts the accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import ndtri

from thirdlever.analysis.learning import LabelDraw, ScoreTable
from thirdlever.analysis.usage import Bootstrap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from thirdlever.strategies.contract import Lever

SIZES = (100, 300, 1000, 3000, 10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """A line as it is.

    Attributes:
        line: name.
        lever: what it pulls.
        error: by number of labels.
        spread: standard deviation of a draw's accuracy, by number of labels.
        noise: share of wrong labels.
        flat: whether it uses no labels: the error is that of one label.
        usd: of 1,000 requests.
        seconds: latency.
    """

    line: str
    lever: Lever
    error: Callable[[float], float]
    spread: Callable[[float], float] = lambda _: 0.01
    noise: float = 0.0
    flat: bool = False
    usd: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """How a curve is measured.

    Attributes:
        sizes: numbers of labels.
        seeds: draws of each.
        items: of test.
        agreement: correlation of two answers to an item.
    """

    sizes: Sequence[int] = SIZES
    seeds: int = 2
    items: int = 400
    agreement: float = 0.5

    def draws(self, truths: Sequence[Truth], rng: np.random.Generator) -> list[LabelDraw]:
        """All measurements of all lines, on the same items."""
        shared = rng.standard_normal(self.items)
        return [draw for truth in truths for draw in self._of(truth, shared, rng)]

    def _of(self, truth: Truth, shared: NDArray[np.float64], rng: np.random.Generator) -> Iterator[LabelDraw]:
        names = [f"{number:05}" for number in range(self.items)]
        for size in [1] if truth.flat else self.sizes:
            for seed in range(1 if truth.flat else self.seeds):
                own = rng.standard_normal(self.items)
                value = np.sqrt(self.agreement) * shared + np.sqrt(1 - self.agreement) * own
                accuracy = 1 - truth.error(size) + rng.normal() * truth.spread(size)
                yield LabelDraw(
                    line=truth.line,
                    strategy=truth.line.partition("(")[0],
                    lever=truth.lever,
                    noise=truth.noise,
                    labels=None if truth.flat else size,
                    seed=seed,
                    items=names,
                    scores=(value < ndtri(min(max(accuracy, 1e-9), 1 - 1e-9))).astype(np.float64),
                    clusters=np.arange(self.items, dtype=np.int64),
                    latency_s=truth.seconds,
                    usd_per_1000=truth.usd,
                    setup_usd=0.1,
                    setup_s=3.0,
                    used=0 if truth.flat else size,
                )


def table(draws: Sequence[LabelDraw], line: str, minus: str | None = None) -> ScoreTable:
    """The scores of a line, or its lead over another one."""
    sizes = sorted({draw.labels for draw in draws if draw.line == line and draw.labels})

    def scores(name: str, size: int) -> NDArray[np.float64]:
        return np.stack([draw.scores for draw in draws if draw.line == name and draw.labels == size])

    return ScoreTable(sizes, [scores(line, size) - (scores(minus, size) if minus else 0.0) for size in sizes])


def bootstrap(draws: Sequence[LabelDraw]) -> Bootstrap:
    """Resamples of the items."""
    return Bootstrap(pd.DataFrame({"item_id": draws[0].items, "group": ""}))
