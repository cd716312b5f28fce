"""From `datasets/<name>/` and `evals/<name>.py` to a checked `Suite`."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.answers.answer import Answer, Label
from thirdlever.core import project
from thirdlever.core.errors import SuiteError, unknown
from thirdlever.reading import Row, read_rows, read_text
from thirdlever.suite import Document, Item, Split, Suite, check

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

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
