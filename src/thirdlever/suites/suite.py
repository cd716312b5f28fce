"""A suite: labelled data in splits, an instruction, and the specification of an answer.

Data lives in `datasets/<name>/` as `train.jsonl`, `dev.jsonl`, `test.jsonl` (rows `id, input, target` and, optionally,
`slice, group`), optionally `documents.jsonl` (rows `id, title, text`), and `card.yaml`. An eval file loads it:

    @suite
    def transactions() -> Suite:
        return load_suite("transactions", instruction="…", answer="label", input_name="Transaction")
"""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.answers.answer import Answer, Label
from thirdlever.core import project
from thirdlever.core.errors import LeakageError, SuiteError, unknown
from thirdlever.core.files import content_hash
from thirdlever.suites.readers import Row, read_rows, read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path


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


SuiteFactory: TypeAlias = Callable[[], Suite]

_MARK = "__thirdlever_suite__"
_REMEDY = "thirdlever init NAME --train FILE --input COLUMN --target COLUMN makes a suite of your own data"


def suite(factory: SuiteFactory) -> SuiteFactory:
    """Mark a factory as a suite; `evals/<name>.py` holds one of its file's name, without arguments."""
    setattr(factory, _MARK, True)
    return factory


def load_suite(
    name: str,
    *,
    instruction: str,
    answer: Literal["label"] | Answer = "label",
    input_name: str = "Text",
    answer_name: str = "Category",
) -> Suite:
    """Read `datasets/<name>/`.

    Args:
        name: the folder, with `train.jsonl`, `test.jsonl` and, optionally, `dev.jsonl`, `documents.jsonl`, `card.yaml`.
        instruction: what the model is told to do; the answer specification adds what to answer with.
        answer: the answer specification; "label" is one of the targets that train has, sorted.
        input_name: what the prompt calls an input.
        answer_name: what the prompt calls a label.

    Raises:
        SuiteError: naming file and line, when the data cannot be read.
    """
    folder = project.dataset(name)
    if not folder.is_dir():
        beside = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        message = f"{folder.parent}: {unknown('data set', name, beside)}; {_REMEDY}"
        raise SuiteError(message)
    train, dev, test = (_split(folder, part) for part in ("train", "dev", "test"))
    if answer == "label":
        answer = Label(tuple(sorted({item.target for item in train})), name=answer_name)
    return Suite(
        name=name,
        instruction=instruction,
        answer=answer,
        train=train,
        dev=dev,
        test_split=test,
        documents=_documents(folder / "documents.jsonl"),
        input_name=input_name,
        card=_card(folder / "card.yaml"),
    )


def find_suite(name: str) -> Suite:
    """Load `evals/<name>.py` and check the suite that it makes.

    Raises:
        SuiteError: when there is no such file, it makes no suite, or the suite is not fit to measure with.
    """
    evals = project.files("evals")
    if name not in evals:
        message = f"{unknown('suite', name, evals)}; {_REMEDY}"
        raise SuiteError(message)
    path = evals[name]
    factory = getattr(project.load_module(path, SuiteError), name, None)
    if factory is None or not hasattr(factory, _MARK):
        message = f"{path}: no suite {name!r} in it; it must hold a function of that name under @suite"
        raise SuiteError(message)
    try:
        made = factory()
    except (ImportError, NameError, AttributeError, TypeError, ValueError, LookupError, OSError) as cause:
        message = f"{path}: {type(cause).__name__}: {cause}; correct the file"
        raise SuiteError(message) from cause
    if not isinstance(made, Suite):
        message = f"{path}: {name}() returned {type(made).__name__}; it must return a Suite, e.g. of load_suite"
        raise SuiteError(message)
    return check(replace(made, name=name))


def available_suites() -> dict[str, str]:
    """What can be run: each suite's name and the first line of its file's docstring."""
    return {name: _headline(path) for name, path in sorted(project.files("evals").items())}


def _headline(path: Path) -> str:
    try:
        docstring = ast.get_docstring(ast.parse(read_text(path)))
    except (SyntaxError, ValueError):  # a broken file is reported when it is run, not when it is listed
        return ""
    return (docstring or "").partition("\n")[0]


def _split(folder: Path, name: str) -> Split:
    path = folder / f"{name}.jsonl"
    if name == "dev" and not path.exists():
        return Split(name, ())
    return Split(name, tuple(_item(row) for row in read_rows(path)))


def _item(row: Row) -> Item:
    named = (str(row.values.get(key) or "") for key in ("slice", "group"))
    return Item(row.text("id"), row.text("input"), row.text("target"), *named)


def _documents(path: Path) -> tuple[Document, ...]:
    rows = read_rows(path) if path.exists() else []
    return tuple(Document(row.text("id"), row.text("title"), row.text("text")) for row in rows)


def _card(path: Path) -> Mapping[str, Any]:
    if not path.exists():
        return {}
    import yaml

    try:
        card = yaml.safe_load(read_text(path)) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        message = f"{where}: not YAML ({getattr(error, 'problem', None) or error}); correct the card"
        raise SuiteError(message) from None
    if not isinstance(card, dict):
        message = f"{path}: a {type(card).__name__} where keys and values must be; correct the card"
        raise SuiteError(message)
    return card
