"""What the endpoint keeps on disk: files, jobs with their events and checkpoints, and tuned models."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from filelock import FileLock
from openai.types import FileObject, Model
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from openai.types.fine_tuning.jobs.fine_tuning_job_checkpoint import Metrics
from pydantic import ValidationError

from thirdlever.core import files
from thirdlever.core.text import counted
from thirdlever.finetune.conversations import FormatError, parse
from thirdlever.finetune.endpoint import protocol
from thirdlever.finetune.endpoint.protocol import ApiError

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path
    from typing import BinaryIO

    from pydantic import BaseModel

    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.endpoint.protocol import CreateJob, Hyperparameters

    _Record = TypeVar("_Record", bound=BaseModel)

Status: TypeAlias = Literal["validating_files", "queued", "running", "paused", "succeeded", "failed", "cancelled"]
TERMINAL: tuple[Status, ...] = ("succeeded", "failed", "cancelled")
OWNER = "thirdlever"
_TUNED_NAME = re.compile(r"ft:.+:(?P<tail>[0-9a-f]{8})(:ckpt-step-(?P<step>\d{1,9}))?")


@dataclass(frozen=True)
class FileStore:
    """Uploaded and result files: the content of each and, once that is complete, its description beside it."""

    root: Path

    def add(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: Literal["fine-tune", "fine-tune-results"],
        name: str | None = None,
    ) -> FileObject:
        """Store a file; an existing one with the id `name` is replaced. `filename` is never used in a path."""
        self.root.mkdir(parents=True, exist_ok=True)
        name = name or protocol.new_id("file")
        partial = self.root / f".{name}.partial"
        try:
            with partial.open("wb") as file:
                shutil.copyfileobj(content, file)
            partial.replace(self._content(name))
        finally:
            partial.unlink(missing_ok=True)
        described = FileObject(
            id=name,
            object="file",
            bytes=self._content(name).stat().st_size,
            created_at=int(time.time()),
            filename=filename,
            purpose=purpose,
            status="processed",
        )
        files.write(self._description(name), described.to_json().encode())
        return described

    def all(self) -> list[FileObject]:
        """Oldest first."""
        return [FileObject.model_validate_json(path.read_bytes()) for path in sorted(self.root.glob("file-*.json"))]

    def get(self, name: str) -> FileObject:
        """A file's description; 404 if there is none."""
        if not protocol.is_id("file", name) or not self._description(name).is_file():
            message = f"No such File object: {name}"
            raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="id")
        return FileObject.model_validate_json(self._description(name).read_bytes())

    def path(self, name: str) -> Path:
        """A file's content; 404 if there is none."""
        self.get(name)
        return self._content(name)

    def delete(self, name: str) -> None:
        """Delete a file; jobs keep their own copies."""
        self.get(name)
        self._description(name).unlink()
        self._content(name).unlink()

    def _content(self, name: str) -> Path:
        return self.root / f"{name}.content"

    def _description(self, name: str) -> Path:
        return self.root / f"{name}.json"


