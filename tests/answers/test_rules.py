"""Texts that are checked by rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from thirdlever import (
    Checks,
    SuiteError,
    at_least,
    at_most,
    ends_with,
    is_json,
    matches,
    must,
    must_not,
    not_matches,
    same,
    starts_with,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever import Rule

HOUSE = (must("refund"), must_not("sorry"), at_most(words=8), ends_with("The Acme team"))
SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize(
    ("rule", "kept", "broken"),
    [
        (must("a  refund"), "We owe you A refund.", "We owe you."),
        (must_not("sorry"), "Here you are.", "So Sorry!"),
        (matches(r"\d{3}"), "Room 101", "Room 11"),
        (not_matches(r"!"), "Hello.", "Hello!"),
        (starts_with("dear"), "Dear Jo,", "Jo, dear"),
        (ends_with("The Acme team"), "Bye.\nthe Acme  team", "The Acme team says bye"),
        (at_most(words=3), "It's well-known now", "one two three four"),
        (at_most(characters=5), "12345", "123456"),
        (at_most(sentences=2), "At 3.5 %. Fine!", "One. Two. Three."),
        (at_least(words=2), "two words", "word"),
        (at_least(sentences=2), "One. Two", "One"),
        (is_json(), 'Here: {"a": 1}', "none"),
        (is_json(SCHEMA), '```json\n{"n": 1}\n```', '{"n": "x"}'),
    ],
    ids=str,
)
def test_a_rule_is_kept_or_broken(rule: Rule, kept: str, broken: str) -> None:
    assert rule.fault(kept) is None
    assert rule.fault(broken)


def test_a_rule_can_ask_for_what_the_target_has() -> None:
    reply = Checks((same("customer's name", r"^Hi (\w+),"), at_most(words=9)))
    target = "Hi Jo, your parcel is on its way."
    assert reply.grade("hi JO, it left.", target).value == 1
    assert reply.grade("Hi Al, it left.", target).reason.startswith("must have the right customer's name: lacks 'Jo'")
    assert (
        reply.problem("Dear Jo, it left.")
        == "'Dear Jo, it left.' has no customer's name: '^Hi (\\\\w+),' finds nothing in it"
    )
    assert (
        reply.describe() == "Answer with the answer only. It must have the right customer's name; have at most 9 words."
    )


def test_every_rule_is_named_in_the_reason() -> None:
    grade = Checks(HOUSE).grade("Sorry, no money.", "")
    assert grade.value == 0
    assert grade.reason == (
        "must contain 'refund': does not; must not contain 'sorry': does; "
        "must end with 'The Acme team': does not; kept: have at most 8 words"
    )


def test_the_score_is_right_or_wrong_or_the_share_of_rules() -> None:
    reply = "Your refund is late. Sorry! The Acme team"
    assert Checks(HOUSE).grade(reply, "").value == 0
    assert Checks(HOUSE, partial=True).grade(reply, "").value == 0.75
    assert Checks(HOUSE).grade("Your refund is here. The Acme team", "").value == 1


def test_the_prompt_states_every_rule() -> None:
    assert Checks(HOUSE, name="Reply").describe() == (
        "Answer with the reply only. It must contain 'refund'; not contain 'sorry'; have at most 8 words; "
        "end with 'The Acme team'."
    )


def test_parts_say_which_rules_a_text_keeps() -> None:
    assert list(Checks(HOUSE).parts("A refund. The Acme team").values()) == ["yes"] * 4
    assert Checks(HOUSE).parts("sorry")["contain 'refund'"] == "no"


@pytest.mark.parametrize(
    ("completion", "cut_off", "status"),
    [
        ("Reply: **Dear** Jo", False, "answered"),
        ("", False, "unparsed"),
        ("Dear Jo, your", True, "cut_off"),
        ("I can't help with that.", False, "refused"),
    ],
)
def test_a_text_has_a_status(completion: str, status: str, cut_off: bool) -> None:  # noqa: FBT001
    assert Checks(HOUSE, name="Reply").read(completion, cut_off=cut_off).status == status


def test_a_target_must_keep_every_rule() -> None:
    assert Checks(HOUSE).problem("A refund. The Acme team") is None
    assert Checks(HOUSE).problem("A refund.") == "'A refund.' must end with 'The Acme team': does not"


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (at_most, r"write at_most\(words=N\)"),
        (lambda: at_least(words=1, sentences=1), r"write at_least\(words=N\)"),
        (lambda: matches("("), "is not a regular expression"),
        (lambda: must(" "), "must: the text is empty"),
        (lambda: Checks(must("x")), "takes a tuple of rules"),  # type: ignore[arg-type]
        (lambda: Checks(()), "takes a tuple of rules"),
    ],
)
def test_rules_that_check_nothing_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(SuiteError, match=sentence):
        make()
