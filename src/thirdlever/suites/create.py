"""`thirdlever init`: write a suite from labelled files, or copy the starter project.

`make_suite` reads the files, makes the splits that are missing (`split`), and writes the data, its card and the eval
file. Names and examples come from the user's data: each is written as a literal or as YAML, never as code.
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
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from thirdlever.answers.answer import most_tokens
from thirdlever.core import project
from thirdlever.core.errors import PromptError, SuiteError
from thirdlever.core.text import normalise
from thirdlever.suites.prompts import read_prompt
from thirdlever.suites.readers import Row, read_rows, read_turns, transcript
from thirdlever.suites.suite import COLUMNS, Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


TEST_SHARE = 0.2
DEV_SHARE = 0.1
MAX_DEV = 1_000

_literal = partial(json.dumps, ensure_ascii=False)  # in double quotes, as a formatter writes it: valid Python too

_WIDTH = 60  # characters of an example in the docstring of an eval file
_STARTER = ("evals/[!_]*.py", "strategies/[!_]*.py", "prompts/[!_.]*", "datasets/*/*", "results/README.md")
# Folders of a project, and names that an eval file imports: a function of the same name would shadow them.
_RESERVED = {
    "Suite",
    "Text",
    "load_suite",
    "suite",
    "thirdlever",
    "datasets",
    "evals",
    "prompts",
    "results",
    "strategies",
}

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
        input_name={input_name},{answer_name}{further}
    )
'''

_CARD = """\
# Describes the data. Fill in what is unknown or null.
{head}
licence: unknown  # who may use the data for what, and how to credit it
{facts}
target_accuracy: null  # share of right answers that the product needs, 0 to 1
monthly_volume: null  # requests a month in production: decides whether a more expensive approach pays
error_cost_usd: null  # cost of one wrong answer: decides what a point of accuracy is worth
"""


@dataclass(frozen=True, slots=True)
class Made:
    """A new suite.

    Attributes:
        name: its name.
        counts: rows per split, documents and labels.
        changes: what was dropped or drawn, in sentences.
        warnings: what the user should look at, in sentences.
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
    prompts: Sequence[Path] = (),
    folder: Path | None = None,
) -> Made:
    """Write `datasets/<name>/` and `evals/<name>.py` from .csv, .tsv or .jsonl files: all of it or nothing.

    Args:
        name: a Python identifier.
        train: labelled rows to learn from.
        input: the column that the model is shown.
        target: the column with the right answer: a label, or free text if hardly any answer repeats.
        test: labelled rows to measure on; None draws them from train.
        dev: labelled rows to choose parameters on; None draws them from train.
        documents: knowledge to retrieve from, with columns `title` and `text`.
        slice: column naming a subgroup; results are reported per subgroup.
        group: column naming the source that rows share (author, merchant); rows drawn for test and dev take all of a
            source.
        prompts: the team's prompt files, copied to `prompts/`. They may show every column by its name, and the first is
            the suite's own.
        folder: the project; None is the current folder.

    Raises:
        SuiteError: with file, line and what to do.
    """
    folder = folder or Path.cwd()
    _refuse(name, folder)
    roles = {"input": input, "target": target, "slice": slice, "group": group}
    columns = {role: column for role, column in roles.items() if column is not None}
    files = {"train": train, "dev": dev, "test": test, "documents": documents}
    rows = {part: read_rows(path) for part, path in files.items() if path is not None}
    if empty := next((part for part, read in rows.items() if not read), None):
        message = f"{str(files[empty])!r} has no rows; give a file with rows"
        raise SuiteError(message)
    known = [
        {"id": f"doc-{number:05}", "title": row.text("title"), "text": row.text("text")}
        for number, row in enumerate(rows.pop("documents", ()), start=1)
    ]
    splits = split({part: [_item(row, columns) for row in rows[part]] for part in rows})
    targets = [item.target for items in splits.parts.values() for item in items]
    counts = {part: len(items) for part, items in splits.parts.items()} | {"documents": len(known)}
    if splits.closed:
        counts["labels"] = len(set(targets))
    about: dict[str, Any] = {
        "source": [
            {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
            for path in files.values()
            if path is not None
        ],
        "schema": {role: f"column {column!r}" for role, column in columns.items()},
        "counts": counts,
        "changes": list(splits.changes),
    }
    data = Path("datasets", name)
    tables = {part: list(_numbered(items, part)) for part, items in splits.parts.items()}
    tables |= {"documents": known} if known else {}
    contents = {
        data / f"{part}.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table)
        for part, table in tables.items()
    }
    contents[data / "card.yaml"] = _CARD.format(head=_yaml({"name": name}), facts=_yaml(about))
    contents[Path("evals", f"{name}.py")] = _eval_file(
        name,
        columns,
        sources=[entry["file"] for entry in about["source"]],
        example=splits.parts["train"][0],
        labels=counts.get("labels"),
        longest=max(map(most_tokens, targets)),
        prompt=prompts[0].stem if prompts else None,
    )
    warnings = splits.contradictions()
    for prompt in prompts:
        contents |= _prompt_file(prompt, folder)
    _write(contents, folder)
    return Made(name, counts, splits.changes, warnings)


def copy_starter(folder: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Copy the starter project: evals, strategies, prompts and the data of the suites.

    Returns:
        (copied, kept): files that were written, and files that already existed and are unchanged.
    """
    folder, source = folder or Path.cwd(), project.roots()[-1]
    names = [path.relative_to(source) for pattern in _STARTER for path in sorted(source.glob(pattern))]
    kept = [name for name in names if (folder / name).exists()]
    copied = [name for name in names if name not in kept]
    _write({name: (source / name).read_text("utf-8") for name in copied}, folder)
    return copied, kept


# Splits


@dataclass(frozen=True, slots=True)
class Splits:
    """Labelled rows by role.

    Attributes:
        parts: items of "train", "dev" and "test".
        closed: whether targets are labels and not free text: labels repeat.
        changes: what was dropped or drawn, in sentences.
    """

    parts: Mapping[str, Sequence[Item]]
    closed: bool
    changes: Sequence[str]

    def contradictions(self) -> list[str]:
        """One sentence per part in which an input has more than one target."""
        sentences = []
        for part, items in self.parts.items():
            found = [same for same in _by_input(items) if len({item.target for item in same}) > 1]
            if found:
                different = {item.target: item for item in found[0]}.values()
                example = " and ".join(f"{item.target!r} ({item.id})" for item in different)
                sentences.append(f"inputs of {part} with more than one target: {len(found)}, e.g. {example}")
        return sentences


def split(given: Mapping[str, Sequence[Item]], *, seed: int = 0) -> Splits:
    """Make the splits that are missing, and remove from train and dev what is in test.

    Test rows are never changed. Rows of train and dev with the input of a test row (ignoring case, punctuation and
    white space) are dropped, as are rows of train with the input of a dev row, and repeated rows of train. Missing
    splits are drawn from train: 20 % for test, 10 % for dev (1,000 at most), whole groups at a time.

    Args:
        given: items of "train" and, if the user has them, "dev" and "test"; an item's id is its file and line.
        seed: for the draw.

    Raises:
        SuiteError: train or test is empty, or train lacks a label of the others.
    """
    first: dict[tuple[str, str], Item] = {}
    for item in given["train"]:
        first.setdefault((item.input, item.target), item)
    train = list(first.values())
    closed = 2 * len({item.target for item in train}) <= len(train)
    changes: list[str] = []
    if repeated := len(given["train"]) - len(train):
        changes.append(f"repeated rows of train dropped: {repeated}")
    if not closed:
        changes.append("targets rarely repeat: treated as free text, not as labels")
    sizes = {"test": int(TEST_SHARE * len(train)), "dev": min(int(DEV_SHARE * len(train)), MAX_DEV)}
    parts: dict[str, list[Item]] = {}
    for part, size in sizes.items():
        if part in given:
            parts[part] = _without(given[part], parts.get("test", ()), f"{part} dropped because test has them", changes)
            train = _without(train, parts[part], f"train dropped because {part} has them", changes)
        else:
            train, parts[part] = draw(train, size, stratify=closed, seed=seed)
            how = f"by target, seed {seed}" if closed else f"seed {seed}"
            how += ", whole groups" if any(item.group for item in train) else ""
            changes.append(f"rows of train drawn for {part} ({how}): {len(parts[part])}")
    parts = {"train": train, "dev": parts["dev"], "test": parts["test"]}
    if shared := shared_groups(parts["test"], [*train, *parts["dev"]]):
        changes.append(f"groups of test that train or dev has too: {shared}")
    _check(parts, closed=closed)
    return Splits(parts, closed, changes)


def draw(items: Sequence[Item], size: int, *, stratify: bool, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """Draw about `size` items (never more), in file order, and keep the rest.

    Items with the same normalised input or the same group stay together, so that nothing drawn is also kept in another
    spelling, and no source is on both sides.

    Args:
        items: what to draw from; ids are unique.
        size: the maximum to draw.
        stratify: draw from each target in proportion to its frequency, and keep at least one of each.
        seed: for the draw.

    Returns:
        (kept, drawn)
    """
    frequency = Counter(item.target for item in items)
    strata: defaultdict[str, list[list[Item]]] = defaultdict(list)
    for same in _units(items):
        rarest = min((item.target for item in same), key=lambda target: frequency[target])
        strata[rarest if stratify else ""].append(same)
    rng = random.Random(seed)  # noqa: S311 - not a secret
    units: list[list[Item]] = []
    quotas = _quotas({target: sum(map(len, units)) for target, units in strata.items()}, size, rng)
    for target in sorted(strata):
        room = quotas[target]
        for unit in rng.sample(strata[target], len(strata[target])):
            if len(unit) <= room:
                room -= len(unit)
                units.append(unit)
    if stratify:
        units = _with_labels_left(units, frequency)
    drawn = {item.id for unit in units for item in unit}
    return [item for item in items if item.id not in drawn], [item for item in items if item.id in drawn]


def shared_groups(test: Iterable[Item], others: Iterable[Item]) -> int:
    """How many groups have items on both sides."""
    return len(({item.group for item in test} & {item.group for item in others}) - {""})


def _units(items: Sequence[Item]) -> Iterable[list[Item]]:
    """The items that must stay together: connected by an equal input or an equal group."""
    above = list(range(len(items)))

    def root(i: int) -> int:
        while above[i] != i:
            above[i] = i = above[above[i]]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, item in enumerate(items):
        keys = [("input", normalise(item.input)), *([("group", item.group)] if item.group else [])]
        for key in keys:
            above[root(i)] = root(first.setdefault(key, i))
    found: defaultdict[int, list[Item]] = defaultdict(list)
    for i, item in enumerate(items):
        found[root(i)].append(item)
    return found.values()


def _with_labels_left(units: Sequence[list[Item]], frequency: Mapping[str, int]) -> list[list[Item]]:
    """The drawn units without those that would take the last items of a label."""
    left, kept = Counter(frequency), []
    for unit in units:
        taken = Counter(item.target for item in unit)
        if all(left[target] > number for target, number in taken.items()):
            left -= taken
            kept.append(unit)
    return kept


def _quotas(counts: Mapping[str, int], size: int, rng: random.Random) -> dict[str, int]:
    """`size` divided in proportion to the counts (largest remainder, ties at random), never a whole count."""
    share = {key: size * count / sum(counts.values()) for key, count in counts.items()}
    quotas = {key: min(int(share[key]), count - 1) for key, count in counts.items()}
    at_random = rng.sample(sorted(counts), len(counts))
    by_remainder = sorted(at_random, key=lambda key: int(share[key]) - share[key])
    for key in by_remainder[: size - sum(map(int, share.values()))]:
        quotas[key] += quotas[key] < counts[key] - 1
    return quotas


def _without(items: Sequence[Item], taken: Iterable[Item], what: str, changes: list[str]) -> list[Item]:
    """The items whose normalised input is not among `taken`; appends to `changes` how many were dropped."""
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
            message = f"no rows are left for {part}; give more rows, smaller groups, or a {part} file with other inputs"
            raise SuiteError(message)
    known = {item.target for item in parts["train"]}
    for part in ("test", "dev"):
        lacking = next((item for item in parts[part] if item.target not in known), None)
        if closed and lacking is not None:
            message = (
                f"{lacking.id}: label {lacking.target!r} of {part} has no other row in train; "
                f"add examples of it to train, or remove its rows from {part}"
            )
            raise SuiteError(message)


# Files


def _refuse(name: str, folder: Path) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or name in _RESERVED:
        message = f"invalid suite name {name!r}; choose a word of letters, digits and _ that Python does not reserve"
        raise SuiteError(message)
    for path in (Path("datasets", name), Path("evals", f"{name}.py")):
        if (folder / path).exists():
            message = f"'{path}' already exists; choose another name or remove it"
            raise SuiteError(message)


def _prompt_file(prompt: Path, folder: Path) -> dict[Path, str]:
    """The prompt's file under `prompts/`; nothing if it is already there.

    Raises:
        PromptError: it cannot be read, or `prompts/` has another of that name.
    """
    source = read_prompt(prompt).source
    path = Path("prompts", prompt.name)
    if not (folder / path).exists():
        return {path: source}
    if read_prompt(folder / path).source != source:
        message = f"'{path}' already exists and is another prompt; rename {str(prompt)!r}"
        raise PromptError(message)
    return {}


def _item(row: Row, columns: Mapping[str, str]) -> Item:
    """An item whose id is, for now, its file and line. White space around a target is not part of the label.

    Columns without a role are kept for prompts to show.
    """
    slice_, group = (row.text(columns[role]) if role in columns else "" for role in ("slice", "group"))
    turns = read_turns(row, columns["input"])
    text = transcript(turns) if turns else row.text(columns["input"])
    fields = {name: value for name, value in row.values.items() if name not in {*columns.values(), *COLUMNS}}
    return Item(row.where, text, row.text(columns["target"]).strip(), slice_, group, fields, turns)


def _numbered(items: Sequence[Item], part: str) -> Iterable[dict[str, Any]]:
    for number, item in enumerate(items, start=1):
        chat = [{"role": role, "content": text} for role, text in item.turns]
        row = {"id": f"{part}-{number:05}", "input": chat or item.input, "target": item.target}
        roles = {role: value for role, value in (("slice", item.slice), ("group", item.group)) if value}
        yield row | roles | dict(item.fields)


def _yaml(value: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text.rstrip()


def _eval_file(
    name: str,
    columns: Mapping[str, str],
    *,
    sources: Sequence[str],
    example: Item,
    labels: int | None,
    longest: int,
    prompt: str | None,
) -> str:
    """Source of `evals/<name>.py`.

    Args:
        name: the suite's.
        columns: the user's column names by role (input, target, slice, group).
        sources: names of the files that the suite was made from.
        example: an item of train.
        labels: number of labels; None if answers are free text.
        longest: tokens that the longest target may have.
        prompt: the suite's own, in `prompts/`; None for the default one.
    """
    source, target = columns["input"], columns["target"]
    further = (("input_column", source if source not in COLUMNS else None), ("prompt", prompt))
    shown, wanted = _in_words(source, "Text"), _in_words(target, "Category")
    if labels is None:
        answer = f"Text(name={_literal(wanted)}, max_tokens={longest})"
        answer_name, imports, kind = "", "Suite, Text, load_suite, suite", "a free text"
    else:
        answer, answer_name = '"label"', f"\n        answer_name={_literal(wanted)},"
        imports, kind = "Suite, load_suite, suite", f"one of {labels} labels"
    return _EVAL.format(
        name=name,
        task=f"{_quoted(target)} ({kind}) from {_quoted(source)}",
        sources=", ".join(map(_quoted, sources)),
        example=f"{_quoted(example.input)} -> {_quoted(example.target)}",
        imports=imports,
        summary=f"The {wanted.lower()} of each {shown.lower()}",
        name_literal=_literal(name),
        instruction=_literal(f"Give the {wanted.lower()} of the {shown.lower()}."),
        answer=answer,
        input_name=_literal(shown),
        answer_name=answer_name,
        further="".join(f"\n        {name}={_literal(value)}," for name, value in further if value),
    )


def _in_words(column: str, otherwise: str) -> str:
    """A column's name for the prompt: "merchant_name" becomes "Merchant name"."""
    words = " ".join(re.sub(r"[\W_]+", " ", column).split())[:_WIDTH]
    return words[:1].upper() + words[1:] or otherwise


def _quoted(text: str) -> str:
    """Data inside a docstring: a shortened literal that can neither end the docstring nor start an escape."""
    shown = repr(text if len(text) <= _WIDTH else text[:_WIDTH] + "…")
    return shown.replace("\\", "\\\\").replace('"', '\\"')


def _write(contents: Mapping[Path, str], folder: Path) -> None:
    """Write all files to a temporary folder, then move them; undo the moves if one fails."""
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
