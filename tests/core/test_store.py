"""The store builds an artefact once, and again when the data or the code that it is built from changes."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import thirdlever
from thirdlever.core.errors import StrategyError
from thirdlever.core.project import load_module
from thirdlever.core.store import Store, source_hash

if TYPE_CHECKING:
    from collections.abc import Callable

BUILDER = """
import functools

FACTOR = 1

def scaled(x):
    return x * FACTOR

def builder(calls):
    def build(folder):
        calls.append(folder)
        return {"x": scaled(2)}
    return build

def add(folder, *, calls):
    calls.append(folder)

class Builder:
    def __init__(self, calls):
        self.calls = calls

    def __call__(self, folder):
        self.calls.append(folder)

    def method(self, folder):
        self.calls.append(folder)

CALLABLES = {
    "closure": builder,
    "lambda": lambda calls: lambda folder: calls.append(folder),
    "partial": lambda calls: functools.partial(add, calls=calls),
    "instance": Builder,
    "method": lambda calls: Builder(calls).method,
}
"""
KINDS = ("closure", "lambda", "partial", "instance", "method")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def from_file(path: Path, source: str = BUILDER, kind: str = "closure") -> Callable[[list[Path]], Any]:
    path.write_text(source, "utf-8")
    made: Callable[[list[Path]], Any] = load_module(path, StrategyError).CALLABLES[kind]
    return made


def typed(source: str) -> Callable[..., Any]:
    """A function whose source nothing holds, as one typed at Python's prompt."""
    names: dict[str, Any] = {}
    exec(compile(source, "<stdin>", "exec"), names)  # noqa: S102 - ours
    function: Callable[..., Any] = names["build"]
    return function


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_builder_builds_once(store: Store, tmp_path: Path, kind: str) -> None:
    calls: list[Path] = []
    for name in ("one.py", "two.py"):  # a moved project finds its artefacts
        store.once("thing", of={"n": 1}, build=from_file(tmp_path / name, kind=kind)(calls))
    assert len(calls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_changed_code_builds_again(store: Store, tmp_path: Path, kind: str) -> None:
    calls: list[Path] = []
    for source in (BUILDER, BUILDER.replace("FACTOR = 1", "FACTOR = 3")):  # a helper beside the builder
        made = store.once("thing", of={"n": 1}, build=from_file(tmp_path / "one.py", source, kind)(calls))
    assert len(calls) == 2
    assert made.facts.get("x", 6) == 6


def test_changed_data_builds_again(store: Store, tmp_path: Path) -> None:
    calls: list[Path] = []
    build = from_file(tmp_path / "one.py")(calls)
    folders = {store.once("thing", of={"n": n}, build=build).folder for n in (1, 2, 1)}
    assert len(folders) == len(calls) == 2


def test_a_function_without_source_counts_as_its_compiled_code() -> None:
    body = "def build(folder, wanted={}):\n    return {{'ok': folder in {{'a', 'b'}}, 'n': (lambda: {})()}}\n"
    same, again, other = (typed(body.format("()", n)) for n in (1, 1, 2))
    assert source_hash(same) == source_hash(again) != source_hash(other)


def test_a_function_written_in_c_counts_as_its_name() -> None:
    assert source_hash(os.mkdir) == source_hash(os.mkdir) != source_hash(os.rmdir)


def test_a_decorated_function_counts_as_itself() -> None:
    assert source_hash(functools.lru_cache(thirdlever.embed_once)) == source_hash(thirdlever.embed_once)


def test_a_shipped_builder_counts_alone_and_another_one_differs() -> None:
    assert source_hash(thirdlever.embed_once) != source_hash(thirdlever.embed)


def test_a_hash_is_the_same_in_every_process() -> None:
    code = (
        "import thirdlever; from thirdlever.core.store import source_hash\n"
        "exec(compile(\"def build(f): return f in {'a', 'b', 'c'}\", '<stdin>', 'exec'))\n"
        "print(source_hash(build), source_hash(thirdlever.embed_once))"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(thirdlever.__file__).parents[1])}
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=environment | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(hashes) == 1


def test_a_failed_build_leaves_nothing_and_a_resumed_one_goes_on(store: Store) -> None:
    def build(folder: Path) -> dict[str, bool]:
        resumed = (folder / "half").exists()
        (folder / "half").touch()
        if not resumed:
            raise KeyboardInterrupt
        return {"resumed": resumed}

    with pytest.raises(KeyboardInterrupt):
        store.once("thing", of={}, build=build, resume=True)
    assert store.once("thing", of={}, build=build, resume=True).facts["resumed"] is True
