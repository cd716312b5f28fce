"""`kill -9` at any moment, then the same command: nothing twice in the records, nothing answered is asked again."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pandas as pd
import pytest
from conftest import make_suite
from helpers.killed import ASKED, HEAVY, ITEMS, PROBE, REQUESTS, attempt

from thirdlever import Grade, Label, load
from thirdlever.core.errors import RunError
from thirdlever.evaluation.records import Journal, Reply
from thirdlever.models.base import HOSTED_CONNECTIONS
from thirdlever.runner.runner import run
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that have all that a run imports when they start: seconds saved for each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    return context


def start(processes: ForkServerContext, folder: Path, moment: str | int | None) -> int | None:
    process = processes.Process(target=attempt, args=(folder, moment))
    process.start()
    process.join(60)
    return process.exitcode


def asked(folder: Path) -> int:
    path = folder / ASKED
    return len(path.read_text("utf-8").splitlines()) if path.exists() else 0


def answered(folder: Path) -> int:
    """Whole lines in the journals."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("out/journal/*"))


@pytest.mark.parametrize(
    "moment",
    ["prepare", 3, ITEMS // 2, ITEMS, ITEMS + 3, "log", "records"],
    ids=[
        "preparing",
        "early",
        "middle",
        "last of the accuracy pass",
        "in the probe",
        "moving the log",
        "writing records",
    ],
)
def test_a_killed_run_resumes_exactly(tmp_path: Path, processes: ForkServerContext, moment: str | int) -> None:
    assert start(processes, tmp_path, moment) == -9
    paid, kept = asked(tmp_path), answered(tmp_path)
    assert paid - kept <= (1 if moment == ITEMS + 3 else HOSTED_CONNECTIONS)  # the probe has one in flight

    assert start(processes, tmp_path, None) == 0
    assert asked(tmp_path) - paid == REQUESTS - kept

    records = load(tmp_path / "out").records
    assert len(records) == REQUESTS
    assert not records.duplicated(["candidate", "phase", "item_id", "epoch"]).any()
    assert records["error"].isna().all()
    assert records.groupby(["candidate", "phase"]).size().to_list() == [ITEMS, PROBE + 1] * 2


def test_a_run_whose_file_cannot_grow_ends_and_resumes(tmp_path: Path, processes: ForkServerContext) -> None:
    assert start(processes, tmp_path, "full") == 1
    paid, kept = asked(tmp_path), answered(tmp_path)
    assert 0 < kept < ITEMS
    assert paid - kept <= HOSTED_CONNECTIONS
    assert start(processes, tmp_path, None) == 0
    assert asked(tmp_path) - paid == REQUESTS - kept
    records = load(tmp_path / "out").records
    assert len(records) == REQUESTS
    assert not records.duplicated(["candidate", "phase", "item_id", "epoch"]).any()


def test_a_run_killed_repeatedly_pays_only_for_requests_in_flight(tmp_path: Path, processes: ForkServerContext) -> None:
    moments = (5, 30, 50)
    for moment in moments:
        assert start(processes, tmp_path, moment) == -9
    assert start(processes, tmp_path, None) == 0
    assert asked(tmp_path) <= REQUESTS + len(moments) * HOSTED_CONNECTIONS
    assert len(load(tmp_path / "out").records) == REQUESTS
    done = asked(tmp_path)
    assert start(processes, tmp_path, None) == 0
    assert asked(tmp_path) == done


def test_an_interrupted_probe_has_a_cold_start_in_each_process(tmp_path: Path, processes: ForkServerContext) -> None:
    """The first request of a new process finds no warm model: its latency is none of the warm ones."""
    start(processes, tmp_path, ITEMS + 3)
    start(processes, tmp_path, None)
    probe = load(tmp_path / "out").records.query("candidate == 'plain' and phase == 'latency'")
    assert probe["cold"].to_list() == [True, False, True, False, False]


# The journal


def reply(item_id: str, error: str | None = None) -> Reply:
    return Reply(
        phase="accuracy",
        item_id=item_id,
        epoch=1,
        completion="line\u2028one\r\nand \ud800 two",
        input_tokens=1,
        cached_tokens=0,
        output_tokens=1,
        latency_s=0.1,
        error=error,
    )


def test_the_journal_returns_replies_unchanged(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(reply("a"))
    journal.close()
    again = Journal(tmp_path / "j")
    assert again.answered(("accuracy", "a", 1)) == reply("a")
    assert again.answered(("accuracy", "b", 1)) is None
    again.close()


@pytest.mark.parametrize("cut", [2, 20, 200])
def test_a_torn_line_loses_only_its_own_reply(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j"
    journal = Journal(path)
    journal.append(reply("a"))
    journal.append(reply("b"))
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    torn = Journal(path)
    assert [key[1] for key in torn.replies] == ["a"]
    torn.append(reply("b"))
    torn.append(reply("c"))
    torn.close()
    whole = Journal(path)
    assert [key[1] for key in whole.replies] == ["a", "b", "c"]
    whole.close()


def test_a_failed_reply_is_kept_until_an_answer_replaces_it(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(reply("a", error="down"))
    assert journal.answered(("accuracy", "a", 1)) is None
    assert journal.replies["accuracy", "a", 1].error == "down"
    journal.append(reply("a"))
    journal.close()
    lines = (tmp_path / "j").read_text("utf-8").splitlines()
    assert [json.loads(line)["error"] for line in lines] == ["down", None]
    again = Journal(tmp_path / "j")
    assert again.answered(("accuracy", "a", 1)) is not None
    again.close()


# Grades


class Counting(Label):
    """Counts how often it grades."""

    graded: ClassVar[list[str]] = []

    def grade(self, value: str, target: str) -> Grade:
        self.graded.append(value)
        return super().grade(value, target)


@pytest.mark.usefixtures("project")
def test_a_reply_is_graded_once_for_log_journal_and_records() -> None:
    suite = dataclasses.replace(make_suite(6), answer=Counting(("food", "fuel")))
    Counting.graded.clear()
    done = run(suite, ["plain"], models=[FakeModel(answer=lambda _: "fuel")], out="out", probe=2)
    assert len(Counting.graded) == 6 + 3
    run(suite, ["plain"], models=[FakeModel()], out="out", probe=2)
    assert len(Counting.graded) == 6 + 3
    [path] = done.folder.glob("journal/*")
    kept = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [row["score"] for row in kept] == done.records["score"].to_list()
    assert [row["reason"] for row in kept] == done.records["reason"].to_list()


@pytest.mark.usefixtures("project")
def test_a_journal_without_grades_is_graded_when_the_run_resumes() -> None:
    suite, model = make_suite(6), FakeModel(answer=lambda _: "fuel")
    before = run(suite, ["plain"], models=[model], out="out", probe=0)
    [path] = before.folder.glob("journal/*")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    old = [
        {name: value for name, value in row.items() if name not in {"score", "prediction", "reason", "status"}}
        for row in rows
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in old), "utf-8")
    for log in before.folder.glob("logs/*"):
        log.unlink()
    again = run(suite, ["plain"], models=[model], out="out", probe=0)
    assert len(model.prompts) == 6
    pd.testing.assert_frame_equal(again.records, before.records)


@pytest.mark.usefixtures("project")
def test_an_answer_that_cannot_grade_ends_the_run_and_keeps_the_replies() -> None:
    class Broken(Label):
        def grade(self, value: str, target: str) -> Grade:  # noqa: ARG002 - it only fails
            raise KeyError(value)

    suite = dataclasses.replace(make_suite(3), answer=Broken(("food", "fuel")))
    with pytest.raises(RunError, match=r"item 'test-\d' could not be graded: KeyError: 'fuel'"):
        run(suite, ["plain"], models=[FakeModel(answer=lambda _: "fuel")], out="out", probe=0)
    [path] = Path("out").glob("journal/*")
    assert path.read_text("utf-8").count("\n") == 3
