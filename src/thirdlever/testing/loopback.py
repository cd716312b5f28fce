"""A provider of hosted models on this machine: HTTP on 127.0.0.1, no key of yours, no network, no money.

    with LoopbackProvider({"small": Behaviour(answer=lambda prompt: "fuel")}) as provider:
        os.environ.update(provider.env)
        run = thirdlever.run(suite, ["zero_shot"], models=["openai-api/loopback/small"])
    assert provider.usage.output == len(run.records)

It speaks OpenAI's chat completions, responses, embeddings and models, and Anthropic's messages.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import multiprocessing
import os
import pickle
import random
import socket
import threading
import time
from collections import Counter, OrderedDict, deque
from dataclasses import KW_ONLY, dataclass, field
from multiprocessing.managers import BaseManager
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, TypeVar

import uvicorn

from thirdlever.core.errors import ModelError
from thirdlever.testing import wire
from thirdlever.testing.wire import RefusedError, TokenCounts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping, Sequence

    from thirdlever.testing.wire import Asked, Events, Replied

    Send: TypeAlias = Callable[[dict[str, Any]], Any]
    Receive: TypeAlias = Callable[[], Any]

T = TypeVar("T")

FaultKind: TypeAlias = Literal[
    "unauthorized",  # 401
    "forbidden",  # 403
    "no_model",  # 404
    "quota",  # 429 insufficient_quota, OpenAI's wording
    "credit",  # 400 "credit balance is too low", Anthropic's wording
    "payment",  # 402 "payment required", a gateway's wording
    "rate_limit",  # 429
    "server_error",  # 500
    "overloaded",  # 529
    "html",  # 200 with a page of HTML
    "html_error",  # 502 with a page of HTML
    "silent",  # the request is accepted and never answered
    "truncated",  # 200 with half of the JSON
    "no_usage",  # 200 without `usage`
]

UNANSWERED = 0  # the status of requests that were never answered
_CACHE_TOKENS = 1024  # the shortest prefix that is cached
_CACHE_STEP = 128  # OpenAI: longer prefixes are cached in steps of this many tokens
_CACHED_PREFIXES = 100_000  # remembered at most
_APIS = {
    "/v1/chat/completions": wire.ChatCompletions(),
    "/v1/responses": wire.ResponsesAPI(),
    "/v1/messages": wire.AnthropicMessages(),
}
_SECRET = ("authorization", "x-api-key")
_HTML = b"<!DOCTYPE html><html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
_INVALID = "invalid_request_error"
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this error, "
    "read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)
_ERRORS = {  # status, message, type, code
    "unauthorized": (401, "Incorrect API key provided.", _INVALID, "invalid_api_key"),
    "forbidden": (403, "Project does not have access to this model.", _INVALID, "model_not_found"),
    "no_model": (404, "The model does not exist or you do not have access to it.", _INVALID, "model_not_found"),
    "quota": (429, _QUOTA, "insufficient_quota", "insufficient_quota"),
    "credit": (400, _CREDIT, _INVALID, None),
    "payment": (402, "Payment required: this request needs more credits.", "payment_required", 402),
    "rate_limit": (429, "Rate limit reached for requests per min (RPM).", "requests", "rate_limit_exceeded"),
    "server_error": (500, "The server had an error while processing your request.", "server_error", None),
    "overloaded": (529, "Overloaded", "overloaded_error", None),
}  # fmt: skip


def silence(prompt: str) -> str:  # noqa: ARG001 - the signature of an answer
    """Answer nothing."""
    return ""


@dataclass(frozen=True)
class TokenPrices:
    """USD per million tokens. `cached` and `cache_write` cost as much as `input` unless stated."""

    input: float = 0.0
    output: float = 0.0
    cached: float | None = None
    cache_write: float | None = None

    def usd(self, used: TokenCounts) -> float:
        """The price of a request."""
        cached = self.input if self.cached is None else self.cached
        written = self.input if self.cache_write is None else self.cache_write
        plain = used.input - used.cached - used.cache_write
        parts = (plain * self.input, used.cached * cached, used.cache_write * written, used.output * self.output)
        return math.fsum(parts) / 1e6


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """How a model behaves. Settings that may be functions receive the prompt: all messages, joined by blank lines.

    Attributes:
        answer: the answer to a prompt, cut at the request's limit.
        reasoning_tokens: tokens of hidden reasoning before the answer. They count against the limit and are billed as
            output. Anthropic's API reasons only if the request enables thinking.
        think: the reasoning is part of the answer, between <think> and </think>, and `usage` does not mention it.
        refuses_temperature: a request with a temperature other than 1 is an error, as with OpenAI's reasoning models.
        context_window: in tokens; a longer prompt is an error.
        refusal: the model declines with this text instead of answering; "" where it answers.
        latency_s: seconds before the answer begins.
        tokens_per_s: pace of reasoning and answer; None: no time.
        prices: what a token costs.
        dimensions: of an embedding.
    """

    answer: Callable[[str], str] = silence
    reasoning_tokens: int | Callable[[str], int] = 0
    think: bool = False
    refuses_temperature: bool = False
    context_window: int | None = None
    refusal: str | Callable[[str], str] = ""
    latency_s: float | Callable[[str], float] = 0.0
    tokens_per_s: float | None = None
    prices: TokenPrices = TokenPrices()
    dimensions: int = 384


@dataclass(frozen=True)
class Fault:
    """What goes wrong, and for which requests.

    Attributes:
        kind: what goes wrong.
        model: only requests to this model; None: all requests.
        requests: only these, of the requests that reach the fault, counted from 0: `range(5, 10)`.
        after_s: only from so many seconds after the first request that reaches the fault.
        until_s: only until then.
        share: of the requests left, at random; `seed` fixes which.
        retry_after_s: the error says when to try again, in the headers retry-after and x-ratelimit-reset-requests.
        repeats_key: the error's message contains the request's API key, as some gateways' do.
    """

    kind: FaultKind
    _: KW_ONLY
    model: str | None = None
    requests: range | None = None
    after_s: float = 0.0
    until_s: float = math.inf
    share: float = 1.0
    seed: int = 0
    retry_after_s: float | None = None
    repeats_key: bool = False


@dataclass(frozen=True)
class RateLimit:
    """The most requests and tokens that are accepted per minute; an account that is full at the start and refills."""

    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None


@dataclass(frozen=True)
class Received:
    """A request: the time of its arrival (seconds since the start), path, headers without the key, body and status."""

    at_s: float
    path: str
    headers: dict[str, str]
    body: Any
    status: int


@dataclass(frozen=True)
class Requests:
    """What the provider received and answered.

    Attributes:
        by_status: number of requests by HTTP status; 0: never answered.
        at_once: the most requests that were in progress at the same time.
        usage: tokens by model.
        usd: the bill by model.
        last: the last requests, in order of their answers.
    """

    by_status: Counter[int] = field(default_factory=Counter)
    at_once: int = 0
    usage: dict[str, TokenCounts] = field(default_factory=dict)
    usd: dict[str, float] = field(default_factory=dict)
    last: tuple[Received, ...] = ()

    def __len__(self) -> int:
        """The number of requests."""
        return self.by_status.total()


@dataclass(frozen=True)
class _Response:
    status: int
    body: bytes | Events
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    end: bytes = b""  # of a stream


class LoopbackProvider:
    """A provider that listens inside the `with` block, and from `start` to `stop`.

    Attributes:
        port: where it listens, on 127.0.0.1; kept when it stops and starts again.
        key: the API key that requests must carry.
        service: what inspect calls it: `openai-api/<service>/<model>`.
    """

    def __init__(
        self,
        models: Mapping[str, Behaviour],
        *,
        faults: Sequence[Fault] = (),
        rate_limit: RateLimit | None = None,
        service: str = "loopback",
        key: str = "sk-loopback",
        keep: int = 1000,
        process: bool = False,
    ) -> None:
        """Describe the provider; nothing listens yet.

        Args:
            models: behaviour by model name.
            faults: what goes wrong; the first that concerns a request is used.
            rate_limit: None: no limit.
            service: the name in `openai-api/<service>/<model>`.
            key: the API key that requests must carry.
            keep: how many of the last requests `requests.last` has.
            process: run in a process of its own, so that it does not slow down the client. Functions in `models` must
                then be defined at the top level of a module.

        Raises:
            ModelError: a function in `models` cannot be sent to another process.
        """
        self.port = 0
        self.key = key
        self.service = service
        self._ended: Requests | None = None
        self._manager = _Manager(ctx=multiprocessing.get_context("spawn")) if process else None
        arguments = (dict(models), key, tuple(faults), rate_limit or RateLimit(), keep)
        if self._manager is None:
            self._server = _Server(*arguments)
        else:
            _check_sendable(models)
            self._manager.start()
            self._server = self._manager.Server(*arguments)  # type: ignore[attr-defined]

    def start(self) -> None:
        """Listen."""
        self.port = self._server.start(self.port)

    def stop(self) -> None:
        """Drop what is in progress and refuse further connections."""
        self._server.stop()

    def __enter__(self) -> Self:
        """Listen."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop; the figures can still be read."""
        self.stop()
        if self._manager is not None:
            self._ended = self._server.snapshot()
            self._manager.shutdown()

    def inject(self, *faults: Fault) -> None:
        """Replace the faults; without any, nothing goes wrong from now on."""
        self._server.inject(faults)

    @property
    def url(self) -> str:
        """The base URL, without the API's version."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point OpenAI's and Anthropic's clients, and inspect, here."""
        service = self.service.upper().replace("-", "_")
        addresses = {"OPENAI": f"{self.url}/v1", "ANTHROPIC": self.url, service: f"{self.url}/v1"}
        return {f"{name}_BASE_URL": url for name, url in addresses.items()} | {
            f"{name}_API_KEY": self.key for name in addresses
        }

    @property
    def requests(self) -> Requests:
        """What was received and answered so far."""
        return self._ended or self._server.snapshot()

    @property
    def usage(self) -> TokenCounts:
        """The tokens of all requests."""
        return sum(self.requests.usage.values(), TokenCounts())

    @property
    def bill_usd(self) -> float:
        """The price of all requests."""
        return math.fsum(self.requests.usd.values())


