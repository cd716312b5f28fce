"""A suite: labelled data in splits, an instruction, and the specification of an answer.

Data lives in `datasets/<name>/` as `train.jsonl`, `dev.jsonl`, `test.jsonl` (rows `id, input, target` and, optionally,
`slice, group`), optionally `documents.jsonl` (rows `id, title, text`), and `card.yaml`. An eval file loads it:

    @suite
    def transactions() -> Suite:
        return load_suite("transactions", instruction="…", answer="label", input_name="Transaction")
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.core.errors import LeakageError, SuiteError
from thirdlever.core.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thirdlever.answers.answer import Answer


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled example.

    Attributes:
        id: unique over the whole suite; candidates are paired by it.
        input: what the model is shown.
        target: the right answer.
        slice: a named part of the suite whose figures are wanted apart ("" for none).
        group: the source that items share (author, merchant), for cluster statistics ("" for none).
    """

    id: str
    input: str
    target: str
    slice: str = ""
    group: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of knowledge that a strategy may retrieve or quote."""

    id: str
    title: str
    text: str


@dataclass(frozen=True)
class Split:
    """Items of one role: `train` (the pool), `dev` (choosing), or `test` (measured)."""

    name: str
    items: tuple[Item, ...]

    def __iter__(self) -> Iterator[Item]:
        """Items in file order."""
        return iter(self.items)

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    @cached_property
    def hash(self) -> str:
        """sha256 over every field of every item, in order: any changed target changes it."""
        return content_hash([[i.id, i.input, i.target, i.slice, i.group] for i in self.items])

    def first(self, limit: int | None, *, seed: int = 0) -> Split:
        """A fixed random subset of `limit` items, in file order; a smaller limit's items are among a larger one's."""
        if limit is None or limit >= len(self.items):
            return self
        order = random.Random(seed).sample(range(len(self.items)), len(self.items))  # noqa: S311 - not a secret
        return replace(self, items=tuple(self.items[i] for i in sorted(order[:limit])))

    def sample(self, k: int, *, how: Literal["balanced", "random"] = "balanced", seed: int = 0) -> tuple[Item, ...]:
        """Draw `k` items as demonstrations, in random order.

        Args:
            k: how many; all items when there are fewer.
            how: "balanced" takes labels in turn, so that each appears as often as the next (to within one);
                "random" draws by frequency.
            seed: the draw; a larger k's items begin with a smaller k's.
        """
        rng = random.Random(seed)  # noqa: S311 - not a secret
        shuffled = rng.sample(self.items, len(self.items))
        if how == "random":
            return tuple(shuffled[:k])
        by_target: defaultdict[str, list[Item]] = defaultdict(list)
        for item in shuffled:
            by_target[item.target].append(item)
        targets = rng.sample(sorted(by_target), len(by_target))
        drawn: list[Item] = []
        for turn in range(max(map(len, by_target.values()), default=0)):
            drawn += [by_target[t][turn] for t in targets if turn < len(by_target[t])]
            if len(drawn) >= k:
                break
        return tuple(drawn[:k])


@dataclass(frozen=True)
class Suite:
    """Everything that every candidate shares.

    `test` is measured and never seen: what a strategy is given is `suite.without_test()`, whose `test` raises.
    """

    name: str
    instruction: str
    answer: Answer
    train: Split
    dev: Split
    test_split: Split | None = field(repr=False)
    documents: tuple[Document, ...] = ()
    input_name: str = "Text"
    card: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def test(self) -> Split:
        """The measured items.

        Raises:
            LeakageError: when a strategy asks for them.
        """
        if self.test_split is None:
            message = "a strategy asked for the test split; it may use suite.train, suite.dev and suite.documents"
            raise LeakageError(message)
        return self.test_split

    def without_test(self) -> Suite:
        """The suite as a strategy sees it."""
        return replace(self, test_split=None)

    @cached_property
    def hash(self) -> str:
        """sha256 over data, documents, instruction and answer specification: what makes two runs comparable."""
        test = self.test_split.hash if self.test_split else None
        return content_hash([self.seen_hash, test])

    @cached_property
    def seen_hash(self) -> str:
        """The same without the test split: what a prepared artefact may depend on."""
        documents = [[d.id, d.title, d.text] for d in self.documents]
        prompt = [self.name, self.instruction, self.input_name, repr(self.answer)]
        return content_hash([self.train.hash, self.dev.hash, documents, prompt])


def check(suite: Suite) -> Suite:
    """Refuse a suite that would give figures nobody can trust.

    Raises:
        SuiteError: empty split, repeated id, a target that is no possible answer or that train lacks.
    """
    splits: Sequence[Split] = [suite.train, suite.dev, suite.test]
    seen: dict[str, str] = {}
    for split in splits:
        if not split.items and split.name != "dev":
            message = f"suite {suite.name!r}: the {split.name} split is empty; add labelled rows to it"
            raise SuiteError(message)
        for item in split:
            if item.id in seen:
                again = f"id {item.id!r} is in {seen[item.id]} and again in {split.name}"
                message = f"suite {suite.name!r}: {again}; make ids unique"
                raise SuiteError(message)
            seen[item.id] = split.name
            if problem := suite.answer.problem(item.target):
                where = f"suite {suite.name!r}, {split.name} item {item.id!r}"
                message = f"{where}: {problem}; correct the target or the answer specification"
                raise SuiteError(message)
    if suite.answer.choices:
        known = {item.target for item in suite.train}
        for item in (*suite.dev, *suite.test):
            if item.target not in known:
                lacking = f"label {item.target!r} of item {item.id!r} never occurs in train"
                message = f"suite {suite.name!r}: {lacking}; add examples of it to train or drop it"
                raise SuiteError(message)
    return suite
