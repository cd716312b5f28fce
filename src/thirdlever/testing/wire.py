"""The requests and responses of OpenAI's and Anthropic's HTTP APIs, as `LoopbackProvider` reads and writes them.

A token is four characters here, so that every figure of a bill can be checked by hand.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

TOKEN_CHARS = 4
MIN_RESPONSES_TOKENS = 16  # OpenAI: max_output_tokens below it is refused
CREATED = 1_700_000_000  # the time in every response: a reply depends on its request alone
FILLER = "hmm "  # one token of reasoning

Events = list[tuple[str, dict[str, Any], int]]  # name of the event, its data, and how many tokens it took to generate


def tokens(text: str) -> int:
    """The number of tokens of a text."""
    return -(-len(text) // TOKEN_CHARS)


@dataclass(frozen=True)
class Asked:
    """What a request asks for, whichever API it came by.

    Attributes:
        limit: the maximum of output tokens, reasoning included.
        schema: the JSON schema that the answer must follow.
        temperature: None if the request leaves it out.
        thinking: the model may reason; only Anthropic's API lets the request decide.
        breakpoints: for Anthropic's cache, the ends of the prefixes to keep, in characters of the prompt. None: the
            provider caches by itself.
    """

    model: str
    prompt: str
    limit: int | None
    schema: dict[str, Any] | None = None
    temperature: float | None = None
    thinking: bool = True
    stream: bool = False
    stream_usage: bool = True
    breakpoints: tuple[int, ...] | None = None


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of a request. `input` includes those read from and written to the cache; `output` includes reasoning."""

    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0

    def __add__(self, other: TokenCounts) -> TokenCounts:
        """The sum, by kind."""
        return TokenCounts(**{name: getattr(self, name) + getattr(other, name) for name in vars(self)})


@dataclass(frozen=True)
class Replied:
    """What the model answered. `cut`: it reached the limit. `refusal`: it declined, with this text."""

    id: int
    text: str
    tokens: TokenCounts
    cut: bool = False
    refusal: str = ""


@dataclass
class RefusedError(Exception):
    """An error response: HTTP status, and the error's type, code, message and parameter in OpenAI's terms."""

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | int | None = None
    param: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


