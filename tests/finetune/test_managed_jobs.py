"""`thirdlever jobs`, with a provider whose responses the test sets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import typer.testing
from helpers.job import job
from helpers.tuning_killed import BASE, EXAMPLES, KEY
from helpers.tuning_service import serving

from thirdlever.cli.finetune import jobs_app
from thirdlever.core.errors import ModelError, StrategyError
from thirdlever.finetune import jobs
from thirdlever.finetune.jobs import Ledger
from thirdlever.finetune.managed import tune

if TYPE_CHECKING:
    from collections.abc import Iterator

    from helpers.tuning_service import Service


@pytest.fixture
def service(project: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:  # noqa: ANN401, ARG001 - an empty folder
    monkeypatch.setattr(jobs, "SETTLE_S", 0.0)
    monkeypatch.setattr(jobs, "FIRST_POLL_S", 0.01)
    with serving() as running:
        monkeypatch.setenv("CRUSOE_BASE_URL", running.url)
        monkeypatch.setenv("CRUSOE_API_KEY", KEY)
        yield running


def call(*arguments: str) -> str:
    done = typer.testing.CliRunner().invoke(jobs_app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.fixture
def failed(service: Service) -> str:
    """A job that failed, by its short name."""
    service.statuses = ["failed"]
    with pytest.raises(StrategyError):
        tune(BASE, EXAMPLES, max_usd=1.0, label="payments")
    [known] = Ledger().jobs()
    return known.short


@pytest.mark.usefixtures("service")
def test_an_empty_list_says_how_to_create_a_job() -> None:
    assert "--strategy managed" in call()


def test_jobs_are_listed_with_their_outcomes(service: Service, failed: str) -> None:
    service.statuses = ["succeeded"]
    tune(BASE, EXAMPLES, max_usd=1.0, epochs=1, label="payments")
    head, first, second = call().splitlines()
    assert head.split()[:4] == ["ID", "CREATED", "PROVIDER", "BASE"]
    assert first.split()[0] == failed
    assert "Line 3 is no JSON. (invalid_training_file)" in first
    assert "succeeded" in second
    assert " 1000000 " in second  # the provider's count in place of the estimate


def test_a_providers_text_is_escaped_for_the_terminal(service: Service, failed: str) -> None:  # noqa: ARG001
    Ledger().update(Ledger().find(failed).identity, error="\x1b[31mred")
    assert "\x1b" not in call()


def test_a_deployment_that_costs_money_causes_a_warning(service: Service) -> None:  # noqa: ARG001
    Ledger().add(
        job(provider="azure", stage="succeeded", served="d", ours=True, idle_usd_per_hour=1.7, ordered=time.time()),
        "",
        "",
    )
    assert "WARNING: Azure deployment d is running and costs $1.70 an hour" in call()


def test_a_job_is_followed_to_its_end(service: Service) -> None:
    known = Ledger().add(job(), "", "")
    assert f"{known.short} succeeded: ft:ftjob-0" in call("follow", known.short)
    assert len(service.created) == 1


def test_a_job_is_cancelled(service: Service) -> None:
    known = Ledger().add(job(), "", "")
    assert "is cancelled" in call("cancel", known.short)
    service.statuses = ["running"]
    known = Ledger().add(job(id="ftjob-0", stage="running"), "", "")
    service.jobs.append({"id": "ftjob-0", "object": "fine_tuning.job", "created_at": 1, "status": "running"})
    assert "cancelled" in call("cancel", "ftjob-0")
    assert Ledger().find(known.short).stage == "cancelled"


def test_resuming_a_failed_job_needs_permission_to_pay_again(service: Service, failed: str) -> None:
    service.statuses = ["succeeded"]
    with pytest.raises(StrategyError, match="needs confirmation at a terminal"):
        call("resume", failed)
    assert len(service.created) == 1
    assert "succeeded: ft:ftjob-1" in call("resume", failed, "--max-usd", "1")
    assert "succeeded: ft:ftjob-1" in call("resume", failed)  # which costs nothing more
    assert len(service.created) == 2


def test_a_users_deployment_is_recorded_and_never_removed(service: Service) -> None:  # noqa: ARG001
    known = Ledger().add(job(stage="succeeded", tuned="t"), "", "")
    assert "answers as mine" in call("deployed", known.short, "mine")
    assert Ledger().find(known.short).served == "mine"
    with pytest.raises(ModelError, match="remove your own deployments yourself"):
        call("teardown", known.short)
    assert Ledger().find(known.short).served == "mine"
