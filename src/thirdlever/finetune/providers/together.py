"""Fine-tuning LoRA adapters at Together, by its documented HTTP interface.

Never run against the live service. The shapes are those of docs.together.ai, read on 2026-11-25: reference/upload-file,
reference/post-fine-tunes, reference/get-fine-tunes (also of one job, its events and its cancellation),
docs/fine-tuning/pricing and docs/fine-tuning/deployment; and the types of the official client, `together` 3.1.1, which
is not used because it brings a command line of its own.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from thirdlever.catalog.tuning import profile
from thirdlever.finetune.jobs import ENDED, Access, JobState, Status
from thirdlever.finetune.providers.shared import HttpProvider, not_deployed, seconds_between

if TYPE_CHECKING:
    from thirdlever.finetune.jobs import Job, JobRequest

_NANODOLLARS = 1e9  # in a dollar; Together's unit of prices
_STATUS: dict[str, Status] = {
    "pending": "queued",
    "queued": "queued",
    "completed": "succeeded",
    "error": "failed",
    "user_error": "failed",
    "cancelled": "cancelled",
}


class _File(BaseModel):
    id: str


class _Job(BaseModel):
    id: str
    status: str
    suffix: str | None = None
    model_output_name: str | None = None
    token_count: int | None = None
    total_price: float | None = None
    n_epochs: int | None = None
    epochs_completed: int | None = None
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None


class _Jobs(BaseModel):
    data: list[_Job]


class _Event(BaseModel):
    created_at: str
    message: str


class _Events(BaseModel):
    data: list[_Event]


class Together(HttpProvider):
    """A job is recognised by the suffix of its model's name."""

    def __init__(self) -> None:
        """Connects to nothing."""
        super().__init__(profile("together"))

    def submit(self, request: JobRequest) -> str:
        """Upload the training file and create the job; LoRA is the default.

        The validation file is not sent: Together charges its tokens, and chooses no checkpoint by it unless asked.
        """
        name = f"{request.tag}.jsonl"
        form = {"purpose": "fine-tune", "file_name": name, "file_type": "jsonl"}
        with request.training.open("rb") as file:
            uploaded = self.call(_File, "POST", "files/upload", data=form, files={"file": (name, file)})
        body: dict[str, Any] = {
            "model": request.base,
            "training_file": uploaded.id,
            "suffix": request.tag,
            "training_method": {"method": "sft", "train_on_inputs": False},
            "random_seed": request.seed,
        }
        if request.epochs is not None:
            body["n_epochs"] = request.epochs
        return self.call(_Job, "POST", "fine-tunes", json=body).id

    def find(self, tag: str) -> str | None:
        """By the suffix."""
        return next((job.id for job in self.call(_Jobs, "GET", "fine-tunes").data if job.suffix == tag), None)

    def poll(self, job_id: str) -> JobState:
        """The job and its latest event, which says why a job failed."""
        job = self.call(_Job, "GET", f"fine-tunes/{job_id}")
        events = self.call(_Events, "GET", f"fine-tunes/{job_id}/events").data
        return _state(job, max(events, key=lambda event: event.created_at).message if events else "")

    def cancel(self, job_id: str) -> JobState:
        """Stop a job; Together charges for the steps completed by then."""
        return _state(self.call(_Job, "POST", f"fine-tunes/{job_id}/cancel"), "")

    def deploy(self, job: Job) -> str:
        """The endpoint that the user named: which hardware to rent is a choice of price and speed."""
        return job.served or not_deployed(self.terms, job)

    def access(self, served: str) -> Access:
        """Through inspect's provider for Together."""
        url, key = self.address()
        return Access(inspect_name=f"together/{served}", url=url, key=key)


def _state(job: _Job, message: str) -> JobState:
    status = _STATUS.get(job.status, "running")  # also compressing, uploading and cancel_requested
    ended = status in ENDED
    return JobState(
        status=status,
        said=job.status,
        message=message,
        tuned=job.model_output_name if status == "succeeded" else None,
        trained_tokens=job.token_count,
        epochs=job.epochs_completed or job.n_epochs,
        seconds=seconds_between(job.created_at, job.updated_at) if ended else None,
        usd=job.total_price / _NANODOLLARS if ended and job.total_price is not None else None,
        error=message if status == "failed" else None,
    )
