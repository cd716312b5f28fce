"""Fine-tuning files: what is accepted, and how errors are reported."""

from __future__ import annotations

import json
from typing import Any

import pytest
from conftest import make_suite
from helpers.training_file import ANSWER, ASK, FAULTS, LINE, file

from thirdlever.finetune.conversations import FormatError, conversations, parse, to_jsonl


def refused(text: str | bytes, **options: Any) -> FormatError:  # noqa: ANN401
    with pytest.raises(FormatError) as caught:
        parse(text, **options)
    return caught.value


def test_training_files_are_read_back_as_written() -> None:
    suite = make_suite()
    examples = conversations(suite, suite.train)
    assert parse(to_jsonl(examples)) == examples


@pytest.mark.parametrize(
    "text", [file(), file().encode(), f"\ufeff{file()}", file("", "  "), file().replace("\n", "\r\n")]
)
def test_a_good_file_is_read(text: str | bytes) -> None:
    assert parse(text) == [[ASK, ANSWER]] * 10


def test_a_line_separator_within_a_string_does_not_split_a_line() -> None:
    turn = {"role": "user", "content": "one\u2028two\x85three"}
    text = "\n".join([json.dumps({"messages": [turn, ANSWER]}, ensure_ascii=False)] * 10)
    assert parse(text)[9] == [turn, ANSWER]


@pytest.mark.parametrize(("line", "said"), FAULTS.values(), ids=FAULTS)
def test_an_error_names_its_line(line: str, said: str) -> None:
    error = refused(file(line, LINE))
    assert said in error.message
    assert error.message.startswith("line 11: ")
    assert (error.code, error.param, error.line) == ("invalid_training_file", "training_file", 11)
    assert str(error) == error.message


def test_bytes_that_are_not_utf8_are_refused_with_their_line() -> None:
    error = refused(file().encode() + "\nGebühr".encode("latin-1"))
    assert (error.line, error.message) == (11, "line 11 is not UTF-8; save the file as UTF-8")


# Faults of a file


@pytest.mark.parametrize("n", [0, 1, 9])
def test_a_training_file_needs_ten_examples(n: int) -> None:
    error = refused(file(good=n))
    assert (error.code, error.param, error.line) == ("invalid_n_examples", "training_file", None)
    assert f"has {n} example{'s' * (n != 1)}, but must have at least 10" in error.message


def test_a_validation_file_may_be_small_and_is_named() -> None:
    assert parse(LINE, param="validation_file", minimum=1) == [[ASK, ANSWER]]
    error = refused("{", param="validation_file", minimum=1)
    assert (error.code, error.param) == ("invalid_validation_file", "validation_file")
