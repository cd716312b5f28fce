"""Conversations, closed sets of answers and schemas as a local model's tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from jinja2 import TemplateError

from thirdlever.core.once import once
from thirdlever.models.engine import local
from thirdlever.models.engine.generate import Choices, compiled, vocabulary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from thirdlever.models.engine.generate import Grammar, Tokens


Turn: TypeAlias = "Mapping[str, str]"  # {"role": "system" | "user" | "assistant", "content": …}, as in OpenAI's API

_RUNNING = {"system": "{}\n\n", "user": "{}", "assistant": " {}\n\n"}


def encode(name: str, turns: Sequence[Turn]) -> Tokens:
    """The prompt for the next assistant turn.

    Args:
        name: the local model's name.
        turns: the conversation so far.
    """
    return prompt(local.tokenizer(name), turns)


def prompt(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> Tokens:
    """A conversation in the model's chat template, or as plain text for a base model without one."""
    if tokenizer.chat_template:
        try:
            return _templated(tokenizer, turns)
        except TemplateError:  # early templates of Gemma and Mistral reject a system turn
            if turns[0]["role"] != "system":
                raise
            return _templated(tokenizer, _system_as_user(turns))
    # "Category:" and " groceries" are adjacent, as in running text.
    text = "".join(_RUNNING[turn["role"]].format(turn["content"]) for turn in turns)
    return tuple(tokenizer(text)["input_ids"])


def _templated(tokenizer: PreTrainedTokenizerBase, turns: Sequence[Turn]) -> Tokens:
    encoded: Any = tokenizer.apply_chat_template(
        [dict(turn) for turn in turns], add_generation_prompt=True, return_dict=True
    )
    return tuple(encoded["input_ids"])


def _system_as_user(turns: Sequence[Turn]) -> list[Turn]:
    """Move the system turn to the start of the first user turn."""
    system, first, *rest = turns
    return [{"role": "user", "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def lead(tokenizer: PreTrainedTokenizerBase) -> str:
    """The text between a prompt and its answer: a space if the prompt is running text."""
    return "" if tokenizer.chat_template else " "


@once
def choices(name: str, answers: tuple[str, ...]) -> Choices:
    """A closed set of answers in a local model's tokens."""
    tokenizer = local.tokenizer(name)
    end: Any = tokenizer.eos_token_id
    return Choices.of(
        [tokenizer(lead(tokenizer) + answer, add_special_tokens=False)["input_ids"] for answer in answers], end=end
    )


@once
def grammar(name: str, schema: str) -> Grammar:
    """A JSON schema, as text, in a local model's tokens."""
    end: Any = local.tokenizer(name).eos_token_id
    return compiled(schema, _vocabulary(name), end=end)


@once
def _vocabulary(name: str) -> Any:  # noqa: ANN401 - of an optional library
    return vocabulary(local.tokenizer(name))
