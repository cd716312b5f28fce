"""Failures worth reading: items that the chosen candidate gets wrong and others right, and the reverse."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thirdlever.analysis.run import RECORDS
from thirdlever.evaluation import logs as samples

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.run import Run

MOST = 4
_OF_A_SLICE = 2  # more would say the same again
_RIGHT = 0.5
_COLUMNS = ("candidate", "item_id", "epoch", "target", "prediction", "completion", "error")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, and who gave it.

    Attributes:
        text: what was read from the answer, else the answer as it came.
        right: whether it counts.
        candidates: their names.
    """

    text: str
    right: bool
    candidates: Sequence[str]


@dataclass(frozen=True, slots=True)
class Failure:
    """An item on which the chosen candidate and the others part.

    Attributes:
        item: its id.
        slice: "" where there is none.
        input: what was asked; None when the run's logs do not have it.
        target: the right answer.
        replies: right ones first; among each, the chosen candidate's, then what most said.
    """

    item: str
    slice: str
    input: str | None
    target: str
    replies: Sequence[Reply]


def failures(run: Run, scores: Outcomes, chosen: str) -> tuple[list[Failure], list[Failure]]:
    """A few items: (wrong by the chosen candidate and right by others, the reverse), most telling first.

    Args:
        run: whose texts are read, of these items alone.
        scores: its outcomes.
        chosen: the candidate to use.
    """
    lost, won = _pick(scores, chosen)
    answers = _answers(run, [scores.items[i] for i in (*lost, *won)])
    inputs = _inputs(run, list(answers))
    picked = [[_failure(scores, i, answers, inputs, chosen) for i in group] for group in (lost, won)]
    return picked[0], picked[1]


def _pick(scores: Outcomes, chosen: str) -> tuple[list[int], list[int]]:
    """Items by number, the most others against the chosen one first; at most two of a slice."""
    right = scores.scores > _RIGHT
    own = right[scores.candidates.index(chosen)]
    others = right.sum(axis=0) - own
    rivals = len(scores.candidates) - 1
    return _telling(scores, ~own, others), _telling(scores, own, rivals - others)


def _telling(scores: Outcomes, mask: np.ndarray[Any, np.dtype[np.bool_]], against: np.ndarray[Any, Any]) -> list[int]:
    found: list[int] = []
    seen: Counter[str] = Counter()
    ranked = np.flatnonzero(mask & (against > 0))
    for i in ranked[np.argsort(-against[ranked], kind="stable")].tolist():
        name = scores.slices[i]
        if name and seen[name] >= _OF_A_SLICE:
            continue
        seen[name] += 1
        found.append(i)
        if len(found) == MOST:
            break
    return found


def _answers(run: Run, items: Sequence[str]) -> Mapping[str, list[Mapping[str, Any]]]:
    """The first answer of every candidate, by item."""
    import pandas as pd

    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    if not items:
        return found
    wanted = [("phase", "==", "accuracy"), ("item_id", "in", list(items))]
    rows = pd.read_parquet(run.folder / RECORDS, columns=list(_COLUMNS), filters=wanted)
    first = rows.sort_values(["epoch", "candidate"]).drop_duplicates(["candidate", "item_id"])
    for row in first.astype(object).where(first.notna(), None).to_dict("records"):
        found[str(row["item_id"])].append({str(name): value for name, value in row.items()})
    return found


def _failure(
    scores: Outcomes,
    i: int,
    answers: Mapping[str, list[Mapping[str, Any]]],
    inputs: Mapping[str, str],
    chosen: str,
) -> Failure:
    item = scores.items[i]
    by_text: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for row in answers[item]:
        right = bool(scores.scores[scores.candidates.index(row["candidate"]), i] > _RIGHT)
        by_text[not right, _said(row)].append(row["candidate"])
    ranked = sorted(by_text.items(), key=lambda e: (e[0][0], chosen not in e[1], -len(e[1]), e[0][1]))
    replies = [Reply(text, not wrong, names) for (wrong, text), names in ranked]
    return Failure(item, scores.slices[i], inputs.get(item), answers[item][0]["target"], replies)


def _said(row: Mapping[str, Any]) -> str:
    if row["error"] is not None:
        return "(the request failed)"
    if row["prediction"] is not None:
        return str(row["prediction"])
    return f"(no answer to be read in: {row['completion']})" if row["completion"] else "(no answer)"


def _inputs(run: Run, items: Collection[str]) -> dict[str, str]:
    """The texts of items, from the first log that has them; records do not hold them."""
    logs = [
        path
        for candidate in run.info.get("candidates", ())
        for name in candidate.get("logs", ())
        if ".accuracy." in name and (path := run.folder / "logs" / Path(name).name).is_file()
    ]
    found: dict[str, str] = {}
    for log in logs:
        if len(found) < len(items):
            found |= _read(log, [item for item in items if item not in found])
    return found


def _read(log: Path, items: Collection[str]) -> dict[str, str]:
    """Nothing when the log cannot be read: a memo does without."""
    try:
        return {sample.item_id: sample.input for sample in samples.read(log, items)}
    except (OSError, ValueError):
        return {}
