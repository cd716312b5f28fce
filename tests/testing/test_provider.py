"""`LoopbackProvider` behaves to the vendors' own clients, and to inspect's, as the vendors do."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import time
from typing import TYPE_CHECKING, Any

import anthropic
import httpx2
import openai
import pytest
from anthropic import Anthropic
from helpers import described
from inspect_ai.model import GenerateConfig, ModelOutput, get_model
from openai import DefaultHttpxClient, OpenAI

from thirdlever.core.errors import ModelError
from thirdlever.testing import Behaviour, Fault, LoopbackProvider, RateLimit, TokenPrices

if TYPE_CHECKING:
    from thirdlever.testing.loopback import FaultKind

LONG = "word " * 1200  # 1,500 tokens
MODELS = {
    "plain": Behaviour(answer=str.upper, prices=TokenPrices(input=2.0, cached=0.5, cache_write=2.5, output=8.0)),
    "reasons": Behaviour(answer=str.upper, reasoning_tokens=300, refuses_temperature=True),
    "thinks": Behaviour(answer=str.upper, reasoning_tokens=300, think=True),
    "declines": Behaviour(refusal="I cannot help with that."),
    "small": Behaviour(answer=str.upper, context_window=10),
}
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}


def checked(response: Any) -> None:  # noqa: ANN401 - httpx2's
    """Hold a response against OpenAI's own description."""
    if response.status_code == 200 and response.headers["content-type"] == "application/json":
        response.read()
        url = f"https://api.openai.com{response.request.url.path}"
        described.check(response.request.method, url, 200, "application/json", response.content)


def openai_client(provider: LoopbackProvider, **options: Any) -> OpenAI:  # noqa: ANN401 - the client's
    http = DefaultHttpxClient(event_hooks={"response": [checked]}, trust_env=False)
    about: dict[str, Any] = {
        "base_url": f"{provider.url}/v1",
        "api_key": provider.key,
        "max_retries": 0,
        "http_client": http,
    }
    return OpenAI(**(about | options))


def undescribed(provider: LoopbackProvider) -> OpenAI:
    """A client that takes responses as they are."""
    return OpenAI(base_url=f"{provider.url}/v1", api_key=provider.key, max_retries=0)


def anthropic_client(provider: LoopbackProvider) -> Anthropic:
    return Anthropic(base_url=provider.url, api_key=provider.key, max_retries=0)


def chat(provider: LoopbackProvider, model: str = "plain", prompt: str = "fuel", **options: Any) -> Any:  # noqa: ANN401 - the client's
    with openai_client(provider) as client:
        messages: Any = [{"role": "user", "content": prompt}]
        reply = client.chat.completions.create(model=model, messages=messages, **options)
        return list(reply) if options.get("stream") else reply


def respond(provider: LoopbackProvider, model: str = "plain", prompt: str = "fuel", **options: Any) -> Any:  # noqa: ANN401 - the client's
    with openai_client(provider) as client:
        return client.responses.create(model=model, input=prompt, **options)


def message(provider: LoopbackProvider, model: str = "plain", prompt: Any = "fuel", **options: Any) -> Any:  # noqa: ANN401 - the client's
    with anthropic_client(provider) as client:
        messages: Any = [{"role": "user", "content": prompt}]
        return client.messages.create(**{"model": model, "max_tokens": 2000, "messages": messages} | options)


THINKING = {"type": "enabled", "budget_tokens": 1024}


# Answers


def test_every_api_answers_with_the_function_of_the_model() -> None:
    with LoopbackProvider(MODELS) as provider:
        assert chat(provider).choices[0].message.content == "FUEL"
        assert respond(provider).output_text == "FUEL"
        assert message(provider).content[0].text == "FUEL"
    assert provider.requests.by_status == {200: 3}
    assert (provider.usage.input, provider.usage.output) == (3, 3)


