"""The page's long texts made small: what prompts share is stored once, blocks are deflated, the longest are cut."""

from __future__ import annotations

import base64
import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from thirdlever.models.engine.generate import common

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.evaluation.logs import Message


class Cut(NamedTuple):
    """A text without its middle.

    Attributes:
        start: what it begins with.
        dropped: characters that are not here.
        end: what it ends with.
    """

    start: str
    dropped: int
    end: str


class Told(NamedTuple):
    """A prompt told by what it has in common with its candidate's first one.

    Attributes:
        whole: so many messages of the first one come first.
        part: then so much of the next one's text, in UTF-16 units as JavaScript counts, to which
        own: the first own message is added; the others follow.
    """

    whole: int
    part: int
    own: Sequence[tuple[str, Text]]


Text: TypeAlias = str | Cut

LONGEST = 65_536  # characters; a text beyond is cut whatever the room
_LIMITS = (LONGEST, 16_384, 8_192, 4_096, 2_048, 1_024, 512, 256, 128, 64, 0)
_REFERENCE = 1_000_000  # characters of a text that others are told by
_WORTH = 24  # characters in common that are worth telling by


def pack(content: Any) -> str:  # noqa: ANN401 - JSON
    """JSON, deflated, in base64: nothing in it is markup."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return base64.b64encode(zlib.compress(text.encode("ascii"))).decode("ascii")


def cut(text: Text, limit: int) -> Text:
    """The text with at most so many characters; one that was cut before may be given again."""
    start, dropped, end = text if isinstance(text, Cut) else (text, 0, "")
    size = len(start) + len(end)
    if size <= limit:
        return text
    whole = start + end
    head = (limit + 1) // 2
    return Cut(whole[:head], dropped + size - limit, whole[size - limit + head :])


def fit(blocks: Callable[[int], list[str]], room: int) -> tuple[list[str], int]:
    """The blocks at the highest limit of characters a text that takes at most `room` bytes; else at 0.

    Args:
        blocks: packs them at a limit.
        room: bytes for all.

    Returns:
        The blocks, and the limit.
    """
    packed: list[str] = []
    for limit in _LIMITS:
        packed = blocks(limit)
        if sum(map(len, packed)) <= room:
            return packed, limit
    return packed, 0


def first(messages: Sequence[Message]) -> list[Message]:
    """The prompt that others are told by."""
    return [(role, text[:_REFERENCE]) for role, text in messages]


def told(messages: Sequence[Message], by: Sequence[Message]) -> Told:
    """A prompt by its candidate's first one. Texts too long for any limit are cut at once, which saves memory."""
    whole = 0
    while whole < min(len(messages), len(by)) and messages[whole] == by[whole]:
        whole += 1
    own = list(messages[whole:])
    part = 0
    if own and whole < len(by) and own[0][0] == by[whole][0]:
        (role, text), like = own[0], by[whole][1]
        shared = common(like, text)
        if shared >= _WORTH:
            own[0] = role, text[shared:]
            part = len(like[:shared].encode("utf-16-le", "surrogatepass")) // 2
    return Told(whole, part, [(role, cut(text, LONGEST)) for role, text in own])


def shorten(prompt: Told, limit: int) -> Told:
    """With each own text within the limit."""
    return prompt._replace(own=[(role, cut(text, limit)) for role, text in prompt.own])
