"""docs/plugins.md and CONTRIBUTING.md: the files they show are written into an empty folder, checked and run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from helpers.markdown import fenced, files
from typer.testing import CliRunner

from thirdlever.cli import main
from thirdlever.runner.check import check
from thirdlever.suites.find import find_suite

if TYPE_CHECKING:
    from thirdlever import Suite

PAGE = Path(__file__).parents[2] / "docs/plugins.md"
TEXT = PAGE.read_text("utf-8")


FILES = files(TEXT)
OUTPUT = fenced(TEXT, "text")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_code_block_is_a_file() -> None:
    assert len(FILES) == len(re.findall(r"^```(?:python|json)$", TEXT, re.MULTILINE))


def test_the_first_strategy_has_twelve_lines() -> None:
    assert len(FILES["strategies/shortest.py"].splitlines()) == 12


@pytest.mark.parametrize("kind", ["Label", "Labels", "Text", "Json", "Number", "Checks"])
def test_every_answer_kind_has_an_eval(kind: str) -> None:
    evals = [name.removesuffix(".py").removeprefix("evals/") for name in FILES if name.startswith("evals/")]
    kinds = {type(find_suite(name).answer).__name__ for name in evals}
    assert kind in kinds


def test_check_prints_what_the_page_shows() -> None:
    done = CliRunner().invoke(main.app, ["check"])
    assert [done.stdout] == OUTPUT
    assert done.exit_code == 0


def test_check_says_what_the_page_shows_of_a_mistake(folder: Path) -> None:
    path = folder / "strategies/shortest.py"
    path.write_text(path.read_text("utf-8").replace("suite.train", "suite.trian"), "utf-8")
    done = CliRunner().invoke(main.app, ["check", "shortest"])
    assert f"```\n{done.stdout}```" in TEXT
    assert done.exit_code == 1


def test_the_pages_tests_pass(folder: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "tests"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "15 passed" in done.stdout


# CONTRIBUTING.md


@pytest.fixture
def example(folder: Path) -> dict[str, Any]:
    """The names in the test of the worked example, whose strategy is in the current folder."""
    text = PAGE.parent.parent.joinpath("CONTRIBUTING.md").read_text("utf-8")
    strategy, test = files(text).values()
    folder.joinpath("strategies/recent.py").write_text(strategy, "utf-8")
    names: dict[str, Any] = {}
    exec(compile(test, "test_recent.py", "exec"), names)  # noqa: S102 - ours
    return names


def test_the_worked_example_passes_its_tests_and_the_check(example: dict[str, Any], suite: Suite) -> None:
    tests = [test for name, test in example.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test(suite)
    [finding] = check(["recent"])
    assert finding.status == "ok", finding.sentence
