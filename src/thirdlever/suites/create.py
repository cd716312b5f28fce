"""`thirdlever init`: write a suite from labelled files, or copy the starter project.

`make_suite` reads the files, finds the answer kind (`detect`), makes the splits that are missing (`split`), and writes
the data, its card and the eval file. Names and examples come from the user's data: each is written as a literal or as
YAML, never as code.
"""

from __future__ import annotations

import hashlib
import json
import keyword
import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from thirdlever.answers.answer import most_tokens
from thirdlever.core import project
from thirdlever.core.errors import PromptError, SuiteError
from thirdlever.core.text import clipped, counted, listed, normalise
from thirdlever.suites.detect import Detected, Kind, detect
from thirdlever.suites.documents import Knowledge, is_documents, of_row, stream_documents, write_documents
from thirdlever.suites.find import load_file
from thirdlever.suites.prompts import read_prompt
from thirdlever.suites.readers import Row, is_missing, read_label_names, read_turns, transcript
from thirdlever.suites.sources import HUB, PARTS, Dialect, joined, propose, read_source
from thirdlever.suites.splitting import Splits, split
from thirdlever.suites.suite import COLUMNS, Document, Item

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from thirdlever.suites.suite import Suite

CLASSES: Mapping[Kind, str] = {"labels": "Labels", "number": "Number", "text": "Text", "json": "Json"}
_LINE = 120  # characters
_NAMED = 6  # keys that an instruction names
_WIDTH = 60  # characters of an example in the docstring
_SAY_NOTHING = {"input", "target"}  # names of columns

