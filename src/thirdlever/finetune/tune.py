"""Tune a local model on labelled items, once, and manage the adapters in the store."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.core import project
from thirdlever.core.errors import ModelError, StrategyError, need, require, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, progress
from thirdlever.core.text import counted
from thirdlever.finetune.settings import Settings, set_base_name
from thirdlever.models.engine import local
from thirdlever.strategies.contract import SetupCost, Tuning

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from thirdlever.core.store import Store
    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.settings import TrainingStep
    from thirdlever.models.base import BaseModel
    from thirdlever.suites.suite import Item, Suite

KIND = "adapter"  # the store's folder for tuned models


@dataclass(frozen=True, slots=True)
class Tuned:
    """A tuned model.

    Attributes:
        model: to be used with `ask(suite, brief=True)`.
        setup: what tuning cost; labels are counted for local tuning only.
        tuning: its description.
        dev_loss: on dev at the epoch that was kept, in nats per token; None without dev, or if not reported.
    """

    model: BaseModel
    setup: SetupCost
    tuning: Tuning
    dev_loss: float | None = None


def tune(
    suite: Suite,
    model: BaseModel,
    store: Store,
    examples: Sequence[Item],
    *,
    dev: Sequence[Item] = (),
    settings: Settings | None = None,
) -> Tuned:
    """Tune a local model on items, or find an earlier result; resumes from the last checkpoint after a kill.

    Args:
        suite: defines the prompt for each item.
        model: a local one.
        store: keeps the result, an adapter or for "full" a whole model, and its card `artefact.json`.
        examples: items to learn.
        dev: items by which the best epoch is chosen.
        settings: how to train.

    Raises:
        StrategyError: the model is not local, or the method cannot run on this machine.
        MissingExtraError: the `local` extra is not installed.
    """
    from thirdlever.finetune.conversations import conversations

    settings = settings or Settings()
    _check(model, examples)
    shown, shown_dev = conversations(suite, examples), conversations(suite, dev)
    depends = {
        "suite": suite.name,
        "base": model.plain_name,
        "revision": model.revision,
        "examples": len(shown),
        "dev": len(shown_dev),
        "data": content_hash([list(map(list, shown)), list(map(list, shown_dev))]),
        "settings": asdict(replace(settings, batch_size=settings.batch(len(shown)))),
    }
    build = partial(_train, model.plain_name, shown, shown_dev, settings)
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
        _best_dev_loss(facts),
    )


def _best_dev_loss(facts: Mapping[str, Any]) -> float | None:
    return min((row["dev_loss"] for row in facts["curve"] if "dev_loss" in row), default=None)


def _check(model: BaseModel, examples: Sequence[Item]) -> None:
    if not model.local:
        message = f"{model.name!r} cannot be trained here; use the strategy managed, or a local model such as embedded"
        raise StrategyError(message)
    if "adapter" in model.args:
        message = (
            f"{model.name!r} is an adapter and cannot be tuned further; merge it into its base first, with "
            "thirdlever adapters merge or peft's merge_and_unload()"
        )
        raise StrategyError(message)
    require("torch", "transformers", "peft", "accelerate", extra="local")
    if not examples:
        message = "there are no examples to train on; give 1 or more"
        raise StrategyError(message)


def _train(
    model: str, examples: list[Conversation], dev: list[Conversation], settings: Settings, folder: Path
) -> dict[str, Any]:
    project.hide_datasets()
    import torch

    from thirdlever.finetune.distributed import train_distributed
    from thirdlever.finetune.trainer import train

    epochs = f"{'up to ' * (settings.epochs == 'auto')}{settings.most_epochs} x"
    title = f"{settings.method}: training on {epochs} {counted(len(examples), 'example')}"
    devices = torch.cuda.device_count()
    steps = settings.most_epochs * math.ceil(len(examples) / settings.batch(len(examples), processes=max(1, devices)))
    run = partial(train_distributed, processes=devices) if devices > 1 else train
    with progress(title, steps) as advance:
        on_step = _reporter(title, advance)
        done = run(model, examples, into=folder, settings=settings, dev=dev, on_step=on_step)
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


def _reporter(title: str, advance: Callable[[], None]) -> Callable[[TrainingStep], bool]:
    done = 0

    def report(step: TrainingStep) -> bool:
        nonlocal done
        if step.loss is not None:
            for _ in range(step.step - done):  # several if a resumed run starts in the middle
                advance()
            done = step.step
        if step.dev_loss is not None:
            share = f"{100 * (step.dev_accuracy or 0.0):.0f} % of answer tokens right"
            note(f"{title}: after epoch {step.epoch:.0f}, loss {step.dev_loss:.3f} on dev, {share}")
        return True

    return report


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A tuned model in the store.

    Attributes:
        key: hash of everything that it depends on.
        home: its folder in the store; `folder` is the one of the weights.
        facts: its card: `of` holds what it depends on, the rest the results.
        suite: name of the suite whose examples it was trained on.
        base: the base model's name.
        method: such as "lora".
        rank: of the adapter; None if the whole model was trained.
        examples: number of training examples.
        epochs: passes over the examples.
        dev_loss: loss on dev at the epoch that was kept; None without dev.
        bytes: size of the weights.
    """

    key: str
    home: Path
    folder: Path
    facts: Mapping[str, Any]
    suite: str
    base: str
    method: str
    rank: int | None
    examples: int
    epochs: float
    dev_loss: float | None
    bytes: int

    @classmethod
    def of(cls, home: Path, facts: Mapping[str, Any]) -> Adapter:
        """The adapter with this folder and card."""
        made_of, settings = facts["of"], facts["of"]["settings"]
        return cls(
            key=home.name,
            home=home,
            folder=home / facts["folder"],
            facts=facts,
            suite=made_of["suite"],
            base=made_of["base"],
            method=settings["method"],
            rank=None if settings["method"] == "full" else settings["rank"],
            examples=made_of["examples"],
            epochs=facts["epochs"],
            dev_loss=_best_dev_loss(facts),
            bytes=facts["bytes"],
        )

    def card(self) -> str:
        """The card as JSON, with the loss curve last."""
        about = {key: value for key, value in self.facts.items() if key != "curve"}
        return json.dumps({"key": self.key, **about, "curve": self.facts["curve"]}, indent=2)

    def remove(self) -> None:
        """Delete it from the store."""
        shutil.rmtree(self.home)

    def export(self, to: Path) -> None:
        """Copy the weights to a new folder, with the base model's public name."""
        partial = _partial(to)
        shutil.copytree(self.folder, partial)
        set_base_name(partial, local.PUBLIC_NAMES.get(self.base, self.base.removeprefix("hf/")))
        partial.rename(to)

    def merge(self, to: Path) -> None:
        """Write base and adapter as one model to a new folder."""
        if self.method == "full":
            message = f"{self.key[:8]} is already a whole model; copy it with: thirdlever adapters export"
            raise ModelError(message)
        partial = _partial(to)
        need("peft", extra="local")
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        from thirdlever.models.bundled import quiet

        with quiet():
            # Summed in float32 and rounded once.
            options: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}
            base: Any = AutoModelForCausalLM.from_pretrained(local.folder(self.base), **options)
            merged: Any = PeftModel.from_pretrained(base, str(self.folder)).merge_and_unload()
            merged.to(torch.bfloat16).save_pretrained(partial)
        local.tokenizer(self.base).save_pretrained(partial)
        partial.rename(to)


def _partial(to: Path) -> Path:
    """A folder to write before it is renamed to `to`."""
    if to.exists():
        message = f"{str(to)!r} already exists; give a new folder"
        raise ModelError(message)
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f".{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    return partial


def adapters() -> list[Adapter]:
    """All tuned models in the store, newest first."""
    cards = sorted((project.STORE / KIND).glob("*/artefact.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [Adapter.of(path.parent, json.loads(path.read_text("utf-8"))) for path in cards]


def find(key: str) -> Adapter:
    """The only adapter whose key starts with `key`."""
    found = adapters()
    matching = [adapter for adapter in found if key and adapter.key.startswith(key)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        message = f"{len(matching)} adapters have a key that starts with {key!r}; give more characters"
        raise ModelError(message)
    raise ModelError(unknown("adapter", key, [adapter.key[:8] for adapter in found]))
