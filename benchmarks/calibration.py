"""Whether the statistics keep their promises, on made-up outcomes whose truth is known. Prints Markdown tables.

Bounds: 95 % intervals cover 94 to 96 % (of graded scores near the ceiling 90 to 97); over 8 equal candidates at most
5 % of runs call any pair different; power within 3 points of what was promised; figures equal to scipy's and
statsmodels' to 1e-9. A miss that simulation error (two standard errors) explains is none. `--draws N` sets how many
experiments a line is made of.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from helpers.simulation import World
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

from thirdlever.analysis.compare import Differences, accuracy, compare_all, holm, non_inferior
from thirdlever.analysis.stats import intervals
from thirdlever.analysis.stats.intervals import wilson
from thirdlever.analysis.stats.power import Design

ALPHA = 0.05
EQUAL = 1e-9
SEED = 20261
WORKERS = 2
A, B = "candidate 0", "candidate 1"


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the tables: what, how much of it, in which bounds (shares), out of how many draws."""

    table: str
    world: str
    what: str
    share: float
    low: float
    high: float
    draws: int

    @property
    def kept(self) -> bool:
        """Whether the share is in its bounds, but for simulation error."""
        slack = 2 * math.sqrt(max(self.share * (1 - self.share), 1e-4) / self.draws)
        return self.low - slack <= self.share <= self.high + slack


def main() -> None:
    """Simulate on two cores, print, and fail when a bound is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=1000)
    draws = parser.parse_args().draws
    with ProcessPoolExecutor(WORKERS) as pool:
        lines = [line for found in pool.map(_work, [(job, draws) for job in range(len(JOBS))]) for line in found]
    for table in dict.fromkeys(line.table for line in lines):
        print(f"\n### {table}\n\n| outcomes | figure | found, % | bound, % | kept |\n|:--|:--|--:|:--|:--|")
        for line in lines:
            if line.table == table:
                bound = f"{100 * line.low:g} to {100 * line.high:g}"
                kept = "yes" if line.kept else "NO"
                print(f"| {line.world} | {line.what} | {100 * line.share:.1f} | {bound} | {kept} |")
    print("\n### Against scipy and statsmodels\n\n| figure | largest difference |\n|:--|--:|")
    largest = dict(references())
    for name, difference in largest.items():
        print(f"| {name} | {difference:.1e} |")
    sys.exit(not (all(line.kept for line in lines) and max(largest.values()) <= EQUAL))


def coverage_of_proportion(world: World, name: str, draws: int) -> Iterator[Line]:
    """Wilson's interval at the effective size; accuracies drawn around the centre, for real ones are not round."""
    rng, hits, (centre,) = np.random.default_rng(SEED), 0, world.accuracies
    for _ in range(draws):
        truth = rng.uniform(centre - 0.03, centre + 0.03)
        found = accuracy(replace(world, accuracies=(truth,)).draw(rng), A)
        hits += found.low <= truth <= found.high
    yield Line("Coverage of an accuracy's interval", name, f"accuracy {centre:g}", hits / draws, 0.94, 0.96, draws)


def coverage_of_difference(world: World, name: str, draws: int) -> Iterator[Line]:
    """The interval of a paired difference, and how often the test finds one where there is none."""
    rng, hits, found, (a, b) = np.random.default_rng(SEED), 0, 0, world.accuracies
    for _ in range(draws):
        shift = rng.uniform(-0.03, 0.03)
        differences = Differences(replace(world, accuracies=(a + shift, b + shift)).draw(rng), A, B)
        low, high = differences.interval(0.95)
        hits += low <= b - a <= high
        found += a == b and differences.p() <= ALPHA
    what = f"{a:g} against {b:g}"
    yield Line("Coverage of a difference's interval", name, what, hits / draws, 0.94, 0.96, draws)
    if a == b:
        yield Line("One pair of equals called different", name, what, found / draws, 0, 0.05, draws)


def coverage_near_the_ceiling(world: World, name: str, draws: int) -> Iterator[Line]:
    """Few graded scores, nearly all perfect: the rare large differences that decide are not among them yet."""
    for line in coverage_of_difference(world, name, draws):
        yield replace(line, table="Coverage of a difference's interval near the ceiling", low=0.9, high=0.97)


