"""Says that a provider makes a run wait: a bar that stands still for minutes looks like a crash.

Import this module at the point of use: inspect comes with it.
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
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import anyio
from inspect_ai import Epochs, Task, eval_async
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.event import ModelEvent
from inspect_ai.hooks import Hooks, ModelRetry, hooks
from inspect_ai.log import transcript
from inspect_ai.model import GenerateConfig, ModelInfo, ModelOutput, ModelUsage, set_model_info
from inspect_ai.scorer import Score, Scorer, Target, accuracy, scorer, stderr
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util._display import init_display_type
from tenacity import RetryError

from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.core.progress import note
from thirdlever.evaluation.records import Key, Reply, item_hash, prompt_hash
from thirdlever.prompting.frame import RETRIEVAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path
    from types import TracebackType

    from inspect_ai.log import EvalLog
    from inspect_ai.model import Model

    from thirdlever.evaluation.records import Phase
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Deployment
    from thirdlever.suites.suite import Item, Split, Suite


_LINE_EVERY = 30.0  # seconds


class Waiting(Hooks):
    """A line when a request is to be tried again, and no other for a while: hundreds may be waiting at once."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said = -math.inf

    async def on_model_retry(self, data: ModelRetry) -> None:
        """Name the model, what it answered and when it is asked again."""
        now = time.monotonic()
        if now - self._said < _LINE_EVERY:
            return
        self._said = now
        why = ", ".join(filter(None, [data.exception_type, str(data.status_code) if data.status_code else None]))
        note(f"waiting for {data.model_name}{f' ({why})' if why else ''}: asked again in {data.wait_time:.0f} s")


@functools.cache
def tell_of_waiting() -> None:
    """Listen from now on. Call it while requests are made: hooks that are there before, inspect announces on stdout."""
    hooks(name="waiting", description="says that a provider makes a run wait")(Waiting)


Answered: TypeAlias = Callable[[Key], Reply | None]
Keep: TypeAlias = Callable[[Reply], bool]


class Gate:
    """Where requests pass: replies known already are given back, new ones are kept, and all can be brought to an end.

    Attributes:
        closed: whether no more requests go through.
        failure: why no request can be made or kept any more.
    """

    def __init__(self, answered: Answered, keep: Keep) -> None:
        """See `evaluate`."""
        self.answered = answered
        self.closed = False
        self.failure: OSError | ThirdleverError | None = None
        self.asked = 0
        self._keep = keep
        self._under_way = 0
        self._evaluation: asyncio.Future[list[EvalLog]] | None = None

    async def watch(self, evaluation: asyncio.Future[list[EvalLog]]) -> list[EvalLog]:
        """Wait for the eval that the requests belong to, and be able to end it."""
        self._evaluation = evaluation
        return await evaluation

    def cancel(self) -> None:
        """End the eval from any thread."""
        if self._evaluation is not None:
            self._evaluation.get_loop().call_soon_threadsafe(self._evaluation.cancel)

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Around one request. When the gate is closed, what is under way finishes and then the eval is ended."""
        if self.closed:
            if not self._under_way:
                self.cancel()
            await anyio.sleep_forever()
        self._under_way += 1
        self.asked += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if self.closed and not self._under_way:
                self.cancel()

    def keep(self, reply: Reply) -> None:
        """Hand a reply on; close when no more are wanted or can be kept."""
        try:
            self.closed = not self._keep(reply) or self.closed
        except (OSError, ThirdleverError) as error:
            self.fail(error)

    def fail(self, error: OSError | ThirdleverError) -> None:
        """Close for a reason that concerns every request: inspect would take it for one sample's error and go on."""
        self.closed = True
        self.failure = self.failure or error


class _Request:
    """Times a request and keeps its reply; one that failed is noted and its failure let through to inspect."""

    def __init__(self, gate: Gate, phase: Phase, state: TaskState) -> None:
        self.state = state
        self._gate = gate
        self._phase = phase
        self._given = state

    def __enter__(self) -> Self:
        self._cold = self._phase == "latency" and self._gate.asked == 1
        self._start = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        seconds = time.perf_counter() - self._start
        if isinstance(error, ThirdleverError):
            self._gate.fail(error)  # weights that do not load, a test split asked for: no request would fare better
            return
        if error is not None and not isinstance(error, Exception):
            return  # cancelled: it never came to an answer
        if error is not None:
            self.state = self._given
            self.state.output = ModelOutput()  # what it had before it failed is not graded
        reply = _reply(self.state, self._phase, seconds, error=error, cold=self._cold)
        self.state.metadata |= _facts(reply)
        self._gate.keep(reply)


