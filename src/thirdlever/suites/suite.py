"""A suite: labelled data in splits, an instruction and an answer kind; nothing that a strategy was given is in test.

Data is in `datasets/<name>/`: `train.jsonl`, `test.jsonl` and optionally `dev.jsonl` (rows `id, input, target`,
optionally `slice, group`, and any others, which prompts can show), `documents.jsonl` (rows `id, title, text`, and any
others, by which a search can be narrowed),
`unlabelled.jsonl` (rows `id, input`, for a teacher to label), `human.jsonl` (people's labels of answers: rows
`id, answer, right`) and `card.yaml`. An eval file loads it:

    @suite
    def transactions() -> Suite:
        return load_suite("transactions", instruction="…", answer="label", input_name="Transaction")
"""

from __future__ import annotations

import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.answers.answer import Answer, Label, least_tokens, most_tokens
from thirdlever.core import project
from thirdlever.core.errors import LeakageError, SuiteError, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.mistakes import misuse
from thirdlever.core.text import clipped, counted, listed, normalise
from thirdlever.suites.prompts import find_prompt
from thirdlever.suites.readers import each_row, is_missing, read_rows, read_text, read_turns, transcript

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from thirdlever.suites.prompts import Prompt
    from thirdlever.suites.readers import Row


Parts: TypeAlias = Callable[[str], Mapping[str, str]]
MARK = "__thirdlever_suite__"
COLUMNS = {"id", "input", "target", "slice", "group"}  # an item's own
_ANSWER = ("describe", "read", "grade", "problem")  # methods of an answer kind
_KINDS = {
    "label": 'answer=Label(("LABEL", "LABEL"))',
    "labels": 'answer=Labels(("LABEL", "LABEL"))',
    "text": "answer=Text()",
    "number": "answer=Number()",
    "json": 'answer=Json(("KEY", "KEY"))',
    "checks": 'answer=Checks((must("TEXT"), at_most(words=80)))',
}
REMEDY = "to make a suite of your data, run: thirdlever init NAME --train FILE --input COLUMN --target COLUMN"


