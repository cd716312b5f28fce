"""Sets of labels: how they are written, read and graded."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thirdlever import Labels, Reading, SuiteError

CARD = Labels(("cancel", "fee", "card payment"))

READ = [
    ("cancel, fee", "cancel, fee"),
    ("fee and cancel", "cancel, fee"),
    ("Card Payment; FEE", "fee, card payment"),
    ("- fee\n- cancel", "cancel, fee"),
    ("1. cancel\n2. fee", "cancel, fee"),
    ("**cancel**, **fee**", "cancel, fee"),
    ('["fee", "cancel"]', "cancel, fee"),
    ('```json\n["fee"]\n```', "fee"),
    ('{"categories": ["fee", "cancel"]}', "cancel, fee"),
    ('{\n  "categories": [\n    "fee"\n  ]\n}', "fee"),
    ("{'categories': ['fee', 'cancel']}", "cancel, fee"),
    ('{"cancel": true, "fee": false, "card payment": true}', "cancel, card payment"),
    ("none", "none"),
    ("No categories apply.", "none"),
    ("[]", "none"),
    ('{"categories": []}', "none"),
    ('["none"]', "none"),
    ("Categories: fee; cancel", "cancel, fee"),
    ("Categories:\ncancel\nfee", "cancel, fee"),
    ("I think it is about money.\n\nAnswer: fee, cancel", "cancel, fee"),
    ("Here are the categories:\n1. cancel\n2. fee", "cancel, fee"),
    ("The user wants to cancel and asks for the fee.", "cancel, fee"),
    ("cancel, because the user says so", "cancel"),
    ("cancel\n\nThe user says fee only in passing.", "cancel"),
    ("<think>fee? no.</think>cancel", "cancel"),
    # A local model goes on, and invents the next example.
    ("cancel, fee\nText: a payment\nCategories: card payment", "cancel, fee"),
]
NOT_READ = [
    ("", "unparsed", "the completion is empty"),
    ("It's about the weather.", "unparsed", 'no list of categories found in: "It\'s about the weather."'),
    ("cancel, refund", "unparsed", "'refund' is none of the categories"),
    ('["cancel", "refund"]', "unparsed", "'refund' is none of the categories"),
    ("not cancel", "unparsed", "negated: cancel"),
    ("Cancel is first.\nThe fee is second.", "unparsed", None),
    ("<think>cancel", "cut_off", "reasoning not finished"),
    ("I'm sorry, but I can't help with that.", "refused", None),
]


@pytest.mark.parametrize(("completion", "value"), READ)
def test_the_set_is_read_as_a_person_would(completion: str, value: str) -> None:
    assert CARD.read(completion).value == value


@pytest.mark.parametrize(("completion", "status", "reason"), NOT_READ)
def test_what_names_no_set_has_a_status_and_a_reason(completion: str, status: str, reason: str | None) -> None:
    read = CARD.read(completion)
    assert (read.value, read.status) == (None, status)
    assert reason in {None, read.reason}


def test_of_a_completion_that_was_cut_off_only_complete_json_is_read() -> None:
    assert CARD.read('["cancel"]', cut_off=True).value == "cancel"
    assert CARD.read('["cancel", "fe', cut_off=True).status == "cut_off"
    assert CARD.read("cancel, fee", cut_off=True).status == "cut_off"


@pytest.mark.parametrize("target", ['["fee", "cancel"]', "fee, cancel", "cancel,fee"])
def test_targets_are_kept_in_the_order_of_the_labels(target: str) -> None:
    assert CARD.problem(target) is None
    assert CARD.canonical(target) == "cancel, fee"


@pytest.mark.parametrize("target", ["[]", "none", "None"])
def test_a_target_may_be_empty(target: str) -> None:
    assert CARD.canonical(target) == "none"


def test_a_target_with_an_unknown_label_is_refused() -> None:
    assert CARD.problem('["fee", "x"]') == "'x' of '[\"fee\", \"x\"]' is not one of the suite's labels"


def test_the_score_is_exact_or_the_f1_of_the_set() -> None:
    exact, partial = CARD, Labels(CARD.labels, partial=True)
    assert exact.grade("cancel, fee", "fee, cancel").value == 1
    assert (exact.grade("cancel", "cancel, fee").value, exact.grade("none", "none").value) == (0, 1)
    assert partial.grade("cancel", "cancel, fee").value == pytest.approx(2 / 3)
    assert (partial.grade("none", "cancel").value, partial.grade("none", "none").value) == (0, 1)
    assert partial.grade("cancel", "cancel, fee").reason == "expected 'cancel, fee', got 'cancel': F1 0.67"


def test_parts_say_which_labels_are_in_the_set() -> None:
    assert CARD.parts("fee") == {"cancel": "no", "fee": "yes", "card payment": "no"}
    assert CARD.join(CARD.parts("cancel, card payment")) == "cancel, card payment"


def test_the_prompt_lists_the_labels() -> None:
    listed = "cancel, fee, card payment."
    assert (
        CARD.describe()
        == f"Answer with all categories from this list that apply, separated by commas, or with none: {listed}"
    )


@pytest.mark.parametrize(
    ("labels", "separator", "sentence"),
    [
        (("none", "a"), ", ", "'none' means that no label applies; leave it out of the labels"),
        (("a, b", "c"), ", ", "the label 'a, b' contains the separator ','"),
        (("a", "b"), " ", "separator=' ' has no sign"),
        ("abc", ", ", r"takes a tuple; write Labels\(\('abc',\)\)"),
    ],
)
def test_ambiguous_labels_are_refused(labels: tuple[str, ...], separator: str, sentence: str) -> None:
    with pytest.raises(SuiteError, match=sentence):
        Labels(labels, separator=separator)


def test_labels_with_commas_take_another_separator() -> None:
    dishes = Labels(("fish, chips", "pie"), separator="; ")
    assert dishes.read("pie; fish, chips").value == "fish, chips; pie"
    assert dishes.read('["fish, chips"]') == Reading("fish, chips", "answered", "")


@settings(max_examples=100, deadline=None)
@given(st.sets(st.sampled_from(CARD.labels)), st.text(max_size=60))
def test_every_set_is_read_as_itself_and_no_text_breaks_the_reading(found: set[str], text: str) -> None:
    value = CARD.canonical(json.dumps(sorted(found)))
    assert CARD.read(value).value == value
    assert CARD.read(text).status in {"answered", "unparsed", "refused", "cut_off"}
