"""Run one pass of one candidate through inspect: timed, graded, resumable, and stoppable by a budget.

Import this module at the point of use: it imports inspect.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import anyio
from inspect_ai import Epochs, Task, eval_async
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.event import ModelEvent
from inspect_ai.hooks import Hooks, ModelRetry, hooks
from inspect_ai.log import transcript
from inspect_ai.model import ModelInfo, ModelOutput, ModelUsage, set_model_info
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util._display import init_display_type
from tenacity import RetryError

from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.core.progress import note
from thirdlever.evaluation.records import Key, Reply, item_hash, prompt_hash
from thirdlever.models.generation import fixed_connections, generate_config
from thirdlever.prompting.frame import RETRIEVAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from inspect_ai.log import EvalLog
    from inspect_ai.model import Model

    from thirdlever.evaluation.records import Phase
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Item, Split, Suite


Answered: TypeAlias = Callable[[Key], Reply | None]
Keep: TypeAlias = Callable[[Reply], bool]

LOG_BUFFER = 500  # samples; inspect's work grows with its square, and with the log's size at every write
_NOTICE_EVERY = 30.0  # seconds
# The log has these elsewhere: as its output, its sample's id and its score.
_LOGGED_ELSEWHERE = {"completion", "phase", "item_id", "epoch", "score", "prediction", "reason"}

_one_eval = threading.Lock()


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
        max_connections: requests at once in the accuracy pass; None adapts to what the provider allows.
        graded: whether the items have targets to grade against.
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
    max_connections: int | None = None
    graded: bool = True

    @property
    def keys(self) -> list[Key]:
        """Every request of the pass."""
        return [(self.phase, item.id, epoch) for epoch in range(1, self.epochs + 1) for item in self.items]


def evaluate(work: Pass, deployment: Deployment, folder: Path, *, answered: Answered, keep: Keep) -> EvalLog | None:
    """Run a pass through inspect, inside or outside a running event loop.

    Args:
        work: what to ask.
        deployment: what to ask it of.
        folder: for inspect's log.
        answered: returns the reply to a request that need not be sent again.
        keep: takes each new reply, graded, as it arrives; returns False to let requests in flight finish and stop.

    Returns:
        The log's header; None if `keep` stopped the pass.

    Raises:
        RunError: inspect could not run the pass, or another run is in progress in this process.
        ThirdleverError: from the solver or `keep`: it affects every request. Other errors of a solver fail one request.
        OSError: from `keep`, or the log cannot be written.
        KeyboardInterrupt: the user stopped it.
    """
    if not _one_eval.acquire(blocking=False):
        message = "another run is in progress in this process; wait for it to end"
        raise RunError(message)
    control = PassControl(work, answered, keep)
    try:
        return _conclude(control, _run_in_a_loop(work, deployment, folder, control))
    finally:
        _one_eval.release()


class PassControl:
    """Lets requests through: known replies are reused, new ones kept, and the pass can be stopped."""

    def __init__(self, work: Pass, answered: Answered, keep: Keep) -> None:
        """See `evaluate`."""
        self.work = work
        self.answered = answered
        self.closed = False  # once true, no more requests are sent
        self.failure: OSError | ThirdleverError | None = None
        self.sent = 0
        self.replies: dict[Key, Reply] = {}  # graded ones that inspect has yet to score
        self._keep = keep
        self._in_flight = 0
        self.evaluation: asyncio.Future[list[EvalLog]] | None = None

    def key(self, state: TaskState) -> Key:
        """The request that a state belongs to."""
        return self.work.phase, str(state.sample_id), state.epoch

    def cancel(self) -> None:
        """End the eval from any thread."""
        if self.evaluation is not None:
            self.evaluation.get_loop().call_soon_threadsafe(self.evaluation.cancel)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[None]:
        """Surrounds one request. Once closed, requests in flight finish and then the eval ends."""
        if self.closed:
            if not self._in_flight:
                self.cancel()
            await anyio.sleep_forever()
        self._in_flight += 1
        self.sent += 1
        try:
            yield
        finally:
            self._in_flight -= 1
            if self.closed and not self._in_flight:
                self.cancel()

    def grade(self, reply: Reply, target: str) -> Reply:
        """The reply with its grade, ready for inspect's scorer."""
        if self.work.graded:
            try:
                reply = reply.graded(self.work.suite.answer, target)
            except Exception as error:  # noqa: BLE001 - a suite's own `grade` can raise anything; it ends the pass
                self.fail(RunError(f"item {reply.item_id!r} could not be graded: {type(error).__name__}: {error}"))
            self.replies[reply.key] = reply
        return reply

    def keep(self, reply: Reply) -> None:
        """Pass a reply on; close if no more are wanted or can be kept."""
        try:
            self.closed = not self._keep(reply) or self.closed
        except (OSError, ThirdleverError) as error:
            self.fail(error)

    def fail(self, error: OSError | ThirdleverError) -> None:
        """Close for an error that affects every request; inspect would fail one sample and continue."""
        self.closed = True
        self.failure = self.failure or error


