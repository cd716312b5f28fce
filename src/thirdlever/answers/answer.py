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

from thirdlever.core.errors import SuiteError
from thirdlever.core.mistakes import misuse

if TYPE_CHECKING:
    from collections.abc import Mapping


UNPARSEABLE = "unparseable"
_PIECE = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Grade:
    """One graded answer.

    Attributes:
        value: 1.0 if right, 0.0 if wrong.
        prediction: the answer read from the completion; None if there is none.
        reason: why, for the reader of a report.
    """

    value: float
    prediction: str | None
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

    def parse(self, completion: str) -> str | None:
        """The answer in a completion; None if there is none."""

    def grade(self, completion: str, target: str) -> Grade:
        """Compare a completion with the target."""

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

    def __post_init__(self) -> None:
        """Refuse a string, whose characters would be taken for labels."""
        _refuse_text("Label", self.labels)

    @cached_property
    def max_tokens(self) -> int:
        """Enough for the longest label."""
        return max(map(most_tokens, self.labels))

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

    def parse(self, completion: str) -> str | None:
        """The one label that the first line names."""
        lines = completion.strip().splitlines()
        line = _norm(lines[0]) if lines else ""
        line = line.removeprefix(f"{self.name.casefold()}:").strip()
        if line in self._by_norm:
            return self._by_norm[line]
        found = set(self._pattern.findall(line))
        return self._by_norm[found.pop()] if len(found) == 1 else None

    def grade(self, completion: str, target: str) -> Grade:
        """Right if the label equals the target."""
        return _grade(self.parse(completion), target, completion)

    def problem(self, target: str) -> str | None:
        """A target must be a label and be read as itself."""
        if target not in self.labels:
            return f"{target!r} is not one of the suite's labels"
        read = self.parse(target)
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

    def parse(self, completion: str) -> str | None:
        """The whole completion, stripped."""
        return completion.strip() or None

    def grade(self, completion: str, target: str) -> Grade:
        """Right if equal, ignoring case and white space."""
        prediction = self.parse(completion)
        if prediction is not None and _norm(prediction) == _norm(target):
            return Grade(1.0, prediction, "equals the target")
        return _grade(prediction, target, completion)

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
        _refuse_text("Json", self.keys)

    def describe(self) -> str:
        """Name the keys."""
        return f"Answer with one JSON object that has the keys {', '.join(self.keys)} and nothing else."

    def parse(self, completion: str) -> str | None:
        """The first JSON object in the completion, in canonical form; None if it lacks a key."""
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

    def grade(self, completion: str, target: str) -> Grade:
        """Right if all keys agree; otherwise the reason names the first that does not."""
        prediction, wanted = self.parse(completion), json.loads(target)
        if prediction is None:
            return _grade(None, target, completion)
        got = json.loads(prediction)
        wrong = next((key for key in self.keys if got[key] != wanted.get(key)), None)
        if wrong is None:
            return Grade(1.0, prediction, "every key equals the target's")
        return Grade(0.0, prediction, f"{wrong}: expected {wanted.get(wrong)!r}, got {got[wrong]!r}")

    def problem(self, target: str) -> str | None:
        """A target must be a JSON object with every key, and nothing else."""
        try:
            value = json.loads(target)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            return f"{target!r:.60} is not JSON ({reason}); expected an object with {self._expected}"
        if not isinstance(value, dict):
            return f"{target!r:.60} is not a JSON object; expected one with {self._expected}"
        missing = [key for key in self.keys if key not in value]
        return f"{target!r:.60} has no key {missing[0]!r}; expected {self._expected}" if missing else None

    @property
    def _expected(self) -> str:
        return f"the key{'' if len(self.keys) == 1 else 's'} {', '.join(map(repr, self.keys))}"


def most_tokens(text: str) -> int:
    """Tokens that suffice for a text: half its characters, or one for each piece, plus a margin."""
    return max(len(text) // 2, least_tokens(text)) + 8


def least_tokens(text: str) -> int:
    """Tokens that a text has at least.

    Tokenizers in use split at every change between letters or digits and punctuation, and rarely have longer tokens
    than ten characters.

    >>> least_tokens('{"kind": "ball"}'), least_tokens("fuel")
    (6, 1)
    """
    return max(len(_PIECE.findall(text)), len(text) // 10)


def _grade(prediction: str | None, target: str, completion: str) -> Grade:
    if prediction is None:
        return Grade(0.0, None, f"{UNPARSEABLE}: expected {target!r}, got {completion.strip()[:80]!r}")
    if prediction == target:
        return Grade(1.0, prediction, "equals the target")
    return Grade(0.0, prediction, f"expected {target!r}, got {prediction!r}")


def _refuse_text(kind: str, values: object) -> None:
    if isinstance(values, str):
        message = f"{kind}({values!r}) takes a tuple; write {kind}(({values!r},))"
        raise misuse(message, SuiteError)


def _norm(text: str) -> str:
    """Casefold, collapse spaces, underscores and hyphens, strip quotes and end marks."""
    return " ".join(re.sub(r"[_\-\s]+", " ", text).split()).strip(" \"'`*.#").casefold()
