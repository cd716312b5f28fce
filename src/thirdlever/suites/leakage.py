"""The leakage check: nothing that a strategy was given may be in the test split. It fails closed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import LeakageError
from thirdlever.core.text import normalise
from thirdlever.suites.suite import Document

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thirdlever.suites.suite import Item, Suite


QUOTED = 20  # characters from which a test input inside a document is a leak and no coincidence
_SHOWN = 3
_END = ""  # no word is empty


@dataclass(frozen=True)
class Audit:
    """Finds a suite's test items in anything else.

    Two texts are the same when they are equal after case, punctuation and white space are set aside. A document leaks
    when it holds a test input of `QUOTED` characters or more, as whole words. Both take time in proportion to what is
    read, whatever the number of test items.
    """

    suite: Suite

    def check_suite(self) -> None:
        """Hold the suite's own train, dev and documents against its test split.

        Raises:
            LeakageError: naming how many, which, and what to do.
        """
        for name, part in (("train", self.suite.train), ("dev", self.suite.dev), ("documents", self.suite.documents)):
            source = f"suite {self.suite.name!r}: {name}"
            self.check(part, source=source, remedy=f"take them out of {name} or out of test")

    def check_given(self, given: Iterable[Item | Document], *, strategy: str) -> None:
        """Hold what a strategy's solver or index was given against the test split.

        Raises:
            LeakageError: naming how many, which, and what to do.
        """
        source = f"strategy {strategy!r}: what it was given"
        self.check(given, source=source, remedy="let it draw on suite.train, suite.dev and suite.documents only")

    def check(self, given: Iterable[Item | Document], *, source: str, remedy: str) -> None:
        """Refuse any item or document that is in the test split.

        Raises:
            LeakageError: beginning with `source` and ending with `remedy`.
        """
        found = [(piece.id, leak) for piece in given if (leak := self._leak(piece)) is not None]
        if found:
            shown = ", ".join(f"{piece!r} is test {leak!r}" for piece, leak in found[:_SHOWN])
            more = ", …" if len(found) > _SHOWN else ""
            message = f"{source} holds {len(found)} test inputs ({shown}{more}); {remedy}"
            raise LeakageError(message)

    def _leak(self, piece: Item | Document) -> str | None:
        """Id of a test item that is in it; None when none is."""
        if isinstance(piece, Document):
            return next(self._quoted(f"{piece.title}\n{piece.text}"), None)
        return self._inputs.get(normalise(piece.input))

    @cached_property
    def _inputs(self) -> dict[str, str]:
        return {normalise(item.input): item.id for item in self.suite.test}

    @cached_property
    def _phrases(self) -> dict[str, Any]:
        """Test inputs as a tree of words: what begins alike is compared once."""
        tree: dict[str, Any] = {}
        for text, item_id in self._inputs.items():
            if len(text) >= QUOTED:
                node = tree
                for word in text.split():
                    node = node.setdefault(word, {})
                node[_END] = item_id
        return tree

    def _quoted(self, text: str) -> Iterator[str]:
        """Ids of test inputs that the text holds."""
        words = normalise(text).split()
        for start in range(len(words)):
            node, at = self._phrases, start
            while at < len(words) and words[at] in node:
                node, at = node[words[at]], at + 1
                if _END in node:
                    yield node[_END]
