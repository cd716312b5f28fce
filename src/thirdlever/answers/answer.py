"""Answer kinds: how an answer is requested, read from a completion and graded.

A suite has one answer kind, so that every candidate is asked, read and graded alike. A completion without an answer
scores 0 and is reported with its status, which says why; nothing is skipped.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from thirdlever.answers.names import LabelNames
from thirdlever.answers.reading import SHOWN, UNFINISHED, Reading, conclude, find_object, refusal, spoken, unread
from thirdlever.core.errors import SuiteError
from thirdlever.core.mistakes import misuse
from thirdlever.core.text import clipped

_PIECE = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Grade:
    """One graded answer.

    Attributes:
        value: 1.0 if right, 0.0 if wrong; nan if a grader model has yet to decide.
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


@dataclass(frozen=True, repr=False)
class Label:
    """One of a closed set of labels, read as a person would: `thirdlever.answers.reading` states the order of trust.

    Case, quotes, spaces, underscores and punctuation are ignored as far as the labels stay distinct without them.

    Attributes:
        labels: in the order of the prompt.
        name: what the prompt calls the answer.
        negated_is_other: for two labels, read "not X" as the other one. By default it is unparsed.
    """

    labels: tuple[str, ...]
    name: str = "Category"
    negated_is_other: bool = False

    def __post_init__(self) -> None:
        """Refuse a string, whose characters would be taken for labels, and a third label beside a negated one."""
        _refuse_text("Label", self.labels)
        if self.negated_is_other and len(self.labels) != 2:  # noqa: PLR2004 - the label and the other one
            message = f"negated_is_other=True needs exactly two labels, not {len(self.labels)}; leave it out"
            raise SuiteError(message)

    def __repr__(self) -> str:
        """Leave out the newer argument where it is not used: suites measured before it keep their hash."""
        negated = f", negated_is_other={self.negated_is_other}" if self.negated_is_other else ""
        return f"{type(self).__qualname__}(labels={self.labels!r}, name={self.name!r}{negated})"

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
    def _names(self) -> LabelNames:
        return LabelNames(self.labels)

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The label that the completion settles on."""
        if not cut_off and (label := self._names.exact(completion)) is not None:
            return Reading(label, "answered", "")
        text = spoken(completion)
        if text is None:
            return Reading(None, "cut_off", UNFINISHED)
        return conclude(text, self._names, self.name, cut_off=cut_off, negated_is_other=self.negated_is_other)

    def grade(self, value: str, target: str) -> Grade:
        """Right if the label equals the target."""
        return _grade(value, target)

    def problem(self, target: str) -> str | None:
        """A target must be a label and be read as itself."""
        if target not in self.labels:
            return f"{target!r} is not one of the suite's labels"
        read = self.read(target).value
        return None if read == target else f"{target!r} is read as {read!r}"


@dataclass(frozen=True)
class Text:
    """A short free text; right if it equals the target, ignoring case, white space and quotes."""

    name: str = "Answer"
    max_tokens: int = 64
    choices: tuple[str, ...] = field(default=(), init=False)

    def describe(self) -> str:
        """Ask for the answer alone."""
        return f"Answer with the {self.name.lower()} only."

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """What follows the last line that begins with "Answer:", or all of the completion; reasoning is left out."""
        text = spoken(completion)
        if text is None:
            return Reading(None, "cut_off", UNFINISHED)
        begins = list(
            re.finditer(
                rf"^\W{{0,4}}(?:(?:the )?(?:final )?answer|{re.escape(self.name)})\W{{0,4}}[:：][*_\s]*",
                text,
                re.IGNORECASE | re.MULTILINE,
            )
        )
        value = text[begins[-1].end() :].strip() if begins else text
        if not value or cut_off or refusal(text):
            return unread(text, f"no {'complete ' if cut_off else ''}text in: {text[:SHOWN]!r}", cut_off=cut_off)
        return Reading(value, "answered", "")

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
        _refuse_text("Json", self.keys)

    def describe(self) -> str:
        """Name the keys."""
        return f"Answer with one JSON object that has the keys {', '.join(self.keys)} and nothing else."

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The last complete object that has the keys, in canonical form; wrappers are removed, slips repaired."""
        text = spoken(completion)
        if text is None:
            return Reading(None, "cut_off", UNFINISHED)
        found = find_object(text, self.keys)
        if found is None:
            wanted = f"no complete JSON object with {', '.join(self.keys)} found in: {text[:SHOWN]!r}"
            return unread(text, wanted, cut_off=cut_off)
        value = json.dumps({key: found.value[key] for key in self.keys}, ensure_ascii=False)
        return Reading(value, "answered", found.how)

    def grade(self, value: str, target: str) -> Grade:
        """Right if all keys agree; otherwise the reason names the first that does not."""
        got, wanted = json.loads(value), json.loads(target)
        wrong = next((key for key in self.keys if got[key] != wanted.get(key)), None)
        if wrong is None:
            return Grade(1.0, "every key equals the target's")
        return Grade(0.0, f"{wrong}: expected {wanted.get(wrong)!r}, got {got[wrong]!r}")

    def problem(self, target: str) -> str | None:
        """A target must be a JSON object with every key, and nothing else."""
        try:
            value = json.loads(target)
        except (ValueError, RecursionError) as error:
            reason = f"{error.msg} at column {error.colno}" if isinstance(error, json.JSONDecodeError) else error
            return f"{clipped(target)} is not JSON ({reason}); expected an object with {self._expected}"
        if not isinstance(value, dict):
            return f"{clipped(target)} is not a JSON object; expected one with {self._expected}"
        missing = [key for key in self.keys if key not in value]
        return f"{clipped(target)} has no key {missing[0]!r}; expected {self._expected}" if missing else None

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


def _grade(value: str, target: str) -> Grade:
    if value == target:
        return Grade(1.0, "equals the target")
    return Grade(0.0, f"expected {target!r}, got {value!r}")


def _refuse_text(kind: str, values: object) -> None:
    if isinstance(values, str):
        message = f"{kind}({values!r}) takes a tuple; write {kind}(({values!r},))"
        raise misuse(message, SuiteError)


def _norm(text: str) -> str:
    """Casefold, collapse spaces, underscores and hyphens, strip quotes and end marks."""
    return " ".join(re.sub(r"[_\-\s]+", " ", text).split()).strip(" \"'`*.#").casefold()