def _check_sendable(models: Mapping[str, Behaviour]) -> None:
    for name, behaviour in models.items():
        try:
            pickle.dumps(behaviour)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            message = f"{name!r} cannot be sent to another process ({error}); define its functions in a module"
            raise ModelError(message) from None


class _Server:
    """An ASGI application and the thread that serves it."""

    def __init__(
        self,
        models: Mapping[str, Behaviour],
        key: str,
        faults: Sequence[Fault],
        rate_limit: RateLimit,
        keep: int,
    ) -> None:
        self._models = models
        self._key = key
        self._cache: OrderedDict[tuple[str, int, int], None] = OrderedDict()
        self._buckets = {
            kind: _Bucket(limit)
            for kind, limit in (
                ("requests", rate_limit.requests_per_minute),
                ("tokens", rate_limit.tokens_per_minute),
            )
            if limit is not None
        }
        self._ids = itertools.count(1)
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._by_status: Counter[int] = Counter()
        self._usage: dict[str, TokenCounts] = {}
        self._usd: dict[str, float] = {}
        self._last: deque[Received] = deque(maxlen=keep)
        self._open = self._at_once = 0
        self.inject(faults)
        if parent := multiprocessing.parent_process():
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()

    def inject(self, faults: Sequence[Fault]) -> None:
        self._faults = [_Armed(fault) for fault in faults]

    def snapshot(self) -> Requests:
        with self._lock:
            figures = (Counter(self._by_status), self._at_once, dict(self._usage), dict(self._usd), tuple(self._last))
        return Requests(*figures)

    def start(self, port: int) -> int:
        """Listen on a port, 0 for any; the port."""
        config = uvicorn.Config(
            self, lifespan="off", log_level="critical", access_log=False, ws="none", date_header=False, backlog=4096
        )
        self._uvicorn = uvicorn.Server(config)
        bound = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(bound)), daemon=True)
        self._thread.start()
        while not self._uvicorn.started:
            time.sleep(0.005)
        chosen: int = bound.getsockname()[1]
        return chosen

    async def _serve(self, bound: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        await self._uvicorn.serve(sockets=[bound])

    def stop(self) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._drop)
            self._thread.join()

    def _drop(self) -> None:
        for connection in tuple(self._uvicorn.server_state.connections):
            connection.transport.abort()
        for task in self._uvicorn.server_state.tasks:
            task.cancel()
        self._uvicorn.should_exit = True

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request; it is counted before the first byte of its response is sent."""
        arrived = time.monotonic() - self._began
        raw = await _read(receive)
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        self._open += 1
        self._at_once = max(self._at_once, self._open)
        try:
            body, response = await self._respond(scope["path"], headers, raw)
            status = response.status if response else UNANSWERED
            shown = {name: "***" if name in _SECRET else value for name, value in headers.items()}
            with self._lock:
                self._by_status[status] += 1
                self._last.append(Received(arrived, scope["path"], shown, body, status))
            if response is None:
                await asyncio.Event().wait()  # until the client leaves or the server stops
            else:
                await self._send(response, body, send)
        finally:
            self._open -= 1

    async def _respond(self, path: str, headers: dict[str, str], raw: bytes) -> tuple[Any, _Response | None]:
        """The request's body, and the response; None: silence."""
        api = _APIS.get(path, _APIS["/v1/chat/completions"])
        body = None
        try:
            body = _parsed(raw)
            fault = self._fault(body.get("model"))
            kind = fault.kind if fault else None
            if kind == "silent":
                return body, None
            if kind in {"html", "html_error"}:
                return body, _Response(200 if kind == "html" else 502, _HTML, "text/html; charset=utf-8")
            if fault and kind in _ERRORS:
                raise _error(fault, api, _key(headers) if fault.repeats_key else "")
            self._authenticate(headers)
            response = await self._route(path, api, body, kind)
        except RefusedError as refused:
            response = _Response(refused.status, json.dumps(api.error(refused)).encode(), headers=refused.headers)
        response.headers.update(api.limits(bucket.state(kind) for kind, bucket in self._buckets.items()))
        return body, response

    def _fault(self, model: object) -> Fault | None:
        return next((armed.fault for armed in self._faults if armed.strikes(model)), None)

    def _authenticate(self, headers: dict[str, str]) -> None:
        given = _key(headers)
        if given != self._key:
            masked = f"{given[:3]}***{given[-4:]}"
            raise RefusedError(401, f"Incorrect API key provided: {masked}.", code="invalid_api_key")

    async def _route(
        self, path: str, api: wire.ChatCompletions, body: dict[str, Any], kind: FaultKind | None
    ) -> _Response:
        if path == "/v1/models":
            return _Response(200, json.dumps(wire.models(self._models)).encode())
        if path == "/v1/embeddings":
            behaviour = self._behaviour(body.get("model"))
            content, count = wire.embeddings(body, behaviour.dimensions)
            self._admit(count)
            await asyncio.sleep(_of(behaviour.latency_s, ""))
            self._charge(body["model"], TokenCounts(input=count))
            return _Response(200, _damaged(content, kind))
        if path not in _APIS:
            raise RefusedError(404, f"Invalid URL (POST {path})")
        return await self._complete(api, api.read(body), kind)

    async def _complete(self, api: wire.ChatCompletions, asked: Asked, kind: FaultKind | None) -> _Response:
        behaviour = self._behaviour(asked.model)
        self._admit(max(wire.tokens(asked.prompt), asked.limit or 0))
        _check(behaviour, asked, api)
        text, reasoning = _generated(behaviour, asked)
        reply = self._reply(asked, text, reasoning, _of(behaviour.refusal, asked.prompt))
        pace = behaviour.tokens_per_s or math.inf
        await asyncio.sleep(_of(behaviour.latency_s, asked.prompt) + (not asked.stream) * reply.tokens.output / pace)
        self._charge(asked.model, reply.tokens)
        if not asked.stream:
            return _Response(200, _damaged(api.write(asked, reply), kind))
        events = api.stream(asked, reply)
        cut = len(events) // 2 if kind == "truncated" else len(events)
        end = b"" if kind == "truncated" else api.end
        return _Response(200, events[:cut], "text/event-stream; charset=utf-8", end=end)

    def _reply(self, asked: Asked, text: str, reasoning: int, refusal: str) -> Replied:
        room = math.inf if asked.limit is None else asked.limit
        wanted = reasoning + wire.tokens(text)
        reasoning = int(min(reasoning, room))
        shown = text if wanted <= room else text[: (int(room) - reasoning) * wire.TOKEN_CHARS]
        cached, written = self._cached(asked)
        used = TokenCounts(
            input=wire.tokens(asked.prompt),
            cached=cached,
            cache_write=written,
            output=reasoning + wire.tokens(shown),
            reasoning=reasoning,
        )
        return wire.Replied(next(self._ids), shown, used, cut=wanted > room, refusal=refusal and shown)

    def _cached(self, asked: Asked) -> tuple[int, int]:
        """Tokens read from the cache, and tokens written to it at a price (Anthropic's API)."""
        automatic = asked.breakpoints is None
        steps = range(_CACHE_TOKENS, wire.tokens(asked.prompt) + 1, _CACHE_STEP)
        ends = list(steps) if automatic else [-(-end // wire.TOKEN_CHARS) for end in asked.breakpoints or ()]
        found = [0]
        digest, start = 0, 0
        for end in ends:
            digest = hash((digest, asked.prompt[start * wire.TOKEN_CHARS : end * wire.TOKEN_CHARS]))
            start = end
            if end < _CACHE_TOKENS:
                continue
            prefix = (asked.model, end, digest)
            if prefix in self._cache:
                found.append(end)
            self._cache[prefix] = None
            self._cache.move_to_end(prefix)
        while len(self._cache) > _CACHED_PREFIXES:
            self._cache.popitem(last=False)
        kept = max((end for end in ends if end >= _CACHE_TOKENS), default=0)
        return max(found), 0 if automatic else kept - max(found)

    def _behaviour(self, model: object) -> Behaviour:
        if model not in self._models:
            message = f"The model `{model}` does not exist or you do not have access to it."
            raise RefusedError(404, message, code="model_not_found")
        return self._models[str(model)]

    def _admit(self, count: int) -> None:
        """Take one request and its tokens from the rate limit."""
        sizes = {"requests": 1, "tokens": count}
        waits = {kind: bucket.wait(sizes[kind]) for kind, bucket in self._buckets.items()}
        kind = max(waits, key=lambda name: waits[name], default="")
        if kind and waits[kind] > 0:
            message = f"Rate limit reached on {kind} per min. Please try again in {waits[kind]:.3f}s."
            raise RefusedError(429, message, kind, "rate_limit_exceeded", headers=_retry_after(waits[kind]))
        for name, bucket in self._buckets.items():
            bucket.level -= sizes[name]

    def _charge(self, model: str, used: TokenCounts) -> None:
        with self._lock:
            self._usage[model] = self._usage.get(model, TokenCounts()) + used
            self._usd[model] = self._usd.get(model, 0.0) + self._models[model].prices.usd(used)

    async def _send(self, response: _Response, body: Any, send: Send) -> None:  # noqa: ANN401 - JSON
        headers = {"content-type": response.content_type, **response.headers}
        if isinstance(response.body, bytes):
            headers["content-length"] = str(len(response.body))
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": response.status, "headers": pairs})
        if isinstance(response.body, bytes):
            await send({"type": "http.response.body", "body": response.body})
            return
        pace = self._models[body["model"]].tokens_per_s or math.inf
        for name, data, cost in response.body:
            if cost and pace < math.inf:
                await asyncio.sleep(cost / pace)
            await send({"type": "http.response.body", "body": wire.event(name, data), "more_body": True})
        await send({"type": "http.response.body", "body": response.end})


class _Manager(BaseManager):
    """Runs a `_Server` in a process of its own."""


_Manager.register("Server", _Server)


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    """End this process when its parent ends, however it ends."""
    parent.join()
    os._exit(0)


class _Bucket:
    """A rate limit: full at the start, refilled continuously within a minute."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.level = float(size)
        self._at = time.monotonic()

    def wait(self, count: int) -> float:
        """Seconds until so much can be taken; 0: now."""
        now = time.monotonic()
        self.level = min(self.size, self.level + (now - self._at) * self.size / 60)
        self._at = now
        return max(0.0, (min(count, self.size) - self.level) * 60 / self.size)

    def state(self, kind: str) -> tuple[str, int, int, float]:
        """Kind, limit, what is left, and the seconds until it is full again."""
        return kind, self.size, max(0, int(self.level)), (self.size - self.level) * 60 / self.size


class _Armed:
    """A fault and its own count, clock and draw."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self._numbers = itertools.count()
        self._draw = random.Random(fault.seed)  # noqa: S311 - a seeded draw is wanted
        self._first: float | None = None

    def strikes(self, model: object) -> bool:
        """Whether it concerns this request."""
        if self.fault.model not in {None, model}:
            return False
        now = time.monotonic()
        self._first = now if self._first is None else self._first
        number, drawn = next(self._numbers), self._draw.random()
        return (
            (self.fault.requests is None or number in self.fault.requests)
            and self.fault.after_s <= now - self._first < self.fault.until_s
            and drawn < self.fault.share
        )


async def _read(receive: Receive) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        body = json.loads(raw or b"{}")
    except ValueError:
        body = None
    if not isinstance(body, dict):
        message = "We could not parse the JSON body of your request."
        raise RefusedError(400, message)
    return body


def _key(headers: Mapping[str, str]) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


def _error(fault: Fault, api: wire.ChatCompletions, key: str) -> RefusedError:
    status, message, kind, code = _ERRORS[fault.kind]
    message = f"{message} Key: {key}" if key else message
    headers = {}
    if fault.retry_after_s is not None:
        headers = _retry_after(fault.retry_after_s) | api.limits([("requests", 60, 0, fault.retry_after_s)])
    return RefusedError(status, message, kind, code, headers=headers)


def _retry_after(seconds: float) -> dict[str, str]:
    return {"retry-after": str(math.ceil(seconds)), "retry-after-ms": str(math.ceil(seconds * 1000))}


def _check(behaviour: Behaviour, asked: Asked, api: wire.ChatCompletions) -> None:
    if behaviour.refuses_temperature and asked.temperature not in {None, 1}:
        message = (
            f"Unsupported value: 'temperature' does not support {asked.temperature} with this model. "
            "Only the default (1) value is supported."
        )
        raise RefusedError(400, message, code="unsupported_value", param="temperature")
    window, count = behaviour.context_window, wire.tokens(asked.prompt)
    if window is not None and count > window:
        raise api.too_long(count, window)


def _generated(behaviour: Behaviour, asked: Asked) -> tuple[str, int]:
    """All that the model would write without a limit, and its hidden reasoning in tokens."""
    text = _of(behaviour.refusal, asked.prompt) or _shaped(behaviour.answer(asked.prompt), asked.schema)
    reasoning = _of(behaviour.reasoning_tokens, asked.prompt)
    if behaviour.think:
        return f"<think>\n{wire.FILLER * reasoning}\n</think>\n\n{text}", 0
    return text, reasoning if asked.thinking else 0


def _shaped(answer: str, schema: dict[str, Any] | None) -> str:
    """The answer as the one property of the schema; as it is if the schema has several."""
    properties = (schema or {}).get("properties") or {}
    return json.dumps({next(iter(properties)): answer}) if len(properties) == 1 else answer


def _damaged(content: dict[str, Any], kind: FaultKind | None) -> bytes:
    if kind == "no_usage":
        content.pop("usage")
    whole = json.dumps(content).encode()
    return whole[: len(whole) // 2] if kind == "truncated" else whole


def _of(setting: T | Callable[[str], T], prompt: str) -> T:
    return setting(prompt) if callable(setting) else setting
