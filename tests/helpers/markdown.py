"""Reads Markdown pages: their code blocks, and the files, commands and outputs that these show."""

from __future__ import annotations

import re
from dataclasses import dataclass

_BLOCK = re.compile(r"(?:^`([\w/.-]+)`\n\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FIGURE = re.compile(r"\d[\d.,]*")


@dataclass(frozen=True)
class Block:
    """A fenced code block.

    Attributes:
        path: the file that it is, if a line with nothing but a path precedes it.
        language: after the fence; may be empty.
        text: between the fences.
    """

    path: str
    language: str
    text: str


def blocks(text: str) -> list[Block]:
    """The fenced code blocks of a page, in order."""
    return [Block(*found) for found in _BLOCK.findall(text)]


def fenced(text: str, language: str = "") -> list[str]:
    """The code blocks of one language."""
    return [block.text for block in blocks(text) if block.language == language]


def files(text: str) -> dict[str, str]:
    """The files that a page shows, by path."""
    return {block.path: block.text for block in blocks(text) if block.path}


def missing(shown: str, printed: str) -> list[str]:
    """The lines of an output on a page that a program did not print.

    Figures and white space may differ, and a program may print more.
    """
    lines = [_spaced(line) for line in printed.splitlines()]
    return [line for line in shown.splitlines() if line.strip() and not any(map(_pattern(line).fullmatch, lines))]


def _pattern(line: str) -> re.Pattern[str]:
    """The line with any figures in place of its own."""
    return re.compile(_FIGURE.pattern.join(map(re.escape, _FIGURE.split(_spaced(line)))))


def _spaced(line: str) -> str:
    """The line with single spaces, rules of one length, and one unit of time: which one depends on speed."""
    return re.sub(r"(?<=\d) ms\b", " s", re.sub("─+", "─", " ".join(line.split())))
