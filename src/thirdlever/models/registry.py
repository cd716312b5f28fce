"""Base models by the names that users give: the embedded one, local weights, and any model string of inspect's."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from thirdlever.core.errors import ModelError, unknown
from thirdlever.models.base import BaseModel
from thirdlever.models.engine import local

_HOSTED = {  # provider prefix: the environment variable that holds its key
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GOOGLE_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "together": "TOGETHER_API_KEY",
}
_SERVED = {  # prefix: where it runs
    "openai-api": "any endpoint of OpenAI's protocol; <model>: <service>/<model>; <SERVICE>_BASE_URL, _API_KEY",
    "vllm": "a vLLM server: VLLM_BASE_URL, or started on this machine's GPU",
    "ollama": "an Ollama server on this machine",
}


@dataclass(frozen=True, slots=True)
class Available:
    """A line of `thirdlever models`.

    Attributes:
        name: what to pass as `--model`.
        kind: "local", "hosted" or "served".
        where: where it runs and what it needs.
        ready: whether it could be used now; None where only a request would tell.
    """

    name: str
    kind: str
    where: str
    ready: bool | None


def available() -> list[Available]:
    """What can be passed as `--model`."""
    from thirdlever.models import bundled

    installed = all(importlib.util.find_spec(module) for module in ("torch", "transformers", "gguf"))
    extra = "" if installed else "; needs: python -m pip install 'thirdlever[local]'"
    fetched = "in the cache" if bundled.LLM.ready else "run: thirdlever models pull embedded"
    return [
        Available("embedded", "local", f"SmolLM2-135M-Instruct, {fetched}{extra}", installed and bundled.LLM.ready),
        Available("hf/<folder or hub id>", "local", f"safetensors weights or a peft adapter{extra}", installed or None),
        *[
            Available(
                f"{prefix}/<model>",
                "hosted",
                f"{key} {'is set' if key in os.environ else 'is not set'}",
                key in os.environ,
            )
            for prefix, key in _HOSTED.items()
        ],
        *[Available(f"{prefix}/<model>", "served", where, None) for prefix, where in _SERVED.items()],
    ]


def pull(name: str) -> None:
    """Fetch a local model into the cache; one that is there is left as it is.

    Raises:
        ModelError: it is no local model, or cannot be fetched.
    """
    if name == local.EMBEDDED:
        from thirdlever.models import bundled

        bundled.embedder_folder()
    elif not name.startswith(local.HF):
        raise ModelError(unknown("model to pull", name, [local.EMBEDDED, "hf/<hub id>"]))
    local.folder(name)


def resolve(name: str) -> BaseModel:
    """The base model of a name.

    Raises:
        ModelError: no such model, or no key for it.
        MissingExtraError: what it runs on is not installed.
    """
    if name == local.EMBEDDED or name.startswith(local.HF):
        return _adapted(name) or _local(name)
    if "/" not in name:
        raise ModelError(
            unknown("model", name, [local.EMBEDDED, "hf/<folder or hub id>", *_named(_HOSTED), *_named(_SERVED)])
        )
    return BaseModel(name=name, inspect_name=name, revision=name, context_window=_connect(name))


def _local(name: str) -> BaseModel:
    local.require_extra()
    if name == local.EMBEDDED:  # what is pinned is known before it is fetched, and `null` never needs it
        from thirdlever.models import bundled

        return _base(name, bundled.LLM.sha256, bundled.CONTEXT_WINDOW)
    where = local.folder(name)
    try:
        config = json.loads((where / "config.json").read_text("utf-8"))
    except ValueError as error:
        message = f"{where / 'config.json'} is not JSON ({error}); save the model again with save_pretrained()"
        raise ModelError(message) from error
    config |= config.get("text_config", {})
    return _base(name, local.revision(name), config.get("max_position_embeddings"))


def _adapted(name: str) -> BaseModel | None:
    """A base with the adapter of a folder on top; None when the name is no adapter's folder.

    Raises:
        ModelError: its description cannot be read, or its base cannot be had.
    """
    folder = Path(name.removeprefix(local.HF)).expanduser()
    described = folder / "adapter_config.json"
    if not described.is_file() or (folder / "config.json").exists():
        return None
    try:
        of = str(json.loads(described.read_text("utf-8"))["base_model_name_or_path"])
    except (ValueError, KeyError, TypeError) as error:
        message = f"{described} does not name a base model ({error!r}); save the adapter again with save_pretrained()"
        raise ModelError(message) from error
    own = next((ours for ours, public in local.PUBLIC_NAMES.items() if of in {ours, public}), None)
    base = resolve(own or (of if of.startswith(local.HF) else f"{local.HF}{of}"))
    digest = hashlib.sha256()
    for path in sorted([described, *folder.glob("*.safetensors")]):
        digest.update(path.name.encode() + path.read_bytes())
    return replace(base.tuned(folder, key=digest.hexdigest(), whole=False), name=name)


def _base(name: str, revision: str, window: int | None) -> BaseModel:
    return BaseModel(
        name=name,
        inspect_name=f"thirdlever/{name}",
        revision=revision,
        local=True,
        context_window=window,
        tokens=lambda text: len(local.tokenizer(name)(text, add_special_tokens=False)["input_ids"]),
    )


def _connect(name: str) -> int | None:
    """The context window, as far as inspect knows; and its client, so that a missing key is told before any work."""
    from inspect_ai._util.error import PrerequisiteError  # inspect raises it and exports it nowhere
    from inspect_ai.model import get_model, get_model_info

    try:
        info = get_model_info(get_model(name))
    except PrerequisiteError as error:
        said = re.sub(r"\[/?\w+\]", "", str(error)).replace("ERROR:", "").splitlines()
        plain = ": ".join(filter(None, (line.strip() for line in said))).rstrip(".")
        message = f"model {name!r} cannot be used: {plain}; provide that and run the same command again"
        raise ModelError(message) from error
    except ValueError as error:
        known = [local.EMBEDDED, "hf/<folder or hub id>", *_named(_HOSTED), *_named(_SERVED)]
        raise ModelError(unknown("model", name, known)) from error
    return info.context_length if info else None


def _named(prefixes: dict[str, str]) -> list[str]:
    return [f"{prefix}/<model>" for prefix in prefixes]
