"""The two files that a person reads of a suite made by `thirdlever init`: its eval file and its card.

Names and examples come out of somebody's data: each is written as a literal or as YAML, never as code.
"""

from __future__ import annotations

import hashlib
import json
import keyword
import random
import re
import tempfile
from collections import Counter, defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from thirdlever.core import project
from thirdlever.core.errors import SuiteError
from thirdlever.core.text import normalise
from thirdlever.suites.readers import Row, read_rows
from thirdlever.suites.suite import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_WIDTH = 60

_EVAL = '''"""{name}: {task}.

Source:  {sources} (sha256 in datasets/{name}/card.yaml).
Licence: unknown; fill it in here and in datasets/{name}/card.yaml.
Example: {example}
Run:     thirdlever run {name}
"""

from thirdlever import {imports}


@suite
def {name}() -> Suite:
    """{summary}."""
    return load_suite(
        {name_literal},
        instruction={instruction},
        answer={answer},
        input_name={input_name},{answer_name}
    )
'''

_CARD = """\
# What this data is, for whoever meets it next. Fill in what says unknown or null.
{head}
licence: unknown  # who may use the data for what, and how to credit it
{facts}
target_accuracy: null  # the share of right answers that the product needs, 0 to 1: what candidates are held to
monthly_volume: null  # requests a month in production: whether a dearer lever pays depends on it
error_cost_usd: null  # what one wrong answer costs: what a point of accuracy is worth depends on it
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outline:
    """What the two files say.

    Attributes:
        name: the suite's.
        columns: the user's column names by the role they have (input, target, slice, group).
        sources: file name, sha256 and rows of each file that the suite was made from.
        counts: rows by split, and labels.
        changes: what was dropped or drawn, in sentences.
        example: one item of train.
        longest: characters of the longest target, when answers are free text; None when they are labels.
    """

    name: str
    columns: Mapping[str, str]
    sources: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    changes: Sequence[str]
    example: Item
    longest: int | None


def eval_file(outline: Outline) -> str:
    """The Python source of `evals/<name>.py`."""
    source, target = outline.columns["input"], outline.columns["target"]
    asked, wanted = _in_words(source, "Text"), _in_words(target, "Category")
    answer, answer_name, imports = '"label"', f"\n        answer_name={_literal(wanted)},", "Suite, load_suite, suite"
    kind = f"one of {outline.counts.get('labels')} labels"
    if outline.longest is not None:
        # Half the characters and a little: no tokenizer in use needs more.
        answer = f"Text(name={_literal(wanted)}, max_tokens={outline.longest // 2 + 8})"
        answer_name, imports, kind = "", "Suite, Text, load_suite, suite", "a free text"
    return _EVAL.format(
        name=outline.name,
        task=f"{_quoted(target)} ({kind}) from {_quoted(source)}",
        sources=", ".join(_quoted(entry["file"]) for entry in outline.sources),
        example=f"{_quoted(outline.example.input)} -> {_quoted(outline.example.target)}",
        imports=imports,
        summary=f"The {wanted.lower()} of each {asked.lower()}",
        name_literal=_literal(outline.name),
        instruction=_literal(f"Give the {wanted.lower()} of the {asked.lower()}."),
        answer=answer,
        input_name=_literal(asked),
        answer_name=answer_name,
    )


def card(outline: Outline) -> str:
    """The YAML of `datasets/<name>/card.yaml`."""
    facts = {
        "source": [dict(entry) for entry in outline.sources],
        "schema": {role: f"column {column!r}" for role, column in outline.columns.items()},
        "counts": dict(outline.counts),
        "changes": list(outline.changes),
    }
    return _CARD.format(head=_yaml({"name": outline.name}), facts=_yaml(facts))


def _yaml(value: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text.rstrip()


def _in_words(column: str, otherwise: str) -> str:
    """A column's name as a prompt says it: "merchant_name" is "Merchant name"."""
    words = " ".join(re.sub(r"[\W_]+", " ", column).split())[:_WIDTH]
    return words[:1].upper() + words[1:] or otherwise


def _literal(text: str) -> str:
    """A Python literal in double quotes, as a formatter would write it: JSON's strings are Python's, too."""
    return json.dumps(text, ensure_ascii=False)


