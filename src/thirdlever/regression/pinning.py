"""Baselines on disk: `results/baselines/<name>.json`, one line an item, so that git shows what a release changed."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.core import files, project
from thirdlever.core.errors import RunError, unknown
from thirdlever.regression.baseline import Baseline, Got, Kept, Pinned

if TYPE_CHECKING:
    from pathlib import Path

# An answer as the file has it: 1 is right, null could not be read, false is a failed request, a text is the wrong
# answer; a score between is [score, answer].
Cell: TypeAlias = int | str | bool | list[Any] | None

FORMAT = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def folder() -> Path:
    """Where baselines are."""
    return project.RESULTS / "baselines"


def available() -> list[str]:
    """Their names."""
    return sorted(path.stem for path in folder().glob("*.json"))


def save(baseline: Baseline) -> Path:
    """Write a baseline, whole or not at all; one of the same name is replaced.

    Raises:
        RunError: a name that is no file name.
    """
    if not _NAME.fullmatch(baseline.name):
        message = f"{baseline.name!r} is no name for a baseline; use letters, digits, '-', '_' and '.'"
        raise RunError(message)
    path = folder() / f"{baseline.name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write(path, to_text(baseline).encode())
    return path


def load(name: str) -> Baseline:
    """Read a baseline.

    Raises:
        RunError: there is none of that name, or its file is damaged.
    """
    path = folder() / f"{name}.json"
    if name not in available():
        raise RunError(unknown("baseline", name, available()) + "; `thirdlever baseline set RUN` makes one")
    try:
        table = json.loads(path.read_text("utf-8"))
        if table["format"] != FORMAT:
            message = f"{path} has format {table['format']!r}, this version reads {FORMAT}; pin the run again"
            raise RunError(message)
        return _read(name, table)
    except (ValueError, KeyError, TypeError, IndexError) as error:
        message = f"{path} is damaged ({type(error).__name__}: {error}); restore it from git or pin the run again"
        raise RunError(message) from error


def to_text(baseline: Baseline) -> str:
    """The file: what describes the run is spread over lines, each item has one of its own."""
    head = {
        "format": FORMAT,
        "suite": baseline.suite,
        "options": baseline.options,
        **baseline.facts,
        "candidates": [{k: v for k, v in asdict(one).items() if k != "got"} for one in baseline.candidates],
        "columns": [*Kept._fields, *(one.name for one in baseline.candidates)],
    }
    text = json.dumps(head, indent=2, ensure_ascii=False)
    # A list of plain values on one line; its strings hold no line breaks, for JSON escapes them.
    text = re.sub(
        r"\[\n\s*[^\[\]{}]*?\n\s*\]",
        lambda found: re.sub(r"(?<=\[)\n\s*|\n\s*(?=\])|(?<=,)\n *(?= )|\n", "", found[0]),
        text,
    )
    rows = (
        json.dumps([*item, *(_cell(one.got[i]) for one in baseline.candidates)], ensure_ascii=False)
        for i, item in enumerate(baseline.items)
    )
    return text[: text.rindex("\n}")] + ',\n  "items": [\n' + ",\n".join(rows) + "\n  ]\n}\n"


def _read(name: str, table: dict[str, Any]) -> Baseline:
    wide = len(Kept._fields)
    rows = table.pop("items")
    about = table.pop("candidates")
    for row in rows:
        if len(row) != wide + len(about):
            message = f"item {row[0]!r} has {len(row)} values"
            raise ValueError(message)
    return Baseline(
        name=name,
        suite=table.pop("suite"),
        options=table.pop("options"),
        facts={key: value for key, value in table.items() if key not in {"format", "columns"}},
        items=[Kept(*row[:wide]) for row in rows],
        candidates=[Pinned(**one, got=[_got(row[wide + place]) for row in rows]) for place, one in enumerate(about)],
    )


def _cell(got: Got) -> Cell:
    if got.score == 1:
        return 1
    told = False if got.failed else got.answer
    return [got.score, told] if got.score else told


def _got(cell: Cell) -> Got:
    match cell:
        case bool():
            return Got(0.0, failed=True)
        case [float() | int() as score, told] if math.isfinite(score) and 0 <= score <= 1:
            return _got(told)._replace(score=float(score))
        case 1:
            return Got(1.0)
        case str() | None:
            return Got(0.0, cell)
    message = f"{cell!r} is no answer"
    raise ValueError(message)
