"""How a request went: its status, and the reason that a report shows."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from thirdlever import Label
from thirdlever.evaluation.records import COLUMNS, Reply, misread, monotonous, status_of, statuses
from thirdlever.suites.suite import Item

TICKETS = Label(("refund_request", "shipping", "other"))


def reply(completion: str = "", *, item: str = "a", **facts: Any) -> Reply:  # noqa: ANN401 - any field
    known: dict[str, Any] = {
        "input_tokens": 90,
        "cached_tokens": 0,
        "output_tokens": 12,
        "latency_s": 1.0,
        "stop_reason": "stop",
    }
    return Reply(phase="accuracy", item_id=item, epoch=1, completion=completion, **(known | facts))


@pytest.mark.parametrize(
    ("given", "status", "score", "reason"),
    [
        (reply("shipping"), "answered", 1.0, "equals the target"),
        (reply("Answer: shipping"), "answered", 1.0, "equals the target; read after its marker"),
        (reply("other"), "answered", 0.0, "expected 'shipping', got 'other'"),
        (reply("shipping", stop_reason="max_tokens"), "answered", 1.0, "equals the target"),
        (reply("billing"), "unparsed", 0.0, "no label found in: 'billing'"),
        (reply("shipping or other"), "unparsed", 0.0, "two labels named: shipping, other"),
        (reply(), "unparsed", 0.0, "the completion is empty"),
        (reply("<think>shipping"), "cut_off", 0.0, "reasoning not finished"),
        (reply("I cannot help with that."), "refused", 0.0, "the model refused: 'I cannot help with that.'"),
        (reply(stop_reason="content_filter"), "refused", 0.0, "a content filter stopped it"),
        (reply("No.", stop_reason="content_filter"), "refused", 0.0, "the model refused: 'No.'"),
        (reply(error="timeout", stop_reason=None), "failed", 0.0, "the request failed: timeout"),
    ],
)
def test_a_reply_has_a_status_and_only_an_answer_can_be_right(
    given: Reply, status: str, score: float, reason: str
) -> None:
    graded = given.graded(TICKETS, "shipping")
    assert (graded.status, graded.score, graded.reason) == (status, score, reason)
    assert (graded.prediction is None) == (status != "answered")
    assert graded.completion == given.completion


@pytest.mark.parametrize("stop_reason", ["max_tokens", "model_length"])
@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"reasoning_tokens": 12}, "no room to answer: 12 of 12 output tokens went into reasoning"),
        ({"reasoning_tokens": 0}, "no room to answer: generation ended at its limit, without any text"),
        ({}, "no room to answer: generation ended at its limit, without any text"),
        ({"completion": "<think>shipping", "reasoning_tokens": 0}, "reasoning not finished"),
    ],
)
def test_case_2_reasoning_that_leaves_no_room_is_cut_off(facts: dict[str, Any], reason: str, stop_reason: str) -> None:
    graded = reply(**facts, stop_reason=stop_reason).graded(TICKETS, "shipping")
    assert (graded.status, graded.score, graded.reason) == ("cut_off", 0.0, reason)


def test_an_api_that_hides_the_limit_is_found_out_by_its_tokens() -> None:
    graded = reply(reasoning_tokens=12, stop_reason="stop").graded(TICKETS, "shipping")
    assert graded.status == "cut_off"
    assert reply(reasoning_tokens=8, stop_reason="stop").graded(TICKETS, "shipping").status == "unparsed"


def test_a_reply_is_graded_once() -> None:
    graded = reply("shipping").graded(TICKETS, "shipping")
    assert graded.graded(TICKETS, "other") == graded


@pytest.mark.parametrize(
    ("error", "prediction", "stop_reason", "status"),
    [
        ("timeout", None, None, "failed"),
        (None, "other", "max_tokens", "answered"),
        (None, None, "max_tokens", "cut_off"),
        (None, None, "model_length", "cut_off"),
        (None, None, "stop", "unparsed"),
        (None, None, None, "unparsed"),
    ],
)
def test_a_grade_of_an_earlier_release_gets_its_status(
    error: str | None, prediction: str | None, stop_reason: str | None, status: str
) -> None:
    assert status_of(error, prediction, stop_reason) == status
    old = reply(error=error, prediction=prediction, stop_reason=stop_reason, score=0.0)
    assert old.graded(TICKETS, "shipping").status == status
    frame = pd.DataFrame([{"error": error, "prediction": prediction, "stop_reason": stop_reason}], dtype="str")
    assert list(statuses(frame)) == [status]
    assert list(statuses(frame.assign(status="refused"))) == ["refused"]


LATEST = ("retrieval_usd", "retrieved", "gold", "answer_rank", "answer_passages")


def test_new_columns_come_last() -> None:
    assert [*COLUMNS][-9:] == ["confidence", *(f"{each}_s" for each in ("embedding", "search", "ranking")), *LATEST]


# A warning where the reading, and not the model, is at fault


def graded(completions: dict[str, str]) -> str | None:
    items = {name: Item(name, "where is it?", "shipping") for name in completions}
    replies = [reply(text, item=name).graded(TICKETS, "shipping") for name, text in completions.items()]
    return misread(replies, items)


def test_unparsed_answers_that_contain_the_right_label_are_pointed_out() -> None:
    right = {str(n): "shipping" for n in range(94)}
    found = graded(right | {f"x{n}": "shipping or other, who knows" for n in range(6)})
    assert found == (
        "6 of 100 answers are unparsed but contain the right one, for example 'shipping or other, who knows' "
        "(two labels named: shipping, other)"
    )
    assert graded(right | {f"x{n}": "shipping or other" for n in range(4)}) is None
    assert graded(right | {f"x{n}": "billing" for n in range(50)}) is None
    assert graded({}) is None


def same(answers: list[str], targets: list[str]) -> str | None:
    items = {str(n): Item(str(n), "where is it?", target) for n, target in enumerate(targets)}
    replies = [reply(text, item=str(n)).graded(TICKETS, targets[n]) for n, text in enumerate(answers)]
    return monotonous(replies, items)


def test_the_same_answer_to_nearly_everything_is_pointed_out() -> None:
    varied = ["shipping", "other", "other", "other"] * 5
    said = "19 of 20 answers are the same, 'shipping': it hardly looks at the input"
    assert same(["shipping"] * 19 + ["other"], varied) == said
    assert same(["other"] * 19 + ["shipping"], varied) is None  # most are right
    assert same(["shipping"] * 12 + ["other"] * 8, varied) is None
    assert same(["shipping"] * 8, varied[:8]) is None
