"""Published predictions replayed: what one draw of the demonstrations shows, and what all draws show together.

    python benchmarks/published.py FOLDER

FOLDER is a clone of github.com/abertsch72/long-context-icl (Bertsch et al., "In-Context Learning with Long-Context
Models", 2024; Apache License 2.0), which has the answers of llama-2-7b-80k to 250 test items of Banking77 and
CLINC150 in `final-results/`, as CSV: with 1,500 demonstrations drawn at random, and with the 1,500 nearest (BM25), ten
draws of each. Every draw is a candidate of its own, then the ten are repeats of one candidate, as in a decision.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import NormalDist

import pandas as pd
from scipy.stats import chi2_contingency

from thirdlever.analysis.compare import Comparison, accuracy, compare
from thirdlever.analysis.outcomes import Outcomes, averaged, outcomes

MODEL = "yaofu+llama-2-7b-80k"
SHOTS, DRAWS = 1500, 10
RANDOM, NEAREST = "random", "nearest"
DATASETS = {"Banking77": "banking77", "CLINC150": "clinic150"}
DIFFERENCES = (0.02, 0.03, 0.05)


def main(folder: Path) -> None:
    """Print a table for each data set."""
    for title, name in DATASETS.items():
        found = answers(folder / "final-results" / MODEL, name)
        print(f"{title}, {len(found.items)} items: {SHOTS:,} demonstrations, the nearest against random ones\n")
        heads = ("draw", 10), ("random %", 9), ("nearest %", 10), ("points", 8), ("better", 8), ("worse", 7), ("p", 9)
        print("".join(f"{head:>{width}}" for head, width in heads) + f"{'unpaired p':>12}")
        for draw in range(DRAWS):
            one = compare(found, f"{RANDOM} {draw}", f"{NEAREST} {draw}")
            print(f"{draw:>10}{line(found, one)}{unpaired(found, one):>12.3g}")
        together = averaged(found, {way: [f"{way} {draw}" for draw in range(DRAWS)] for way in (RANDOM, NEAREST)})
        mean = compare(together, RANDOM, NEAREST)
        interval = f"95 % interval {100 * mean.low:+.1f} to {100 * mean.high:+.1f}"
        print(f"{'all':>10}{line(together, mean)}  {interval}")
        print_needed(found, mean)


def print_needed(found: Outcomes, mean: Comparison) -> None:
    """The items that each way to compare needs."""
    first = compare(found, f"{RANDOM} 0", f"{NEAREST} 0")
    print("\nitems for 80 % power at a difference of " + " / ".join(f"{100 * d:g}" for d in DIFFERENCES) + " points")
    print("  paired, one draw    " + " / ".join(f"{first.needed(d):,}" for d in DIFFERENCES))
    print("  paired, ten draws   " + " / ".join(f"{mean.needed(d):,}" for d in DIFFERENCES))
    print("  unpaired, one draw  " + " / ".join(f"{unpaired_needed(found, first, d):,}" for d in DIFFERENCES) + "\n")


def answers(folder: Path, name: str) -> Outcomes:
    """Whether each draw's answer to each test item is right.

    Raises:
        SystemExit: a file is missing; 2, after a sentence.
    """
    parts = []
    for way, suffix in ((RANDOM, ""), (NEAREST, "-retrieval")):
        for draw in range(DRAWS):
            path = folder / f"{name}{suffix}" / f"nspw={SHOTS}_+n_shots={SHOTS}+run={draw}.csv"
            if not path.is_file():
                print(
                    f"{path} is missing; clone github.com/abertsch72/long-context-icl and name its folder",
                    file=sys.stderr,
                )
                raise SystemExit(2)
            read = pd.read_csv(path, usecols=["id", "correct", "true_numeric_labels"])
            parts.append(
                pd.DataFrame(
                    {
                        "candidate": f"{way} {draw}",
                        "item_id": read["id"].astype(str),
                        "item_hash": read["true_numeric_labels"].astype(str),  # one label for an item in all files
                        "score": read["correct"].astype(float),
                    }
                )
            )
    return outcomes(pd.concat(parts, ignore_index=True).assign(phase="accuracy", epoch=1, group=None, slice=""))


def line(found: Outcomes, one: Comparison) -> str:
    """Both accuracies, the difference, the items that differ, and p."""
    a, b = (100 * accuracy(found, name).value for name in (one.a, one.b))
    return f"{a:>9.1f}{b:>10.1f}{100 * one.difference:>+8.1f}{one.won:>8}{one.lost:>7}{one.p:>9.2g}"


def unpaired(found: Outcomes, one: Comparison) -> float:
    """The p of the two-sample test, which ignores that the items are the same."""
    right = [float(found.row(name).sum()) for name in (one.a, one.b)]
    table = [[one_right, len(found.items) - one_right] for one_right in right]
    return float(chi2_contingency(table, correction=False).pvalue)


def unpaired_needed(found: Outcomes, one: Comparison, difference: float) -> int:
    """Items of each of two separate samples, by the normal approximation."""
    shares = [float(found.row(name).mean()) for name in (one.a, one.b)]
    z = NormalDist().inv_cdf(0.975) + NormalDist().inv_cdf(0.8)
    return round(z**2 * sum(share * (1 - share) for share in shares) / difference**2)


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the script and the folder
        print("name the folder of the predictions: python benchmarks/published.py FOLDER", file=sys.stderr)
        raise SystemExit(2)
    main(Path(sys.argv[1]))
