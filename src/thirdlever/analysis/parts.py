"""Figures of the parts of answers: precision, recall and F1 of each label, accuracy and validity of each field.

A request without an answer names no label and fills no field: it lowers recall, not precision.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.answers.answer import Label
from thirdlever.answers.rules import Checks
from thirdlever.answers.sets import Labels
from thirdlever.answers.structured import Json

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thirdlever.answers.answer import Answer


By: TypeAlias = Literal["label", "field", "rule"]
Answered: TypeAlias = "Sequence[tuple[str | None, str]]"  # prediction, None without an answer; and target

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFigures:
    """One part's figures, from 0 to 1. None if it has no meaning for the part.

    Attributes:
        part: a label, a rule, or a field's path, in which `items[]` is any item.
        support: how many targets have the label, or a value other than null in the field.
        precision: of the answers that have it, the share that is right.
        recall: of the targets that have it, the share that is found.
        f1: their harmonic mean.
        accuracy: share of requests that are right about it, null included; or that keep the rule.
        valid: share of the answers in which the schema allows the field.
    """

    part: str
    support: int
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    accuracy: float | None = None
    valid: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTable:
    """The parts of one candidate's answers.

    Attributes:
        by: what they are.
        parts: in the order of the answer kind.
        macro_f1: mean over the parts that targets have.
        micro_f1: of all labels or fields together; None where it equals the accuracy, and for rules.
        valid: share of requests whose answer follows the schema; None without one.
    """

    by: By
    parts: tuple[PartFigures, ...]
    macro_f1: float | None = None
    micro_f1: float | None = None
    valid: float | None = None


def part_table(kind: Answer | None, answered: Answered, *, labels: bool = False) -> PartTable | None:
    """The figures of each part; None if answers of the kind have no parts.

    Args:
        kind: the answer kind; None if unknown.
        answered: predictions and targets.
        labels: whether answers of an unknown kind are labels.
    """
    if isinstance(kind, Labels):
        return _of_sets(kind, answered)
    if isinstance(kind, Json):
        return _of_fields(kind, answered)
    if isinstance(kind, Checks):
        return _of_rules(kind, answered)
    if isinstance(kind, Label) or (kind is None and labels):
        known = kind.choices if kind else sorted({target for _, target in answered})
        return _of_labels(known, answered)
    return None


def _of_labels(labels: Sequence[str], answered: Answered) -> PartTable:
    from sklearn.metrics import precision_recall_fscore_support

    code = {label: number for number, label in enumerate(labels)}  # scikit-learn compares numbers many times faster
    truth = [code.get(target, -2) for _, target in answered]
    read = [-1 if prediction is None else code.get(prediction, -1) for prediction, _ in answered]
    figures = precision_recall_fscore_support(truth, read, labels=[*code.values()], zero_division=0)
    parts = _labelled(labels, zip(*figures, strict=True))
    return PartTable(by="label", parts=parts, macro_f1=_macro(parts))


def _of_sets(kind: Labels, answered: Answered) -> PartTable:
    import numpy as np
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    def has(value: str | None) -> list[bool]:
        return [False] * len(kind.labels) if value is None else [each == "yes" for each in kind.parts(value).values()]

    truth = np.array([has(target) for _, target in answered])
    read = np.array([has(prediction) for prediction, _ in answered])
    parts = _labelled(kind.labels, zip(*precision_recall_fscore_support(truth, read, zero_division=0), strict=True))
    micro = float(f1_score(truth, read, average="micro", zero_division=0))
    return PartTable(by="label", parts=parts, macro_f1=_macro(parts), micro_f1=micro)


def _labelled(labels: Sequence[str], figures: Iterable[tuple[float, float, float, int]]) -> tuple[PartFigures, ...]:
    return tuple(
        PartFigures(part=label, support=int(support), precision=float(precision), recall=float(recall), f1=float(f1))
        for label, (precision, recall, f1, support) in zip(labels, figures, strict=True)
    )


def _macro(parts: Sequence[PartFigures]) -> float | None:
    found = [part.f1 or 0.0 for part in parts if part.support]
    return sum(found) / len(found) if found else None


def _of_fields(kind: Json, answered: Answered) -> PartTable:
    """Slot F1, as in language understanding: a wrong value is one that is missing, and one that is too much."""
    count: Counter[tuple[str, str]] = Counter()
    valid = 0
    for prediction, target in answered:
        for path, got, wanted, is_target in kind.pairs(prediction, target):
            field, right = _INDEX.sub("[]", path), prediction is not None and kind.same(got, wanted)
            facts = {
                "targets": is_target,
                "right": is_target and right,
                "wanted": wanted is not None,
                "got": got is not None,
                "found": right and wanted is not None,
            }
            count.update((field, fact) for fact, holds in facts.items() if holds)
        faults = kind.faults(prediction) if prediction is not None else {}
        valid += prediction is not None and not faults
        count.update((field, "invalid") for field in {_INDEX.sub("[]", path) for path in faults})
    fields = list(dict.fromkeys(field for field, _ in count))
    answers = sum(prediction is not None for prediction, _ in answered)

    def figures(*own: str) -> tuple[float | None, float | None, float | None]:
        found, got, wanted = (sum(count[field, fact] for field in own) for fact in ("found", "got", "wanted"))
        return _share(found, got), _share(found, wanted), _share(2 * found, got + wanted)

    parts = []
    for field in fields:
        precision, recall, f1 = figures(field)
        accuracy = _share(count[field, "right"], count[field, "targets"])
        allowed = _share(answers - count[field, "invalid"], answers)
        support = count[field, "wanted"]
        parts.append(
            PartFigures(
                part=field,
                support=support,
                precision=precision,
                recall=recall,
                f1=f1,
                accuracy=accuracy,
                valid=allowed,
            )
        )
    micro = figures(*fields)[2]
    return PartTable(
        by="field",
        parts=tuple(parts),
        macro_f1=_macro(parts),
        micro_f1=micro,
        valid=_share(valid, len(answered)),
    )


def _of_rules(kind: Checks, answered: Answered) -> PartTable:
    kept: Counter[str] = Counter()
    for prediction, target in answered:
        if prediction is not None:
            kept.update(str(rule) for rule in kind.rules if rule.fault(prediction, target) is None)
    rules = list(dict.fromkeys(map(str, kind.rules)))
    n = len(answered)
    return PartTable(
        by="rule", parts=tuple(PartFigures(part=rule, support=n, accuracy=_share(kept[rule], n)) for rule in rules)
    )


def _share(some: int, every: int) -> float | None:
    return some / every if every else None
