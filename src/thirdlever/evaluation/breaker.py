"""Retries, waits and gives up: what happens when a provider refuses, fails or does not answer.

A failure of one request is retried, or becomes that request's error. A failure that concerns every request (a wrong
key, an empty account, an unknown model, a dead host) ends the pass with one sentence, within the first requests or
90 seconds; see Nygard, Release It! (2nd edition, 2018), on circuit breakers. The first request is sent alone, so a
wrong key costs one request, and a provider's prompt cache is warm for the others.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from inspect_ai.model._response_headers import ResponseHeaders, track_response_headers

from thirdlever.core.errors import ProviderError, ThirdleverError
from thirdlever.core.progress import note
from thirdlever.models.base import HOSTED_CONNECTIONS, START_CONNECTIONS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from inspect_ai.model import Model


ATTEMPTS: Final = 8  # per request
PATIENCE: Final = 90.0  # seconds without any answer before giving up
PATIENCE_LIMITED: Final = 300.0  # the same while the provider only asks to slow down: limits are per minute
SILENCE: Final = 90.0  # seconds that one attempt may take
_IN_A_ROW = 3  # failures of a kind that is usually, but not always, about every request
_ANNOUNCE_AFTER = 5.0  # seconds
_ANNOUNCE_EVERY = 30.0  # seconds: hundreds of requests may be waiting
_LONGEST_BACKOFF = 30.0  # seconds

_UNAUTHORISED = 401
_MAYBE_BILLED = {"unreadable", "silent"}  # the model may have answered
_KINDS = {
    401: "key",
    402: "quota",
    403: "denied",
    404: "model",
    408: "server",
    409: "server",
    425: "server",
    429: "limited",
}
_QUOTA = re.compile(
    r"insufficient[_ ](quota|credits?|funds|balance)|exceeded your current quota|credit balance|payment required"
    r"|billing|out of credits|spend(ing)? limit|quota exceeded for .*(month|day)",
    re.IGNORECASE,
)
_REMEDIES = {
    "key": "check its API key",
    "denied": "check what its API key gives access to",
    "model": "check the model's name, or whether it is retired",
    "quota": "add credit, or raise the account's limit",
    "request": "check the model's arguments",
    "unreadable": "check the address that requests are sent to",
    "refused": "check the address, and that the server is running",
    "silent": "check the server, or allow more than {timeout} s with :timeout=SECONDS in --model",
    "server": "try again later",
    "limited": "try again later, or lower --max-connections",
}
_SAYS = {
    "key": "refuses the API key",
    "denied": "denies access",
    "model": "does not have the model",
    "quota": "reports no credit or quota left for this account",
    "request": "refuses every request",
    "unreadable": "sends replies that contain no answer",
    "refused": "cannot be reached",
    "silent": "does not answer",
    "server": "fails",
    "limited": "asks to slow down",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed.

    Attributes:
        kind: a key of the tables above.
        detail: the status and the provider's message, on one line, without the key.
        wait_s: how long the provider asks to wait; None if it does not say.
    """

    kind: str
    detail: str
    wait_s: float | None = None


def failure(error: BaseException, *, secret: str | None = None) -> Failure:
    """Classify an attempt's exception by status, error code and message, whatever the provider's client.

    Args:
        error: what the attempt raised, or what inspect's provider returned in place of an output.
        secret: the API key, which some gateways repeat in their message.
    """
    status = _status(error)
    text = without(secret, _text(error))
    plain = " ".join(re.sub(r"<[^>]*>|^Error code: \d+( - )?", " ", text).split())[:200]
    detail = ": ".join(filter(None, [str(status or ""), plain])) or type(error).__name__
    return Failure(_kind(error, status, text), detail, _asked_wait(error))


def without(secret: str | None, text: str) -> str:
    """A message without the API key."""
    return text.replace(secret, "[key]") if secret else text


def _status(error: BaseException) -> int | None:
    for name in ("status_code", "code", "http_status"):
        value = getattr(error, name, None)
        if isinstance(value, int):
            return value
    return None


def _kind(error: BaseException, status: int | None, text: str) -> str:
    if status is None:
        return _kind_by_name(error)
    if status in _KINDS:
        return "quota" if status != _UNAUTHORISED and _QUOTA.search(text) else _KINDS[status]
    if status >= 500:  # noqa: PLR2004 - HTTP's server errors
        return "server"
    return "quota" if _QUOTA.search(text) else "request"


def _kind_by_name(error: BaseException) -> str:
    """Clients have exceptions of their own for a connection that fails or times out.

    The causes count too: openai's client for aiohttp calls every failed connection a timeout.
    """
    names = " ".join(type(each).__name__ for each in _causes(error))
    late = "Timeout" in names or any(isinstance(each, TimeoutError) for each in _causes(error))
    if late and not _broken(error) and "Disconnected" not in names:
        return "silent"
    if _broken(error) or re.search("Connect|Network|Protocol|ReadError|WriteError|Payload", names):
        return "refused"
    return "unreadable"  # such as HTML, half a JSON object, or JSON of another shape


