"""Invalid input on the command line: exit code 2, one sentence with a remedy, and no files written."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

import thirdlever

EVAL = """from thirdlever import Suite, load_suite, suite


@suite
def tiny() -> Suite:
    return load_suite("tiny", instruction="Name the kind.")
"""
INIT = "init mine --train train.csv --test test.csv --input text --target kind"


class Case(NamedTuple):
    """A command that must fail, the text that its message must contain, and a change to the folder before."""

    name: str
    command: str
    said: tuple[str, ...]
    spoil: Callable[[Path], object] = lambda _: None


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)


def evals_is_a_file(folder: Path) -> None:
    (folder / "evals").rename(folder / "evals_before")
    (folder / "evals").write_text("a file where a folder must be")


CASES = [
    # Names and arguments.
    Case("unknown suite", "run tinny", ("suite 'tinny' not found", "did you mean 'tiny'?", "thirdlever init")),
    Case("unknown strategy", "run tiny --strategy rga", ("strategy 'rga' not found", "did you mean 'rag'?")),
    Case("unknown argument", "run tiny --strategy rag:kk=3", ("'kk' not found", "did you mean 'k'?")),
    Case("bad argument value", "run tiny --strategy rag:k=lots", ("invalid k='lots'; expected a whole number",)),
    Case("unknown model", "run tiny --strategy zero_shot --model embeded", ("'embeded'", "did you mean 'embedded'?")),
    Case("unknown model to pull", "models pull embeded", ("'embeded'", "did you mean 'embedded'?")),
    Case("negative limit", "run tiny --limit -1", ("'--limit'", "greater than or equal to 1", "thirdlever run --help")),
    Case("utilisation of none", "run tiny --strategy null --utilisation 0", ("utilisation",)),
    Case("unknown option", "run tiny --limits 3", ("No such option: --limits", "--limit")),
    Case("unknown command", "rnu tiny", ("No such command 'rnu'", "thirdlever --help")),
    Case("no such run", "show nowhere", ("'nowhere'",)),
    # What is missing.
    Case("missing key", "run tiny --strategy zero_shot --model openai/gpt-4o-mini", ("OPENAI_API_KEY",)),
    Case("missing extra", "run tiny --strategy rag", ("chromadb", "python -m pip install 'thirdlever[rag]'")),
    Case("missing file", INIT.replace("train.csv", "trian.csv"), ("no file 'trian.csv'", "did you mean 'train.csv'?")),
    Case("missing column", INIT.replace("kind", "knd"), ("train.csv:1", "'knd' not found", "did you mean 'kind'?")),
    Case("missing options", "init mine --input text", ("data is missing", "thirdlever init mine --train FILE")),
    Case("missing name", "init --input text", ("has no name", "thirdlever init NAME")),
    # Data.
    Case(
        "existing suite",
        INIT.replace("mine", "tiny"),
        ("'datasets/tiny' and 'evals/tiny.py' already exist", "another name"),
    ),
    Case("name not allowed", INIT.replace("mine", "my-own"), ("'my-own'", "choose a word")),
    Case("empty split", "run tiny", ("the test split is empty",), write("datasets/tiny/test.jsonl", "")),
    Case("malformed line", "run tiny", ("train.jsonl:1: not JSON",), write("datasets/tiny/train.jsonl", "{'id': 1}\n")),
    Case(
        "not UTF-8",
        INIT,
        ("train.csv:2: byte 13 is not UTF-8", "with --encoding cp1252"),
        write("train.csv", b"text,kind\ncaf\xe9,a\n"),
    ),
    Case("ragged", INIT, ("train.csv:3: 3 fields where", "quotes"), write("train.csv", "text,kind\nx,a\ny,b,c\n")),
    Case("no rows", INIT, ("'train.csv' has no rows",), write("train.csv", "text,kind\n")),
    Case("new label in test", INIT, ("test.csv:2: label 'z' of test",), write("test.csv", "text,kind\nq,z\n")),
    # Where it goes.
    Case("out is no folder", "run tiny --strategy null --out train.csv/run", ("train.csv",)),
    Case("no place for evals", INIT, ("evals", "give a writable path"), evals_is_a_file),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a small suite, and two files for another."""
    project = tmp_path / "project"
    (project / "datasets/tiny").mkdir(parents=True)
    (project / "evals").mkdir()
    (project / "evals/tiny.py").write_text(EVAL)
    for split in ("train", "test"):
        rows = [{"id": f"{split}-{n}", "input": f"{split} text {n}", "target": f"k{n % 2}"} for n in range(10)]
        (project / f"datasets/tiny/{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (project / f"{split}.csv").write_text("text,kind\n" + "".join(f"{r['input']},{r['target']}\n" for r in rows))
    # An interpreter that lacks chromadb, whatever is installed.
    (tmp_path / "lacking").mkdir()
    (tmp_path / "lacking/chromadb.py").write_text("raise ModuleNotFoundError(name='chromadb')\n")
    return project


def environment(folder: Path) -> dict[str, str]:
    """An environment without keys, caches or bytecode files."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith(("_API_KEY", "_TOKEN"))}
    paths = os.pathsep.join([str(folder.parent / "lacking"), str(Path(thirdlever.__file__).parents[1])])
    home = {"HOME": str(folder.parent), "XDG_CACHE_HOME": str(folder.parent / "cache")}
    return kept | home | {"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input_is_one_sentence_and_writes_nothing(case: Case, folder: Path) -> None:
    case.spoil(folder)
    before = contents(folder)
    done = subprocess.run(
        [sys.executable, "-m", "thirdlever", *case.command.split()],
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr
    for words in case.said:
        assert words in done.stderr
    assert contents(folder) == before
