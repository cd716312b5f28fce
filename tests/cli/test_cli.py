"""The commands: their imports, help, arguments and exit codes."""

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer.main
from syrupy.assertion import SnapshotAssertion
from typer.testing import CliRunner

from thirdlever.cli import main, options
from thirdlever.core.errors import ThirdleverError
from thirdlever.suites import find

MODELS = ("torch", "transformers", "chromadb")
HEAVY = (*MODELS, "inspect_ai", "pandas", "numpy", "sklearn", "matplotlib", "rich")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, from which a new interpreter imports the tested package."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(main.__file__).parents[2]))
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run a command in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["thirdlever", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - typer's private type
    """The words of every command, those of groups included."""
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, *path, name)


def interrupt(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make `thirdlever suites` raise an error."""

    def fail() -> dict[str, str]:
        raise error

    monkeypatch.setattr(find, "available_suites", fail)


# Imports


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["suites"], ["nonsense"]])
def test_light_commands_load_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from thirdlever.cli import main as cli
sys.argv = {["thirdlever", *arguments]!r}
try:
    cli.main()
except SystemExit:
    print("LOADED", *sorted(set(sys.modules) & set({HEAVY!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "LOADED"


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, thirdlever; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_what_reads_a_run_loads_no_model() -> None:
    code = f"""
import importlib, sys
for name in ("charts.figures", "decision.verdict", "lifecycle.baseline", "report.memo", "report.page", "report.tables"):
    importlib.import_module("thirdlever." + name)
print(sorted(set(sys.modules) & {set(MODELS)!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# Output


def test_the_command_without_arguments_shows_the_help(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch) == 0
    assert "Compare them on one labelled suite" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(commands(typer.main.get_command(main.app))), ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...], snapshot: SnapshotAssertion) -> None:
    shown = CliRunner(env={"COLUMNS": "80"}).invoke(main.app, [*path, "--help"], prog_name="thirdlever").stdout
    assert shown == snapshot
    assert "..." not in re.sub(r"[\[{](ARGS|RUN|NAME|SUITE|FILE…)[\]}]\.\.\.", "", shown)  # no summary is cut off


def test_the_help_lists_every_command() -> None:
    shown = CliRunner().invoke(main.app, ["--help"]).stdout
    assert {line.split()[0] for line in shown.splitlines() if line.startswith("  ")} >= set(
        typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
    )


def test_the_version_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda name: f"{name} 1.2.3")
    assert call(monkeypatch, "--version") == 0
    assert capsys.readouterr().out == "thirdlever 1.2.3\n"


def test_init_creates_a_suite_that_suites_lists(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.csv").write_text("text,kind\n" + "".join(f"t{n},k{n % 2}\n" for n in range(20)))
    assert call(monkeypatch, "init", "mine", "--train", "a.csv", "--input", "text", "--target", "kind") == 0
    out = capsys.readouterr().out
    assert "datasets/mine: 14 train, 2 dev, 4 test, 2 labels" in out
    assert "then: thirdlever plan mine" in out
    assert call(monkeypatch, "suites") == 0
    assert "mine             'kind' (one of 2 labels) from 'text'" in capsys.readouterr().out


def test_strategies_are_listed_with_their_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(monkeypatch, "strategies") == 0
    out = capsys.readouterr().out
    assert all(name in out for name in options.STRATEGIES)
    assert "k:" in out


def test_models_are_listed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(monkeypatch, "models") == 0
    assert "embedded" in capsys.readouterr().out


# Arguments


def test_every_option_of_run_reaches_the_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    got: dict[str, Any] = {}

    def record(suite: str, strategies: list[str], **options: Any) -> SimpleNamespace:  # noqa: ANN401 - anything
        got.update(options, suite=suite, strategies=list(strategies), url=os.environ.get("THIRDLEVER_CHROMA_URL"))
        return SimpleNamespace(
            summary=None,
            folder=Path("results/x"),
            not_measured={},
            figures={},
            info={"candidates": []},
            require_complete=lambda: None,
        )

    monkeypatch.setattr("thirdlever.runner.runner.run", record)
    monkeypatch.setattr("thirdlever.report.tables.render_summary", lambda _: "table")
    monkeypatch.setenv("THIRDLEVER_CHROMA_URL", "")
    options = (
        "run toys --strategy null --strategy rag:k=3 --model a --model b --limit 5 --epochs 2 --seed 3 --budget 1.5"
        " --out o --probe 4 --constrain --chroma-url http://localhost:1 --device-usd-per-hour 2 --utilisation 0.5"
        " --max-connections 7 --prompt v6 --prompt v7 --max-failed 0.1 --max-unparsed 0.3 --train more.py@toys"
        " --allow-near-leaks"
    )
    assert call(monkeypatch, *options.split()) == 0
    assert got == {
        "suite": "toys",
        "train": "more.py@toys",
        "strategies": ["null", "rag:k=3"],
        "models": ["a", "b"],
        "prompts": ["v6", "v7"],
        "limit": 5,
        "epochs": 2,
        "seed": 3,
        "batch": False,
        "max_connections": 7,
        "max_failed": 0.1,
        "max_unparsed": 0.3,
        "grader": None,
        "allow_near_leaks": True,
        "budget": 1.5,
        "out": Path("o"),
        "probe": 4,
        "constrain": True,
        "device_usd_per_hour": 2.0,
        "utilisation": 0.5,
        "url": "http://localhost:1",
    }


# Exit codes


def test_an_interrupted_command_says_how_to_resume(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(monkeypatch, KeyboardInterrupt())
    assert call(monkeypatch, "suites") == 130
    assert capsys.readouterr().err.startswith("error: interrupted; finished work is kept")


def test_a_full_disk_is_one_sentence(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    interrupt(monkeypatch, OSError(errno.ENOSPC, "No space left on device"))
    assert call(monkeypatch, "suites") == 2
    assert capsys.readouterr().err.startswith("error: no space left on the disk; free some")


def test_a_defect_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(monkeypatch, OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        call(monkeypatch, "suites")


def test_escape_sequences_in_a_message_are_printed_visibly(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt(monkeypatch, ThirdleverError("name \x1b[2J\nhas\u202e marks"))
    assert call(monkeypatch, "suites") == 2
    assert capsys.readouterr().err == "error: name \\x1b[2J has\\u202e marks\n"


def test_a_closed_pipe_is_not_an_error(folder: Path) -> None:
    (folder / "evals").mkdir()
    for number in range(2_000):
        (folder / f"evals/suite_{number}.py").write_text(f'"""{json.dumps("x" * 99)}"""\n')
    command = f"set -o pipefail; '{sys.executable}' -m thirdlever suites | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)  # noqa: S607 - a shell's pipe is what is tested
    assert (done.stderr, done.returncode) == ("", 1)
    assert len(done.stdout.splitlines()) == 1
