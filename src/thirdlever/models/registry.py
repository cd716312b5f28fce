"""Base models by name: the embedded one, local weights, and any model string of inspect's."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core.errors import ModelError, unknown
from thirdlever.models.base import BaseModel, outside_notebook
from thirdlever.models.engine import local
from thirdlever.models.parameters import joined, split

if TYPE_CHECKING:
    from inspect_ai.model import ModelInfo

_ENGINE_TAKES = ("max_tokens", "temperature", "top_p")
_HOSTED = {  # prefix: environment variable of the key
    "openai": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "google": "GOOGLE_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "together": "TOGETHER_API_KEY",
}
_SERVED = {  # prefix: where it runs
    "openai-api": "any OpenAI-compatible endpoint; <model>: <service>/<model>; <SERVICE>_BASE_URL, _API_KEY",
    "vllm": "a vLLM server: VLLM_BASE_URL, or started on this machine's GPU",
    "ollama": "an Ollama server on this machine",
}
_FIXED = re.compile(r"\d+|/")
_ALIKE = 0.85  # of difflib's ratio: a typo, not another model
_HF = "hf/<folder or hub id>"
_KNOWN = [local.EMBEDDED, _HF, *(f"{prefix}/<model>" for prefix in (*_HOSTED, *_SERVED))]


@dataclass(frozen=True, slots=True)
class Available:
    """A line of `thirdlever models`.

    Attributes:
        name: value for `--model`.
        kind: "local", "hosted" or "served".
        where: where it runs and what it needs.
        ready: whether it can be used now; None if only a request would show.
    """

    name: str
    kind: str
    where: str
    ready: bool | None


def available() -> list[Available]:
    """The values that `--model` accepts."""
    from thirdlever.models import bundled

    installed = all(importlib.util.find_spec(module) for module in ("torch", "transformers", "gguf"))
    extra = "" if installed else "; needs: python -m pip install 'thirdlever[local]'"
    cached = "in the cache" if bundled.LLM.ready else "run: thirdlever models pull embedded"
    hosted = [(prefix, key, key in os.environ) for prefix, key in _HOSTED.items()]
    return [
        Available("embedded", "local", f"SmolLM2-135M-Instruct, {cached}{extra}", installed and bundled.LLM.ready),
        Available(_HF, "local", f"safetensors weights or a peft adapter{extra}", installed or None),
        *[
            Available(f"{name}/<model>", "hosted", f"{key} is {'' if ok else 'not '}set", ok)
            for name, key, ok in hosted
        ],
        *[Available(f"{prefix}/<model>", "served", where, None) for prefix, where in _SERVED.items()],
    ]


def pull(name: str) -> None:
    """Download a local model into the cache, unless it is there.

    Raises:
        ModelError: it is not a local model, or cannot be downloaded.
    """
    if name == local.EMBEDDED:
        from thirdlever.models import bundled

        bundled.embedder_folder()
    elif not name.startswith(local.HF):
        raise ModelError(unknown("model to pull", name, [local.EMBEDDED, "hf/<hub id>"]))
    local.folder(name)


def resolve(name: str) -> BaseModel:
    """The base model of a name, with the settings in it: `openai/gpt-5.1:effort=low`.

    Raises:
        ModelError: the model does not exist, does not take a setting, or its key is missing.
        MissingExtraError: a required package is not installed.
    """
    plain, settings = split(name)
    model = _resolve(plain)
    for setting in settings:
        if model.local and setting not in _ENGINE_TAKES:
            message = f"model {name!r}: " + unknown("setting", setting, _ENGINE_TAKES)
            raise ModelError(message)
    return replace(model, name=joined(plain, settings), settings=settings)


def _resolve(name: str) -> BaseModel:
    if name == local.EMBEDDED or name.startswith(local.HF):
        return _adapted(name) or _local(name)
    if "/" not in name:
        raise ModelError(unknown("model", name, _KNOWN, meant=_meant(name)))
    info = _info(name)
    return BaseModel(
        name=name,
        inspect_name=name,
        revision=name,
        context_window=info.context_length if info else None,
        reasons=True,  # inspect knows for some that they do, and for none that they do not
        max_output=info.output_tokens if info else None,
    )


def _local(name: str) -> BaseModel:
    local.require_extra()
    if name == local.EMBEDDED:  # its facts are known without a download, and `null` never needs its weights
        from thirdlever.models import bundled

        return _base(name, bundled.LLM.sha256, bundled.CONTEXT_WINDOW)
    path = local.folder(name) / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        message = f"{path} is not JSON ({error}); save the model again with save_pretrained()"
        raise ModelError(message) from error
    config |= config.get("text_config", {})
    window = config.get("max_position_embeddings")
    return replace(_base(name, local.revision(name), window), reasons=local.reasons(name))


def _adapted(name: str) -> BaseModel | None:
    """A base model with the adapter in a folder; None if the folder has no adapter.

    Raises:
        ModelError: the adapter's description is unreadable, or its base model is unavailable.
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


def _meant(name: str) -> str | None:
    """The hosted model that a name resembles, among those that genai-prices lists; None if it is listed itself."""
    from genai_prices.data_snapshot import get_snapshot

    listed = {provider.id: provider for provider in get_snapshot().providers}
    service, _, model = name.partition("/") if "/" in name else ("", "", name)
    among = [each for each in _HOSTED if each in listed and (each == service or service not in _HOSTED)]
    for each in among:
        if listed[each].find_model(model):
            return None if each == service else f"{each}/{model}"
    # Another number is another model, and another part of a path another host: neither is a typo.
    known = {
        found.id: f"{each}/{found.id}"
        for each in reversed(among)
        for found in listed[each].models
        if _FIXED.findall(found.id) == _FIXED.findall(model)
    }
    near = difflib.get_close_matches(model, known, n=1, cutoff=_ALIKE)
    return known[near[0]] if near else None


def _info(name: str) -> ModelInfo | None:
    """What inspect knows of a hosted model. Creates the client, so that a missing key fails early."""
    from inspect_ai._util.error import PrerequisiteError  # inspect raises it but does not export it
    from inspect_ai.model import get_model, get_model_info

    try:
        with outside_notebook():
            return get_model_info(get_model(name))
    except PrerequisiteError as error:
        lines = re.sub(r"\[/?\w+\]", "", str(error)).replace("ERROR:", "").splitlines()
        reason = ": ".join(filter(None, (line.strip() for line in lines))).rstrip(".")
        message = f"model {name!r} cannot be used: {reason}; provide that and repeat the command"
        key = _HOSTED.get(name.partition("/")[0])
        if key and key in reason and key not in os.environ:
            message = f"model {name!r} cannot be used: {key} is not set; set it and repeat the command"
        if key and (meant := _meant(name)):
            message = f"model {name!r} is not a known model; did you mean {meant!r}? Otherwise: {reason}"
        raise ModelError(message) from error
    except ValueError as error:
        raise ModelError(unknown("model", name, _KNOWN, meant=_meant(name))) from error
