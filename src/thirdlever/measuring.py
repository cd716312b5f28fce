"""The solver that stands around a strategy's own: it times it, notes what was sent and used, and asks nothing twice.

Import this module at the point of use: inspect comes with it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import anyio
from inspect_ai.event import ModelEvent
from inspect_ai.log import transcript
from inspect_ai.model import ModelOutput, ModelUsage
from inspect_ai.solver import Generate, Solver, TaskState, solver
from tenacity import RetryError

from thirdlever.core.errors import ThirdleverError
from thirdlever.journal import Key, Reply
from thirdlever.prompting.frame import RETRIEVAL
from thirdlever.records import prompt_hash
from thirdlever.waiting import tell_of_waiting

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator
    from types import TracebackType

    from inspect_ai.log import EvalLog

    from thirdlever.journal import Phase

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
