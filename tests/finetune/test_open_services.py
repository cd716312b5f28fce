"""Together and Fireworks, against imitations of their documented interfaces: from upload to answers, and what fails."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import typer.testing
from helpers.tuning_killed import EXAMPLES, KEY
from helpers.tuning_open import ACCOUNT, FireworksService, TogetherService
from helpers.tuning_service import listening

from thirdlever.catalog.tuning import billions, estimate, profile, rate, tuned_price
from thirdlever.cli.finetune import jobs_app
from thirdlever.core.errors import ModelError, StrategyError
from thirdlever.finetune import jobs, managed
from thirdlever.finetune.jobs import ForbiddenError, Ledger, UndeployedError, UnreachableError
from thirdlever.finetune.managed import tune
from thirdlever.finetune.providers import open_provider, shared
from thirdlever.models.base import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from helpers.tuning_open import Open
    from helpers.tuning_service import Answer
    from syrupy.assertion import SnapshotAssertion

    from thirdlever.finetune.tune import Tuned


@dataclass(frozen=True)
class Case:
    """One provider: its imitation, its base model and its words."""

    provider: str
    service: Open
    base: BaseModel
    create: str
    queued: str
    failed: str

    def tune(self, **options: Any) -> Tuned:  # noqa: ANN401 - those of `tune`
        return tune(self.base, EXAMPLES, **({"max_usd": 1.0} | options))


def together() -> Case:
    base = BaseModel(name="together/Qwen/Qwen3-8B", inspect_name="together/Qwen/Qwen3-8B")
    return Case("together", TogetherService(), base, "POST /fine-tunes", "queued", "error")


def fireworks() -> Case:
    base = BaseModel(name="fireworks/accounts/fireworks/models/qwen3-8b", inspect_name="fireworks/m")
    create = "POST /supervisedFineTuningJobs"
    return Case("fireworks", FireworksService(), base, create, "JOB_STATE_PENDING", "JOB_STATE_FAILED")


@pytest.fixture(params=[together, fireworks], ids=["together", "fireworks"])
def case(request: pytest.FixtureRequest, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    """A provider, an empty project, no waiting."""
    made: Case = request.param()
    for module, name in ((jobs, "SETTLE_S"), (shared, "POLL_S"), (managed, "APPEARS_POLL_S")):
        monkeypatch.setattr(module, name, 0.0)
    monkeypatch.setattr(jobs, "FIRST_POLL_S", 0.001)
    monkeypatch.setattr("atexit.register", lambda *_: None)
    with listening(made.service) as running:
        monkeypatch.setenv("TOGETHER_BASE_URL", running.url)
        monkeypatch.setenv("FIREWORKS_BASE_URL", running.url.removesuffix("/v1"))
        monkeypatch.setenv("FIREWORKS_ACCOUNT_ID", ACCOUNT)
        for name in ("TOGETHER", "FIREWORKS"):
            monkeypatch.setenv(f"{name}_API_KEY", KEY)
        yield made
    for path in project.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


only = partial(pytest.mark.parametrize, "case", indirect=True)
TOGETHER, FIREWORKS = only([together], ids=["together"]), only([fireworks], ids=["fireworks"])


# A job that goes straight


def test_a_job_is_uploaded_created_followed_and_charged(case: Case) -> None:
    made = case.tune(dev=EXAMPLES[:2], epochs=2)
    [job] = Ledger().jobs()
    assert case.service.uploads[f"{job.tag}.jsonl"].count("\n") == len(EXAMPLES)
    assert case.service.keys == {f"Bearer {KEY}"}
    assert (job.stage, job.trained_tokens, job.seconds) == ("succeeded", 2_000_000, 5400.0)
    assert made.setup.usd == pytest.approx({"together": 0.96, "fireworks": 1.02}[case.provider])  # as reported
    assert made.setup.seconds == 5400.0
    assert made.tuning.hosting_usd_per_hour == {"together": 3.99, "fireworks": 8.0}[case.provider]
    assert case.service.asked.count(case.create) == 1


@TOGETHER
def test_together_is_asked_for_a_supervised_job_named_by_our_tag(case: Case) -> None:
    case.tune(epochs=2, seed=7)
    [job] = Ledger().jobs()
    assert case.service.bodies[case.create] == {
        "model": "Qwen/Qwen3-8B",
        "training_file": "file-1",
        "suffix": job.tag,
        "training_method": {"method": "sft", "train_on_inputs": False},
        "random_seed": 7,
        "n_epochs": 2,
    }
    assert job.tuned == f"acme/Qwen3-8B-{job.tag}-1a2b"


@FIREWORKS
def test_fireworks_is_asked_for_a_job_on_two_datasets(case: Case) -> None:
    case.tune(dev=EXAMPLES[:2], epochs=2)
    [job] = Ledger().jobs()
    assert case.service.bodies[case.create] == {
        "displayName": job.tag,
        "baseModel": "accounts/fireworks/models/qwen3-8b",
        "dataset": f"accounts/{ACCOUNT}/datasets/{job.tag}",
        "evaluationDataset": f"accounts/{ACCOUNT}/datasets/{job.tag}-dev",
        "epochs": 2,
    }
    assert job.tuned == f"accounts/{ACCOUNT}/models/{job.tag}"


def test_the_number_of_epochs_can_be_left_to_the_provider(case: Case) -> None:
    case.tune(epochs=None)
    assert not {"epochs", "n_epochs"} & set(case.service.bodies[case.create])


def test_a_job_that_arrived_although_its_response_was_lost_is_not_created_again(case: Case) -> None:
    refused: list[str] = []
    reply = case.service.reply

    def lose_one(method: str, parts: list[str], *rest: Any) -> Answer:  # noqa: ANN401
        answer = reply(method, parts, *rest)
        if f"{method} /{'/'.join(parts)}" == case.create and not refused:
            refused.append("")
            return 502, b"<html>bad gateway</html>"
        return answer

    case.service.reply = lose_one  # type: ignore[method-assign, assignment]
    assert case.tune().tuning.tokens == 2_000_000
    assert case.service.asked.count(case.create) == 1


# What fails


def test_a_file_that_is_refused_ends_in_one_sentence(case: Case) -> None:
    answer = {"error": {"message": "line 3: the last message must be the assistant's", "type": "invalid_request_error"}}
    case.service.answers[case.create] = (400, answer)
    with pytest.raises(ModelError, match=r"refused \(HTTP 400: line 3: the last message must be the assistant's\)"):
        case.tune()
    assert not Ledger().jobs()


@FIREWORKS
def test_a_dataset_that_fireworks_finds_invalid_ends_in_one_sentence(case: Case) -> None:
    assert isinstance(case.service, FireworksService)
    case.service.fault = {"code": "INVALID_ARGUMENT", "message": "line 3 has no messages"}
    with pytest.raises(ModelError, match="INVALID_ARGUMENT: line 3 has no messages"):
        case.tune()
    assert case.create not in case.service.asked


def test_an_account_that_may_not_tune_is_told_how_to_rehearse(case: Case) -> None:
    case.service.answers[case.create] = (403, {"error": {"message": f"not allowed for {KEY}"}})
    with pytest.raises(ForbiddenError, match=r"not allowed for ….*accepts jobs from.*provider=local") as raised:
        case.tune()
    assert KEY not in str(raised.value)


def test_a_refused_key_is_named(case: Case) -> None:
    case.service.answers[case.create] = (401, {"error": {"message": f"bad key {KEY}"}})
    with pytest.raises(ModelError, match=f"{case.provider.upper()}_API_KEY"):
        case.tune()


@pytest.mark.parametrize("body", [b"<html>busy</html>", b'"text"', b"[]", b"{}"])
def test_a_response_that_is_not_as_documented_is_an_error(case: Case, body: bytes) -> None:
    known = {"together": "fine-tunes", "fireworks": "supervisedFineTuningJobs"}[case.provider]
    case.service.answers[f"GET /{known}/x"] = (200, body)
    with open_provider(case.provider, "m") as provider, pytest.raises(UnreachableError, match="not as documented"):
        provider.poll("x")


def test_a_failed_jobs_time_and_tokens_are_recorded_and_reported(case: Case, snapshot: SnapshotAssertion) -> None:
    case.service.statuses = ["queued", "running", case.failed]
    if case.provider == "fireworks":
        case.service.statuses = [case.queued, "JOB_STATE_RUNNING", case.failed]
    with pytest.raises(StrategyError) as raised:
        case.tune()
    [job] = Ledger().jobs()
    assert job.seconds == 5400.0
    assert job.trained_tokens == {"together": 2_000_000, "fireworks": 800_000}[case.provider]
    assert job.charged_usd == pytest.approx({"together": 0.96, "fireworks": 0.40}[case.provider])
    assert str(raised.value).replace(job.id or "", "JOB").replace(job.short, "ID") == snapshot


def test_what_a_failed_attempt_cost_is_part_of_the_set_up_cost(case: Case) -> None:
    case.service.statuses = ["running" if case.provider == "together" else "JOB_STATE_RUNNING", case.failed]
    with pytest.raises(StrategyError):
        case.tune()
    [job] = Ledger().jobs()
    lost = job.charged_usd or 0.0
    case.service.statuses = ["completed" if case.provider == "together" else "JOB_STATE_COMPLETED"]
    with open_provider(case.provider, "m") as provider:
        jobs.resume(job, provider, Ledger(), lambda: None)
    made = case.tune()
    assert made.setup.usd == pytest.approx(lost + {"together": 0.96, "fireworks": 1.02}[case.provider])
    assert made.setup.seconds == 2 * 5400.0


def test_a_blocked_jobs_category_and_likely_rows_are_named(case: Case, snapshot: SnapshotAssertion) -> None:
    case.service.why = "Training data was blocked by moderation: refusals_v3"
    case.service.statuses = [case.failed]
    rows: list[Any] = [
        *EXAMPLES,
        [{"role": "user", "content": "Tactical knife, 9 inch"}, {"role": "assistant", "content": "outdoor"}],
    ]
    with pytest.raises(StrategyError) as raised:
        tune(case.base, rows, max_usd=1.0)
    [job] = Ledger().jobs()
    assert "line 13 ('tactical', weapons)" in str(raised.value)
    assert str(raised.value).replace(job.id or "", "JOB").replace(job.short, "ID") == snapshot


# The queue


def test_a_job_that_never_starts_is_cancelled_and_kept(case: Case, snapshot: SnapshotAssertion) -> None:
    case.service.statuses = [case.queued]
    with pytest.raises(StrategyError) as raised:
        case.tune(max_queue_hours=1e-6)
    [job] = Ledger().jobs()
    assert (job.stage, job.id is not None, job.charged_usd) == ("cancelled", True, 0.0)
    assert [asked for asked in case.service.asked if "cancel" in asked]
    assert str(raised.value).replace(job.id or "", "JOB").replace(job.short, "ID") == snapshot


def test_a_job_that_starts_late_but_within_the_limit_is_waited_for(case: Case) -> None:
    case.service.statuses = [case.queued] * 5 + case.service.statuses
    assert case.tune(max_queue_hours=1.0).tuning.tokens == 2_000_000


def test_the_time_in_the_queue_counts_from_the_submission_not_from_the_restart(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    case.service.statuses = [case.queued]
    with monkeypatch.context() as killed:
        killed.setattr(jobs, "record", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            case.tune(max_queue_hours=5.0)
    [job] = Ledger().jobs()
    Ledger().update(job.identity, tried=time.time() - 6 * 3600)
    with pytest.raises(StrategyError, match="after 5 hours in the queue"):
        case.tune(max_queue_hours=5.0)
    assert case.service.asked.count(case.create) == 1


def test_a_limit_stays_with_its_job_and_a_later_command_can_change_it(case: Case) -> None:
    case.service.statuses = [case.queued]
    with pytest.raises(StrategyError):
        case.tune(max_queue_hours=1e-6)
    with pytest.raises(StrategyError, match="had not started"):  # an ended job sends no request
        case.tune(max_queue_hours=72.0)
    [job] = Ledger().jobs()
    case.service.statuses = [case.queued] * 5 + case.service.statuses
    case.service.statuses[-1:] = {"together": ["completed"], "fireworks": ["JOB_STATE_COMPLETED"]}[case.provider]
    with open_provider(case.provider, "m") as provider:
        assert jobs.resume(job, provider, Ledger(), lambda: None).stage == "succeeded"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# Deployments and answers

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "ft",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fuel"}}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
}


def ask(made: Tuned) -> str:
    model = made.model.connect()

    async def once() -> str:
        async with model:
            return (await model.generate("SHELL 24")).completion

    return asyncio.run(once())


@TOGETHER
def test_a_model_of_together_answers_from_the_endpoint_that_the_user_named(case: Case) -> None:
    made = case.tune()
    [job] = Ledger().jobs()
    with pytest.raises(UndeployedError, match=rf"\$3\.99 an hour.*jobs deployed {job.short} NAME"):
        made.model.connect()
    assert Ledger().find(job.short).served is None
    Ledger().update(job.identity, served="acme/my-endpoint")
    case.service.answers["POST /chat/completions"] = (200, COMPLETION)
    assert ask(made) == "fuel"
    assert managed.serve(Ledger().find(job.short), Ledger()).inspect_name == "together/acme/my-endpoint"


@FIREWORKS
def test_a_model_of_fireworks_is_deployed_answers_and_is_removed(case: Case) -> None:
    assert isinstance(case.service, FireworksService)
    made = case.tune()
    [job] = Ledger().jobs()
    case.service.answers["POST /inference/v1/chat/completions"] = (200, COMPLETION)
    assert ask(made) == "fuel"
    assert ask(made) == "fuel"
    assert case.service.bodies["POST /deployments"] == {
        "baseModel": job.tuned,
        "minReplicaCount": 0,
        "maxReplicaCount": 1,
        "autoscalingPolicy": {"scaleToZeroWindow": "300s"},
    }
    assert case.service.bodies["POST /inference/v1/chat/completions"]["model"] == (
        f"accounts/{ACCOUNT}/models/{job.tag}#accounts/{ACCOUNT}/deployments/{job.tag}"
    )
    standing = Ledger().find(job.short)
    [warning] = jobs.idle_cost_warnings([standing])
    assert warning.startswith(f"WARNING: Fireworks deployment {job.tag} is running and costs $8.00 an hour")
    managed.tear_down(standing, Ledger())
    assert not case.service.deployments


@FIREWORKS
def test_a_finished_model_that_is_not_found_for_a_while_is_waited_for(
    case: Case, capsys: pytest.CaptureFixture[str]
) -> None:
    case.service.missing = 3
    case.tune().model.connect()
    assert "does not know" in capsys.readouterr().err
    assert sum(asked.startswith("GET /models/") for asked in case.service.asked) == 4


@FIREWORKS
def test_a_model_that_stays_missing_is_reported(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    made = case.tune()
    case.service.missing = 1000
    monkeypatch.setattr(managed, "APPEARS_S", 0.0)
    with pytest.raises(ModelError, match="does not have it"):
        made.model.connect()


# Prices


@pytest.mark.parametrize(
    ("provider", "base", "usd"),
    [
        ("together", "Qwen/Qwen3-8B", 0.48),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Reference", 2.90),
        ("together", "mistralai/Mixtral-8x7B-Instruct-v0.1", 1.50),
        ("fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", 0.50),
        ("fireworks", "accounts/fireworks/models/qwen3-235b-a22b", 6.00),
        ("fireworks", "accounts/fireworks/models/gpt-oss-16b", 0.50),
        ("together", "deepseek-ai/DeepSeek-R1", None),
        ("together", "org/model-405B", None),
    ],
)
def test_training_is_priced_by_the_size_in_the_models_name(provider: str, base: str, usd: float | None) -> None:
    assert estimate(provider, base, 1_000_000).usd == usd


@pytest.mark.parametrize("name", ["gpt-4o", "web-2b3", "subs", "v3.1-B", "DeepSeek-R1"])
def test_a_name_without_a_size_has_none(name: str) -> None:
    assert billions(name) is None


def test_tokens_of_a_dedicated_endpoint_are_free_where_the_provider_says_so_and_unknown_elsewhere() -> None:
    dedicated = tuned_price("Together: ft:Qwen/Qwen3-8B:1a2b3c4d")
    assert dedicated is not None
    assert dedicated.cost(1_000_000, 0, 1_000_000) == 0.0
    assert tuned_price("Fireworks: ft:accounts/fireworks/models/qwen3-8b:1a2b3c4d") is None


def test_a_minimum_charge_in_the_users_rates_is_kept(project: Path) -> None:
    row = '[[rate]]\nprovider = "together"\nmodel = "any"\nup_to_b = 16\ntrain = 1\nminimum = 4\n'
    (project / "tuning.toml").write_text(f'{row}source = "us"\nas_of = 2026-11-01\n', "utf-8")
    assert estimate("together", "Qwen/Qwen3-8B", 1_000).usd == 4
    assert estimate("together", "Qwen/Qwen3-8B", 9_000_000).usd == 9
    assert rate("together", "org/model-70B") is not None


@pytest.mark.parametrize("name", ["together", "fireworks", "azure", "bedrock", "vertex", "openai"])
def test_a_provider_that_was_never_run_live_says_so(name: str) -> None:
    assert profile(name).tested.startswith("not run against the live service")


def test_the_providers_are_listed_with_how_they_were_tested(snapshot: SnapshotAssertion) -> None:
    done = typer.testing.CliRunner().invoke(jobs_app, ["providers"], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output == snapshot
