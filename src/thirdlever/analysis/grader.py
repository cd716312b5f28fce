"""What a run's grader is worth by people's labels, and the accuracies and differences that follow from its verdicts."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from thirdlever.analysis.stats import intervals
from thirdlever.analysis.stats.intervals import Proportion
from thirdlever.analysis.stats.judged import Agreement, Calibration, GraderRate, Powered, corrected, powered
from thirdlever.core.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


LEAST = 20  # labelled answers of either class: with fewer, the error of the grader is anyone's guess
LEAST_OWN = 50  # labelled answers of a candidate's own, for prediction-powered inference
_HASH = 16  # characters
# In place of a calibration where none is needed: it changes no figure.
PERFECT = Calibration(GraderRate(1.0, 1e15), GraderRate(0.0, 1e15))


class Labelled(NamedTuple):
    """An answer that people labelled.

    Attributes:
        item: id of the item.
        answer: hash of the answer's text.
        right: people's label, 0 to 1.
        score: the grader's; None if it gave no verdict.
    """

    item: str
    answer: str
    right: float
    score: float | None


def answer_hash(text: str) -> str:
    """The start of an answer's sha256, by which a label finds its answer."""
    return content_hash([text])[:_HASH]


@dataclass(frozen=True, eq=False)
class Grader:
    """The grader of a run, as its run.json describes it.

    Attributes:
        model: its name.
        suite: name of the suite.
        labels: people's labels with its verdicts.
    """

    model: str
    suite: str
    labels: Sequence[Labelled]

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Grader | None:
        """The grader of a run; None if its answers are graded without one."""
        found = info.get("grader")
        if not found:
            return None
        return cls(
            found["model"], (info.get("suite") or {}).get("name", ""), [Labelled(*row) for row in found["labels"]]
        )

    @cached_property
    def agreement(self) -> Agreement:
        """How far it agrees with people."""
        both = [(one.score, one.right) for one in self.labels if one.score is not None]
        score, right = np.array(both, np.float64).reshape(-1, 2).T
        return Agreement(score, right)

    @property
    def calibration(self) -> Calibration:
        """Its mean scores of right and wrong answers."""
        return self.agreement.calibration

    @cached_property
    def why_not(self) -> str | None:
        """Why no accuracy can be based on its verdicts, and the remedy, as a clause; None if one can."""
        right, wrong = self.calibration.right.n, self.calibration.wrong.n
        file = f"datasets/{self.suite}/human.jsonl"
        if min(right, wrong) < LEAST:
            have = f"{right:g} right and {wrong:g} wrong answers are labelled by people"
            have = have if right + wrong else "no answers are labelled by people"
            remedy = f"label {LEAST} right and {LEAST} wrong ones in {file}, then repeat the run with the same --out"
            return f"the grader {self.model} is not calibrated: {have}; {remedy}"
        if not self.calibration.tells_apart():
            index = f"Youden's index {self.calibration.youden:.2f} on {right + wrong:g} labelled answers"
            remedy = "rewrite the rubric, label more answers, or use another --grader"
            return f"the grader {self.model} does not tell right answers from wrong ones ({index}); {remedy}"
        return None

    @property
    def summary(self) -> dict[str, Any]:
        """Its agreement with people as run.json holds it: each figure with its interval; None if unknown."""
        found = self.agreement
        figures = {
            "agreement": found.agreement,
            "kappa": found.kappa,
            "sensitivity": found.sensitivity,
            "specificity": found.specificity,
        }
        return {
            "right": self.calibration.right.n,
            "wrong": self.calibration.wrong.n,
            "no_verdict": sum(one.score is None for one in self.labels),
            **{name: None if one is None or math.isnan(one.value) else list(one) for name, one in figures.items()},
        }

    def own(self, answers: pd.DataFrame) -> Floats:
        """People's labels of a candidate's own answers [rows], nan where there is none.

        Args:
            answers: columns item_id and prediction.
        """
        known = {(one.item, one.answer): one.right for one in self.labels}
        items = {one.item for one in self.labels}
        pairs = zip(answers["item_id"], answers["prediction"], strict=True)
        return np.array(
            [
                known.get((item, answer_hash(text)), math.nan) if item in items and isinstance(text, str) else math.nan
                for item, text in pairs
            ],
            np.float64,
        )

    def powered(self, answers: pd.DataFrame, verdicts: Floats) -> Powered | None:
        """The prediction-powered accuracy; None if too few of a candidate's answers are labelled, or items repeated.

        Args:
            answers: one row per item: item_id and prediction.
            verdicts: [rows].
        """
        human = self.own(answers)
        if np.isfinite(human).sum() < LEAST_OWN or answers["item_id"].duplicated().any():
            return None
        return powered(verdicts, human)


def accuracy(
    verdicts: Floats,
    judged: Floats,
    clusters: NDArray[np.int64],
    calibration: Calibration,
    *,
    requests: int,
    graded: bool,
    confidence: float = 0.95,
) -> Proportion:
    """A candidate's accuracy, corrected for the grader's errors, with both uncertainties in its interval.

    Args:
        verdicts: [items]; mean scores, 0 for a request without an answer.
        judged: [items]; share of an item's repeats that were judged.
        clusters: [items]; as `intervals.of_items` takes them.
        calibration: of the grader.
        requests: likewise.
        graded: likewise.
        confidence: coverage of the interval.
    """
    raw = intervals.of_items(verdicts, clusters, requests=requests, graded=graded, confidence=confidence)
    size = intervals.effective_size(verdicts, clusters, requests=requests, graded=graded, confidence=confidence)
    share = float(judged.mean())
    value, low, high = (
        float(end) for end in corrected(raw.value, size, calibration, judged=share, confidence=confidence)
    )
    spread = value**2 * calibration.right.variance + (share - value) ** 2 * calibration.wrong.variance
    return replace(raw, value=value, low=low, high=high, se=math.sqrt(raw.se**2 + spread) / abs(calibration.youden))


def powered_accuracy(
    found: Powered, clusters: NDArray[np.int64], *, labels: int, confidence: float = 0.95
) -> Proportion:
    """A prediction-powered accuracy, with Wilson's interval at the effective number of items.

    Args:
        found: its values.
        clusters: [items].
        labels: number of labelled answers, which is all there is if every one agrees.
        confidence: coverage of the interval.
    """
    totals, sizes = intervals.cluster_totals(found.by_item, clusters)
    variance = intervals.cluster_variance(totals, sizes) + found.floor
    value = min(max(float(found.by_item.mean()), 0.0), 1.0)
    size = max(value * (1 - value) / variance, 1.0) if 0 < value < 1 else float(labels)
    low, high = intervals.wilson(value * size, size, confidence)
    return Proportion(value, low, high, math.sqrt(variance), len(found.by_item), len(sizes))
