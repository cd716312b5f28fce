"""A model made ready for training: adapters beside frozen weights, or every weight."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from thirdlever.core.errors import MissingExtraError, ModelError, StrategyError, need
from thirdlever.models.engine import local
from thirdlever.models.engine.weights import best_dtype, device, quiet

if TYPE_CHECKING:
    from thirdlever.tuning.settings import Settings

_SHORT = 512  # tokens; up to here plain matrix products train faster on a CPU than its fused attention


def devices() -> int:
    """How many processes train together, one a device: as many as the launcher has started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def window(model: str) -> int | None:
    """Tokens that a local model can take; None when its configuration does not say."""
    return getattr(_config(model), "max_position_embeddings", None)


def width(model: str) -> int:
    """Size of a local model's hidden states."""
    return int(_config(model).hidden_size)


def _config(model: str) -> Any:  # noqa: ANN401 - each architecture has its own
    return AutoConfig.from_pretrained(local.folder(model)).get_text_config()


def load(model: str, settings: Settings, *, longest: int) -> Any:  # noqa: ANN401 - a peft or a plain model
    """Load a local model for training.

    Args:
        model: its name.
        settings: how it is to be trained.
        longest: tokens of the longest example.

    Raises:
        StrategyError: the method cannot run on this machine.
        MissingExtraError: a library that the method needs is not installed.
        ModelError: the weights cannot be loaded.
    """
    on = device()
    full = settings.method == "full"
    options: dict[str, Any] = {
        "dtype": torch.float32 if full else best_dtype(on),  # bfloat16 cannot hold an optimiser's small changes
        "attn_implementation": "eager" if on.type == "cpu" and longest <= _SHORT else "sdpa",
        "use_safetensors": True,
    }
    if settings.method == "qlora":
        options["quantization_config"] = _four_bits(on)
    if on.type == "cuda":
        options["device_map"] = {"": int(os.environ.get("LOCAL_RANK", "0"))}
    try:
        with quiet():
            base = AutoModelForCausalLM.from_pretrained(local.folder(model), **options)
    except (OSError, ValueError) as error:
        message = f"cannot load model {model!r} for training: {error}; give a folder with safetensors weights"
        raise ModelError(message) from error
    if full:
        return base
    peft = need("peft", extra="local")
    if settings.method == "qlora":
        base = peft.prepare_model_for_kbit_training(base)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    with quiet():
        tuned = peft.get_peft_model(base, config)
    for layer in tuned.modules():
        # Adapters are float32. peft would turn all that comes in into float32 too; autocast turns the adapter, a
        # hundredth as large, into the weights' dtype, and a step takes two thirds of the time.
        if hasattr(layer, "cast_input_dtype_enabled"):
            layer.cast_input_dtype_enabled = False
    return tuned


def _four_bits(on: torch.device) -> Any:  # noqa: ANN401 - a quantisation configuration
    if on.type != "cuda":
        message = "method=qlora needs an NVIDIA GPU, and there is none here; use method=lora"
        raise StrategyError(message)
    try:
        need("bitsandbytes", extra="qlora")
    except MissingExtraError:
        raise
    except (ImportError, RuntimeError, OSError) as error:
        message = f"method=qlora: bitsandbytes does not run on this GPU ({error}); use method=lora"
        raise StrategyError(message) from error
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(  # type: ignore[no-untyped-call]
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
