"""What a plan knows of a provider's prompt cache, and of models that reason."""

from __future__ import annotations

import pytest

from thirdlever.models.base import BaseModel
from thirdlever.models.recorder import PromptCache, Recorder, may_reason

UNIT = "abcdefghij"  # ten characters


def test_a_prompt_of_fewer_than_1024_tokens_is_not_cached() -> None:
    cache = PromptCache(5.0)
    short = UNIT * 511
    assert [cache.read(short), cache.read(short)] == [0, 0]


def test_a_longer_prompt_is_cached_in_steps_of_128_tokens() -> None:
    cache = PromptCache(5.0)
    prompt = UNIT * 600  # 1,200 tokens
    assert [cache.read(prompt), cache.read(prompt)] == [0, 1024 + 128]


def test_only_the_common_beginning_of_two_prompts_is_cached() -> None:
    cache = PromptCache(5.0)
    cache.read(UNIT * 600)
    assert cache.read(UNIT * 570 + "another end" * 100) == 1024
    assert cache.read("another beginning" + UNIT * 600) == 0


def test_long_tokens_are_assumed_while_their_length_is_unknown() -> None:
    cache = PromptCache(None)
    almost = "x" * 4095  # 1,365 tokens of 3 characters, and fewer than 1,024 of 4
    assert [cache.read(almost), cache.read(almost)] == [0, 0]
    cache.read(almost + "x")
    assert cache.read(almost + "x") == pytest.approx(4096 / 3)


def test_a_measured_token_length_changes_counts_and_not_what_strategies_see() -> None:
    model = BaseModel(name="openai/gpt-5", inspect_name="openai/gpt-5")
    known, unknown = (Recorder.of(model, "fuel", chars_per_token=chars) for chars in (4.0, None))
    turn = {"role": "user", "content": "x" * 400}
    assert (known.count([turn]), unknown.count([turn])) == (100, 134)
    assert known.tokens("x" * 400) == unknown.tokens("x" * 400) == 134


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("openai/gpt-4.1-mini", {}, False),
        ("openai/gpt-5-mini", {}, True),
        ("openai/gpt-5-chat-latest", {}, False),
        ("openai/gpt-5.1", {"effort": "none"}, False),
        ("openai/o3", {}, True),
        ("openai/a-new-name", {}, True),
        ("openai-api/loopback/small", {}, True),
        ("anthropic/claude-sonnet-5", {}, True),
    ],
)
def test_a_model_may_reason_unless_it_is_known_that_it_cannot(
    name: str,
    settings: dict[str, str],
    expected: bool,  # noqa: FBT001 - a parameter of the table above
) -> None:
    model = BaseModel(name=name, inspect_name=name, settings=settings, reasons=True)
    assert may_reason(model) is expected
