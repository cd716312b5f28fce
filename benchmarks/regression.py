"""Error rates and power of the release gate, by simulation: how often it lets a worse model pass, and what it saves.

    nox -s bench -- regression

Right-or-wrong answers of two models on independent items; the margin is 2 points. `promised` is what the plan says
before anything is asked. At no true difference PASS must come within 3 points of it; where the loss is the margin
itself PASS must not come in more than 5 % of runs. A part of the runs goes through the gate's own code item by item,
and must give the same. Exit code 1 where a bound is broken. $RUNS sets how many runs there are.

Then the gate beside two other rules, on the same answers: the observed difference against a tolerance (the rule of
`nel gate` in NVIDIA NeMo Evaluator), and "not significantly worse" taken for a PASS.
"""

from __future__ import annotations

import math
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from thirdlever.analysis.outcomes import Outcomes
from thirdlever.analysis.stats import intervals
from thirdlever.analysis.stats.power import sequential_design
from thirdlever.lifecycle.checks import NEW, OLD, Limits, accuracy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from thirdlever.analysis.stats.power import SequentialDesign
    from thirdlever.lifecycle.checks import Level

    Counts: TypeAlias = NDArray[np.int64]

MARGIN = 0.02
RUNS = int(os.environ.get("RUNS", "40000"))
CHECKED = 25  # runs of a scenario that go through the gate's own code
FLIPS = (0.05, 0.10, 0.20)  # share of items on which the two models differ
ITEMS = (1000, 2000, 4000)
LOSSES = (0.0, MARGIN, 0.05)
NEAR, AT_MOST = 0.03, 0.05
NOISE = 3  # standard errors of the simulation itself that are put up with


def main() -> None:
    """Simulate, print, and fail past a bound."""
    rng = np.random.default_rng(20260423)
    print(f"{RUNS:,} runs a line; margin {100 * MARGIN:g} points; one-sided 5 %")
    print(f"{'items':>6}{'differ':>8}{'loss':>6}{'early':>7}{'promised':>10}{'PASS':>8}{'FAIL':>8}{'asked':>8}  bound")
    broken = 0
    for n, flips, loss, early in ((n, f, d, e) for n in ITEMS for f in FLIPS for d in LOSSES for e in (False, True)):
        looks = sequential_design(n, early=early)
        flipped = flips + loss / 2  # a loss adds losses and takes away wins
        drift = (MARGIN - loss) * math.sqrt(n / (flipped - loss * loss))
        promised = looks.power(drift)
        passed, failed, asked = simulate(looks, flipped, loss, rng)
        noise = NOISE * math.sqrt(AT_MOST * (1 - AT_MOST) / RUNS)
        bound = "" if loss > MARGIN else abs(passed - promised) <= NEAR if not loss else passed <= AT_MOST + noise
        broken += bound is False
        print(
            f"{n:>6,}{flipped:>8.1%}{100 * loss:>6.0f}{'yes' if early else 'no':>7}{promised:>10.1%}"
            f"{passed:>8.1%}{failed:>8.1%}{asked:>8.0%}  {'' if bound == '' else 'holds' if bound else 'BROKEN'}"
        )
    other_rules(rng)
    sys.exit(broken > 0)


def other_rules(rng: np.random.Generator) -> None:
    """Wrong verdicts of three rules: PASS where the loss is the margin, FAIL where there is none."""
    from scipy.stats import binom

    print("\n| items | differ | PASS at a loss of the margin: ours | observed | not significant |", end="")
    print(" FAIL at no loss: ours | observed | not significant |\n|--:|--:|--:|--:|--:|--:|--:|--:|")
    for n, flips in ((n, flips) for n in (100, 300, *ITEMS) for flips in FLIPS):
        found = []
        for loss in (MARGIN, 0.0):
            flipped = flips + loss / 2
            drawn = rng.multinomial(n, [(flipped - loss) / 2, (flipped + loss) / 2, 1 - flipped], RUNS)
            won, lost = drawn[:, 0], drawn[:, 1]
            z, level = intervals.score_z(-MARGIN, won, lost, n), sequential_design(n, early=False).bounds[-1]
            worse = (lost > won) & (2 * binom.cdf(won, won + lost, 0.5) <= AT_MOST)  # exact McNemar
            passed = (z >= level, (won - lost) / n >= -MARGIN, ~worse)
            failed = (z <= -level, (won - lost) / n < -MARGIN, worse)
            found += [float(one.mean()) for one in (passed if loss else failed)]
        print(f"| {n:,} | {flips:.0%} | {' | '.join(f'{share:.1%}' for share in found)} |")


def simulate(
    looks: SequentialDesign, flips: float, loss: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """Shares of PASS and of FAIL, and the mean share of the items that was asked."""
    chances = [(flips - loss) / 2, (flips + loss) / 2, 1 - flips]
    steps = np.diff(looks.items, prepend=0)
    counts = np.stack([rng.multinomial(step, chances, RUNS) for step in steps], axis=1).cumsum(axis=1)
    won, lost = counts[:, :, 0], counts[:, :, 1]
    z = intervals.score_z(-MARGIN, won, lost, np.array(looks.items))
    settled = np.abs(z) >= np.array(looks.bounds)
    settled[:, -1] = True
    look = settled.argmax(axis=1)
    rows = np.arange(RUNS)
    passed, failed = (sign * z[rows, look] >= np.array(looks.bounds)[look] for sign in (1, -1))
    for run in range(CHECKED):
        at = look[run]
        verdict = gate(int(won[run, at]), int(lost[run, at]), looks.items[at], partial(looks.level, at))
        if verdict != ("PASS" if passed[run] else "FAIL" if failed[run] else "INCONCLUSIVE"):
            sys.exit(f"the gate says {verdict} to {won[run, at]} won and {lost[run, at]} lost of {looks.items[at]}")
    return float(passed.mean()), float(failed.mean()), float(np.array(looks.items)[look].mean()) / looks.items[-1]


def gate(won: int, lost: int, n: int, level: Level) -> str | None:
    """The verdict on such a table by the gate's own code."""
    scores = np.ones((2, n))
    scores[0, :won] = 0
    scores[1, won : won + lost] = 0
    items = tuple(map(str, range(n)))
    o = Outcomes((OLD, NEW), items, scores, np.arange(n, dtype=np.int64), ("",) * n)
    return accuracy(o, Limits(margin=MARGIN), level)[0].verdict


if __name__ == "__main__":
    main()
