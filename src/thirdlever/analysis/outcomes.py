"""Scores by candidate and item, paired for tests.

Repeats of an item (epochs) are averaged within it: they show how stable an answer is, and are not new items. Candidates
that were asked different items cannot be paired and raise, because comparing them would compare the items.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from thirdlever.analysis.grader import Grader
from thirdlever.analysis.stats.intervals import clusters
from thirdlever.core.errors import RunError, unknown
from thirdlever.core.text import counted
from thirdlever.evaluation.records import statuses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from thirdlever.analysis.run import Run
    from thirdlever.analysis.stats.judged import Calibration, Powered


_COMPLETE = "repeat the run's command with the same --out to complete it"


@dataclass(frozen=True, eq=False)
class Corrections:
    """What it takes to correct the scores of `Outcomes` that a grader gave.

    Attributes:
        calibration: of the grader.
        verdicts: [candidates, items]; its scores, 0 for a request without an answer.
        judged: [candidates, items]; share of an item's repeats that it judged.
        powered: [candidates, items]; see `Powered`; nan for a candidate without labels of its own.
        floor: [candidates]; likewise.
    """

    calibration: Calibration
    verdicts: NDArray[np.float64]
    judged: NDArray[np.float64]
    powered: NDArray[np.float64]
    floor: NDArray[np.float64]

    @classmethod
    def of(
        cls,
        o: Outcomes,
        calibration: Calibration,
        judged: NDArray[np.float64] | None = None,
        found: Mapping[str, Powered] | None = None,
    ) -> Outcomes:
        """Outcomes whose scores are verdicts, with the corrected ones in their place.

        Args:
            o: the verdicts.
            calibration: of the grader.
            judged: [candidates, items]; all, if not given.
            found: prediction-powered accuracies, by candidate.
        """
        share = np.ones_like(o.scores) if judged is None else judged
        rows = [(found or {}).get(name) for name in o.candidates]
        corrections = cls(
            calibration=calibration,
            verdicts=o.scores,
            judged=share,
            powered=np.stack([np.full(len(o.items), math.nan) if row is None else row.by_item for row in rows]),
            floor=np.array([0.0 if row is None else row.floor for row in rows]),
        )
        scores = (o.scores - share * calibration.wrong.value) / calibration.youden
        return replace(o, scores=scores, corrections=corrections)

    def only(self, kept: NDArray[np.int64]) -> Corrections:
        """On some of the items."""
        return replace(
            self, verdicts=self.verdicts[:, kept], judged=self.judged[:, kept], powered=self.powered[:, kept]
        )

    def merged(self, groups: Sequence[Sequence[int]]) -> Corrections:
        """With each group of rows as one candidate, its mean."""

        def mean(table: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.stack([table[list(rows)].mean(axis=0) for rows in groups])

        return replace(
            self,
            verdicts=mean(self.verdicts),
            judged=mean(self.judged),
            powered=mean(self.powered),
            floor=mean(self.floor),
        )


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Scores of every candidate on the same items.

    Attributes:
        candidates: names, as in the records.
        items: ids, sorted.
        scores: [candidates, items]; the mean over epochs, 0 for a failed request or an unparsed answer. Those of a
            grader are corrected for its errors, so that their mean is the accuracy; each alone may be outside 0 to 1.
        clusters: [items]; items of one group share a number, an item without a group has its own.
        slices: [items]; "" if there is none.
        epochs: repeats of each item.
        graded: whether any score is other than 0 or 1.
        corrections: of a grader's errors; None if answers are graded without one.
    """

    candidates: tuple[str, ...]
    items: tuple[str, ...]
    scores: NDArray[np.float64]
    clusters: NDArray[np.int64]
    slices: tuple[str, ...]
    epochs: int = 1
    graded: bool = False
    corrections: Corrections | None = None

    def row(self, name: str) -> NDArray[np.float64]:
        """Scores of one candidate [items].

        Raises:
            RunError: there is no such candidate.
        """
        if name not in self.candidates:
            raise RunError(unknown("candidate", name, self.candidates))
        row: NDArray[np.float64] = self.scores[self.candidates.index(name)]
        return row

    def only(self, mask: NDArray[np.bool_]) -> Outcomes:
        """The same candidates on some of the items; `mask` is [items]."""
        kept = np.flatnonzero(mask)
        return replace(
            self,
            items=tuple(self.items[i] for i in kept),
            scores=self.scores[:, kept],
            clusters=np.unique(self.clusters[kept], return_inverse=True)[1].astype(np.int64),
            slices=tuple(self.slices[i] for i in kept),
            corrections=self.corrections and self.corrections.only(kept),
        )

    def slice(self, name: str) -> Outcomes:
        """The same candidates on the items of one slice.

        Raises:
            RunError: there is no such slice.
        """
        mask = np.array([label == name for label in self.slices], dtype=bool)
        if not mask.any():
            raise RunError(unknown("slice", name, {label for label in self.slices if label}))
        return self.only(mask)

    @property
    def verdicts(self) -> NDArray[np.float64]:
        """Scores as they were given [candidates, items], without a correction."""
        return self.corrections.verdicts if self.corrections else self.scores

    def merged(self, groups: Mapping[str, Sequence[str]]) -> Outcomes:
        """Outcomes with one candidate for each group, by its name: the mean score of its members on each item.

        Raises:
            RunError: there is no such candidate.
        """
        rows = [np.mean([self.row(one) for one in names], axis=0) for names in groups.values()]
        places = [[self.candidates.index(one) for one in names] for names in groups.values()]
        return replace(
            self,
            candidates=tuple(groups),
            scores=np.stack(rows),
            graded=True,
            corrections=self.corrections and self.corrections.merged(places),
        )

    def best(self) -> str:
        """The candidate with the highest mean score; the first of several."""
        return self.candidates[int(self.scores.mean(axis=1).argmax())]


