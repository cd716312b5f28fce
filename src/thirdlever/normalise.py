"""When two inputs count as the same text."""

from __future__ import annotations

import string
import unicodedata


class _Blanked(dict[int, str]):
    """Characters as `str.translate` asks for them: punctuation is a space; all else, emoji too, stays."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        blank = character in string.punctuation or unicodedata.category(character).startswith("P")
        self[code] = " " if blank else character
        return self[code]


_BLANKED = _Blanked()


def normalise(text: str) -> str:
    """Casefold, punctuation to space, white space collapsed: equal results are the same text to any strategy.

    >>> normalise("Where's my  CARD?!")
    'where s my card'

    A text of nothing but punctuation is itself, or "?" and "!" would be the same.
    """
    return " ".join(text.casefold().translate(_BLANKED).split()) or text.strip()
