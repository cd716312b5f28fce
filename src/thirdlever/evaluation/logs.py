"""What inspect's logs know and the records do not: each item's input, and the messages that were sent.

A log is a zip with one JSON member a sample. inspect's own reader builds every sample whole, events and all, which
takes 24 ms each; what is wanted here stands at the front of each member, and the rest is not parsed.
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
    """One request as its log tells it.

    Attributes:
        item_id: the test item.
        epoch: from 1.
        input: the item's text.
        prompt: gives the messages that were sent, when their hash is the one given; None when the log does not have
            them: the answer is from before a resume, or no model was asked.
    """

    item_id: str
    epoch: int
    input: str
    prompt: Callable[[str], list[Message] | None]


def read(log: Path, only: Collection[str] | None = None) -> Iterator[Sample]:
    """The samples of a log, in its order.

    Args:
        log: the file.
        only: ids of items; all by default. The rest is not unpacked.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is no such log, or damaged.
    """
    if sys.version_info < (3, 14):
        import zipfile_zstd  # type: ignore[import-untyped] # noqa: F401 - teaches zipfile the compression of inspect's logs
        from zstandard import ZstdError
    else:
        from compression.zstd import ZstdError
    damage = (zipfile.BadZipFile, ZstdError, NotImplementedError, EOFError)
    try:
        with zipfile.ZipFile(log) as members:
            for name in members.namelist():
                item, _, _ = name.removeprefix("samples/").rpartition("_epoch_")
                if name.startswith("samples/") and (only is None or item in only):
                    yield parse(members.read(name).decode("utf-8", errors="replace"))
    except damage as error:
        message = f"{log} is not a log that can be read: {error}"
        raise ValueError(message) from error


def parse(text: str) -> Sample:
    """One member of a log."""
    front = _front(text, upto="messages")
    if not {"id", "epoch", "input"} <= front.keys() or not isinstance(front["messages"], list):
        message = "a sample lacks its id, epoch, input or messages"
        raise ValueError(message)

    def prompt(sent: str) -> list[Message] | None:
        messages = [_message(message) for message in front["messages"]]
        # The conversation ends with the answer; where there were several, or the call failed, the events have it.
        for found in (messages[:-1], messages):
            if prompt_hash(found) == sent:
                return found
        found = _called(json.loads(text))
        return found if prompt_hash(found) == sent else None

    given = front["input"]
    shown = given if isinstance(given, str) else "\n".join(_text(message["content"]) for message in given)
    return Sample(str(front["id"]), int(front["epoch"]), shown, prompt)


def _front(text: str, *, upto: str) -> dict[str, Any]:
    """The first members of a JSON object, until one of that name."""
    found: dict[str, Any] = {}
    at = 0
    while upto not in found:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] # it matches nothing, too
        key, at = _JSON.raw_decode(text, at)
        found[key], at = _JSON.raw_decode(text, _BETWEEN.match(text, at).end())  # type: ignore[union-attr]
    return found


def _called(sample: dict[str, Any]) -> list[Message]:
    """The messages of every model call, from the events, which refer to a pool of messages and of long texts."""
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
    return message["role"], _text(message["content"], attached or {})


def _text(content: Any, attached: dict[str, str] | None = None) -> str:  # noqa: ANN401 - JSON
    if isinstance(content, str):
        return (attached or {}).get(content.removeprefix(_ATTACHED), content)
    return "\n".join(_text(part["text"], attached) for part in content if part.get("type") == "text")
