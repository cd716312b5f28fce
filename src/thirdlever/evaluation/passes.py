"""Send one pass of one candidate: its requests are timed, graded, kept, resumable, and stoppable by a budget.

Solvers, models and providers are inspect's; the loop is ours, because `inspect_ai.eval` takes three times as long for a
sample as the provider's client does for its request. Its log is written beside it, see `logs`.

Import this module at the point of use: it imports inspect.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from inspect_ai._eval.task.generate import task_generate
from inspect_ai._util.notgiven import NOT_GIVEN
from inspect_ai.event import ModelEvent
from inspect_ai.log._transcript import Transcript, init_transcript, transcript
from inspect_ai.model import (
    ChatMessageUser,
    GenerateConfig,
    ModelInfo,
    ModelOutput,
    ModelUsage,
    get_model,
    set_model_info,
)
from inspect_ai.model._model import ModelName, init_active_model
from inspect_ai.model._response_headers import ResponseHeaders, track_response_headers
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState
from inspect_ai.solver._task_state import set_sample_state
from inspect_ai.util._concurrency import init_concurrency
from inspect_ai.util._store import init_subtask_store

from thirdlever.core.errors import ProviderError, RunError, ThirdleverError
from thirdlever.core.mistakes import raised_in
from thirdlever.core.progress import note
from thirdlever.evaluation.logs import LogWriter
from thirdlever.evaluation.records import Key, Reply, prompt_hash
from thirdlever.models.base import HOSTED_CONNECTIONS, START_CONNECTIONS, as_text, generate_config, outside_notebook
from thirdlever.prompting.frame import CONFIDENCE, FREE, RETRIEVAL, RETRIEVED
from thirdlever.retrieval.gold import quotable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence
    from pathlib import Path

    from inspect_ai.model import Model

    from thirdlever.answers.answer import Answer
    from thirdlever.evaluation.records import Phase
    from thirdlever.models.base import BaseModel
    from thirdlever.prompting.frame import Retrieved
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Item, Split, Suite


Answered: TypeAlias = Callable[[Key], Reply | None]
Keep: TypeAlias = Callable[[Reply], bool]

_SAMPLING = {"temperature", "seed", "max_tokens"}
_one_pass = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One phase of one candidate.

    Attributes:
        name: of the candidate, as progress shows it.
        phase: "accuracy" sends as many requests at once as the model allows, "latency" one at a time.
        suite: specifies the answers.
        items: what to ask, in this order.
        epochs: repeats of each item.
        seed: for the model; None if each repeat should differ.
        constrain: whether models may answer only with one of the suite's choices.
        about: what the log says about the candidate.
        temperature: candidates are measured at 0.
        batch: whether to use the provider's batch API.
        graded: whether the items have targets to grade against.
        max_connections: requests at once to a hosted model; None adapts to what its provider allows.
    """

    name: str
    phase: Phase
    suite: Suite
    items: Split
    epochs: int
    seed: int | None
    constrain: bool
    about: Mapping[str, Any]
    temperature: float = 0.0
    batch: bool = False
    graded: bool = True
    max_connections: int | None = None

    @property
    def keys(self) -> list[Key]:
        """Every request of the pass."""
        return [(self.phase, item.id, epoch) for epoch in range(1, self.epochs + 1) for item in self.items]


def evaluate(
    work: Pass,
    deployment: Deployment,
    *,
    answered: Answered,
    keep: Keep,
    lose: Callable[[], None] = lambda: None,
    log: Path | None = None,
) -> bool:
    """Send a pass's requests, inside or outside a running event loop.

    Args:
        work: what to ask.
        deployment: what to ask it of.
        answered: returns the reply to a request that need not be sent again.
        keep: takes each new reply, graded, as it arrives; returns False to let requests in flight finish and stop.
        lose: called for each attempt without a usable reply that the provider may have billed.
        log: where to write inspect's log; None for no log.

    Returns:
        Whether every request was made; False if `keep` stopped the pass. Only then the log is complete.

    Raises:
        RunError: another run is in progress in this process, or a reply cannot be graded.
        ProviderError: the provider fails every request.
        ThirdleverError: from the solver or `keep`: it affects every request. Other errors of a solver fail one request.
        OSError: from `keep`, or the log cannot be written.
        KeyboardInterrupt: the user stopped it.
    """
    if not _one_pass.acquire(blocking=False):
        message = "another run is in progress in this process; wait for it to end"
        raise RunError(message)
    logging.getLogger("inspect_ai").setLevel(logging.ERROR)  # what a model does not take is said once, by us
    try:
        sending = _Sending(work, deployment, answered, keep, lose=lose, log_path=log)
        with outside_notebook():
            _run_in_a_loop(sending)
    finally:
        _one_pass.release()
    return not sending.closed