NONE = Outcomes((), (), np.zeros((0, 0)), np.zeros(0, np.int64), ())  # of a run without a measured candidate


def averaged(o: Outcomes, repeats: Mapping[str, Sequence[str]]) -> Outcomes:
    """Outcomes in which repeats of one recipe are one candidate, with its mean score on each item.

    Args:
        o: of all candidates.
        repeats: for each recipe's name, the candidates that repeat it.
    """
    if not repeats:
        return o
    of = {name: recipe for recipe, names in repeats.items() for name in names}
    return o.merged({name: repeats.get(name, (name,)) for name in dict.fromkeys(of.get(n, n) for n in o.candidates)})


def load(run: Run) -> Outcomes:
    """The outcomes of a run's measured candidates.

    Raises:
        RunError: the run is not finished, its candidates cannot be paired, or none of them is measured.
    """
    unmeasured = run.not_measured
    if unmeasured and len(unmeasured) == len(run.figures):
        name, why = next(iter(unmeasured.items()))
        message = f"no candidate of run {str(run.folder)!r} is measured; {name}: {why}"
        raise RunError(message)
    return outcomes(run.records[~run.records["candidate"].isin([*unmeasured])], Grader.of(run.info))


def outcomes(records: pd.DataFrame, grader: Grader | None = None) -> Outcomes:
    """Pair the answers of the accuracy pass by item. Items on which the grader gave no verdict are left out.

    Args:
        records: one row per request, in any order.
        grader: whose scores they are; None if none graded them.

    Raises:
        RunError: no answers, or candidates with different items or numbers of repeats.
    """
    import pandas as pd

    asked = records[records["phase"] == "accuracy"]
    if grader is not None:
        asked = asked[~asked["item_id"].isin(asked.loc[statuses(asked) == "ungraded", "item_id"])]
    if asked.empty:
        message = f"the run has no answers to compare; {_COMPLETE}"
        raise RunError(message)
    candidate, candidates = pd.factorize(asked["candidate"], sort=False)
    item, items = pd.factorize(asked["item_id"], sort=True)
    shape = len(candidates), len(items)
    cell = candidate.astype(np.int64) * shape[1] + item
    counts = np.bincount(cell, minlength=shape[0] * shape[1]).reshape(shape)
    names = [str(name) for name in candidates]
    _check_items(names, [str(name) for name in items], counts)
    _check_repeats(asked, cell, int(counts[0, 0]))
    first = np.unique(item, return_index=True)[1]
    _check_questions(asked, item, first)
    score = asked["score"].fillna(0.0).to_numpy(dtype=np.float64)
    total = np.bincount(cell, weights=score, minlength=counts.size).reshape(shape)
    order = sorted(range(len(names)), key=names.__getitem__)  # independent of the order of rows
    found = Outcomes(
        candidates=tuple(names[i] for i in order),
        items=tuple(map(str, items)),
        scores=(total / counts)[order],
        clusters=clusters(asked["group"].iloc[first]),
        slices=tuple(asked["slice"].iloc[first].fillna("").astype(str)),
        epochs=int(counts[0, 0]),
        graded=bool(((score != 0) & (score != 1)).any()),
    )
    if grader is None:
        return found
    answered = (statuses(asked) == "answered").to_numpy(dtype=np.float64)
    judged = np.bincount(cell, weights=answered, minlength=counts.size).reshape(shape) / counts
    by_name = {str(name): own.sort_values("item_id") for name, own in asked.groupby("candidate")}
    scored = {name: own["score"].fillna(0.0).to_numpy(np.float64) for name, own in by_name.items()}
    powered = {name: done for name, own in by_name.items() if (done := grader.powered(own, scored[name]))}
    return Corrections.of(found, grader.calibration, judged[order], powered)


