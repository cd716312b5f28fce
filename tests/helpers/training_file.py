"""Fine-tuning files: valid ones, and lines that are malformed."""

from __future__ import annotations

import json
from typing import Any

ASK = {"role": "user", "content": "POS 123"}
ANSWER = {"role": "assistant", "content": "fuel"}
LINE = json.dumps({"messages": [ASK, ANSWER]})


def file(*lines: str, good: int = 10) -> str:
    return "\n".join([*[LINE] * good, *lines])


def messages(*turns: Any) -> str:  # noqa: ANN401 - also what is no turn
    return json.dumps({"messages": turns})


FAULTS = {
    "not json": ("{'messages': []}", "not JSON"),
    "cut off": (LINE[:-5], "not JSON"),
    "nested too deeply": ("[" * 100_000, "not JSON"),
    "a list": ("[1]", "a JSON list, not an object"),
    "prompt and completion": ('{"prompt": "a", "completion": "b"}', "prompt-completion format"),
    "no messages": ('{"message": []}', "'messages' is missing"),
    "messages is a text": ('{"messages": "a"}', "list of at least one turn"),
    "no turns": ('{"messages": []}', "list of at least one turn"),
    "a turn is a text": (messages("a", ANSWER), "message 1 is not an object"),
    "unknown role": (messages({"role": "human", "content": "a"}, ANSWER), "message 1 has the role 'human'"),
    "role is a list": (messages({"role": [], "content": "a"}, ANSWER), "message 1 has the role []"),
    "no role": (messages({"content": "a"}, ANSWER), "message 1 has the role None"),
    "no content": (messages({"role": "user"}, ANSWER), "content of message 1 must be a string"),
    "content is a number": (
        messages(ASK, {"role": "assistant", "content": 1}),
        "content of message 2 must be a string",
    ),
    "half a character": (messages({"role": "user", "content": "\ud83d"}, ANSWER), "half a surrogate pair"),
    "last turn the user's": (messages(ASK, ANSWER, ASK), "the last message has the role 'user'"),
    "nothing to learn": (messages(ASK, {"role": "assistant", "content": " "}), "the last message is empty"),
    "a weight": (messages(ASK, {**ANSWER, "weight": 0}), "message 2 has 'weight', which training would ignore"),
    "tools": (json.dumps({"messages": [ASK, ANSWER], "tools": []}), "an example has 'tools'"),
}
