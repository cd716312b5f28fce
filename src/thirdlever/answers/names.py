"""Recognises the labels of a suite in text, as forgivingly as they stay distinct."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence


# Signs that belong to the letter before them. `\w` leaves them out, and words of Indic scripts would fall apart.
_ACCENTS = "".join(
    re.escape(chr(code))
    for code in (*range(0x300, 0x2000), *range(0xA800, 0xAC00))
    if unicodedata.category(chr(code))[0] == "M"
)
_LETTER = rf"[\w{_ACCENTS}]"
# Scripts that do not put spaces between words, or attach endings to them, as Korean does.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff]")
_GAP = r"[\W_]{1,3}"  # between the words of a label
_PUNCTUATION = re.compile(rf"(?:[^\w{_ACCENTS}]|_)+")
# A minus before a number and the point in it are part of the number.
_NUMBER = re.compile(r"(?<![\w.])[-\u2212]?\d+(?:[.,]\d+)*(?!\w)")
_SPACES = re.compile(r"[\s_]+")
_DECORATION = "\"'`*_$#~()[]{}<>“”‘’«»„.,;:!?。、！？：" + "\\"
_MAX_LAYERS = 20

# Words that turn the label after them into what the answer is not, and the words that may stand between.
_SAME_CLAUSE = r"[^\w.;:!?,\n]"
_NEGATED = re.compile(
    r"(?:(?<!\w)(?:not|no|never|neither|nor|non|rather than|instead of|\w+n['’]t|cannot|nicht|kein\w*|weder|noch"
    rf"|keineswegs|ne|pas|jamais|nunca|sin)(?:{_SAME_CLAUSE}+(?!but\b|sondern\b|rather\b|sino\b|mais\b)[\w'’]+){{0,4}}?{_SAME_CLAUSE}+"
    r"|(?:不是|不属于|并非|没有|非|不)\w{0,4})$"
)
_NO_NEGATION = re.compile(r"\b(?:not only|no doubt|no question|nicht nur)\b")
_NEGATED_AFTER = re.compile(r"\s?(?:ではな|ではあり|じゃな|가 아|이 아)")
_CLAUSE = 60  # characters before a label in which a negation is looked for

# After a letter: what shows that it stands for an option and is not the article "a" or the pronoun "I".
_WORDS = "AEIOUYaeiouy"
_OPTION = re.compile(r"\s*(?:$|[^\w\s'’]|(?:is|was|because|since|as|and|or|but|seems|fits|applies)\b)")
_SINGLE = re.compile(r"(?<![\w'’])(?<!\w-)[^\W\d_](?![\w'’])(?!-\w)")


@dataclass(frozen=True, slots=True)
class Mention:
    """A label in a text.

    Attributes:
        label: which.
        start: where it begins in the text as `LabelNames.prepare` returns it.
        end: where it ends.
        negated: whether the text says that it is not this label.
    """

    label: str
    start: int
    end: int
    negated: bool


class LabelNames:
    """The labels of a suite, as text may write them.

    Five levels of comparison, each more forgiving than the one before: exact; Unicode's composed form (NFC); case, with
    full-width and other compatible forms; runs of spaces and underscores; all punctuation. The most forgiving under
    which all labels stay distinct is used, so that A and A-, * and **, -1 and 1, en-US and en_US are told apart.

    A trap: "I" and "i" are one letter only outside Turkish. The dotless ı and the dotted İ count as i where the labels
    stay distinct, which is right for "İADE" as the label "iade", and a guess for words that differ by the dot alone.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        """Choose the level."""
        self.labels = labels
        wanted = len(set(labels))
        self._level = next((each for each in reversed(_LEVELS) if _distinct(map(each, labels), wanted)), exact)
        self._by_key = {self._level(label): label for label in labels}
        # A longer text is no label, whatever its decoration: normalising it would be for nothing.
        self._longest = 2 * max(map(len, labels), default=0)

    def exact(self, text: str) -> str | None:
        """The label that a text is, apart from decoration such as quotes, emphasis and end marks."""
        if len(text) > self._longest and len(text.strip(_DECORATION)) > self._longest:
            return None
        layers = (text,) if self._level is punctuation else _layers(text)
        return next((self._by_key[key] for layer in layers if (key := self._level(layer)) in self._by_key), None)

    def longer(self, label: str) -> str | None:
        """Another label that begins with this one, so that a text which was cut off may have meant it."""
        key = self._level(label)
        return next((other for own, other in self._by_key.items() if own != key and own.startswith(key)), None)

    def mentions(self, text: str, before: str = "") -> list[Mention]:
        """Every label in a text, from left to right; where one contains another, the longer one.

        Args:
            text: to search.
            before: what stands before it, and may negate it.
        """
        folded = _fold(text) if self._level in _FOLDING else text
        context = _fold(before[-_CLAUSE:])

        def mention(label: str, start: int, end: int) -> Mention:
            negated = negates(context + folded[:start]) or bool(_NEGATED_AFTER.match(folded, end))
            return Mention(label, start, end, negated)

        found = [
            mention(self._by_key[self._level(match[0])], *match.span())
            for match in (self._pattern.finditer(folded) if self._pattern else ())
        ]
        if not self._letters:
            return found
        taken = {at for each in found for at in range(each.start, each.end)}
        for match in _SINGLE.finditer(text):
            label = self._letters.get(self._level(match[0]))
            if label is not None and match.start() not in taken and _is_option(text, match, label):
                found.append(mention(label, *match.span()))
        return sorted(found, key=lambda each: each.start)

    @cached_property
    def _letters(self) -> Mapping[str, str]:
        """The labels of one letter, by their key: only their case and their surroundings tell them from words."""
        return {
            key: label for key, label in self._by_key.items() if _SINGLE.fullmatch(label) and not _UNSPACED.match(label)
        }

    @cached_property
    def _pattern(self) -> re.Pattern[str] | None:
        """All other labels, the longest first, by their first character: `re` then skips to those characters."""
        starts: dict[str, list[str]] = defaultdict(list)
        gaps: dict[Callable[[str], str], str] = {punctuation: _GAP, spaces: r"[\s_]+"}
        gap = gaps.get(self._level)
        for key in sorted(self._by_key, key=len, reverse=True):
            if key.strip() and key not in self._letters:
                rest = key[1:]
                written = re.escape(rest) if gap is None else gap.join(map(re.escape, rest.split(" ")))
                starts[key[0]].append(written + _after(key[-1]))
        names = "|".join(f"{re.escape(first)}{_before(first)}(?:{'|'.join(rests)})" for first, rests in starts.items())
        return re.compile(names) if names else None