def test_every_api_streams_the_answer_it_would_have_returned() -> None:
    with LoopbackProvider(MODELS) as provider, openai_client(provider) as client:
        parts = chat(provider, "reasons", "shipping", stream=True, stream_options={"include_usage": True})
        assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices) == "SHIPPING"
        assert parts[-1].usage == chat(provider, "reasons", "shipping").usage
        with client.responses.stream(model="reasons", input="shipping") as events:
            streamed = events.get_final_response()
        assert streamed.output_text == "SHIPPING"
        assert streamed.usage == respond(provider, "reasons", "shipping").usage
        with anthropic_client(provider) as claude:
            asked: Any = {"model": "reasons", "messages": [{"role": "user", "content": "shipping"}]}
            with claude.messages.stream(**asked, max_tokens=2000, thinking=THINKING) as stream:  # type: ignore[arg-type]
                final = stream.get_final_message()
        whole = message(provider, "reasons", "shipping", thinking=THINKING)
        assert [block.type for block in final.content] == ["thinking", "text"]
        assert final.content[0].thinking == whole.content[0].thinking  # type: ignore[union-attr]
        assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", whole.usage.output_tokens)


def test_models_are_listed_and_texts_embedded() -> None:
    with LoopbackProvider(MODELS) as provider, openai_client(provider) as client, undescribed(provider) as plain:
        assert [model.id for model in client.models.list()] == list(MODELS)
        texts = ["card payment at Shell", "card payment at Shell station", "rent"]
        found = plain.embeddings.create(model="plain", input=texts)  # in base64, which the description leaves out
        same, near, far = (found.data[i].embedding for i in range(3))
        floats = client.embeddings.create(model="plain", input=texts, encoding_format="float")
        assert same == pytest.approx(floats.data[0].embedding)
        assert sum(a * b for a, b in zip(same, near, strict=True)) > 0.8
        assert sum(a * b for a, b in zip(same, far, strict=True)) < 0.1
        assert len(plain.embeddings.create(model="plain", input="a", dimensions=32).data[0].embedding) == 32


def test_a_schema_with_one_property_wraps_the_answer() -> None:
    form = {"type": "json_schema", "name": "answer", "schema": SCHEMA}
    with LoopbackProvider(MODELS) as provider:
        asked = chat(provider, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": SCHEMA}})
        texts = [asked.choices[0].message.content, respond(provider, text={"format": form}).output_text]
        form = {"type": "json_schema", "schema": SCHEMA}
        texts.append(message(provider, output_config={"format": form}).content[0].text)
    assert [json.loads(text) for text in texts] == [{"label": "FUEL"}] * 3


# Reasoning and limits


def test_reasoning_uses_up_the_limit_of_a_chat_completion() -> None:
    with LoopbackProvider(MODELS) as provider:
        reply = chat(provider, "reasons", max_completion_tokens=15)
        enough = chat(provider, "reasons", max_completion_tokens=400)
    assert (reply.choices[0].finish_reason, reply.choices[0].message.content) == ("length", "")
    assert (reply.usage.completion_tokens, reply.usage.completion_tokens_details.reasoning_tokens) == (15, 15)
    assert (enough.choices[0].finish_reason, enough.choices[0].message.content) == ("stop", "FUEL")


def test_reasoning_uses_up_the_limit_of_a_response() -> None:
    with LoopbackProvider(MODELS) as provider:
        reply = respond(provider, "reasons", max_output_tokens=16)
        with pytest.raises(openai.BadRequestError, match="Expected a value >= 16, but got 15") as refused:
            respond(provider, "reasons", max_output_tokens=15)
    assert (reply.status, reply.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert (reply.output_text, reply.usage.output_tokens_details.reasoning_tokens) == ("", 16)
    assert (refused.value.code, refused.value.param) == ("integer_below_min_value", "max_output_tokens")


def test_anthropics_models_reason_only_if_the_request_enables_it() -> None:
    with LoopbackProvider(MODELS) as provider:
        assert [block.type for block in message(provider, "reasons").content] == ["text"]
        reply = message(provider, "reasons", thinking=THINKING, max_tokens=1025)
        cut = message(provider, "plain", "a long answer", max_tokens=2)
        with pytest.raises(anthropic.BadRequestError, match=r"greater than `thinking\.budget_tokens`"):
            message(provider, "reasons", thinking=THINKING, max_tokens=1024)
    assert [block.type for block in reply.content] == ["thinking", "text"]
    assert reply.usage.output_tokens == 301
    assert (cut.stop_reason, cut.content[0].text) == ("max_tokens", "A LONG A")


def test_inline_thinking_is_cut_inside_its_block_and_not_reported() -> None:
    with LoopbackProvider(MODELS) as provider:
        whole, cut = chat(provider, "thinks"), chat(provider, "thinks", max_completion_tokens=15)
    assert whole.choices[0].message.content.endswith("</think>\n\nFUEL")
    assert whole.usage.completion_tokens > 300
    assert cut.choices[0].message.content.startswith("<think>")
    assert "</think>" not in cut.choices[0].message.content
    assert cut.choices[0].finish_reason == "length"
    assert (cut.usage.completion_tokens, cut.usage.completion_tokens_details.reasoning_tokens) == (15, 0)


def test_a_refusal_is_marked_as_one() -> None:
    with LoopbackProvider(MODELS) as provider:
        assert chat(provider, "declines").choices[0].message.refusal == "I cannot help with that."
        assert respond(provider, "declines").output[0].content[0].type == "refusal"
        assert message(provider, "declines").stop_reason == "refusal"


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("reasons", {"temperature": 0}, "Unsupported value: 'temperature' does not support 0"),
        ("small", {"prompt": "word " * 20}, "maximum context length is 10 tokens"),
    ],
)
def test_what_a_model_does_not_accept_is_a_bad_request(model: str, options: dict[str, Any], said: str) -> None:
    with LoopbackProvider(MODELS) as provider, pytest.raises(openai.BadRequestError, match=said):
        chat(provider, model, **options)