def _run_in_a_loop(sending: _Sending) -> None:
    """Run in a new event loop; if one is running already, as in a notebook, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(sending.run())
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(asyncio.run, sending.run())
        try:
            return done.result()
        except KeyboardInterrupt:
            sending.cancel()
            raise


class _Sending:
    """A pass while it is sent."""

    def __init__(
        self,
        work: Pass,
        deployment: Deployment,
        answered: Answered,
        keep: Keep,
        *,
        lose: Callable[[], None],
        log_path: Path | None,
    ) -> None:
        """See `evaluate`."""
        self.closed = False  # once true, no more requests are sent
        self._work = work
        self._deployment = deployment
        self._answered = answered
        self._keep = keep
        self._lose = lose
        self._log_path = log_path
        self._log: LogWriter | None = None
        self._breaker: Breaker | None = None
        self._sent = 0
        self._failure: Exception | None = None
        self._config = GenerateConfig()
        self._every_call = GenerateConfig()  # the same, with the model's own defaults
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> None:
        """Send everything.

        Raises:
            Exception: the first failure that concerns every request, once requests in flight have ended.
        """
        self._task = asyncio.current_task()
        self._loop = asyncio.get_running_loop()
        init_concurrency()
        async with _connected(self._deployment.model) as model:
            work = self._work
            self._config = generate_config(
                self._deployment.model,
                work.suite.answer,
                seed=work.seed,
                constrain=work.constrain,
                temperature=work.temperature,
                max_connections=1 if work.phase == "latency" else work.max_connections,
                batch=work.batch,
            )
            init_active_model(model, self._config)
            self._every_call = model._resolve_config(GenerateConfig())  # noqa: SLF001 - no public function does
            if self._log_path is not None:
                self._log = self._open_log(self._log_path, str(model))
            try:
                await self._send_all(model)
                if self._failure is not None:
                    raise self._failure
                if self._log is not None and not self.closed:
                    self._log.finish()
            finally:
                if self._log is not None:
                    self._log.close()

    def _open_log(self, path: Path, model: str) -> LogWriter:
        work = self._work
        return LogWriter(
            path,
            task=f"{work.suite.name}-{work.phase}",
            items=len(work.items),
            epochs=work.epochs,
            model=model,
            config=self._config,
            about={"phase": work.phase, **work.about},
        )

    def cancel(self) -> None:
        """End it from another thread."""
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def _send_all(self, model: Model) -> None:
        work, base = self._work, self._deployment.model
        if base is not None and not work.batch:
            self._breaker = guard(
                model,
                name=base.name,
                connections=work.max_connections,
                lose=self._lose,
                timeout_s=base.settings.get("timeout"),
            )
        items = ((item, epoch) for epoch in range(1, work.epochs + 1) for item in work.items)
        most = self._config.max_connections or 1
        if base is not None and not base.local and not work.batch and self._breaker is None:
            most = min(most, work.max_connections or START_CONNECTIONS)  # nothing here learns what it allows
        most = min(most, len(work.items) * work.epochs)
        async with asyncio.TaskGroup() as workers:
            for _ in range(most):
                workers.create_task(self._worker(model, items))

    async def _worker(self, model: Model, items: Iterator[tuple[Item, int]]) -> None:
        """Take requests from the common iterator until it ends or the pass is closed."""
        while not self.closed:
            async with self._breaker.request() if self._breaker else nullcontext():
                item, epoch = next(items, (None, 0))
                if item is None or self.closed:
                    return
                known = self._answered((self._work.phase, item.id, epoch))
                try:
                    if known is None:
                        await self._ask(model, item, epoch)
                    elif self._log is not None:
                        self._log.add_known(item, known)
                except (OSError, ThirdleverError) as error:  # inspect's own errors are caught in `_ask`
                    self._fail(error)

    async def _ask(self, model: Model, item: Item, epoch: int) -> None:
        """Send one request, and keep its graded reply."""
        self._sent += 1
        cold = self._work.phase == "latency" and self._sent == 1
        transcript = Transcript(log_model_api=False)
        init_transcript(transcript)
        state = _state(model, item, epoch)
        error: str | None = None
        start = time.perf_counter()
        try:
            state = await self._deployment.solver(state, self._generate(model))
        except ThirdleverError:
            raise  # such as weights that do not load: it would fail every request
        except Exception as raised:  # noqa: BLE001 - a solver's own; it fails this request
            state.output = ModelOutput()  # an answer given before the failure does not count
            error = without(model.api.api_key, _described(raised))
        seconds = time.perf_counter() - start
        calls = [event for event in transcript.events if isinstance(event, ModelEvent)]
        reply = _reply((self._work.phase, item.id, epoch), state, calls, seconds, error=error, cold=cold)
        if (found := state.metadata.get(RETRIEVED)) is not None:
            reply = replace(reply, **_about_retrieval(found, item, self._work.suite.answer))
        if self._work.graded:
            reply = self._graded(reply, item.target)
        if self._log is not None:
            self._log.add(item, reply, state, calls)
        self.closed = not self._keep(reply) or self.closed

    def _generate(self, model: Model) -> Any:  # noqa: ANN401 - inspect's `Generate` protocol
        async def generate(state: TaskState, tool_calls: Any = "loop", cache: Any = NOT_GIVEN, **settings: Any) -> Any:  # noqa: ANN401
            if "max_tokens" in settings:  # a strategy may need more room, and never less
                settings["max_tokens"] = max(settings["max_tokens"], self._config.max_tokens or 0)
            if self._work.constrain and state.metadata.get(FREE):
                free = self._every_call.merge(GenerateConfig(**settings))
                return await _call(model, state, free.model_copy(update={"response_schema": None, "extra_body": None}))
            if self._breaker is not None and cache is NOT_GIVEN and settings.keys() <= _SAMPLING and _plain(state):
                config = self._every_call.merge(GenerateConfig(**settings)) if settings else self._every_call
                return await _call(model, state, config)
            return await task_generate(model, state, tool_calls, cache, GenerateConfig(**settings))

        return generate

    def _graded(self, reply: Reply, target: str) -> Reply:
        try:
            return reply.graded(self._work.suite.answer, target)
        except Exception as error:  # a user's grade or scorer, which may raise anything
            self._keep(reply)  # it is paid for
            message = f"item {reply.item_id!r} could not be graded: {type(error).__name__}: {error}"
            raise RunError(message) from error

    def _fail(self, error: Exception) -> None:
        self.closed = True
        self._failure = self._failure or error


def _plain(state: TaskState) -> bool:
    """Whether a conversation is text alone, in turns and without tools: nothing in it has to be adapted to a model."""
    roles = [message.role for message in state.messages]
    return (
        not state.tools
        and all(isinstance(message.content, str) for message in state.messages)
        and all(before != after for before, after in pairwise(roles))
    )


async def _call(model: Model, state: TaskState, config: GenerateConfig) -> TaskState:
    """Ask inspect's provider, as `Model.generate` would.

    `Model.generate` prepares each call for tools, images, caching, retries and hooks, which takes as long as the
    provider's client does. None of these applies here, and the breaker retries.

    Raises:
        Exception: what the provider raised or returned in place of an output.
    """
    sent = list(state.messages)
    # The transcript is where every solver's calls are counted, also those that fail.
    call = ModelEvent(
        model=str(model), input=sent, tools=[], tool_choice="auto", config=config, output=ModelOutput(), error="failed"
    )
    transcript()._event(call)  # noqa: SLF001
    result = await model.api.generate(input=sent, tools=[], tool_choice="auto", config=config)
    output = result[0] if isinstance(result, tuple) else result
    if isinstance(output, Exception):
        raise output
    call.output, call.error = output, None
    state.output = output
    state.messages.append(output.message)
    return state


@asynccontextmanager
async def _connected(base: BaseModel | None) -> AsyncIterator[Model]:
    """The model for one pass."""
    if base is None:
        yield get_model("none/none")
    elif base.local:
        model = base.connect()
        # Without this, inspect creates a second model to look up the first, and loads the weights twice.
        set_model_info(str(model), ModelInfo(context_length=base.context_window))
        yield model
    else:
        async with base.connect() as model:  # its connections belong to the pass's loop, and must close before it
            yield model


def _state(model: Model, item: Item, epoch: int) -> TaskState:
    """What inspect hands to a solver for a sample, with the contexts that inspect's helpers read."""
    state = TaskState(
        model=ModelName(model),
        sample_id=item.id,
        epoch=epoch,
        input=item.input,
        messages=[ChatMessageUser(content=item.input, source="input")],
        target=Target(item.target),
        metadata={"slice": item.slice, "group": item.group, "fields": item.fields, "turns": item.turns},
    )
    set_sample_state(state)
    init_subtask_store(state.store)
    return state