def _check_items(names: list[str], items: list[str], counts: NDArray[np.int64]) -> None:
    missing = counts == 0
    if missing.any():
        listed = ", ".join(f"{name!r} {n:,}" for name, n in zip(names, (~missing).sum(axis=1), strict=True))
        example = items[int(np.flatnonzero(missing.any(axis=0))[0])]
        message = f"candidates were not asked the same items ({listed}; not asked of all: {example!r}); {_COMPLETE}"
        raise RunError(message)
    if (counts != counts[0, 0]).any():
        often = [f"{row.min()}" if row.min() == row.max() else f"{row.min()} to {row.max()}" for row in counts]
        listed = ", ".join(f"{name!r} {n}" for name, n in zip(names, often, strict=True))
        message = f"items were not repeated equally often (times per item: {listed}); {_COMPLETE}"
        raise RunError(message)


def _check_repeats(asked: pd.DataFrame, cell: NDArray[np.int64], repeats: int) -> None:
    """Each repeat must occur once: a duplicated row would count as a second answer."""
    import pandas as pd

    epoch, epochs = pd.factorize(asked["epoch"])
    if len(epochs) != repeats or np.bincount(cell * len(epochs) + epoch).max() > 1:
        message = f"the records hold an answer twice, or repeats with different numbers; {_COMPLETE}"
        raise RunError(message)


def _check_questions(asked: pd.DataFrame, item: NDArray[np.int64], first: NDArray[np.int64]) -> None:
    """An id must mean one question, or answers to two versions of a suite would be paired."""
    import pandas as pd

    code = pd.factorize(asked["item_hash"])[0]
    other = np.flatnonzero(code != code[first][item])
    if len(other):
        row, was = asked.iloc[int(other[0])], asked.iloc[int(first[item[other[0]]])]
        differing = len(np.unique(item[other]))
        message = (
            f"the candidates were asked different questions in {counted(differing, 'item')} "
            f"(such as {str(row['item_id'])!r} for {str(was['candidate'])!r} and {str(row['candidate'])!r}); "
            "run all on one version of the suite"
        )
        raise RunError(message)