def test_anthropics_error_for_a_long_prompt_has_its_own_words() -> None:
    with LoopbackProvider(MODELS) as provider, pytest.raises(anthropic.BadRequestError, match="prompt is too long: 25"):
        message(provider, "small", "word " * 20)


# Caches and the bill


def test_a_repeated_prefix_of_1024_tokens_is_read_from_the_cache() -> None:
    with LoopbackProvider(MODELS) as provider:
        cached = [
            chat(provider, prompt=prompt).usage.prompt_tokens_details.cached_tokens
            for prompt in (LONG, f"{LONG} once more", "other " + LONG, LONG[:4000], LONG[:4000])
        ]
    assert cached == [0, 1408, 0, 0, 0]  # 1,024 and steps of 128; 1,000 tokens are too few


def test_anthropics_cache_keeps_what_the_request_marks() -> None:
    marked = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
    with LoopbackProvider(MODELS) as provider:
        first, second = (message(provider, prompt=[marked, {"type": "text", "text": end}]).usage for end in ("a", "b"))
        unmarked = message(provider, prompt=LONG).usage
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens, first.input_tokens) == (1500, 0, 1)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, 1500)
    assert (unmarked.cache_creation_input_tokens, unmarked.cache_read_input_tokens) == (0, 0)


def test_the_bill_is_the_sum_of_what_the_responses_report() -> None:
    marked = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
    expected = 0.0
    with LoopbackProvider(MODELS) as provider:
        for prompt in (LONG, LONG, "short"):
            used = chat(provider, prompt=prompt).usage
            cached = used.prompt_tokens_details.cached_tokens
            expected += 2.0 * (used.prompt_tokens - cached) + 0.5 * cached + 8.0 * used.completion_tokens
            used = message(provider, prompt=[marked]).usage
            expected += 2.0 * used.input_tokens + 0.5 * used.cache_read_input_tokens
            expected += 2.5 * used.cache_creation_input_tokens + 8.0 * used.output_tokens
        with pytest.raises(openai.NotFoundError):
            chat(provider, "unknown")
    assert provider.bill_usd == pytest.approx(expected / 1e6, rel=1e-12)
    assert provider.usage.cached == 2 * 1500 + 1408
    assert provider.usage.cache_write == 1500


def test_requests_are_counted_always_and_kept_up_to_a_number() -> None:
    with LoopbackProvider(MODELS, keep=2) as provider:
        for number in range(5):
            chat(provider, prompt=f"prompt {number}")
    requests = provider.requests
    assert len(requests) == 5
    assert [each.body["messages"][0]["content"] for each in requests.last] == ["prompt 3", "prompt 4"]
    assert requests.last[0].headers["authorization"] == "***"
    assert provider.key not in str(requests)


# Faults

