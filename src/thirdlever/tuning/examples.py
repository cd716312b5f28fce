"""Labelled items as training conversations, in the chat format that every fine-tuning API takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

from thirdlever.prompting.frame import messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thirdlever.suites.suite import Item, Suite

Conversation: TypeAlias = "Sequence[Mapping[str, str]]"  # turns of role and content; the last is the assistant's


def conversations(suite: Suite, items: Iterable[Item]) -> list[Conversation]:
    """What a model is tuned on: the very prompt that `ask(suite, brief=True)` will put to it, and the right answer."""
    return [
        [
            *({"role": turn.role, "content": turn.text} for turn in messages(suite, item.input, brief=True)),
            {"role": "assistant", "content": item.target},
        ]
        for item in items
    ]


def to_jsonl(examples: Iterable[Conversation]) -> str:
    """One `{"messages": […]}` a line."""
    return "".join(json.dumps({"messages": list(turns)}, ensure_ascii=False) + "\n" for turns in examples)
