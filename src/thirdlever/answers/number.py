"""Answers that are a number, with a tolerance and a unit."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any

from thirdlever.answers.answer import Grade
from thirdlever.answers.reading import SHOWN, UNFINISHED, Reading, marked, refusal, spoken, unread
from thirdlever.core.errors import SuiteError
from thirdlever.core.mistakes import misuse
from thirdlever.core.text import clipped, counted

# 1.234,56; then 1,234.5; then 1 234,5; then 5,50; then 5.5
_WRITTEN = (
    r"\d{1,3}(?:\.\d{3})+,\d+|\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d{1,3}(?:[ '\u202f\u00a0]\d{3})+(?!\d)(?:[.,]\d+)?"
    r"|\d+,\d+|\d+(?:\.\d+)?|\.\d+"
)
_NUMBER = re.compile(
    rf"(?<![\w.,])(?:(?<!\d)[-+\u2212])?(?:[$€£¥]\s?)?(?:{_WRITTEN})(?:e[-+]?\d{{1,3}}(?!\w))?", re.IGNORECASE
)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?(?:e.*)?", re.IGNORECASE)
_SCALE = {"thousand": 3, "k": 3, "million": 6, "mn": 6, "billion": 9, "bn": 9}
_UNIT = re.compile(r"[*_`$\\)\s]{0,4}([^\W\d_]+(?:/[^\W\d_]+|[²³])?|[%‰°€£¥])")
_BOXED = re.compile(r"\\boxed\s*\{([^{}\n]*)\}|^####\s*(.+)$", re.MULTILINE)
_CLEAN = re.compile(r"[\"'`*_$\s(\[{=≈~]*")
_SPELLED_OUT = 4  # letters of the shortest unit that is not abbreviated: "gram"
_WIDEST = 30  # digits before or after the point that are written out


@dataclass(frozen=True)
class Number:
    """A number; right within the tolerance.

    "1,234.5", "1 234,5", "$1.2 million", "-3e-2" and "40 %" are read. A number in another unit is unparsed: 500 g are
    not 500 kg.

    Attributes:
        name: what the prompt calls the answer.
        tolerance: largest difference from the target.
        relative: the same as a share of the target; the larger of the two counts.
        unit: of the answer, such as "km" or "%"; "" for none.
    """

    name: str = "Number"
    tolerance: float = 0.0
    relative: float = 0.0
    unit: str = ""
    max_tokens: int = field(default=32, init=False, repr=False)
    choices: tuple[str, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a negative tolerance."""
        if min(self.tolerance, self.relative) < 0:
            message = f"Number: a tolerance cannot be negative; got {min(self.tolerance, self.relative)}"
            raise misuse(message, SuiteError)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """An object with one number."""
        key = self.name.lower()
        properties = {key: {"type": "number"}}
        return {"type": "object", "properties": properties, "required": [key], "additionalProperties": False}

    def describe(self) -> str:
        """Ask for the number alone."""
        unit = f" in {self.unit}" if self.unit else ""
        return f"Answer with the {self.name.lower()}{unit} only, as a number."

    def read(self, completion: str, *, cut_off: bool = False) -> Reading:
        r"""The number that the completion settles on.

        The order of trust: the whole completion; after `\boxed{…}`, "####", "Answer:" or the answer's name, the last
        one; the first line; the last line, after its last "="; the only number in the text.
        """
        text = spoken(completion)
        if text is None:
            return Reading(None, "cut_off", UNFINISHED)
        if refusal(text):
            return unread(text, "", cut_off=cut_off)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines or (cut_off and not _BOXED.search(text)):
            return unread(text, f"no complete number in: {text[:SHOWN]!r}", cut_off=cut_off)
        boxed = [box[0] or box[1] for box in _BOXED.findall(text)]
        after = marked(text, self.name)
        places = (
            (text, "", True),
            (boxed[-1] if boxed else "", "read after its marker", False),
            ((after or "").partition("\n")[0], "read after its marker", False),
            (lines[0], "read from the first line", True),
            (lines[-1].rpartition("=")[2], "read from the last line", False),
            (text, "the only number in the text", False),
        )
        for place, how, alone in places:
            found = list(_NUMBER.finditer(place))
            if len(found) == 1 and (not alone or _CLEAN.fullmatch(place[: found[0].start()])):
                return self._settled(text, place, found[0], how)
        number = len(list(_NUMBER.finditer(text)))
        reason = f"{counted(number, 'number')} named" if number else f"no number in: {text[:SHOWN]!r}"
        return unread(text, reason, cut_off=cut_off)

    def grade(self, value: str, target: str) -> Grade:
        """Right if the difference is within the tolerance."""
        got, wanted = self._value(value), self._value(target)
        allowed = max(Decimal(str(self.tolerance)), Decimal(str(self.relative)) * abs(wanted))
        within = f" within {_written(allowed)}" if allowed else ""
        if abs(got - wanted) <= allowed:
            return Grade(1.0, "equals the target" if got == wanted else f"{value} is {_written(wanted)}{within}")
        return Grade(0.0, f"expected {_written(wanted)}{within}, got {value}")

    def problem(self, target: str) -> str | None:
        """A target must be a number, in the unit if it has one."""
        read = self.read(target)
        return None if read.value is not None else f"{clipped(target)} is not a number ({read.reason})"

    def canonical(self, target: str) -> str:
        """The target as answers are compared: without unit and thousands separators."""
        return self.read(target).value or target

    def _value(self, text: str) -> Decimal:
        return Decimal(self.canonical(text))

    def _settled(self, text: str, place: str, found: re.Match[str], how: str) -> Reading:
        value, rest = _decimal(found[0]), place[found.end() :]
        unit = _UNIT.match(rest)
        word = unit[1] if unit else ""
        if word.lower() in _SCALE and word != self.unit:
            value = value.scaleb(_SCALE[word.lower()])
        elif self._other_unit(word, rest):
            return unread(text, f"{clipped(word)} is not the unit {self.unit!r}", cut_off=False)
        return Reading(_written(value), "answered", how)

    def _other_unit(self, word: str, rest: str) -> bool:
        """Whether the number is in a unit that is not this one: nothing but a word follows it, as in "500 g"."""
        alone = rest.strip(" *_`$\\).!\n") == word
        return bool(self.unit and word and alone and not _same_unit(word.casefold(), self.unit.casefold()))


