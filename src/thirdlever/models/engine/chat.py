"""A conversation as a local model reads it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from jinja2 import TemplateError

from thirdlever.models.engine import local
from thirdlever.models.engine.generate import Choices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from thirdlever.models.engine.generate import Tokens


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
        try:
            return _templated(tokenizer, turns)
        except TemplateError:  # Gemma's first templates, and Mistral's, know no system turn
            if turns[0]["role"] != "system":
                raise
            return _templated(tokenizer, _said_by_the_user(turns))
    # "Category:" and " groceries" make one block, as they would in running text.
    text = "".join(_RUNNING[turn["role"]].format(turn["content"]) for turn in turns)
    return tuple(tokenizer(text)["input_ids"])


def _templated(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> Tokens:
    encoded: Any = tokenizer.apply_chat_template(
        [dict(turn) for turn in turns], add_generation_prompt=True, return_dict=True
    )
    return tuple(encoded["input_ids"])


def _said_by_the_user(turns: Sequence[Turn]) -> list[Turn]:
    """The system's turn at the head of the user's first."""
    system, first, *rest = turns
    return [{"role": "user", "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def lead(tokenizer: PreTrainedTokenizerBase) -> str:
    """What stands between a prompt and its answer: a space where the prompt is running text."""
    return "" if tokenizer.chat_template else " "


@cache
def choices(name: str, answers: tuple[str, ...]) -> Choices:
    """A closed set of answers as a local model writes them."""
    tokenizer = local.tokenizer(name)
    end: Any = tokenizer.eos_token_id
    return Choices.of(
        [tokenizer(lead(tokenizer) + answer, add_special_tokens=False)["input_ids"] for answer in answers], end=end
    )
