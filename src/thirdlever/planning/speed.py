"""How fast this machine trains: from what it trained before, else from a few steps whose result is thrown away."""

from __future__ import annotations

import contextlib
import itertools
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.core import project

if TYPE_CHECKING:
    from thirdlever.finetune.settings import Method, Step
    from thirdlever.models.base import BaseModel
    from thirdlever.planning.rehearsal import Training
    from thirdlever.suites.suite import Suite

LARGEST = 2e9  # bytes of weights; of a larger model nothing is tried on a CPU, for a plan is to take a minute
_BACKWARD = 3  # a trained token takes a pass forward and, twice as long, one backward
_STEPS = 3  # of the optimiser, the first of which warms up
_EXAMPLES = 128


def cheap(base: BaseModel) -> bool:
    """Whether trying a local model takes seconds."""
    if not base.local:
        return False
    if not base.inspect_name.startswith("thirdlever/"):
        return True
    from thirdlever.models.engine import local
    from thirdlever.models.engine.weights import device

    weights = local.folder(base.inspect_name.removeprefix("thirdlever/")).glob("*.safetensors")
    return device().type != "cpu" or sum(path.stat().st_size for path in weights) <= LARGEST


def work(training: Training) -> float:
    """Tokens' passes forward that a training is worth."""
    return _BACKWARD * training.tokens + training.dev_tokens


def rate(base: BaseModel, method: str, suite: Suite) -> tuple[float, str] | None:
    """Passes forward a second while training, and where that is from; None when it cannot be told."""
    return _before(base, method) or (_tried(base, method, suite) if cheap(base) else None)


def _before(base: BaseModel, method: str) -> tuple[float, str] | None:
    passes = seconds = 0.0
    found = [json.loads(path.read_text("utf-8")) for path in (project.STORE / "adapter").glob("*/artefact.json")]
    for facts in found:
        of: dict[str, Any] = facts["of"]
        if (of["base"], of["settings"]["method"]) != (base.name, method):
            continue
        each = facts["tokens"] / of["examples"]  # all epochs together
        passes += _BACKWARD * facts["tokens"] + of["dev"] * each
        seconds += facts["trained_seconds"]
    return (passes / seconds, "earlier trainings in .thirdlever/store") if seconds else None


def _tried(base: BaseModel, method: str, suite: Suite) -> tuple[float, str]:
    from thirdlever.finetune.conversations import conversations
    from thirdlever.finetune.settings import Settings, Stopped
    from thirdlever.finetune.trainer import train
    from thirdlever.planning.artefacts import example_tokens

    ends: list[float] = []

    def told(step: Step) -> bool:
        if step.loss is not None:
            ends.append(time.perf_counter())
        return len(ends) < _STEPS

    wanted: Method = method  # type: ignore[assignment]  # one of its values, see `Training`
    settings = Settings(method=wanted, epochs=1)
    items = itertools.islice(itertools.cycle(suite.train.items), _EXAMPLES)
    shown = conversations(suite, items)
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(Stopped):
        train(base.name, shown, into=Path(folder), settings=settings, on_step=told)
    steps = len(ends) - 1
    passes = _BACKWARD * settings.batch_size * example_tokens(suite, base) * steps
    return passes / (ends[-1] - ends[0]), f"{steps} steps of training tried here"
