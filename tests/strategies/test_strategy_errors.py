"""A mistake in a strategy's file is reported with its line; a mistake of the harness keeps its traceback."""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thirdlever import BaseModel
from thirdlever.core.errors import StrategyError
from thirdlever.core.store import Store
from thirdlever.strategies.specs import parse

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever import Suite

pytestmark = pytest.mark.usefixtures("project")

MODEL = BaseModel("fake/model", "fake/model", revision="1")
FILE = """
import json
from thirdlever import strategy

@strategy
def mine():
    def prepare(suite, model, store):
        {line}
    return {returned}
"""


def prepare(add: Callable[..., None], suite: Suite, line: str, returned: str = "prepare") -> None:
    add("mine", FILE.format(line=line, returned=returned))
    parse("mine").prepare(suite, MODEL, Store(Path("store")))


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("return suite.nothing", "mine.py:8: AttributeError: .*'nothing'$"),
        ("return json.loads('{')", "mine.py:8: JSONDecodeError: Expecting property name"),
        ("return None", "mine.py: prepare returned None; it must return a Deployment"),
        ("pass", "mine.py: prepare returned None; it must return a Deployment"),
    ],
)
def test_a_mistake_in_the_file_is_reported_with_its_line(
    add: Callable[..., None], suite: Suite, line: str, sentence: str
) -> None:
    with pytest.raises(StrategyError, match=sentence):
        prepare(add, suite, line)


def test_a_strategy_must_return_its_prepare(add: Callable[..., None], suite: Suite) -> None:
    with pytest.raises(StrategyError, match="the strategy returned None; it must return its prepare"):
        prepare(add, suite, "pass", returned="None")


def test_a_mistake_of_the_harness_keeps_its_traceback(
    add: Callable[..., None], suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "Random", None)  # what `Split.first` draws by
    with pytest.raises(TypeError, match="NoneType"):
        prepare(add, suite, "return suite.dev.first(1)")