FAULTS: list[tuple[FaultKind, int, type[Exception], str]] = [
    ("unauthorized", 401, openai.AuthenticationError, "Incorrect API key"),
    ("forbidden", 403, openai.PermissionDeniedError, "does not have access"),
    ("no_model", 404, openai.NotFoundError, "does not exist"),
    ("quota", 429, openai.RateLimitError, "exceeded your current quota"),
    ("credit", 400, openai.BadRequestError, "credit balance is too low"),
    ("payment", 402, openai.APIStatusError, "Payment required"),
    ("rate_limit", 429, openai.RateLimitError, "Rate limit reached"),
    ("server_error", 500, openai.InternalServerError, "had an error"),
    ("overloaded", 529, openai.InternalServerError, "Overloaded"),
    ("html_error", 502, openai.InternalServerError, "502"),
    ("truncated", 200, ValueError, "Unterminated|Expecting"),
]


@pytest.mark.parametrize(("kind", "status", "error", "said"), FAULTS)
def test_a_fault_reaches_the_client_as_the_vendors_error(
    kind: FaultKind, status: int, error: type[Exception], said: str
) -> None:
    with (
        LoopbackProvider(MODELS, faults=[Fault(kind)]) as provider,
        undescribed(provider) as client,
        pytest.raises(error, match=said),
    ):
        client.chat.completions.create(model="plain", messages=[{"role": "user", "content": "fuel"}])
    assert provider.requests.by_status == {status: 1}


def test_anthropics_clients_receive_the_faults_in_its_own_shape() -> None:
    with LoopbackProvider(MODELS, faults=[Fault("credit", requests=range(1)), Fault("overloaded")]) as provider:
        with pytest.raises(anthropic.BadRequestError, match="credit balance is too low") as credit:
            message(provider)
        with pytest.raises(anthropic.APIStatusError) as overloaded:
            message(provider)
    assert credit.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]
    assert overloaded.value.body["error"]["type"] == "overloaded_error"  # type: ignore[index]


def test_a_page_of_html_with_status_200_is_no_completion() -> None:
    with LoopbackProvider(MODELS, faults=[Fault("html")]) as provider:
        assert str(chat(provider)).startswith("<!DOCTYPE html>")


def test_a_response_without_usage_is_still_billed() -> None:
    with LoopbackProvider(MODELS, faults=[Fault("no_usage")]) as provider, undescribed(provider) as client:
        reply = client.chat.completions.create(model="plain", messages=[{"role": "user", "content": "fuel"}])
    assert reply.usage is None
    assert provider.usage.output == 1


def test_a_silent_provider_never_answers_and_still_stops() -> None:
    silent = LoopbackProvider(MODELS, faults=[Fault("silent")])
    with silent as provider, openai_client(provider, timeout=0.2) as client, pytest.raises(openai.APITimeoutError):
        client.models.list()
    assert provider.requests.by_status == {0: 1}


def test_a_stopped_provider_refuses_connections_until_it_starts_again() -> None:
    with LoopbackProvider(MODELS) as provider:
        provider.stop()
        with pytest.raises(openai.APIConnectionError):
            chat(provider)
        provider.start()
        assert chat(provider).choices[0].message.content == "FUEL"


def test_a_wrong_key_is_refused_and_echoed_in_part_only() -> None:
    with LoopbackProvider(MODELS) as provider:
        client = openai_client(provider, api_key="sk-somebody-else")
        with client, pytest.raises(openai.AuthenticationError, match=r"sk-\*\*\*else"):
            client.models.list()


def statuses(provider: LoopbackProvider, *models: str) -> list[int]:
    """The status of one request for each model named."""
    with httpx2.Client(base_url=provider.url, headers={"authorization": f"Bearer {provider.key}"}) as client:
        bodies = [{"model": model, "messages": [{"role": "user", "content": "fuel"}]} for model in models]
        return [client.post("/v1/chat/completions", json=body).status_code for body in bodies]


def test_faults_follow_their_script() -> None:
    faults = [Fault("server_error", model="plain", requests=range(1, 3)), Fault("forbidden", model="small")]
    with LoopbackProvider(MODELS, faults=faults) as provider:
        asked = ("plain", "thinks", "plain", "small", "plain", "plain")
        assert statuses(provider, *asked) == [200, 200, 500, 403, 500, 200]
        provider.inject()
        assert statuses(provider, "small") == [200]
        provider.inject(Fault("rate_limit", until_s=0.5))
        assert statuses(provider, "plain") == [429]
        time.sleep(0.6)
        assert statuses(provider, "plain") == [200]


