"""What was tuned here: found by its key, shown, exported, merged into its base, removed."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core import project
from thirdlever.core.errors import ModelError, need, unknown
from thirdlever.models.engine import local
from thirdlever.tuning.tune import KIND

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


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
