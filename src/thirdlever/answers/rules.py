"""Answers that are checked by deterministic rules: what a text must contain, how long it may be, how it ends.

Checks((must("refund"), must_not("sorry"), at_most(words=80), ends_with("The Acme team")))
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

from thirdlever.answers.answer import Grade, stable_repr
from thirdlever.answers.reading import UNFINISHED, Reading, find_object, refusal, spoken, unread
from thirdlever.answers.structured import Json, as_schema
from thirdlever.core.errors import SuiteError
from thirdlever.core.mistakes import misuse
from thirdlever.core.text import clipped

if TYPE_CHECKING:
    from pydantic import BaseModel

    from thirdlever.answers.structured import Schema


Test: TypeAlias = Literal[
    "must", "must_not", "matches", "not_matches", "starts_with", "ends_with", "same", "at_most", "at_least", "is_json"
]
Unit: TypeAlias = Literal["words", "characters", "sentences"]

_VERBS: dict[str, str] = {
    "must": "contain",
    "must_not": "not contain",
    "matches": "match",
    "not_matches": "not match",
    "starts_with": "begin with",
    "ends_with": "end with",
}
_WORD = re.compile(r"\w+(?:[-'’.]\w+)*")
_SENTENCE = re.compile(r"\w[^.!?。！？]*(?:[.!?。！？]+(?=\s|$)|$)")


@dataclass(frozen=True)
class Rule:
    """One rule; made by `must`, `must_not`, `matches`, `not_matches`, `starts_with`, `ends_with`, `same`, `at_most`, ….

    Attributes:
        test: what is checked.
        text: the text or regular expression; the JSON schema as text for "is_json".
        number: of `unit`, for "at_most" and "at_least".
        unit: what is counted; for "same", what the regular expression finds.
    """

    test: Test
    text: str = ""
    number: int = 0
    unit: str = ""

    def __post_init__(self) -> None:
        """Refuse what no text could be checked by.

        Raises:
            SuiteError: with what to write instead.
        """
        fault = None
        if self.test not in get_args(Test):
            fault = f"there is no such rule; write one of {', '.join(get_args(Test))}"
        elif self.test in {"at_most", "at_least"} and self.unit not in get_args(Unit):
            fault = f"write {self.test}(words=N), (characters=N) or (sentences=N)"
        elif self.test in {"must", "must_not", "starts_with", "ends_with"} and not self.text.strip():
            fault = "the text is empty"
        elif self.test == "same" and not self.unit.strip():
            fault = "say what is the same, such as same('name', r'Hi (\\w+),')"
        elif self.test in {"matches", "not_matches", "same"}:
            try:
                re.compile(self.text)
            except re.error as error:
                fault = f"{self.text!r} is not a regular expression ({error})"
        if fault:
            message = f"{self.test}: {fault}"
            raise misuse(message, SuiteError)

    def __str__(self) -> str:
        """The rule as a prompt and a table state it, after "must"."""
        verb = _VERBS.get(self.test)
        if verb is not None:
            return f"{verb} {self.text!r}"
        if self.test == "same":
            return f"have the right {self.unit}"
        if self.test == "is_json":
            return "be JSON" if self.text == "{}" else "be JSON by the schema"
        return f"have {self.test.replace('_', ' ')} {self.number} {self.unit}"

    def fault(self, value: str, target: str = "") -> str | None:
        """Why a text breaks the rule, given the item's target; None if it keeps it."""
        folded, text = _folded(value), _folded(self.text)
        match self.test:
            case "must" | "must_not":
                held = (text in folded) == (self.test == "must")
            case "matches" | "not_matches":
                held = bool(re.search(self.text, value)) == (self.test == "matches")
            case "starts_with":
                held = folded.startswith(text)
            case "ends_with":
                held = folded.endswith(text)
            case "is_json":
                return self._invalid(value)
            case "same":
                missing = [found for found in self.found(target) if _folded(found) not in folded]
                return f"lacks {missing[0]!r}" if missing else None
            case _:
                counted = _count(value, self.unit)
                held = counted <= self.number if self.test == "at_most" else counted >= self.number
                return None if held else f"has {counted} {self.unit}"
        return None if held else "does not" if self.test in {"must", "matches", "starts_with", "ends_with"} else "does"

    def found(self, target: str) -> list[str]:
        """What the regular expression finds in a target: its first group, or all of it."""
        return [match[1] if match.re.groups else match[0] for match in re.finditer(self.text, target)]

    def _invalid(self, value: str) -> str | None:
        schema = json.loads(self.text)
        if not schema:
            return None if find_object(value, ()) else "is not JSON"
        kind = Json(schema=schema)
        read = kind.read(value)
        return read.reason if read.value is None else kind.invalid(json.loads(read.value)) or None


def must(text: str) -> Rule:
    """The answer contains the text, ignoring case and white space."""
    return Rule("must", text)


def must_not(text: str) -> Rule:
    """The answer does not contain the text, ignoring case and white space."""
    return Rule("must_not", text)


