"""How a completion went, and what answer kinds share in reading: refusals, unfinished answers, and JSON objects.

Reasoning is removed before reading: what a chain of thought mentions is not an answer, and one that was cut off has no
answer yet (huggingface/lighteval#513 and #869, EleutherAI/lm-evaluation-harness#2682). A short refusal is told apart
from a wrong answer. The text itself is kept in the records.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


Status: TypeAlias = Literal["answered", "unparsed", "refused", "cut_off", "failed"]

UNFINISHED = "reasoning not finished"
SHOWN = 80  # characters of a completion in a reason
_SHORT = 400  # characters: a longer text that begins like a refusal goes on to say something else

_REASONING = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
# Left over from chat templates, which a server did not remove.
_TEMPLATE = re.compile(r"<\|[^<>|\n]{0,40}\|>|</?s>|<(?:end|start)_of_turn>|\[/?INST\]")
# Written in text without a meaning: a byte order mark, zero-width spaces, direction marks.
_INVISIBLE = dict.fromkeys([0xFEFF, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060])
_REFUSAL = re.compile(
    r"\W*(?:(?:(?:i'm|i am|we're|we are)\s+(?:very |so |really )?sorry|sorry|i apologi[sz]e|my apologies|unfortunately"
    r"|as an ai(?: \w+){0,3})\b[^.\n]{0,60}?[,.;]?\s+(?:but |however,? )?)?"
    r"(?:i|we)(?:'m| am|'re| are)?\s*(?:can ?not|can't|won't|will not|unable to|not able to|must decline|decline to)"
    r"(?:\s+\w+){0,2}?\s*(?:assist|help|comply|fulfil|provide|answer|respond|classify|categori[sz]e|label|engage|continue"
    r"|process|discuss|support|do (?:that|this|so)|with (?:that|this))\b"
    r"|\W*(?:es tut mir leid|entschuldigung|leider)\b[^.\n]{0,60}?\b(?:kann|darf) (?:ich|nicht)"
    r"|\W*ich (?:kann|darf) (?:dabei|ihnen|dir|das|diese\w*)\b[^.\n]{0,60}?\bnicht\b"
    r"|\W*(?:lo siento|je suis désolé\w*|désolé\w*)\b[^\n]{0,60}?\b(?:no puedo|ne peux pas)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a completion says.

    Attributes:
        value: the answer, in the form that is compared with the target; None if there is none.
        status: "answered" if there is one. Otherwise why not: "unparsed", "refused", "cut_off" (generation ended before
            the answer) or "failed" (the request did).
        reason: how it was read, or why it was not, for the reader of a report; "" if the completion is the answer.
    """

    value: str | None
    status: Status
    reason: str


def spoken(completion: str) -> str | None:
    r"""The completion without reasoning and remains of a chat template; None if its reasoning is not finished.

    Text before a closing tag is reasoning even without an opening one, which chat templates put into the prompt.

    >>> spoken("<think>shipping? no.</think>\nrefund")
    'refund'
    >>> spoken("shipping? no.</think>refund"), spoken("<think>never closed, shipping")
    ('refund', None)
    """
    text = _TEMPLATE.sub("", completion if completion.isascii() else completion.translate(_INVISIBLE))
    kept, start, depth = [], 0, 0
    for tag in _REASONING.finditer(text):
        if not tag[1]:
            kept += [text[start : tag.start()]] if not depth else []
            depth += 1
        elif depth:
            depth -= 1
        else:
            kept.clear()
        start = tag.end()
    return None if depth else unicodedata.normalize("NFC", "".join([*kept, text[start:]])).strip()


def refusal(text: str) -> re.Match[str] | None:
    """The words of a text in which its author declines; None if it is not a short refusal."""
    return _REFUSAL.match(text.replace("’", "'")) if len(text) <= _SHORT else None


def unread(text: str, reason: str, *, cut_off: bool) -> Reading:
    """The reading of a text without an answer.

    Args:
        text: the completion without reasoning.
        reason: what is missing.
        cut_off: whether generation ended at its limit.
    """
    if refusal(text):
        return Reading(None, "refused", f"the model refused: {text[:SHOWN]!r}")
    if cut_off:
        return Reading(None, "cut_off", f"cut off: {reason}" if text else "cut off before any text")
    return Reading(None, "unparsed", reason if text else "the completion is empty")


_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class FoundObject:
    """An object that has the keys.

    Attributes:
        value: the object.
        how: what was done to find it; "" if nothing.
    """

    value: dict[str, Any]
    how: str


def find_object(text: str, keys: Sequence[str]) -> FoundObject | None:
    """The last complete object with the keys; None if there is none.

    A model that corrects itself writes the better object later, and one that repeats the format writes it before.

    >>> find_object('{"a": 1} or rather {"result": {"a": 2}}', ["a"])
    FoundObject(value={'a': 2}, how="unwrapped from 'result'")
    """
    found = None
    for value, how in _objects(text):
        path = _path(value, keys)
        if path is not None:
            wrapped = [f"unwrapped from {'.'.join(map(str, path))!r}"] if path else []
            inner: Any = value
            for step in path:
                inner = inner[step]
            found = FoundObject(inner, "; ".join([*how, *wrapped]))
    return found


def _objects(text: str) -> Iterator[tuple[Any, list[str]]]:
    """Every outermost object of a text that has an end, and how it was repaired."""
    ends = _ends(text)
    at = text.find("{")
    while at >= 0:
        try:
            value, end = _JSON.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = ends.get(at, at)
            if end > at:
                yield _repaired(text[at:end]), ["repaired"]
        else:
            yield value, []
        at = text.find("{", max(end, at + 1))


def _ends(text: str) -> dict[int, int]:
    """Where each brace's partner ends, by where it opens; an object that was cut off has none."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for at, character in enumerate(text):
        if character == "{":
            opened.append(at)
        elif character == "}" and opened:
            ends[opened.pop()] = at + 1
    return ends


def _repaired(text: str) -> Any:  # noqa: ANN401 - JSON
    """What was meant by an object with single quotes, trailing commas, comments or the like."""
    from json_repair import repair_json

    try:
        return repair_json(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None


def _path(value: Any, keys: Sequence[str]) -> list[str | int] | None:  # noqa: ANN401 - JSON
    """The way to the last object with the keys inside a value; [] if it is the value itself, None if there is none."""
    if isinstance(value, dict) and all(key in value for key in keys):
        return []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next(([step, *path] for step, own in [*inner][::-1] if (path := _path(own, keys)) is not None), None)