def _run_in_a_loop(work: Pass, deployment: Deployment, folder: Path, control: PassControl) -> list[EvalLog]:
    """Run in a new event loop; if one is running already, as in a notebook, in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_run(work, deployment, folder, control))
    with ThreadPoolExecutor(1) as thread:
        logs = thread.submit(asyncio.run, _run(work, deployment, folder, control))
        try:
            return logs.result()
        except KeyboardInterrupt:
            control.cancel()
            raise


async def _run(work: Pass, deployment: Deployment, folder: Path, control: PassControl) -> list[EvalLog]:
    init_display_type("none")
    connections = 1 if work.phase == "latency" else work.max_connections
    async with _connected(deployment.model) as model:
        evaluation = eval_async(
            _task(work, deployment, control, connections),
            model=model,
            log_dir=str(folder),
            log_format="eval",
            log_level="error",
            log_realtime=False,  # a third of the overhead, and the journal does its job
            log_buffer=LOG_BUFFER,
            log_header_only=True,
            log_model_api=False,
            score_display=False,
            fail_on_error=False,
            score_on_error=True,  # a failed request is a wrong answer in inspect's accuracy too
            max_samples=connections or fixed_connections(deployment.model, batch=work.batch),
            ctl_server=False,
            acp_server=False,
        )
        control.evaluation = asyncio.ensure_future(evaluation)
        return await control.evaluation


@asynccontextmanager
async def _connected(base: BaseModel | None) -> AsyncIterator[Model | None]:
    """The model for one pass."""
    if base is None:
        yield None
    elif base.local:
        model = base.connect()
        # Without this, inspect creates a second model to look up the first, and loads the weights twice.
        set_model_info(str(model), ModelInfo(context_length=base.context_window))
        yield model
    else:
        async with base.connect() as model:  # its connections belong to the pass's loop, and must close before it
            yield model


def _task(work: Pass, deployment: Deployment, control: PassControl, connections: int | None) -> Task:
    """A fresh task, because inspect changes the tasks it is given."""
    return Task(
        name=f"{work.suite.name}-{work.phase}",
        dataset=MemoryDataset([_sample(item) for item in work.items]),
        solver=_instrumented(deployment.solver, control),
        scorer=_score_of(control) if work.graded else None,
        epochs=Epochs(work.epochs, "mean"),
        metadata={"phase": work.phase, **work.about},
        config=generate_config(
            deployment.model,
            work.suite.answer,
            seed=work.seed,
            constrain=work.constrain,
            temperature=work.temperature,
            max_connections=connections,
            batch=work.batch,
        ),
    )


def _sample(item: Item) -> Sample:
    facts = {"slice": item.slice, "group": item.group, "item_hash": item_hash(item)}
    return Sample(id=item.id, input=item.input, target=item.target, metadata=facts)


def _instrumented(inner: Solver, control: PassControl) -> Solver:
    """A deployment's solver, timed, graded and resumable."""

    @solver(name="measured")
    def measured() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            known = control.answered(control.key(state))
            if known is not None:
                return _replay(state, control.grade(known, state.target.text))
            announce_retries()
            async with control.request():
                return await _ask(inner, control, state, generate)

        return solve

    return measured()


def _score_of(control: PassControl) -> Scorer:
    """Hands inspect the grade that the records have."""

    @scorer(name="graded", metrics=[accuracy(), stderr()])
    def graded() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score | None:  # noqa: ARG001 - graded by now
            reply = control.replies.pop(control.key(state), None)
            if reply is None or reply.score is None:  # the pass is being ended
                return None
            return Score(value=reply.score, answer=reply.prediction, explanation=reply.reason)

        return score

    return graded()