def _reply(
    key: Key, state: TaskState, calls: Sequence[ModelEvent], seconds: float, *, error: str | None, cold: bool
) -> Reply:
    """A reply from the model calls in the transcript: a strategy may make several, or none.

    Only calls with an answer count: a provider bills no refused attempt.
    """
    answered = [call for call in calls if call.error is None]
    outputs = [call.output for call in answered]
    usages = [output.usage for output in outputs]
    used = sum((usage for usage in usages if usage is not None), ModelUsage())
    known = None not in usages
    cached, written = used.input_tokens_cache_read or 0, used.input_tokens_cache_write or 0
    device: list[float] = [s for out in outputs if (s := (out.metadata or {}).get("device_s")) is not None]
    phase, item_id, epoch = key
    return Reply(
        phase=phase,
        item_id=item_id,
        epoch=epoch,
        completion=state.output.completion,
        input_tokens=used.input_tokens + cached + written if known else None,
        cached_tokens=cached if known else None,
        cache_write_tokens=written if known else None,
        output_tokens=used.output_tokens if known else None,
        reasoning_tokens=used.reasoning_tokens if known else None,
        prompt_chars=sum(len(as_text(m.text for m in call.input)) for call in answered) if answered else None,
        latency_s=seconds,
        retrieval_s=state.metadata.get(RETRIEVAL),
        confidence=state.metadata.get(CONFIDENCE),
        ttft_s=(calls[-1].output.metadata or {}).get("ttft_s") if calls else None,
        # Without a model the answer is computed here, one item at a time: its time is device time.
        device_s=(sum(device) if len(device) == len(calls) else None) if calls else seconds,
        stop_reason=state.output.stop_reason if calls and error is None else None,
        error=error,
        prompt_hash=prompt_hash((m.role, m.text) for call in calls for m in call.input) if calls else None,
        cold=cold,
    )