def _same_unit(word: str, unit: str) -> bool:
    """Whether a word is a unit, its plural or what it abbreviates: "kg", "kgs", "kilograms"."""
    if word.rstrip("s.") == unit.rstrip("s.") or (word.startswith("percent") and unit == "%"):
        return True
    letters = iter(word)
    return len(word) >= _SPELLED_OUT and word[0] == unit[0] and all(letter in letters for letter in unit)


def _decimal(text: str) -> Decimal:
    """A number as people write it: "," groups thousands where only groups of three follow it.

    >>> _decimal("1,234.5"), _decimal("1.234,5"), _decimal("5,50"), _decimal("$1,200")
    (Decimal('1234.5'), Decimal('1234.5'), Decimal('5.50'), Decimal('1200'))
    """
    plain = re.sub(r"[\s$€£¥'\u202f\u00a0]", "", text).replace("\u2212", "-")
    if "," in plain and _THOUSANDS.fullmatch(plain):
        plain = plain.replace(",", "")
    elif "," in plain:
        plain = plain.replace(".", "").replace(",", ".")
    return Decimal(plain)


def _written(value: Decimal) -> str:
    """A number in its shortest form.

    >>> _written(Decimal("1200.50")), _written(Decimal("1E+3"))
    ('1200.5', '1000')
    """
    if not value:
        return "0"
    shortest = value.normalize()
    return format(shortest, "f") if abs(shortest.adjusted()) <= _WIDEST else str(shortest)
