"""How often a verdict says GO: hardly ever where no candidate is better, and often where one is.

    nox -s bench -- verdicts

Eight candidates answer the same items, some items being harder for all of them: one without a model, three prompts, one
with retrieval and three tuned, or one prompt, one with retrieval and six tuned. All else speaks for tuning: it is
cheap, the volume is large, the task stable, somebody keeps it up. Where none is truly better, a GO is an error,
whichever tuned candidate it is for: at most 5 % of the verdicts.
"""

from __future__ import annotations

import os
import time
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from thirdlever.analysis.compare import accuracy
from thirdlever.analysis.outcomes import Outcomes
from thirdlever.analysis.stats.proportions import wilson
from thirdlever.decision.assumptions import assume
from thirdlever.decision.costs import Cost
from thirdlever.decision.evidence import Standing, assess
from thirdlever.decision.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Kind

RUNS = int(os.environ.get("RUNS", "200"))
MIXED: tuple[Kind, ...] = ("no model", "prompt", "prompt", "prompt", "retrieval", "tuned", "tuned", "tuned")
TUNED: tuple[Kind, ...] = ("prompt", "retrieval", "tuned", "tuned", "tuned", "tuned", "tuned", "tuned")
AT_MOST = 0.05
HARDNESS = 0.5  # share of a candidate's luck that is the item's
# kinds, accuracy of all but the last, of the last (tuned), items, stated target
CASES = (
    *((MIXED, 0.85, 0.85, 200, target) for target in (None, 0.85)),
    *((TUNED, 0.85, 0.85, 200, target) for target in (None, 0.80, 0.85, 0.90)),
    *((MIXED, 0.85, 0.93, n, target) for n in (400, 1200) for target in (None, 0.90)),
)


def main() -> None:
    """Measure and print."""
    print(f"{RUNS} runs a row; {HARDNESS:.0%} of luck is the item's; 95 % Wilson interval of the share of GO\n")
    print("| tuned | accuracy of seven | of one tuned | items | target | GO | NEED-MORE-DATA | NO-GO | |")
    print("|--:|--:|--:|--:|--:|:--|--:|--:|:--|")
    start = time.perf_counter()
    for number, (kinds, others, last, n, target) in enumerate(CASES):
        rng = np.random.default_rng(number)
        verdicts = [verdict(rng, kinds, (others, last), n, assumptions(target)) for _ in range(RUNS)]
        go = verdicts.count("GO")
        low, high = wilson(go, RUNS)
        shown = "yes" if high <= AT_MOST else ("NO" if low > AT_MOST else "not shown, more runs would tell")
        held = f"at most 5 %: {shown}" if others == last else ""
        rest = " | ".join(f"{verdicts.count(other) / RUNS:.1%}" for other in ("NEED-MORE-DATA", "NO-GO"))
        wanted = "none" if target is None else f"{target:.0%}"
        case = f"{kinds.count('tuned')} | {others:.0%} | {last:.0%} | {n} | {wanted}"
        print(f"| {case} | {go / RUNS:.1%} ({low:.1%} to {high:.1%}) | {rest} | {held} |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s")


def verdict(
    rng: np.random.Generator, kinds: Sequence[Kind], accuracies: tuple[float, float], n: int, a: Assumptions
) -> str:
    """The verdict on one run, drawn anew; accuracies are those of all but the last, and of the last."""
    names = [f"{kind} {i}" for i, kind in enumerate(kinds)]
    luck = np.sqrt(HARDNESS) * rng.standard_normal(n) + np.sqrt(1 - HARDNESS) * rng.standard_normal((len(kinds), n))
    others, last = map(NormalDist().inv_cdf, accuracies)
    bounds = np.array([others] * (len(kinds) - 1) + [last])
    outcomes = Outcomes(
        candidates=tuple(names),
        items=tuple(map(str, range(n))),
        scores=(luck < bounds[:, None]).astype(np.float64),
        clusters=np.arange(n),
        slices=("",) * n,
    )
    described = [
        Standing(name=name, kind=kind).measured(accuracy(outcomes, name))
        for name, kind in zip(names, kinds, strict=True)
    ]
    costs = {name: cost(name, kind) for name, kind in zip(names, kinds, strict=True)}
    return judge(assess(outcomes, described, labelled=5000, answers=20), costs, a).verdict


def assumptions(target: float | None) -> Assumptions:
    """Everything speaks for tuning."""
    stated = {"monthly_volume": "10000000", "stable": "yes", "behaviour": "yes", "maintainer": "a team"}
    return assume({}, stated if target is None else {**stated, "target_accuracy": str(target)})


def cost(name: str, kind: Kind) -> Cost:
    """Tuned candidates cost a tenth."""
    tuned = kind == "tuned"
    usd, work = (0.001, 5000.0) if tuned else (0.01, 0.0)
    return Cost(candidate=name, strategy=kind, tuned=tuned, per_request_usd=usd, setup={"engineering": work})


if __name__ == "__main__":
    main()
