"""POST /chat/completions: answers of the local engine, whole or as they come."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse, Response, StreamingResponse

from thirdlever.core.errors import ThirdleverError
from thirdlever.serving import bodies, ids
from thirdlever.serving.asking import prepare
from thirdlever.serving.errors import body as error_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request as HttpRequest

    from thirdlever.models.engine.engine import Completion, Engine
    from thirdlever.models.engine.generate import Request as EngineRequest

_REASON = {"stop": "stop", "max_tokens": "length"}


async def create(http: HttpRequest) -> Response:
    """Answer one conversation."""
    wanted = await bodies.read(http, bodies.CreateChat)
    # Reading the tokenizer and the template takes seconds, the first time.
    engine, request = await run_in_threadpool(prepare, wanted, http.app.state.models)
    if not wanted.stream:
        done = await asyncio.wrap_future(engine.submit(request))
        return JSONResponse(_completion(wanted.model, done))
    answer = _Answer.of(engine, request)
    await answer.begun()  # what cannot be answered at all is told by its status, not within a stream
    chunks = _Chunks(wanted.model, usage=bool(wanted.stream_options and wanted.stream_options.include_usage))
    return StreamingResponse(
        chunks.stream(answer), media_type="text/event-stream", headers={"Cache-Control": "no-cache"}
    )


def _completion(model: str, done: Completion) -> dict[str, Any]:
    return {
        "id": ids.new("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": done.text, "refusal": None},
                "logprobs": None,
                "finish_reason": _REASON[done.stop_reason],
            }
        ],
        "usage": _usage(done),
        "timings": {"device_s": done.device_s, "ttft_s": done.ttft_s},  # beyond the protocol: what it costs here
    }


def _usage(done: Completion) -> dict[str, Any]:
    return {
        "prompt_tokens": done.input_tokens,
        "completion_tokens": done.output_tokens,
        "total_tokens": done.input_tokens + done.output_tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
    }


class _Answer:
    """An answer as it comes: the engine's thread puts in pieces of text, the event loop takes them out."""

    def __init__(self) -> None:
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()  # None: it has ended
        self._begun = asyncio.Event()
        self._sent = ""
        self.done: asyncio.Future[Completion]

    @classmethod
    def of(cls, engine: Engine, request: EngineRequest) -> _Answer:
        """Ask."""
        answer = cls()
        loop = asyncio.get_running_loop()

        def heard(piece: str) -> None:
            loop.call_soon_threadsafe(answer._put, piece)

        future = engine.submit(request, heard)
        answer.done = asyncio.wrap_future(future)
        answer.done.add_done_callback(lambda _: answer._put(None))
        return answer

    def _put(self, piece: str | None) -> None:
        self._begun.set()
        self._pieces.put_nowait(piece)

    async def begun(self) -> None:
        """Wait for the first piece.

        Raises:
            ThirdleverError: there will be none.
        """
        await self._begun.wait()
        if self.done.done():
            self.done.result()

    async def pieces(self) -> AsyncIterator[str]:
        """Pieces that make up the completion's text."""
        while (piece := await self._pieces.get()) is not None:
            self._sent += piece
            yield piece
        text = self.done.result().text
        if rest := text.removeprefix(self._sent):
            yield rest


@dataclass(frozen=True)
class _Chunks:
    """The frames of a streamed answer.

    Attributes:
        model: as the request names it.
        usage: whether the last chunk holds it.
    """

    model: str
    usage: bool
    id: str = field(default_factory=lambda: ids.new("chatcmpl"))
    created: int = field(default_factory=lambda: int(time.time()))

    async def stream(self, answer: _Answer) -> AsyncIterator[str]:
        """Server-sent events, the last of which says [DONE]."""
        try:
            yield self._delta({"role": "assistant", "content": "", "refusal": None})
            async for piece in answer.pieces():
                yield self._delta({"content": piece})
            done = answer.done.result()
            yield self._delta({}, _REASON[done.stop_reason])
            if self.usage:
                yield self._chunk([], _usage(done))
        except ThirdleverError as error:  # too late for a status
            yield _event(error_body(str(error), kind="server_error"))
        yield "data: [DONE]\n\n"

    def _delta(self, delta: Mapping[str, Any], reason: str | None = None) -> str:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], None)

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> str:
        chunk = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }
        return _event(chunk | ({"usage": usage} if self.usage else {}))


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
