"""Documents in passages that an embedder can read whole.

A passage is what is found and shown in place of a document. Its title is the document's with the headings above the
passage, and title and text together have at most so many of the embedder's tokens.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.core.errors import StrategyError, need
from thirdlever.core.progress import note
from thirdlever.retrieval.embedders import MINILM, find_embedder
from thirdlever.suites.documents import PAGE, headings
from thirdlever.suites.suite import Document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thirdlever.suites.documents import Heading

LEAST = 16  # tokens of a passage
AUTO = 512  # tokens of a passage at most, where the embedder's window is larger or unknown
CUT = "cut"  # field of a passage that begins inside a "word" or a table's "row"
_ABOVE = " > "  # between a title and the headings below it
_HEAD = 2  # a head has at most this part of a passage: a half


def passages(
    documents: Sequence[Document],
    tokens: int | Literal["auto"] | None = None,
    *,
    overlap: int = 0,
    embedder: str = MINILM,
) -> tuple[Document, ...]:
    """Documents in passages, cut between sections, paragraphs or sentences.

    A document that is longer than the embedder's window is found by its beginning alone; its passages are all found.
    Their id is its id, "#" and their number. Their title is its title and the headings above them, joined by " > ".
    Beside its fields, they have `section` (the headings alone), `page` (where the document has pages), and `cut` if
    they begin inside a "word" or a table's "row" that is longer than a passage. Together, without overlap, their texts
    are the document's text up to white space. They depend on their own document alone.

    Args:
        documents: to cut.
        tokens: of title and text together, as the embedder counts them; "auto" or None is its window, but 512 at most.
        overlap: tokens of a passage's end that the next one may repeat.
        embedder: its name, see `find_embedder`.

    Raises:
        StrategyError: `tokens` or `overlap` is too small or too large.
        MissingExtraError: the `rag` extra is not installed.
    """
    by = find_embedder(embedder)
    most = min(by.window or AUTO, AUTO) if tokens in {None, "auto"} else tokens
    if not isinstance(most, int) or most < LEAST:
        message = f"passages of {most!r} tokens are not possible; expected {LEAST} or more, or auto"
        raise StrategyError(message)
    if not 0 <= overlap <= most // 4:
        message = f"an overlap of {overlap} tokens is not possible; expected 0 to {most // 4}, a quarter of a passage"
        raise StrategyError(message)
    cutter = _Cutter(by.tokenizer, most, overlap)
    found = tuple(passage for document in documents for passage in cutter.passages(document))
    if cut := sum(CUT in passage.fields for passage in found):
        note(f"{cut:,} of {len(found):,} passages begin inside a word or a table's row of more than {most} tokens")
    return found


def _count(tokenizer: Any, text: str) -> int:  # noqa: ANN401 - of an optional library
    """Tokens of a text as it is embedded: with those that mark its beginning and end."""
    return len(tokenizer.encode(text).ids)


@lru_cache(maxsize=64)
def _splitter(tokenizer: Any, tokens: int, overlap: int, *, plain: bool) -> Any:  # noqa: ANN401 - optional
    splitters = need("semantic_text_splitter", extra="rag")
    kind = splitters.TextSplitter if plain else splitters.MarkdownSplitter
    return kind.from_huggingface_tokenizer(tokenizer, tokens, overlap=overlap)


def _is_plain(document: Document) -> bool:
    """Whether a text is no Markdown: as such, "[2]" would be a link, and links stay whole before sentences do."""
    return "pages" in document.fields or str(document.fields.get("source")).casefold().endswith((".txt", ".text"))


@dataclass(frozen=True, slots=True)
class _Section:
    """A part of a text from one heading to the next.

    Attributes:
        start: position of its first character.
        end: position after its last.
        heading: with which it begins; None for what stands before the first.
        above: the titles of the headings above this one.
    """

    start: int
    end: int
    heading: Heading | None
    above: tuple[str, ...]

    @property
    def within(self) -> tuple[str, ...]:
        """Its own title, too."""
        return (*self.above, self.heading.title) if self.heading else self.above


def _sections(text: str) -> list[_Section]:
    """A text at its headings; headings without anything between them stay together."""
    marks = headings(text)
    ends = [*(mark.start for mark in marks), len(text)][1:] if marks else []
    found = [_Section(0, marks[0].start if marks else len(text), None, ())]
    open_: list[Heading] = []
    for mark, end in zip(marks, ends, strict=True):
        open_ = [other for other in open_ if other.level < mark.level]
        found.append(_Section(mark.start, end, mark, tuple(other.title for other in open_)))
        open_.append(mark)
    return [section for section in found if text[section.start : section.end].strip()]


@dataclass(frozen=True)
class _Cutter:
    """Cuts documents into passages of at most `most` tokens."""

    tokenizer: Any
    most: int
    overlap: int
    _marks: int = field(init=False)  # tokens that every text has

    def __post_init__(self) -> None:
        object.__setattr__(self, "_marks", _count(self.tokenizer, ""))

    def passages(self, document: Document) -> Iterator[Document]:
        """The passages of a document."""
        text = document.text
        pages = [at for at, character in enumerate(text) if character == PAGE] if "pages" in document.fields else None
        end = 0
        for number, (start, stop, above) in enumerate(self._pieces(document), start=1):
            fields = dict(document.fields)
            if above:
                fields["section"] = _ABOVE.join(above)
            if pages is not None:
                fields["page"] = 1 + bisect_right(pages, start - 1)
            if start >= end and (cut := _cut(text, start)):
                fields[CUT] = cut
            end = stop
            shown = text[start:stop].replace(PAGE, "\n").strip()
            yield Document(f"{document.id}#{number}", self._head(document.title, above), shown, fields)

    def _pieces(self, document: Document) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """Start and end of each passage, and the headings above it."""
        group: list[_Section] = []
        for section in _sections(document.text):
            if group and self._together(document, [*group, section]):
                group.append(section)
                continue
            yield from self._parts(document, group)
            group = [section]
        yield from self._parts(document, group)

    def _together(self, document: Document, group: Sequence[_Section]) -> bool:
        """Whether sections make one passage: they fit, and none after the first is above it."""
        first, last = group[0], group[-1]
        below = first.heading is None or (last.heading is not None and last.heading.level >= first.heading.level)
        return below and self._fits(document, first.start, last.end, first.above)

    def _fits(self, document: Document, start: int, end: int, above: tuple[str, ...]) -> bool:
        text = document.text[start:end].strip()
        if len(text) > 40 * self.most:  # no need to count
            return False
        return _count(self.tokenizer, f"{self._head(document.title, above)}\n{text}") <= self.most

    def _parts(self, document: Document, group: Sequence[_Section]) -> Iterator[tuple[int, int, tuple[str, ...]]]:
        """Sections as one passage, or a section that is too long as several."""
        if not group:
            return
        first, last = group[0], group[-1]
        start, end = _stripped(document.text, first.start, last.end)
        if self._fits(document, start, end, first.above):
            yield start, end, first.above
            return
        # The first passage has the section's heading in its text, the others have it in their head.
        body = first.heading.end if first.heading else first.start
        heading = document.text[start:body]
        pieces = list(self._split(document, body, end, first.within, _count(self.tokenizer, heading)))
        if not pieces or not heading.strip():
            yield from ((at, to, first.within) for at, to in pieces)
        elif self._fits(document, start, pieces[0][1], first.above):
            yield start, pieces[0][1], first.above
            yield from ((at, to, first.within) for at, to in pieces[1:])
        else:  # a heading of many lines
            yield from ((at, to, first.above) for at, to in self._split(document, start, body, first.above, 0))
            yield from ((at, to, first.within) for at, to in pieces)

    def _split(
        self, document: Document, start: int, end: int, above: tuple[str, ...], spare: int
    ) -> Iterator[tuple[int, int]]:
        """A part of a document in pieces that fit under their head."""
        head = _count(self.tokenizer, f"{self._head(document.title, above)}\n")
        # The heading of the first piece takes the place of the same words in the head of the others.
        own = _count(self.tokenizer, f"{self._head(document.title, above[:-1])}\n") + spare if spare else 0
        capacity = max(self.most - max(head, own), self.most // 4)
        yield from self._fitting(document, start, end, above, capacity)

    def _fitting(
        self, document: Document, start: int, end: int, above: tuple[str, ...], capacity: int
    ) -> Iterator[tuple[int, int]]:
        overlap = min(self.overlap, capacity // 2)
        splitter = _splitter(self.tokenizer, capacity, overlap, plain=_is_plain(document))
        for at, piece in splitter.chunk_indices(_unwrapped(document.text[start:end])):
            first, last = start + at, start + at + len(piece)
            if capacity > 1 and not self._fits(document, first, last, above):
                # Beside its neighbours, or under its head, a text can have a token more.
                yield from self._fitting(document, first, last, above, max(1, capacity * 3 // 4))
            else:
                yield first, last

    @cache  # noqa: B019 - a cutter lives as long as its call
    def _head(self, title: str, above: tuple[str, ...]) -> str:
        """Title and headings, of half a passage at most: without the upper headings, then cut short, if need be."""
        titles = [title, *above] if title else [*above]
        if len(above) and title and above[0].casefold() == title.casefold():
            titles = [*above]
        room = self.most // _HEAD
        while len(titles) > 2 and _count(self.tokenizer, _ABOVE.join(titles)) > room:  # noqa: PLR2004 - title and heading
            del titles[1]
        words = _ABOVE.join(titles)
        encoded = self.tokenizer.encode(words, add_special_tokens=False)
        allowed = max(1, room - self._marks)
        return words if len(encoded.ids) <= allowed else words[: encoded.offsets[allowed - 1][1]]


_WRAPPED = re.compile(r"(?<=[^\n]{60})\n(?=\w)(?!\d+[.)])")


def _unwrapped(text: str) -> str:
    """The text, equally long, with spaces for line breaks in paragraphs: it is cut at lines before sentences."""
    return _WRAPPED.sub(" ", text.replace(PAGE, " "))


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    """A range without the white space around it."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())


def _cut(text: str, start: int) -> Literal["word", "row"] | None:
    """Whether a passage begins inside a word, or inside a table's row."""
    before, after = text[start - 1 : start], text[start : start + 1]
    if before.isalnum() and after.isalnum() and "Lo" not in map(unicodedata.category, (before, after)):
        return "word"  # letters without case, such as Chinese and Thai ones, need no space between words
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return "row" if line.lstrip().startswith("|") and line.strip() else None
