"""`thirdlever prompt`: exactly what a strategy sends for an item."""

from __future__ import annotations

from dataclasses import replace

import pytest
from conftest import make_suite
from helpers.encoders import Hashing

from thirdlever import Item, Split
from thirdlever.core.errors import RunError
from thirdlever.report.tables import render_prompt
from thirdlever.retrieval import embedders
from thirdlever.runner.prompt import show
from thirdlever.runner.runner import run
from thirdlever.testing import Behaviour, LoopbackProvider

MODEL = "openai/gpt-4.1-mini"

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-unused")


@pytest.mark.parametrize("strategy", ["zero_shot", "few_shot:k=4"])
def test_what_is_shown_is_what_a_run_sends(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    suite = make_suite(6)
    with LoopbackProvider({"gpt-4.1-mini": Behaviour(answer=lambda _: "fuel")}) as provider:
        for variable, value in provider.env.items():
            monkeypatch.setenv(variable, value)
        run(suite, [strategy], models=[MODEL], probe=0, out="out")
        sent = [one.body["messages"] for one in provider.requests.last if one.path.endswith("/completions")]
    assert len(sent) == 6
    [messages] = show(suite, strategy, model=MODEL, item="test-3").calls
    asked = [{"role": one.role, "content": one.text} for one in messages]
    assert asked in [[{"role": one["role"], "content": one["content"]} for one in turns] for turns in sent]
    assert "shop number 3" in asked[-1]["content"]


def test_a_missing_index_is_built_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "_model", lambda _: Hashing())
    [messages] = show(make_suite(6), "rag:k=2", model=MODEL).calls
    assert [one.role for one in messages if one.role == "assistant"] == ["assistant"] * 2


def test_messages_that_every_item_shares_are_marked_and_counted() -> None:
    prompt = show(make_suite(6), "few_shot:k=2", model=MODEL)
    [messages] = prompt.calls
    assert [one.shared for one in messages] == [True] * (len(messages) - 1) + [False]
    assert 0 < prompt.shared_tokens < prompt.tokens
    assert prompt.cached_tokens == 0
    assert "too few for a provider's prompt cache" in render_prompt(prompt)


def test_a_long_shared_beginning_is_found_in_the_cache() -> None:
    prompt = show(replace(make_suite(6), instruction="Sort the payment. " * 400), "zero_shot", model=MODEL)
    assert prompt.cached_tokens >= 1024
    assert f"reuses {prompt.cached_tokens:,} of them" in render_prompt(prompt)


def test_an_input_cannot_command_the_terminal() -> None:
    item = Item("odd", "shop \x1b[2J", "fuel")
    suite = replace(make_suite(2), test_split=Split("test", (item,)))
    shown = render_prompt(show(suite, "zero_shot", model=MODEL))
    assert "\x1b" not in shown
    assert "shop \\x1b[2J" in shown


@pytest.mark.parametrize(
    ("strategy", "item", "message"),
    [
        ("lora", None, "lora needs an artefact that does not exist yet (adapter); build it first: thirdlever run"),
        ("null", None, "null calls no model, so it has no prompt"),
        ("zero_shot", "test-33", "item 'test-33' is not in the test split of 'payments'; did you mean 'test-3'?"),
        ("zero_shot", "?", "item '?' is not in the test split of 'payments'; the first is 'test-0'"),
    ],
)
def test_what_cannot_be_shown_is_said_in_a_sentence(strategy: str, item: str | None, message: str) -> None:
    with pytest.raises(RunError) as told:
        show(make_suite(6), strategy, model="embedded" if strategy == "lora" else MODEL, item=item)
    assert message in str(told.value)