def matches(pattern: str) -> Rule:
    """The regular expression is found in the answer; begin it with `(?i)` to ignore case."""
    return Rule("matches", pattern)


def not_matches(pattern: str) -> Rule:
    """The regular expression is not found in the answer."""
    return Rule("not_matches", pattern)


def starts_with(text: str) -> Rule:
    """The answer begins with the text, ignoring case and white space."""
    return Rule("starts_with", text)


def ends_with(text: str) -> Rule:
    """The answer ends with the text, ignoring case and white space."""
    return Rule("ends_with", text)


def same(what: str, pattern: str) -> Rule:
    r"""The answer has what the regular expression finds in the item's target, such as `same("name", r"Hi (\w+),")`.

    A group in the expression is the part that counts. Case and white space are ignored.
    """
    return Rule("same", pattern, unit=what)


def at_most(*, words: int = 0, characters: int = 0, sentences: int = 0) -> Rule:
    """The answer is no longer; state one of the three."""
    return _length("at_most", words=words, characters=characters, sentences=sentences)


def at_least(*, words: int = 0, characters: int = 0, sentences: int = 0) -> Rule:
    """The answer is no shorter; state one of the three."""
    return _length("at_least", words=words, characters=characters, sentences=sentences)


def is_json(schema: Schema | type[BaseModel] | None = None) -> Rule:
    """The answer is a JSON object, and follows the schema if one is given."""
    return Rule("is_json", json.dumps({} if schema is None else as_schema(schema)))


def _length(test: Test, **stated: int) -> Rule:
    given = {unit: number for unit, number in stated.items() if number > 0}
    unit, number = next(iter(given.items())) if len(given) == 1 else ("", 0)
    return Rule(test, number=number, unit=unit)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold().replace("’", "'")


def _count(text: str, unit: str) -> int:
    match unit:
        case "words":
            return len(_WORD.findall(text))
        case "sentences":
            return len(_SENTENCE.findall(text))
        case _:
            return len(text)


@dataclass(frozen=True)
class Checks:
    """A text that keeps rules; right if it keeps all of them.

    The target is a text that keeps them, for demonstrations and training; only `same` compares the answer with it.

    Attributes:
        rules: which.
        name: what the prompt calls the answer.
        max_tokens: of a right answer, at most.
        partial: whether the score is the share of the rules that are kept.
    """

    rules: tuple[Rule, ...]
    name: str = "Answer"
    max_tokens: int = 256
    partial: bool = field(default=False, repr=False)
    choices: tuple[str, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse anything but rules.

        Raises:
            SuiteError: with what to write instead.
        """
        if isinstance(self.rules, Rule) or not self.rules or not all(isinstance(one, Rule) for one in self.rules):
            message = (
                f"Checks({clipped(self.rules)}) takes a tuple of rules; write Checks((must('…'), at_most(words=80)))"
            )
            raise misuse(message, SuiteError)

    def __repr__(self) -> str:
        """Leave out what has its default."""
        return stable_repr(self)

    def describe(self) -> str:
        """State every rule."""
        return f"Answer with the {self.name.lower()} only. It must {'; '.join(map(str, self.rules))}."

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        """The completion without reasoning and without the answer's name before it."""
        text = spoken(completion)
        if text is None:
            return Reading(None, "cut_off", UNFINISHED)
        value = re.sub(rf"\A\W{{0,4}}{re.escape(self.name)}\W{{0,4}}:[*_\s]*", "", text, flags=re.IGNORECASE)
        if not value or cut_off or refusal(text):
            return unread(text, "the answer is not complete" if cut_off else "the completion is empty", cut_off=cut_off)
        return Reading(value, "answered", "")

    def grade(self, value: str, target: str) -> Grade:
        """Right if every rule is kept; the reason names each, and says why one is not."""
        faults = {rule: rule.fault(value, target) for rule in self.rules}
        kept = [str(rule) for rule, fault in faults.items() if fault is None]
        broken = [f"must {rule}: {fault}" for rule, fault in faults.items() if fault is not None]
        reason = "; ".join([*broken, *([f"kept: {', '.join(kept)}"] if kept else [])])
        return Grade(len(kept) / len(faults) if self.partial else float(not broken), reason)

    def problem(self, target: str) -> str | None:
        """A target must keep every rule."""
        if not target.strip():
            return "the target is empty"
        without = next((rule for rule in self.rules if rule.test == "same" and not rule.found(target)), None)
        if without is not None:
            return f"{clipped(target)} has no {without.unit}: {without.text!r} finds nothing in it"
        broken = next(((rule, fault) for rule in self.rules if (fault := rule.fault(target, target)) is not None), None)
        return None if broken is None else f"{clipped(target)} must {broken[0]}: {broken[1]}"

    def parts(self, value: str) -> dict[str, str]:
        """For every rule, whether the text keeps it: "yes" or "no"."""
        return {str(rule): "yes" if rule.fault(value) is None else "no" for rule in self.rules}