def _broken(error: BaseException) -> OSError | None:
    """The operating system's error about a connection, if that is the cause."""
    causes = (each for each in _causes(error) if isinstance(each, OSError) and not isinstance(each, TimeoutError))
    return next(causes, None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, its cause, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def _text(error: BaseException) -> str:
    """The message, with the error code that a client keeps apart from it."""
    body = getattr(error, "body", None)
    told = body.get("error") if isinstance(body, dict) else None
    message = (told.get("message") if isinstance(told, dict) else None) or getattr(error, "message", None) or str(error)
    if isinstance(error, json.JSONDecodeError):
        message = f"not JSON ({error.msg})"
    elif isinstance(error, TimeoutError):
        message = "no reply in time"
    elif isinstance(error, AssertionError | AttributeError | TypeError):  # from inspect's reading of it
        message = "not the JSON of an answer"
    elif getattr(error, "errors", None) and type(error).__name__ == "ValidationError":
        message = "JSON without an answer"
    if broken := _broken(error):
        return str(broken)
    cause = error.__cause__ if error.__cause__ is not None and getattr(error, "body", error) is None else None
    code = body.get("code") if isinstance(body, dict) else None
    return " ".join(str(part) for part in (message, cause, code and f"({code})") if part)


def _asked_wait(error: BaseException) -> float | None:
    """Seconds that the reply's headers ask for; a date is left to the backoff."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    for name, per_second in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        with suppress(KeyError, ValueError):
            return max(0.0, float(headers[name]) / per_second)
    return None


def _requests_left(headers: Mapping[str, str]) -> int:
    """The number of requests that a provider still allows in its present interval; more would be refused."""
    for name in ("x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining"):
        with suppress(KeyError, ValueError):
            return max(1, int(headers[name]))
    return HOSTED_CONNECTIONS


class Breaker:
    """One provider's health during one pass, shared by all of its requests."""

    def __init__(
        self, name: str, *, connections: int | None, timeout_s: float, secret: str | None, lose: Callable[[], None]
    ) -> None:
        """Start with one request at a time.

        Args:
            name: of the model, for messages.
            connections: maximum of requests at once; None adapts to what the provider allows.
            timeout_s: that one attempt may take.
            secret: the API key, kept out of messages.
            lose: called for each attempt without a usable reply that the provider may have billed.
        """
        import anyio

        self._lose = lose
        self._name = name
        self._secret = secret
        self._timeout_s = timeout_s
        self._stated = connections is not None
        self._first = connections or START_CONNECTIONS
        self._most = connections or HOSTED_CONNECTIONS
        self._requests = anyio.CapacityLimiter(1)  # begun; each may make several calls
        self._attempts = anyio.CapacityLimiter(1)  # under way
        self._answered = False  # whether any request ever was
        self._since_growth = 0  # answers
        self._in_a_row = 0  # failures since the last answer
        self._last_answer = -math.inf
        self._slowest = 0.0  # seconds of an attempt that was answered
        self._failing_since = math.inf
        self._resume_at = -math.inf
        self._announced = -math.inf
        self._fatal: str | None = None  # why everything fails

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Surrounds a request, from before its first call; waits until another may begin."""
        async with self._requests:
            yield

    async def call(self, send: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - what a provider returns
        """Send one request, again if it fails for a passing cause.

        Raises:
            ProviderError: the failure concerns every request.
            Exception: the failure of this request alone, as its last attempt raised it.
        """
        attempt = 0
        while True:
            attempt += 1
            raised: Exception | None = None
            result: Any = None
            headers = ResponseHeaders()
            async with self._attempt():
                started = time.monotonic()
                try:
                    with track_response_headers(headers):
                        result = await self._timed(send)
                except ThirdleverError:
                    raise  # such as a setting that the model does not take
                except Exception as error:  # noqa: BLE001 - classified below
                    raised = error
            output = result[0] if isinstance(result, tuple) else result
            problem = raised or (output if isinstance(output, Exception) else None)
            if problem is None:
                self._succeeded(headers.latest or {})
                return result
            wait = self._failed(failure(problem, secret=self._secret), attempt, started)
            if wait is None:
                if raised is not None:
                    raise raised
                return result
            await asyncio.sleep(wait)

    @asynccontextmanager
    async def _attempt(self) -> AsyncIterator[None]:
        async with self._attempts:
            await asyncio.sleep(max(0.0, self._resume_at - time.monotonic()))
            if self._fatal is not None:
                raise ProviderError(self._fatal)
            yield

    async def _timed(self, send: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - likewise
        """One attempt, bounded in time. A wait longer than any before is announced if nothing else is answered."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        patience = max(_ANNOUNCE_AFTER, 2 * self._slowest)
        announcement = loop.call_later(patience, self._announce_silence, patience)
        try:
            async with asyncio.timeout(self._timeout_s):
                sent = await send()
            self._slowest = max(self._slowest, loop.time() - started)
            return sent
        finally:
            announcement.cancel()

    def _announce_silence(self, patience: float) -> None:
        # An attempt may have begun before the last answer, by as long as that took.
        if time.monotonic() - self._last_answer >= patience / 2:
            self._announce("no answer yet" if not self._answered else f"no answer for {patience:.0f} s")

    def _succeeded(self, headers: Mapping[str, str]) -> None:
        self._in_a_row, self._failing_since, self._last_answer = 0, math.inf, time.monotonic()
        at_once = int(self._attempts.total_tokens)
        most = self._most if self._stated else min(self._most, _requests_left(headers))
        self._since_growth += 1
        if not self._answered:
            self._answered = True
            self._allow(min(self._first, most))
        elif at_once > most:
            self._allow(most)
        elif self._since_growth >= at_once:
            self._allow(min(most, at_once + max(1, at_once // 4)))

    def _allow(self, at_once: int) -> None:
        self._since_growth = 0
        self._requests.total_tokens = self._attempts.total_tokens = at_once

    def _failed(self, found: Failure, attempt: int, started: float) -> float | None:
        """Seconds until the next attempt; None if there is none, because the failure is this request's own.

        Raises:
            ProviderError: the failure concerns every request.
        """
        if found.kind in _MAYBE_BILLED:
            self._lose()
        if self._fatal is not None:
            raise ProviderError(self._fatal)
        now = time.monotonic()
        self._in_a_row += 1
        self._failing_since = min(self._failing_since, max(started, self._last_answer))
        wait = found.wait_s if found.wait_s is not None else _backoff(attempt)
        # One that is silent has been waited for already: half of it without any other answer is enough.
        patience = {"limited": PATIENCE_LIMITED, "silent": min(PATIENCE, self._timeout_s / 2)}.get(found.kind, PATIENCE)
        if self._concerns_all(found) or now + wait - self._failing_since > patience:
            self._fatal = self._sentence(found)
            raise ProviderError(self._fatal)
        if found.kind in {"request", "model", "denied"} or (attempt >= ATTEMPTS and found.kind != "limited"):
            return None
        if found.kind == "limited" and now >= self._resume_at:
            self._allow(max(1, int(self._attempts.total_tokens) // 2))
            self._resume_at = now + wait
        if now + wait - self._failing_since >= _ANNOUNCE_AFTER:
            self._announce(f"it {_SAYS[found.kind]} ({found.detail}), next try in {wait:.0f} s")
        return wait * random.uniform(1.0, 1.2)  # noqa: S311 - so that not all come back at once

    def _concerns_all(self, found: Failure) -> bool:
        match found.kind:
            case "key" | "quota":
                return True
            case "model" | "denied":  # a gateway may deny a single text
                return not self._answered or self._in_a_row >= _IN_A_ROW
            case "silent":
                return not self._answered
            case "request" | "unreadable" | "refused":
                return not self._answered and self._in_a_row >= _IN_A_ROW
        return False

    def _announce(self, why: str) -> None:
        now = time.monotonic()
        if now - self._announced >= _ANNOUNCE_EVERY:
            self._announced = now
            note(f"waiting for {self._name}: {why}")

    def _sentence(self, found: Failure) -> str:
        remedy = _REMEDIES[found.kind].replace("{timeout}", f"{self._timeout_s:g}")
        if found.kind == "limited" and found.wait_s is not None and found.wait_s > PATIENCE_LIMITED:
            remedy = f"repeat the command in {math.ceil(found.wait_s / 60):,} minutes, as it asks"
        return f"{self._name} {_SAYS[found.kind]} ({found.detail}): {remedy}"


def _backoff(attempt: int) -> float:
    """Seconds: 1, 2, 4, … up to 30."""
    return min(_LONGEST_BACKOFF, 2.0 ** (attempt - 1))


def guard(
    model: Model, *, name: str, connections: int | None, lose: Callable[[], None], timeout_s: float | None = None
) -> Breaker | None:
    """Send all of a model's requests through a new breaker. None if it is not one of inspect's hosted models."""
    api = model.api
    if not type(api).__module__.startswith("inspect_ai.model._providers.") or name.startswith(("mockllm/", "none/")):
        return None
    breaker = Breaker(name, connections=connections, timeout_s=timeout_s or SILENCE, secret=api.api_key, lose=lose)
    send = api.generate

    async def generate(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the provider's
        return await breaker.call(lambda: send(*args, **kwargs))

    client: Any = getattr(api, "client", None)
    if hasattr(client, "max_retries"):
        client.max_retries = 0  # or the client would retry in silence
    for patch, value in (("generate", generate), ("should_retry", lambda _: False)):
        setattr(api, patch, value)
    return breaker
