"""A new job: its folder, whole or not there."""

from __future__ import annotations

import secrets
import shutil
import time
from typing import TYPE_CHECKING

from thirdlever.serving import ids
from thirdlever.serving.errors import ApiError
from thirdlever.serving.jobs import Job, Tune

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.serving.bodies import CreateJob, Hyperparameters
    from thirdlever.serving.files import Files
    from thirdlever.serving.jobs import Jobs


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
            "id": ids.new("ftjob"),
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
