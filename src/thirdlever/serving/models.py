"""What can be asked: the base model, and the adapters that jobs have left."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING

from openai.types import Model

from thirdlever.serving.errors import ApiError
from thirdlever.serving.jobs import TERMINAL, Job, Jobs, model_name

if TYPE_CHECKING:
    from pathlib import Path

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
