"""Local models by name: their folder, revision, tokenizer and engine, each loaded once per process."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core.errors import ModelError, need, require
from thirdlever.core.once import once

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from thirdlever.models.engine.engine import Engine


EMBEDDED = "embedded"
HF = "hf/"
PUBLIC_NAMES = {EMBEDDED: "HuggingFaceTB/SmolLM2-135M-Instruct"}  # names on the Hugging Face hub
_NEEDED = ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"]


def require_extra() -> None:
    """Check that local models can run.

    Raises:
        MissingExtraError: the `local` extra is not installed.
    """
    require("torch", "transformers", "accelerate", "gguf", extra="local")


@cache
def folder(name: str) -> Path:
    """Folder of the weights of "embedded" or "hf/<folder or hub id>", downloaded if necessary.

    Raises:
        ModelError: the folder does not exist, and the hub has no such model or is unreachable.
        MissingExtraError: the `local` extra is not installed.
    """
    require_extra()
    if name == EMBEDDED:
        from thirdlever.models import bundled

        return bundled.llm_folder()
    wanted = name.removeprefix(HF)
    path = Path(wanted).expanduser()
    if path.is_dir():
        for needed in ("config.json", "*.safetensors"):
            if not any(path.glob(needed)):
                message = f"{wanted!r} has no {needed}, so it is not a model; save one there with save_pretrained()"
                raise ModelError(message)
        return path.resolve()
    hub = need("huggingface_hub", extra="local")
    try:
        return Path(hub.snapshot_download(wanted, allow_patterns=_NEEDED))
    except (OSError, ValueError, need("httpx2", extra="local").HTTPError) as error:
        reason = type(error).__name__
        message = (
            f"model {name!r} not found: no folder {wanted!r} exists, and the Hugging Face hub raised {reason}; "
            "give a folder with safetensors weights or the id of a model on the hub"
        )
        raise ModelError(message) from error


@once
def revision(name: str) -> str:
    """sha256 of configuration, weights and tokenizer; equal for two names of the same model."""
    digest = hashlib.sha256()
    where = folder(name)
    for path in sorted([*where.glob("config.json"), *where.glob("*.safetensors"), *where.glob("tokenizer.json")]):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def reasons(name: str) -> bool:
    """Whether the model's chat template has a place for reasoning."""
    templates = ("chat_template.jinja", "tokenizer_config.json")
    found = [path for path in map(folder(name).joinpath, templates) if path.is_file()]
    return any("<think>" in path.read_text("utf-8") for path in found)


@once
def tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer; its weights are not loaded."""
    from thirdlever.models.engine.weights import load_tokenizer

    return load_tokenizer(str(folder(name)))


@once
def engine(name: str) -> Engine:
    """The model's engine, one per process so that the weights are in memory once; they load at the first request."""
    from thirdlever.models.engine.engine import Engine
    from thirdlever.models.engine.weights import load

    return Engine(lambda: load(str(folder(name))))
