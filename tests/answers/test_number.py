"""Numbers as people write them."""

from __future__ import annotations

import pytest

from thirdlever import Number, SuiteError

READ = [
    ("5", "5"),
    ("7.", "7"),
    ("**7**", "7"),
    ("-3e-2", "-0.03"),
    ("\u22125", "-5"),
    ("1,234.5", "1234.5"),
    ("1 234,5", "1234.5"),
    ("1.234,56", "1234.56"),
    ("5,50 €", "5.5"),
    ("$1,200.50", "1200.5"),
    ("2 million", "2000000"),
    ("40 %", "40"),
    ("0.10", "0.1"),
    ("Answer: 12", "12"),
    ("I add 3 and 4.\nThe number: 7\nNumber: 7", "7"),
    ('{"number": 7.0}', "7"),
    (r"So it is \boxed{42}, not 41", "42"),
    ("3 + 4 = 7\n#### 1,000", "1000"),
    ("The total is 3 + 4 = 7", "7"),
    ("There are 12 apples in it.", "12"),
    ("x = 5\nSo the answer is 9.", "9"),
    ("<think>3? 4?</think>5", "5"),
]


@pytest.mark.parametrize(("completion", "value"), READ)
def test_the_number_is_read_as_a_person_would(completion: str, value: str) -> None:
    assert Number().read(completion).value == value


@pytest.mark.parametrize(
    ("completion", "cut_off", "status"),
    [
        ("3 apples and 4 pears", False, "unparsed"),
        ("2024-05-01", False, "unparsed"),
        ("many", False, "unparsed"),
        ("", False, "unparsed"),
        ("12", True, "cut_off"),
        ("<think>12", False, "cut_off"),
        ("I cannot help with that.", False, "refused"),
    ],
)
def test_what_is_no_single_number_has_a_status(completion: str, status: str, cut_off: bool) -> None:  # noqa: FBT001
    read = Number().read(completion, cut_off=cut_off)
    assert (read.value, read.status) == (None, status)
    assert read.reason


@pytest.mark.parametrize(
    ("written", "status"),
    [
        ("12 kg", "answered"),
        ("12", "answered"),
        ("12 kilograms", "answered"),
        ("12 g", "unparsed"),
        ("12 miles", "unparsed"),
    ],
)
def test_a_number_in_another_unit_is_unparsed(written: str, status: str) -> None:
    assert Number(unit="kg").read(written).status == status


def test_a_number_is_right_within_the_larger_tolerance() -> None:
    number = Number(tolerance=0.5, relative=0.1)
    assert [number.grade(got, "100").value for got in ("90", "110", "110.1")] == [1, 1, 0]
    assert [number.grade(got, "1").value for got in ("1.5", "0.4")] == [1, 0]
    assert number.grade("120", "100").reason == "expected 100 within 10, got 120"
    assert Number().grade("0.3", "0.30").value == 1


def test_targets_are_kept_without_units_and_signs() -> None:
    assert Number(unit="kg").canonical("1,234.50 kg") == "1234.5"
    assert Number().problem("soon") == "'soon' is not a number (no number in: 'soon')"


def test_a_negative_tolerance_is_refused() -> None:
    with pytest.raises(SuiteError, match="a tolerance cannot be negative; got -1"):
        Number(relative=-1)


def test_huge_numbers_are_numbers() -> None:
    digits = "9" * 5000
    assert Number().grade(Number().read(digits).value or "", "1").value == 0
    assert Number().read("1e999").value is not None
