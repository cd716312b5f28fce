"""Free text: several right answers, and three ways to compare."""

from __future__ import annotations

import pytest

from thirdlever import SuiteError, Text
from thirdlever.answers.answer import token_f1


def test_any_of_several_right_answers_is_right() -> None:
    city = Text(separator="|")
    assert [city.grade(each, "New York | NYC").value for each in ("nyc", "New York", "York")] == [1, 1, 0]
    assert Text().grade("nyc", "New York|NYC").value == 0


@pytest.mark.parametrize(
    ("value", "target", "f1"),
    [
        ("Paris", "paris.", 1.0),
        ("the city of Paris", "Paris", 0.5),
        ("a b c", "d", 0.0),
        ("x y", "y z", 0.5),
        ("the", "a", 1.0),  # both are empty without articles
    ],
)
def test_token_f1_is_that_of_squad(value: str, target: str, f1: float) -> None:
    assert token_f1(value, target) == pytest.approx(f1)
    assert Text(score="f1").grade(value, target).value == pytest.approx(f1)


def test_the_best_right_answer_counts() -> None:
    grade = Text(score="f1", separator="|").grade("in the city of Paris", "Paris, France|city of Paris")
    assert grade.value == pytest.approx(6 / 7)
    assert grade.reason == "expected 'city of Paris', got 'in the city of Paris': token F1 0.86"


def test_contains_compares_whole_words() -> None:
    held = Text(score="contains")
    assert [held.grade(each, "Paris").value for each in ("It's Paris, France.", "Parisian", "London")] == [1, 0, 0]


def test_contains_compares_whole_numbers() -> None:
    held = Text(score="contains")
    assert [held.grade(each, "17 kilos").value for each in ("17 kilos.", "1.7 kilos", "1,7 kilos")] == [1, 0, 0]
    assert held.grade("It takes 2,200 watts.", "2200 watts").value == 1
    assert held.grade("Until 7:00.", "7:00").value == 1


def test_an_unknown_score_is_refused() -> None:
    with pytest.raises(SuiteError, match="score 'bleu' not found; available: contains, exact, f1"):
        Text(score="bleu")  # type: ignore[arg-type]


def test_the_repr_of_a_plain_text_stays_what_it_was() -> None:
    assert repr(Text()) == "Text(name='Answer', max_tokens=64, choices=())"
    assert repr(Text(separator="|")) == "Text(name='Answer', max_tokens=64, choices=(), separator='|')"


def test_a_text_that_is_searched_is_read_as_far_as_it_goes() -> None:
    assert Text(score="contains").read("It is 12 amperes, as", cut_off=True).status == "answered"
    assert Text(score="contains").read("<think>12", cut_off=True).status == "cut_off"
    assert Text(score="contains").read("", cut_off=True).status == "cut_off"
    assert Text().read("It is 12 amperes, as", cut_off=True).status == "cut_off"
