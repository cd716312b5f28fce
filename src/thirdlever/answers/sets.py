"""Answers that are a set of labels: several, one or none of a closed list."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from thirdlever.answers.answer import Grade, most_tokens, refuse_text
from thirdlever.answers.names import LabelNames
from thirdlever.answers.reading import SHOWN, UNFINISHED, Reading, marked, refusal, spoken, unread
from thirdlever.core.errors import SuiteError
from thirdlever.core.mistakes import misuse
from thirdlever.core.text import clipped

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence


NONE = "none"  # the empty set
_ARRAY = re.compile(r"\[[^\[\]]*\]")
_BETWEEN = re.compile(r"[\W\d_]*(?:(?:and|or|plus|und|sowie|et|y|e)(?!\w))?[\W\d_]*", re.IGNORECASE)
_SEPARATORS = re.compile(r"[,;|\n]")
_EXPLAINS = re.compile(r"\W*(?:because|since|as|weil|denn|da|car|porque)\b", re.IGNORECASE)
_SIGNS = " \t\n\"'`*_.()[]{}"
_FENCE = re.compile(r"^[ \t]*```[\w-]*[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, repr=False)
class Labels:
    """A set of labels from a closed list, in any order; the empty set is "none".

    A target is the labels with the separator between them, or a JSON list of them.

    Attributes:
        labels: in the order of the prompt.
        name: what the prompt calls the answer, in the plural.
        separator: between two labels of an answer. No label may contain it.
        partial: whether the score is the F1 of the set; by default the set must be exactly the target's.
    """

    labels: tuple[str, ...]
    name: str = "Categories"
    separator: str = ", "
    partial: bool = False
    choices = ()  # a set of labels is not one of them

    def __post_init__(self) -> None:
        """Refuse labels that cannot be told from the separator or from the empty set.

        Raises:
            SuiteError: with what to write instead.
        """
        refuse_text("Labels", self.labels)
        separator = self.separator.strip()
        fault = None
        if not separator and "\n" not in self.separator:
            fault = f"separator={self.separator!r} has no sign; write one such as ', '"
        elif split := next((label for label in self.labels if (separator or "\n") in label), None):
            fault = f"the label {split!r} contains the separator {separator!r}; write another, such as separator='; '"
        elif none := next((label for label in self.labels if label.strip().casefold() == NONE), None):
            fault = f"{none!r} means that no label applies; leave it out of the labels"
        if fault:
            message = f"Labels: {fault}"
            raise misuse(message, SuiteError)

    def __repr__(self) -> str:
        """Leave out what has its default."""
        partial = ", partial=True" if self.partial else ""
        separator = "" if self.separator == ", " else f", separator={self.separator!r}"
        return f"{type(self).__qualname__}(labels={self.labels!r}, name={self.name!r}{separator}{partial})"

    @cached_property
    def max_tokens(self) -> int:
        """Enough for all labels."""
        return most_tokens(json.dumps(self.labels, ensure_ascii=False)) + 8

    @cached_property
    def schema(self) -> dict[str, Any]:
        """An object with one array of labels."""
        name, label = self.name.lower(), {"type": "string", "enum": list(self.labels)}
        return {
            "type": "object",
            "properties": {name: {"type": "array", "items": label, "maxItems": len(self.labels)}},
            "required": [name],
            "additionalProperties": False,
        }

    def describe(self) -> str:
        """List every label, in order."""
        signs = {",": "commas", ";": "semicolons", "": "line breaks"}
        how = f"separated by {signs.get(self.separator.strip(), repr(self.separator.strip()))}"
        listed = self.separator.join(self.labels)
        return f"Answer with all {self.name.lower()} from this list that apply, {how}, or with {NONE}: {listed}."

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The labels that the completion lists.

        The order of trust: the list that the completion is; the one that it begins with; the one after "Answer:" or
        the answer's name; the one that it ends with; the last JSON list; the only line that names labels. A list may be
        written with any signs, as JSON, or as an object of labels with true and false. One with anything else in it,
        and a negated label, are unparsed: nobody can say which set is meant. Where generation ended at its limit, only
        a JSON list is known to be complete.
        """
        text = spoken(completion)
        if text is None:
            return Reading(None, "cut_off", UNFINISHED)
        missing = f"no list of {self.name.lower()} found in: {text[:SHOWN]!r}"
        if refusal(text):
            return unread(text, missing, cut_off=cut_off)
        places = [] if cut_off else [*self._places(_FENCE.sub("", text).strip())]
        places += [([array], "") for array in reversed(_ARRAY.findall(text))]
        for lines, how in places:
            if (listed := self._block(lines)) is not None:
                return Reading(self._text(listed), "answered", how)
        stranger = next((found for lines, _ in places if (found := self._stranger(lines))), None)
        if stranger is not None:
            return unread(text, f"{clipped(stranger)} is none of the {self.name.lower()}", cut_off=cut_off)
        return (None if cut_off else self._prose(text)) or unread(text, missing, cut_off=cut_off)

    def grade(self, value: str, target: str) -> Grade:
        """Right if the sets are equal; otherwise the reason says what is missing and what is too much."""
        got, wanted = self._set(value), self._set(target)
        if got == wanted:
            return Grade(1.0, "equals the target")
        expected = f"expected {self._text(wanted)!r}, got {self._text(got)!r}"
        f1 = 2 * len(got & wanted) / (len(got) + len(wanted))
        return Grade(f1 if self.partial else 0.0, f"{expected}: F1 {f1:.2f}" if self.partial else expected)

    def problem(self, target: str) -> str | None:
        """Every label of a target must be one of the suite's, and be read as itself."""
        strangers = [label for label in self._split(target) if label not in self.labels]
        if strangers:
            return f"{strangers[0]!r} of {clipped(target)} is not one of the suite's labels"
        canonical = self.canonical(target)
        read = self.read(canonical).value
        return None if read == canonical else f"{canonical!r} is read as {read!r}"

    def canonical(self, target: str) -> str:
        """The target as answers are written: in the order of the labels; unchanged if it has others."""
        found = self._split(target)
        return self._text(found) if set(found) <= set(self.labels) else target

    def parts(self, value: str) -> dict[str, str]:
        """For every label, whether it is in the set: "yes" or "no"."""
        found = self._set(value)
        return {label: "yes" if label in found else "no" for label in self.labels}

    def join(self, parts: Mapping[str, str]) -> str:
        """The set of the labels with "yes"."""
        return self._text([label for label, given in parts.items() if given == "yes"])

    @cached_property
    def _names(self) -> LabelNames:
        return LabelNames(self.labels)

    @cached_property
    def _empty(self) -> re.Pattern[str]:
        what = rf"(?:{re.escape(self.name.lower())}|labels?|categor(?:y|ies)|intents?|topics?|tags?)"
        words = (
            rf"none(?: of (?:these|them|the above))?|nothing|empty|null|n/?a|no {what}"
            r"|keine?s?|aucune?s?|ning[uú]n[ao]?"
        )
        return re.compile(rf"\W*(?:(?:{words})(?: appl(?:y|ies))?\W*|\[\s*\]\W*|\{{\s*\}}\W*)", re.IGNORECASE)

    def _set(self, value: str) -> set[str]:
        return set(self._split(value))

    def _split(self, value: str) -> list[str]:
        """The labels of a value or target."""
        try:
            listed = json.loads(value) if value.lstrip().startswith("[") else None
        except (ValueError, RecursionError):
            listed = None
        if isinstance(listed, list):
            return [each if isinstance(each, str) else json.dumps(each) for each in listed]
        if value.strip().casefold() == NONE:
            return []
        separator = self.separator.strip() or "\n"
        return [label for each in value.split(separator) if (label := each.strip())]

    def _text(self, found: Collection[str]) -> str:
        return self.separator.join(label for label in self.labels if label in found) or NONE

    def _places(self, text: str) -> Iterator[tuple[list[str], str]]:
        """Where lists stand, as the lines that begin with one: the whole, the beginning, after a marker, the end."""
        lines = [line for line in text.splitlines() if re.search(r"\w|\[\s*\]|\{\s*\}", line)]
        if not lines:
            return
        yield [" \n".join(lines)], ""
        first, after = marked(lines[0], self.name), marked(text, self.name)
        yield (lines, "read from the beginning") if first is None else ([first, *lines[1:]], "read after its marker")
        if after is not None:
            yield after.splitlines(), "read after its marker"
        last = len(lines)
        while last > 0 and self._list(lines[last - 1]) is not None:
            last -= 1
        yield lines[last:], "read from the end"

    def _block(self, lines: Sequence[str]) -> list[str] | None:
        """The labels of the lists that the lines begin with."""
        found: list[str] | None = None
        for line in lines:
            if not re.search(r"\w|\]|\}", line):
                continue
            listed = self._list(line)
            if listed is None:
                break
            found = [*(found or []), *listed]
        return found

    def _list(self, text: str) -> list[str] | None:
        """The labels of a text that lists labels and nothing else."""
        if self._empty.fullmatch(text):
            return []
        if (stated := self._from_json(text)) is not None:
            return stated
        mentions = self._names.mentions(text)
        ends = [0, *(each.end for each in mentions)]
        starts = [*(each.start for each in mentions), len(text)]
        between = [text[end:start] for end, start in zip(ends, starts, strict=True)]
        if not mentions or not all(map(_BETWEEN.fullmatch, between[:-1])):
            return None
        if not _BETWEEN.fullmatch(between[-1]) and not _EXPLAINS.match(between[-1]):
            return None
        return None if any(each.negated for each in mentions) else [each.label for each in mentions]

    def _from_json(self, text: str) -> list[str] | None:
        """The labels of a text that is a JSON list, or an object with one, or with true and false for each label."""
        try:
            value = json.loads(text) if text.lstrip()[:1] in {"[", "{"} else None
        except (ValueError, RecursionError):
            return None
        if isinstance(value, dict) and len(value) == 1 and isinstance(inner := next(iter(value.values())), list):
            value = inner
        if isinstance(value, dict) and value and all(isinstance(each, bool) for each in value.values()):
            stated = {self._names.exact(key): each for key, each in value.items()}
            return None if None in stated else [label for label, true in stated.items() if label and true]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            return None
        found = [self._names.exact(each) for each in value if not self._empty.fullmatch(each)]
        return None if None in found else [label for label in found if label]

    def _stranger(self, lines: Sequence[str]) -> str | None:
        """What stands in the list of the first line and is no label."""
        pieces = [piece.strip(_SIGNS) for piece in _SEPARATORS.split(lines[0])] if lines else []
        known = [self._names.exact(piece) for piece in pieces]
        if not any(known):
            return None
        return next((piece for piece, label in zip(pieces, known, strict=True) if piece and label is None), None)

    def _prose(self, text: str) -> Reading | None:
        """The labels of the only line that names any, unless it negates one."""
        named = [found for line in text.splitlines() if (found := self._names.mentions(line))]
        if len(named) != 1:
            return None
        negated = [each.label for each in named[0] if each.negated]
        if negated:
            return unread(text, f"negated: {', '.join(negated)}", cut_off=False)
        return Reading(self._text([each.label for each in named[0]]), "answered", "read from the only line with labels")