def coverage_of_tables(world: World, name: str, _: int) -> Iterator[Line]:
    """The same for independent items, from their table of flips alone: quick, so many draws."""
    (a, b), draws = world.accuracies, 40_000
    bounds, shared = stats.norm.ppf([a, b]), [[1.0, world.agreement], [world.agreement, 1.0]]
    both = float(stats.multivariate_normal.cdf(bounds, cov=np.array(shared)))
    cells = [b - both, a - both, 1 - a - b + 2 * both]
    won, lost, _rest = np.random.default_rng(SEED).multinomial(world.n, cells, draws).T
    low, high = intervals.score_interval(won, lost, world.n)
    what, hits = f"{a:g} against {b:g}", np.mean((low <= b - a) & (b - a <= high))
    yield Line("Coverage of a difference's interval", name, what, float(hits), 0.94, 0.96, draws)
    if a == b:
        found = np.minimum(1, 2 * stats.binom.cdf(np.minimum(won, lost), won + lost, 0.5)) <= ALPHA
        yield Line("One pair of equals called different", name, what, float(found.mean()), 0, 0.05, draws)


def family(world: World, name: str, draws: int) -> Iterator[Line]:
    """Runs of equal candidates in which some pair is called different, after Holm over all pairs."""
    draws //= 2
    wrong = 0
    for o in world.draws(draws, SEED):
        count = len(o.candidates)
        pairs = [Differences(o, o.candidates[i], o.candidates[j]).p() for i in range(count) for j in range(i)]
        wrong += bool(multipletests(pairs, method="holm")[1].min() <= ALPHA)
    what = f"{len(world.accuracies)} at {world.accuracies[0]:g}"
    yield Line("Runs of equals with any pair called different", name, what, wrong / draws, 0, 0.05, draws)


def power(world: World, name: str, draws: int) -> Iterator[Line]:
    """The items promised for 80 % power, and the difference promised for the items, both tried out."""
    table, (a, b) = "Power where 80 % was promised", world.accuracies
    draws = min(draws, 2000)
    pilot = replace(world, n=30_000).draw(np.random.default_rng(SEED))
    design = Differences(pilot, A, B).design()
    n = design.needed(b - a)
    found = sum(Differences(o, A, B).p() <= ALPHA for o in replace(world, n=n).draws(draws, SEED))
    yield Line(table, name, f"{100 * (b - a):g} points, {n:,} items", found / draws, 0.77, 0.83, draws)
    equal = replace(world, accuracies=(a, a))
    margin = b - a
    pilot = replace(equal, n=30_000).draw(np.random.default_rng(SEED))
    n = non_inferior(pilot, B, A, margin).needed
    held = sum(Differences(o, A, B).p_below(-margin) <= ALPHA for o in replace(equal, n=n).draws(draws, SEED))
    what = f"no worse by {100 * margin:g} points, {n:,} items"
    yield Line(table, name, what, held / draws, 0.77, 0.83, draws)
    worse = replace(world, accuracies=(b, a), n=n)
    wrong = sum(Differences(o, A, B).p_below(-margin) <= ALPHA for o in worse.draws(draws, SEED))
    table = "Called no worse although worse by the margin"
    yield Line(table, name, f"margin {100 * margin:g} points, {n:,} items", wrong / draws, 0, 0.05, draws)


def references() -> Iterator[tuple[str, float]]:
    """The largest difference from a library's figure, by figure."""
    tables = [(16, 5), (0, 6), (1, 1), (40, 12), (300, 260), (5000, 4700)]
    theirs = [mcnemar([[0, won], [lost, 0]], exact=True).pvalue for won, lost in tables]
    yield "exact McNemar, statsmodels", max(abs(intervals.mcnemar(*t) - p) for t, p in zip(tables, theirs, strict=True))
    counts = [(0, 40), (82, 100), (2763, 3080)]
    far = [np.abs(np.subtract(wilson(k, n), proportion_confint(k, n, method="wilson"))).max() for k, n in counts]
    yield "Wilson's interval, statsmodels", float(max(far))
    rng = np.random.default_rng(SEED)
    none = np.zeros(14)
    totals = rng.integers(-3, 4, 14).astype(float)
    flipped = stats.permutation_test(
        (totals, none), lambda x, y: float(np.sum(x - y)), permutation_type="samples", n_resamples=1 << 14
    )
    yield "sign-flip test, scipy's permutation_test", abs(intervals.sign_flip(totals) - flipped.pvalue)
    singles = np.repeat([1.0, -1.0], [16, 5])
    yield "sign-flip test of single items, exact McNemar", abs(intervals.sign_flip(singles) - intervals.mcnemar(16, 5))
    cases = [(16, 5, -0.02), (16, 5, 0.1), (1, 3, 0.01)]
    z = [score_by_search(*case, 250) for case in cases]
    ours = [float(intervals.score_z(d, won, lost, 250)) for won, lost, d in cases]
    yield "Tango's statistic, likelihood maximised by scipy", float(np.abs(np.subtract(z, ours)).max())
    world = World((0.8, 0.82, 0.84, 0.86), 200)
    every = compare_all(next(world.draws(1)))
    adjusted = multipletests([one.p for one in every], method="holm")[1]
    yield "Holm, statsmodels", max(abs(one.p_adjusted - p) for one, p in zip(holm(every), adjusted, strict=True))
    exact = Design(0.1).power(120, 0.04)
    yield "power of exact McNemar, summed flip by flip", abs(exact - power_by_sum(120, 0.1, 0.04))


