"""Decoding constrained to a closed set of answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass
class Choices:
    """A trie over the token sequences of the allowed answers, each closed by the end-of-sequence token.

    Attributes:
        children: what may come next, by token.

    >>> trie = Choices.of([[5, 6], [5, 7, 8]], end=2)
    >>> sorted(trie.following([5]))
    [6, 7]
    >>> trie.forced([5, 7])
    [8, 2]
    """

    children: dict[int, Choices] = field(default_factory=dict)

    @classmethod
    def of(cls, answers: Iterable[Sequence[int]], *, end: int) -> Choices:
        """Build the trie."""
        root = cls()
        for answer in answers:
            node = root
            for token in (*answer, end):
                node = node.children.setdefault(token, cls())
        return root

    def following(self, tokens: Sequence[int]) -> list[int]:
        """Tokens that may come next; empty when `tokens` is complete."""
        return list(self._at(tokens).children)

    def forced(self, tokens: Sequence[int]) -> list[int]:
        """What must follow to the very end when only one answer is left; else empty.

        The model need not be asked for it: it has no choice.
        """
        node, rest = self._at(tokens), []
        while node.children:
            if len(node.children) > 1:
                return []
            token, node = next(iter(node.children.items()))
            rest.append(token)
        return rest

    def _at(self, tokens: Sequence[int]) -> Choices:
        node = self
        for token in tokens:
            node = node.children[token]
        return node