@dataclass(frozen=True, slots=True)
class Item:
    """One labelled example.

    Attributes:
        id: unique in the suite; candidates are paired by it.
        input: what the model is shown.
        target: the right answer.
        slice: a subgroup for which results are reported separately; "" for none.
        group: the source that items share (author, merchant), for cluster statistics; "" for none.
        fields: further columns of its row, which prompts can show.
        turns: (role, text) of an input that is a conversation; `input` is then its transcript.
    """

    id: str
    input: str
    target: str
    slice: str = ""
    group: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)
    turns: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @property
    def content(self) -> list[Any]:
        """All that it is made of, JSON-able."""
        own: list[Any] = [self.id, self.input, self.target, self.slice, self.group]
        return [*own, dict(self.fields), self.turns] if self.fields or self.turns else own


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of knowledge that a strategy may retrieve or quote.

    Attributes:
        id: unique in the suite; a passage has its document's, "#" and its number.
        title: shown above the text.
        text: what it says.
        fields: what else is known of it, by which a search can be narrowed: source, section, page, other columns.
    """

    id: str
    title: str
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)

    @property
    def content(self) -> list[Any]:
        """All that it is made of, JSON-able."""
        own: list[Any] = [self.id, self.title, self.text]
        return [*own, dict(self.fields)] if self.fields else own

    def says(self, answer: str) -> bool:
        """Whether an answer is in its title or text as whole words, whatever the case and punctuation."""
        return f" {normalise(answer)} " in f" {normalise(self.title)} {normalise(self.text)} "


@dataclass(frozen=True)
class Split:
    """Items of one role: `train` (to learn from), `dev` (to choose on) or `test` (to measure on).

    Attributes:
        lines: "file:line" of the items that were read from a file, by id; for messages.
        parts: an answer as named parts, which balanced draws go by: those of the suite's answer kind, if it has any.
    """

    name: str
    items: tuple[Item, ...]
    lines: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False, kw_only=True)
    parts: Parts | None = field(default=None, compare=False, repr=False, kw_only=True)

    def __iter__(self) -> Iterator[Item]:
        """Items in file order."""
        return iter(self.items)

    def __len__(self) -> int:
        """Number of items."""
        return len(self.items)

    @cached_property
    def hash(self) -> str:
        """sha256 over every field of every item, in order."""
        return content_hash([item.content for item in self.items])

    def first(self, limit: int | None, *, seed: int = 0) -> Split:
        """A fixed random subset of `limit` items in file order; a larger limit includes a smaller one's items."""
        if limit is None or limit >= len(self.items):
            return self
        order = random.Random(seed).sample(range(len(self.items)), len(self.items))  # noqa: S311 - not a secret
        return replace(self, items=tuple(self.items[i] for i in sorted(order[:limit])))

    def sample(self, k: int, *, how: Literal["balanced", "random"] = "balanced", seed: int = 0) -> tuple[Item, ...]:
        """Draw `k` items as demonstrations, in random order.

        Args:
            k: how many; all if there are fewer.
            how: "balanced" takes labels in turn, so that their counts differ by at most one; of sets of labels, it
                takes next what has the label that was drawn least; of JSON, it takes the values of the first field
                in turn that all items have and whose values repeat. "random" draws by frequency.
            seed: for the draw; a larger k's items begin with a smaller k's.
        """
        rng = random.Random(seed)  # noqa: S311 - not a secret
        shuffled = rng.sample(self.items, len(self.items))
        if how == "random":
            return tuple(shuffled[:k])
        described = [self.parts(item.target) if self.parts else {} for item in shuffled]
        if _are_sets(described):
            labels = [{label for label, given in parts.items() if given == "yes"} for parts in described]
            return tuple(shuffled[i] for i in _by_label(labels, k, rng))
        by = _repeating(described)
        by_value: defaultdict[str, list[Item]] = defaultdict(list)
        for item, parts in zip(shuffled, described, strict=True):
            by_value[item.target if by is None else parts[by]].append(item)
        values = rng.sample(sorted(by_value), len(by_value))
        drawn: list[Item] = []
        for turn in range(max(map(len, by_value.values()), default=0)):
            drawn += [by_value[v][turn] for v in values if turn < len(by_value[v])]
            if len(drawn) >= k:
                break
        return tuple(drawn[:k])


_MEMBERSHIP = {"yes", "no"}  # values of the parts of a set of labels
_MOST_VALUES = 50
_AHEAD = 20  # items of a label that are compared


def _are_sets(described: Sequence[Mapping[str, str]]) -> bool:
    """Whether answers are sets of labels, one part a label."""
    return bool(described) and all(len(parts) > 1 and _MEMBERSHIP.issuperset(parts.values()) for parts in described)


