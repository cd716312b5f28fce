"""The local engine: requests from any thread are answered in batches by one worker that owns the device."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.core.errors import ModelError
from thirdlever.core.text import counted
from thirdlever.models import threads
from thirdlever.models.engine.generate import ActiveRequest, Batch, Generation, PrefixCache, Request, group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thirdlever.models.engine.weights import Weights


Entry: TypeAlias = "tuple[ActiveRequest, float, Future[Completion]]"  # with the time of its submission

_GATHER_S = 0.02  # how long a worker that just served a batch waits for its callers to come back
_PREFIX_BYTES = 512 * 2**20
_KV_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer and what it used.

    Attributes:
        text: the answer.
        stop_reason: "stop" or "max_tokens".
        input_tokens: all tokens of the prompt.
        cached_tokens: prompt tokens whose keys and values were in the cache.
        output_tokens: generated tokens.
        device_s: this request's share of the device's busy time, seconds.
        ttft_s: from submission to the first token, seconds.
    """

    text: str
    stop_reason: Literal["stop", "max_tokens"]
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    device_s: float
    ttft_s: float


class Engine:
    """Answers requests with one set of weights, loaded at the first request.

    All requests that wait when the worker becomes free form one batch, in which common prefixes are computed once.

        engine = Engine(lambda: load("path/to/model"))
        engine.submit(Request(tokens=(1, 2, 3), max_tokens=8)).result().text
    """

    def __init__(self, load: Callable[[], Weights]) -> None:
        """Store `load` for the first request."""
        self._load = load
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="thirdlever-engine")
        self._waiting: list[Entry] = []
        self._arrived = threading.Condition()
        self._generation: Generation | None = None
        self._last_batch = 0

    def submit(self, request: Request, listener: Callable[[str], None] | None = None) -> Future[Completion]:
        """Queue a request; the future gives its completion or a `ModelError`.

        Args:
            request: the request.
            listener: called with each new piece of the answer, in the worker's thread.
        """
        future: Future[Completion] = Future()
        with self._arrived:
            self._waiting.append((ActiveRequest(request, listener), time.perf_counter(), future))
            self._arrived.notify()
        self._worker.submit(self._serve)
        return future

    def _serve(self) -> None:
        batch = self._gather()
        if not batch:
            return
        try:
            self._answer(batch)
        except BaseException as error:
            for _, _, future in batch:
                if not future.done():
                    future.set_exception(error)
            raise
        finally:
            threads.release()

    def _gather(self) -> list[Entry]:
        """All waiting requests. Callers just served together tend to come back together, so wait a moment for them."""
        with self._arrived:
            if self._waiting and self._last_batch > 1:
                self._arrived.wait_for(lambda: len(self._waiting) >= self._last_batch, timeout=_GATHER_S)
            batch, self._waiting = self._waiting, []
        batch = [entry for entry in batch if entry[2].set_running_or_notify_cancel()]
        self._last_batch = len(batch) or self._last_batch
        return batch

    def _answer(self, batch: list[Entry]) -> None:
        generation = self._generation
        if generation is None:
            generation = Generation(self._load(), PrefixCache(_PREFIX_BYTES), _KV_BYTES)
            self._generation = generation
        able = [entry for entry in batch if _fits(entry[0].request, generation.weights.window, entry[2])]
        by_adapter: defaultdict[Path | None, list[Entry]] = defaultdict(list)
        for entry in able:
            by_adapter[entry[0].request.adapter].append(entry)
        loaded = [entries for adapter, entries in by_adapter.items() if _load(generation, adapter, entries)]
        batches = [batch for entries in loaded for batch in _batches([active for active, _, _ in entries])]
        generation.run(batches)
        generation.adapters.trim()
        for active, submitted, future in (entry for entries in loaded for entry in entries):
            future.set_result(_completion(active, submitted))


def _batches(requests: Sequence[ActiveRequest]) -> list[Batch]:
    """Group requests under one adapter by their common prefixes."""
    found = group([active.request.tokens for active in requests])
    return [Batch([requests[i] for i in part.members], part.shared) for part in found]


def _load(generation: Generation, adapter: Path | None, entries: Sequence[Entry]) -> bool:
    """Load an adapter; if that fails, only the requests for it fail."""
    try:
        if adapter is not None:
            generation.adapters.load(adapter)
    except ModelError as error:
        for _, _, future in entries:
            future.set_exception(error)
        return False
    return True


def _fits(request: Request, window: int, future: Future[Completion]) -> bool:
    needed = len(request.tokens) + request.max_tokens
    if needed > window:
        message = (
            f"a prompt of {counted(len(request.tokens), 'token')} and an answer of {request.max_tokens} "
            f"exceed the model's context window of {window}; use fewer demonstrations or documents"
        )
        future.set_exception(ModelError(message))
    return needed <= window


def _completion(active: ActiveRequest, submitted: float) -> Completion:
    return Completion(
        text=active.text,
        stop_reason=active.stop_reason or "stop",
        input_tokens=len(active.request.tokens),
        cached_tokens=active.cached,
        output_tokens=len(active.output),
        device_s=active.device_s,
        ttft_s=active.first_token_s - submitted,
    )
