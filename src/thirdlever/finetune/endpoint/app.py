"""The endpoint as a Starlette application: request handlers behind a bearer token and a limit of size."""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import re
import secrets
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from openai.types import FileDeleted, ModelDeleted
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route

from thirdlever.core.errors import ThirdleverError
from thirdlever.finetune.endpoint import protocol
from thirdlever.finetune.endpoint.protocol import HANDLERS, ApiError
from thirdlever.finetune.endpoint.storage import FileStore, JobStore, ModelStore, end_fields
from thirdlever.finetune.endpoint.training import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from starlette.requests import Request
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from thirdlever.finetune.endpoint.protocol import CreateChat
    from thirdlever.finetune.endpoint.storage import JobFolder, Status
    from thirdlever.models.engine.engine import Completion, Engine
    from thirdlever.models.engine.generate import Request as EngineRequest
    from thirdlever.models.engine.generate import Tokens


_FILES_PER_PAGE = 10_000  # OpenAI's default and maximum
_DEFAULT_MAX_TOKENS = 512  # the engine reserves memory for the longest possible answer
_SMALLEST_TOP_P = 1e-6  # keeps only the likeliest token; 0 would keep none
_FINISH_REASONS = {"stop": "stop", "max_tokens": "length"}


@dataclass(frozen=True)
class State:
    """What an application's handlers share."""

    files: FileStore
    jobs: JobStore
    models: ModelStore
    scheduler: Scheduler


def _state(request: Request) -> State:
    state: State = request.app.state.shared
    return state


# Files


async def _create_file(request: Request) -> JSONResponse:
    async with request.form() as form:
        file, purpose = form.get("file"), form.get("purpose")
        for name in set(form) - {"file", "purpose"}:
            message = f"Unsupported parameter: '{name}' is not supported by this endpoint."
            raise ApiError(message, param=name, code="unsupported_parameter")
        if not isinstance(file, UploadFile):
            message = "Missing required parameter: 'file'; send it as multipart/form-data."
            raise ApiError(message, param="file", code="missing_required_parameter")
        if purpose != "fine-tune":
            message = f"Invalid value for 'purpose': {purpose!r}; this endpoint accepts 'fine-tune'."
            raise ApiError(message, param="purpose", code="invalid_value")
        add = _state(request).files.add
        stored = await run_in_threadpool(add, file.file, filename=file.filename or "file", purpose="fine-tune")
    return JSONResponse(stored.to_dict())


def _list_files(request: Request) -> JSONResponse:
    query = request.query_params
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        message = f"Invalid 'order': {order!r} is neither 'asc' nor 'desc'."
        raise ApiError(message, param="order", code="invalid_value")
    found = [file for file in _state(request).files.all() if query.get("purpose", file.purpose) == file.purpose]
    ordered = found if order == "asc" else found[::-1]
    return JSONResponse(protocol.page(ordered, query, limit=_FILES_PER_PAGE, largest=_FILES_PER_PAGE))


def _get_file(request: Request) -> JSONResponse:
    return JSONResponse(_state(request).files.get(request.path_params["id"]).to_dict())


def _get_file_content(request: Request) -> FileResponse:
    files, name = _state(request).files, request.path_params["id"]
    return FileResponse(files.path(name), filename=files.get(name).filename, media_type="application/octet-stream")


def _delete_file(request: Request) -> JSONResponse:
    name = request.path_params["id"]
    _state(request).files.delete(name)
    return JSONResponse(FileDeleted(id=name, object="file", deleted=True).to_dict())


# Fine-tuning jobs


async def _create_job(request: Request) -> JSONResponse:
    """Files are validated after the response, as OpenAI does."""
    state = _state(request)
    wanted = await protocol.read(request, protocol.CreateJob)
    job = await run_in_threadpool(state.jobs.create, wanted, base=state.models.base, uploads=state.files)

    def follow_up() -> None:
        job.validate()
        state.scheduler.wake()

    return JSONResponse(job.read().to_dict(), background=BackgroundTask(follow_up))


def _list_jobs(request: Request) -> JSONResponse:
    """Newest first."""
    query = request.query_params
    wanted = {match[1]: value for name, value in query.items() if (match := re.fullmatch(r"metadata\[(.*)]", name))}
    records = [job.read() for job in reversed(_state(request).jobs.all())]
    found = [record for record in records if wanted.items() <= (record.metadata or {}).items()]
    if query.get("metadata") == "null":
        found = [record for record in found if not record.metadata]
    return JSONResponse(protocol.page(found, query, limit=20))


def _cancel_job(job: JobFolder, _: Request) -> dict[str, Any]:
    """The worker notices at its next step."""
    return _move(job, "cancelled", ("validating_files", "queued", "running", "paused"), **end_fields())


