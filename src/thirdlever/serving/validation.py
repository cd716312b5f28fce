"""Asynchronous validation: a job's files are read after it was created, and what is wrong with them fails the job."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from thirdlever.tuning.chat_format import FormatError, parse

if TYPE_CHECKING:
    from thirdlever.serving.jobs import Job
    from thirdlever.tuning.examples import Conversation


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
