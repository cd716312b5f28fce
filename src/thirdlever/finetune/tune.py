"""Tuning a local model on labelled items, once, with what that cost."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.core import project
from thirdlever.core.errors import ModelError, StrategyError, need, require, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, progress
from thirdlever.finetune.conversations import conversations
from thirdlever.finetune.settings import Settings
from thirdlever.models.engine import local
from thirdlever.strategies.contract import SetupCost, Tuning

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.core.store import Store
    from thirdlever.finetune.settings import Step
    from thirdlever.models.base import BaseModel
    from thirdlever.suites.suite import Item, Suite


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

        from thirdlever.finetune.distributed import train_together
        from thirdlever.finetune.trainer import train

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


@dataclass(frozen=True, slots=True)
class Adapter:
    """One tune in the store.

    Attributes:
        key: hash of everything that it depended on.
        home: its folder in the store.
        facts: its card: `of` has what it was made of, the rest what it came to.
    """

    key: str
    home: Path
    facts: Mapping[str, Any]

    @property
    def suite(self) -> str:
        """Whose examples it was trained on."""
        return str(self.facts["of"]["suite"])

    @property
    def base(self) -> str:
        """The base model's name."""
        return str(self.facts["of"]["base"])

    @property
    def method(self) -> str:
        """Such as "lora"."""
        return str(self.facts["of"]["settings"]["method"])

    @property
    def rank(self) -> int | None:
        """Of the adapter; None for a whole model."""
        return None if self.method == "full" else int(self.facts["of"]["settings"]["rank"])

    @property
    def examples(self) -> int:
        """Rows that it was trained on."""
        return int(self.facts["of"]["examples"])

    @property
    def epochs(self) -> float:
        """Passes over them."""
        return float(self.facts["epochs"])

    @property
    def dev_loss(self) -> float | None:
        """Of the epoch that was kept; None without a dev split."""
        return min((row["dev_loss"] for row in self.facts["curve"] if "dev_loss" in row), default=None)

    @property
    def bytes(self) -> int:
        """Its size."""
        return int(self.facts["bytes"])

    @property
    def folder(self) -> Path:
        """Where its weights are."""
        return self.home / str(self.facts["folder"])

    def card(self) -> str:
        """Its card as JSON, the loss curve last."""
        about = {key: value for key, value in self.facts.items() if key != "curve"}
        return json.dumps({"key": self.key, **about, "curve": self.facts["curve"]}, indent=2)

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.home)

    def export(self, to: Path) -> None:
        """Copy it to a new folder, with its base under the name by which others know it.

        Raises:
            ModelError: the folder is there already.
        """
        partial = _beside(to)
        shutil.copytree(self.folder, partial)
        described = partial / "adapter_config.json"
        if described.is_file():
            base = local.PUBLIC_NAMES.get(self.base, self.base.removeprefix("hf/"))
            about = json.loads(described.read_text("utf-8")) | {"base_model_name_or_path": base}
            described.write_text(json.dumps(about, indent=2), "utf-8")
        partial.rename(to)

    def merge(self, to: Path) -> None:
        """Write base and adapter as one model to a new folder.

        Raises:
            ModelError: the folder is there already, or it is a whole model as it is.
            MissingExtraError: without the `local` extra.
        """
        if self.method == "full":
            message = f"{self.key[:8]} is a whole model already; copy it with: thirdlever adapters export"
            raise ModelError(message)

        partial = _beside(to)
        need("peft", extra="local")
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        from thirdlever.models.engine.weights import quiet

        with quiet():
            # Added up in float32 and rounded once.
            options: dict[str, Any] = {"dtype": torch.float32, "use_safetensors": True}
            base: Any = AutoModelForCausalLM.from_pretrained(local.folder(self.base), **options)
            merged: Any = PeftModel.from_pretrained(base, str(self.folder)).merge_and_unload()
            merged.to(torch.bfloat16).save_pretrained(partial)
        local.tokenizer(self.base).save_pretrained(partial)
        partial.rename(to)


def every() -> list[Adapter]:
    """All tunes in the store, the newest first."""
    cards = sorted((project.STORE / KIND).glob("*/artefact.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    return [Adapter(path.parent.name, path.parent, json.loads(path.read_text("utf-8"))) for path in cards]


def find(key: str) -> Adapter:
    """The one whose key begins so.

    Raises:
        ModelError: none or several do.
    """
    found = every()
    matching = [one for one in found if key and one.key.startswith(key)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        message = f"{len(matching)} adapters have a key that begins with {key!r}; give more of it"
        raise ModelError(message)
    raise ModelError(unknown("adapter", key, [one.key[:8] for one in found]))


def _beside(to: Path) -> Path:
    """A folder to write to before it gets its name."""
    if to.exists():
        message = f"{str(to)!r} is there already; give a folder that is not"
        raise ModelError(message)
    to.parent.mkdir(parents=True, exist_ok=True)
    partial = to.with_name(f".{to.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    return partial