def _before(first: str) -> str:
    """A pattern, to match after a label's first character: nothing stands before it that makes it part of a word."""
    if first.isdigit():
        return rf"(?<![\w.,\u2212-]{first})(?<!\d/{first})(?<!out of {first})"  # in "4/5", the 5 is no answer
    if re.match(_LETTER, first):
        return "" if _UNSPACED.match(first) else rf"(?<!{_LETTER}{first})(?:(?<!\w-{first})|(?<=\bno[nt]-{first}))"
    return rf"(?<![\w{re.escape(first)}]{re.escape(first)})"


def _after(last: str) -> str:
    """A pattern: nothing stands after a label that makes it part of a word."""
    if last.isdigit():
        return r"(?![\w%])(?![.,]\d)"
    if re.match(_LETTER, last):
        return "" if _UNSPACED.match(last) else rf"(?!{_LETTER})"
    return rf"(?![\w{re.escape(last)}])"


def negates(before: str) -> bool:
    """Whether what stands before a label says that it is not this one."""
    return bool(_NEGATED.search(_NO_NEGATION.sub("", before[-_CLAUSE:])))


def _is_option(text: str, match: re.Match[str], label: str) -> bool:
    """Whether a single letter is an option, not "a good answer", "I think", or a letter of another case in prose."""
    letter, before, after = match[0], text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    if (before and before in "([{*\"'`$“‘") or (after and after in ')]*}"`$”'):
        return True
    if letter in _WORDS:
        return letter.isupper() and bool(_OPTION.match(text, match.end()))
    return letter.isupper() or letter == label


# The levels of comparison


def exact(text: str) -> str:
    """The text as it is."""
    return text


def composed(text: str) -> str:
    """In Unicode's composed form, without surrounding spaces."""
    return unicodedata.normalize("NFC", text).strip()


def cased(text: str) -> str:
    """Without case, and without the differences between forms of one character."""
    return _fold(text).strip()


def spaces(text: str) -> str:
    """Also with one space for every run of spaces and underscores."""
    return _SPACES.sub(" ", _fold(text)).strip()


def punctuation(text: str) -> str:
    """Also with a space for all punctuation outside numbers."""
    folded = _fold(text)
    if folded.isalpha():
        return folded
    parts, start = [], 0
    for number in _NUMBER.finditer(folded):
        parts += [_PUNCTUATION.sub(" ", folded[start : number.start()]), number[0].replace("\u2212", "-")]
        start = number.end()
    return " ".join("".join([*parts, _PUNCTUATION.sub(" ", folded[start:])]).split())


_LEVELS: tuple[Callable[[str], str], ...] = (exact, composed, cased, spaces, punctuation)
_FOLDING = (cased, spaces, punctuation)


def _fold(text: str) -> str:
    if text.isascii():
        return text.lower()
    return (
        unicodedata.normalize("NFC", unicodedata.normalize("NFKC", text).casefold())
        .replace("i\u0307", "i")
        .replace("ı", "i")
    )


def _distinct(keys: Iterable[str], wanted: int) -> bool:
    found = set(keys)
    return len(found) == wanted and ("" not in found or wanted == 1)


def _layers(text: str) -> Iterator[str]:
    """A text, and what is left as decoration is taken off: end marks, then pairs of quotes, brackets and emphasis."""
    yield text
    for _ in range(_MAX_LAYERS):
        inner = text.strip()
        if inner == text:
            inner = text.rstrip(".,;:!?。、！？")
        if inner == text and text and text[-1] in _DECORATION:
            inner = text[1:-1] if len(text) > 1 and text[0] in _DECORATION else text[:-1]
        if inner == text and text and text[0] in _DECORATION:
            inner = text[1:]
        if inner == text or not inner:
            return
        text = inner
        yield text