class JobRecord(FineTuningJob):
    """A job as the protocol shows it."""

    status: Status  # type: ignore[assignment] # "paused" is in OpenAI's documentation, but not in its client's type
    user_provided_suffix: str | None = None

    @property
    def tuned_name(self) -> str:
        """What the tuned model is called: base, owner, suffix and the job's id."""
        return f"ft:{self.model}:local:{self.user_provided_suffix or ''}:{protocol.random_part(self.id)}"


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job."""

    folder: Path

    @property
    def id(self) -> str:
        """The job's id."""
        return self.folder.name

    @property
    def training(self) -> Path:
        """The trainer's working folder."""
        return self.folder / "training"

    def adapter(self, step: int | str | None = None) -> Path:
        """Where the trainer writes the adapter, or the checkpoint at a step."""
        return self.training / ("adapter" if step is None else f"checkpoints/checkpoint-{step}")

    def read(self) -> JobRecord:
        """The job's current state."""
        return JobRecord.model_validate_json((self.folder / "job.json").read_bytes())

    def write(self, record: JobRecord) -> None:
        """Replace the state; use `move` if other processes may write it too."""
        files.write(self.folder / "job.json", record.to_json().encode())

    def move(self, to: Status | None, *, when: Collection[Status], **changes: object) -> bool:
        """Change the status (None keeps it) and other fields if the current status is one of `when`; whether it was."""
        with FileLock(self.folder / "state.lock"):
            record = self.read()
            if record.status not in when:
                return False
            self.write(JobRecord.model_validate(record.to_dict() | changes | {"status": to or record.status}))
            return True

    def fail(self, message: str, *, code: str, param: str | None = None) -> None:
        """End a job that has not ended yet."""
        error = {"code": code, "message": message, "param": param}
        if self.move("failed", when={"validating_files", "queued", "running"}, error=error, **end_fields()):
            self.log(f"The job failed: {message}", level="error")

    def log(
        self, message: str, *, level: Literal["info", "warn", "error"] = "info", data: dict[str, Any] | None = None
    ) -> None:
        """Record an event; one with data is a training metric."""
        event = FineTuningJobEvent(
            id=protocol.new_id("ftevent"),
            object="fine_tuning.job.event",
            created_at=int(time.time()),
            level=level,
            message=message,
            data=data or {},
            type="metrics" if data else "message",
        )
        _append(self.folder / "events.jsonl", event.to_json(indent=None))

    def log_checkpoint(self, step: int, metrics: dict[str, float]) -> None:
        """Record that the adapter as of a step can be used."""
        checkpoint = FineTuningJobCheckpoint(
            id=protocol.new_id("ftckpt"),
            object="fine_tuning.job.checkpoint",
            created_at=int(time.time()),
            fine_tuned_model_checkpoint=f"{self.read().tuned_name}:ckpt-step-{step}",
            fine_tuning_job_id=self.id,
            metrics=Metrics.model_validate(metrics),
            step_number=step,
        )
        _append(self.folder / "checkpoints.jsonl", checkpoint.to_json(indent=None))

    def events(self) -> list[FineTuningJobEvent]:
        """Newest first."""
        return _records(self.folder / "events.jsonl", FineTuningJobEvent)[::-1]

    def checkpoints(self) -> list[FineTuningJobCheckpoint]:
        """Those that still exist, newest first; one written again after a restart is listed once."""
        records = _records(self.folder / "checkpoints.jsonl", FineTuningJobCheckpoint)
        found = {record.step_number: record for record in records}
        return [found[step] for step in sorted(found, reverse=True) if self.adapter(step).is_dir()]

    def training_examples(self) -> list[Conversation]:
        """The training file's content; raises `FormatError`."""
        return parse((self.folder / "training.jsonl").read_bytes())

    def validation_examples(self) -> list[Conversation]:
        """The validation file's content, empty without such a file; raises `FormatError`."""
        path = self.folder / "validation.jsonl"
        return parse(path.read_bytes(), param="validation_file", minimum=1) if path.exists() else []

    def validate(self) -> None:
        """Queue the job if its files can be used for training; otherwise fail it with the first error found."""
        try:
            examples = self.training_examples()
            self.validation_examples()
        except FormatError as error:
            self.fail(error.message, code=error.code, param=error.param)
            return
        if self.move("queued", when={"validating_files"}):
            answers = [sum(turn["role"] == "assistant" for turn in example) for example in examples]
            if several := sum(count > 1 for count in answers):
                self.log(f"{several} examples have several answers; only the last of each is trained on", level="warn")
            self.log(f"Files validated, {counted(len(examples), 'example')}, moving job to queued state")


def end_fields() -> dict[str, int | None]:
    """Fields that every ended job has."""
    return {"finished_at": int(time.time()), "estimated_finish": None}


