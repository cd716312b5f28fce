"""Training conversations: built from labelled items, and read and written as the JSONL of fine-tuning APIs.

A provider whose safety checks block a file names a category at most, never the rows. A local list of ordinary words
that get harmless data blocked, such as products called "tactical knife", finds rows to look at; it is no verdict on
them.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thirdlever.core.errors import ThirdleverError
from thirdlever.core.text import counted
from thirdlever.prompting.frame import messages

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pydantic_core import ErrorDetails

    from thirdlever.suites.suite import Item, Suite


Conversation: TypeAlias = "Sequence[Mapping[str, str]]"  # turns with role and content; the last is the assistant's
Role: TypeAlias = Literal["system", "user", "assistant"]
MINIMUM = 10  # examples in a training file, as OpenAI requires
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHOWN_CHARS = 40  # of a malformed line, in an error message


def conversations(suite: Suite, items: Iterable[Item]) -> list[Conversation]:
    """For each item the prompt that `ask(suite, brief=True)` will send, and the correct answer."""
    return [
        [
            *({"role": turn.role, "content": turn.text} for turn in messages(suite, item, brief=True)),
            {"role": "assistant", "content": suite.right_answer(item)},
        ]
        for item in items
    ]


def to_jsonl(examples: Iterable[Conversation]) -> str:
    """One `{"messages": […]}` per line."""
    return "".join(json.dumps({"messages": list(turns)}, ensure_ascii=False) + "\n" for turns in examples)


class FormatError(ThirdleverError):
    """A fine-tuning file cannot be used for training; reported as OpenAI's asynchronous validation does.

    Attributes:
        code: "invalid_n_examples" for too few, else "invalid_<param>".
        message: the cause and what to do.
        param: "training_file" or "validation_file".
        line: in the file, from 1; None if the file as a whole is at fault.
    """

    def __init__(self, message: str, *, param: str, line: int | None = None, code: str | None = None) -> None:
        """Take the attributes."""
        super().__init__(message)
        self.message = message
        self.param = param
        self.line = line
        self.code = code or f"invalid_{param}"


class _Turn(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: Role
    content: str


class _Example(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    messages: Annotated[list[_Turn], Field(min_length=1)]


def parse(text: str | bytes, *, param: str = "training_file", minimum: int = MINIMUM) -> list[Conversation]:
    """The conversations in a file; empty lines are skipped.

    Raises:
        FormatError: at the first malformed line, or if there are fewer than `minimum` examples.
    """
    if isinstance(text, bytes):
        text = _decode(text, param)
    # Not splitlines(), which would also split at U+2028 and others that JSON strings may contain.
    lines = ((number, line) for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1) if line.strip())
    found = []
    for number, line in lines:
        try:
            found.append(_conversation(line))
        except ValueError as error:
            message = f"line {number}: {error}"
            raise FormatError(message, param=param, line=number) from error
    if len(found) < minimum:
        size = counted(len(found), "example")
        message = f"the file has {size}, but must have at least {minimum}; add {minimum - len(found)}"
        raise FormatError(message, param=param, code="invalid_n_examples")
    return found


def problems(examples: Iterable[Conversation]) -> Iterator[tuple[int, str]]:
    """Every example that `parse` would refuse, by its number from 1, and why."""
    for number, example in enumerate(examples, 1):
        try:
            _conversation(to_jsonl([example]))
        except ValueError as error:
            yield number, str(error)


def _decode(data: bytes, param: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        message = f"line {line} is not UTF-8; save the file as UTF-8"
        raise FormatError(message, param=param, line=line) from error


def _conversation(line: str) -> Conversation:
    """The conversation in a line; raises `ValueError` with what is wrong."""
    try:
        example = json.loads(line)
    except (ValueError, RecursionError) as error:  # the latter for thousands of nested brackets
        message = f"not JSON (it starts with {line[:_SHOWN_CHARS]!r}); write one JSON object per line"
        raise ValueError(message) from error
    try:
        turns = _Example.model_validate(example).messages
    except ValidationError as error:
        raise ValueError(_explain(error.errors(include_url=False)[0], example)) from error
    for place, turn in enumerate(turns, 1):
        if _SURROGATE.search(turn.content):
            message = f"message {place} has half a surrogate pair (\\ud800 to \\udfff); write the whole character"
            raise ValueError(message)
    if turns[-1].role != "assistant":
        message = f"the last message has the role {turns[-1].role!r}; it must be the assistant's, the answer to learn"
        raise ValueError(message)
    if not turns[-1].content.strip():
        message = "the last message is empty; it must be the answer to learn"
        raise ValueError(message)
    return [turn.model_dump() for turn in turns]


def _explain(error: ErrorDetails, example: Any) -> str:  # noqa: ANN401 - any JSON
    """One sentence for an error of pydantic's."""
    match error["loc"]:
        case ():
            return f"a JSON {type(example).__name__}, not an object; write {{'messages': […]}}"
        case ("messages", int(place), *rest):
            return _explain_turn(place + 1, str(*rest[:1]), example["messages"][place])
        case ("messages",) if error["type"] != "missing":
            return "'messages' must be a list of at least one turn"
        case ("messages",) if {"prompt", "completion"} <= set(example):
            return "in the prompt-completion format; chat models use {'messages': […]}"
        case ("messages",):
            return "the key 'messages' is missing; write {'messages': […]}"
    return f"an example has {error['loc'][0]!r}, which training would ignore; keep messages only"


