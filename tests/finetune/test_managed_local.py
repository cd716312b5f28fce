"""The managed strategy with the real endpoint on this machine, from upload to answers."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING

import pytest
from helpers import tiny
from helpers.tuning_local import OPTIONS, SPEC, measure, prepare, words

from thirdlever import load, run
from thirdlever.finetune.jobs import Ledger
from thirdlever.finetune.providers import openai

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerContext
    from pathlib import Path

    from thirdlever.finetune.endpoint.server import Endpoint

HEAVY = [
    "openai",
    "pyarrow.parquet",
    "sklearn.metrics",
    "thirdlever.evaluation.passes",
    "thirdlever.charts.accuracy",
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    return context


def start(processes: ForkServerContext, target: Callable[..., None], *args: object) -> int | None:
    process = processes.Process(target=target, args=args)
    process.start()
    process.join(180)
    if process.exitcode is None:
        process.kill()
    return process.exitcode


def test_a_killed_run_is_re_run_with_the_same_job_and_its_model_is_measured(
    project: Path, model: Path, processes: ForkServerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start(processes, prepare, project, model, "harness") == -9
    assert start(processes, measure, project, model) == 0
    [made] = project.glob(".thirdlever/endpoint*/jobs/ftjob-*")
    done = load("out")
    [row] = done.summary.to_dict("records")
    [job] = Ledger().jobs()
    assert job.id == made.name
    assert row["model"] == f"local endpoint: ft:{model.name}:{job.short}"
    assert (row["n"], row["errors"]) == (4, 0)
    assert row["input_tokens"] > 0
    assert (job.stage, job.epochs_made, job.examples, job.validation) == ("succeeded", 2, 12, 2)
    assert job.trained_tokens
    assert (job.tuned or "").startswith(f"ft:hf/{model}:local:thirdlever-")
    [about] = done.info["candidates"]
    assert about["revision"] == job.tuned
    assert about["setup"]["usd"] == 0.0
    assert about["setup"]["labels"] == 14
    assert 0 < done.info["spent_usd"] < 0.1  # this machine's time
    assert set(done.records["completion"]) <= {"w40", "w41"}  # the only answers allowed

    # The key is only in the endpoint's own file.
    [key] = project.glob(".thirdlever/endpoint*/key")
    secret = key.read_bytes().strip()
    assert [path for path in project.rglob("*") if path.is_file() and secret in path.read_bytes()] == [key]

    # The same run again starts no endpoint.
    def no_endpoint(model: str) -> Endpoint:
        raise AssertionError(model)

    monkeypatch.setattr(openai, "_endpoint", no_endpoint)
    again = run(words(), [SPEC], models=[f"hf/{model}"], out="out", probe=1, **OPTIONS)
    assert again.records.equals(done.records)


def test_a_killed_endpoint_leaves_one_job_that_the_run_finishes(
    project: Path, model: Path, processes: ForkServerContext
) -> None:
    assert start(processes, prepare, project, model, "endpoint") == 0
    assert len(list(project.glob(".thirdlever/endpoint*/jobs/ftjob-*"))) == 1
    assert (project / "tuned.txt").read_text("utf-8").startswith(f"ft:hf/{model}:local:thirdlever-")
