"""A conversation as a local model reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.models import local

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from thirdlever.models.prefixes import Tokens

Turn: TypeAlias = (
    "Mapping[str, str]"  # {"role": "system" | "user" | "assistant", "content": …}, as OpenAI's protocol has it
)

_RUNNING = {"system": "{}\n\n", "user": "{}", "assistant": " {}\n\n"}


def encode(name: str, turns: Sequence[Turn]) -> Tokens:
    """The prompt that asks a local model for the next assistant's turn.

    Args:
        name: of the local model.
        turns: the conversation so far.
    """
    return prompt(local.tokenizer(name), turns)


def prompt(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> Tokens:
    """A conversation as the model's own chat template puts it; as plain text for a base model that has none."""
    if tokenizer.chat_template:
        encoded: Any = tokenizer.apply_chat_template(
            [dict(turn) for turn in turns], add_generation_prompt=True, return_dict=True
        )
        return tuple(encoded["input_ids"])
    # "Category:" and " groceries" make one block, as they would in running text.
    text = "".join(_RUNNING[turn["role"]].format(turn["content"]) for turn in turns)
    return tuple(tokenizer(text)["input_ids"])


def lead(tokenizer: PreTrainedTokenizerBase) -> str:
    """What stands between a prompt and its answer: a space where the prompt is running text."""
    return "" if tokenizer.chat_template else " "
