"""Whether the intervals of a learning curve hold what they promise, on simulated curves whose truth is known.

    nox -s bench -- curve

For each experiment: how often the 95 % band of a point, the interval of the number of labels at which one line
overtakes another, and that of what the next 1,000 labels buy include the truth. The lines follow the power law exactly.
Bounds, beyond the error of the simulation: bands 92 % or more, the other two 90 % or more; all are wide rather than
narrow. Exit code 1 where a bound is broken. $DRAWS sets how many curves are simulated (the last interval: a fifth).
"""

from __future__ import annotations

import math
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
from helpers.curves import Experiment, Truth, bootstrap, table

from thirdlever.analysis.learning import MORE, Overtaking, band, gain, overtaking

DRAWS = int(os.environ.get("DRAWS", "300"))
WORKERS = 2
LEAST_BAND, LEAST = 0.92, 0.90
A, B = "tuned", "retrieved"
LAWS = {A: (6.0, 0.5, 0.05), B: (1.2, 0.3, 0.12)}  # a, b, c
CROSSING = 590.3  # labels at which the first falls below the second


@dataclass(frozen=True, slots=True)
class World:
    """An experiment, and how draws of labels differ."""

    name: str
    experiment: Experiment
    spread: float
    shrinks: bool = False

    def of(self, labels: float) -> float:
        """Standard deviation of a draw's accuracy."""
        return self.spread * (math.sqrt(100 / labels) if self.shrinks else 1.0)


WORLDS = (
    World("400 items, 2 draws that hardly differ", Experiment(items=400, seeds=2), 0.002),
    World("400 items, 2 draws, 2 points apart", Experiment(items=400, seeds=2), 0.02),
    World("400 items, 2 draws, 4 points apart with 100 labels", Experiment(items=400, seeds=2), 0.04, shrinks=True),
    World("400 items, 5 draws, 2 points apart", Experiment(items=400, seeds=5), 0.02),
    World("100 items, 3 draws, 2 points apart", Experiment(items=100, seeds=3), 0.02),
    World("1,500 items, 3 draws, 1 point apart", Experiment(items=1500, seeds=3), 0.01),
    World("400 items, 2 draws, three sizes", Experiment(items=400, seeds=2, sizes=(100, 1000, 10_000)), 0.02),
)


def law(name: str, labels: float) -> float:
    """The error of a line."""
    a, b, c = LAWS[name]
    return float(a * labels**-b + c)


def main() -> None:
    """Simulate, print, and fail past a bound."""
    broken = False
    print(f"{DRAWS:,} curves a line, {DRAWS // 5:,} for the next {MORE:,} labels; coverage in %, median width")
    print(f"{'experiment':<52}{'band':>7}{'width':>8}{'crossing':>10}{'factor':>8}{'gain':>7}{'width':>8}")
    with ProcessPoolExecutor(WORKERS) as pool:
        for world, found in zip(WORLDS, pool.map(simulate, WORLDS), strict=True):
            bands, band_width, crossed, factor, gained, gain_width = found
            kept = held(bands, LEAST_BAND, DRAWS) and held(crossed, LEAST, DRAWS) and held(gained, LEAST, DRAWS // 5)
            broken |= not kept
            print(
                f"{world.name:<52}{100 * bands:>7.1f}{100 * band_width:>8.1f}{100 * crossed:>10.1f}{factor:>8.1f}"
                f"{100 * gained:>7.1f}{100 * gain_width:>8.2f}{'' if kept else '  BROKEN'}",
                flush=True,
            )
    sys.exit(broken)


def held(share: float, least: float, draws: int) -> bool:
    """Whether the share is at least this, but for the simulation's error."""
    return share >= least - 2 * math.sqrt(least * (1 - least) / draws)


def simulate(world: World) -> tuple[float, float, float, float, float, float]:
    """Coverage and median width of bands (shares), crossings (a factor) and gains (shares)."""
    rng = np.random.default_rng(20261127)
    truths = [
        Truth(line=A, lever="tuned", error=partial(law, A), spread=world.of),
        Truth(line=B, lever="retrieval", error=partial(law, B), spread=world.of),
    ]
    bands, crossed, gained = [], [], []
    widths: list[float] = []
    factors: list[float] = []
    gain_widths: list[float] = []
    gains = law(A, world.experiment.sizes[-1]) - law(A, world.experiment.sizes[-1] + MORE)
    for number in range(DRAWS):
        draws = world.experiment.draws(truths, rng)
        items, resamples = draws[0].items, bootstrap(draws)
        own = table(draws, A)
        for i, size in enumerate(own.sizes):
            low, high = band(own.scores[i], draws[0].clusters, float(own.of_means[i]), own.freedom, graded=False)
            bands.append(low <= 1 - law(A, size) <= high)
            widths.append(high - low)
        found = overtaking(table(draws, A, B), A, B, resamples, items)
        crossed.append(includes(found, CROSSING))
        if found.low and found.high:
            factors.append(found.high / found.low)
        if number % 5 == 0:
            bought = gain(own, A, resamples, items)
            gained.append(bought.gain_low <= gains <= bought.gain_high)
            gain_widths.append(bought.gain_high - bought.gain_low)
    shares = [float(np.mean(hits)) for hits in (bands, crossed, gained)]
    middle = [float(np.median(found)) if found else math.nan for found in (widths, factors, gain_widths)]
    return shares[0], middle[0], shares[1], middle[1], shares[2], middle[2]


def includes(found: Overtaking, labels: float) -> bool:
    """Whether the interval includes this number of labels; an open end includes all."""
    if found.certain:
        return False
    return (found.low is None or found.low <= labels) and (found.high is None or labels <= found.high)


if __name__ == "__main__":
    main()
