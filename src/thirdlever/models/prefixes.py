"""Common prefixes of token sequences: found among requests that wait together, and remembered between requests."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.models.attention import KV

Tokens = tuple[int, ...]
WORTHWHILE = 32  # tokens; a shorter prefix costs more in bookkeeping than its reuse saves


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences (by index) that share their first `shared` tokens; 0 when they share too little."""

    members: tuple[int, ...]
    shared: int


def common(a: Sequence[int], b: Sequence[int]) -> int:
    """Length of the common prefix, by halving: slices compare at the speed of C."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def group(sequences: Sequence[Tokens]) -> list[Group]:
    """Part sequences into groups so that few tokens are computed twice.

    Sorted sequences with a common prefix are neighbours. A run of neighbours is split where it agrees least, whenever
    the longer prefixes of the halves save more than computing what they have in common once more.
    A prefix never covers a whole sequence: its last token is needed to predict the next.
    """
    order = sorted(range(len(sequences)), key=lambda i: sequences[i])
    agree = [common(sequences[a], sequences[b]) for a, b in pairwise(order)]
    groups: list[Group] = []
    stack = [(0, len(order))] if order else []
    while stack:
        start, end = stack.pop()
        members = order[start:end]
        within = agree[start : end - 1]
        if not within:
            groups.append(Group(tuple(members), 0))
            continue
        least = min(within)
        cut = start + within.index(least) + 1
        apart = _saved(sequences, order[start:cut], agree[start : cut - 1])
        apart += _saved(sequences, order[cut:end], agree[cut : end - 1])
        if least < WORTHWHILE <= max(within) or apart > _saved(sequences, members, within):
            stack += [(cut, end), (start, cut)]
            continue
        shared = min(least, min(len(sequences[i]) for i in members) - 1)
        groups.append(Group(tuple(members), shared if shared >= WORTHWHILE else 0))
    return groups


def _saved(sequences: Sequence[Tokens], members: Sequence[int], within: Sequence[int]) -> int:
    """Tokens that need not be computed when `members` share one prefix."""
    if not within:
        return 0
    shared = min(*within, min(len(sequences[i]) for i in members) - 1)
    return shared * (len(members) - 1)


@dataclass
class PrefixCache:
    """Keys and values of sequences seen lately; any prefix of one can be had as a view.

    Attributes:
        capacity: bytes; the least recently used go first.
    """

    capacity: int
    _entries: OrderedDict[Tokens, KV] = field(default_factory=OrderedDict)

    def longest(self, tokens: Tokens) -> tuple[int, KV | None]:
        """The longest prefix of `tokens` that is known: its length and its keys and values.

        Less than `WORTHWHILE` counts as nothing.
        """
        best, length = None, 0
        for known in self._entries:
            if (shared := common(known, tokens)) > length:
                best, length = known, shared
        if best is None or length < WORTHWHILE:
            return 0, None
        self._entries.move_to_end(best)
        return length, [(k[:, :, :length], v[:, :, :length]) for k, v in self._entries[best]]

    def remember(self, tokens: Tokens, kv: KV) -> None:
        """Keep `kv`, computed for exactly `tokens`; what it extends is dropped."""
        for known in [k for k in self._entries if len(k) < len(tokens) and tokens[: len(k)] == k]:
            del self._entries[known]
        self._entries[tokens] = kv
        while len(self._entries) > 1 and sum(map(size, self._entries.values())) > self.capacity:
            self._entries.popitem(last=False)


def size(kv: KV) -> int:
    """Bytes that keys and values take."""
    return sum(t.numel() * t.element_size() for pair in kv for t in pair)
