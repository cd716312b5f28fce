"""`kill -9` at any moment, then the same command: nothing twice in the records, nothing answered is asked again."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING

import pytest
from helpers.killed import ASKED, HEAVY, ITEMS, PROBE, REQUESTS, attempt

from thirdlever import load
from thirdlever.evaluation.inspect_eval import HOSTED_CONNECTIONS
from thirdlever.evaluation.records import Journal, Reply

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext
    from pathlib import Path


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


def test_a_run_killed_again_and_again_pays_only_for_what_was_in_flight(
    tmp_path: Path, processes: ForkServerContext
) -> None:
    moments = (5, 30, 50)
    for moment in moments:
        assert start(processes, tmp_path, moment) == -9
    assert start(processes, tmp_path, None) == 0
    assert asked(tmp_path) <= REQUESTS + len(moments) * HOSTED_CONNECTIONS
    assert len(load(tmp_path / "out").records) == REQUESTS
    done = asked(tmp_path)
    assert start(processes, tmp_path, None) == 0
    assert asked(tmp_path) == done


def test_a_probe_that_was_cut_short_has_a_cold_start_in_each_process(
    tmp_path: Path, processes: ForkServerContext
) -> None:
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


def test_replies_come_back_as_they_were(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j")
    journal.append(reply("a"))
    journal.close()
    again = Journal(tmp_path / "j")
    assert again.answered(("accuracy", "a", 1)) == reply("a")
    assert again.answered(("accuracy", "b", 1)) is None
    again.close()


@pytest.mark.parametrize("cut", [2, 20, 200])
def test_a_torn_line_is_an_answer_in_flight_and_spoils_no_other(tmp_path: Path, cut: int) -> None:
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


def test_a_failure_is_kept_until_an_answer_takes_its_place(tmp_path: Path) -> None:
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