def _quoted(text: str) -> str:
    """Data inside a docstring: a literal, cut short, that can neither end the docstring nor start an escape."""
    shown = repr(text if len(text) <= _WIDTH else text[:_WIDTH] + "…")
    return shown.replace("\\", "\\\\").replace('"', '\\"')


TEST_SHARE = 0.2
DEV_SHARE = 0.1
DEV_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Splits:
    """Labelled rows by role.

    Attributes:
        parts: items of "train", "dev" and "test".
        closed: whether the targets are labels, not free text: then they repeat.
        changes: what was dropped or drawn, in sentences.
    """

    parts: Mapping[str, Sequence[Item]]
    closed: bool
    changes: Sequence[str]

    def contradictions(self) -> list[str]:
        """One sentence for each part in which an input has more than one target."""
        sentences = []
        for part, items in self.parts.items():
            found = [same for same in _by_input(items) if len({item.target for item in same}) > 1]
            if found:
                unlike = {item.target: item for item in found[0]}.values()
                example = " and ".join(f"{item.target!r} ({item.id})" for item in unlike)
                sentences.append(f"inputs of {part} that have more than one target: {len(found)}, e.g. {example}")
        return sentences


def split(given: Mapping[str, Sequence[Item]], *, seed: int = 0) -> Splits:
    """Make the splits that are not given, and clear train and dev of what is in test.

    Given test rows stay as they are. Rows of train and dev whose input is a test row's (case, punctuation and white
    space set aside) are dropped, so are rows of train whose input is a dev row's, and repeated rows of train. What is
    not given is drawn from train: 20 % for test, 10 % for dev (1,000 at most).

    Args:
        given: items of "train" and, where the user has them, "dev" and "test"; ids say where an item comes from.
        seed: the draw.

    Raises:
        SuiteError: when train or test comes out empty, or train lacks a label of the others.
    """
    train = _unrepeated(given["train"])
    closed = 2 * len({item.target for item in train}) <= len(train)
    changes: list[str] = []
    if repeated := len(given["train"]) - len(train):
        changes.append(f"rows of train dropped because they are repeated: {repeated}")
    if not closed:
        changes.append("targets hardly repeat: they are taken as free text, not as labels")
    sizes = {"test": int(TEST_SHARE * len(train)), "dev": min(int(DEV_SHARE * len(train)), DEV_MOST)}
    parts: dict[str, list[Item]] = {}
    for part, size in sizes.items():
        if part in given:
            parts[part] = _without(given[part], parts.get("test", ()), f"{part} dropped because test has them", changes)
            train = _without(train, parts[part], f"train dropped because {part} has them", changes)
        else:
            train, parts[part] = draw(train, size, stratify=closed, seed=seed)
            how = f"by target, seed {seed}" if closed else f"seed {seed}"
            changes.append(f"rows of train drawn for {part} ({how}): {len(parts[part])}")
    parts = {"train": train, "dev": parts["dev"], "test": parts["test"]}
    _check(parts, closed=closed)
    return Splits(parts, closed, changes)