def measured(inner: Solver, gate: Gate, phase: Phase) -> Solver:
    """Wrap a deployment's solver."""

    @solver(name="measured")
    def measuring() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            known = gate.answered((phase, str(state.sample_id), state.epoch))
            if known is not None:
                return _replay(state, known)
            tell_of_waiting()
            async with gate.passing():
                with _Request(gate, phase, state) as request:
                    request.state = await inner(state, generate)
            return request.state

        return solve

    return measuring()


def _reply(state: TaskState, phase: Phase, seconds: float, *, error: BaseException | None, cold: bool) -> Reply:
    """What a request came to, from the model calls in its transcript: a strategy may make several, or none."""
    calls = [event for event in transcript().events if isinstance(event, ModelEvent)]
    usages = [call.output.usage for call in calls]
    used = sum((usage for usage in usages if usage is not None), ModelUsage())
    known = None not in usages
    cached, written = used.input_tokens_cache_read or 0, used.input_tokens_cache_write or 0
    device: list[float] = [s for call in calls if (s := (call.output.metadata or {}).get("device_s")) is not None]
    return Reply(
        phase=phase,
        item_id=str(state.sample_id),
        epoch=state.epoch,
        completion=state.output.completion,
        input_tokens=used.input_tokens + cached + written if known else None,
        cached_tokens=cached if known else None,
        cache_write_tokens=written if known else None,
        output_tokens=used.output_tokens if known else None,
        latency_s=seconds,
        retrieval_s=state.metadata.get(RETRIEVAL),
        ttft_s=(calls[-1].output.metadata or {}).get("ttft_s") if calls else None,
        # What asks no model is computed here, one item after the other: its time is the device's.
        device_s=(sum(device) if len(device) == len(calls) else None) if calls else seconds,
        stop_reason=state.output.stop_reason if calls and error is None else None,
        error=_told(error) if error is not None else None,
        prompt_hash=prompt_hash((m.role, m.text) for call in calls for m in call.input) if calls else None,
        cold=cold,
    )


def _told(error: BaseException) -> str:
    """What went wrong; inspect's own error repeats the whole request first, and that of its retries says nothing."""
    if isinstance(error, RetryError) and error.__cause__ is not None:
        error = error.__cause__
    said = getattr(error, "provider_message", None) or str(error)
    return f"{type(error).__name__}: {said}"


def _replay(state: TaskState, known: Reply) -> TaskState:
    """Put a reply from before the resume where the solver would have left it."""
    state.output = ModelOutput.from_content(str(state.model), known.completion)
    state.output.usage = _usage(known)
    state.metadata |= _facts(known) | {"resumed": True}
    return state


def _usage(known: Reply) -> ModelUsage | None:
    if known.input_tokens is None or known.output_tokens is None:
        return None
    cached, written = known.cached_tokens or 0, known.cache_write_tokens or 0
    return ModelUsage(
        input_tokens=known.input_tokens - cached - written,
        input_tokens_cache_read=cached,
        input_tokens_cache_write=known.cache_write_tokens,
        output_tokens=known.output_tokens,
        total_tokens=known.input_tokens + known.output_tokens,
    )


def _facts(reply: Reply) -> dict[str, Any]:
    """For the log's sample metadata; the completion is the log's output already."""
    facts = dataclasses.asdict(reply)
    return {name: value for name, value in facts.items() if name not in {"completion", "phase", "item_id", "epoch"}}


LOCAL_CONNECTIONS = 512  # the engine batches; it wants to see as many requests as it can hold
HOSTED_CONNECTIONS = 20  # polite to any provider's rate limit
BATCH = 1000  # requests handed to a batch API together; a budget can end a run between two batches, not within one
LOG_BUFFER = 500  # samples; inspect's work grows with its square, and with the log's size at every write
RETRIES = 8  # of one request, with inspect's backoff; its own default is to go on for ever

