"""The application: its routes, what stands before them, and the state behind them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from thirdlever.serving import chat, file_api, job_api, model_api
from thirdlever.serving.auth import MAX_BODY, Guard
from thirdlever.serving.errors import HANDLERS
from thirdlever.serving.files import Files
from thirdlever.serving.jobs import Jobs
from thirdlever.serving.models import Models
from thirdlever.serving.scheduler import Scheduler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

ROUTES = [
    Route("/files", file_api.create, methods=["POST"]),
    Route("/files", file_api.list_all),
    Route("/files/{id}", file_api.retrieve),
    Route("/files/{id}", file_api.delete, methods=["DELETE"]),
    Route("/files/{id}/content", file_api.content),
    Route("/fine_tuning/jobs", job_api.create, methods=["POST"]),
    Route("/fine_tuning/jobs", job_api.list_all),
    Route("/fine_tuning/jobs/{id}", job_api.retrieve),
    Route("/fine_tuning/jobs/{id}/cancel", job_api.cancel, methods=["POST"]),
    Route("/fine_tuning/jobs/{id}/pause", job_api.pause, methods=["POST"]),
    Route("/fine_tuning/jobs/{id}/resume", job_api.resume, methods=["POST"]),
    Route("/fine_tuning/jobs/{id}/events", job_api.events),
    Route("/fine_tuning/jobs/{id}/checkpoints", job_api.checkpoints),
    Route("/models", model_api.list_all),
    Route("/models/{model:path}", model_api.retrieve),
    Route("/models/{model:path}", model_api.delete, methods=["DELETE"]),
    Route("/chat/completions", chat.create, methods=["POST"]),
]


def application(folder: Path, *, base: str, key: str, max_body: int = MAX_BODY) -> Starlette:
    """An endpoint.

    Args:
        folder: where its state is; one application at a time.
        base: the local model that is served and tuned.
        key: the bearer token.
        max_body: bytes that a request may have.
    """
    jobs = Jobs(folder / "jobs")
    scheduler = Scheduler(folder, jobs)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        scheduler.start()
        yield
        scheduler.stop()

    app = Starlette(
        routes=[Mount("/v1", routes=ROUTES)],
        middleware=[Middleware(Guard, key=key, max_body=max_body)],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    app.state.files = Files(folder / "files")
    app.state.jobs = jobs
    app.state.models = Models(base, jobs)
    app.state.scheduler = scheduler
    return app