def _repeating(described: Sequence[Mapping[str, str]]) -> str | None:
    """The only part, or the first that all answers have and whose values repeat."""
    names = [name for name in (described[0] if described else ()) if all(name in parts for parts in described)]
    if len(names) == 1 and all(len(parts) == 1 for parts in described):
        return names[0]
    for name in names:
        values = {parts[name] for parts in described}
        if 1 < len(values) <= min(_MOST_VALUES, len(described) // 2):
            return name
    return None


def _by_label(sets: Sequence[Collection[str]], k: int, rng: random.Random) -> Iterator[int]:
    """Positions of `k` sets, drawn so that each label, and the empty set, is drawn about equally often.

    The next set has the label that was drawn least; of the first few that have it, the one whose labels were drawn
    least. So a rare label has its turn, and a frequent one does not come with every other.
    """
    waiting: dict[str | None, deque[int]] = defaultdict(deque)
    for i, labels in enumerate(sets):
        for label in labels or (None,):
            waiting[label].append(i)
    order = sorted(waiting, key=str)
    rng.shuffle(order)
    times = dict.fromkeys(order, 0)
    taken: set[int] = set()
    for _ in range(min(k, len(sets))):
        for label in order:
            while waiting[label] and waiting[label][0] in taken:
                waiting[label].popleft()
        label = min((each for each in order if waiting[each]), key=lambda each: times[each])
        ahead = [i for i in islice(waiting[label], _AHEAD) if i not in taken]
        best = min(ahead, key=lambda i: sum(times[each] for each in sets[i] or (None,)))
        taken.add(best)
        for each in sets[best] or (None,):
            times[each] += 1
        yield best


@dataclass(frozen=True, slots=True)
class HumanLabel:
    """What people say of an answer to an item, by which a grader is calibrated.

    Attributes:
        item: id of an item of dev, or of test: of a candidate's own answers.
        answer: its text.
        right: 1 if it is right, 0 if not; between them the share of people who say right.
    """

    item: str
    answer: str
    right: float


@dataclass(frozen=True)
class Suite:
    """Everything that all candidates share, and the prompt in which one of them puts its items.

    A strategy receives `suite.without_test()`, whose `test` raises and which has no labels of answers. These calibrate
    the grader of a `Judge` and are no part of the suite's hash: more of them change no answer.
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
    prompt: Prompt | None = None
    human: tuple[HumanLabel, ...] = field(default=(), repr=False, kw_only=True)
    unlabelled: tuple[Item, ...] = field(default=(), repr=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuse an `answer` that is not an answer kind.

        Raises:
            SuiteError: with what to write instead.
        """
        answer: object = self.answer
        missing = [name for name in _ANSWER if not callable(getattr(answer, name, None))]
        if isinstance(answer, type):
            message = f"answer={answer.__name__} is a class; write answer={answer.__name__}(…)"
            raise misuse(message, SuiteError)
        if not missing:
            self._describe_splits()
            return
        if isinstance(answer, str):
            kind = _KINDS.get(answer.casefold()) or " or ".join(_KINDS.values())
            message = f'answer="{answer}" is not an answer kind; write {kind}'
        else:
            known = f"{type(answer).__name__} has no {listed(missing)}"
            remedy = "write Label(…), Labels(…), Text(), Number(), Json(…) or Checks(…)"
            message = f"answer={clipped(answer)} is not an answer kind ({known}); {remedy}"
        raise misuse(message, SuiteError)

    def _describe_splits(self) -> None:
        """Let the splits draw by the parts of the answer kind."""
        parts: Parts | None = getattr(self.answer, "parts", None)
        for name in ("train", "dev", "test_split"):
            split: Split | None = getattr(self, name)
            if split is not None and split.parts != parts:
                object.__setattr__(self, name, replace(split, parts=parts))

    @property
    def test(self) -> Split:
        """The items to measure on.

        Raises:
            LeakageError: a strategy asked for them.
        """
        if self.test_split is None:
            message = "a strategy asked for the test split; it may use suite.train, suite.dev and suite.documents"
            raise LeakageError(message)
        return self.test_split

    def right_answer(self, item: Item) -> str:
        """The right answer to an item as models are shown it; the first if its target holds several."""
        several = getattr(self.answer, "answers", None)
        return str(several(item.target)[0]) if several else item.target

    def without_test(self) -> Suite:
        """The suite as a strategy sees it."""
        return replace(self, test_split=None, human=())

    @cached_property
    def hash(self) -> str:
        """sha256 over data, documents, instruction and answer kind; runs with the same hash are comparable."""
        test = self.test_split.hash if self.test_split else None
        return content_hash([self._content_hash, test])

    @cached_property
    def seen_hash(self) -> str:
        """The same with the prompt and without the test split: what a prepared artefact may depend on."""
        return content_hash([self._content_hash, self.prompt.hash]) if self.prompt else self._content_hash

    @cached_property
    def _content_hash(self) -> str:
        documents = [document.content for document in self.documents]
        prompt = [self.name, self.instruction, self.input_name, repr(self.answer)]
        unlabelled = [[item.content for item in self.unlabelled]] if self.unlabelled else []
        return content_hash([self.train.hash, self.dev.hash, documents, prompt, *unlabelled])


SuiteFactory: TypeAlias = Callable[[], Suite]


def suite(factory: SuiteFactory) -> SuiteFactory:
    """Mark a function without arguments as a suite; `evals/<name>.py` must contain one called `<name>`."""
    setattr(factory, MARK, True)
    return factory


def load_suite(
    name: str,
    *,
    instruction: str,
    answer: Literal["label"] | Answer = "label",
    input_name: str = "Text",
    answer_name: str = "Category",
    input_column: str | None = None,
    prompt: str | None = None,
) -> Suite:
    """Read `datasets/<name>/`. Columns that are not an item's own are kept in its `fields`.

    Args:
        name: the folder.
        instruction: what the model is told to do; the answer kind adds what to answer with.
        answer: the answer kind; "label" is a `Label` of the targets of train, sorted.
        input_name: what the prompt calls an input.
        answer_name: what the prompt calls a label.
        input_column: a second name for the input, by which prompt files call it.
        prompt: the suite's own prompt, a file in `prompts/`, in which a run puts its items if it names no other.

    Raises:
        SuiteError: the data cannot be read; the message has file and line.
    """
    folder = project.dataset(name)
    if not folder.is_dir():
        beside = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
        message = f"{folder.parent}: {unknown('data set', name, beside)}; {REMEDY}"
        raise SuiteError(message)
    train, dev, test = (_split(folder, part, input_column) for part in ("train", "dev", "test"))
    if answer == "label":
        answer = Label(tuple(sorted({item.target for item in train})), name=answer_name)
    train, dev, test = (_canonical(split, answer) for split in (train, dev, test))
    return Suite(
        name=name,
        instruction=instruction,
        answer=answer,
        train=train,
        dev=dev,
        test_split=test,
        documents=read_knowledge(folder / "documents.jsonl"),
        input_name=input_name,
        card=_card(folder / "card.yaml"),
        prompt=find_prompt(prompt) if prompt else None,
        unlabelled=_inputs(folder / "unlabelled.jsonl", input_column),
        human=_human(folder / "human.jsonl", known={item.id for split in (dev, test) for item in split}),
    )


def check(suite: Suite) -> Suite:
    """Refuse a suite whose results would be unreliable.

    Raises:
        SuiteError: empty split, repeated id, or a target that is not a possible answer, that train lacks, or that is
            longer than an answer may be.
    """
    for fault in _faults(suite):
        raise SuiteError(fault)
    return suite


def _faults(suite: Suite) -> Iterator[str]:
    known = {item.target for item in suite.train}
    seen: dict[str, str] = {}
    for split in (suite.train, suite.dev, suite.test):
        if not split.items and split.name != "dev":
            yield f"suite {suite.name!r}: the {split.name} split is empty; add labelled rows to it"
        for item in split:
            where = f"{split.lines[item.id]}: " if item.id in split.lines else f"suite {suite.name!r}: "
            if item.id in seen:
                yield f"{where}id {item.id!r} is in {seen[item.id]} and again in {split.name}; make ids unique"
            seen[item.id] = split.name
            if problem := suite.answer.problem(item.target):
                what = f"the target of {split.name} item {item.id!r}"
                yield f"{where}{what}: {problem}; correct the target or the answer kind"
            if suite.answer.choices and item.target not in known:
                what = f"label {item.target!r} of item {item.id!r}"
                yield f"{where}{what} is not in train; add examples to train or remove it"
    yield from _too_long(suite)


def _too_long(suite: Suite) -> Iterator[str]:
    """A target that the answer kind's `max_tokens` would cut off."""
    most: object = suite.answer.max_tokens
    if not isinstance(most, int) or most < 1:
        yield f"suite {suite.name!r}: max_tokens={most!r} of the answer kind must be a whole number of 1 or more"
        return
    items = (item for split in (suite.train, suite.dev, suite.test) for item in split)
    longest = max(items, key=lambda item: least_tokens(item.target))
    if (needed := least_tokens(longest.target)) > most:
        what = f"the target of item {longest.id!r} has at least {needed} tokens, the answer may have {most}"
        yield f"suite {suite.name!r}: {what}; write max_tokens={most_tokens(longest.target)} in the answer kind"


def _split(folder: Path, name: str, input_column: str | None) -> Split:
    path = folder / f"{name}.jsonl"
    rows = [] if name == "dev" and not path.exists() else read_rows(path)
    items = tuple(_item(row, input_column) for row in rows)
    return Split(name, items, lines={item.id: row.where for item, row in zip(items, rows, strict=True)})


def read_knowledge(path: Path) -> tuple[Document, ...]:
    """The rows of a suite's documents.jsonl; none if there is no such file.

    Raises:
        SuiteError: a row cannot be read, or two have one id.
    """
    seen: dict[str, str] = {}
    found: list[Document] = []
    for row in each_row(path) if path.exists() else ():
        title = "" if is_missing(row.values.get("title", "")) else row.text("title")
        fields = {name: value for name, value in row.values.items() if name not in {"id", "title", "text"}}
        document = Document(row.text("id"), title, row.text("text"), fields)
        if (first := seen.setdefault(document.id, row.where)) != row.where:
            message = f"{row.where}: the id {document.id!r} is also that of {first}; make ids unique"
            raise SuiteError(message)
        found.append(document)
    return tuple(found)


def _inputs(path: Path, input_column: str | None) -> tuple[Item, ...]:
    """Items without targets; none if there is no such file."""
    rows = read_rows(path) if path.exists() else []
    return tuple(_item(row, input_column, labelled=False) for row in rows)


def _canonical(split: Split, answer: Answer) -> Split:
    """The split with its targets as answers are written, where the kind has one way: `["b", "a"]` becomes `a, b`."""
    canonical = getattr(answer, "canonical", None)
    if canonical is None:
        return split
    return replace(split, items=tuple(replace(item, target=canonical(item.target)) for item in split))


def _item(row: Row, input_column: str | None, *, labelled: bool = True) -> Item:
    turns = read_turns(row)
    text = transcript(turns) if turns else row.text("input")
    fields = {name: value for name, value in row.values.items() if name not in COLUMNS}
    if input_column is not None:
        fields[input_column] = text
    slice_, group = (str(row.values.get(name) or "") for name in ("slice", "group"))
    target = row.text("target") if labelled else ""
    return Item(row.text("id"), text, target, slice_, group, fields, turns)


def _human(path: Path, known: set[str]) -> tuple[HumanLabel, ...]:
    rows = read_rows(path) if path.exists() else []
    found: dict[tuple[str, str], HumanLabel] = {}
    for row in rows:
        item, answer, right = row.text("id"), row.text("answer"), row.values.get("right")
        if not isinstance(right, bool | int | float) or not 0 <= right <= 1:
            message = (
                f"{row.where}: 'right' is {clipped(right)}; write true, false, or the share of people who say true"
            )
            raise SuiteError(message)
        if item not in known:
            message = f"{row.where}: {item!r} is no item of dev or test; give the id of the item that is answered"
            raise SuiteError(message)
        if (item, answer) in found:
            message = f"{row.where}: this answer to {item!r} is labelled twice; keep one label"
            raise SuiteError(message)
        found[item, answer] = HumanLabel(item, answer, float(right))
    return tuple(found.values())


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
        message = f"{path}: a {type(card).__name__}; expected keys and values"
        raise SuiteError(message)
    return card


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
class Leakage:
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
