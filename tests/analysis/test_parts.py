"""Figures by label, field and rule, against counts made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sklearn.metrics import f1_score

from thirdlever import Checks, Json, Label, Labels, Number, at_most, must
from thirdlever.analysis.parts import PartTable, part_table
from thirdlever.answers.kinds import described, restored

if TYPE_CHECKING:
    from thirdlever.answers.answer import Answer

CARD = Labels(("cancel", "fee", "lost"))
SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"enum": ["buy", "return"]},
        "id": {"type": ["string", "null"]},
        "items": {"type": "array", "items": {"type": "object", "properties": {"sku": {"type": "string"}}}},
    },
    "required": ["intent", "id"],
}


def near(value: float) -> Any:  # noqa: ANN401 - equal to a float
    return pytest.approx(value)


def counted(kind: Answer | None, *answered: tuple[str | None, str], labels: bool = False) -> PartTable:
    found = part_table(kind, answered, labels=labels)
    assert found is not None
    return found


def test_a_label_has_precision_recall_and_f1() -> None:
    answers = [("a", "a"), ("a", "b"), ("b", "b"), (None, "b")]
    table = counted(Label(("a", "b", "c")), *answers)
    a, b, c = table.parts
    assert (a.support, a.precision, a.recall) == (1, 0.5, 1)
    assert (b.support, b.precision, b.recall, b.f1) == (3, 1, near(1 / 3), near(0.5))
    assert (c.support, c.f1) == (0, 0)
    assert table.macro_f1 == near((2 / 3 + 0.5) / 2)  # over the labels that targets have
    assert table.micro_f1 is None  # it is the accuracy


def test_a_run_without_a_stated_kind_has_the_labels_of_its_targets() -> None:
    assert [part.part for part in counted(None, ("b", "a"), ("b", "b"), labels=True).parts] == ["a", "b"]
    assert part_table(None, [("b", "a")]) is None


def test_sets_of_labels_are_counted_one_label_against_the_rest() -> None:
    answers = [("cancel, fee", "cancel"), ("fee", "cancel, fee"), ("none", "none"), (None, "fee"), ("lost", "cancel")]
    table = counted(CARD, *answers)
    cancel, fee, lost = table.parts
    assert (cancel.support, cancel.precision, cancel.recall) == (3, 1, near(1 / 3))
    assert (fee.support, fee.precision, fee.recall) == (2, 0.5, 0.5)
    assert (lost.support, lost.precision, lost.recall) == (0, 0, 0)
    assert table.macro_f1 == near((0.5 + 0.5) / 2)
    truth = [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0], [1, 0, 0]]
    read = [[1, 1, 0], [0, 1, 0], [0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert table.micro_f1 == near(f1_score(truth, read, average="micro"))


def test_fields_have_accuracy_slot_f1_and_validity() -> None:
    right = '{"intent": "buy", "id": null}'
    answers = [
        (right, right),
        ('{"intent": "steal", "id": "7"}', '{"intent": "buy", "id": "7"}'),
        ('{"intent": "buy", "id": "8"}', '{"intent": "buy", "id": null}'),
        (None, '{"intent": "return", "id": "9"}'),
    ]
    table = counted(Json(schema=SCHEMA), *answers)
    intent, number = table.parts
    assert (intent.part, intent.support, intent.accuracy) == ("intent", 4, 0.5)
    assert (intent.precision, intent.recall) == (near(2 / 3), 0.5)
    assert intent.valid == near(2 / 3)  # of three answers
    assert (number.support, number.accuracy, number.precision, number.recall, number.valid) == (2, 0.5, 0.5, 0.5, 1)
    assert table.micro_f1 == near(2 * 3 / (5 + 6))
    assert table.valid == 0.5  # of four requests


def test_the_items_of_a_list_are_one_field() -> None:
    two = '{"intent": "buy", "id": "1", "items": [{"sku": "A"}, {"sku": "B"}]}'
    one = '{"intent": "buy", "id": "1", "items": [{"sku": "A"}]}'
    table = counted(Json(schema=SCHEMA), (one, two), (two, one))
    sku = next(part for part in table.parts if part.part == "items[].sku")
    assert (sku.support, sku.accuracy, sku.precision, sku.recall) == (3, near(2 / 3), 2 / 3, 2 / 3)


def test_a_rule_has_the_share_of_answers_that_keep_it() -> None:
    table = counted(Checks((must("refund"), at_most(words=3))), ("a refund", "x"), ("no", "x"), (None, "x"))
    assert [(part.part, part.accuracy) for part in table.parts] == [
        ("contain 'refund'", near(1 / 3)),
        ("have at most 3 words", near(2 / 3)),
    ]


KINDS = [
    Label(("a", "b"), negated_is_other=True),
    CARD,
    Json(("a", "b"), coerce=True),
    Json(schema=SCHEMA, partial=True),
    Number(tolerance=0.5, unit="kg"),
    Checks((must("x"), at_most(words=3)), partial=True),
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: type(kind).__name__)
def test_a_run_states_its_kind_so_that_it_can_be_restored(kind: Answer) -> None:
    assert restored(described(kind)) == kind
    assert repr(restored(described(kind))) == repr(kind)


def test_kinds_that_are_unknown_or_of_another_release_are_not_restored() -> None:
    assert restored(None) is None
    assert restored({"kind": "Sentiment"}) is None
    assert restored({"kind": "Number", "digits": 3}) is None
