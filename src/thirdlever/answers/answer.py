"""Answer kinds: how an answer is requested, read from a completion and graded.

A suite has one answer kind, so that every candidate is asked, read and graded alike. A completion from which no answer
can be read counts as wrong and is reported; nothing is skipped.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

from thirdlever.answers.reading import Reading
from thirdlever.core.errors import SuiteError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Grade:
    """One graded answer.

    Attributes:
        value: 1.0 if right, 0.0 if wrong.
        reason: why, for the reader of a report.
    """

    value: float
    reason: str


class Answer(Protocol):
    """What a suite's `answer` must have."""

    @property
    def name(self) -> str:
        """What the prompt calls the answer, e.g. "Category"."""

    @property
    def max_tokens(self) -> int:
        """Upper bound on the tokens of a right answer."""

    @property
    def choices(self) -> tuple[str, ...]:
        """The closed set of answers, for constrained decoding and macro-F1; empty if open."""

    def describe(self) -> str:
        """The sentences of the prompt that specify the answer."""

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The answer in a completion.

        Args:
            completion: the complete text.
            cut_off: whether generation ended at its limit of tokens.
        """

    def grade(self, value: str, target: str) -> Grade:
        """Compare the value that was read with the target."""

    def problem(self, target: str) -> str | None:
        """Why `target` cannot be a right answer; None if it can."""


@dataclass(frozen=True)
class Label:
    """One of a closed set of labels.

    Case, quotes, spaces versus underscores and a leading "Category:" are ignored. Otherwise reading is strict: a first
    line that names no label, or more than one, is unparseable.
    """

    labels: tuple[str, ...]
    name: str = "Category"

    @cached_property
    def max_tokens(self) -> int:
        """Half the characters of the longest label plus a margin: no tokenizer in use needs more."""
        return max(map(len, self.labels)) // 2 + 8

    @property
    def choices(self) -> tuple[str, ...]:
        """The labels."""
        return self.labels

    def describe(self) -> str:
        """List every label, in order."""
        return f"Answer with exactly one {self.name.lower()} from this list: {', '.join(self.labels)}."

    @cached_property
    def _by_norm(self) -> Mapping[str, str]:
        return {_norm(label): label for label in self.labels}

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        # Longest first, so that "card payment fee" is not read as "card payment".
        ordered = sorted(self._by_norm, key=len, reverse=True)
        return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, ordered)) + r")(?!\w)")

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The one label that the first line names."""
        return _reading(self._label(completion), completion, cut_off=cut_off)

    def _label(self, completion: str) -> str | None:
        lines = completion.strip().splitlines()
        line = _norm(lines[0]) if lines else ""
        line = line.removeprefix(f"{self.name.casefold()}:").strip()
        if line in self._by_norm:
            return self._by_norm[line]
        found = set(self._pattern.findall(line))
        return self._by_norm[found.pop()] if len(found) == 1 else None

    def grade(self, value: str, target: str) -> Grade:
        """Right if the label equals the target."""
        return _grade(value, target)

    def problem(self, target: str) -> str | None:
        """A target must be a label and be read as itself."""
        if target not in self.labels:
            return f"{target!r} is not one of the suite's labels"
        read = self.read(target).value
        return None if read == target else f"{target!r} is read as {read!r} (case, quotes, spaces, - and _ are ignored)"


@dataclass(frozen=True)
class Text:
    """A short free text; right if it equals the target, ignoring case and white space."""

    name: str = "Answer"
    max_tokens: int = 64
    choices: tuple[str, ...] = field(default=(), init=False)

    def describe(self) -> str:
        """Ask for the answer alone."""
        return f"Answer with the {self.name.lower()} only."

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The whole completion, stripped."""
        return _reading(completion.strip() or None, completion, cut_off=cut_off)

    def grade(self, value: str, target: str) -> Grade:
        """Right if equal, ignoring case and white space."""
        return _grade(target, target) if _norm(value) == _norm(target) else _grade(value, target)

    def problem(self, target: str) -> str | None:
        """Any text that is not empty is possible."""
        return None if target.strip() else "the target is empty"


@dataclass(frozen=True)
class Json:
    """A JSON object with these keys; right if every key's value equals the target's."""

    keys: tuple[str, ...]
    name: str = "JSON"
    max_tokens: int = 256
    choices: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        """Refuse a string, whose characters would be taken for keys."""
        keys: object = self.keys
        if isinstance(keys, str):
            message = f"Json({keys!r}): keys must be a tuple; write Json(({keys!r},))"
            raise SuiteError(message)

    def describe(self) -> str:
        """Name the keys."""
        return f"Answer with one JSON object that has the keys {', '.join(self.keys)} and nothing else."

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The first JSON object in the completion, in canonical form."""
        return _reading(self._object(completion), completion, cut_off=cut_off)

    def _object(self, completion: str) -> str | None:
        decoder = json.JSONDecoder()
        for start in (match.start() for match in re.finditer(r"\{", completion)):
            try:
                value, _ = decoder.raw_decode(completion, start)
            except (json.JSONDecodeError, RecursionError):
                continue
            if isinstance(value, dict) and all(key in value for key in self.keys):
                return json.dumps({key: value[key] for key in self.keys}, ensure_ascii=False)
            return None
        return None

    def grade(self, value: str, target: str) -> Grade:
        """Right if all keys agree; otherwise the reason names the first that does not."""
        got, wanted = json.loads(value), json.loads(target)
        wrong = next((key for key in self.keys if got[key] != wanted.get(key)), None)
        if wrong is None:
            return Grade(1.0, "every key equals the target's")
        return Grade(0.0, f"{wrong}: expected {wanted.get(wrong)!r}, got {got[wrong]!r}")

    def problem(self, target: str) -> str | None:
        """A target must be a JSON object with every key."""
        return None if self.read(target).value else f"not a JSON object with the keys {', '.join(self.keys)}"


def _reading(value: str | None, completion: str, *, cut_off: bool) -> Reading:
    if value is not None:
        return Reading(value, "answered", "")
    return Reading(None, "cut_off" if cut_off else "unparsed", f"no answer found in: {completion.strip()[:80]!r}")


def _grade(value: str, target: str) -> Grade:
    if value == target:
        return Grade(1.0, "equals the target")
    return Grade(0.0, f"expected {target!r}, got {value!r}")


def _norm(text: str) -> str:
    """Casefold, collapse spaces, underscores and hyphens, strip quotes and end marks."""
    return " ".join(re.sub(r"[_\-\s]+", " ", text).split()).strip(" \"'`*.#").casefold()