def _pause_job(job: JobFolder, _: Request) -> dict[str, Any]:
    """The worker writes a checkpoint and stops."""
    return _move(job, "paused", ("queued", "running"), estimated_finish=None)


def _resume_job(job: JobFolder, request: Request) -> dict[str, Any]:
    moved = _move(job, "queued", ("paused",))
    _state(request).scheduler.wake()
    return moved


def _move(job: JobFolder, to: Status, when: tuple[Status, ...], **changes: object) -> dict[str, Any]:
    if not job.move(to, when=when, **changes):
        message = f"Job {job.id} is {job.read().status}; only a job that is {' or '.join(when)} can become {to}."
        raise ApiError(message, param="fine_tuning_job_id", code="invalid_job_status")
    job.log(f"Job moved to {to} state")
    return job.read().to_dict()


def _for_job(answer: Callable[[JobFolder, Request], dict[str, Any]]) -> Callable[[Request], JSONResponse]:
    """A handler for a path with a job's id."""

    def handle(request: Request) -> JSONResponse:
        return JSONResponse(answer(_state(request).jobs.get(request.path_params["id"]), request))

    return handle


def _list_events(job: JobFolder, request: Request) -> dict[str, Any]:
    return protocol.page(job.events(), request.query_params, limit=20)


def _list_checkpoints(job: JobFolder, request: Request) -> dict[str, Any]:
    return protocol.page(job.checkpoints(), request.query_params, limit=10)


# Models


def _list_models(request: Request) -> JSONResponse:
    return JSONResponse({"object": "list", "data": [model.to_dict() for model in _state(request).models.all()]})


def _get_model(request: Request) -> JSONResponse:
    return JSONResponse(_state(request).models.get(request.path_params["model"]).to_dict())


def _delete_model(request: Request) -> JSONResponse:
    name = request.path_params["model"]
    _state(request).models.delete(name)
    return JSONResponse(ModelDeleted(id=name, object="model", deleted=True).to_dict())


# Chat completions


async def _create_chat(request: Request) -> Response:
    wanted = await protocol.read(request, protocol.CreateChat)
    # The first request reads the tokenizer and the chat template, which takes seconds.
    engine, prompt = await run_in_threadpool(_engine_request, wanted, _state(request).models)
    if not wanted.stream:
        done = await asyncio.wrap_future(engine.submit(prompt))
        return JSONResponse(_completion(wanted.model, done))
    answer = _StreamedAnswer(engine, prompt)
    await answer.started()  # an error before the first piece still gets an HTTP status
    chunks = _Chunks(wanted.model, usage=bool(wanted.stream_options and wanted.stream_options.include_usage))
    headers = {"Cache-Control": "no-cache"}
    return StreamingResponse(chunks.stream(answer), media_type="text/event-stream", headers=headers)


def _engine_request(wanted: CreateChat, models: ModelStore) -> tuple[Engine, EngineRequest]:
    adapter = models.adapter(wanted.model)

    from thirdlever.models import registry
    from thirdlever.models.engine import chat, local
    from thirdlever.models.engine.generate import Request as EngineRequest

    tokens = _encode(models.base, [message.as_turn() for message in wanted.messages])
    choices = wanted.structured_outputs.choice if wanted.structured_outputs else None
    return local.engine(models.base), EngineRequest(
        tokens=tokens,
        max_tokens=_max_tokens(wanted, len(tokens), registry.resolve(models.base).context_window),
        stop=(wanted.stop,) if isinstance(wanted.stop, str) else tuple(wanted.stop),
        temperature=wanted.temperature,
        top_p=max(wanted.top_p, _SMALLEST_TOP_P),
        seed=wanted.seed,
        adapter=adapter,
        choices=chat.choices(models.base, tuple(choices)) if choices else None,
        grammar=chat.grammar(models.base, wanted.answer_schema) if wanted.answer_schema else None,
    )


def _encode(base: str, turns: Sequence[dict[str, str]]) -> Tokens:
    from jinja2 import TemplateError

    from thirdlever.models.engine import chat

    try:
        return chat.encode(base, turns)
    except TemplateError as error:
        message = f"The model's chat template does not accept this conversation: {error}."
        raise ApiError(message, param="messages", code="invalid_value") from error


def _max_tokens(wanted: CreateChat, prompt: int, window: int | None) -> int:
    stated = wanted.max_completion_tokens or wanted.max_tokens
    if window is None:
        return stated or _DEFAULT_MAX_TOKENS
    tokens = stated or min(_DEFAULT_MAX_TOKENS, window - prompt)
    if tokens < 1 or prompt + tokens > window:
        tokens = max(tokens, 1)
        message = (
            f"This model's maximum context length is {window} tokens. However, you requested {prompt + tokens} "
            f"tokens ({prompt} in the messages, {tokens} in the completion). Reduce the length of either."
        )
        raise ApiError(message, param="messages", code="context_length_exceeded")
    return tokens


