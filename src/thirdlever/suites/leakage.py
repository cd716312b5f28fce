"""The leakage check: nothing that a strategy was given may be in the test split. It fails closed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from thirdlever.core.errors import LeakageError
from thirdlever.core.text import counted, normalise
from thirdlever.suites.suite import Document, Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thirdlever.suites.suite import Suite


QUOTED = 20  # a shorter input inside another text is a coincidence, not a leak
_SHOWN = 3
_END = ""  # no word is empty
_Leaf: TypeAlias = tuple[str, str]  # the rest of a text, and whose it is
_Node: TypeAlias = dict[str, "_Node | _Leaf"]  # by the next word


@dataclass(frozen=True)
class Inputs:
    """Finds the inputs of items in other texts, ignoring case, punctuation and white space.

    Both searches take time in proportion to the text, whatever the number of items.
    """

    items: Iterable[Item]

    def equal(self, text: str) -> str | None:
        """Id of an item whose input is this text."""
        return self._ids.get(normalise(text))

    def quoted(self, text: str) -> Iterator[str]:
        """Ids of items whose input, of `QUOTED` characters or more, is in the text as whole words."""
        words = normalise(text).split()
        for start in range(len(words)):
            node: _Node | _Leaf | None = self._tree
            at = start
            while isinstance(node, dict):
                if isinstance(whole := node.get(_END), tuple):
                    yield whole[1]
                node, at = node.get(words[at]) if at < len(words) else None, at + 1
            if node is not None:
                rest, item_id = node
                if rest == " ".join(words[at : at + rest.count(" ") + 1]) or not rest:
                    yield item_id

    @cached_property
    def _ids(self) -> dict[str, str]:
        return {normalise(item.input): item.id for item in self.items}

    @cached_property
    def _tree(self) -> _Node:
        """The inputs by word, so that common beginnings are compared once."""
        tree: _Node = {}
        for text, item_id in self._ids.items():
            if len(text) >= QUOTED:
                _put(tree, text, item_id)
        return tree


def _put(node: _Node, text: str, item_id: str) -> None:
    """Add a text below a node; it stays in one piece until another begins in the same way."""
    while text:
        word, _, rest = text.partition(" ")
        below = node.get(word)
        if below is None:
            node[word] = (rest, item_id)
            return
        if isinstance(below, tuple):
            parted: _Node = {}
            _put(parted, *below)
            node[word] = below = parted
        node, text = below, rest
    node[_END] = ("", item_id)


@dataclass(frozen=True)
class Audit:
    """Finds a suite's test items in anything else: an equal input in an item, a quoted one in a document."""

    suite: Suite

    def check_suite(self) -> None:
        """Check the suite's own train, dev and documents.

        Raises:
            LeakageError: with the number of leaks, examples and what to do.
        """
        for name, part in (("train", self.suite.train), ("dev", self.suite.dev), ("documents", self.suite.documents)):
            source = f"suite {self.suite.name!r}: {name}"
            self.check(part, source=source, remedy=f"remove them from {name} or from test")

    def check_given(self, given: Iterable[Item | Document], *, strategy: str) -> None:
        """Check what a strategy's solver, index or training was given.

        Raises:
            LeakageError: as above.
        """
        source = f"strategy {strategy!r}: the data it was given"
        self.check(given, source=source, remedy="use suite.train, suite.dev and suite.documents only")

    def check(self, given: Iterable[Item | Document], *, source: str, remedy: str) -> None:
        """Refuse any item or document that contains a test item.

        Raises:
            LeakageError: the message begins with `source` and ends with `remedy`.
        """
        found = [(piece.id, leak) for piece in given if (leak := self._leak(piece)) is not None]
        if found:
            shown = ", ".join(f"{piece!r} is test {leak!r}" for piece, leak in found[:_SHOWN])
            more = ", …" if len(found) > _SHOWN else ""
            message = f"{source} contains {counted(len(found), 'test input')} ({shown}{more}); {remedy}"
            raise LeakageError(message)

    @cached_property
    def test(self) -> Inputs:
        """The test items."""
        return Inputs(self.suite.test)

    def _leak(self, piece: Item | Document) -> str | None:
        if isinstance(piece, Document):
            return next(self.test.quoted(f"{piece.title}\n{piece.text}"), None)
        return self.test.equal(piece.input)
