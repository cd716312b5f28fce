"""How often a verdict says to tune: hardly ever where that is wrong, and often where it is right.

    nox -s bench -- verdicts

Eight candidates answer the same items, some items being harder for all of them: one without a model, three prompts, one
with retrieval and three tuned, or one prompt, one with retrieval and six tuned. All else speaks for tuning: the volume
is large, the task stable, somebody keeps it up, and a tuned candidate costs a tenth, or (in the rows of "dearer") more.

Wrong is a GO where no tuned candidate is better, and a GO-FOR-COST where every one is worse by the margin of two points
or saves nothing: at most 5 % of the verdicts, whichever candidate they are for. Without tuning, a candidate that is
worse than the best by the margin may be recommended alone in at most 5 %, and the best may be missing from what is
recommended in at most 5 %.

Then runs that are looked at twice, the second time with more items, and stopped by the first GO: their GOs where
nothing is better, at the 5 % of a single look and with the risk of error shared between the looks. At last, how often
each end of the interval of a latency percentile is wrong.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from thirdlever.analysis.compare import accuracy
from thirdlever.analysis.outcomes import Outcomes
from thirdlever.analysis.stats.intervals import quantile_interval, wilson
from thirdlever.decision.assumptions import assume
from thirdlever.decision.costs import Cost
from thirdlever.decision.evidence import Standing, assess
from thirdlever.decision.verdict import judge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Kind
    from thirdlever.decision.verdict import Decision, Verdict

RUNS = int(os.environ.get("RUNS", "200"))
MIXED: tuple[Kind, ...] = ("no model", "prompt", "prompt", "prompt", "retrieval", "tuned", "tuned", "tuned")
TUNED: tuple[Kind, ...] = ("prompt", "retrieval", "tuned", "tuned", "tuned", "tuned", "tuned", "tuned")
VERDICTS: tuple[Verdict, ...] = ("GO", "GO-FOR-COST", "NEED-MORE-DATA", "NO-GO")
AT_MOST = 0.05
HARDNESS = 0.5  # share of a candidate's luck that is the item's


@dataclass(frozen=True)
class Case:
    """What is true, and which verdicts are then wrong.

    Attributes:
        kinds: of the candidates.
        untuned: their accuracy.
        tuned: that of all tuned candidates but the last.
        last: that of the last, which is tuned.
        n: number of items.
        target: stated; None if none is.
        wrong: verdicts that are errors.
        dearer: whether a tuned candidate costs more than the others.
    """

    kinds: tuple[Kind, ...]
    untuned: float
    tuned: float
    last: float
    n: int
    target: float | None
    wrong: tuple[Verdict, ...] = ()
    dearer: bool = False


CASES = (
    *(Case(MIXED, 0.85, 0.85, 0.85, 200, target, ("GO",)) for target in (None, 0.85)),
    *(Case(TUNED, 0.85, 0.85, 0.85, 200, target, ("GO",)) for target in (None, 0.80, 0.85, 0.90)),
    *(Case(MIXED, 0.85, 0.85, 0.93, n, target) for n in (400, 1200) for target in (None, 0.90)),
    *(Case(kinds, 0.85, 0.83, 0.83, n, 0.80, ("GO", "GO-FOR-COST")) for kinds in (MIXED, TUNED) for n in (400, 2000)),
    Case(MIXED, 0.85, 0.85, 0.85, 2000, 0.80, ("GO", "GO-FOR-COST"), dearer=True),
    *(Case(MIXED, 0.85, 0.85, 0.85, n, 0.80, ("GO",)) for n in (1000, 4000)),
)


def main() -> None:
    """Measure and print."""
    print(f"{RUNS} runs a row; {HARDNESS:.0%} of luck is the item's; 95 % Wilson interval of the share that is wrong\n")
    print(f"| tuned | untuned, tuned, last tuned, % | items | target | {' | '.join(VERDICTS)} | wrong | at most 5 % |")
    print(f"|--:|:--|--:|--:|{'--:|' * len(VERDICTS)}:--|:--|")
    start = time.perf_counter()
    for number, case in enumerate(CASES):
        rng = np.random.default_rng(number)
        a = assumptions(case.target)
        found = [decided(rng, case, a).verdict for _ in range(RUNS)]
        shares = " | ".join(f"{found.count(verdict) / RUNS:.1%}" for verdict in VERDICTS)
        true = ", ".join(f"{100 * share:.0f}" for share in (case.untuned, case.tuned, case.last))
        wanted = "none" if case.target is None else f"{case.target:.0%}"
        about = f"{case.kinds.count('tuned')} | {true}{', dearer' if case.dearer else ''} | {case.n} | {wanted}"
        wrong = sum(found.count(verdict) for verdict in case.wrong) if case.wrong else None
        print(f"| {about} | {shares} | {judged(wrong)} |", flush=True)
    worse_prompt()
    two_looks()
    latencies()
    print(f"\n{time.perf_counter() - start:.0f} s")


def worse_prompt() -> None:
    """How often one candidate is recommended alone, and how often it is cheap and worse than the best by the margin."""
    print("\nWithout tuning: one candidate at 85 %, the others cheaper and at 83 %\n")
    print("| candidates | items | recommended on average | the best alone | a worse one alone | at most 5 % |")
    print("|--:|--:|--:|--:|:--|:--|")
    a = assumptions(0.80)
    for kinds in (("prompt", "retrieval"), ("prompt", "prompt", "prompt", "prompt", "retrieval")):
        for n in (200, 1000, 4000):
            rng = np.random.default_rng(n)
            found = [decided(rng, Case(kinds, 0.83, 0, 0.85, n, 0.80), a).recommended for _ in range(RUNS)]
            alone = [one[0] for one in found if len(one) == 1]
            best = sum(name.startswith("retrieval") for name in alone)
            size = sum(map(len, found)) / RUNS
            row = f"{len(kinds)} | {n} | {size:.1f} | {best / RUNS:.1%} | {judged(len(alone) - best)}"
            print(f"| {row} |", flush=True)


def two_looks() -> None:
    """How often one of two looks says GO where no tuned candidate is better."""
    print("\nTwo looks, all candidates at 85 %, no target; wrong: a GO at either\n")
    print("| tuned | items | 5 % at each look | shared | at most 5 % |\n|--:|--:|--:|:--|:--|")
    a = assumptions(None)
    for kinds in (MIXED, TUNED):
        for first, whole in ((200, 400), (200, 800), (400, 500)):
            rng = np.random.default_rng(first + whole)
            each = shared = 0
            case = Case(kinds, 0.85, 0.85, 0.85, whole, None)
            for _ in range(RUNS):
                scores = drawn(rng, case)
                parts = {n: first_items(scores, n) for n in (first, whole)}
                shared += any(
                    judge_scores(part, case, a, looks=(first, n)[: 1 + (n > first)]).verdict == "GO"
                    for n, part in parts.items()
                )
                each += any(judge_scores(part, case, a).verdict == "GO" for part in parts.values())
            print(f"| {kinds.count('tuned')} | {first}, {whole} | {each / RUNS:.1%} | {judged(shared)} |", flush=True)


def latencies() -> None:
    """How often the ends of a percentile's interval are wrong; latencies are log-normal, some being a second slower."""
    print("\n| percentile | requests | low end wrong | high end wrong |\n|--:|--:|--:|--:|")
    rng, runs = np.random.default_rng(3), 50 * RUNS
    for q, n in ((0.5, 20), (0.5, 60), (0.95, 60), (0.95, 200), (0.99, 300)):
        true = float(np.quantile(times(rng, 4_000_000), q))
        ends = [quantile_interval(times(rng, n).tolist(), q) for _ in range(runs)]
        wrong = [sum(one is not None and one[side] > true for one in ends) / runs for side in (0, 1)]
        print(f"| {100 * q:g} | {n} | {wrong[0]:.1%} | {1 - wrong[1]:.1%} |", flush=True)


