"""The workflow that others copy: valid, pinned, with no more rights than it needs, and of commands that exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
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


def test_its_session_is_nox_s_and_takes_its_options() -> None:
    [gate] = [step["run"] for step in steps(WORKFLOWS[0]) if "nox -s" in step.get("run", "")]
    session, *options = re.findall(r"(?<=nox -s )\w+|--\w+", gate)
    assert re.search(rf"^def {session}\(session", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE)
    shown = subprocess.run(
        [sys.executable, "-m", "thirdlever", "regress", "--help"], capture_output=True, text=True, check=True
    )
    assert set(options) <= set(re.findall(r"--\w+", shown.stdout))
