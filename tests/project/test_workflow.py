"""The workflow that others copy: valid, pinned, with no more rights than it needs, and of commands that exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
NAMES = [path.name for path in WORKFLOWS]


def steps(path: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_there_is_one() -> None:
    assert NAMES == ["regress.yml"]


def test_they_are_valid_by_the_public_schema() -> None:
    # --builtin-schema: the one that comes with the package; nothing is fetched.
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    command += map(str, WORKFLOWS)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_actions_are_pinned_to_a_commit_and_say_which_release_it_is(path: Path) -> None:
    used = re.findall(r"uses: *(\S+)(.*)", path.read_text("utf-8"))
    assert used
    for action, comment in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_nothing_can_be_written_and_no_credentials_stay_behind(path: Path) -> None:
    whole = yaml.safe_load(path.read_text("utf-8"))
    assert whole["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in whole["jobs"].values())
    [checkout] = [step for step in steps(path) if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_what_a_person_types_never_becomes_part_of_a_script(path: Path) -> None:
    assert not [step["run"] for step in steps(path) if "${{" in step.get("run", "")]


@pytest.mark.parametrize("path", WORKFLOWS, ids=NAMES)
def test_it_runs_by_schedule_on_release_and_by_hand(path: Path) -> None:
    triggers = yaml.safe_load(path.read_text("utf-8"))[True]  # YAML 1.1 reads the key `on` as true
    assert set(triggers) == {"schedule", "release", "workflow_dispatch"}
    assert triggers["workflow_dispatch"]["inputs"]["model"]["default"] == "embedded"


def test_the_action_is_valid_and_never_puts_an_input_into_its_script() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-actions", str(ACTION)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [
        step["run"] for step in yaml.safe_load(ACTION.read_text("utf-8"))["runs"]["steps"] if "${{" in step["run"]
    ]


GH = """#!/bin/sh
echo "$@" > "$RUNNER_TEMP/gh.txt"
"""  # GitHub's own command, which is not here


@pytest.mark.parametrize("model", ["embedded", "openai/x; touch broken"])
def test_the_actions_script_comments_even_what_could_not_be_run(tmp_path: Path, model: str) -> None:
    step = next(one for one in yaml.safe_load(ACTION.read_text("utf-8"))["runs"]["steps"] if one.get("id") == "regress")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gh").write_text(GH)
    (tmp_path / "bin" / "gh").chmod(0o755)
    (tmp_path / "bin" / "thirdlever").write_text(f'#!/bin/sh\nexec {sys.executable} -m thirdlever "$@"\n')
    (tmp_path / "bin" / "thirdlever").chmod(0o755)
    given = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "SUITE": "transactions",
        "BASELINE": "none",
        "MODEL": model,
        "OPTIONS": "",
        "PULL_REQUEST": "7",
    }
    done = subprocess.run(["/bin/bash", "-c", step["run"]], cwd=tmp_path, env=os.environ | given, check=False)
    assert done.returncode == 2
    assert (tmp_path / "output").read_text() == "verdict=NOT-MEASURED\n"
    assert "baseline 'none' not found" in (tmp_path / "summary").read_text()
    assert (tmp_path / "gh.txt").read_text().startswith("pr comment 7 --edit-last --create-if-none --body-file")
    assert not (tmp_path / "broken").exists()


def test_the_hook_is_a_command_that_exists() -> None:
    [hook] = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    command = [sys.executable, "-m", *hook["entry"].split(), "datasets/voice/train.jsonl", "datasets/voice/test.jsonl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("voice: 300 train") == 1
    assert re.fullmatch(hook["files"], "datasets/voice/train.jsonl")


def test_its_session_is_nox_s_and_takes_its_options() -> None:
    [gate] = [step["run"] for step in steps(WORKFLOWS[0]) if "nox -s" in step.get("run", "")]
    session, *options = re.findall(r"(?<=nox -s )\w+|--\w+", gate)
    assert re.search(rf"^def {session}\(session", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE)
    shown = subprocess.run(
        [sys.executable, "-m", "thirdlever", "regress", "--help"], capture_output=True, text=True, check=True
    )
    assert set(options) <= set(re.findall(r"--\w+", shown.stdout))
