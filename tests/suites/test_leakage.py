"""A strategy that is given test items, in whatever spelling, is refused before any request."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from thirdlever import Document, Item, Split, Suite
from thirdlever.core.errors import LeakageError
from thirdlever.suites.suite import Leakage

if TYPE_CHECKING:
    from collections.abc import Callable

LEAK = "POS test purchase at shop number 3"


def item(text: str) -> Item:
    return Item("train-x", text, "food")


def document(text: str) -> Document:
    return Document("doc-x", "Payments", text)


def test_a_clean_suite_passes(suite: Suite) -> None:
    Leakage(suite).check_suite()
    Leakage(suite).check_given([*suite.train, *suite.dev, document("How payments are sorted.")], strategy="plain")


@pytest.mark.parametrize(
    "given",
    [
        item(LEAK),
        item("pos  TEST purchase,\tat shop-number 3!"),
        document(f"For instance: {LEAK}."),
        document("pos test\npurchase -- AT shop number 3"),
    ],
    ids=["exact", "normalised", "quoted", "quoted and normalised"],
)
def test_a_test_input_is_found_however_it_is_written(suite: Suite, given: Item | Document) -> None:
    with pytest.raises(LeakageError, match="strategy 'rag': the data it was given contains 1 test input") as caught:
        Leakage(suite).check_given([*suite.train, given], strategy="rag")
    assert f"'{given.id}' is test 'test-3'" in str(caught.value)
    assert str(caught.value).endswith("use suite.train, suite.dev and suite.documents only")


def test_a_document_whose_title_is_a_test_input_is_found(suite: Suite) -> None:
    with pytest.raises(LeakageError):
        Leakage(suite).check_given([Document("d", LEAK, "")], strategy="rag")


@pytest.mark.parametrize(
    "text", ["POS test purchase at shop number 33", "XPOS test purchase at shop number 3x", "shop number 3"]
)
def test_part_of_a_test_input_or_of_a_word_is_not_a_leak(suite: Suite, text: str) -> None:
    Leakage(suite).check_given([document(text), item(text)], strategy="rag")


def test_a_short_test_input_inside_a_document_is_a_coincidence(suite: Suite) -> None:
    short = replace(suite, test_split=Split("test", (Item("t", "coffee", "food"),)))
    Leakage(short).check_given([document("We all like coffee.")], strategy="rag")
    with pytest.raises(LeakageError):
        Leakage(short).check_given([item("Coffee!")], strategy="rag")


@pytest.mark.parametrize("part", ["train", "dev"])
def test_the_suites_own_splits_are_checked_against_test(suite: Suite, part: str) -> None:
    leak = Split(part, (item(LEAK),))
    leaky = replace(suite, train=leak) if part == "train" else replace(suite, dev=leak)
    with pytest.raises(
        LeakageError, match=f"suite 'payments': {part} contains 1 .* remove them from {part} or from test"
    ):
        Leakage(leaky).check_suite()


def test_the_suites_documents_are_checked_against_test(suite: Suite) -> None:
    with pytest.raises(LeakageError, match="suite 'payments': documents contains 1"):
        Leakage(replace(suite, documents=(document(LEAK),))).check_suite()


def test_many_leaks_are_counted_and_a_few_shown(suite: Suite) -> None:
    with pytest.raises(LeakageError) as caught:
        Leakage(suite).check_given(suite.test, strategy="cheat")
    assert "contains 12 test inputs ('test-0' is test 'test-0', 'test-1'" in str(caught.value)
    assert str(caught.value).count(" is test ") == 3
    assert ", …)" in str(caught.value)


def test_a_strategy_given_test_items_is_stopped_before_any_request(
    suite: Suite, add: Callable[[str, str], None]
) -> None:
    from thirdlever.runner.runner import run
    from thirdlever.testing import FakeModel

    add(
        "cheat",
        "from thirdlever import Context, Deployment, Item, ask, strategy\n"
        "@strategy\ndef cheat():\n"
        f"    leak = [Item('x', {LEAK!r}, 'food')]\n"
        "    return lambda suite, model, store: Deployment(ask(suite, Context(shots=leak)), model=model, given=leak)\n",
    )
    model = FakeModel()
    with pytest.raises(LeakageError, match="strategy 'cheat'"):
        run(suite, ["cheat"], models=[model], out="out")
    assert model.prompts == []


def test_a_strategy_cannot_see_the_test_split(suite: Suite, add: Callable[[str, str], None]) -> None:
    from thirdlever.runner.runner import run
    from thirdlever.testing import FakeModel

    add(
        "peek",
        "from thirdlever import Context, Deployment, ask, strategy\n"
        "@strategy\ndef peek():\n"
        "    return lambda suite, model, store: Deployment(ask(suite, Context(suite.test.items)), model=model)\n",
    )
    with pytest.raises(LeakageError, match="asked for the test split"):
        run(suite, ["peek"], models=[FakeModel()], out="out")
