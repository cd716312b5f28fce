"""Labelled items as training conversations, in the chat format that every fine-tuning API takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.core.errors import ThirdleverError
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


MINIMUM = 10  # examples in a training file, as OpenAI has it
ROLES = ("system", "user", "assistant")
_SHOWN = 40  # characters of a broken line in a message


class FormatError(ThirdleverError):
    """A fine-tuning file that cannot be trained on, told as OpenAI's asynchronous validation tells it.

    Attributes:
        code: "invalid_n_examples" for too few, else "invalid_<param>".
        message: the sentence.
        param: "training_file" or "validation_file".
        line: of the file, from 1; None when the file as a whole is at fault.
    """

    def __init__(self, message: str, *, param: str, line: int | None = None, code: str | None = None) -> None:
        """One sentence that names the cause and the remedy."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.line = line
        self.code = code or f"invalid_{param}"


def parse(text: str | bytes, *, param: str = "training_file", minimum: int = MINIMUM) -> list[Conversation]:
    """The conversations of a file; empty lines are passed over.

    Args:
        text: the file's content.
        param: what the file is to the job; errors carry it.
        minimum: examples that there must be at least.

    Raises:
        FormatError: at the first line that does not fit, or for too few lines.
    """
    if isinstance(text, bytes):
        text = _decode(text, param)
    # Not splitlines(): JSON strings may hold U+2028 and the like, which it would split at.
    lines = ((number, line) for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1) if line.strip())
    found = [_example(line, number, param) for number, line in lines]
    if len(found) < minimum:
        message = f"the file has {len(found)} examples, but must have at least {minimum}; add {minimum - len(found)}"
        raise FormatError(message, param=param, code="invalid_n_examples")
    return found


def _decode(data: bytes, param: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line} is not UTF-8; save the file as UTF-8"
        raise FormatError(message, param=param, line=line) from error


def _example(line: str, number: int, param: str) -> Conversation:
    try:
        return _conversation(_object(line))
    except _FaultError as fault:
        message = f"line {number}: {fault}"
        raise FormatError(message, param=param, line=number) from fault


class _FaultError(Exception):
    """What is wrong with one line."""


def _object(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:  # the latter for thousands of nested brackets
        message = f"not JSON (it starts with {line[:_SHOWN]!r}); write one JSON object a line"
        raise _FaultError(message) from error
    if not isinstance(found, dict):
        message = f"a JSON {type(found).__name__}, not an object; write {{'messages': […]}}"
        raise _FaultError(message)
    return found


def _conversation(example: dict[str, Any]) -> Conversation:
    if "prompt" in example and "completion" in example:
        message = "in the prompt-completion format; chat models take {'messages': […]}"
        raise _FaultError(message)
    if "messages" not in example:
        message = "the key 'messages' is missing; write {'messages': […]}"
        raise _FaultError(message)
    _only(example, ("messages",), "an example")
    turns = example["messages"]
    if not isinstance(turns, list) or not turns:
        message = "'messages' must be a list of at least one turn"
        raise _FaultError(message)
    found = [_turn(turn, place) for place, turn in enumerate(turns, 1)]
    if found[-1]["role"] != "assistant":
        message = f"the last message is the {found[-1]['role']}'s; it must be the assistant's, the answer to learn"
        raise _FaultError(message)
    if not found[-1]["content"].strip():
        message = "the last message is empty; it must be the answer to learn"
        raise _FaultError(message)
    return found


def _turn(turn: object, place: int) -> dict[str, str]:
    if not isinstance(turn, dict):
        message = f"message {place} is no object; write {{'role': …, 'content': …}}"
        raise _FaultError(message)
    role, content = turn.get("role"), turn.get("content")
    if role not in ROLES:
        message = f"message {place} has the role {role!r}; use {', '.join(ROLES)}"
        raise _FaultError(message)
    if not isinstance(content, str):
        message = f"the content of message {place} must be a text"
        raise _FaultError(message)
    if any("\ud800" <= character <= "\udfff" for character in content):
        message = f"message {place} holds half a surrogate pair (\\ud800 to \\udfff); write the whole character"
        raise _FaultError(message)
    _only(turn, ("role", "content"), f"message {place}")
    return {"role": role, "content": content}


def _only(found: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    if extra := sorted(set(found) - set(known)):
        message = f"{where} has {extra[0]!r}, which training would not see; keep {' and '.join(known)} only"
        raise _FaultError(message)
