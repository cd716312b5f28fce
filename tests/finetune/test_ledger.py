"""`kill -9` at critical moments, then an equal order: one job in total."""

from __future__ import annotations

import json
import multiprocessing
import threading
from typing import TYPE_CHECKING

import pytest
from helpers.job import job
from helpers.tuning_killed import order
from helpers.tuning_service import serving

from thirdlever.core.errors import ThirdleverError
from thirdlever.finetune.jobs import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.context import ForkServerContext
    from pathlib import Path

    from helpers.tuning_service import Service

HEAVY = [
    "openai",
    "openai.types.fine_tuning",
    "thirdlever.finetune.managed",
    "thirdlever.finetune.providers.openai",
    "rich",
]


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that have all that an order imports when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    return context


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


def start(
    processes: ForkServerContext, folder: Path, service: Service, moment: str = "", *, kill: bool = False
) -> int | None:
    process = processes.Process(target=order, args=(folder, service.url, moment))
    process.start()
    service.kill = process.pid if kill else None
    process.join(60)
    return process.exitcode


@pytest.mark.parametrize("moment", ["ordered", "uploaded", "submitted", "polled"])
def test_a_killed_order_is_submitted_once(
    tmp_path: Path, processes: ForkServerContext, service: Service, moment: str
) -> None:
    assert start(processes, tmp_path, service, moment) == -9
    assert len(service.jobs) == (0 if moment in {"ordered", "uploaded"} else 1)
    assert start(processes, tmp_path, service) == 0
    assert len(service.jobs) == 1
    assert (tmp_path / "tuned.txt").read_text("utf-8") == "ft:ftjob-0 0.4"


def test_a_job_whose_id_never_came_back_is_found_at_the_provider(
    tmp_path: Path, processes: ForkServerContext, service: Service
) -> None:
    assert start(processes, tmp_path, service, kill=True) == -9
    [ordered] = Ledger(tmp_path / ".thirdlever" / "jobs").jobs()
    assert (ordered.stage, ordered.id) == ("ordered", None)
    assert start(processes, tmp_path, service) == 0
    assert len(service.created) == 1


def test_a_lost_ledger_finds_the_job_again(tmp_path: Path, processes: ForkServerContext, service: Service) -> None:
    assert start(processes, tmp_path, service) == 0
    assert start(processes, tmp_path, service, "cleared") == 0
    assert len(service.created) == 1


def test_an_equal_order_sends_no_requests(tmp_path: Path, processes: ForkServerContext, service: Service) -> None:
    assert start(processes, tmp_path, service) == 0
    asked = len(service.asked)
    assert start(processes, tmp_path, service) == 0
    assert len(service.asked) == asked


def test_two_processes_at_once_submit_one_job(tmp_path: Path, processes: ForkServerContext, service: Service) -> None:
    codes: list[int | None] = []
    threads = [threading.Thread(target=lambda: codes.append(start(processes, tmp_path, service))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0]
    assert len(service.created) == 1


# The file


def test_jobs_come_back_as_they_were(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(job(ordered=2.0), "t", "")
    ledger.add(job("b" * 64), "t", "v")
    assert [found.identity[0] for found in ledger.jobs()] == ["b", "a"]
    assert ledger.update("a" * 64, id="ftjob-1") == ledger.get("a" * 64) == job(ordered=2.0, id="ftjob-1")


@pytest.mark.parametrize("name", ["b", "ftjob-2", "b" * 64])
def test_a_job_is_found_by_the_beginning_of_its_name_or_by_the_providers(tmp_path: Path, name: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(job(), "t", "")
    ledger.add(job("b" * 64, id="ftjob-2"), "t", "")
    assert ledger.find(name).identity == "b" * 64


@pytest.mark.parametrize(("name", "said"), [("c", "not found"), ("a", "2 jobs"), ("", "not found")])
def test_a_name_of_no_job_or_of_several_is_refused(tmp_path: Path, name: str, said: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(job(), "t", "")
    ledger.add(job("a" * 63 + "b"), "t", "")
    with pytest.raises(ThirdleverError, match=said):
        ledger.find(name)


def test_a_job_is_submitted_with_its_own_data(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ordered = ledger.request(ledger.add(job(validation=1), "train", "dev"))
    assert ordered.training.read_text("utf-8") == "train"
    assert ordered.validation is not None
    assert ordered.validation.read_text("utf-8") == "dev"
    ordered.training.unlink()
    with pytest.raises(ThirdleverError, match="gone"):
        ledger.request(job(validation=1))


def test_a_file_that_is_not_a_job_is_reported(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"identity": "x"}), "utf-8")
    with pytest.raises(ThirdleverError, match="look it up at the provider"):
        Ledger(tmp_path).jobs()


def test_each_attempt_has_its_own_tag() -> None:
    assert job().tag != job(attempt=2).tag
    assert len(job(attempt=99).tag) <= 40  # Azure's limit for a suffix
