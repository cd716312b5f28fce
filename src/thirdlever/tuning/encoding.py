"""Training conversations as tensors, laid out so that logits are computed where there is loss and nowhere else.

Only the last turn, the answer, is learnt. Rows are padded on the left: all answers then end in the last column, and
`logits_to_keep`, which every causal model of transformers takes, covers them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import torch

from thirdlever.errors import StrategyError
from thirdlever.models import chat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from thirdlever.tuning.examples import Conversation

IGNORED = -100  # transformers' and torch's label for "no loss here"


class Encoded(TypedDict):
    """One example: its tokens, of which the last `answer` are learnt."""

    input_ids: list[int]
    answer: int


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Conversation], window: int | None = None
) -> list[Encoded]:
    """Tokens of prompt and answer, the answer closed by the end-of-sequence token.

    Args:
        tokenizer: the model's.
        examples: conversations whose last turn is the assistant's.
        window: tokens that the model can take; None for any number.

    Raises:
        StrategyError: an example does not fit.
    """
    encoded: list[Encoded] = []
    end: Any = tokenizer.eos_token_id
    for number, turns in enumerate(examples, start=1):
        prompt = chat.prompt(tokenizer, turns[:-1])
        text = chat.lead(tokenizer) + turns[-1]["content"]
        answer = [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
        if window is not None and len(prompt) + len(answer) > window:
            message = (
                f"training example {number} has {len(prompt) + len(answer)} tokens, and the model takes {window}; "
                "shorten it or leave it out"
            )
            raise StrategyError(message)
        encoded.append({"input_ids": [*prompt, *answer], "answer": len(answer)})
    return encoded


def collate(batch: Sequence[Encoded]) -> dict[str, Any]:
    """A batch of B examples, the longest of L tokens and the longest answer of A.

    Returns:
        `input_ids`, `attention_mask` and `position_ids` [B, L], `logits_to_keep` [A + 2], the positions that matter,
        and `labels` [B, A + 2]: the token that each of these must predict. Their first column never has a loss, so
        that they count the same whether or not the trainer takes them for shifted.
    """
    longest = max(len(row["input_ids"]) for row in batch)
    keep = max(row["answer"] for row in batch) + 2
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full((len(batch), keep), IGNORED)
    for i, row in enumerate(batch):
        tokens = torch.tensor(row["input_ids"])
        ids[i, longest - len(tokens) :] = tokens
        mask[i, longest - len(tokens) :] = 1
        labels[i, keep - 1 - row["answer"] : keep - 1] = tokens[-row["answer"] :]
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": (mask.cumsum(1) - 1).clamp(min=0),
        # A number would give a slice, and torch multiplies a slice by first copying the vocabulary for every row.
        "logits_to_keep": torch.arange(longest - keep, longest),
        "labels": labels,
    }
