"""Reads the messages that were sent, and each item's input, from inspect's logs.

A log is a zip with one JSON member per sample. inspect's own reader builds every sample with all of its events, which
takes 24 ms each; the fields needed here come first in each member, so the rest is not parsed.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.evaluation.records import prompt_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path


Message: TypeAlias = tuple[str, str]  # role, text

_JSON = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s{,:]*")
_ATTACHED = "attachment://"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request in a log.

    Attributes:
        item_id: the test item.
        epoch: from 1.
        input: the item's text.
        prompt: takes a hash and returns the messages sent that have it. None if the log does not have them: the answer
            is from before a resume, or no model was asked.
    """

    item_id: str
    epoch: int
    input: str
    prompt: Callable[[str], list[Message] | None]


def read(log: Path, only: Collection[str] | None = None) -> Iterator[Sample]:
    """The samples of a log, in its order.

    Args:
        log: the file.
        only: item ids, all by default. Other samples are not unpacked.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a log, or damaged.
    """
    if sys.version_info < (3, 14):
        import zipfile_zstd  # type: ignore[import-untyped] # noqa: F401 - adds inspect's compression to zipfile
        from zstandard import ZstdError
    else:
        from compression.zstd import ZstdError
    try:
        with zipfile.ZipFile(log) as members:
            for name in members.namelist():
                item, _, _ = name.removeprefix("samples/").rpartition("_epoch_")
                if name.startswith("samples/") and (only is None or item in only):
                    yield parse(members.read(name).decode("utf-8", errors="replace"))
    except (zipfile.BadZipFile, ZstdError, NotImplementedError, EOFError) as error:
        message = f"cannot read the log {log}: {error}"
        raise ValueError(message) from error


def parse(text: str) -> Sample:
    """Parse one member of a log."""
    front = _front(text, upto="messages")
    if not {"id", "epoch", "input"} <= front.keys() or not isinstance(front["messages"], list):
        message = "a sample lacks its id, epoch, input or messages"
        raise ValueError(message)

    def prompt(sent: str) -> list[Message] | None:
        messages = [_message(message) for message in front["messages"]]
        # The conversation ends with the answer. After several calls, or a failed one, only the events have the prompt.
        for found in (messages[:-1], messages):
            if prompt_hash(found) == sent:
                return found
        found = _called(json.loads(text))
        return found if prompt_hash(found) == sent else None

    given = front["input"]
    shown = given if isinstance(given, str) else "\n".join(_text(message["content"]) for message in given)
    return Sample(str(front["id"]), int(front["epoch"]), shown, prompt)


def _front(text: str, *, upto: str) -> dict[str, Any]:
    """The first members of a JSON object, up to and including one with this name."""
    found: dict[str, Any] = {}
    at = 0
    while upto not in found:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] # it also matches the empty string
        key, at = _JSON.raw_decode(text, at)
        found[key], at = _JSON.raw_decode(text, _BETWEEN.match(text, at).end())  # type: ignore[union-attr]
    return found


def _called(sample: dict[str, Any]) -> list[Message]:
    """The messages of every model call, from the events, which refer to pools of messages and of long texts."""
    attached = sample.get("attachments") or {}
    pool = (sample.get("events_data") or {}).get("messages") or []
    sent: list[Message] = []
    for event in sample.get("events") or []:
        if event.get("event") == "model":
            ranges = event.get("input_refs") or []
            messages = event.get("input") or [message for start, end in ranges for message in pool[start:end]]
            sent += [_message(message, attached) for message in messages]
    return sent


def _message(message: dict[str, Any], attached: dict[str, str] | None = None) -> Message:
    return message["role"], _text(message["content"], attached)


def _text(content: Any, attached: dict[str, str] | None = None) -> str:  # noqa: ANN401 - JSON
    if isinstance(content, str):
        return (attached or {}).get(content.removeprefix(_ATTACHED), content)
    return "\n".join(_text(part["text"], attached) for part in content if part.get("type") == "text")
