"""What the commands print: JSON is one valid document that ends with one line break."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

import thirdlever
from thirdlever.cli import main
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from pathlib import Path

EVAL = """from thirdlever import Suite, load_suite, suite


@suite
def tiny() -> Suite:
    return load_suite("tiny", instruction="Name the kind.")
"""
COMMANDS = (
    "show results/a",
    "compare results/a",
    "decide results/a",
    "reprice results/a --device-usd-per-hour 1",
    "plan tiny --strategy null:method=majority",
    "history tiny",
    "stale results/a",
    "baseline diff pinned results/a",
)


@pytest.mark.usefixtures("fast_runs")
def test_json_ends_with_one_line_break(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def call(command: str) -> None:
        monkeypatch.setattr(sys, "argv", ["thirdlever", *command.split()])
        with pytest.raises(SystemExit):
            main.main()

    (project / "evals").mkdir()
    (project / "evals/tiny.py").write_text(EVAL)
    (project / "datasets/tiny").mkdir(parents=True)
    for split in ("train", "test"):
        rows = [{"id": f"{split}-{n}", "input": f"{split} text {n}", "target": f"k{n % 2}"} for n in range(10)]
        (project / f"datasets/tiny/{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    model = FakeModel(name="openai/gpt-4o-mini", answer=lambda prompt: f"k{len(prompt) % 2}")
    thirdlever.run("tiny", ["null:method=majority", "plain"], models=[model], probe=0, out="results/a")
    call("baseline set results/a --name pinned")
    capsys.readouterr()
    for command in COMMANDS:
        call(f"{command} --format json")
        shown = capsys.readouterr().out
        assert shown.endswith(("}\n", "]\n")), command
        assert json.loads(shown), command