async def _ask(inner: Solver, control: PassControl, given: TaskState, generate: Generate) -> TaskState:
    """Send one request: time it, grade and keep its reply. An error is recorded and raised again, for inspect."""
    cold = control.work.phase == "latency" and control.sent == 1
    start = time.perf_counter()

    def keep(state: TaskState, error: Exception | None = None) -> None:
        reply = _reply(control.key(state), state, time.perf_counter() - start, error=error, cold=cold)
        reply = control.grade(reply, state.target.text)
        state.metadata |= _facts(reply)
        control.keep(reply)

    try:
        state = await inner(given, generate)
    except ThirdleverError as error:
        control.fail(error)  # such as weights that do not load: it would fail every request
        raise
    except Exception as error:
        given.output = ModelOutput()  # an answer given before the failure does not count
        keep(given, error)
        raise
    keep(state)
    return state


def _reply(key: Key, state: TaskState, seconds: float, *, error: Exception | None, cold: bool) -> Reply:
    """A reply from the model calls in the transcript: a strategy may make several, or none."""
    calls = [event for event in transcript().events if isinstance(event, ModelEvent)]
    usages = [call.output.usage for call in calls]
    used = sum((usage for usage in usages if usage is not None), ModelUsage())
    known = None not in usages
    cached, written = used.input_tokens_cache_read or 0, used.input_tokens_cache_write or 0
    device: list[float] = [s for call in calls if (s := (call.output.metadata or {}).get("device_s")) is not None]
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
        latency_s=seconds,
        retrieval_s=state.metadata.get(RETRIEVAL),
        ttft_s=(calls[-1].output.metadata or {}).get("ttft_s") if calls else None,
        # Without a model the answer is computed here, one item at a time: its time is device time.
        device_s=(sum(device) if len(device) == len(calls) else None) if calls else seconds,
        stop_reason=state.output.stop_reason if calls and error is None else None,
        error=_described(error) if error is not None else None,
        prompt_hash=prompt_hash((m.role, m.text) for call in calls for m in call.input) if calls else None,
        cold=cold,
    )


def _described(error: Exception) -> str:
    """The provider's message. inspect's own error starts with the whole request, and that of its retries is empty."""
    cause = error.__cause__ if isinstance(error, RetryError) and error.__cause__ is not None else error
    return f"{type(cause).__name__}: {getattr(cause, 'provider_message', None) or cause}"


def _replay(state: TaskState, known: Reply) -> TaskState:
    """Put the reply of an earlier process where the solver would have left it."""
    state.output = ModelOutput.from_content(str(state.model), known.completion)
    if known.input_tokens is not None and known.output_tokens is not None:
        cached, written = known.cached_tokens or 0, known.cache_write_tokens or 0
        state.output.usage = ModelUsage(
            input_tokens=known.input_tokens - cached - written,
            input_tokens_cache_read=cached,
            input_tokens_cache_write=known.cache_write_tokens,
            output_tokens=known.output_tokens,
            total_tokens=known.input_tokens + known.output_tokens,
        )
    state.metadata |= _facts(known) | {"resumed": True}
    return state


def _facts(reply: Reply) -> dict[str, Any]:
    """For the log's sample metadata."""
    return {name: value for name, value in dataclasses.asdict(reply).items() if name not in _LOGGED_ELSEWHERE}


def _conclude(control: PassControl, logs: list[EvalLog]) -> EvalLog | None:
    if control.failure is not None:
        raise control.failure
    log = logs[0] if logs else None
    if log is not None and log.status == "success":
        return log
    if log is not None and log.error is not None:
        message = f"inspect could not run this pass: {log.error.message}; repeat the command with the same --out"
        raise RunError(message)
    if not control.closed:
        raise KeyboardInterrupt
    return None


class RetryNotices(Hooks):
    """Says that a provider makes the run wait, at most every 30 s: hundreds of requests may be waiting."""

    def __init__(self) -> None:
        """Start without a notice."""
        self._last = -math.inf

    async def on_model_retry(self, data: ModelRetry) -> None:
        """Name the model, its error, and the time until the next try."""
        now = time.monotonic()
        if now - self._last < _NOTICE_EVERY:
            return
        self._last = now
        why = ", ".join(filter(None, [data.exception_type, str(data.status_code) if data.status_code else None]))
        note(f"waiting for {data.model_name}{f' ({why})' if why else ''}: retrying in {data.wait_time:.0f} s")


@functools.cache
def announce_retries() -> None:
    """Register the hook. Called with the first request: inspect lists hooks registered earlier on stdout."""
    hooks(name="retry_notices", description="says that a provider makes a run wait")(RetryNotices)