_one_eval = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """One phase of one candidate.

    Attributes:
        name: the candidate's, as progress shows it.
        phase: "accuracy" asks as many at once as the model likes, "latency" one at a time.
        suite: where answers are specified.
        items: what is asked, in this order.
        epochs: how often.
        seed: passed to the model; None lets it draw anew.
        constrain: whether models may answer with one of the suite's choices only.
        about: what the log tells of the candidate.
        temperature: of the sampling; candidates are measured at 0.
        batch: whether the requests go through the provider's batch API.
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

    @property
    def keys(self) -> list[Key]:
        """Every request of the pass."""
        return [(self.phase, item.id, epoch) for epoch in range(1, self.epochs + 1) for item in self.items]


def evaluate(work: Pass, deployment: Deployment, folder: Path, *, answered: Answered, keep: Keep) -> EvalLog | None:
    """Run a pass through inspect, from inside or outside a running event loop.

    Args:
        work: what to ask.
        deployment: what to ask it of.
        folder: where inspect writes its log.
        answered: the reply to a request that need not be asked again.
        keep: takes each new reply as it comes; False lets what is under way finish and asks no more.

    Returns:
        The log's header; None when `keep` ended the pass.

    Raises:
        RunError: inspect could not run it, or another run is in progress in this process.
        ThirdleverError: what the solver or `keep` raised: it concerns every request. Other errors of a solver fail one.
        OSError: what `keep` raised, or the log cannot be written.
        KeyboardInterrupt: the user stopped it.
    """
    if not _one_eval.acquire(blocking=False):
        message = "another run is in progress in this process; wait for it to end"
        raise RunError(message)
    try:
        return _conclude(*_in_a_loop(work, deployment, folder, Gate(answered, keep)))
    finally:
        _one_eval.release()


def _in_a_loop(work: Pass, deployment: Deployment, folder: Path, gate: Gate) -> tuple[Gate, list[EvalLog]]:
    """A notebook's loop is running already and cannot run ours: a thread with a loop of its own can."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return gate, asyncio.run(_run(work, deployment, folder, gate))
    with ThreadPoolExecutor(1) as thread:
        logs = thread.submit(asyncio.run, _run(work, deployment, folder, gate))
        try:
            return gate, logs.result()
        except KeyboardInterrupt:
            gate.cancel()
            raise


async def _run(work: Pass, deployment: Deployment, folder: Path, gate: Gate) -> list[EvalLog]:
    init_display_type("none")
    connections = _connections(work, deployment)
    async with _connected(deployment.model) as model:
        evaluation = eval_async(
            _task(work, deployment, gate, connections),
            model=model,
            log_dir=str(folder),
            log_format="eval",
            log_level="error",
            log_realtime=False,  # a third of the overhead, and the journal does what it is for
            log_buffer=LOG_BUFFER,
            log_header_only=True,
            log_model_api=False,
            score_display=False,
            fail_on_error=False,
            score_on_error=True,  # a failed request is a wrong answer in inspect's accuracy too
            max_samples=connections,
            ctl_server=False,
            acp_server=False,
        )
        return await gate.watch(asyncio.ensure_future(evaluation))


def _connections(work: Pass, deployment: Deployment) -> int:
    """How many requests are under way at once."""
    if work.phase == "latency":
        return 1
    if work.batch:  # what waits for a batch to fill is under way too
        return BATCH
    return LOCAL_CONNECTIONS if deployment.model is None or deployment.model.local else HOSTED_CONNECTIONS


@asynccontextmanager
async def _connected(base: BaseModel | None) -> AsyncIterator[Model | None]:
    """The model for one pass."""
    if base is None:
        yield None
    elif base.local:
        model = base.connect()
        # Asked about a model that it does not know, inspect makes a second one to ask it: a second set of weights.
        set_model_info(str(model), ModelInfo(context_length=base.context_window))
        yield model
    else:
        async with base.connect() as model:  # its connections belong to the pass's loop, and end before that does
            yield model


def _task(work: Pass, deployment: Deployment, gate: Gate, connections: int) -> Task:
    """A fresh task: inspect changes the tasks that it is given."""
    choices = list(work.suite.answer.choices)
    constraint = {"structured_outputs": {"choice": choices}} if work.constrain and choices else None
    return Task(
        name=f"{work.suite.name}-{work.phase}",
        dataset=MemoryDataset([_sample(item) for item in work.items]),
        solver=measured(deployment.solver, gate, work.phase),
        scorer=_graded(work.suite),
        epochs=Epochs(work.epochs, "mean"),
        metadata={"phase": work.phase, **work.about},
        config=GenerateConfig(
            temperature=work.temperature,
            seed=work.seed,
            max_tokens=work.suite.answer.max_tokens,
            max_connections=connections,
            max_retries=RETRIES,
            extra_body=constraint,
            batch=BATCH if work.batch else None,
        ),
    )


def _sample(item: Item) -> Sample:
    facts = {"slice": item.slice, "group": item.group, "item_hash": item_hash(item)}
    return Sample(id=item.id, input=item.input, target=item.target, metadata=facts)


def _graded(suite: Suite) -> Scorer:
    @scorer(name="graded", metrics=[accuracy(), stderr()])
    def graded() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            grade = suite.answer.grade(state.output.completion, target.text)
            return Score(value=grade.value, answer=grade.prediction, explanation=grade.reason)

        return score

    return graded()


def _conclude(gate: Gate, logs: list[EvalLog]) -> EvalLog | None:
    if gate.failure is not None:
        raise gate.failure
    log = logs[0] if logs else None
    if log is not None and log.status == "success":
        return log
    if log is not None and log.error is not None:
        message = f"inspect could not run this pass: {log.error.message}; the same command with the same --out goes on"
        raise RunError(message)
    if not gate.closed:
        raise KeyboardInterrupt
    return None
