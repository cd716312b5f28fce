"""`thirdlever init`: a suite of a user's own data, or the starter project, in the current folder."""

from __future__ import annotations

import hashlib
import json
import keyword
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever import scaffold
from thirdlever.core import project
from thirdlever.core.errors import SuiteError
from thirdlever.reading import Row, read_rows
from thirdlever.splitting import split
from thirdlever.suite import Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

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
    outline = scaffold.Outline(
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
    contents[data / "card.yaml"] = scaffold.card(outline)
    contents[Path("evals", f"{name}.py")] = scaffold.eval_file(outline)
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
