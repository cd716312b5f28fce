"""Tiny random models with the architectures that people use, exact in float32, and a tokenizer to go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from thirdlever.models.engine.weights import load

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.models.engine.weights import Weights

VOCABULARY = 64
SIZE = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
}
CONFIGS = {
    "llama": transformers.LlamaConfig,
    "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config,
    "mistral": lambda **size: transformers.MistralConfig(**size, sliding_window=None),
    "granite": transformers.GraniteConfig,
    "olmo2": transformers.Olmo2Config,
}
UNSUPPORTED = {
    "gemma3": lambda **size: transformers.Gemma3TextConfig(**size, sliding_window=8),
    "mistral-sliding": lambda **size: transformers.MistralConfig(**size, sliding_window=8),
}


def save(folder: Path, make: Any = CONFIGS["llama"], seed: int = 0) -> Path:  # noqa: ANN401 - a config class
    """Write a random model and its tokenizer."""
    torch.manual_seed(seed)
    config = make(**SIZE)
    config.initializer_range = 0.3  # so that what comes first changes what comes next
    factory: Any = transformers.AutoModelForCausalLM
    model = factory.from_config(config)
    model.save_pretrained(folder)
    words = {f"w{i}": i for i in range(3, VOCABULARY)} | {"<pad>": 0, "<s>": 1, "</s>": 2}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<pad>"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = WhitespaceSplit()
    wrap: Any = transformers.PreTrainedTokenizerFast
    fast = wrap(tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>")  # noqa: S106
    fast.save_pretrained(folder)
    return folder


def weights(folder: Path, make: Any = CONFIGS["llama"]) -> Weights:  # noqa: ANN401
    """Write and load one in float32."""
    return loaded(save(folder, make))


def loaded(folder: Path) -> Weights:
    """One that was written, in float32."""
    return load(str(folder), dtype=torch.float32)


def generate(folder: Path, tokens: tuple[int, ...], new: int) -> list[int]:
    """What plain transformers makes of one prompt, greedily."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    output = model.generate(
        torch.tensor([tokens]), attention_mask=torch.ones(1, len(tokens)), max_new_tokens=new, do_sample=False
    )
    return [int(token) for token in output[0, len(tokens) :]]