def _completion(model: str, done: Completion) -> dict[str, Any]:
    message = {"role": "assistant", "content": done.text, "refusal": None}
    finish_reason = _FINISH_REASONS[done.stop_reason]
    return {
        "id": protocol.new_id("chatcmpl"),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason}],
        "usage": _usage(done),
        "timings": {"device_s": done.device_s, "ttft_s": done.ttft_s},  # our extension: what the answer costs here
    }


def _usage(done: Completion) -> dict[str, Any]:
    return {
        "prompt_tokens": done.input_tokens,
        "completion_tokens": done.output_tokens,
        "total_tokens": done.input_tokens + done.output_tokens,
        "prompt_tokens_details": {"cached_tokens": done.cached_tokens},
    }


class _StreamedAnswer:
    """An answer in pieces: the engine's thread puts them into a queue, the event loop takes them out."""

    def __init__(self, engine: Engine, request: EngineRequest) -> None:
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()  # None marks the end
        self._started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def listen(piece: str) -> None:
            loop.call_soon_threadsafe(self._put, piece)

        future = engine.submit(request, listen)
        self.done: asyncio.Future[Completion] = asyncio.wrap_future(future)
        self.done.add_done_callback(lambda _: self._put(None))

    def _put(self, piece: str | None) -> None:
        self._started.set()
        self._pieces.put_nowait(piece)

    async def started(self) -> None:
        """Wait for the first piece; raises the engine's `ThirdleverError` if the request failed."""
        await self._started.wait()
        if self.done.done():
            self.done.result()

    async def pieces(self) -> AsyncIterator[str]:
        """Pieces that together are the completion's text."""
        sent = ""
        while (piece := await self._pieces.get()) is not None:
            sent += piece
            yield piece
        if rest := self.done.result().text.removeprefix(sent):
            yield rest


