"""The tutorials do what they show: their files are written, their commands run, and their outputs are printed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
import pytest
from helpers.markdown import blocks, missing

import thirdlever
from thirdlever.models import bundled
from thirdlever.models.engine import local

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = Path(__file__).parents[2] / "docs"
SCRIPT = DOCS.parent / "scripts" / "execute_notebook.py"
NOTEBOOK = DOCS / "notebooks" / "compare.ipynb"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / "quickstart.md", *DOCS.glob("tutorials/*.md")))
CACHE = platformdirs.user_cache_path()  # the developer's cache, before the tests set their own
PRELOADED = Path(__file__).parents[1] / "helpers" / "preloaded.py"
SECONDS = 600  # a command that takes longer hangs


@pytest.fixture(scope="module", autouse=True)
def _weights() -> None:
    """Downloaded with the developer's settings, before each test's own environment is set."""
    bundled.embedder_folder()
    local.folder(local.EMBEDDED)


@pytest.fixture(scope="module")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The socket of a process that runs commands in forks of itself."""
    address = tmp_path_factory.mktemp("forks") / "socket"
    process = subprocess.Popen([sys.executable, "-P", PRELOADED, address], env=os.environ | {"OMP_NUM_THREADS": "1"})
    try:
        deadline = time.monotonic() + SECONDS
        while not address.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield address
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forks: Path) -> Path:
    """An empty folder, in which `thirdlever` and `python` are the ones under test."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name, words in (("thirdlever", ["-SE", PRELOADED, forks, "thirdlever"]), ("python", [])):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec {shlex.join(map(str, [sys.executable, *words]))} "$@"\n', "utf-8")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(Path(thirdlever.__file__).parents[1]))  # wherever the tests import it from
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("COLUMNS", "100")
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", PAGES)
def test_a_tutorial_does_what_it_shows(name: str, shell: Path) -> None:
    page = DOCS / name
    text = page.read_text("utf-8")
    for data in re.findall(r"\]\(([\w/]*data/[\w.]+)\)", text):
        shutil.copy(page.parent / data, shell)
    printed, ran = "", 0
    for block in blocks(text):
        if block.path:
            path = shell / block.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, "utf-8")
        elif block.language == "text":
            assert missing(block.text, printed) == [], f"{name} shows what was not printed:\n{printed}"
        else:
            assert block.language == "bash", f"{name}: a block is a file, commands (bash) or their output (text)"
            printed = run(block.text)
            ran += 1
    assert ran


def run(commands: str) -> str:
    """Everything that commands print; the first that fails ends them."""
    done = subprocess.run(
        ["bash", "-e", "-c", commands],  # noqa: S607 - the system's shell, as a reader's
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"{commands}\n{done.stdout}"
    return done.stdout


def test_the_notebook_runs_and_its_stored_outputs_are_of_the_same_kinds(shell: Path) -> None:
    stored = json.loads(NOTEBOOK.read_text("utf-8"))
    run(f"python {shlex.quote(str(SCRIPT))} executed.ipynb")
    executed = json.loads((shell / "executed.ipynb").read_text("utf-8"))
    for before, after in zip(stored["cells"], executed["cells"], strict=True):
        assert kinds(before) == kinds(after), before["source"]
    assert NOTEBOOK.stat().st_size < 250_000  # one picture


def kinds(cell: dict[str, Any]) -> list[Any]:
    """What each output of a cell is."""
    return [sorted(each["data"]) if "data" in each else each["name"] for each in cell.get("outputs", ())]