def _append(path: Path, line: str) -> None:
    """Append in one system call, so that processes cannot interleave; a line break ends an interrupted line."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, f"\n{line}\n".encode())
    finally:
        os.close(descriptor)


def _records(path: Path, kind: type[_Record]) -> list[_Record]:
    """The complete lines of a file; lines that a kill cut off are skipped."""
    found = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        if line.startswith(b"{"):
            with suppress(ValidationError):
                found.append(kind.model_validate_json(line))
    return found


@dataclass(frozen=True)
class JobStore:
    """A folder of jobs."""

    root: Path

    def all(self) -> list[JobFolder]:
        """Oldest first."""
        return [JobFolder(folder) for folder in sorted(self.root.glob("ftjob-*"))]

    def get(self, name: str) -> JobFolder:
        """The job with this id; 404 if there is none."""
        job = JobFolder(self.root / name)
        if not protocol.is_id("ftjob", name) or not job.folder.is_dir():
            message = f"Could not find fine tune: {name}"
            raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="fine_tuning_job_id", code="fine_tune_not_found")
        return job

    def create(self, request: CreateJob, *, base: str, uploads: FileStore) -> JobFolder:
        """Create a job with copies of its files, which may then be deleted; 400 if the model or a file is missing."""
        if request.model != base:
            message = f"Model {request.model} is not available for fine-tuning; this endpoint tunes {base}."
            raise ApiError(message, param="model", code="model_not_available")
        if request.method and request.hyperparameters:
            message = "Pass either 'method' or the older 'hyperparameters', not both."
            raise ApiError(message, param="hyperparameters", code="invalid_value")
        copies = {"training.jsonl": _upload(uploads, request.training_file, "training_file")}
        if request.validation_file is not None:
            copies["validation.jsonl"] = _upload(uploads, request.validation_file, "validation_file")
        record = _new_record(request)
        self.root.mkdir(parents=True, exist_ok=True)
        partial = JobFolder(self.root / f".{record.id}")
        partial.folder.mkdir()
        for name, source in copies.items():
            shutil.copyfile(source, partial.folder / name)
        partial.write(record)
        partial.log(f"Created fine-tuning job: {record.id}")
        partial.log(f"Validating training file: {record.training_file}")
        return JobFolder(partial.folder.rename(self.root / record.id))


def _upload(uploads: FileStore, name: str, param: str) -> Path:
    with suppress(ApiError):
        if uploads.get(name).purpose == "fine-tune":
            return uploads.path(name)
    message = f"invalid {param}: {name} is not an uploaded file with the purpose 'fine-tune'."
    raise ApiError(message, param=param, code=f"invalid_{param}")


def _new_record(request: CreateJob) -> JobRecord:
    unknown = ("error", "estimated_finish", "fine_tuned_model", "finished_at", "trained_tokens")
    return JobRecord.model_validate(
        {
            "id": protocol.new_id("ftjob"),
            "object": "fine_tuning.job",
            "created_at": int(time.time()),
            "integrations": [],
            "organization_id": "org-local",
            "result_files": [],
            "seed": secrets.randbelow(2**31) if request.seed is None else request.seed,
            "status": "validating_files",
            "user_provided_suffix": request.suffix,
        }
        | dict.fromkeys(unknown)
        | request.model_dump(include={"model", "training_file", "validation_file", "metadata"})
        | hyperparameter_fields(request.chosen_hyperparameters)
    )


def hyperparameter_fields(chosen: Hyperparameters) -> dict[str, object]:
    """Hyperparameters as a job shows them, where older and newer clients look."""
    shown = chosen.model_dump()
    return {"hyperparameters": shown, "method": {"type": "supervised", "supervised": {"hyperparameters": shown}}}


@dataclass(frozen=True)
class ModelStore:
    """The base model and the models tuned from it.

    Attributes:
        base: the local model that is served and tuned, as `thirdlever models` names it.
        jobs: whose folders contain the adapters.
        since: when serving the base started, in Unix time.
    """

    base: str
    jobs: JobStore
    since: int = field(default_factory=lambda: int(time.time()))

    def all(self) -> list[Model]:
        """The base and every tuned model that has not been deleted; checkpoints are available but not listed."""
        records = [job.read() for job in self.jobs.all() if job.adapter().is_dir()]
        tuned = [
            _model(record.fine_tuned_model, record.finished_at or self.since)
            for record in records
            if record.status == "succeeded" and record.fine_tuned_model
        ]
        return [_model(self.base, self.since), *tuned]

    def get(self, name: str) -> Model:
        """A model or a checkpoint; 404 if there is none."""
        self.adapter(name)
        return next((model for model in self.all() if model.id == name), _model(name, self.since))

    def adapter(self, name: str) -> Path | None:
        """A model's adapter, None for the base itself; 404 if there is no such model."""
        return None if name == self.base else self._find(name)[1]

    def delete(self, name: str) -> None:
        """Delete a tuned model or a checkpoint, unless its job still needs it."""
        if name == self.base:
            message = f"The model '{name}' is the base and cannot be deleted; tuned models can."
            raise ApiError(message, status=HTTPStatus.FORBIDDEN, param="model")
        job, adapter = self._find(name)
        if (status := job.read().status) not in TERMINAL:
            message = f"The job of '{name}' is {status} and needs its checkpoints; cancel it first."
            raise ApiError(message, status=HTTPStatus.CONFLICT, param="model")
        deleted = adapter.with_name(f".{adapter.name}.deleted")  # in one step, so that no request finds half an adapter
        adapter.rename(deleted)
        shutil.rmtree(deleted)

    def _find(self, name: str) -> tuple[JobFolder, Path]:
        match = _TUNED_NAME.fullmatch(name)
        tail, step = (match["tail"], match["step"]) if match else ("", None)
        for job in map(JobFolder, self.jobs.root.glob(f"ftjob-*{tail}") if tail else ()):
            record, adapter = job.read(), job.adapter(step)
            expected = f"{record.tuned_name}:ckpt-step-{step}" if step else record.fine_tuned_model
            if name == expected and adapter.is_dir():
                return job, adapter
        message = f"The model '{name}' does not exist or you do not have access to it."
        raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="model", code="model_not_found")


def _model(name: str, created: int) -> Model:
    return Model(id=name, object="model", created=created, owned_by=OWNER)
