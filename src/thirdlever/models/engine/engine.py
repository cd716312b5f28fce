"""The local engine: requests from any thread are answered in batches by one worker that owns the device."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from thirdlever.core.errors import ModelError
from thirdlever.models.engine.generate import Answering, Batch, Generation, PrefixCache, Request, group

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thirdlever.models.engine.weights import Weights


Entry: TypeAlias = "tuple[Answering, float, Future[Completion]]"  # what is asked, when it was, and whom to tell

_GATHER_S = 0.02  # how long a worker that just served many waits for them to come back
_PREFIX_BYTES = 512 * 2**20
_KV_BYTES = 2 * 2**30


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer and what it took.

    Attributes:
        text: the answer.
        stop_reason: "stop" or "max_tokens".
        input_tokens: tokens of the prompt, all of them.
        cached_tokens: those whose keys and values were there already.
        output_tokens: tokens generated.
        device_s: this request's share of the device's busy time, seconds.
        ttft_s: from submission to the first token, seconds.
    """

    text: str
    stop_reason: str
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    device_s: float
    ttft_s: float


class Engine:
    """Answers requests with one set of weights, which are loaded at the first request.

    Whatever waits when the worker comes free is one batch; common prefixes within it are computed once.

        engine = Engine(lambda: load("path/to/model"))
        engine.submit(Request(tokens=(1, 2, 3), max_tokens=8)).result().text
    """

    def __init__(self, load: Callable[[], Weights]) -> None:
        """Keep `load` for the first request."""
        self._load = load
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="thirdlever-engine")
        self._waiting: list[Entry] = []
        self._arrived = threading.Condition()
        self._generation: Generation | None = None
        self._last_batch = 0

    def submit(self, request: Request, listener: Callable[[str], None] | None = None) -> Future[Completion]:
        """Queue a request; the future holds its completion or a `ModelError`.

        Args:
            request: what is asked.
            listener: told of each new piece of the answer, from the worker's thread.
        """
        future: Future[Completion] = Future()
        with self._arrived:
            self._waiting.append((Answering(request, listener), time.perf_counter(), future))
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

    def _gather(self) -> list[Entry]:
        """All that waits. Those just served together tend to come back together: give them a moment."""
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
        batches = [batch for entries in loaded for batch in _batches([answering for answering, _, _ in entries])]
        generation.run(batches)
        generation.adapters.trim()
        for answering, submitted, future in (entry for entries in loaded for entry in entries):
            future.set_result(_completion(answering, submitted))


def _batches(requests: Sequence[Answering]) -> list[Batch]:
    """Requests under one adapter, by what their prompts share."""
    found = group([answering.request.tokens for answering in requests])
    return [Batch([requests[i] for i in part.members], part.shared) for part in found]


def _load(generation: Generation, adapter: Path | None, entries: Sequence[Entry]) -> bool:
    """Have an adapter at hand; without it only the requests for it fail."""
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
            f"a prompt of {len(request.tokens)} tokens and an answer of {request.max_tokens} "
            f"exceed the model's {window}; use fewer demonstrations or documents"
        )
        future.set_exception(ModelError(message))
    return needed <= window


def _completion(answering: Answering, submitted: float) -> Completion:
    return Completion(
        text=answering.text,
        stop_reason=answering.stop_reason or "stop",
        input_tokens=len(answering.request.tokens),
        cached_tokens=answering.cached,
        output_tokens=len(answering.output),
        device_s=answering.device_s,
        ttft_s=answering.first_token_s - submitted,
    )
