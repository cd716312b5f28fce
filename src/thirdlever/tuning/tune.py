"""Tuning a local model on labelled items, once, with what that cost."""

from __future__ import annotations

import math
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.core import project
from thirdlever.core.errors import StrategyError, require
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, progress
from thirdlever.strategies.contract import SetupCost, Tuning
from thirdlever.tuning.examples import conversations
from thirdlever.tuning.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.suites.suite import Item, Suite
    from thirdlever.tuning.settings import Step

KIND = "adapter"  # where the store keeps what was tuned


@dataclass(frozen=True, slots=True)
class Tuned:
    """A tuned model.

    Attributes:
        model: to ask with `ask(suite, brief=True)`.
        setup: what tuning took.
        tuning: what it came to.
        dev_loss: on dev at the epoch that was kept, in nats a token; None without a dev.
    """

    model: BaseModel
    setup: SetupCost
    tuning: Tuning
    dev_loss: float | None


def tune(
    suite: Suite,
    model: BaseModel,
    store: Store,
    examples: Sequence[Item],
    *,
    dev: Sequence[Item] = (),
    settings: Settings | None = None,
) -> Tuned:
    """Tune a local model on items, or find it tuned; a run that was killed goes on from its last checkpoint.

    Args:
        suite: how the items are put to the model.
        model: a local one.
        store: where the result is kept: an adapter, a whole model for "full", with its card `artefact.json`.
        examples: what to learn.
        dev: what to choose the best epoch by.
        settings: how to train.

    Raises:
        StrategyError: the model is not local, or the method cannot run on this machine.
        MissingExtraError: without the `local` extra.
    """
    settings = settings or Settings()
    if not model.local:
        message = f"{model.name!r} cannot be trained here; use the strategy managed, or a local model such as embedded"
        raise StrategyError(message)
    if "adapter" in model.args:
        message = (
            f"{model.name!r} is an adapter, and another cannot be trained on top; merge it into its base first, by "
            "thirdlever adapters merge or peft's merge_and_unload()"
        )
        raise StrategyError(message)
    require("torch", "transformers", "peft", "accelerate", extra="local")
    if not examples:
        message = "no example to train on; give 1 or more"
        raise StrategyError(message)
    shown, shown_dev = conversations(suite, examples), conversations(suite, dev)
    depends = {
        "suite": suite.name,
        "base": model.name,
        "revision": model.revision,
        "examples": len(shown),
        "dev": len(shown_dev),
        "data": content_hash([list(map(list, shown)), list(map(list, shown_dev))]),
        "settings": asdict(settings),
    }

    def build(folder: Path) -> dict[str, Any]:
        project.hide_datasets()
        import torch

        from thirdlever.tuning.together import train_together
        from thirdlever.tuning.training import train

        epochs = f"{'up to ' * (settings.epochs == 'auto')}{settings.most_epochs} x"
        title = f"{settings.method}: training on {epochs} {len(shown)} examples"
        steps = settings.most_epochs * math.ceil(len(shown) / settings.batch_size)
        with progress(title, steps) as advance:
            done_before = 0  # a run that goes on has steps behind it

            def told(step: Step) -> bool:
                nonlocal done_before
                if step.loss is not None:
                    for _ in range(step.step - done_before):
                        advance()
                    done_before = step.step
                if step.dev_loss is not None:
                    share = f"{100 * (step.dev_accuracy or 0.0):.0f} % of answer tokens right"
                    note(f"{title}: after epoch {step.epoch:.0f}, loss {step.dev_loss:.3f} on dev, {share}")
                return True

            devices = torch.cuda.device_count()
            everywhere = partial(train_together, processes=devices) if devices > 1 else train
            done = everywhere(model.name, shown, into=folder, settings=settings, dev=shown_dev, on_step=told)
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        shutil.rmtree(folder / "best", ignore_errors=True)
        return {
            "folder": done.folder.name,
            "tokens": done.tokens,
            "epochs": done.epochs,
            "curve": list(done.curve),
            "trained_seconds": done.seconds,
            "device_seconds": done.device_seconds,
            "bytes": sum(path.stat().st_size for path in done.folder.glob("*.safetensors")),
        }

    artefact = store.once(KIND, of=depends, build=build, resume=True)
    facts, folder = artefact.facts, artefact.folder / artefact.facts["folder"]
    return Tuned(
        model.tuned(folder, key=artefact.folder.name, whole=settings.method == "full"),
        SetupCost(
            labels=len(shown) + len(shown_dev),
            seconds=facts["trained_seconds"],
            device_seconds=facts["device_seconds"],
        ),
        Tuning(
            method=settings.method,
            where="local",
            examples=len(shown),
            epochs=facts["epochs"],
            tokens=facts["tokens"],
            bytes=facts["bytes"],
        ),
        min((row["dev_loss"] for row in facts["curve"] if "dev_loss" in row), default=None),
    )
