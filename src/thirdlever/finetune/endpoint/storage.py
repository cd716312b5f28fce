"""Uploaded and result files: each its content and, once that is whole, its description beside it."""

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


@dataclass(frozen=True)
class Files:
    """A folder of them."""

    root: Path

    def add(
        self,
        content: BinaryIO,
        *,
        filename: str,
        purpose: Literal["fine-tune", "fine-tune-results"],
        name: str | None = None,
    ) -> FileObject:
        """Keep a file.

        Args:
            content: read to its end.
            filename: as its owner calls it; never part of a path.
            purpose: uploads are "fine-tune", results "fine-tune-results".
            name: its id; the same again replaces it.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        name = name or protocol.new("file")
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
        """One file's description.

        Raises:
            ApiError: 404.
        """
        if not protocol.is_a("file", name) or not self._description(name).is_file():
            message = f"No such File object: {name}"
            raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="id")
        return FileObject.model_validate_json(self._description(name).read_bytes())

    def path(self, name: str) -> Path:
        """Where the content is.

        Raises:
            ApiError: 404.
        """
        self.get(name)
        return self._content(name)

    def delete(self, name: str) -> None:
        """Forget a file; jobs keep their own copies.

        Raises:
            ApiError: 404.
        """
        self.get(name)
        self._description(name).unlink()
        self._content(name).unlink()

    def _content(self, name: str) -> Path:
        return self.root / f"{name}.content"

    def _description(self, name: str) -> Path:
        return self.root / f"{name}.json"


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
            id=protocol.new("ftevent"),
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
            id=protocol.new("ftckpt"),
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
        if not protocol.is_a("ftjob", name) or not job.folder.is_dir():
            message = f"Could not find fine tune: {name}"
            raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="fine_tuning_job_id", code="fine_tune_not_found")
        return job


def model_name(tune: Tune) -> str:
    """What the tuned model is called: base, owner, suffix and the job."""
    return f"ft:{tune.model}:local:{tune.user_provided_suffix or ''}:{protocol.tail(tune.id)}"


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


def create(wanted: CreateJob, *, base: str, files: Files, jobs: Jobs) -> Job:
    """Make the folder of a job, with copies of its files, so that a later deletion does not break it.

    Raises:
        ApiError: 400, no such base model or file.
    """
    if wanted.model != base:
        message = (
            f"Model {wanted.model} is not available for fine-tuning or does not exist; this endpoint tunes {base}."
        )
        raise ApiError(message, param="model", code="model_not_available")
    if wanted.method and wanted.hyperparameters:
        message = "Give 'method' or 'hyperparameters', not both; the latter is the older form."
        raise ApiError(message, param="hyperparameters", code="invalid_value")
    copies = {"training.jsonl": _path(files, wanted.training_file, "training_file")}
    if wanted.validation_file is not None:
        copies["validation.jsonl"] = _path(files, wanted.validation_file, "validation_file")
    tune = _tune(wanted)
    jobs.root.mkdir(parents=True, exist_ok=True)
    partial = Job(jobs.root / f".{tune.id}")
    partial.folder.mkdir()
    for name, source in copies.items():
        shutil.copyfile(source, partial.folder / name)
    partial.write(tune)
    partial.log(f"Created fine-tuning job: {tune.id}")
    partial.log(f"Validating training file: {tune.training_file}")
    return Job(partial.folder.rename(jobs.root / tune.id))


def _path(files: Files, name: str, param: str) -> Path:
    try:
        found = files.get(name)
    except ApiError:
        found = None
    if found is None or found.purpose != "fine-tune":
        message = f"invalid {param}: {name} is no uploaded file with the purpose 'fine-tune'."
        raise ApiError(message, param=param, code=f"invalid_{param}")
    return files.path(name)


def _tune(wanted: CreateJob) -> Tune:
    return Tune.model_validate(
        {
            "id": protocol.new("ftjob"),
            "object": "fine_tuning.job",
            "created_at": int(time.time()),
            "error": None,
            "estimated_finish": None,
            "fine_tuned_model": None,
            "finished_at": None,
            "integrations": [],
            "metadata": wanted.metadata,
            "model": wanted.model,
            "organization_id": "org-local",
            "result_files": [],
            "seed": secrets.randbelow(2**31) if wanted.seed is None else wanted.seed,
            "status": "validating_files",
            "trained_tokens": None,
            "training_file": wanted.training_file,
            "user_provided_suffix": wanted.suffix,
            "validation_file": wanted.validation_file,
        }
        | tuned_with(wanted.tuned_with)
    )


def tuned_with(hyperparameters: Hyperparameters) -> dict[str, object]:
    """Hyperparameters as a job shows them: where older clients look, and where newer ones do."""
    shown = hyperparameters.model_dump()
    return {
        "hyperparameters": shown,
        "method": {"type": "supervised", "supervised": {"hyperparameters": shown}},
    }


def training_examples(job: Job) -> list[Conversation]:
    """What to train on.

    Raises:
        FormatError: the file is malformed.
    """
    return parse((job.folder / "training.jsonl").read_bytes())


def validation_examples(job: Job) -> list[Conversation]:
    """What to measure the loss on while training; none when the job has no such file.

    Raises:
        FormatError: the file is malformed.
    """
    path = job.folder / "validation.jsonl"
    return parse(path.read_bytes(), param="validation_file", minimum=1) if path.exists() else []


def validate(job: Job) -> None:
    """Queue a job whose files can be trained on; fail the others with the first thing that is wrong."""
    try:
        examples = training_examples(job)
        validation_examples(job)
    except FormatError as fault:
        fail(job, fault.message, code=fault.code, param=fault.param)
    else:
        if job.move("queued", when={"validating_files"}):
            if several := sum(_answers(example) > 1 for example in examples):
                job.log(f"{several} examples hold more than one answer; only the last of each is learnt", level="warn")
            job.log(f"Files validated, {len(examples)} examples, moving job to queued state")


def _answers(example: Conversation) -> int:
    return sum(turn["role"] == "assistant" for turn in example)


def fail(job: Job, message: str, *, code: str, param: str | None = None) -> None:
    """End a job that has not ended yet."""
    error = {"code": code, "message": message, "param": param}
    if job.move("failed", when={"validating_files", "queued", "running"}, error=error, **ended()):
        job.log(f"The job failed: {message}", level="error")


def ended() -> dict[str, int | None]:
    """What every ended job says."""
    return {"finished_at": int(time.time()), "estimated_finish": None}


OWNER = "thirdlever"
_TUNED = re.compile(r"ft:.+:(?P<tail>[0-9a-f]{8})(:ckpt-step-(?P<step>\d{1,9}))?")


@dataclass(frozen=True)
class Models:
    """The models of an endpoint.

    Attributes:
        base: the local model that is served and tuned, as `thirdlever models` names it.
        jobs: where adapters are.
        since: Unix time from which the base is there.
    """

    base: str
    jobs: Jobs
    since: int = field(default_factory=lambda: int(time.time()))

    def all(self) -> list[Model]:
        """The base, and every tuned model that has not been deleted; checkpoints are found by name only."""
        tunes = [(job, job.read()) for job in self.jobs.all() if job.adapter.is_dir()]
        names = [(tune.fine_tuned_model, tune.finished_at) for _, tune in tunes if tune.status == "succeeded"]
        return [_model(self.base, self.since), *(_model(name, at or self.since) for name, at in names if name)]

    def get(self, name: str) -> Model:
        """One model.

        Raises:
            ApiError: 404.
        """
        self.adapter(name)
        return next((model for model in self.all() if model.id == name), _model(name, self.since))

    def adapter(self, name: str) -> Path | None:
        """The adapter that makes a model of the base; None for the base itself.

        Raises:
            ApiError: 404.
        """
        if name == self.base:
            return None
        found = self._find(name)
        if found is None:
            message = f"The model '{name}' does not exist or you do not have access to it."
            raise ApiError(message, status=HTTPStatus.NOT_FOUND, param="model", code="model_not_found")
        return found[1]

    def delete(self, name: str) -> None:
        """Remove a tuned model or a checkpoint for good.

        Raises:
            ApiError: it is the base, its job still needs it, or there is none.
        """
        adapter = self.adapter(name)
        found = self._find(name)
        if adapter is None or found is None:
            message = f"The model '{name}' is the base and cannot be deleted; tuned models can."
            raise ApiError(message, status=HTTPStatus.FORBIDDEN, param="model")
        if (status := found[0].read().status) not in TERMINAL:
            message = f"The job of '{name}' is {status} and goes on from its checkpoints; cancel it first."
            raise ApiError(message, status=HTTPStatus.CONFLICT, param="model")
        gone = adapter.with_name(f".{adapter.name}.deleted")  # in one step: nobody finds half an adapter
        adapter.rename(gone)
        shutil.rmtree(gone)

    def _find(self, name: str) -> tuple[Job, Path] | None:
        if not (match := _TUNED.fullmatch(name)):
            return None
        for job in map(Job, self.jobs.root.glob(f"ftjob-*{match['tail']}")):
            tune = job.read()
            if match["step"]:
                made, expected = job.checkpoint(int(match["step"])), f"{model_name(tune)}:ckpt-step-{match['step']}"
            else:
                made, expected = job.adapter, tune.fine_tuned_model or ""
            if name == expected and made.is_dir():
                return job, made
        return None


def _model(name: str, created: int) -> Model:
    return Model(id=name, object="model", created=created, owned_by=OWNER)