def score_by_search(won: int, lost: int, difference: float, n: int) -> float:
    """Tango's statistic from its definition: the most likely share of losses found by root search."""

    def slope(share: float) -> float:
        return won / (share + difference) + lost / share - 2 * (n - won - lost) / (1 - 2 * share - difference)

    tiny = 1e-12
    share = optimize.brentq(slope, max(0.0, -difference) + tiny, (1 - difference) / 2 - tiny, xtol=1e-16, rtol=1e-14)
    return (won - lost - n * difference) / math.sqrt(n * (2 * share + difference - difference**2))


def power_by_sum(n: int, discordant: float, difference: float) -> float:
    """Power of the exact McNemar test from its definition, table by table."""
    right = (discordant + difference) / 2 / discordant
    total = 0.0
    for flips in range(n + 1):
        found = [k for k in range(flips + 1) if stats.binomtest(k, flips, 0.5).pvalue <= ALPHA] if flips else []
        total += float(stats.binom.pmf(flips, n, discordant)) * float(np.sum(stats.binom.pmf(found, flips, right)))
    return total


_ALONE = World((0.85, 0.85), 250, agreement=0.7)
_GROUPS = {"group_size": 3, "group_share": 0.4}
_REPEATS = {"epochs": 3, "steadiness": 0.6}


def _pair(a: float, b: float, n: int, **changes: float) -> World:
    return replace(_ALONE, accuracies=(a, b), n=n, **changes)  # type: ignore[arg-type]


def _jobs() -> Iterator[tuple[Job, World, str]]:
    kinds = {
        "items alone": {},
        "groups of about 3": _GROUPS,
        "3 repeats": _REPEATS,
        "groups, 3 repeats": _GROUPS | _REPEATS,
        "graded": {"softness": 0.7},
        "graded, groups": {"softness": 0.7} | _GROUPS,
    }
    for kind, changes in kinds.items():
        for n in (50, 100, 300, 1000)[: 3 if "softness" in changes else 4]:
            coverage = coverage_of_difference if changes else coverage_of_tables
            yield coverage, _pair(0.85, 0.85, n, **changes), f"{n} items, {kind}"
            yield coverage, _pair(0.8, 0.9, n, **changes), f"{n} items, {kind}"
            if "softness" in changes:
                yield coverage_near_the_ceiling, _pair(0.92, 0.96, n, **changes), f"{n} items, {kind}"
            for centre in (0.6, 0.85):
                yield coverage_of_proportion, _one(centre, n, **changes), f"{n} items, {kind}"
        yield power, _pair(0.8, 0.85, 0, **changes), kind
        yield family, replace(_pair(0.85, 0.85, 200, **changes), accuracies=(0.85,) * 8), f"200 items, {kind}"
    for agreement in (0.0, 0.9):
        yield coverage_of_tables, _pair(0.85, 0.85, 100, agreement=agreement), f"100 items, agreement {agreement:g}"
        yield power, _pair(0.8, 0.85, 0, agreement=agreement), f"agreement {agreement:g}"


def _one(centre: float, n: int, **changes: float) -> World:
    return replace(_pair(0.5, 0.5, n, **changes), accuracies=(centre,))


def _work(task: tuple[int, int]) -> list[Line]:
    """By number, because a job is made anew in each process."""
    job, draws = task
    work, world, name = JOBS[job]
    return list(work(world, name, draws))


Job: TypeAlias = Callable[[World, str, int], Iterator[Line]]
JOBS = list(_jobs())


if __name__ == "__main__":
    main()