class ChatCompletions:
    """`POST /v1/chat/completions`."""

    required: tuple[str, ...] = ("model", "messages")
    end = b"data: [DONE]\n\n"  # of a stream

    def read(self, body: dict[str, Any]) -> Asked:
        """What the request asks for."""
        for name in self.required:
            if name not in body:
                raise RefusedError(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter")
        return self._read(body)

    def _read(self, body: dict[str, Any]) -> Asked:
        shape = body.get("response_format") or {}
        return Asked(
            model=body["model"],
            prompt=_joined(_text(message.get("content")) for message in body["messages"]),
            limit=body.get("max_completion_tokens") or body.get("max_tokens"),
            schema=shape.get("json_schema", {}).get("schema"),
            temperature=body.get("temperature"),
            stream=bool(body.get("stream")),
            stream_usage=bool((body.get("stream_options") or {}).get("include_usage")),
        )

    def write(self, asked: Asked, reply: Replied) -> dict[str, Any]:
        """The response."""
        message: dict[str, Any] = {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []}
        if reply.refusal:
            message |= {"content": None, "refusal": reply.refusal}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._reason(reply)}
        return self._about(asked, reply, "chat.completion") | {"choices": [choice], "usage": self._usage(reply.tokens)}

    def stream(self, asked: Asked, reply: Replied) -> Events:
        """The events of a streamed response."""
        name = "refusal" if reply.refusal else "content"
        about = self._about(asked, reply, "chat.completion.chunk")

        def chunk(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
            return about | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}]}

        events: Events = [("", chunk({"role": "assistant", "content": "", "refusal": None}), reply.tokens.reasoning)]
        events += [("", chunk({name: part}), 1) for part in _parts(reply.refusal or reply.text)]
        events += [("", chunk({}, self._reason(reply)), 0)]
        if asked.stream_usage:
            events += [("", about | {"choices": [], "usage": self._usage(reply.tokens)}, 0)]
        return events

    def error(self, refused: RefusedError) -> dict[str, Any]:
        """The body of an error response."""
        about = {"type": refused.type, "param": refused.param, "code": refused.code}
        return {"error": {"message": refused.message, **about}}

    def limits(self, limits: Iterable[tuple[str, int, int, float]]) -> dict[str, str]:
        """Headers for what is left of each rate limit: its kind, the limit, what is left, seconds until it is full."""
        headers: dict[str, str] = {}
        for kind, limit, left, seconds in limits:
            values = {"limit": str(limit), "remaining": str(left), "reset": f"{round(seconds * 1000)}ms"}
            headers |= {f"x-ratelimit-{name}-{kind}": value for name, value in values.items()}
        return headers

    def too_long(self, count: int, window: int) -> RefusedError:
        """The error for a prompt of `count` tokens."""
        message = (
            f"This model's maximum context length is {window} tokens. However, your messages resulted in {count} "
            "tokens. Please reduce the length of the messages."
        )
        return RefusedError(400, message, code="context_length_exceeded", param="messages")

    def _reason(self, reply: Replied) -> str:
        return "length" if reply.cut else "stop"

    def _about(self, asked: Asked, reply: Replied, kind: str) -> dict[str, Any]:
        about = {"id": f"chatcmpl-{reply.id}", "object": kind, "created": CREATED, "model": asked.model}
        return about | {"service_tier": "default"}

    def _usage(self, used: TokenCounts) -> dict[str, Any]:
        details = {"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0, "audio_tokens": 0}
        return {
            "prompt_tokens": used.input,
            "completion_tokens": used.output,
            "total_tokens": used.input + used.output,
            "prompt_tokens_details": {"cached_tokens": used.cached, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": used.reasoning, **details},
        }


class ResponsesAPI(ChatCompletions):
    """`POST /v1/responses`."""

    required = ("model", "input")
    end = b""

    def _read(self, body: dict[str, Any]) -> Asked:
        limit = body.get("max_output_tokens")
        if limit is not None and limit < MIN_RESPONSES_TOKENS:
            message = (
                "Invalid 'max_output_tokens': integer below minimum value. "
                f"Expected a value >= {MIN_RESPONSES_TOKENS}, but got {limit} instead."
            )
            raise RefusedError(400, message, code="integer_below_min_value", param="max_output_tokens")
        given = body["input"]
        turns = [given] if isinstance(given, str) else [_text(item.get("content")) for item in given]
        return Asked(
            model=body["model"],
            prompt=_joined([body.get("instructions") or "", *turns]),
            limit=limit,
            schema=((body.get("text") or {}).get("format") or {}).get("schema"),
            temperature=body.get("temperature"),
            stream=bool(body.get("stream")),
        )

    def write(self, asked: Asked, reply: Replied) -> dict[str, Any]:
        """The response."""
        output = []
        if reply.tokens.reasoning:
            output.append({"id": f"rs_{reply.id}", "type": "reasoning", "summary": []})
        if reply.text or reply.refusal or not reply.cut:
            output.append(self._message(reply, [self._part(reply, reply.text, reply.refusal)]))
        return self._state(asked, reply, "incomplete" if reply.cut else "completed") | {
            "output": output,
            "usage": {
                "input_tokens": reply.tokens.input,
                "input_tokens_details": {"cached_tokens": reply.tokens.cached, "cache_write_tokens": 0},
                "output_tokens": reply.tokens.output,
                "output_tokens_details": {"reasoning_tokens": reply.tokens.reasoning},
                "total_tokens": reply.tokens.input + reply.tokens.output,
            },
        }

    def stream(self, asked: Asked, reply: Replied) -> Events:
        """The events of a streamed response."""
        whole = self.write(asked, reply)
        events: Events = [("response.created", {"response": self._state(asked, reply, "in_progress")}, 0)]
        for index, item in enumerate(whole["output"]):
            if item["type"] == "reasoning":
                events += [
                    ("response.output_item.added", {"output_index": index, "item": item}, reply.tokens.reasoning)
                ]
            else:
                events += self._streamed(reply, index)
            events += [("response.output_item.done", {"output_index": index, "item": item}, 0)]
        events += [(f"response.{whole['status']}", {"response": whole}, 0)]
        return [
            (name, {"type": name, "sequence_number": number, **data}, cost)
            for number, (name, data, cost) in enumerate(events)
        ]

    def _streamed(self, reply: Replied, index: int) -> Events:
        kind = "refusal" if reply.refusal else "output_text"
        where = {"item_id": f"msg_{reply.id}", "output_index": index, "content_index": 0}
        more: dict[str, Any] = {} if reply.refusal else {"logprobs": []}
        text, part = reply.refusal or reply.text, self._part(reply, reply.text, reply.refusal)
        done = {"refusal" if reply.refusal else "text": text, **more}
        empty = self._part(reply, "", "")
        item = self._message(reply, []) | {"status": "in_progress"}
        return [
            ("response.output_item.added", {"output_index": index, "item": item}, 0),
            ("response.content_part.added", {**where, "part": empty}, 0),
            *((f"response.{kind}.delta", {**where, "delta": delta, **more}, 1) for delta in _parts(text)),
            (f"response.{kind}.done", {**where, **done}, 0),
            ("response.content_part.done", {**where, "part": part}, 0),
        ]

    def _part(self, reply: Replied, text: str, refusal: str) -> dict[str, Any]:
        if reply.refusal:
            return {"type": "refusal", "refusal": refusal}
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}

    def _message(self, reply: Replied, content: list[dict[str, Any]]) -> dict[str, Any]:
        about = {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "content": content}
        return about | {"status": "incomplete" if reply.cut else "completed"}

    def _state(self, asked: Asked, reply: Replied, status: str) -> dict[str, Any]:
        form = {"type": "json_schema", "name": "answer", "schema": asked.schema, "strict": True}
        return {
            "id": f"resp_{reply.id}",
            "object": "response",
            "created_at": CREATED,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "max_output_tokens": asked.limit,
            "max_tool_calls": None,
            "metadata": {},
            "model": asked.model,
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "service_tier": "default",
            "store": False,
            "temperature": 1.0 if asked.temperature is None else asked.temperature,
            "text": {"format": form if asked.schema else {"type": "text"}, "verbosity": "medium"},
            "tool_choice": "auto",
            "tools": [],
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None,
        }


class AnthropicMessages(ChatCompletions):
    """`POST /v1/messages`."""

    required = ("model", "messages", "max_tokens")
    end = b""
    types = {  # noqa: RUF012 - a constant
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        429: "rate_limit_error",
        500: "api_error",
        529: "overloaded_error",
    }

    def _read(self, body: dict[str, Any]) -> Asked:
        blocks = [*_blocks(body.get("system"))]
        for message in body["messages"]:
            blocks += _blocks(message["content"])
        prompt, breakpoints = "", []
        for block in blocks:
            prompt = _joined([prompt, block.get("text", "")])
            if block.get("cache_control"):
                breakpoints.append(len(prompt))
        if body.get("cache_control"):
            breakpoints.append(len(prompt))
        thinking = body.get("thinking") or {"type": "disabled"}
        if thinking.get("budget_tokens", 0) >= body["max_tokens"]:
            raise RefusedError(400, "`max_tokens` must be greater than `thinking.budget_tokens`.")
        form = (body.get("output_config") or {}).get("format") or body.get("output_format") or {}
        return Asked(
            model=body["model"],
            prompt=prompt,
            limit=body["max_tokens"],
            schema=form.get("schema"),
            temperature=body.get("temperature"),
            thinking=thinking["type"] != "disabled",
            stream=bool(body.get("stream")),
            breakpoints=tuple(breakpoints),
        )

    def write(self, asked: Asked, reply: Replied) -> dict[str, Any]:
        """The response."""
        return self._begun(asked, reply) | self._end(reply) | {"content": self._content(reply)}

    def stream(self, asked: Asked, reply: Replied) -> Events:
        """The events of a streamed response."""
        begun = self._begun(asked, reply)
        begun["usage"] = begun["usage"] | {"output_tokens": 1}
        events: Events = [("message_start", {"message": begun}, 0)]
        for index, block in enumerate(self._content(reply)):
            kind = block["type"]
            empty = {name: "" if name != "type" else kind for name in block}
            deltas = [({"type": f"{kind}_delta", kind: part}, 1) for part in _parts(block[kind])]
            if kind == "thinking":
                deltas.append(({"type": "signature_delta", "signature": block["signature"]}, 0))
            events += [("content_block_start", {"index": index, "content_block": empty}, 0)]
            events += [("content_block_delta", {"index": index, "delta": delta}, cost) for delta, cost in deltas]
            events += [("content_block_stop", {"index": index}, 0)]
        usage = {"output_tokens": reply.tokens.output}
        events += [("message_delta", {"delta": self._end(reply), "usage": usage}, 0), ("message_stop", {}, 0)]
        return [(name, {"type": name, **data}, cost) for name, data, cost in events]

    def too_long(self, count: int, window: int) -> RefusedError:
        """The error for a prompt of `count` tokens."""
        return RefusedError(400, f"prompt is too long: {count} tokens > {window} maximum")

    def error(self, refused: RefusedError) -> dict[str, Any]:
        """The body of an error response."""
        kind = self.types.get(refused.status, "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": refused.message}, "request_id": "req_loopback"}

    def limits(self, limits: Iterable[tuple[str, int, int, float]]) -> dict[str, str]:
        """Headers for what is left of each rate limit."""
        headers: dict[str, str] = {}
        for kind, limit, left, seconds in limits:
            reset = np.datetime_as_string(np.datetime64("now") + np.timedelta64(round(seconds), "s"), timezone="UTC")
            values = {"limit": str(limit), "remaining": str(left), "reset": str(reset)}
            headers |= {f"anthropic-ratelimit-{kind}-{name}": value for name, value in values.items()}
        return headers

    def _begun(self, asked: Asked, reply: Replied) -> dict[str, Any]:
        used = reply.tokens
        usage = {
            "input_tokens": used.input - used.cached - used.cache_write,
            "cache_creation_input_tokens": used.cache_write,
            "cache_read_input_tokens": used.cached,
            "cache_creation": {"ephemeral_5m_input_tokens": used.cache_write, "ephemeral_1h_input_tokens": 0},
            "output_tokens": used.output,
            "service_tier": "standard",
        }
        about = {"id": f"msg_{reply.id}", "type": "message", "role": "assistant", "model": asked.model}
        return about | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}

    def _end(self, reply: Replied) -> dict[str, Any]:
        reason = "refusal" if reply.refusal else "max_tokens" if reply.cut else "end_turn"
        return {"stop_reason": reason, "stop_sequence": None}

    def _content(self, reply: Replied) -> list[dict[str, Any]]:
        content = []
        if reply.tokens.reasoning:
            thought = (FILLER * reply.tokens.reasoning).strip()
            content.append({"type": "thinking", "thinking": thought, "signature": "bG9vcGJhY2s="})
        if text := reply.refusal or reply.text:
            content.append({"type": "text", "text": text})
        return content