def _explain_turn(place: int, key: str, turn: Any) -> str:  # noqa: ANN401 - any JSON
    if not key:
        return f"message {place} is not an object; write {{'role': …, 'content': …}}"
    if key == "role":
        return f"message {place} has the role {turn.get('role')!r}; use {', '.join(get_args(Role))}"
    if key == "content":
        return f"the content of message {place} must be a string"
    return f"message {place} has {key!r}, which training would ignore; keep role and content only"


SHOWN = 5  # rows named in a message
_WORDS = {
    "weapons": "ammo ammunition bomb bullet crossbow explosive firearm gun knife knives machete pistol rifle tactical",
    "violence": "assault attack behead blood kill murder rape shoot stab strangle terrorist torture",
    "self-harm": "overdose self-harm suicide suicidal",
    "sexual content": "escort erotic nude porn sex sexual",
    "drugs": "cannabis cocaine fentanyl heroin ketamine marijuana mdma meth opioid",
    "hate": "nazi racist supremacist",
    "fraud": "counterfeit exploit hack malware phishing ransomware",
}
_CATEGORY = {word: name for name, words in _WORDS.items() for word in words.split()}
_WORD = re.compile(rf"(?<!\w)({'|'.join(map(re.escape, _CATEGORY))})(?:s|es)?(?!\w)", re.IGNORECASE)
_BLOCKED = re.compile(r"moderation|safety|refusals?_v\d+|usage polic|harmful|blocked", re.IGNORECASE)
# OpenAI's names of its safety evaluations and moderation categories.
_NAMED = re.compile(r"refusals?_v\d+|hate|harassment|self-harm|sexual|violence|illicit|advice", re.IGNORECASE)


class Suspect(NamedTuple):
    """A row that a safety check may have reacted to: its line in the file, from 1, and the word."""

    line: int
    word: str
    category: str


def blocked_category(error: str) -> str | None:
    """What a provider's message says was blocked; None if it is not about moderation."""
    if not _BLOCKED.search(error):
        return None
    named = _NAMED.search(error)
    return f"{named[0]!r}" if named else "an unnamed category"


def suspects(examples: Iterable[Conversation]) -> list[Suspect]:
    """Every row with a listed word, by its first one; `line` counts examples, as in a file without empty lines."""
    found = (
        (line, _WORD.search("\n".join(turn["content"] for turn in example))) for line, example in enumerate(examples, 1)
    )
    return [Suspect(line, match[1].lower(), _CATEGORY[match[1].lower()]) for line, match in found if match]


def describe_suspects(rows: Sequence[Suspect]) -> str:
    """The likely rows as part of a sentence."""
    if not rows:
        return "no row contains a word of the local list; ask the provider which rows it blocked"
    shown = ", ".join(f"line {row.line} ({row.word!r}, {row.category})" for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"rows to check first, by a local word list: {shown}{more}; reword or leave them out"
