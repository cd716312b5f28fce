"""The files' routes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from openai.types import FileDeleted, ModelDeleted
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse

from thirdlever.core.errors import ThirdleverError
from thirdlever.finetune.endpoint import protocol
from thirdlever.finetune.endpoint.protocol import ApiError
from thirdlever.finetune.endpoint.protocol import body as error_body
from thirdlever.finetune.endpoint.storage import create as create_job
from thirdlever.finetune.endpoint.storage import ended, validate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.requests import Request as HttpRequest

    from thirdlever.finetune.endpoint.protocol import CreateChat
    from thirdlever.finetune.endpoint.storage import Files, Job, Jobs, Models, Status, Tune
    from thirdlever.finetune.endpoint.training import Scheduler
    from thirdlever.models.engine.engine import Completion, Engine
    from thirdlever.models.engine.generate import Request as EngineRequest
    from thirdlever.models.engine.generate import Tokens


_LIST = 10_000  # OpenAI's default and largest page


def _files(request: Request) -> Files:
    files: Files = request.app.state.files
    return files


async def post_file(request: Request) -> JSONResponse:
    """POST /files."""
    async with request.form() as form:
        file, purpose = form.get("file"), form.get("purpose")
        for name in set(form) - {"file", "purpose"}:
            message = f"Unsupported parameter: '{name}' is not supported by this endpoint."
            raise ApiError(message, param=name, code="unsupported_parameter")
        if not isinstance(file, UploadFile):
            message = "Missing required parameter: 'file'; send it as multipart/form-data."
            raise ApiError(message, param="file", code="missing_required_parameter")
        if purpose != "fine-tune":
            message = f"Invalid value for 'purpose': {purpose!r}; this endpoint takes 'fine-tune'."
            raise ApiError(message, param="purpose", code="invalid_value")
        kept = await run_in_threadpool(
            _files(request).add, file.file, filename=file.filename or "file", purpose="fine-tune"
        )
    return JSONResponse(kept.to_dict())


def list_files(request: Request) -> JSONResponse:
    """GET /files."""
    query = request.query_params
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        message = f"Invalid 'order': {order!r} is neither 'asc' nor 'desc'."
        raise ApiError(message, param="order", code="invalid_value")
    found = [file for file in _files(request).all() if query.get("purpose", file.purpose) == file.purpose]
    ordered = found if order == "asc" else found[::-1]
    return JSONResponse(protocol.page(ordered, query, limit=_LIST, most=_LIST))


def get_file(request: Request) -> JSONResponse:
    """GET /files/{id}."""
    return JSONResponse(_files(request).get(request.path_params["id"]).to_dict())


def get_file_content(request: Request) -> FileResponse:
    """GET /files/{id}/content."""
    files, name = _files(request), request.path_params["id"]
    return FileResponse(files.path(name), filename=files.get(name).filename, media_type="application/octet-stream")


def delete_file(request: Request) -> JSONResponse:
    """DELETE /files/{id}."""
    name = request.path_params["id"]
    _files(request).delete(name)
    return JSONResponse(FileDeleted(id=name, object="file", deleted=True).to_dict())


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def _job(request: Request) -> Job:
    return _jobs(request).get(request.path_params["id"])


def _scheduler(request: Request) -> Scheduler:
    scheduler: Scheduler = request.app.state.scheduler
    return scheduler


async def post_job(request: Request) -> JSONResponse:
    """POST /fine_tuning/jobs: the files are read after the answer."""
    state = request.app.state
    wanted = await protocol.read(request, protocol.CreateJob)
    job = await run_in_threadpool(create_job, wanted, base=state.models.base, files=state.files, jobs=state.jobs)
    scheduler = _scheduler(request)

    def follow_up() -> None:
        validate(job)
        scheduler.wake()

    return JSONResponse(job.read().to_dict(), background=BackgroundTask(follow_up))


def list_jobs(request: Request) -> JSONResponse:
    """GET /fine_tuning/jobs, newest first."""
    query = request.query_params
    wanted = {match[1]: value for name, value in query.items() if (match := re.fullmatch(r"metadata\[(.*)]", name))}
    tunes = [job.read() for job in reversed(_jobs(request).all())]
    found = [tune for tune in tunes if wanted.items() <= (tune.metadata or {}).items()]
    if query.get("metadata") == "null":
        found = [tune for tune in found if not tune.metadata]
    return JSONResponse(protocol.page(found, query, limit=20))


def get_job(request: Request) -> JSONResponse:
    """GET /fine_tuning/jobs/{id}."""
    return _shown(_job(request).read())


def events(request: Request) -> JSONResponse:
    """GET /fine_tuning/jobs/{id}/events, newest first."""
    return JSONResponse(protocol.page(_job(request).events(), request.query_params, limit=20))


def checkpoints(request: Request) -> JSONResponse:
    """GET /fine_tuning/jobs/{id}/checkpoints, newest first."""
    return JSONResponse(protocol.page(_job(request).checkpoints(), request.query_params, limit=10))


def cancel_job(request: Request) -> JSONResponse:
    """POST /fine_tuning/jobs/{id}/cancel: the worker sees it at its next step."""
    return _step(_job(request), "cancelled", ("validating_files", "queued", "running", "paused"), **ended())


def pause(request: Request) -> JSONResponse:
    """POST /fine_tuning/jobs/{id}/pause: the worker leaves a checkpoint."""
    return _step(_job(request), "paused", ("queued", "running"), estimated_finish=None)


def resume(request: Request) -> JSONResponse:
    """POST /fine_tuning/jobs/{id}/resume: its turn comes again."""
    response = _step(_job(request), "queued", ("paused",))
    _scheduler(request).wake()
    return response


def _step(job: Job, to: Status, when: tuple[Status, ...], **changes: object) -> JSONResponse:
    if not job.move(to, when=when, **changes):
        message = f"Job {job.id} is {job.read().status}; only one that is {' or '.join(when)} can become {to}."
        raise ApiError(message, param="fine_tuning_job_id", code="invalid_job_status")
    job.log(f"Job moved to {to} state")
    return _shown(job.read())


def _shown(tune: Tune) -> JSONResponse:
    return JSONResponse(tune.to_dict())


def _models(request: Request) -> Models:
    models: Models = request.app.state.models
    return models


def list_models(request: Request) -> JSONResponse:
    """GET /models."""
    return JSONResponse({"object": "list", "data": [model.to_dict() for model in _models(request).all()]})


def get_model(request: Request) -> JSONResponse:
    """GET /models/{model}."""
    return JSONResponse(_models(request).get(request.path_params["model"]).to_dict())


def delete_model(request: Request) -> JSONResponse:
    """DELETE /models/{model}."""
    name = request.path_params["model"]
    _models(request).delete(name)
    return JSONResponse(ModelDeleted(id=name, object="model", deleted=True).to_dict())


_MAX_TOKENS = 512  # when the caller states none: the engine sets memory aside for all that it may have to write
_LEAST_TOP_P = 1e-6  # the likeliest token alone; 0 would leave none


def prepare(wanted: CreateChat, models: Models) -> tuple[Engine, EngineRequest]:
    """What to ask, and whom.

    Raises:
        ApiError: no such model, a conversation that its template does not take, or a prompt that does not fit.
    """
    adapter = models.adapter(wanted.model)

    from thirdlever.models import registry
    from thirdlever.models.engine import chat, local
    from thirdlever.models.engine.generate import Request as EngineRequest

    tokens = _encode(models.base, [message.turn() for message in wanted.messages])
    window = registry.resolve(models.base).context_window
    request = EngineRequest(
        tokens=tokens,
        max_tokens=_room(wanted, len(tokens), window),
        stop=(wanted.stop,) if isinstance(wanted.stop, str) else tuple(wanted.stop),
        temperature=wanted.temperature,
        top_p=max(wanted.top_p, _LEAST_TOP_P),
        seed=wanted.seed,
        adapter=adapter,
        choices=chat.choices(models.base, wanted.allowed) if wanted.allowed else None,
    )
    return local.engine(models.base), request


def _encode(base: str, turns: Sequence[dict[str, str]]) -> Tokens:
    from jinja2 import TemplateError

    from thirdlever.models.engine import chat

    try:
        return chat.encode(base, turns)
    except TemplateError as error:
        message = f"The model's chat template does not take this conversation: {error}."
        raise ApiError(message, param="messages", code="invalid_value") from error


def _room(wanted: CreateChat, prompt: int, window: int | None) -> int:
    """Tokens that the answer may have."""
    stated = wanted.max_completion_tokens or wanted.max_tokens
    if window is None:
        return stated or _MAX_TOKENS
    room = stated or min(_MAX_TOKENS, window - prompt)
    if room < 1 or prompt + room > window:
        message = (
            f"This model's maximum context length is {window} tokens. However, you requested {prompt + max(room, 1)} "
            f"tokens ({prompt} in the messages, {max(room, 1)} in the completion). Reduce the length of either."
        )
        raise ApiError(message, param="messages", code="context_length_exceeded")
    return room


_REASON = {"stop": "stop", "max_tokens": "length"}


async def post_chat(http: HttpRequest) -> Response:
    """Answer one conversation."""
    wanted = await protocol.read(http, protocol.CreateChat)
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
        "id": protocol.new("chatcmpl"),
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
    id: str = field(default_factory=lambda: protocol.new("chatcmpl"))
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