def _about_retrieval(found: Retrieved, item: Item, answer: Answer) -> dict[str, Any]:
    """The fields of a reply that say what was found, by what, and whether it holds the answer."""
    took = {
        "embedding_s": found.embedding_s,
        "search_s": found.search_s,
        "ranking_s": found.ranking_s,
        "retrieval_usd": found.usd,
    }
    if found.documents is None:
        return took
    gold = item.fields.get("gold")
    right = quotable(answer, item.target)
    ranks = [rank for rank, one in enumerate(found.documents, start=1) if any(map(one.says, right))]
    return {
        **took,
        "retrieved": json.dumps([document.id for document in found.documents]),
        "gold": json.dumps([str(each) for each in gold]) if isinstance(gold, list) else None,
        "answer_rank": min(ranks, default=0) if right else None,
        "answer_passages": len(ranks) if right else None,
    }


def _described(error: Exception) -> str:
    """The provider's message, as inspect's own error starts with the whole request; of a user's code, where it is."""
    cause = error.__cause__ if error.__cause__ is not None and type(error).__name__ == "RetryError" else error
    return f"{raised_in(cause)}{type(cause).__name__}: {getattr(cause, 'provider_message', None) or cause}"


# What happens when a provider refuses, fails or does not answer

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
    """One provider's health during one pass, shared by all of its requests: it retries, waits and gives up.

    A failure of one request is retried, or becomes that request's error. A failure that concerns every request (a wrong
    key, an empty account, an unknown model, a dead host) ends the pass with one sentence, within the first requests or
    90 seconds; see Nygard, Release It! (2nd edition, 2018), on circuit breakers. The first request is sent alone, so a
    wrong key costs one request, and a provider's prompt cache is warm for the others.
    """

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