@dataclass(frozen=True)
class _Chunks:
    """The events of a streamed answer.

    Attributes:
        model: the requested model's name.
        usage: whether the last chunk reports usage.
    """

    model: str
    usage: bool
    id: str = field(default_factory=lambda: protocol.new_id("chatcmpl"))
    created: int = field(default_factory=lambda: int(time.time()))

    async def stream(self, answer: _StreamedAnswer) -> AsyncIterator[str]:
        """Server-sent events, ending with [DONE]."""
        try:
            yield self._delta({"role": "assistant", "content": "", "refusal": None})
            async for piece in answer.pieces():
                yield self._delta({"content": piece})
            done = answer.done.result()
            yield self._delta({}, _FINISH_REASONS[done.stop_reason])
            if self.usage:
                yield self._chunk([], _usage(done))
        except ThirdleverError as error:  # too late for an HTTP status
            yield _event(protocol.error_body(str(error), kind="server_error"))
        yield "data: [DONE]\n\n"

    def _delta(self, delta: Mapping[str, Any], reason: str | None = None) -> str:
        return self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}], None)

    def _chunk(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> str:
        head = {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model}
        return _event(head | {"choices": choices} | ({"usage": usage} if self.usage else {}))


def _event(data: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


ROUTES = [
    Route("/files", _create_file, methods=["POST"]),
    Route("/files", _list_files),
    Route("/files/{id}", _get_file),
    Route("/files/{id}", _delete_file, methods=["DELETE"]),
    Route("/files/{id}/content", _get_file_content),
    Route("/fine_tuning/jobs", _create_job, methods=["POST"]),
    Route("/fine_tuning/jobs", _list_jobs),
    Route("/fine_tuning/jobs/{id}", _for_job(lambda job, _: job.read().to_dict())),
    Route("/fine_tuning/jobs/{id}/cancel", _for_job(_cancel_job), methods=["POST"]),
    Route("/fine_tuning/jobs/{id}/pause", _for_job(_pause_job), methods=["POST"]),
    Route("/fine_tuning/jobs/{id}/resume", _for_job(_resume_job), methods=["POST"]),
    Route("/fine_tuning/jobs/{id}/events", _for_job(_list_events)),
    Route("/fine_tuning/jobs/{id}/checkpoints", _for_job(_list_checkpoints)),
    Route("/models", _list_models),
    Route("/models/{model:path}", _get_model),
    Route("/models/{model:path}", _delete_model, methods=["DELETE"]),
    Route("/chat/completions", _create_chat, methods=["POST"]),
]


VARIABLE = "THIRDLEVER_ENDPOINT_KEY"
MAX_BODY = 512 * 2**20  # bytes, OpenAI's limit for a file
MAX_JSON = 8 * 2**20  # bytes of every other body, which is held in memory
MAX_REQUESTS = 256  # in progress
BODY_GRACE_S = 30.0  # for a body to arrive, and one second more for each of
BODY_RATE = 10_000  # bytes
_FILES = "/v1/files"


def key_file(folder: Path) -> Path:
    """Where an endpoint's generated token is stored."""
    return folder / "key"


def key(folder: Path) -> str:
    """The token in the environment; by default one generated once into a file that only its owner can read.

    Raises:
        ThirdleverError: the environment variable is empty.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        if not given.strip():
            message = f"{VARIABLE} is empty; set it to a long random token, or unset it to generate one"
            raise ThirdleverError(message)
        return given.strip()
    path = key_file(folder)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        partial.touch(mode=0o600, exist_ok=False)  # private before it contains anything
        partial.write_text(f"sk-local-{secrets.token_urlsafe(32)}\n", "utf-8")
        partial.replace(path)
    return path.read_text("utf-8").strip()


class Guard:
    """Middleware that refuses requests without the token, and more of them or larger or slower bodies than it allows.

    A body counts as it arrives, whatever length it states.
    """

    def __init__(self, app: ASGIApp, key: str, max_body: int = MAX_BODY, max_requests: int = MAX_REQUESTS) -> None:
        """Take the limits.

        Args:
            app: what it protects.
            key: the bearer token.
            max_body: largest file in bytes; other bodies have at most `MAX_JSON`.
            max_requests: requests in progress at once.
        """
        self._app = app
        self._key = key
        self._max_body = max_body
        self._max_requests = max_requests
        self._in_progress = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        largest = self._max_body if scope["path"].rstrip("/") == _FILES else min(self._max_body, MAX_JSON)
        try:
            self._check(headers, largest)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        self._in_progress += 1
        try:
            await self._app(scope, _limited(receive, largest), send)
        finally:
            self._in_progress -= 1

    def _check(self, headers: Headers, largest: int) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            message = "You didn't provide an API key. Send it as `Authorization: Bearer YOUR_KEY`."
            raise ApiError(message, status=HTTPStatus.UNAUTHORIZED)
        if not hmac.compare_digest(token.strip().encode(), self._key.encode()):
            message = f"Incorrect API key provided. It is in {VARIABLE}, or in the file `key` in the endpoint's folder."
            raise ApiError(message, status=HTTPStatus.UNAUTHORIZED, code="invalid_api_key")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > largest:
            raise ApiError(_too_large(largest), status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        if self._in_progress >= self._max_requests:
            message = f"Rate limit reached: {self._max_requests} requests are in progress. Please try again in 1s."
            status = HTTPStatus.TOO_MANY_REQUESTS
            raise ApiError(message, status=status, code="rate_limit_exceeded", headers={"Retry-After": "1"})


def _too_large(largest: int) -> str:
    return f"The request's body exceeds {largest} bytes; send less."


def _limited(receive: Receive, largest: int) -> Receive:
    """Receive a body of a limited size, at a speed that no slow client holds up."""
    received = 0
    start = time.monotonic()
    complete = False

    async def limited() -> Message:
        nonlocal received, complete
        if complete:  # what follows is the end of the connection, whenever that is
            return await receive()
        left = start + BODY_GRACE_S + received / BODY_RATE - time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), max(0.0, left))
        except TimeoutError:
            detail = f"The request's body arrives too slowly: {received} bytes in {time.monotonic() - start:.0f} s."
            raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, detail, {"Connection": "close"}) from None
        received += len(message.get("body", b""))
        complete = not message.get("more_body", False)
        if received > largest:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _too_large(largest))
        return message

    return limited


def application(
    folder: Path, *, base: str, key: str, max_body: int = MAX_BODY, max_requests: int = MAX_REQUESTS
) -> Starlette:
    """An endpoint.

    Args:
        folder: holds its state; one application at a time.
        base: the local model to serve and tune.
        key: the bearer token.
        max_body: largest file in bytes.
        max_requests: requests in progress at once.
    """
    jobs = JobStore(folder / "jobs")
    scheduler = Scheduler(folder, jobs)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        scheduler.start()
        yield
        scheduler.stop()

    app = Starlette(
        routes=[Mount("/v1", routes=ROUTES)],
        middleware=[Middleware(Guard, key=key, max_body=max_body, max_requests=max_requests)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state.shared = State(FileStore(folder / "files"), jobs, ModelStore(base, jobs), scheduler)
    return app
