"""Published predictions replayed: what one draw of the demonstrations shows, and what all draws show together.

    python benchmarks/published.py FOLDER

FOLDER is a clone of github.com/abertsch72/long-context-icl (Bertsch et al., "In-Context Learning with Long-Context
Models", 2024; Apache License 2.0), which has the answers of llama-2-7b-80k to 250 test items of each data set in
`final-results/`, as CSV: with many demonstrations drawn at random, and with as many of the nearest (BM25), ten draws of
each. Every draw is a candidate of its own, then the ten are repeats of one candidate, as in a decision. The nearest
demonstrations differ less between draws: a draw only fills the places for which BM25 finds nothing.

Tuned models come with their accuracies only, so they cannot be paired by item.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist

import pandas as pd
from scipy.stats import chi2_contingency

from thirdlever.analysis.compare import Comparison, accuracy, compare
from thirdlever.analysis.outcomes import Outcomes, averaged, outcomes
from thirdlever.analysis.variance import split
from thirdlever.core.errors import RunError

MODEL = "yaofu+llama-2-7b-80k"
DRAWS = 10
RANDOM, NEAREST = "random", "nearest"
SUFFIXES = {RANDOM: "", NEAREST: "-retrieval"}
DIFFERENCES = (0.02, 0.03, 0.05)


@dataclass(frozen=True)
class DataSet:
    """Where the answers to a data set lie.

    Attributes:
        title: its name.
        name: of the folders with answers.
        tuned: name of the file with the accuracies of tuned models.
        shots: number of demonstrations, with answers for both ways.
    """

    title: str
    name: str
    tuned: str
    shots: int


DATASETS = (
    DataSet("Banking77", "banking77", "banking77", 1500),
    DataSet("CLINC150", "clinic150", "clinic", 1500),
    DataSet("TREC, fine labels", "trecfine", "trecfine", 2000),
)


def main(folder: Path) -> None:
    """Print a table for each data set."""
    results = folder / "final-results"
    for data in DATASETS:
        found = answers(results / MODEL, data)
        print(
            f"{data.title}, {len(found.items)} items: {data.shots:,} demonstrations, the nearest against random ones\n"
        )
        heads = ("draw", 10), ("random %", 9), ("nearest %", 10), ("points", 8), ("better", 8), ("worse", 7), ("p", 9)
        print("".join(f"{head:>{width}}" for head, width in heads) + f"{'unpaired p':>12}")
        for draw in range(DRAWS):
            one = compare(found, f"{RANDOM} {draw}", f"{NEAREST} {draw}")
            print(f"{draw:>10}{line(found, one)}{unpaired(found, one):>12.3g}")
        together = averaged(found, {way: draws(way) for way in SUFFIXES})
        mean = compare(together, RANDOM, NEAREST)
        interval = f"95 % interval {100 * mean.low:+.1f} to {100 * mean.high:+.1f}"
        print(f"{'all':>10}{line(together, mean)}  {interval}")
        print_spread(found)
        print_needed(found, mean)
        print_best(results, data)


def print_spread(found: Outcomes) -> None:
    """How much the draws of each way differ."""
    print()
    for way in SUFFIXES:
        rows = [found.row(draw) for draw in draws(way)]
        differing = sum(len(set(answered)) > 1 for answered in zip(*rows, strict=True))
        spread = split(found, draws(way), recipe=way, source="demonstrations")
        print(
            f"{way}: {differing} items are right in some draws only; accuracies {100 * spread.lowest:.1f} to "
            f"{100 * spread.highest:.1f}, standard deviation due to the draw {100 * spread.se_seeds:.1f} points"
        )


def print_best(results: Path, data: DataSet) -> None:
    """The best mean accuracy of each way over all numbers of demonstrations, and that of tuned models."""
    print("\nbest mean over draws, by number of demonstrations, chosen on these items")
    for way, suffix in SUFFIXES.items():
        path = results / MODEL / f"{data.name}{suffix}" / "combined_results.csv"
        known = read(path, ["n_shots", "accuracy", "run_num"]).drop_duplicates(["n_shots", "run_num"])
        means = known.groupby("n_shots")["accuracy"].mean()
        print(f"  {way:8}{means.max():>6.1f} % with {means.idxmax():,}")
    known = read(results / "finetuning" / f"{data.tuned}.csv", ["n_shots", "accuracy", "run_num"])
    last = known[known["n_shots"] == known["n_shots"].max()].drop_duplicates("run_num")
    print(
        f"  {'tuned':8}{100 * last['accuracy'].mean():>6.1f} % on all examples ({len(last)} runs; no answers by item)\n"
    )


def draws(way: str) -> list[str]:
    """Names of the draws."""
    return [f"{way} {draw}" for draw in range(DRAWS)]


def print_needed(found: Outcomes, mean: Comparison) -> None:
    """The items that each way to compare needs."""
    first = compare(found, f"{RANDOM} 0", f"{NEAREST} 0")
    print("\nitems for 80 % power at a difference of " + " / ".join(f"{100 * d:g}" for d in DIFFERENCES) + " points")
    print("  paired, one draw    " + " / ".join(f"{first.needed(d):,}" for d in DIFFERENCES))
    print("  paired, ten draws   " + " / ".join(f"{mean.needed(d):,}" for d in DIFFERENCES))
    print("  unpaired, one draw  " + " / ".join(f"{unpaired_needed(found, first, d):,}" for d in DIFFERENCES))


def answers(folder: Path, data: DataSet) -> Outcomes:
    """Whether each draw's answer to each test item is right.

    Raises:
        RunError: a file is missing or is not as expected, or the files have different items or labels.
    """
    parts = []
    for way, suffix in SUFFIXES.items():
        for draw, candidate in enumerate(draws(way)):
            path = folder / f"{data.name}{suffix}" / f"nspw={data.shots}_+n_shots={data.shots}+run={draw}.csv"
            given = read(path, ["id", "correct", "true_numeric_labels"])
            parts.append(
                pd.DataFrame(
                    {
                        "candidate": candidate,
                        "item_id": given["id"].astype(str),
                        "item_hash": given["true_numeric_labels"].astype(str),  # one label for an item in all files
                        "score": given["correct"].astype(float),
                    }
                )
            )
    return outcomes(pd.concat(parts, ignore_index=True).assign(phase="accuracy", epoch=1, group=None, slice=""))


def read(path: Path, columns: list[str]) -> pd.DataFrame:
    """Some columns of a CSV file.

    Raises:
        RunError: the file is missing or does not have them.
    """
    if not path.is_file():
        message = f"{path} is missing; clone github.com/abertsch72/long-context-icl and name its folder"
        raise RunError(message)
    try:
        return pd.read_csv(path, usecols=columns)
    except ValueError as error:
        message = f"cannot read {path}: {error}"
        raise RunError(message) from error


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
    if len(sys.argv) != 2:
        print("name the folder of the predictions: python benchmarks/published.py FOLDER", file=sys.stderr)
        raise SystemExit(2)
    try:
        main(Path(sys.argv[1]))
    except RunError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
