"""Training conversations as tensors, laid out to avoid redundant computation.

Only the last turn, the answer, is learned, and logits are computed for it alone. Rows are padded on the left, so that
all answers end in the last column and `logits_to_keep`, which all causal models in transformers accept, covers them.
The prefix that all prompts of a batch share, mainly the instruction, passes through the model once: its keys and values
are repeated for the rows and their gradients added up, which gives the same result as computing them for each row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

import torch

from thirdlever.core.errors import StrategyError
from thirdlever.core.text import counted
from thirdlever.models.engine import chat
from thirdlever.models.engine.generate import common

if TYPE_CHECKING:
    from collections.abc import Sequence

    from transformers import PreTrainedTokenizerBase

    from thirdlever.finetune.conversations import Conversation


IGNORED = -100  # transformers' and torch's label for "no loss here"
_SHORTEST_PREFIX = 8  # tokens; a shorter prefix is not worth a separate pass


class Encoded(TypedDict):
    """An example's tokens, of which the last `answer` are learned."""

    input_ids: list[int]
    answer: int


def encode(
    tokenizer: PreTrainedTokenizerBase, examples: Sequence[Conversation], window: int | None = None
) -> list[Encoded]:
    """Tokens of prompt and answer; the answer ends with the end-of-sequence token.

    Raises:
        StrategyError: an example has more tokens than the model's `window`.
    """
    encoded: list[Encoded] = []
    end: Any = tokenizer.eos_token_id
    for number, turns in enumerate(examples, start=1):
        prompt = chat.prompt(tokenizer, turns[:-1])
        text = chat.lead(tokenizer) + turns[-1]["content"]
        answer = [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
        if window is not None and len(prompt) + len(answer) > window:
            size = counted(len(prompt) + len(answer), "token")
            message = f"training example {number} has {size}, the model accepts {window:,}; shorten it or omit it"
            raise StrategyError(message)
        encoded.append({"input_ids": [*prompt, *answer], "answer": len(answer)})
    return encoded


def collate(batch: Sequence[Encoded]) -> dict[str, Any]:
    """A batch of B examples: P tokens of shared prefix, at most L further tokens, at most A tokens of answer.

    Returns:
        `prefix` [1, P]; `input_ids` and `position_ids` [B, L]; `attention_mask` [B, P + L]; `logits_to_keep` [A + 2],
        the positions with a loss, and `labels` [B, A + 2], the token that each of these must predict. The labels' first
        column never has a loss, so that their number is the same whether or not the trainer shifts them.
    """
    shared = _shared(batch)
    longest = max(len(row["input_ids"]) for row in batch) - shared
    keep = max(row["answer"] for row in batch) + 2
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    labels = torch.full((len(batch), keep), IGNORED)
    for i, row in enumerate(batch):
        tokens = torch.tensor(row["input_ids"][shared:])
        ids[i, longest - len(tokens) :] = tokens
        mask[i, longest - len(tokens) :] = 1
        labels[i, keep - 1 - row["answer"] : keep - 1] = tokens[-row["answer"] :]
    return {
        "prefix": torch.tensor([batch[0]["input_ids"][:shared]], dtype=torch.long),
        "input_ids": ids,
        "attention_mask": torch.cat([torch.ones(len(batch), shared, dtype=torch.long), mask], 1),
        "position_ids": shared + (mask.cumsum(1) - 1).clamp(min=0),
        # Not a number, which would give a slice: to multiply it, torch first copies the vocabulary for every row.
        "logits_to_keep": torch.arange(longest - keep, longest),
        "labels": labels,
    }


def _shared(batch: Sequence[Encoded]) -> int:
    """Length of the shared prefix, at least two tokens shorter than any prompt, for the labels' first columns."""
    first, *rest = (row["input_ids"] for row in batch)
    least = min(len(row["input_ids"]) - row["answer"] for row in batch) - 2
    longest_answer = max(row["answer"] for row in batch)
    room = min(len(row["input_ids"]) for row in batch) - longest_answer - 2  # every row includes the first label
    shared = min([max(0, min(least, room)), *(common(first, ids) for ids in rest)])
    return shared if shared >= _SHORTEST_PREFIX else 0


def kept_logits(model: Any, batch: dict[str, Any]) -> Any:  # noqa: ANN401 - a causal model and its output
    """The model's output for a batch from `collate`; its `logits` are [B, A + 2, vocabulary]."""
    rest = {name: value for name, value in batch.items() if name not in {"prefix", "labels"}}
    prefix = batch["prefix"]
    if not prefix.shape[1]:
        return model(**rest, use_cache=False)
    known = model(input_ids=prefix, use_cache=True, logits_to_keep=1).past_key_values
    known.batch_repeat_interleave(len(rest["input_ids"]))
    return model(**rest, past_key_values=known, use_cache=True)
