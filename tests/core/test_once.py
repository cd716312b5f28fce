"""A value that is slow to make is made once, however many threads ask for it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from thirdlever.core.once import once


def test_threads_that_ask_together_get_the_same_value_made_once() -> None:
    made: list[str] = []

    @once
    def slow(name: str) -> list[str]:
        time.sleep(0.05)
        made.append(name)
        return [name]

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(slow, ["a", "b"] * 8))
    assert sorted(made) == ["a", "b"]
    assert {id(value) for value in values} == {id(slow("a")), id(slow("b"))}


def test_a_failure_is_not_kept() -> None:
    asked: list[str] = []

    @once
    def fails_first(name: str) -> str:
        asked.append(name)
        if len(asked) == 1:
            raise OSError(name)
        return name

    with pytest.raises(OSError, match="a"):
        fails_first("a")
    assert fails_first("a") == "a"
