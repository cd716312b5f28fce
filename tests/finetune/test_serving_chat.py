"""The endpoint's chat completions with a tiny model: whole, streamed and refused."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import openai
import pytest
from helpers import tiny
from helpers.described import check_part
from helpers.endpoints import connected, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai import OpenAI

ASK: Any = [{"role": "user", "content": "w3 w4 w5 w6"}]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf/{tiny.save(tmp_path_factory.mktemp('model'))}"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory, model: str) -> Iterator[OpenAI]:
    with serving(tmp_path_factory.mktemp("endpoint"), model) as url, connected(url) as client:
        yield client


def ask(client: OpenAI, model: str, **options: Any) -> Any:  # noqa: ANN401 - create's
    return client.chat.completions.create(
        **{"model": model, "messages": ASK, "temperature": 0, "max_tokens": 8} | options
    )


def text(client: OpenAI, model: str, **options: Any) -> str:  # noqa: ANN401
    return str(ask(client, model, **options).choices[0].message.content)


def test_an_answer_has_its_usage(client: OpenAI, model: str) -> None:
    answer = ask(client, model)
    [choice] = answer.choices
    assert (answer.object, answer.model, choice.finish_reason) == ("chat.completion", model, "length")
    assert (choice.message.role, choice.message.refusal) == ("assistant", None)
    assert len(choice.message.content.split()) == 8
    usage = answer.usage
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (4, 8, 12)
    assert usage.prompt_tokens_details.cached_tokens == 0


def test_cached_tokens_are_reported(client: OpenAI, model: str) -> None:
    long = [{"role": "user", "content": "w3 w4 " * 150}]
    ask(client, model, messages=long)
    assert ask(client, model, messages=long).usage.prompt_tokens_details.cached_tokens > 100


def test_a_streamed_answer_is_the_same(client: OpenAI, model: str) -> None:
    whole = ask(client, model)
    chunks = list(ask(client, model, stream=True, stream_options={"include_usage": True}))
    *said, last, usage = chunks
    assert said[0].choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == whole.choices[0].message.content
    assert last.choices[0].finish_reason == "length"
    assert {chunk.choices[0].finish_reason for chunk in said} == {None}
    assert usage.choices == []
    assert usage.usage.completion_tokens == 8
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(said) > 2  # as it comes, not at the end
    for chunk in chunks:
        check_part("CreateChatCompletionStreamResponse", chunk.to_dict())


def test_a_stream_without_usage_has_none(client: OpenAI, model: str) -> None:
    chunks = list(ask(client, model, stream=True))
    assert chunks[-1].choices[0].finish_reason == "length"
    assert not any("usage" in chunk.model_fields_set for chunk in chunks)


def test_stop_ends_an_answer_before_it(client: OpenAI, model: str) -> None:
    words = text(client, model).split()
    stop = next(word for word in words[2:] if word not in words[:2])
    for given in (stop, [stop], ["nothing", stop]):
        answer = ask(client, model, stop=given)
        assert answer.choices[0].finish_reason == "stop"
        assert answer.choices[0].message.content.split() == words[: words.index(stop)]
        streamed = ask(client, model, stop=given, stream=True)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == answer.choices[0].message.content


def test_an_answer_is_kept_to_the_choices(client: OpenAI, model: str) -> None:
    allowed = {"w9", "w5 w6"}
    body = {"structured_outputs": {"choice": sorted(allowed)}}
    assert text(client, model, extra_body=body, temperature=0) in allowed


def test_a_seed_repeats_a_sampled_answer(client: OpenAI, model: str) -> None:
    drawn = [text(client, model, temperature=2, seed=seed) for seed in (1, 1, 2, 3)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1
    assert text(client, model, temperature=2, top_p=0, seed=1) == text(client, model)


def test_the_temperature_is_one_by_default(client: OpenAI, model: str) -> None:
    drawn = client.chat.completions.create(model=model, messages=ASK, max_tokens=8, seed=5)
    assert drawn.choices[0].message.content == text(client, model, temperature=1, seed=5)


def test_the_newer_name_of_max_tokens_is_accepted(client: OpenAI, model: str) -> None:
    short = client.chat.completions.create(model=model, messages=ASK, temperature=0, max_completion_tokens=3)
    assert short.usage is not None
    assert short.usage.completion_tokens == 3
    assert short.choices[0].message.content == " ".join(text(client, model).split()[:3])


def test_an_answer_without_a_limit_fits_the_window(client: OpenAI, model: str) -> None:
    messages: Any = [{"role": "user", "content": "w3 " * 508}]
    answer = client.chat.completions.create(model=model, messages=messages, temperature=0)
    assert answer.usage is not None
    assert answer.usage.completion_tokens <= 4


def test_parts_and_roles_of_newer_clients_are_accepted(client: OpenAI, model: str) -> None:
    old = [{"role": "system", "content": "w7 w8"}, *ASK]
    new = [
        {"role": "developer", "content": "w7 w8"},
        {"role": "user", "content": [{"type": "text", "text": "w3 w4"}, {"type": "text", "text": " w5 w6"}]},
    ]
    assert text(client, model, messages=old) == text(client, model, messages=new) != text(client, model)


def test_concurrent_requests_get_their_own_answers(client: OpenAI, model: str) -> None:
    asked = [[{"role": "user", "content": f"w{i} w4 w5"}] for i in range(3, 15)]
    alone = [text(client, model, messages=messages) for messages in asked]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(lambda messages: text(client, model, messages=messages), asked))
    assert together == alone


@pytest.mark.parametrize(
    "harmless",
    [
        {"n": 1},
        {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "logprobs": False},
        {"response_format": {"type": "text"}, "store": False, "tools": []},
        {"user": "me", "metadata": {"run": "a"}, "prompt_cache_key": "k", "safety_identifier": "s"},
        {"extra_body": {"tool_choice": None, "quantisation": None, "stop": None}},
    ],
    ids=lambda given: next(iter(given)),
)
def test_parameters_without_effect_are_accepted(client: OpenAI, model: str, harmless: dict[str, Any]) -> None:
    assert text(client, model, **harmless) == text(client, model)


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"n": 2}, "n", "unsupported_value"),
        ({"logprobs": True}, "logprobs", "unsupported_value"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "unsupported_value"),
        ({"response_format": {"type": "json_object"}}, "response_format.type", "unsupported_value"),
        ({"logit_bias": {"3": 5}}, "logit_bias", "unsupported_value"),
        ({"presence_penalty": 1}, "presence_penalty", "invalid_value"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "unsupported_parameter"),
        ({"stop": list("abcde")}, "stop", "unsupported_value"),
        ({"temperature": 3}, "temperature", "invalid_value"),
        ({"temperature": "hot"}, "temperature", "invalid_value"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "messages.0.role", "unsupported_value"),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing_required_parameter"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages.0.content", "invalid_value"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "messages.0.content.0.type",
            "unsupported_value",
        ),
        ({"messages": "hello"}, "messages", "invalid_value"),
        ({"messages": [{"role": "user", "content": "w3 " * 600}]}, "messages", "context_length_exceeded"),
        ({"max_tokens": 509}, "messages", "context_length_exceeded"),
    ],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_unsupported_and_invalid_parameters_are_refused(
    client: OpenAI, model: str, given: dict[str, Any], param: str, code: str, *, stream: bool
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, model, stream=stream, **given)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_missing_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        ask(client, "gpt-4o")
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")
