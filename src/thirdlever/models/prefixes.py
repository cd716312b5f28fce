"""Common prefixes of token sequences: found among requests that wait together, and remembered between requests."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thirdlever.models.attention import KV

Tokens = tuple[int, ...]
WORTHWHILE = 32  # tokens; a shorter prefix costs more in bookkeeping than its reuse saves
_WORTH_A_GROUP = 96  # tokens saved in all; for less, a group of its own costs more in every decoding step


@dataclass(frozen=True, slots=True)
class Group:
    """Sequences (by index) that share their first `shared` tokens; 0 when they share too little."""

    members: tuple[int, ...]
    shared: int


def common(a: Sequence[object], b: Sequence[object]) -> int:
    """Length of the common prefix of tokens or of a text, by halving: slices compare at the speed of C."""
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
    A prefix never covers a whole sequence: its last token is needed to predict the next. Sequences that would save
    little make one group with nothing shared.
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
        groups.append(Group(tuple(members), min(least, min(len(sequences[i]) for i in members) - 1)))
    worth = [g for g in groups if g.shared >= WORTHWHILE and g.shared * (len(g.members) - 1) >= _WORTH_A_GROUP]
    grouped = {i for g in worth for i in g.members}
    rest = tuple(i for i in order if i not in grouped)
    return [*worth, Group(rest, 0)] if rest else worth


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
    _entries: OrderedDict[tuple[Path | None, Tokens], KV] = field(default_factory=OrderedDict)

    def longest(self, tokens: Tokens, adapter: Path | None = None) -> tuple[int, KV | None]:
        """The longest prefix of `tokens` that is known under this adapter: its length and its keys and values.

        Less than `WORTHWHILE` counts as nothing.
        """
        best, length = None, 0
        for key in self._entries:
            if key[0] == adapter and (shared := common(key[1], tokens)) > length:
                best, length = key, shared
        if best is None or length < WORTHWHILE:
            return 0, None
        self._entries.move_to_end(best)
        return length, [(k[:, :, :length], v[:, :, :length]) for k, v in self._entries[best]]

    def remember(self, tokens: Tokens, kv: KV, adapter: Path | None = None) -> None:
        """Keep `kv`, computed for exactly `tokens`; what it extends is dropped."""
        for key in [k for k in self._entries if k[0] == adapter and k[1] == tokens[: len(k[1])]]:
            del self._entries[key]
        self._entries[adapter, tokens] = kv
        while len(self._entries) > 1 and sum(map(size, self._entries.values())) > self.capacity:
            self._entries.popitem(last=False)


def size(kv: KV) -> int:
    """Bytes that keys and values take."""
    return sum(t.numel() * t.element_size() for pair in kv for t in pair)
