"""The fine-tuning jobs' routes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from thirdlever.serving import bodies, pagination
from thirdlever.serving.creating import create as create_job
from thirdlever.serving.errors import ApiError
from thirdlever.serving.validation import ended, validate

if TYPE_CHECKING:
    from starlette.requests import Request

    from thirdlever.serving.jobs import Job, Jobs, Status, Tune
    from thirdlever.serving.scheduler import Scheduler


def _jobs(request: Request) -> Jobs:
    jobs: Jobs = request.app.state.jobs
    return jobs


def _job(request: Request) -> Job:
    return _jobs(request).get(request.path_params["id"])


def _scheduler(request: Request) -> Scheduler:
    scheduler: Scheduler = request.app.state.scheduler
    return scheduler


async def create(request: Request) -> JSONResponse:
    """POST /fine_tuning/jobs: the files are read after the answer."""
    state = request.app.state
    wanted = await bodies.read(request, bodies.CreateJob)
    job = await run_in_threadpool(create_job, wanted, base=state.models.base, files=state.files, jobs=state.jobs)
    scheduler = _scheduler(request)

    def follow_up() -> None:
        validate(job)
        scheduler.wake()

    return JSONResponse(job.read().to_dict(), background=BackgroundTask(follow_up))


def list_all(request: Request) -> JSONResponse:
    """GET /fine_tuning/jobs, newest first."""
    query = request.query_params
    wanted = {match[1]: value for name, value in query.items() if (match := re.fullmatch(r"metadata\[(.*)]", name))}
    tunes = [job.read() for job in reversed(_jobs(request).all())]
    found = [tune for tune in tunes if wanted.items() <= (tune.metadata or {}).items()]
    if query.get("metadata") == "null":
        found = [tune for tune in found if not tune.metadata]
    return JSONResponse(pagination.page(found, query, limit=20))


def retrieve(request: Request) -> JSONResponse:
    """GET /fine_tuning/jobs/{id}."""
    return _shown(_job(request).read())


def events(request: Request) -> JSONResponse:
    """GET /fine_tuning/jobs/{id}/events, newest first."""
    return JSONResponse(pagination.page(_job(request).events(), request.query_params, limit=20))


def checkpoints(request: Request) -> JSONResponse:
    """GET /fine_tuning/jobs/{id}/checkpoints, newest first."""
    return JSONResponse(pagination.page(_job(request).checkpoints(), request.query_params, limit=10))


def cancel(request: Request) -> JSONResponse:
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