def draw(items: Sequence[Item], size: int, *, stratify: bool, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """Draw about `size` items (never more), in file order, and keep the rest.

    Items of one input, normalised, go together: nothing drawn is left behind in another spelling.

    Args:
        items: what to draw from; their ids differ.
        size: how many, at most.
        stratify: draw from each target by its frequency, and leave at least one of each behind.
        seed: the draw.

    Returns:
        (kept, drawn)
    """
    frequency = Counter(item.target for item in items)
    strata: defaultdict[str, list[list[Item]]] = defaultdict(list)
    for same in _by_input(items):
        rarest = min((item.target for item in same), key=lambda target: frequency[target])
        strata[rarest if stratify else ""].append(same)
    rng = random.Random(seed)  # noqa: S311 - not a secret
    drawn: set[str] = set()
    quotas = _quotas({target: sum(map(len, units)) for target, units in strata.items()}, size, rng)
    for target in sorted(strata):
        room = quotas[target]
        for unit in rng.sample(strata[target], len(strata[target])):
            if len(unit) <= room:
                room -= len(unit)
                drawn |= {item.id for item in unit}
    return [item for item in items if item.id not in drawn], [item for item in items if item.id in drawn]


def _quotas(counts: Mapping[str, int], size: int, rng: random.Random) -> dict[str, int]:
    """`size` shared out by count (largest remainder, ties at random), never a whole count."""
    share = {key: size * count / sum(counts.values()) for key, count in counts.items()}
    quotas = {key: min(int(share[key]), count - 1) for key, count in counts.items()}
    at_random = rng.sample(sorted(counts), len(counts))
    by_remainder = sorted(at_random, key=lambda key: int(share[key]) - share[key])
    for key in by_remainder[: size - sum(map(int, share.values()))]:
        quotas[key] += quotas[key] < counts[key] - 1
    return quotas


def _unrepeated(items: Sequence[Item]) -> list[Item]:
    """The items less those whose input and target stood before."""
    first: dict[tuple[str, str], Item] = {}
    for item in items:
        first.setdefault((item.input, item.target), item)
    return list(first.values())


def _without(items: Sequence[Item], taken: Iterable[Item], what: str, changes: list[str]) -> list[Item]:
    """The items whose input, normalised, is none of `taken`'s; the others are told in `changes`."""
    inputs = {normalise(item.input) for item in taken}
    kept = [item for item in items if normalise(item.input) not in inputs]
    if len(kept) < len(items):
        changes.append(f"rows of {what} (by input): {len(items) - len(kept)}")
    return kept


def _by_input(items: Sequence[Item]) -> Iterable[list[Item]]:
    same: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        same[normalise(item.input)].append(item)
    return same.values()


def _check(parts: Mapping[str, Sequence[Item]], *, closed: bool) -> None:
    for part in ("train", "test"):
        if not parts[part]:
            message = f"no rows are left for {part}; give more rows, or a {part} file of other inputs"
            raise SuiteError(message)
    known = {item.target for item in parts["train"]}
    for part in ("test", "dev"):
        lacking = next((item for item in parts[part] if item.target not in known), None)
        if closed and lacking is not None:
            message = (
                f"{lacking.id}: label {lacking.target!r} of {part} has no row of its own in train; "
                f"add examples of it to train, or remove its rows from {part}"
            )
            raise SuiteError(message)


# What an eval file imports, which a function of the same name would hide, and the folders of a project.
_RESERVED = {"Suite", "Text", "load_suite", "suite", "thirdlever", "datasets", "evals", "results", "strategies"}
_STARTER = ("evals/[!_]*.py", "strategies/[!_]*.py", "datasets/transactions/*", "results/README.md")


@dataclass(frozen=True, slots=True)
class Made:
    """A suite that was made.

    Attributes:
        name: the suite's.
        counts: rows by part, and labels.
        changes: what was dropped or drawn, in sentences.
        warnings: what the user may want to look at, in sentences.
    """

    name: str
    counts: Mapping[str, int]
    changes: Sequence[str]
    warnings: Sequence[str]


def make_suite(
    name: str,
    *,
    train: Path,
    input: str,  # noqa: A002 - the command line's word
    target: str,
    test: Path | None = None,
    dev: Path | None = None,
    documents: Path | None = None,
    slice: str | None = None,  # noqa: A002 - the command line's word
    group: str | None = None,
    folder: Path | None = None,
) -> Made:
    """Write `datasets/<name>/` and `evals/<name>.py` from .csv, .tsv or .jsonl files: all of it or nothing.

    What happens to the rows is `splitting.split`'s.

    Args:
        name: of the suite; a Python identifier.
        train: labelled rows to learn from.
        input: the column that the model is shown.
        target: the column with the right answer: a label, or free text when hardly any repeats.
        test: labelled rows to measure on; None draws them from train.
        dev: labelled rows to choose parameters on; None draws them from train.
        documents: knowledge to retrieve from, with columns `title` and `text`.
        slice: the column of named parts whose figures are wanted apart.
        group: the column of the source that rows share (author, merchant).
        folder: the project; None is the current folder.

    Raises:
        SuiteError: naming file, line and remedy.
    """
    folder = folder or Path.cwd()
    _refuse(name, folder)
    roles = {"input": input, "target": target, "slice": slice, "group": group}
    columns = {role: column for role, column in roles.items() if column is not None}
    files = {"train": train, "dev": dev, "test": test, "documents": documents}
    rows = {part: _rows(path) for part, path in files.items() if path is not None}
    known = [_document(row, number) for number, row in enumerate(rows.pop("documents", ()), start=1)]
    splits = split({part: [_item(row, columns) for row in rows[part]] for part in rows})
    targets = [item.target for items in splits.parts.values() for item in items]
    counts = {part: len(items) for part, items in splits.parts.items()} | {"documents": len(known)}
    outline = Outline(
        name=name,
        columns=columns,
        sources=[{"file": path.name, "sha256": _sha256(path)} for path in files.values() if path is not None],
        counts=counts | ({"labels": len(set(targets))} if splits.closed else {}),
        changes=splits.changes,
        example=splits.parts["train"][0],
        longest=None if splits.closed else max(map(len, targets)),
    )
    data = Path("datasets", name)
    contents = {data / f"{part}.jsonl": _json_lines(_numbered(items, part)) for part, items in splits.parts.items()}
    if known:
        contents[data / "documents.jsonl"] = _json_lines(known)
    contents[data / "card.yaml"] = card(outline)
    contents[Path("evals", f"{name}.py")] = eval_file(outline)
    _write(contents, folder)
    return Made(name, outline.counts, splits.changes, splits.contradictions())


def copy_starter(folder: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Copy the starter project: evals, strategies, the suite `transactions`.

    Returns:
        (copied, kept): the files written, and those that were there already and stay as they are.
    """
    folder, source = folder or Path.cwd(), project.roots()[-1]
    names = [path.relative_to(source) for pattern in _STARTER for path in sorted(source.glob(pattern))]
    kept = [name for name in names if (folder / name).exists()]
    copied = [name for name in names if name not in kept]
    _write({name: (source / name).read_text("utf-8") for name in copied}, folder)
    return copied, kept


def _refuse(name: str, folder: Path) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or name in _RESERVED:
        message = f"a suite cannot be called {name!r}; choose a word of letters, digits and _ that Python does not use"
        raise SuiteError(message)
    parts = (Path("datasets", name), Path("evals", f"{name}.py"))
    taken = [f"'{part}'" for part in parts if (folder / part).exists()]
    if taken:
        message = (
            f"{' and '.join(taken)} exist{'s' * (len(taken) == 1)} already; choose another name or remove what is there"
        )
        raise SuiteError(message)


def _rows(path: Path) -> list[Row]:
    rows = read_rows(path)
    if not rows:
        message = f"{str(path)!r} has no rows; give a file that has some"
        raise SuiteError(message)
    return rows


def _item(row: Row, columns: Mapping[str, str]) -> Item:
    """An item whose id is, for now, where it comes from. White space around a target is no part of the label."""
    named = {role: row.text(columns[role]) for role in ("slice", "group") if role in columns}
    return Item(row.where, row.text(columns["input"]), row.text(columns["target"]).strip(), **named)


def _document(row: Row, number: int) -> dict[str, str]:
    return {"id": f"doc-{number:05}", "title": row.text("title"), "text": row.text("text")}


def _numbered(items: Sequence[Item], part: str) -> Iterable[dict[str, str]]:
    for number, item in enumerate(items, start=1):
        row = {"id": f"{part}-{number:05}", "input": item.input, "target": item.target}
        yield row | {role: value for role, value in (("slice", item.slice), ("group", item.group)) if value}


def _json_lines(rows: Iterable[Mapping[str, str]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write(contents: Mapping[Path, str], folder: Path) -> None:
    """Write all files aside and then move them to their places; undo the moves when one of them fails."""
    with tempfile.TemporaryDirectory(prefix=".thirdlever-", dir=folder) as aside, ExitStack() as undo:
        for name, text in contents.items():
            written = Path(aside, name)
            written.parent.mkdir(parents=True, exist_ok=True)
            written.write_text(text, "utf-8", newline="\n")
        for name in contents:
            for parent in reversed((folder / name).parents):
                if not parent.exists():
                    parent.mkdir()
                    undo.callback(parent.rmdir)
            Path(aside, name).rename(folder / name)
            undo.callback((folder / name).unlink)
        undo.pop_all()
