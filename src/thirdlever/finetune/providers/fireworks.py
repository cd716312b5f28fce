"""Fine-tuning LoRA adapters at Fireworks, by its documented HTTP interface.

Never run against the live service. The shapes are those of docs.fireworks.ai, read on 2026-11-25:
fine-tuning/fine-tuning-via-api, api-reference/create-dataset, api-reference/get-supervised-fine-tuning-job (also its
creation and cancellation), api-reference/list-deployments, deployments/autoscaling, fine-tuning/deploying-loras and
models/deploying; and the types of the official client, `fireworks-ai` 1.2.30, which is not used because it brings a
second HTTP stack. A tuned adapter answers from a dedicated deployment only: it is created before the first request,
releases its GPU after five minutes without requests, and is removed when the process ends.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from thirdlever.catalog.tuning import profile
from thirdlever.core.errors import ModelError
from thirdlever.finetune.jobs import ENDED, Access, GoneError, JobState, Status
from thirdlever.finetune.providers.shared import HttpProvider, seconds_between, variable, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.finetune.jobs import Job, JobRequest

ACCOUNT = "FIREWORKS_ACCOUNT_ID"
_INFERENCE = "/inference/v1"  # below the address; inspect's variable of the same name includes it
_JOBS = "supervisedFineTuningJobs"
_STATUS: dict[str, Status] = {
    "UNSPECIFIED": "queued",
    "CREATING": "queued",
    "CREATING_INPUT_DATASET": "queued",
    "VALIDATING": "queued",
    "PENDING": "queued",
    "RE_QUEUEING": "queued",
    "PAUSED": "queued",
    "COMPLETED": "succeeded",
    "EARLY_STOPPED": "succeeded",
    "FAILED": "failed",
    "EXPIRED": "failed",
    "CANCELLED": "cancelled",
}


class _Shape(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)


class _Fault(_Shape):
    code: str = "OK"
    message: str = ""


class _Progress(_Shape):
    percent: int | None = None
    input_tokens: int | None = None


class _Money(_Shape):
    units: int = 0
    nanos: int = 0


class _Resource(_Shape):
    """A dataset, a deployment, a model or a job."""

    name: str
    state: str
    status: _Fault = Field(default_factory=_Fault)


class _TuningJob(_Resource):
    output_model: str | None = None
    epochs: int | None = None
    create_time: dt.datetime | None = None
    completed_time: dt.datetime | None = None
    job_progress: _Progress = Field(default_factory=_Progress)
    estimated_cost: _Money | None = None


class _Any(_Shape):
    """A response of which nothing is read."""


class Fireworks(HttpProvider):
    """Datasets, jobs, models and deployments are named by the request's tag."""

    def __init__(self) -> None:
        """Connects to nothing."""
        super().__init__(profile("fireworks"))

    def address(self) -> tuple[str, str]:
        """URL of the account's resources, and key."""
        url, key = self.terms.access()
        account = variable(self.terms.title, ACCOUNT)
        return f"{url.rstrip('/').removesuffix(_INFERENCE)}/v1/accounts/{account}", key

    def submit(self, request: JobRequest) -> str:
        """Upload the files as datasets and create the job under the tag as its id."""
        body: dict[str, Any] = {
            "displayName": request.tag,
            "baseModel": request.base,
            "dataset": self._upload(request.training, request.tag),
        }
        if request.validation:
            body["evaluationDataset"] = self._upload(request.validation, f"{request.tag}-dev")
        if request.epochs is not None:
            body["epochs"] = request.epochs
        return _id(
            self.call(_TuningJob, "POST", _JOBS, params={"supervisedFineTuningJobId": request.tag}, json=body).name
        )

    def find(self, tag: str) -> str | None:
        """By its id."""
        found = self._find(f"{_JOBS}/{tag}")
        return _id(found.name) if found else None

    def poll(self, job_id: str) -> JobState:
        """The job's state."""
        return _state(self.call(_TuningJob, "GET", f"{_JOBS}/{job_id}"))

    def cancel(self, job_id: str) -> JobState:
        """Stop a job."""
        self.call(_Any, "POST", f"{_JOBS}/{job_id}:cancel", json={})
        return self.poll(job_id)

    def deploy(self, job: Job) -> str:
        """The user's deployment, or ours, created unless it exists."""
        if job.served and not job.ours:
            return job.served
        ours = f"deployments/{job.tag}"
        if not self._find(ours):
            self.call(_Any, "GET", f"models/{_id(job.tuned or '')}")  # may be unknown for a while after the job's end
            replicas = {"minReplicaCount": 0, "maxReplicaCount": 1}
            body = {"baseModel": job.tuned, **replicas, "autoscalingPolicy": {"scaleToZeroWindow": "300s"}}
            self.call(_Any, "POST", "deployments", params={"deploymentId": job.tag}, json=body)
        ended = {"FAILED", "DELETING", "DELETED", None}
        wait_until("READY", lambda: self._state(ours), f"Fireworks: deployment {job.tag}", failed=ended)
        return f"{job.tuned}#accounts/{variable(self.terms.title, ACCOUNT)}/deployments/{job.tag}"

    def tear_down(self, job: Job) -> None:
        """Remove our deployment."""
        if self._find(f"deployments/{job.tag}"):
            self.call(_Any, "DELETE", f"deployments/{job.tag}")

    def access(self, served: str) -> Access:
        """Through inspect's provider for Fireworks."""
        url, key = self.address()
        return Access(inspect_name=f"fireworks/{served}", url=url.partition("/v1/accounts/")[0] + _INFERENCE, key=key)

    def _find(self, path: str) -> _Resource | None:
        try:
            return self.call(_Resource, "GET", path)
        except GoneError:
            return None

    def _state(self, path: str) -> str | None:
        """A resource's state, None if it does not exist; raises `ModelError` if Fireworks refuses its content."""
        found = self._find(path)
        if found and found.status.code != "OK":
            message = (
                f"Fireworks refused {path} ({found.status.code}: {found.status.message}); correct it and run again"
            )
            raise ModelError(message)
        return found.state if found else None

    def _upload(self, path: Path, name: str) -> str:
        """A dataset with a file's rows, created unless an earlier attempt did; its full name."""
        dataset = f"datasets/{name}"
        state = self._state(dataset)
        if state is None:
            body = {"datasetId": name, "dataset": {"userUploaded": {}, "format": "CHAT"}}
            self.call(_Any, "POST", "datasets", json=body)
        if state != "READY":
            with path.open("rb") as file:
                self.call(_Any, "POST", f"{dataset}:upload", files={"file": (f"{name}.jsonl", file)})
            wait_until("READY", lambda: self._state(dataset), f"Fireworks: dataset {name}")
        return f"accounts/{variable(self.terms.title, ACCOUNT)}/{dataset}"


def _id(name: str) -> str:
    """The last part of "accounts/me/models/this"."""
    return name.rpartition("/")[2]


def _state(job: _TuningJob) -> JobState:
    said = job.state.removeprefix("JOB_STATE_")
    status = _STATUS.get(said, "running")  # also writing results, cancelling and deleting
    percent, cost = job.job_progress.percent, job.estimated_cost
    return JobState(
        status=status,
        said=said.lower(),
        message="" if percent is None else f"{percent} %",
        tuned=job.output_model if status == "succeeded" else None,
        trained_tokens=job.job_progress.input_tokens,
        epochs=job.epochs,
        seconds=seconds_between(job.create_time, job.completed_time) if status in ENDED else None,
        usd=cost.units + cost.nanos / 1e9 if cost and status == "succeeded" else None,
        error=job.status.message if status == "failed" else None,
    )
