"""The endpoint as a Starlette application, guarded by a bearer token and a limit on the size of requests."""

from __future__ import annotations

import hmac
import os
import secrets
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount

from thirdlever.core.errors import ThirdleverError
from thirdlever.finetune.endpoint import routes
from thirdlever.finetune.endpoint.protocol import HANDLERS, ApiError
from thirdlever.finetune.endpoint.storage import FileStore, JobStore, ModelStore
from thirdlever.finetune.endpoint.training import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

VARIABLE = "THIRDLEVER_ENDPOINT_KEY"
MAX_BODY = 512 * 2**20  # bytes, OpenAI's limit for a file


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


@dataclass(frozen=True)
class Guard:
    """Middleware that refuses requests without the token, and bodies over the limit with or without a stated length."""

    app: ASGIApp
    key: str
    max_body: int = MAX_BODY  # bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            self._check(Headers(scope=scope))
        except ApiError as error:
            await error.response()(scope, receive, send)
        else:
            await self.app(scope, self._limited(receive), send)

    def _check(self, headers: Headers) -> None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            message = "You didn't provide an API key. Send it as `Authorization: Bearer YOUR_KEY`."
            raise ApiError(message, status=HTTPStatus.UNAUTHORIZED)
        if not hmac.compare_digest(token.strip().encode(), self.key.encode()):
            message = f"Incorrect API key provided. It is in {VARIABLE}, or in the file `key` in the endpoint's folder."
            raise ApiError(message, status=HTTPStatus.UNAUTHORIZED, code="invalid_api_key")
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.max_body:
            raise ApiError(self._too_large, status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)

    @property
    def _too_large(self) -> str:
        return f"The request's body exceeds {self.max_body} bytes; send less."

    def _limited(self, receive: Receive) -> Receive:
        """Count a body as it arrives, for requests that do not state its length."""
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._too_large)
            return message

        return count


def application(folder: Path, *, base: str, key: str, max_body: int = MAX_BODY) -> Starlette:
    """An endpoint.

    Args:
        folder: holds its state; one application at a time.
        base: the local model to serve and tune.
        key: the bearer token.
        max_body: largest request body in bytes.
    """
    jobs = JobStore(folder / "jobs")
    scheduler = Scheduler(folder, jobs)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        scheduler.start()
        yield
        scheduler.stop()

    app = Starlette(
        routes=[Mount("/v1", routes=routes.ROUTES)],
        middleware=[Middleware(Guard, key=key, max_body=max_body)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state.shared = routes.State(FileStore(folder / "files"), jobs, ModelStore(base, jobs), scheduler)
    return app
