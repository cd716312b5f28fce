"""Local models by name: where their weights are, and one engine and tokenizer each in a process."""

from __future__ import annotations

import hashlib
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core.errors import ModelError, need, require

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from thirdlever.models.engine.engine import Engine


EMBEDDED = "embedded"
HF = "hf/"
PUBLIC_NAMES = {EMBEDDED: "HuggingFaceTB/SmolLM2-135M-Instruct"}  # what others call it
_one_at_a_time = threading.Lock()
_NEEDED = ["*.safetensors", "*.json", "*.txt", "*.jinja", "*.model"]


def require_extra() -> None:
    """Make sure that local models can run.

    Raises:
        MissingExtraError: without the `local` extra.
    """
    require("torch", "transformers", "accelerate", "gguf", extra="local")


@cache
def folder(name: str) -> Path:
    """Where the weights of "embedded" or "hf/<folder or hub id>" are, fetched first when they are not there.

    Raises:
        ModelError: no such folder, and no such model on the hub or the hub cannot be reached.
        MissingExtraError: without the `local` extra.
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
                message = f"{wanted!r} has no {needed} and is no model's folder; save one there with save_pretrained()"
                raise ModelError(message)
        return path.resolve()
    hub = need("huggingface_hub", extra="local")
    try:
        return Path(hub.snapshot_download(wanted, allow_patterns=_NEEDED))
    except (OSError, ValueError, need("httpx2", extra="local").HTTPError) as error:
        reason = type(error).__name__
        message = (
            f"model {name!r} not found: there is no folder {wanted!r}, and the Hugging Face hub gave {reason}; "
            "give a folder with safetensors weights or a hub id that can be reached"
        )
        raise ModelError(message) from error


@cache
def revision(name: str) -> str:
    """sha256 over the configuration and the weights: two names with the same weights have the same."""
    digest = hashlib.sha256()
    where = folder(name)
    for path in sorted([*where.glob("config.json"), *where.glob("*.safetensors"), *where.glob("tokenizer.json")]):
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


@cache
def tokenizer(name: str) -> PreTrainedTokenizerBase:
    """The model's tokenizer, without its weights."""
    from thirdlever.models.engine.weights import load_tokenizer

    return load_tokenizer(str(folder(name)))


def engine(name: str) -> Engine:
    """The model's engine: one a process, however many ask, so that weights are held once; they load at first use."""
    with _one_at_a_time:  # a cache alone calls twice when two threads ask at once
        return _engine(name)


@cache
def _engine(name: str) -> Engine:
    from thirdlever.models.engine.engine import Engine
    from thirdlever.models.engine.weights import load

    return Engine(lambda: load(str(folder(name))))
