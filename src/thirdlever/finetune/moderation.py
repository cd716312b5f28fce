"""What a provider's safety checks may have blocked in a training file: a local word list, for finding rows to read.

Providers name a category at most, never the rows. The words below are ordinary ones that get harmless data blocked,
such as products called "tactical knife"; a match is a row to look at, not a verdict on it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from thirdlever.finetune.conversations import Conversation

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


def category(error: str) -> str | None:
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


def describe(rows: Sequence[Suspect]) -> str:
    """The likely rows as part of a sentence."""
    if not rows:
        return "no row contains a word of the local list; ask the provider which rows it blocked"
    shown = ", ".join(f"line {row.line} ({row.word!r}, {row.category})" for row in rows[:SHOWN])
    more = f" and {len(rows) - SHOWN} more" if len(rows) > SHOWN else ""
    return f"rows to check first, by a local word list: {shown}{more}; reword or leave them out"