_EVAL = '''"""{name}: {task}.

Source:  {sources} (sha256 in datasets/{name}/card.yaml).
Licence: {licence}.
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

_EXAMPLES = 3
_STARTER = (
    "evals/[!_]*.py",
    "strategies/[!_]*.py",
    "prompts/[!_.]*",
    "datasets/*/*",
    "results/README.md",
    "results/reference*/*",
)
# Folders of a project, and names that an eval file imports: a function of the same name would shadow them.
_RESERVED = {
    "Suite",
    *CLASSES.values(),
    "load_suite",
    "suite",
    "thirdlever",
    "datasets",
    "evals",
    "prompts",
    "results",
    "strategies",
}

_CARD = """\
# Describes the data. Fill in what is unknown or null.
{head}
{licence}  # who may use the data for what, and how to credit it
{facts}
target_accuracy: null  # share of right answers that the product needs, 0 to 1
monthly_volume: null  # requests a month in production: decides whether a more expensive approach pays
error_cost_usd: null  # cost of one wrong answer: decides what a point of accuracy is worth
stable: null  # yes or no: is the task narrow, and will it stay as it is
behaviour: null  # yes or no: must answers change in format, tone or by house rules
changing_knowledge: null  # yes or no: do answers need changing or proprietary facts
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is known of published data, for the card and the eval file.

    Attributes:
        about: entries of the card, such as title and task.
        source: likewise: address, revision, and the sha256 of each file.
        address: where people find the data.
        licence: who may use them for what.
        instruction: what the prompt asks.
    """

    about: Mapping[str, str]
    source: Mapping[str, Any]
    address: str
    licence: str
    instruction: str


@dataclass(frozen=True, slots=True)
class Made:
    """A new suite.

    Attributes:
        name: its name.
        counts: rows per split, documents and labels.
        kind: the kind of answer.
        answer: what it is and why, in words.
        examples: (input, target as it was read) of a few rows with different targets.
        changes: what was dropped or drawn, in sentences.
        warnings: what the user should look at, in sentences.
        draft: the suite with its first test item only, and an example of each label, to show what will be sent.
        knowledge: what the documents are; None if there are none.
    """

    name: str
    counts: Mapping[str, int]
    kind: Kind
    answer: str
    examples: Sequence[tuple[str, str]]
    changes: Sequence[str]
    warnings: Sequence[str]
    draft: Suite
    knowledge: Knowledge | None = None


def make_suite(
    name: str,
    *,
    train: Path | str,
    input: str | None = None,  # noqa: A002 - the command line's word
    target: str | Sequence[str] = (),
    test: Path | str | None = None,
    dev: Path | str | None = None,
    documents: Path | str | None = None,
    reading: Dialect | None = None,
    slice: str | None = None,  # noqa: A002 - the command line's word
    group: str | None = None,
    prompts: Sequence[Path] = (),
    answer: Kind | None = None,
    labels: str | None = None,
    skip_unlabelled: bool = False,
    keep_unlabelled: bool = False,
    origin: Origin | None = None,
    confirm: Callable[[Made], None] | None = None,
    folder: Path | None = None,
) -> Made:
    """Write `datasets/<name>/` and `evals/<name>.py` from labelled files: all of it or nothing.

    Args:
        name: a Python identifier.
        train: labelled rows to learn from: a file of any format that `read_source` knows, a folder, or "hf:owner/name".
        input: the column that the model is shown; None finds it.
        target: the column with the right answer, or several: one-hot columns, or the keys of a JSON answer; "a+b" joins
            two to one label. Empty finds one.
        test: labelled rows to measure on; None takes the split of train's file, or draws them from train.
        dev: labelled rows to choose parameters on; likewise.
        documents: knowledge to retrieve from: a folder or file that `read_documents` reads, or a table with the columns
            `title` and `text`; None takes SQuAD's paragraphs.
        reading: the files' delimiter and encoding, where they do not say it.
        slice: column naming a subgroup; results are reported per subgroup.
        group: column naming the source that rows share (author, merchant); rows drawn for test and dev take all of a
            source.
        prompts: the team's prompt files, copied to `prompts/`. They may show every column by its name, and the first is
            the suite's own.
        answer: the answer kind; None detects it from the targets.
        labels: names for labels that are numbers or codes: "0=anger,1=joy", or a file of them. The original is kept in
            a column of its own.
        skip_unlabelled: leave out rows without a target; by default they are refused.
        keep_unlabelled: keep their inputs, for a teacher to label.
        origin: of published data; None says of each file its name and sha256, and leaves the licence open.
        confirm: called before anything is written; raises to prevent it.
        folder: the project; None is the current folder.

    Raises:
        SuiteError: with file, line and what to do.
    """
    folder = folder or Path.cwd()
    refuse(name, folder)
    files = {"train": train, "dev": dev, "test": test, "documents": documents}
    sources = {part: str(given) for part, given in files.items() if given is not None}
    data = _read(sources, input, [target] if isinstance(target, str) else list(target), reading or Dialect())
    targets = data.targets
    roles = {"input": data.input, "slice": slice, "group": group}
    columns = {role: column for role, column in roles.items() if column is not None}
    names = read_label_names(labels) if labels else data.names
    read, blank, skipped = _labelled(data.rows, targets, names)
    found, given, unanswered = _items(read, columns, targets, answer)
    blank += unanswered
    left_out = [] if keep_unlabelled else _left_out(blank, skip=skip_unlabelled)
    splits = split(given, classes=lambda item: found.classes(item.target), closed=found.kind in {"label", "labels"})
    unlabelled = _unlabelled(blank, columns["input"], splits) if keep_unlabelled else []
    changes = [*data.changes, *left_out, *skipped, *found.changes, *splits.changes]
    items = [item for part in splits.parts.values() for item in part]
    streamed = sources["documents"] if documents is not None and is_documents(Path(documents)) else None
    with tempfile.TemporaryDirectory(prefix=".thirdlever-", dir=folder) as aside:
        staged = Path(aside, "documents.jsonl")
        known = _staged(staged, streamed, data, reading, changes)
        counts = {part: len(items) for part, items in splits.parts.items()}
        counts |= ({"unlabelled": len(unlabelled)} if unlabelled else {}) | {"documents": known.count if known else 0}
        if found.kind in {"label", "labels"}:
            counts["labels"] = len({label for item in items for label in found.classes(item.target)})
        because = found.words if origin else f"{found.words}, because {found.reason}"
        about: dict[str, Any] = {
            "source": [origin.source] if origin else [_identity(given) for given in sources.values()],
            "schema": {role: f"column {column!r}" for role, column in columns.items()}
            | {"target": f"column {listed([repr(column) for column in targets])}"},
            "answer": because,
            "counts": counts,
            "changes": changes,
        }
        into = Path("datasets", name)
        structured = found.kind in {"labels", "json"}
        tables = {part: list(_numbered(items, part, structured=structured)) for part, items in splits.parts.items()}
        tables |= {"unlabelled": unlabelled} if unlabelled else {}
        contents = {
            into / f"{part}.jsonl": "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in table)
            for part, table in tables.items()
        }
        contents[into / "card.yaml"] = _CARD.format(
            head=_yaml({"name": name, **(origin.about if origin else {})}),
            licence=_yaml({"licence": origin.licence if origin else "unknown"}),
            facts=_yaml(about),
        )
        contents[Path("evals", f"{name}.py")] = eval_file(
            name,
            columns["input"],
            targets,
            found,
            sources=[origin.address] if origin else [next(iter(entry.values())) for entry in about["source"]],
            licence=origin.licence if origin else None,
            instruction=origin.instruction if origin else data.instruction,
            items=items,
            prompt=prompts[0].stem if prompts else None,
        )
        warnings = [*found.warnings, *splits.contradictions()]
        if group is not None and not splits.parts["dev"]:
            warnings.append(
                f"dev is empty, because each group of {group!r} is larger than a tenth of train: nothing, such as "
                "k=auto, can be chosen on it; give --dev FILE, or another --group"
            )
        for prompt in prompts:
            contents |= _prompt_file(prompt, folder)
        different = list({item.target: item for item in reversed(splits.parts["train"])}.values())[
            : -_EXAMPLES - 1 : -1
        ]
        examples = [(item.input, found.shown(item.target)) for item in different]
        draft = _draft(name, contents, tables, folder, closed=found.kind == "label")
        made = Made(name, counts, found.kind, because, examples, changes, warnings, draft, known)
        if confirm is not None:
            confirm(made)
        write_all(
            {name: text.encode() for name, text in contents.items()}
            | ({into / "documents.jsonl": staged} if known else {}),
            folder,
        )
        return made


def _staged(
    path: Path, streamed: str | None, data: _Data, reading: Dialect | None, changes: list[str]
) -> Knowledge | None:
    """Write the documents of a folder or file, or of the data; None if there are none."""
    if streamed:
        encoding = reading.encoding if reading else None
        return write_documents(path, stream_documents(Path(streamed), changes, encoding=encoding))
    return write_documents(path, data.documents) if data.documents else None


def _draft(
    name: str,
    contents: Mapping[Path, str],
    tables: Mapping[str, Sequence[Mapping[str, Any]]],
    folder: Path,
    *,
    closed: bool,
) -> Suite:
    """The suite with a few of its rows, loaded from elsewhere, since nothing is in the project yet."""
    of_each = {row["target"]: row for row in tables["train"]} if closed else {"": tables["train"][0]}
    rows = {"train": of_each.values(), "test": tables["test"][:1]}
    into = Path("datasets", name)
    few = {into / f"{part}.jsonl": "".join(json.dumps(row) + "\n" for row in some) for part, some in rows.items()}
    others = {path: text for path, text in contents.items() if path.suffix != ".jsonl"}
    with tempfile.TemporaryDirectory() as aside, project.first_in(folder), project.first_in(Path(aside)):
        write_all({path: text.encode() for path, text in (few | others).items()}, Path(aside))
        return load_file(Path(aside, "evals", f"{name}.py"), name)


def suite_name(given: str) -> str:
    """A name for the suite of a file: "Support tickets.csv.gz" becomes "support_tickets"."""
    stem = Path(given.partition("@")[0].rpartition(":")[2]).name.partition(".")[0]
    name = re.sub(r"\W+", "_", stem).strip("_").lower()
    return name if name.isidentifier() else f"suite_{name}"


def copy_starter(folder: Path | None = None) -> tuple[list[Path], list[Path]]:
    """Copy the starter project: evals, strategies, prompts and the data of the suites.

    Returns:
        (copied, kept): files that were written, and files that already existed and are unchanged.
    """
    folder, source = folder or Path.cwd(), project.roots()[-1]
    names = [path.relative_to(source) for pattern in _STARTER for path in sorted(source.glob(pattern))]
    kept = [name for name in names if (folder / name).exists()]
    copied = [name for name in names if name not in kept]
    write_all({name: (source / name).read_bytes() for name in copied}, folder)
    return copied, kept


# Rows


@dataclass(frozen=True, slots=True)
class _Data:
    """What the user's files hold.

    Attributes:
        rows: by part.
        input: the column of the input.
        targets: the columns of the target.
        names: of the labels that are codes, where the file has them.
        documents: rows of documents.jsonl.
        instruction: which the file itself gives.
        changes: how they were read, in sentences.
    """

    rows: Mapping[str, Sequence[Row]]
    input: str
    targets: Sequence[str]
    names: Mapping[str, str]
    documents: Sequence[Document]
    instruction: str | None
    changes: Sequence[str]


def _read(sources: Mapping[str, str], input_: str | None, targets: Sequence[str], reading: Dialect) -> _Data:
    found = {
        part: read_source(given, reading)
        for part, given in sources.items()
        if part != "documents" or not is_documents(Path(given))
    }
    train, pages = found["train"], found.pop("documents", None)
    rows = {part: source.rows(part) for part, source in found.items()}
    changes = [change for source in found.values() for change in source.changes]
    own = {PARTS.get(name, name): name for name in train.parts if name}
    rows |= {part: train.parts[own[part]] for part in ("dev", "test") if part in own and part not in rows}
    if left := [name for part, name in own.items() if part not in rows]:
        changes.append(f"splits left out: {', '.join(left)}")
    empty = next((part for part, read in rows.items() if not read), None)
    if empty or (pages and not pages.rows("documents")):
        message = f"{sources.get(empty or 'documents', sources['train'])!r} has no rows; give a file with rows"
        raise SuiteError(message)
    chosen, wanted, proposed = propose(rows["train"], input_, targets)
    made = {part: joined(some, wanted) for part, some in rows.items()}
    rows = {part: some for part, (some, _, _) in made.items()}
    _, wanted, together = made["train"]
    documents = _knowledge(train.documents)
    if pages:
        documents = _knowledge(pages.documents) or [
            of_row(row, f"doc-{number:05}") for number, row in enumerate(pages.rows("documents"), start=1)
        ]
    return _Data(
        rows=rows,
        input=chosen,
        targets=wanted,
        names=train.labels.get(wanted[0], {}) if len(wanted) == 1 else {},
        documents=documents,
        instruction=train.instruction,
        changes=[*dict.fromkeys(changes), *proposed, *together],
    )


def _knowledge(pairs: Iterable[tuple[str, str]]) -> list[Document]:
    return [Document(f"doc-{n:05}", title, text) for n, (title, text) in enumerate(pairs, start=1)]


def _identity(given: str) -> dict[str, str]:
    """What a card says of a source: its name, and the sha256 of a file."""
    path = Path(given)
    if given.startswith(HUB):
        return {"dataset": given}
    if path.is_dir():
        return {"folder": path.resolve().name}
    with path.open("rb") as file:
        return {"file": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


_Blank = tuple[str, Row]  # what is there instead of a target, and the row
_Read = tuple[str, Row, Any, Any]  # part, row, target, and the original if the target was renamed


def _labelled(
    rows: Mapping[str, Sequence[Row]], targets: Sequence[str], names: Mapping[str, str]
) -> tuple[list[_Read], list[_Blank], list[str]]:
    """Every row with its target, those without one, and what else was done, in sentences."""
    every = [(part, row) for part, some in rows.items() for row in some]
    for column in targets:
        if not any(column in row.values for _, row in every):
            every[0][1].value(column)  # names the columns that there are
    lists = len(targets) == 1 and _are_lists(row.values.get(targets[0]) for _, row in every)
    read: list[_Read] = []
    blank: list[_Blank] = []
    absent = 0
    for part, row in every:
        original = _target(row, targets, lists=lists)
        absent += lists and targets[0] not in row.values
        value = _named(original, names, row.where) if names else original
        cells = value.values() if len(targets) > 1 else [value]
        if all(map(is_missing, cells)):
            blank.append((f"{targets[0]!r} is {_missing_as(original)}", row))
        else:
            read.append((part, row, value, original if names else None))
    changes = [f"rows without {targets[0]!r}, read as empty sets: {absent}"] if absent else []
    return read, blank, changes


def _left_out(blank: Sequence[_Blank], *, skip: bool) -> list[str]:
    """What to say about rows without a target.

    Raises:
        SuiteError: there are some, and the user did not ask to `skip` them.
    """
    if not blank:
        return []
    what, row = blank[0]
    if skip:
        shown = ", ".join(row.where for _, row in blank[:_EXAMPLES]) + ", …" * (len(blank) > _EXAMPLES)
        return [f"unlabelled rows left out: {len(blank)} ({shown})"]
    more = f" (one of {len(blank)} such rows)" if len(blank) > 1 else ""
    remedy = (
        "fill it in, leave such rows out with --skip-unlabelled, or keep them to be labelled with --keep-unlabelled"
    )
    message = f"{row.where}: {what}: the row is unlabelled{more}; {remedy}"
    raise SuiteError(message)


def _unlabelled(blank: Sequence[_Blank], column: str, splits: Splits) -> list[dict[str, Any]]:
    """Rows of unlabelled.jsonl: each input once, and none that dev or test has."""
    seen = {normalise(item.input) for part in ("dev", "test") for item in splits.parts[part]}
    kept: list[dict[str, Any]] = []
    for _, row in blank:
        if is_missing(row.value(column)):
            continue
        text, turns = _input(row, column)
        if (key := normalise(text)) not in seen:
            seen.add(key)
            chat = [{"role": role, "content": said} for role, said in turns]
            kept.append({"id": f"unlabelled-{len(kept) + 1:05}", "input": chat or text})
    return kept


def _missing_as(value: object) -> str:
    return "empty" if isinstance(value, str) else "null" if value is None else clipped(value)


def _are_lists(values: Iterable[object]) -> bool:
    there = [value for value in values if value is not None]
    return bool(there) and all(isinstance(value, list) for value in there)


def _target(row: Row, columns: Sequence[str], *, lists: bool) -> Any:  # noqa: ANN401 - any JSON value
    """The target of a row; JSON lines may leave out an empty list, or a key of several."""
    if len(columns) > 1:
        return {name: row.value(name) if row.header or name in row.values else None for name in columns}
    return [] if lists and columns[0] not in row.values else row.value(columns[0])


def _named(value: Any, names: Mapping[str, str], where: str) -> Any:  # noqa: ANN401 - any JSON value
    """A target, or each member of a list or of a cell such as 3;10, by its name; -1, if it has none, is no label."""
    if isinstance(value, list):
        return [_named(each, names, where) for each in value]
    if is_missing(value) or isinstance(value, dict):
        return value
    text = value.strip() if isinstance(value, str) else json.dumps(value)
    text = re.sub(r"^(-?\d+)\.0$", r"\1", text)  # as data frames write integers beside missing values
    if text in names or text in names.values():
        return names.get(text, text)
    parts = [part.strip() for part in re.split("[;|,]", text)]
    if len(parts) > 1 and all(part in names for part in parts):
        return [names[part] for part in parts]
    if text == "-1":
        return None
    message = f"{where}: the label {clipped(text)} has no name in --labels; add {text}=NAME"
    raise SuiteError(message)


def _items(
    read: Sequence[_Read], columns: Mapping[str, str], targets: Sequence[str], kind: Kind | None
) -> tuple[Detected, dict[str, list[Item]], list[_Blank]]:
    """The answer kind, the items by part, and the rows without a right answer."""
    inputs = [_input(row, columns["input"]) for _, row, _, _ in read]
    sample = {
        (text, json.dumps(value)): number
        for number, ((part, _, value, _), (text, _)) in enumerate(zip(read, inputs, strict=True))
        if part == "train"
    }
    values, where = [value for _, _, value, _ in read], [row.where for _, row, _, _ in read]
    found = detect(values, targets, where, sample=list(sample.values()), kind=kind)
    given: dict[str, list[Item]] = {}
    own = {*columns.values(), *targets, *COLUMNS}
    blank: list[_Blank] = []
    for (part, row, _, original), (text, turns), target in zip(read, inputs, found.targets, strict=True):
        items = given.setdefault(part, [])
        if not target:
            blank.append((f"{targets[0]!r} has no right answer", row))
            continue
        slice_, group = (row.text(columns[role]) if role in columns else "" for role in ("slice", "group"))
        fields = {name: value for name, value in row.values.items() if name not in own}
        if original is not None:
            fields[f"{targets[0]}_original"] = original
        items.append(Item(row.where, text, target, slice_, group, fields, turns))  # its id is, for now, its line
    return found, given, blank


def _input(row: Row, column: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    turns = read_turns(row, column)
    return transcript(turns) if turns else row.text(column), turns


# Files


def refuse(name: str, folder: Path, remedy: str = "choose another name or remove") -> None:
    """Refuse a name for a suite that is impossible or taken; raises `SuiteError`."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_") or name in _RESERVED:
        message = f"invalid suite name {name!r}; choose a word of letters, digits and _ that Python does not reserve"
        raise SuiteError(message)
    paths = [path for path in (Path("datasets", name), Path("evals", f"{name}.py")) if (folder / path).exists()]
    if paths:
        exist, them = ("exists", "it") if len(paths) == 1 else ("exist", "both")
        message = f"{listed([repr(path.as_posix()) for path in paths])} already {exist}; {remedy} {them}"
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


def _numbered(items: Sequence[Item], part: str, *, structured: bool) -> Iterable[dict[str, Any]]:
    for number, item in enumerate(items, start=1):
        chat = [{"role": role, "content": text} for role, text in item.turns]
        target = json.loads(item.target) if structured else item.target
        row = {"id": f"{part}-{number:05}", "input": chat or item.input, "target": target}
        roles = {role: value for role, value in (("slice", item.slice), ("group", item.group)) if value}
        yield row | roles | dict(item.fields)


def _yaml(value: Mapping[str, Any]) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text.rstrip()


def write_all(contents: Mapping[Path, bytes | Path], folder: Path) -> None:
    """Write all files to a temporary folder, then move them; undo the moves if one fails.

    Args:
        contents: by path below the folder; a path is of a file on the same disk, which is moved there.
        folder: the project.
    """
    with tempfile.TemporaryDirectory(prefix=".thirdlever-", dir=folder) as aside, ExitStack() as undo:
        for name, content in contents.items():
            written = Path(aside, name)
            written.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, Path):
                content.rename(written)
            else:
                written.write_bytes(content)
        for name in contents:
            for parent in reversed((folder / name).parents):
                if not parent.exists():
                    parent.mkdir()
                    undo.callback(parent.rmdir)
            Path(aside, name).rename(folder / name)
            undo.callback((folder / name).unlink)
        undo.pop_all()


# The eval file


def eval_file(
    name: str,
    source: str,
    targets: Sequence[str],
    found: Detected,
    *,
    sources: Sequence[str],
    items: Sequence[Item],
    prompt: str | None,
    licence: str | None = None,
    instruction: str | None = None,
) -> str:
    """Source of `evals/<name>.py`.

    Args:
        name: the suite's.
        source: the user's name of the input column.
        targets: and of the target columns.
        found: the answer kind.
        sources: names of the files that the suite was made from.
        items: all of the suite, train's first.
        prompt: the suite's own, in `prompts/`; None for the default one.
        licence: of the data; None if it is unknown.
        instruction: the team's own; None writes one.
    """
    further = (("input_column", source if source not in COLUMNS else None), ("prompt", prompt))
    shown, wanted = _in_words(source, "Text"), _wanted(targets, found)
    labels = sorted({label for item in items for label in found.classes(item.target)})
    several = counted(len(labels), "label")
    kind = {"label": f"one of {several}", "labels": f"a set of {several}"}.get(found.kind, found.words)
    keys = [_in_words(key, "JSON").lower() for key in found.settings.get("keys", ())]
    extract = f"Extract {listed(keys) if len(keys) <= _NAMED else 'the fields'} from the {shown.lower()}."
    give = f"Give the {wanted.lower()} of the {shown.lower()}."
    answer = None if found.kind == "label" else _answer(found, wanted, labels, [item.target for item in items])
    return _EVAL.format(
        name=name,
        task=f"{_quoted(', '.join(targets))} ({kind}) from {_quoted(source)}",
        sources=", ".join(map(_quoted, sources)),
        licence=licence or f"unknown; fill it in here and in datasets/{name}/card.yaml",
        example=f"{_quoted(items[0].input)} -> {_quoted(found.shown(items[0].target))}",
        imports=", ".join(sorted({"Suite", "load_suite", "suite"} | ({answer.name} if answer else set()))),
        summary=f"The {wanted.lower()} of each {shown.lower()}",
        name_literal=_literal(name),
        instruction=_literal(instruction or (extract if keys else give)),
        answer=_source(answer, 8, len("answer=")) if answer else '"label"',
        input_name=_literal(shown),
        answer_name="" if answer else f"\n        answer_name={_literal(wanted)},",
        further="".join(f"\n        {name}={_literal(value)}," for name, value in further if value),
    )


def _wanted(targets: Sequence[str], found: Detected) -> str:
    """What the prompt calls an answer."""
    if len(targets) == 1:
        words = _in_words(targets[0], "Category")
        return words.removesuffix("s") if "separator" in found.settings and found.kind == "text" else words
    return "Categories" if found.kind == "labels" else "JSON"


def _answer(found: Detected, name: str, labels: Sequence[str], targets: Sequence[str]) -> _Call:
    """The answer kind, with all that it needs."""
    settings = dict(found.settings)
    if found.kind == "labels":
        settings["labels"] = tuple(labels)
    first = [("", settings.pop(key)) for key in ("labels", "keys") if key in settings]
    if found.kind in {"text", "json"}:
        separator = settings.get("separator")
        answers = [each for target in targets for each in (target.split(separator) if separator else [target])]
        settings = {"max_tokens": max(map(most_tokens, answers)), **settings}
    return _Call(CLASSES[found.kind], [*first, ("name=", name), *((f"{key}=", v) for key, v in settings.items())])


def _in_words(column: str, otherwise: str) -> str:
    """A column's name for the prompt: "merchant_name" becomes "Merchant name"; "input" says nothing."""
    if column.casefold() in _SAY_NOTHING:
        return otherwise
    words = " ".join(re.sub(r"[\W_]+", " ", column).split())[:_WIDTH]
    return words[:1].upper() + words[1:] or otherwise


def _quoted(text: str) -> str:
    """Data inside a docstring: a shortened literal that can neither end the docstring nor start an escape."""
    shown = repr(text if len(text) <= _WIDTH else text[:_WIDTH] + "…")
    return shown.replace("\\", "\\\\").replace('"', '\\"')


# Python source


@dataclass(frozen=True, slots=True)
class _Call:
    """A call, as source: each argument with what stands before it, "" or "name="."""

    name: str
    arguments: Sequence[tuple[str, Any]]


def _literal(text: str) -> str:
    """A text in double quotes, as a formatter writes it; what cannot be seen is escaped."""
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)


def _source(value: Any, indent: int, used: int) -> str:  # noqa: ANN401 - any JSON value, a tuple or a call
    """A value as source: on one line if it fits there, otherwise one line for each of its members.

    Args:
        value: what to write.
        indent: spaces before the line on which it begins.
        used: characters on that line before it.
    """
    opening, members, closing = _members(value)
    flat = ", ".join(f"{before}{_source(each, 0, -_LINE * len(members))}" for before, each in members)
    line = opening + flat + ("," if isinstance(value, tuple) and len(members) == 1 else "") + closing
    if not members or indent + used + len(line) < _LINE:
        return line
    inner = indent + 4
    lines = [f"{' ' * inner}{before}{_source(each, inner, len(before))}," for before, each in members]
    return "\n".join([opening, *lines, " " * indent + closing])


def _members(value: Any) -> tuple[str, Sequence[tuple[str, Any]], str]:  # noqa: ANN401 - likewise
    if isinstance(value, _Call):
        return f"{value.name}(", value.arguments, ")"
    if isinstance(value, dict):
        return "{", [(f"{_literal(key)}: ", each) for key, each in value.items()], "}"
    if isinstance(value, list | tuple):
        opening, closing = "[]" if isinstance(value, list) else "()"
        return opening, [("", each) for each in value], closing
    return _literal(value) if isinstance(value, str) else repr(value), (), ""
