"""Texts that are nearly the same: candidates by MinHash, confirmed by the share of pieces that they have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.core.text import normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NEAR = 0.7  # Jaccard similarity: one word in ten replaced, or a few misspelt
_PIECE = 4  # characters
_HASHES = 64
_LOOSER = 0.15  # MinHash estimates; a lower threshold misses fewer of those that the exact similarity confirms
_FEWEST = 8  # pieces: of shorter texts, one word is most of the text


def pieces(text: str) -> frozenset[str]:
    """Every sequence of four characters of a text without case, punctuation and repeated white space."""
    plain = f" {normalise(text)} "
    return frozenset(plain[start : start + _PIECE] for start in range(max(1, len(plain) - _PIECE + 1)))


def similarity(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard similarity: pieces in both, as a share of pieces in either."""
    return len(a & b) / len(a | b)


def near_pairs(texts: Sequence[str], *, at_least: float = NEAR) -> Iterator[tuple[int, int, float]]:
    """Pairs of different texts that are nearly the same, as (earlier, later, similarity).

    Of texts that are equal apart from case, punctuation and white space, the first stands for all. Candidates come from
    locality-sensitive hashing of MinHash signatures (Broder, 1997), so that 100,000 texts need not be compared pair by
    pair. Very short texts are not compared.

    Args:
        texts: in any order.
        at_least: Jaccard similarity of their pieces, 0 to 1.
    """
    import datasketch as library

    first = {normalise(text): number for number, text in reversed(list(enumerate(texts)))}
    found = {number: found for number in sorted(first.values()) if len(found := pieces(texts[number])) >= _FEWEST}
    index = library.MinHashLSH(threshold=max(0.1, at_least - _LOOSER), num_perm=_HASHES)
    signatures = library.MinHash.generator(
        [[piece.encode() for piece in sorted(each)] for each in found.values()], num_perm=_HASHES
    )
    for (number, own), signature in zip(found.items(), signatures, strict=True):
        for other in sorted(index.query(signature)):
            if (similar := similarity(found[other], own)) >= at_least:
                yield other, number, similar
        index.insert(number, signature)
