"""Send one pass of one candidate: its requests are timed, graded, kept, resumable, and stoppable by a budget.

Solvers, models and providers are inspect's; the loop is ours, because `inspect_ai.eval` takes three times as long for a
sample as the provider's client does for its request. Its log is written beside it, see `logs`.

Import this module at the point of use: it imports inspect.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

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
from inspect_ai.scorer import Target
from inspect_ai.solver import TaskState
from inspect_ai.solver._task_state import set_sample_state
from inspect_ai.util._concurrency import init_concurrency
from inspect_ai.util._store import init_subtask_store

from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.evaluation import breaker
from thirdlever.evaluation.logs import LogWriter
from thirdlever.evaluation.records import Key, Reply, prompt_hash
from thirdlever.models.base import START_CONNECTIONS, as_text, generate_config
from thirdlever.prompting.frame import CONFIDENCE, RETRIEVAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
    from pathlib import Path

    from inspect_ai.model import Model

    from thirdlever.evaluation.records import Phase
    from thirdlever.models.base import BaseModel
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
        self._breaker: breaker.Breaker | None = None
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
            self._breaker = breaker.guard(
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
            error = breaker.without(model.api.api_key, _described(raised))
        seconds = time.perf_counter() - start
        calls = [event for event in transcript.events if isinstance(event, ModelEvent)]
        reply = _reply((self._work.phase, item.id, epoch), state, calls, seconds, error=error, cold=cold)
        if self._work.graded:
            reply = self._graded(reply, item.target)
        if self._log is not None:
            self._log.add(item, reply, state, calls)
        self.closed = not self._keep(reply) or self.closed

    def _generate(self, model: Model) -> Any:  # noqa: ANN401 - inspect's `Generate` protocol
        async def generate(state: TaskState, tool_calls: Any = "loop", cache: Any = NOT_GIVEN, **settings: Any) -> Any:  # noqa: ANN401
            if "max_tokens" in settings:  # a strategy may need more room, and never less
                settings["max_tokens"] = max(settings["max_tokens"], self._config.max_tokens or 0)
            if self._breaker is not None and cache is NOT_GIVEN and settings.keys() <= _SAMPLING and _plain(state):
                config = self._every_call.merge(GenerateConfig(**settings)) if settings else self._every_call
                return await _call(model, state, config)
            return await task_generate(model, state, tool_calls, cache, GenerateConfig(**settings))

        return generate

    def _graded(self, reply: Reply, target: str) -> Reply:
        try:
            return reply.graded(self._work.suite.answer, target)
        except Exception as error:
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


def _described(error: Exception) -> str:
    """The provider's message: inspect's own error starts with the whole request."""
    cause = error.__cause__ if error.__cause__ is not None and type(error).__name__ == "RetryError" else error
    return f"{type(cause).__name__}: {getattr(cause, 'provider_message', None) or cause}"