def test_a_share_of_requests_fails_the_same_way_each_time() -> None:
    drawn = []
    for _ in range(2):
        with LoopbackProvider(MODELS, faults=[Fault("server_error", share=0.3, seed=7)]) as provider:
            drawn.append(statuses(provider, *["plain"] * 60))
    assert drawn[0] == drawn[1]
    assert 8 < drawn[0].count(500) < 28


def test_a_rate_limit_states_when_to_try_again() -> None:
    faults = [Fault("rate_limit", retry_after_s=1.5)]
    with LoopbackProvider(MODELS, faults=faults) as provider, pytest.raises(openai.RateLimitError) as limited:
        chat(provider)
    headers = limited.value.response.headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("2", "1500")
    assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-reset-requests"]) == ("0", "1500ms")


def test_a_rate_limit_per_minute_is_on_every_response() -> None:
    limit = RateLimit(requests_per_minute=2, tokens_per_minute=1000)
    with LoopbackProvider(MODELS, rate_limit=limit) as provider, openai_client(provider) as client:

        def ask() -> Any:  # noqa: ANN401 - the client's
            messages: Any = [{"role": "user", "content": "fuel"}]
            create = client.chat.completions.with_raw_response.create
            return create(model="plain", messages=messages, max_completion_tokens=100)

        headers = [ask().headers for _ in range(2)]
        with pytest.raises(openai.RateLimitError) as limited:
            ask()
        with pytest.raises(anthropic.RateLimitError) as claude:
            message(provider)
    assert [each["x-ratelimit-remaining-requests"] for each in headers] == ["1", "0"]
    assert headers[0]["x-ratelimit-remaining-tokens"] == "900"
    assert 20 < float(limited.value.response.headers["retry-after"]) <= 30
    assert claude.value.response.headers["anthropic-ratelimit-requests-remaining"] == "0"


# Time


def test_an_answer_takes_its_latency_and_its_tokens_time() -> None:
    latency_s = {"slow": 0.3, "fast": 0.0}
    slow = Behaviour(answer=lambda _: "x" * 40, latency_s=latency_s.__getitem__, tokens_per_s=50)
    with LoopbackProvider({"m": slow}) as provider:
        taken = []
        for prompt, stream in (("fast", False), ("slow", False), ("slow", True)):
            began = time.monotonic()
            reply = chat(provider, "m", prompt, stream=stream)
            if stream:
                assert len(reply) == 12
            taken.append(time.monotonic() - began)
    assert taken[0] >= 0.2
    assert min(taken[1:]) >= 0.5


# Inspect's providers


@pytest.mark.parametrize(
    ("name", "requests"),
    [
        ("openai-api/loopback/reasons", 1),
        ("openai/gpt-4o", 1),
        ("openai/gpt-5-mini", 2),  # inspect first tries whether the account may see summaries of the reasoning
        ("anthropic/claude-haiku-4-5", 1),
    ],
)
def test_inspects_providers_get_answers_and_usage(name: str, requests: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = name.rpartition("/")[2]

    async def asked() -> ModelOutput:
        async with get_model(name, memoize=False) as connected:
            return await connected.generate("fuel", config=GenerateConfig(max_tokens=2048))

    with LoopbackProvider({model: Behaviour(answer=str.upper, reasoning_tokens=30)}) as provider:
        for variable, value in provider.env.items():
            monkeypatch.setenv(variable, value)
        output = asyncio.run(asked())
    assert output.completion == "FUEL"
    assert output.usage is not None
    assert output.usage.output_tokens == (1 if name.startswith("anthropic") else 31)
    assert provider.requests.by_status == {200: requests}


# A process of its own


def test_a_provider_in_its_own_process_keeps_its_figures() -> None:
    with LoopbackProvider(MODELS | {"slow": Behaviour(latency_s=60)}, process=True) as provider:
        assert chat(provider).choices[0].message.content == "FUEL"
        provider.inject(Fault("server_error"))
        assert statuses(provider, "plain") == [500]
    assert provider.requests.by_status == {200: 1, 500: 1}
    assert provider.bill_usd == pytest.approx(10 / 1e6)
    assert not multiprocessing.active_children()


def test_a_function_that_cannot_be_sent_to_a_process_is_named() -> None:
    with pytest.raises(ModelError, match="'m' cannot be sent to another process"):
        LoopbackProvider({"m": Behaviour(answer=lambda _: "x")}, process=True)
