"""Fine-tuning jobs, each a folder that two processes write to: the server, and the worker that trains it.

    job.json            the job as the protocol shows it; read and replaced under state.lock
    training.jsonl      its own copies of its files
    validation.jsonl
    events.jsonl        appended to, one write a line
    checkpoints.jsonl
    training/           what the trainer leaves: checkpoints, the adapter
    worker.log          what the worker had to say

Every change of status is a step from one that is expected, so that "cancelled" and "succeeded" cannot both happen.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from filelock import FileLock
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from openai.types.fine_tuning.jobs.fine_tuning_job_checkpoint import Metrics
from pydantic import ValidationError

from thirdlever.core import files
from thirdlever.serving import ids
from thirdlever.serving.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from pydantic import BaseModel

    _Record = TypeVar("_Record", bound=BaseModel)

Status: TypeAlias = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
TERMINAL: tuple[Status, ...] = ("succeeded", "failed", "cancelled")


class Tune(FineTuningJob):
    """A job as the protocol shows it.

    Attributes:
        status: also "paused", which the service's documentation shows and its client's type leaves out.
        user_provided_suffix: part of the tuned model's name.
    """

    status: Status  # type: ignore[assignment]
    user_provided_suffix: str | None = None


@dataclass(frozen=True)
class Job:
    """One job's folder."""

    folder: Path

    @property
    def id(self) -> str:
        """The job's name."""
        return self.folder.name

    @property
    def training(self) -> Path:
        """Where the trainer works."""
        return self.folder / "training"

    @property
    def adapter(self) -> Path:
        """Where the trainer leaves the tuned adapter."""
        return self.training / "adapter"

    def checkpoint(self, step: int) -> Path:
        """Where the trainer leaves the adapter as it was after a step."""
        return self.training / "checkpoints" / f"checkpoint-{step}"

    def read(self) -> Tune:
        """The job as it is now."""
        return Tune.model_validate_json((self.folder / "job.json").read_bytes())

    def write(self, tune: Tune) -> None:
        """Replace it; `move` is for a job that others may be writing to."""
        files.write(self.folder / "job.json", tune.to_json().encode())

    def move(self, to: Status | None, *, when: Collection[Status], **changes: object) -> bool:
        """Go to another status and change what goes with it, or do nothing.

        Args:
            to: the next status; None to stay.
            when: the statuses in which it may be done.
            changes: other attributes and their values, JSON-able.

        Returns:
            Whether it was done.
        """
        with FileLock(self.folder / "state.lock"):
            tune = self.read()
            if tune.status not in when:
                return False
            self.write(Tune.model_validate(tune.to_dict() | changes | {"status": to or tune.status}))
            return True

    # What happened

    def log(
        self, message: str, *, level: Literal["info", "warn", "error"] = "info", data: dict[str, Any] | None = None
    ) -> None:
        """Note an event; with data it is one of training's metrics."""
        event = FineTuningJobEvent(
            id=ids.new("ftevent"),
            object="fine_tuning.job.event",
            created_at=int(time.time()),
            level=level,
            message=message,
            data=data or {},
            type="metrics" if data else "message",
        )
        _append(self.folder / "events.jsonl", event.to_json(indent=None))

    def log_checkpoint(self, step: int, metrics: dict[str, float]) -> None:
        """Note that the adapter as it is after a step can be asked."""
        checkpoint = FineTuningJobCheckpoint(
            id=ids.new("ftckpt"),
            object="fine_tuning.job.checkpoint",
            created_at=int(time.time()),
            fine_tuned_model_checkpoint=f"{model_name(self.read())}:ckpt-step-{step}",
            fine_tuning_job_id=self.id,
            metrics=Metrics.model_validate(metrics),
            step_number=step,
        )
        _append(self.folder / "checkpoints.jsonl", checkpoint.to_json(indent=None))

    def events(self) -> list[FineTuningJobEvent]:
        """Newest first."""
        return _records(self.folder / "events.jsonl", FineTuningJobEvent)[::-1]

    def checkpoints(self) -> list[FineTuningJobCheckpoint]:
        """Newest first: those that the trainer has kept; one made again after a restart is shown once."""
        found = {entry.step_number: entry for entry in self._all_checkpoints()}
        return [found[step] for step in sorted(found, reverse=True) if self.checkpoint(step).is_dir()]

    def _all_checkpoints(self) -> list[FineTuningJobCheckpoint]:
        return _records(self.folder / "checkpoints.jsonl", FineTuningJobCheckpoint)


@dataclass(frozen=True)
class Jobs:
    """A folder of jobs."""

    root: Path

    def all(self) -> list[Job]:
        """Oldest first."""
        return [Job(folder) for folder in sorted(self.root.glob("ftjob-*"))]

    def get(self, name: str) -> Job:
        """One job.

        Raises:
            ApiError: 404.
        """
        job = Job(self.root / name)
        if not ids.is_a("ftjob", name) or not job.folder.is_dir():
            message = f"Could not find fine tune: {name}"
            raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="fine_tuning_job_id", code="fine_tune_not_found")
        return job


def model_name(tune: Tune) -> str:
    """What the tuned model is called: base, owner, suffix and the job."""
    return f"ft:{tune.model}:local:{tune.user_provided_suffix or ''}:{ids.tail(tune.id)}"


def _append(path: Path, line: str) -> None:
    """One system call, so that lines of two processes do not mix; what a kill left of one ends here."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"\n{line}\n".encode())
    finally:
        os.close(descriptor)


def _records(path: Path, kind: type[_Record]) -> list[_Record]:
    """The whole lines of a file; what a kill left of one is passed over."""
    found = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        if line.startswith(b"{"):
            with suppress(ValidationError):
                found.append(kind.model_validate_json(line))
    return found