def embeddings(body: dict[str, Any], dimensions: int) -> tuple[dict[str, Any], int]:
    """The response of `POST /v1/embeddings`, and the number of input tokens."""
    for name in ("model", "input"):
        if name not in body:
            raise RefusedError(400, f"Missing required parameter: '{name}'.", code="missing_required_parameter")
    texts = [body["input"]] if isinstance(body["input"], str) else [str(text) for text in body["input"]]
    vectors = word_vectors(texts, body.get("dimensions") or dimensions)
    encoded = body.get("encoding_format") == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.tobytes()).decode() if encoded else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    used = sum(tokens(text) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return {"object": "list", "data": data, "model": body["model"], "usage": usage}, used


def word_vectors(texts: list[str], dimensions: int) -> NDArray[np.float32]:
    """Unit vectors [len(texts), dimensions]: texts that share words are near each other."""
    vectors = np.zeros((len(texts), dimensions), np.float32)
    for row, text in zip(vectors, texts, strict=True):
        for word in re.findall(r"\w+", text.lower()):
            row[zlib.crc32(word.encode()) % dimensions] += 1
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return vectors


def models(names: Iterable[str]) -> dict[str, Any]:
    """The response of `GET /v1/models`."""
    data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "loopback"} for name in names]
    return {"object": "list", "data": data}


def event(name: str, data: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return (f"event: {name}\n" if name else "").encode() + b"data: " + json.dumps(data).encode() + b"\n\n"


def _text(content: Any) -> str:  # noqa: ANN401 - JSON
    return _joined(block.get("text", "") for block in _blocks(content))


def _blocks(content: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - JSON
    return [{"text": content}] if isinstance(content, str) else content or []


def _joined(texts: Iterable[str]) -> str:
    return "\n\n".join(text for text in texts if text)


def _parts(text: str) -> Iterator[str]:
    return (text[start : start + TOKEN_CHARS] for start in range(0, len(text), TOKEN_CHARS))
