"""JSON answers: what is read, which fields differ, what the schema does not allow."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from thirdlever import Json, SuiteError
from thirdlever.answers.structured import flattened, unflattened

TICKET = Json(("intent", "order_id", "note"))
TARGET = '{"intent": "return", "order_id": "123", "note": null}'


class Line(BaseModel):
    sku: str
    count: int = 1


class Order(BaseModel):
    id: str
    intent: Literal["return", "buy"]
    lines: list[Line]
    note: str | None


ORDER = Json(schema=Order, partial=True)
WHOLE = '{"id": "7", "intent": "buy", "lines": [{"sku": "A", "count": 2}, {"sku": "B", "count": 1}], "note": null}'


@pytest.mark.parametrize(
    ("completion", "score", "reason"),
    [
        (
            '{"result": {"intent":"return","order_id":"123","note":null}}',
            1.0,
            "every field equals the target's; unwrapped from 'result'",
        ),
        (
            '{"intent":"return","order_id":123,"note":null}',
            0.0,
            "order_id: expected '123', got 123 (a number instead of a string)",
        ),
        (
            '{"intent":"return"} then {"intent":"return","order_id":"123","note":null}',
            1.0,
            "every field equals the target's",
        ),
        ("{'intent': 'return', 'order_id': '123', 'note': null}", 1.0, "every field equals the target's; repaired"),
        ('{"intent":"return","order_id":"123","note":null,}', 1.0, "every field equals the target's; repaired"),
        (
            '```json\n{"intent":"buy","order_id":"1","note":"x"}\n```',
            0.0,
            "intent: expected 'return', got 'buy'; order_id: expected '123', got '1'; note: expected None, got 'x'",
        ),
    ],
)
def test_completions_are_read_and_every_difference_is_named(completion: str, score: float, reason: str) -> None:
    read = TICKET.read(completion)
    assert read.value is not None
    grade = TICKET.grade(read.value, TARGET)
    assert (grade.value, "; ".join(filter(None, [grade.reason, read.reason]))) == (score, reason)


def test_an_object_without_every_key_is_unparsed_unless_scores_are_partial() -> None:
    assert TICKET.read('{"intent": "return"}').status == "unparsed"
    partial = Json(TICKET.keys, partial=True)
    value = partial.read('{"intent": "return"}').value
    assert value == '{"intent": "return"}'
    assert partial.grade(value, TARGET).value == pytest.approx(
        2 * 2 / (2 + 3)
    )  # the null is right; order_id is missing


def test_123_equals_the_text_where_coerced() -> None:
    coerced = Json(("a", "b"), coerce=True)
    assert coerced.grade('{"a": 123, "b": "true"}', '{"a": "123", "b": true}').value == 1
    assert coerced.grade('{"a": 1, "b": true}', '{"a": true, "b": true}').value == 0


def test_numbers_are_equal_within_the_tolerance() -> None:
    near = Json(("a",), tolerance=0.01)
    assert [near.grade(f'{{"a": {a}}}', '{"a": 2}').value for a in (2.0, 2.01, 2.02, '"2"')] == [1, 1, 0, 0]


@pytest.mark.parametrize(("got", "wanted"), [("true", "1"), ("0", "false"), ("null", "0"), ('"5"', "5")])
def test_values_of_different_types_differ(got: str, wanted: str) -> None:
    assert Json(("a",)).grade(f'{{"a": {got}}}', f'{{"a": {wanted}}}').value == 0


def test_nested_fields_are_compared_by_their_paths() -> None:
    got = '{"id": "7", "intent": "buy", "lines": [{"sku": "A", "count": 3}], "note": null}'
    grade = ORDER.grade(got, WHOLE)
    assert grade.value == pytest.approx(2 * 4 / (5 + 7))
    assert grade.reason == (
        "lines[0].count: expected 2, got 3; lines[1].sku: expected 'B', got nothing; "
        "lines[1].count: expected 1, got nothing"
    )


def test_what_the_schema_does_not_allow_is_named_by_field() -> None:
    read = ORDER.read('{"id": 7, "intent": "steal", "lines": [{"count": 2}], "note": null}')
    assert read.status == "answered"
    assert read.reason == (
        "not valid: id: 7 is not of type 'string'; intent: 'steal' is not one of ['return', 'buy']; "
        "lines[0].sku: missing"
    )
    assert ORDER.faults(WHOLE) == {}


def test_keys_outside_the_schema_are_ignored() -> None:
    assert (
        ORDER.read(WHOLE.replace('"id"', '"why": "so", "id"').replace('"sku": "A"', '"sku": "A", "x": 1')).value
        == WHOLE
    )


def test_a_target_must_follow_the_schema() -> None:
    assert ORDER.problem(WHOLE) is None
    problem = ORDER.problem(WHOLE.replace("buy", "steal"))
    assert problem is not None
    assert problem.endswith("does not follow the schema (not valid: intent: 'steal' is not one of ['return', 'buy'])")


def test_the_prompt_outlines_the_schema() -> None:
    assert ORDER.describe() == (
        "Answer with one JSON object by this schema and nothing else: "
        '{"id": string, "intent": "return" | "buy", "lines": [{"sku": string, "count": integer}, …], '
        '"note": string | null}'
    )


def test_the_schema_is_free_of_references() -> None:
    assert "$ref" not in json.dumps(ORDER.schema)
    assert ORDER.keys == ("id", "intent", "lines", "note")


def test_the_repr_of_a_plain_kind_stays_what_it_was() -> None:
    assert repr(TICKET) == "Json(keys=('intent', 'order_id', 'note'), name='JSON', max_tokens=256, choices=())"
    assert repr(Json(("a",), coerce=True)).endswith("choices=(), coerce=True)")
    assert "schema={" in repr(ORDER)


class Tree(BaseModel):
    below: list[Tree]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({}, "the schema has no properties"),
        ({"keys": ("z",), "schema": Order}, "the schema has no property 'z'"),
        ({"schema": {"type": "array"}}, "the schema is not one of an object"),
        ({"schema": {"type": "thing"}}, "the schema is not valid"),
        ({"schema": Tree}, "the schema refers to itself"),
        ({"schema": "text"}, "neither a JSON schema nor a pydantic model"),
    ],
)
def test_a_schema_that_answers_cannot_have_is_refused(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SuiteError, match=sentence):
        Json(**arguments)


def test_an_endless_nesting_is_unparsed() -> None:
    assert Json(("a",)).read('{"a": ' + "[" * 500 + "]" * 500 + "}").status == "unparsed"


SCALARS = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=5), VALUES, max_size=4))
def test_an_object_is_the_same_after_its_fields_are_joined(value: dict[str, Any]) -> None:
    assert unflattened(flattened(value)) == value
