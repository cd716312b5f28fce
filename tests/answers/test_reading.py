"""Completions as models write them, and what a person reads in them."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thirdlever import Json, Label, Reading, SuiteError, Text
from thirdlever.answers.reading import spoken

TICKETS = Label(("refund_request", "shipping", "other"))
LETTERS = Label(("A", "B", "C", "D"))
TONE = Label(("offensive", "not-offensive"), name="Tone")
STARS = Label(("1", "2", "3", "4", "5"), name="Stars")
FEES = Label(("card_payment", "card_payment_fee"))
ORDER = Json(("intent", "order_id"))

# Completion, and the label that it says.
TICKETS_READ = [
    ("refund_request", "refund_request"),
    ("  Refund request.\n", "refund_request"),
    ("REFUND-REQUEST", "refund_request"),
    ('"refund_request"', "refund_request"),
    ("**refund_request**", "refund_request"),
    ("- refund_request", "refund_request"),
    ("$refund\\_request$", "refund_request"),
    ("```\nrefund_request\n```", "refund_request"),
    ("```text\nrefund_request\n```", "refund_request"),
    ("<label>refund_request</label>", "refund_request"),
    ("refund_request<|im_end|>", "refund_request"),
    ("Category: refund_request", "refund_request"),
    ("**Category:** *Refund request*", "refund_request"),
    ("## Answer\n\nrefund_request", "refund_request"),
    ("Let me think.\nThe answer is: refund_request", "refund_request"),
    ("The category is **refund request**, since shipping went well.", "refund_request"),
    ("Is the answer shipping?\nNo. Final answer: refund_request", "refund_request"),
    ("Final answer: ANSWER: refund_request", "refund_request"),
    ("Answer: shipping\nWait, the parcel did arrive.\nAnswer: refund_request", "refund_request"),
    ("Answer: this is about shipping, I believe\nrefund_request", "refund_request"),
    ("It might be shipping.\nBut the customer wants the money back.\nrefund_request", "refund_request"),
    ("Shipping comes to mind first.\nOn reflection this is a refund request.", "refund_request"),
    ("refund_request\n\nThe customer mentions shipping only in passing.", "refund_request"),
    ("refund_request: the parcel is mentioned, but shipping is not the point", "refund_request"),
    ('{"category": "refund_request"}', "refund_request"),
    ('```json\n{"category": "refund_request", "reason": "shipping is done"}\n```', "refund_request"),
    ("{'label': 'refund_request'}", "refund_request"),
    ("<answer>refund_request</answer>", "refund_request"),
    ("Options:\n1. refund_request\n2. shipping\n3. other\nI choose the refund request.", "refund_request"),
    ("This is not about shipping, it is a refund request.", "refund_request"),
    ("Kategorie: refund_request", "refund_request"),
    ("The customer wants a refund request form.", "refund_request"),
    # A local model goes on, and invents the next example.
    ("refund_request\nText: my parcel is late\nCategory: shipping", "refund_request"),
    ("Category: refund_request\n\nTicket: my parcel is late\nCategory: shipping", "refund_request"),
    ("refund_request\nmy parcel is late\nshipping\nhello\nother", "refund_request"),
    ("refund_request</s>\nUser: and this one?\nAssistant: shipping", "refund_request"),
    # Reasoning.
    ("<think>shipping? no.</think>\nrefund_request", "refund_request"),
    ("<thinking>\nshipping\n</thinking>\n\nAnswer: refund_request", "refund_request"),
    ("<reasoning>shipping</reasoning>refund_request", "refund_request"),
    ("shipping? only the closing tag…</think>\nrefund_request", "refund_request"),
    ("<think>shipping</think><think>other</think>refund_request", "refund_request"),
    ("<think>shipping <think>nested</think> other</think>refund_request", "refund_request"),
]

LETTERS_READ = [
    ("B", "B"),
    ("b", "B"),
    ("(B)", "B"),
    ("B.", "B"),
    ("$B$", "B"),
    ("\\boxed{B}", "B"),
    ("$\\boxed{\\text{B}}$", "B"),
    ("I think a good answer is B.", "B"),
    ("A good choice would be B", "B"),
    ("B) because A is wrong", "B"),
    ("B. because A is wrong", "B"),
    ("(B) since A and C are wrong", "B"),
    ("Answer: this is hard\nANSWER: B", "B"),
    ("The answer is B because a car moves.", "B"),
    ("I would pick B — a safe choice.", "B"),
    ("Not A, but B", "B"),
    ("A seems tempting.\nANSWER: $B$", "B"),
    ("答案是B", "B"),
]

NOT_READ = [
    (TICKETS, "", "unparsed", "the completion is empty"),
    (TICKETS, "billing", "unparsed", "no label found in: 'billing'"),
    (TICKETS, "shipping or refund_request", "unparsed", "two labels named: shipping, refund_request"),
    (TICKETS, "refund_request\nshipping", "unparsed", "two labels named: refund_request, shipping"),
    (
        TICKETS,
        "1. refund_request\n2. shipping\n3. other",
        "unparsed",
        "3 labels named: refund_request, shipping, other",
    ),
    (TICKETS, "Transactions:\n- Shipping:\n- Other:", "unparsed", "two labels named: shipping, other"),
    (TICKETS, "Shipping: parcels\nOther: the rest", "unparsed", "two labels named: shipping, other"),
    (TICKETS, "shipping_refund_request_form", "unparsed", "no label found in: 'shipping_refund_request_form'"),
    (TICKETS, "not shipping", "unparsed", "negated: shipping"),
    (TICKETS, "Das ist keine shipping Frage", "unparsed", "negated: shipping"),
    (LETTERS, "A) refund B) shipping", "unparsed", "two labels named: A, B"),
    (LETTERS, "I have a question", "unparsed", "no label found in: 'I have a question'"),
    (TICKETS, "<think>never closed, shipping", "cut_off", "reasoning not finished"),
    (TICKETS, "shipping</think>\n<think>again, shipping", "cut_off", "reasoning not finished"),
    (ORDER, "<think>{'intent': 'return', 'order_id': 1}", "cut_off", "reasoning not finished"),
    (Text(), "<think>Paris", "cut_off", "reasoning not finished"),
    (
        TICKETS,
        "I'm sorry, but I can't help with that.",
        "refused",
        "the model refused: \"I'm sorry, but I can't help with that.\"",
    ),
    (
        TICKETS,
        "I cannot assist with this shipping request.",
        "refused",
        "the model refused: 'I cannot assist with this shipping request.'",
    ),
    (
        TICKETS,
        "As an AI language model, I am unable to classify this.",
        "refused",
        "the model refused: 'As an AI language model, I am unable to classify this.'",
    ),
    (ORDER, "I won’t do that.", "refused", "the model refused: 'I won’t do that.'"),
    (Text(), "Sorry, I can't assist with that.", "refused", 'the model refused: "Sorry, I can\'t assist with that."'),
    (
        ORDER,
        '{"intent": "return"}',
        "unparsed",
        'no complete JSON object with intent, order_id found in: \'{"intent": "return"}\'',
    ),
    (Text(), "Answer:", "unparsed", "no text in: 'Answer:'"),
]

CUT_OFF = [
    (TICKETS, "shipping", "shipping"),
    (TICKETS, "Category: shipping", "shipping"),
    (TICKETS, "shipping\nText: the next", "shipping"),
    (TICKETS, "This is about shipping. The customer", "shipping"),
    (TICKETS, "This is about shipping, but the customer", None),
    (TICKETS, "It is shipping. Or a refund request, if", None),
    (TICKETS, "Tickets:\n- Shipping:\n- Other:", None),
    (TICKETS, "", None),
    (TICKETS, "The answer is probably shipping or", None),
    (FEES, "card payment", None),
    (FEES, "The category is card_payment", None),
    (FEES, "card_payment_fee", "card_payment_fee"),
    (FEES, "Category: card_payment\nText", "card_payment"),
    (ORDER, '{"intent": "return", "order_id": "1', None),
    (ORDER, '{"intent": "return", "order_id": "1"} and', '{"intent": "return", "order_id": "1"}'),
    (Text(), "The capital of", None),
]


@pytest.mark.parametrize(("completion", "label"), TICKETS_READ)
def test_a_completion_is_read_as_the_label_it_says(completion: str, label: str) -> None:
    assert TICKETS.read(completion).value == label
    assert TICKETS.read(completion).status == "answered"


@pytest.mark.parametrize(("completion", "label"), LETTERS_READ)
def test_an_option_is_told_from_a_word_of_one_letter(completion: str, label: str) -> None:
    assert LETTERS.read(completion).value == label


@pytest.mark.parametrize(("answer", "completion", "status", "reason"), NOT_READ)
def test_a_completion_without_an_answer_says_why(
    answer: Label | Json | Text, completion: str, status: str, reason: str
) -> None:
    assert answer.read(completion) == Reading(None, status, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize(("answer", "completion", "value"), CUT_OFF)
def test_a_completion_that_was_cut_off_is_read_where_its_answer_is_complete(
    answer: Label | Json | Text, completion: str, value: str | None
) -> None:
    reading = answer.read(completion, cut_off=True)
    assert (reading.value, reading.status) == (value, "cut_off" if value is None else "answered")


# Negation


@pytest.mark.parametrize(
    "completion",
    [
        "non-offensive",
        "This is not at all offensive.",
        "The text isn't offensive",
        "The text isn’t offensive",
        "I don't think that this is offensive.",
        "Nothing here; no offensive words",
        "Der Text ist nicht offensive",
        "It could be offensive.\nBut it isn't really offensive.",
    ],
)
def test_a_negated_label_is_never_the_opposite_class(completion: str) -> None:
    assert TONE.read(completion).value in {None, "not-offensive"}
    assert Label(("offensive", "neutral")).read(completion).value is None


@pytest.mark.parametrize(("completion", "label"), [("offensive", "offensive"), ("Not offensive.", "not-offensive")])
def test_a_label_that_is_a_negation_is_read_as_itself(completion: str, label: str) -> None:
    assert TONE.read(completion).value == label
    assert Label(("irony", "non_irony")).read("non-irony").value == "non_irony"


def test_a_suite_of_two_labels_may_take_a_negated_one_for_the_other() -> None:
    two = Label(("offensive", "neutral"), negated_is_other=True)
    for text in ("The text isn't offensive", "non-offensive", "This is not at all offensive."):
        assert two.read(text).value == "neutral"
    assert two.read("It is neither offensive nor neutral").value is None
    with pytest.raises(SuiteError, match="exactly two labels, not 3"):
        Label(("a", "b", "c"), negated_is_other=True)


def test_suites_measured_before_keep_their_hash() -> None:
    assert repr(Label(("a", "b"))) == "Label(labels=('a', 'b'), name='Category')"
    assert "negated_is_other=True" in repr(Label(("a", "b"), negated_is_other=True))


@pytest.mark.parametrize(
    ("completion", "label"),
    [
        ("No, it is not.", "no"),
        ("Yes, there is no doubt that it is", "yes"),
        ("No. The text does not mention it.", "no"),
        ("The answer is no, although some would say yes", "no"),
        ('{"answer": "Yes"}', "yes"),
        ("Yes or no?", None),
    ],
)
def test_yes_and_no_are_labels_too(completion: str, label: str | None) -> None:
    assert Label(("yes", "no"), name="Answer").read(completion).value == label


# Labels that differ by signs only


@pytest.mark.parametrize(
    ("labels", "read"),
    [
        (("-1", "0", "1"), {"-1": "-1", "1.": "1", "The label is -1.": "-1", "(0)": "0"}),
        (("0", "1"), {"-1": None, "1": "1", "1.5": None, "10": None}),
        (("A", "A-"), {"A-": "A-", "a": "A", "**A-**": "A-", "Grade: A": "A"}),
        (("*", "**"), {"*": "*", "**": "**", "`**`": "**"}),
        (("en-US", "en_US"), {"EN-us": "en-US", "en_us": "en_US", "en US": "en_US"}),
        (("ball", "Ball"), {"ball": "ball", "Ball": "Ball", "'Ball'": "Ball", "BALL": None}),
        (("C", "C++", "C#"), {"C++": "C++", "c#": "C#", "Answer: C": "C"}),
        (STARS.labels, {"4/5": "4", "I rate it 4 out of 5 stars.": "4", "4 stars": "4", "45": None}),
    ],
)
def test_comparison_is_as_forgiving_as_the_labels_stay_distinct(
    labels: tuple[str, ...], read: dict[str, str | None]
) -> None:
    assert {text: Label(labels).read(text).value for text in read} == read


@pytest.mark.parametrize(
    ("labels", "completion", "label"),
    [
        (("退款", "物流"), "这是退款请求。", "退款"),
        (("退款", "物流"), "这不是退款", None),
        (("返金", "配送"), "答え: 返金です", "返金"),
        (("返金", "配送"), "返金ではありません", None),
        (("คืนเงิน", "จัดส่ง"), "ลูกค้าต้องการคืนเงินครับ", "คืนเงิน"),
        (("환불", "배송"), "환불입니다", "환불"),
        (("café", "thé"), "CAFE\u0301", "café"),
        (("cafe\u0301", "the"), "un café", "cafe\u0301"),
        (("की", "का"), "की", "की"),
        (("Straße", "Weg"), "STRASSE", "Straße"),
        (("iade", "kargo"), "İADE", "iade"),
        (("ılık", "sıcak"), "ILIK", "ılık"),
        (("A", "B"), "\uff22", "B"),  # full width
        (("refund", "other"), "\ufeffrefund\u200b", "refund"),
    ],
)
def test_labels_are_found_in_every_script(labels: tuple[str, ...], completion: str, label: str | None) -> None:
    assert Label(labels).read(completion).value == label


# Refusals


@pytest.mark.parametrize("completion", ["cannot_help", "I cannot help.", "Category: cannot help", "'cannot_help'"])
def test_a_label_that_reads_like_a_refusal_is_a_label(completion: str) -> None:
    assert Label(("cannot_help", "refund")).read(completion).value == "cannot_help"


def test_a_long_text_that_begins_like_a_refusal_is_none() -> None:
    assert TICKETS.read("I'm sorry, I can't help " + "but wonder. " * 50).status == "unparsed"


# JSON and text


@pytest.mark.parametrize(
    ("completion", "order_id", "reason"),
    [
        ('{"intent": "return", "order_id": "123"}', "123", ""),
        ('<think>{"intent": "x", "order_id": 1}</think>{"intent": "return", "order_id": "123"}', "123", ""),
        ('{"intent": "return"} then {"intent": "return", "order_id": 123}', 123, ""),
        ('{"intent": "return", "order_id": 1} no: {"intent": "return", "order_id": 2}', 2, ""),
        ('{"intent": "return", "order_id": 1} and {"note": "x"}', 1, ""),
        ('```json\n[{"intent": "return", "order_id": 1}, {"intent": "return", "order_id": 2}]\n```', 2, ""),
        ('{"result": {"intent": "return", "order_id": null}}', None, "unwrapped from 'result'"),
        ('{"data": [{"intent": "return", "order_id": "}"}]}', "}", "unwrapped from 'data.0'"),
        ("{'intent': 'return', 'order_id': None}", None, "repaired"),
        ('{"intent": "return", "order_id": 5,}', 5, "repaired"),
        ("{'result': {'intent': 'return', 'order_id': 5,}}", 5, "repaired; unwrapped from 'result'"),
    ],
)
def test_the_last_complete_object_with_the_keys_is_read(completion: str, order_id: object, reason: str) -> None:
    expected = json.dumps({"intent": "return", "order_id": order_id})
    assert ORDER.read(completion) == Reading(expected, "answered", reason)


@pytest.mark.parametrize(
    "completion", ["Paris", "Answer: Paris", "The final answer: Paris", "<think>Rome?</think>\nParis"]
)
def test_text_is_read_without_reasoning_and_its_name(completion: str) -> None:
    assert Text().read(completion) == Reading("Paris", "answered", "")
    assert Text().grade("paris", "Paris").value == 1.0


# Cases from public threads, by number


def test_case_1_a_reasoning_block_is_not_the_answer() -> None:
    assert TICKETS.read("<think>shipping? no.</think>\nrefund_request").value == "refund_request"
    assert TICKETS.read("only the closing tag, shipping</think>\nrefund_request").value == "refund_request"
    assert TICKETS.read("<think>never closed, shipping") == Reading(None, "cut_off", "reasoning not finished")
    assert Json(("a",)).read('<think>{"a":1}</think>{"a": 2}').value == '{"a": 2}'


def test_case_3_preamble_fence_and_last_line_are_read() -> None:
    assert TICKETS.read("Let me think.\nThe answer is: refund_request").value == "refund_request"
    assert TICKETS.read("```\nrefund_request\n```").value == "refund_request"
    assert LETTERS.read("Answer: this is hard\nANSWER: B").value == "B"


def test_case_4_decoration_and_the_article_are_not_the_answer() -> None:
    assert LETTERS.read("I think a good answer is B.").value == "B"
    assert LETTERS.read("B) because A is wrong").value == "B"
    assert LETTERS.read("$D$").value == "D"


def test_case_5_a_negation_is_never_the_opposite_class() -> None:
    for text in ("non-offensive", "This is not at all offensive.", "The text isn't offensive"):
        assert TONE.read(text).value in {None, "not-offensive"}


def test_case_6_signs_are_the_label() -> None:
    assert [Label(("-1", "0", "1")).read(text).value for text in ("-1", "0", "1")] == ["-1", "0", "1"]
    for labels in (("A", "A-"), ("*", "**"), ("en-US", "en_US")):
        assert tuple(Label(labels).read(label).value for label in labels) == labels


# Whatever labels there are, and whatever a model writes


PIECES = [
    "a",
    "A",
    "B",
    "not",
    "non",
    "-",
    "_",
    " ",
    "*",
    "1",
    ".",
    "é",
    "e\u0301",
    "ı",
    "İ",
    "ß",
    "退",
    "<think>",
    "answer:",
    "{",
    "}",
]
TEXTS = st.one_of(st.text(max_size=12), st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join))
QUIET = settings(max_examples=400, derandomize=True, database=None, deadline=None, suppress_health_check=[*HealthCheck])


@QUIET
@given(st.lists(TEXTS.filter(str.strip), min_size=1, max_size=6, unique=True))
def test_every_label_of_any_distinct_labels_is_read_as_itself(labels: list[str]) -> None:
    answer = Label(tuple(labels))
    assert [answer.read(label).value for label in labels] == labels
    assert [answer.problem(label) for label in labels] == [None] * len(labels)


def test_every_pair_of_short_labels_is_read_as_itself() -> None:
    signs = [
        "".join(signs) for n in (1, 2) for signs in itertools.product("aA-_*. 1", repeat=n) if "".join(signs).strip()
    ]
    for pair in itertools.combinations(signs, 2):
        answer = Label(pair)
        assert (answer.read(pair[0]).value, answer.read(pair[1]).value) == pair


@QUIET
@given(st.lists(TEXTS, min_size=1, max_size=5), st.lists(TEXTS, max_size=8).map("\n".join), st.booleans())
def test_reading_never_raises(labels: list[str], completion: str, cut_off: bool) -> None:  # noqa: FBT001 - drawn
    for answer in (Label(tuple(labels)), Json(("a",)), Text()):
        reading = answer.read(completion, cut_off=cut_off)
        assert (reading.value is None) == (reading.status != "answered")


@pytest.mark.parametrize(
    "unit", ["{", '{"a":', "<think>", "</think>", "answer is ", "not ", "**", "\\text{", "((", "A) ", "- ", "`"]
)
def test_reading_takes_no_longer_than_the_text_is_long(unit: str) -> None:
    text = unit * (20_000 // len(unit))
    for answer in (LETTERS, TONE, Json(("a",)), Text()):
        answer.read(text)  # a pattern that backtracks would not come back


def test_text_is_kept_apart_from_what_was_thought() -> None:
    assert spoken("<THINK>a</THINK> b <reasoning>c</reasoning> d") == "b  d"
    assert spoken("<think></think>") == ""