def times(rng: np.random.Generator, n: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Latencies, in seconds."""
    drawn: np.ndarray[tuple[int], np.dtype[np.float64]] = rng.lognormal(-1, 0.4, n) + (rng.random(n) < 0.07)
    return drawn


def judged(wrong: int | None) -> str:
    """A share, its interval and whether it is at most 5 %."""
    if wrong is None:
        return " | "
    low, high = wilson(wrong, RUNS)
    shown = "yes" if high <= AT_MOST else ("NO" if low > AT_MOST else "not shown, more runs would tell")
    return f"{wrong / RUNS:.1%} ({low:.1%} to {high:.1%}) | {shown}"


def decided(rng: np.random.Generator, case: Case, a: Assumptions) -> Decision:
    """The decision on one run, drawn anew."""
    return judge_scores(drawn(rng, case), case, a)


def drawn(rng: np.random.Generator, case: Case) -> Outcomes:
    """The answers of one run."""
    kinds, n = case.kinds, case.n
    luck = np.sqrt(HARDNESS) * rng.standard_normal(n) + np.sqrt(1 - HARDNESS) * rng.standard_normal((len(kinds), n))
    true = [*(case.tuned if kind == "tuned" else case.untuned for kind in kinds[:-1]), case.last]
    bounds = np.array([NormalDist().inv_cdf(share) for share in true])
    return Outcomes(
        candidates=tuple(f"{kind} {i}" for i, kind in enumerate(kinds)),
        items=tuple(map(str, range(n))),
        scores=(luck < bounds[:, None]).astype(np.float64),
        clusters=np.arange(n),
        slices=("",) * n,
    )


def first_items(o: Outcomes, n: int) -> Outcomes:
    """The answers to the first n items."""
    return replace(o, items=o.items[:n], scores=o.scores[:, :n], clusters=o.clusters[:n], slices=o.slices[:n])


def judge_scores(o: Outcomes, case: Case, a: Assumptions, looks: Sequence[int] = ()) -> Decision:
    """The decision on the answers of a run."""
    names = dict(zip(o.candidates, case.kinds, strict=True))
    described = [Standing(name=name, kind=kind).measured(accuracy(o, name)) for name, kind in names.items()]
    costs = {name: cost(name, kind, case) for name, kind in names.items()}
    return judge(assess(o, described, labelled=5000, answers=20, looks=looks, test_items=case.n), costs, a)


def assumptions(target: float | None) -> Assumptions:
    """Everything speaks for tuning."""
    stated = {"monthly_volume": "10000000", "stable": "yes", "behaviour": "yes", "maintainer": "a team"}
    return assume({}, stated if target is None else {**stated, "target_accuracy": str(target)})


def cost(name: str, kind: Kind, case: Case) -> Cost:
    """The first candidate is cheap; a tuned one costs a tenth of the others, or more than they do."""
    tuned = kind == "tuned"
    usd, work = (0.02 if case.dearer else 0.001, 5000.0) if tuned else (0.005 if kind == "prompt" else 0.01, 0.0)
    return Cost(candidate=name, strategy=kind, tuned=tuned, per_request_usd=usd, setup={"engineering": work})


if __name__ == "__main__":
    main()
