"""Answer kinds: how an answer is requested, read from a completion and graded.

A suite has one answer kind, so that every candidate is asked, read and graded alike. A completion without an answer
scores 0 and is reported with its status, which says why; nothing is skipped.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

from thirdlever.answers.names import LabelNames
from thirdlever.answers.reading import SHOWN, UNFINISHED, Reading, conclude, marked, refusal, spoken, unread
from thirdlever.core.errors import SuiteError, unknown
from thirdlever.core.mistakes import misuse

if TYPE_CHECKING:
    from collections.abc import Mapping

_PIECE = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True, slots=True)
class Grade:
    """One graded answer.

    Attributes:
        value: 1.0 if right, 0.0 if wrong; between them if partly right, where a kind gives partial scores; nan if a
            grader model has yet to decide.
        reason: why, for the reader of a report.
    """

    value: float
    reason: str


class Answer(Protocol):
    """What a suite's `answer` must have.

    A kind may have more: `schema`, the JSON schema of its answers, for structured output; `canonical(target)`, the form
    in which targets are kept; `parts(value)`, an answer as named parts, by which figures are counted; `join(parts)`,
    the answer of such parts, which the null baseline predicts one by one; and `grade_item(value, item_id, target)`,
    in place of `grade`, where the target alone does not say what is right.
    """

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
        refuse_text("Label", self.labels)
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
        return equality(value, target)

    def problem(self, target: str) -> str | None:
        """A target must be a label and be read as itself."""
        if target not in self.labels:
            return f"{target!r} is not one of the suite's labels"
        read = self.read(target).value
        return None if read == target else f"{target!r} is read as {read!r}"

    def parts(self, value: str) -> dict[str, str]:
        """The label, as the one part."""
        return {self.name: value}

    def join(self, parts: Mapping[str, str]) -> str:
        """The label."""
        return parts[self.name]


Scoring: TypeAlias = Literal["exact", "f1", "contains"]


@dataclass(frozen=True)
class Text:
    """A short free text.

    Attributes:
        name: what the prompt calls the answer.
        max_tokens: of a right answer, at most.
        separator: between several right answers in one target, such as "|"; "" if a target is one answer. The best
            score counts.
        score: "exact": right if equal, ignoring case, white space and quotes. "f1": the token F1 of SQuAD, which
            ignores case, punctuation and articles. "contains": right if it contains the right answer as whole words and
            numbers; a text that was cut off at its limit is read as far as it goes, since more text would change
            nothing.
    """

    name: str = "Answer"
    max_tokens: int = 64
    choices: tuple[str, ...] = field(default=(), init=False)
    separator: str = field(default="", repr=False)
    score: Scoring = field(default="exact", repr=False)

    def __post_init__(self) -> None:
        """Refuse an unknown score."""
        if self.score not in get_args(Scoring):
            message = f"Text(score={self.score!r}): {unknown('score', self.score, get_args(Scoring))}"
            raise misuse(message, SuiteError)

    def __repr__(self) -> str:
        """Leave out newer arguments where they are not used: suites measured before them keep their hash."""
        return stable_repr(self)

    def describe(self) -> str:
        """Ask for the answer alone."""
        return f"Answer with the {self.name.lower()} only."

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """What follows the last line that begins with "Answer:", or all of the completion; reasoning is left out."""
        text = spoken(completion)
        if text is None:
            return Reading(None, "cut_off", UNFINISHED)
        begun = marked(text, self.name)
        value = text if begun is None else begun
        if not value or (cut_off and self.score != "contains") or refusal(text):
            return unread(text, f"no {'complete ' if cut_off else ''}text in: {text[:SHOWN]!r}", cut_off=cut_off)
        return Reading(value, "answered", "")

    def grade(self, value: str, target: str) -> Grade:
        """The best score among the right answers."""
        return max((self._compared(value, right) for right in self.answers(target)), key=lambda grade: grade.value)

    def answers(self, target: str) -> list[str]:
        """The right answers that a target holds."""
        if not self.separator:
            return [target]
        return [right for each in target.split(self.separator) if (right := each.strip())] or [target]

    def _compared(self, value: str, target: str) -> Grade:
        if self.score == "f1":
            f1 = token_f1(value, target)
            return Grade(
                f1, "equals the target" if f1 == 1 else f"expected {target!r}, got {value!r}: token F1 {f1:.2f}"
            )
        if self.score == "contains":
            found = f" {' '.join(_whole(target))} " in f" {' '.join(_whole(value))} "
            return Grade(float(found), "contains the target" if found else f"expected {target!r} in {value!r}")
        return equality(target, target) if _norm(value) == _norm(target) else equality(value, target)

    def problem(self, target: str) -> str | None:
        """Any text that is not empty is possible."""
        return None if target.strip(f"{self.separator} \n\t") else "the target is empty"


def grade_item(answer: Answer, value: str, item_id: str, target: str) -> Grade:
    """The grade of an answer to an item."""
    by_item = getattr(answer, "grade_item", None)
    grade: Grade = by_item(value, item_id, target) if by_item else answer.grade(value, target)
    return grade


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


def equality(value: str, target: str) -> Grade:
    """Right if the value is the target."""
    if value == target:
        return Grade(1.0, "equals the target")
    return Grade(0.0, f"expected {target!r}, got {value!r}")


def refuse_text(kind: str, values: object) -> None:
    """Refuse a string where a tuple of strings is expected: its characters would be taken for them.

    Raises:
        SuiteError: with what to write instead.
    """
    if isinstance(values, str):
        message = f"{kind}({values!r}) takes a tuple; write {kind}(({values!r},))"
        raise misuse(message, SuiteError)


def _norm(text: str) -> str:
    """Casefold, collapse spaces, underscores and hyphens, strip quotes and end marks."""
    return " ".join(re.sub(r"[_\-\s]+", " ", text).split()).strip(" \"'`*.#").casefold()


_ARTICLES = {"a", "an", "the"}
_NO_PUNCTUATION = str.maketrans("", "", string.punctuation)
_WITHIN_NUMBER = re.compile(r"(?<=\d)(?:[.:]|,(?!\d{3}\b))(?=\d)")  # but not between thousands


def _words(text: str) -> list[str]:
    """Words as SQuAD compares them: lower case, without punctuation and articles."""
    return [word for word in text.lower().translate(_NO_PUNCTUATION).split() if word not in _ARTICLES]


def _whole(text: str) -> list[str]:
    """The same words, but 1.7, 1,7 and 1:07 remain apart from 17 and 107; 2,200 and 2200 are the same."""
    return _words(_WITHIN_NUMBER.sub("·", text))


def token_f1(value: str, target: str) -> float:
    """Token F1, as SQuAD computes it (Rajpurkar et al., EMNLP 2016).

    >>> round(token_f1("in the city of Paris", "Paris, France"), 2)
    0.33
    """
    got, wanted = _words(value), _words(target)
    if not got or not wanted:
        return float(got == wanted)
    common = (Counter(got) & Counter(wanted)).total()
    return 2 * common / (len(got) + len(wanted))


def stable_repr(answer: Any) -> str:  # noqa: ANN401 - any dataclass
    """The repr of a dataclass, in which a field with `repr=False` appears only if it does not have its default."""
    shown = [one for one in fields(answer) if one.repr or getattr(answer, one.name) != _default(one)]
    return f"{type(answer).__qualname__}({', '.join(f'{one.name}={getattr(answer, one.name)!r}' for one in shown)})"


def _default(of: Field[Any]) -> object:
    return of.default_factory() if of.default_factory is not MISSING else of.default
