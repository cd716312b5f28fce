"""Whether the corrected accuracy of judged answers covers the truth, with a planted judge of known error.

Prints Markdown tables: for each judge (agreement with people), true accuracy and number of labels, the coverage of the
corrected 95 % interval beside that of the naive one, and how much wider it is. Bounds: 93 to 97 %, for a candidate's
accuracy by both methods and for the difference of two. RUNS in the environment sets how many experiments a line is made
of (default 400); a miss that simulation error (two standard errors) explains is none.
"""

from __future__ import annotations

import math
import os
import sys
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from thirdlever.analysis.compare import Differences
from thirdlever.analysis.grader import powered_accuracy
from thirdlever.analysis.outcomes import Corrections, Outcomes
from thirdlever.analysis.stats.intervals import wilson
from thirdlever.analysis.stats.judged import Calibration, GraderRate, corrected, powered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

RUNS = int(os.environ.get("RUNS", "400"))
AGREEMENTS = (0.75, 0.85, 0.95)
ACCURACIES = (0.5, 0.7, 0.9)
LABELS = (100, 200, 500)  # people's labels, 60 % of right answers
ITEMS = 500
BOUNDS = (0.93, 0.97)


class Line(NamedTuple):
    """Shares of the experiments whose interval contains the truth, and mean widths."""

    judge: float
    truth: str
    labels: int
    covered: float
    naive: float
    width: float
    naive_width: float

    @property
    def kept(self) -> bool:
        """Whether the corrected interval is within the bounds, but for simulation error."""
        slack = 2 * math.sqrt(self.covered * (1 - self.covered) / RUNS + 1e-6)
        return BOUNDS[0] - slack <= self.covered <= BOUNDS[1] + slack


def main() -> None:
    """Simulate, print, and fail when a bound is missed."""
    lines: list[Line] = []
    tables = {
        f"Accuracy, corrected by sensitivity and specificity ({ITEMS} items)": accuracies,
        f"Accuracy, prediction-powered: the labels are of the candidate's own answers ({ITEMS} items)": own_labels,
        f"Difference of two candidates ({ITEMS} items)": differences,
    }
    for title, simulate in tables.items():
        print(f"\n### {title}\n")
        print("| judge agrees, % | truth | labels | corrected covers, % | naive covers, % | width ratio | kept |")
        print("|--:|--:|--:|--:|--:|--:|:--|")
        for line in simulate():
            lines.append(line)
            shares = f"{100 * line.covered:.1f} | {100 * line.naive:.1f} | {line.width / line.naive_width:.1f}"
            kept = "yes" if line.kept else "NO"
            print(f"| {100 * line.judge:.0f} | {line.truth} | {line.labels} | {shares} | {kept} |")
    sys.exit(not all(line.kept for line in lines))


def accuracies() -> Iterator[Line]:
    """One candidate; the labels are of other answers."""
    for agrees, truth, labels in product(AGREEMENTS, ACCURACIES, LABELS):
        rng = np.random.default_rng([round(100 * agrees), round(100 * truth), labels])
        right, wrong = accepts(agrees)
        accepted = rng.binomial(ITEMS, truth * right + (1 - truth) * wrong, RUNS) / ITEMS
        _, low, high = corrected(accepted, ITEMS, judge(rng, agrees, labels))
        ends = np.array([wilson(share * ITEMS, ITEMS) for share in accepted])
        yield _line(agrees, truth, labels, np.stack([low, high], 1), ends)


def accepts(agrees: float) -> tuple[float, float]:
    """The shares of right and of wrong answers that a judge accepts: most judges are too kind, and so is this one."""
    kind = (1 - agrees) / 2
    return agrees + kind, 1 - agrees + kind


def verdicts(rng: np.random.Generator, agrees: float, right: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The judge's verdicts on answers of which some are right."""
    return (rng.random(right.shape) < np.where(right, *accepts(agrees))).astype(np.float64)


def judge(rng: np.random.Generator, agrees: float, labels: int) -> Calibration:
    """Calibrations of a judge [runs]."""
    right = rng.binomial(labels, 0.6, RUNS)
    wrong = labels - right
    accepted = [rng.binomial(n, share) / n for n, share in zip((right, wrong), accepts(agrees), strict=True)]
    return Calibration(GraderRate(accepted[0], right), GraderRate(accepted[1], wrong))


def own_labels() -> Iterator[Line]:
    """One candidate; the labels are of a random part of its own answers, and the judge errs as it likes."""
    for agrees, truth, labels in product(AGREEMENTS, ACCURACIES, LABELS[:2]):
        rng = np.random.default_rng([1, round(100 * agrees), round(100 * truth), labels])
        ends, naive = [], []
        for _ in range(RUNS):
            right = rng.random(ITEMS) < truth
            verdict = verdicts(rng, agrees, right)
            human = np.full(ITEMS, np.nan)
            human[:labels] = right[:labels]
            ends.append(powered_interval(verdict, human))
            naive.append(wilson(verdict.sum(), ITEMS))
        yield _line(agrees, truth, labels, np.array(ends), np.array(naive))


def powered_interval(verdict: NDArray[np.float64], human: NDArray[np.float64]) -> tuple[float, float]:
    """As a run shows it."""
    found = powered_accuracy(powered(verdict, human), np.arange(len(verdict)), labels=int((~np.isnan(human)).sum()))
    return found.low, found.high


def differences() -> Iterator[Line]:
    """Two candidates whose right answers overlap; the truth is their difference."""
    for agrees, gain, labels in product(AGREEMENTS, (0.0, 0.1), LABELS[:2]):
        rng = np.random.default_rng([2, round(100 * agrees), round(100 * gain), labels])
        calibrations = judge(rng, agrees, labels)
        ends, naive = [], []
        for run in range(RUNS):
            draw = rng.random(ITEMS)
            right = np.stack([draw < 0.65, draw < 0.65 + gain])
            flipped = rng.random(ITEMS) < 0.2
            right[1] = np.where(flipped, rng.permutation(right[1]), right[1])
            verdict = verdicts(rng, agrees, right)
            calibration = Calibration(
                GraderRate(float(calibrations.right.value[run]), int(calibrations.right.n[run])),
                GraderRate(float(calibrations.wrong.value[run]), int(calibrations.wrong.n[run])),
            )
            raw = Outcomes(
                candidates=("a", "b"),
                items=tuple(map(str, range(ITEMS))),
                scores=verdict,
                clusters=np.arange(ITEMS),
                slices=("",) * ITEMS,
            )
            ends.append(Differences(Corrections.of(raw, calibration), "a", "b").interval(0.95))
            naive.append(Differences(raw, "a", "b").interval(0.95))
        yield _line(agrees, gain, labels, np.array(ends), np.array(naive))


def _line(agrees: float, truth: float, labels: int, ends: NDArray[np.float64], naive: NDArray[np.float64]) -> Line:
    """Coverage and mean width of intervals [runs, 2]."""

    def covered(of: NDArray[np.float64]) -> float:
        return float(((of[:, 0] <= truth) & (truth <= of[:, 1])).mean())

    widths = [float((of[:, 1] - of[:, 0]).mean()) for of in (ends, naive)]
    return Line(agrees, f"{100 * truth:g} %", labels, covered(ends), covered(naive), *widths)


if __name__ == "__main__":
    main()
