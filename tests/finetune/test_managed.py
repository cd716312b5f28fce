"""Managed tuning: the checks before the upload, and the responses of providers."""

from __future__ import annotations

import datetime as dt
import io
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from helpers.job import job
from helpers.tuning_killed import BASE, EXAMPLES, KEY
from helpers.tuning_service import error, serving

from thirdlever import load, run
from thirdlever.catalog.tuning import Estimate, estimate, profile, profiles, provider_of, rate, tuned_price
from thirdlever.cli import main
from thirdlever.core.errors import ModelError, StrategyError, ThirdleverError
from thirdlever.core.store import Store
from thirdlever.finetune import jobs, managed
from thirdlever.finetune.jobs import ForbiddenError, GoneError, JobRequest, Ledger, UnreachableError
from thirdlever.finetune.managed import tune
from thirdlever.finetune.providers.openai import OpenAIProtocol
from thirdlever.models import registry
from thirdlever.models.base import BaseModel
from thirdlever.runner import runner
from thirdlever.strategies import specs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from helpers.tuning_service import Service
    from syrupy.assertion import SnapshotAssertion

TODAY = dt.date(2026, 11, 21)


@pytest.fixture
def service(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A provider, an empty project, no waiting."""
    monkeypatch.setattr(jobs, "SETTLE_S", 0.0)
    monkeypatch.setattr(jobs, "FIRST_POLL_S", 0.01)
    with serving() as running:
        for variable in ("CRUSOE", "OPENAI", "AZURE_OPENAI", "NEBIUS"):
            monkeypatch.setenv(f"{variable}_BASE_URL", running.url)
            monkeypatch.setenv(f"{variable}_API_KEY", KEY)
        yield running
    for path in project.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


@pytest.fixture
def client(service: Service) -> Iterator[OpenAIProtocol]:  # noqa: ARG001 - it must be there
    made = OpenAIProtocol(profile("openai"))
    yield made
    made.close()


def once(method: str, path: str, status: int, body: Any) -> Callable[[str, str], Any]:  # noqa: ANN401
    """Answer one such request, and let the others pass."""
    left = [(status, body)]
    return lambda asked, where: left.pop() if (asked, where) == (method, path) and left else None


def always(method: str, path: str, status: int, body: Any) -> Callable[[str, str], Any]:  # noqa: ANN401
    return lambda asked, where: (status, body) if (asked, where) == (method, path) else None


def wanted(folder: Path) -> JobRequest:
    path = folder / "train.jsonl"
    path.write_text("{}\n", "utf-8")
    return JobRequest(tag="thirdlever-x-1", base="m", training=path, validation=path, epochs=None, seed=7)


# Before anything is sent


def test_a_job_is_submitted_followed_and_reported(service: Service) -> None:
    made = tune(BASE, EXAMPLES, dev=EXAMPLES[:2], max_usd=1.0, epochs=2, label="payments")
    [body] = service.created
    assert body["model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert body["method"] == {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}}
    assert {service.files[body["training_file"]], service.files[body["validation_file"]]} == {
        f"{body['suffix']}.jsonl",
        f"{body['suffix']}-dev.jsonl",
    }
    assert made.setup.usd == pytest.approx(0.40)  # a million tokens at Crusoe's rate
    assert (made.setup.seconds, made.setup.device_seconds) == (60.0, 0.0)
    assert (made.tuning.where, made.tuning.tokens, made.tuning.examples) == ("Crusoe", 1_000_000, 12)
    assert made.model.name.startswith("Crusoe: ft:meta-llama/Llama-3.1-8B-Instruct:")


@pytest.mark.parametrize(
    ("examples", "said"),
    [(EXAMPLES[:9], "at least 10"), ([*EXAMPLES, [{"role": "user", "content": "hi"}]], "assistant")],
)
def test_files_that_a_provider_would_refuse_are_refused_before_the_upload(
    service: Service, examples: list[Any], said: str
) -> None:
    with pytest.raises(StrategyError, match=said):
        tune(BASE, examples, max_usd=1.0)
    assert not service.asked
    assert not Ledger().jobs()


def test_a_file_that_is_too_large_is_refused() -> None:
    tight = replace(profile("openai"), max_file_mb=0)
    with pytest.raises(StrategyError, match="OpenAI accepts at most 0 MB"):
        managed.check_format(tight, "x" * 1000, "")


@pytest.mark.parametrize(
    ("max_usd", "model", "said"),
    [
        (None, BASE.name, "needs confirmation at a terminal"),
        (1e-9, BASE.name, r"more than max_usd=1e-09"),
        (1.0, "crusoe/unheard-of", "has no known price"),
    ],
)
def test_no_money_is_spent_without_permission(service: Service, max_usd: float | None, model: str, said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        tune(BaseModel(name=model, inspect_name=model), EXAMPLES, max_usd=max_usd)
    assert not service.asked


@pytest.mark.parametrize(("typed", "agreed"), [("yes\n", True), ("Y\n", True), ("no\n", False), ("", False)])
def test_a_user_at_the_terminal_can_confirm(monkeypatch: pytest.MonkeyPatch, typed: str, *, agreed: bool) -> None:
    terminal = io.StringIO(typed)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    expected = Estimate(tokens=1000, usd=None)
    if agreed:
        managed.check_cost(profile("crusoe"), "m", expected, None)
    else:
        with pytest.raises(StrategyError, match="nothing was submitted"):
            managed.check_cost(profile("crusoe"), "m", expected, None)


def test_the_local_endpoint_is_free_and_needs_no_confirmation() -> None:
    managed.check_cost(profile("local"), "embedded", estimate("local", "embedded", 10**9), None)


@pytest.mark.parametrize(
    ("base", "today", "horizon", "said"),
    [
        ("gpt-4o-mini-2024-07-18", TODAY, 120, r"retire on 2027-01-14, in 54 days"),
        ("gpt-4.1-nano", TODAY, 0, r"were retired on 2026-10-23"),
        ("gpt-4o-mini", dt.date(2027, 1, 7), 0, r"has accepted no fine-tuning jobs since 2027-01-06.*azure"),
    ],
)
def test_a_base_model_that_retires_too_soon_is_refused(base: str, today: dt.date, horizon: int, said: str) -> None:
    with pytest.raises(StrategyError, match=said):
        managed.check_dates(profile("openai"), base, horizon_days=horizon, today=today)


@pytest.mark.parametrize(("provider", "base"), [("openai", "gpt-4o-mini"), ("azure", "gpt-4.1"), ("nebius", "any")])
def test_a_base_model_that_remains_available_passes(provider: str, base: str) -> None:
    managed.check_dates(profile(provider), base, horizon_days=54, today=TODAY)


# Profiles


@pytest.mark.parametrize(
    ("model", "provider", "base"),
    [
        ("embedded", "local", "embedded"),
        ("hf/some/folder", "local", "hf/some/folder"),
        ("openai/gpt-4o-mini", "openai", "gpt-4o-mini"),
        ("openai/azure/gpt-4.1", "azure", "gpt-4.1"),
        ("openai-api/nebius/meta-llama/X", "nebius", "meta-llama/X"),
        ("bedrock/amazon.nova-micro-v1:0", "bedrock", "amazon.nova-micro-v1:0"),
        ("google/vertex/gemini-2.0-flash", "vertex", "gemini-2.0-flash"),
    ],
)
def test_the_models_name_selects_the_provider(model: str, provider: str, base: str) -> None:
    assert provider_of(model) == provider
    assert profile(provider).base(model) == base


@pytest.mark.parametrize("model", ["anthropic/claude", "embedded2", "google/gemini-2.0-flash"])
def test_a_model_without_a_provider_is_refused(model: str) -> None:
    with pytest.raises(StrategyError, match="provider=NAME"):
        provider_of(model)


def test_training_is_priced_as_in_the_worked_example() -> None:
    """100,000 tokens, 3 epochs, $25 per 1M: $7.50."""
    assert estimate("openai", "gpt-4o-2024-08-06", 300_000).usd == pytest.approx(7.50)
    assert estimate("nebius", "unheard-of", 1).usd is None


@pytest.mark.parametrize("name", sorted(profiles()))
def test_every_provider_has_its_terms_with_their_source(name: str) -> None:
    terms = profile(name)
    assert terms.free or (terms.source and terms.as_of)
    assert terms.serves != "by hand" or terms.deploying
    assert terms.last_jobs is None or terms.instead


def test_a_users_own_rate_comes_first(project: Path) -> None:
    row = '[[rate]]\nprovider = "openai"\nmodel = "gpt-4o"\ntrain = 1\nsource = "us"\nas_of = 2026-11-01\n'
    (project / "tuning.toml").write_text(row, "utf-8")
    assert estimate("openai", "gpt-4o", 1_000_000).usd == 1
    assert rate("openai", "gpt-4o-mini") is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rate = 1", "invalid rate 1; expected a list"),
        ("[[rate]]\nmodle = 1", "did you mean 'model'"),
        ('[[rate]]\nprovider = "openai"', "'model' is missing"),
        (
            '[[rate]]\nprovider="p"\nmodel="m"\ntrain="x"\nsource="s"\nas_of=2026-11-01',
            "invalid train 'x'; expected a number",
        ),
        (
            '[[rate]]\nprovider="p"\nmodel="m"\ntrain=1\nsource="s"\nas_of="2026"',
            "invalid as_of '2026'",
        ),
        ("[[", "correct the file"),
    ],
)
def test_a_malformed_overlay_names_the_fault(project: Path, text: str, said: str) -> None:
    (project / "tuning.toml").write_text(text, "utf-8")
    with pytest.raises(ThirdleverError, match=said):
        rate("openai", "gpt-4o")


def test_a_tuned_models_answers_are_priced_by_its_name() -> None:
    priced = tuned_price("Azure: ft:gpt-4.1-mini-2025-04-14:1a2b3c4d")
    assert priced is not None
    assert priced.cost(1_000_000, 0, 1_000_000) == pytest.approx(2.0)
    assert tuned_price("Crusoe: ft:meta-llama/Llama-3.1-8B-Instruct:1a2b3c4d") is None
    assert tuned_price("openai/gpt-4o") is None


# What a provider may answer


def test_a_refused_organisation_is_told_who_can_tune_and_how_to_rehearse(
    service: Service, client: OpenAIProtocol, snapshot: SnapshotAssertion
) -> None:
    refusal = error(403, "Fine-tuning is not available to your organization.", "training_not_available")
    service.answer = always("POST", "/fine_tuning/jobs", *refusal)
    ledger = Ledger()
    with pytest.raises(ForbiddenError) as raised:
        jobs.submit(ledger.add(job(provider="openai"), "{}", ""), client, ledger)
    assert str(raised.value) == snapshot
    assert "provider=local" in str(raised.value)
    assert not ledger.jobs()


def test_a_refused_job_leaves_the_ledger(service: Service) -> None:
    service.answer = once("POST", "/fine_tuning/jobs", *error(403, "no", "training_not_available"))
    with pytest.raises(ModelError, match="does not allow this account"):
        tune(BASE, EXAMPLES, max_usd=1.0)
    assert not Ledger().jobs()
    assert tune(BASE, EXAMPLES, max_usd=1.0).tuning.where == "Crusoe"


def test_a_refused_key_is_named_and_not_shown(service: Service, client: OpenAIProtocol) -> None:
    service.answer = always("GET", "/files", *error(401, f"Incorrect API key provided: {KEY}", "invalid_api_key"))
    with pytest.raises(ModelError, match="OPENAI_API_KEY") as raised:
        client.find("x")
    assert KEY not in str(raised.value)


def test_the_key_is_removed_from_a_providers_message(service: Service, client: OpenAIProtocol) -> None:
    service.answer = always("GET", "/files", *error(400, f"who is {KEY}?", None))
    with pytest.raises(ModelError, match="who is …"):
        client.find("x")


def test_a_key_that_is_not_set_is_named(client: OpenAIProtocol, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
        client.find("x")


@pytest.mark.parametrize("body", [b"<html>busy</html>", b'"a string"', b"[]", b""])
def test_a_successful_response_that_is_not_the_protocol_is_an_error(
    service: Service, client: OpenAIProtocol, tmp_path: Path, body: bytes
) -> None:
    service.answer = always("GET", "/fine_tuning/jobs/x", 200, body)
    with pytest.raises(UnreachableError, match="not OpenAI's protocol"):
        client.poll("x")
    service.answer = always("POST", "/files", 200, body)
    with pytest.raises(UnreachableError, match="not OpenAI's protocol"):
        client.submit(wanted(tmp_path))
    service.answer = always("GET", "/files", 200, body)
    with pytest.raises(UnreachableError, match="not OpenAI's protocol"):
        client.find("x")


def test_a_job_is_looked_up_after_an_unreadable_response(service: Service) -> None:
    """It was created all the same: creating it again would pay twice."""

    def nonsense(method: str, path: str) -> tuple[int, bytes] | None:
        if (method, path) == ("POST", "/fine_tuning/jobs") and not service.jobs:
            service.answer = lambda _method, _path: None
            service._create({"training_file": "file-0", "model": "m"})  # noqa: SLF001 - the service of these tests
            return 200, b"{"
        return None

    service.answer = nonsense
    assert tune(BASE, EXAMPLES, max_usd=1.0).model.revision == "ft:ftjob-0"
    assert len(service.jobs) == 1


def test_the_client_does_not_repeat_the_creation_of_a_job(
    service: Service, client: OpenAIProtocol, tmp_path: Path
) -> None:
    service.answer = always("POST", "/fine_tuning/jobs", *error(500, "boom", None))
    with pytest.raises(UnreachableError, match="HTTP 500"):
        client.submit(wanted(tmp_path))
    assert service.asked.count("POST /fine_tuning/jobs") == 1


def test_a_submission_is_retried_a_few_times_only(service: Service) -> None:
    service.answer = always("POST", "/fine_tuning/jobs", *error(503, "busy", None))
    with pytest.raises(UnreachableError):
        tune(BASE, EXAMPLES, max_usd=1.0)
    assert service.asked.count("POST /fine_tuning/jobs") == jobs.MAX_SUBMISSIONS
    assert [ordered.stage for ordered in Ledger().jobs()] == ["ordered"]


def test_a_failed_job_is_reported_in_the_providers_words_every_time(service: Service) -> None:
    service.statuses = ["running", "failed"]
    for _ in range(2):
        with pytest.raises(StrategyError, match=r"Line 3 is no JSON. \(invalid_training_file\).*jobs resume"):
            tune(BASE, EXAMPLES, max_usd=1.0)
    assert len(service.jobs) == 1


def test_validating_files_is_not_an_end_and_blocked_data_is_explained(service: Service) -> None:
    service.statuses = [*["validating_files"] * 3, "queued", "running", "failed"]
    service.fault = {"code": "invalid_training_file", "message": "blocked by moderation: violence", "param": None}
    rows = [*EXAMPLES, [{"role": "user", "content": "Kitchen knives"}, {"role": "assistant", "content": "food"}]]
    with pytest.raises(StrategyError, match=r"category: 'violence'; rows to check first.*line 13 \('knives'"):
        tune(BASE, rows, max_usd=1.0)
    assert not service.statuses[1:]
    [failed] = Ledger().jobs()
    assert failed.seconds is not None
    assert failed.seconds >= 0


def test_other_candidates_are_measured_when_a_tuning_job_fails(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service.statuses = ["running", "failed"]
    service.fault = {"code": "invalid_training_file", "message": "blocked by moderation", "param": None}
    monkeypatch.setattr(runner, "find_suite", lambda *_: make_suite())
    monkeypatch.setattr(registry, "resolve", lambda _: BASE)
    command = [
        "run",
        "payments",
        "--strategy",
        "managed:max_usd=1",
        "--strategy",
        "null:method=majority",
        "--probe",
        "0",
    ]
    monkeypatch.setattr(sys, "argv", ["thirdlever", *command, "--out", "out"])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "jobs resume" in said  # the whole sentence, when it happens
    assert "error: no model: blocked by the provider's moderation; answers so far: managed" in said
    done = load("out")
    assert [one["name"] for one in done.info["candidates"]] == ["null(method=majority)"]
    assert len(done.records) == 12
    assert done.info["status"] == "failed"
    [unfinished] = done.info["unfinished"]
    assert unfinished["candidate"].startswith("managed")
    assert unfinished["why"] == "no model: blocked by the provider's moderation"
    assert (unfinished["answered"], unfinished["requests"]) == (0, 12)
    with pytest.raises(StrategyError, match="blocked by moderation"):  # nothing else to measure
        run(make_suite(), ["managed:max_usd=1"], models=[BASE], out="alone")
    assert len(service.created) == 1


def test_a_blocked_file_without_a_listed_word_says_so(service: Service) -> None:
    service.statuses = ["failed"]
    service.fault = {"code": "invalid_training_file", "message": "blocked by moderation", "param": None}
    with pytest.raises(StrategyError, match="an unnamed category; no row contains a word of the local list"):
        tune(BASE, EXAMPLES, max_usd=1.0)


def test_a_model_that_does_not_exist_right_after_its_job_is_waited_for(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(managed, "APPEARS_POLL_S", 0.0)
    left = [error(404, "The model does not exist", "model_not_found")] * 3
    service.answer = lambda _, path: left.pop() if path.startswith("/models/") and left else None
    ledger = Ledger()
    made = ledger.add(job(provider="openai", stage="succeeded", tuned="t", id="j", ended=time.time()), "", "")
    assert managed.serve(made, ledger).inspect_name == "openai/t"
    left.append(error(404, "The model does not exist", "model_not_found"))
    with pytest.raises(GoneError, match="no longer has t"):
        managed.serve(ledger.update(made.identity, ended=1.0), ledger)


def test_azures_pending_is_waited_for(service: Service) -> None:
    service.statuses = ["pending", "running", "succeeded"]
    made = tune(BaseModel(name="azure/gpt-4.1-mini", inspect_name="x"), EXAMPLES, max_usd=1.0)
    assert service.created[0]["trainingType"] == "GlobalStandard"
    assert "metadata" not in service.created[0]
    assert made.tuning.hosting_usd_per_hour == 1.70


def test_a_failed_poll_is_repeated(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    service.answer = once("GET", "/fine_tuning/jobs/ftjob-0", 200, b"{")
    assert tune(BASE, EXAMPLES, max_usd=1.0).model.revision == "ft:ftjob-0"
    told = capsys.readouterr().err
    assert "Crusoe: job ftjob-0 submitted" in told
    assert "Crusoe: job ftjob-0 running" in told


def test_a_provider_that_stops_answering_is_given_up_and_the_job_is_kept(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MAX_MISSED_POLLS", 2)
    service.answer = always("GET", "/fine_tuning/jobs/ftjob-0", 200, b"{")
    with pytest.raises(ModelError, match="the same command resumes waiting for it"):
        tune(BASE, EXAMPLES, max_usd=1.0)
    service.answer = lambda _method, _path: None
    assert tune(BASE, EXAMPLES, max_usd=1.0).model.revision == "ft:ftjob-0"
    assert len(service.jobs) == 1


# What can be done with a job


def test_a_failed_job_is_resumed_as_a_new_one(service: Service) -> None:
    service.statuses = ["failed"]
    with pytest.raises(StrategyError):
        tune(BASE, EXAMPLES, max_usd=1.0)
    service.statuses = ["succeeded"]
    ledger, client = Ledger(), OpenAIProtocol(profile("crusoe"))
    [failed] = ledger.jobs()
    done = jobs.resume(failed, client, ledger, lambda: None)
    client.close()
    assert (done.stage, done.attempt, done.id) == ("succeeded", 2, "ftjob-1")
    assert tune(BASE, EXAMPLES, max_usd=1.0).model.revision == "ft:ftjob-1"
    assert len(service.jobs) == 2


def test_a_job_that_its_provider_has_lost_is_reported_and_resumed(service: Service) -> None:
    tune(BASE, EXAMPLES, max_usd=1.0)
    service.jobs.clear()
    service.files.clear()
    ledger, client = Ledger(), OpenAIProtocol(profile("crusoe"))
    [lost] = ledger.jobs()
    with pytest.raises(GoneError, match=f"jobs resume {lost.short}"):
        jobs.poll(lost, client)
    service.statuses = ["succeeded"]
    assert jobs.resume(lost, client, ledger, lambda: None).attempt == 2
    client.close()


def test_a_job_is_cancelled(service: Service) -> None:
    ledger, client = Ledger(), OpenAIProtocol(profile("crusoe"))
    ordered = ledger.add(job(), json.dumps({}), "")
    submitted = jobs.submit(ordered, client, ledger)
    cancelled = jobs.cancel(submitted, client, ledger)
    assert (cancelled.stage, cancelled.said) == ("cancelled", "cancelled")
    with pytest.raises(ModelError, match="nothing to cancel"):
        jobs.cancel(cancelled, client, ledger)
    with pytest.raises(StrategyError, match="cancelled"):
        jobs.check_succeeded(cancelled, ledger)
    client.close()
    assert len(service.created) == 1


def test_cancelling_a_job_that_never_arrived_removes_it(service: Service) -> None:
    ledger, client = Ledger(), OpenAIProtocol(profile("crusoe"))
    ordered = ledger.add(job(), "", "")
    assert jobs.cancel(ordered, client, ledger).id is None
    client.close()
    assert not ledger.jobs()
    assert not service.created


# Deployments


@pytest.mark.parametrize("provider", ["nebius", "crusoe"])
def test_a_users_deployment_answers_under_the_name_given(service: Service, provider: str) -> None:
    ledger = Ledger()
    made = ledger.add(job(provider=provider, stage="succeeded", tuned="t", id="j"), "", "")
    with pytest.raises(ModelError, match=f"jobs deployed {made.short} NAME"):
        managed.tuned_model(made, BASE).connect()
    ledger.update(made.identity, served="mine")
    access = managed.serve(ledger.find("j"), ledger)
    assert (access.inspect_name, access.url) == (f"openai-api/{provider}/mine", service.url)
    assert KEY not in repr(access)
    assert KEY not in repr(managed.tuned_model(made, BASE))


AZURE = {
    "AZURE_MANAGEMENT_TOKEN": "token",
    "AZURE_SUBSCRIPTION_ID": "s",
    "AZURE_RESOURCE_GROUP": "g",
    "AZURE_OPENAI_RESOURCE": "r",
}


@pytest.fixture
def plane(service: Service, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Azure's management plane: a deployment is being made for one request, and then it is there."""
    state = SimpleNamespace(deployed={}, refuse=False)

    def answer(method: str, path: str) -> tuple[int, Any] | None:
        if not path.startswith("/subscriptions/s/resourceGroups/g/"):
            return None
        name = path.rpartition("/")[2]
        if state.refuse:
            return 401, {"error": {"code": "ExpiredAuthenticationToken", "message": "…"}}
        if method == "PUT":
            state.deployed[name] = ["Creating", "Succeeded"]
        elif method == "DELETE":
            del state.deployed[name]
            return 200, b""
        elif name not in state.deployed:
            return 404, {"error": {"code": "DeploymentNotFound"}}
        said = state.deployed[name]
        return 200, {"properties": {"provisioningState": said.pop(0) if len(said) > 1 else said[0]}}

    service.answer = answer
    monkeypatch.setattr("thirdlever.finetune.providers.azure.ADDRESS", service.url.removesuffix("/v1"))
    monkeypatch.setattr("thirdlever.finetune.providers.shared.POLL_S", 0.01)
    monkeypatch.setattr("atexit.register", lambda *_: None)
    return state


def test_an_azure_deployment_is_made_once_and_removed(
    plane: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in AZURE.items():
        monkeypatch.setenv(name, value)
    ledger = Ledger()
    made = ledger.add(job(provider="azure", stage="succeeded", tuned="t", id="j"), "", "")
    access = managed.serve(made, ledger)
    assert access.inspect_name == f"openai-api/azure/{made.tag}"
    assert managed.serve(ledger.find("j"), ledger) == access
    standing = ledger.find("j")
    assert (standing.served, standing.ours, standing.idle_usd_per_hour) == (made.tag, True, 1.70)
    plane.refuse = True
    managed._at_exit(made.identity, ledger)  # noqa: SLF001 - what the process does last
    assert "WARNING: Azure deployment" in (told := capsys.readouterr().err)
    assert "$1.70 an hour" in told
    plane.refuse = False
    managed._at_exit(made.identity, ledger)  # noqa: SLF001
    assert plane.deployed == {}
    assert ledger.find("j").served is None


def test_azure_without_its_management_plane_gives_instructions(plane: SimpleNamespace) -> None:
    ledger = Ledger()
    made = ledger.add(job(provider="azure", stage="succeeded", tuned="t", id="j"), "", "")
    with pytest.raises(ModelError, match=r"AZURE_MANAGEMENT_TOKEN.*jobs deployed"):
        managed.serve(made, ledger)
    assert plane.deployed == {}
    assert ledger.find("j").served is None
    ledger.update(made.identity, served="mine")
    assert managed.serve(ledger.find("j"), ledger).inspect_name == "openai-api/azure/mine"


# The strategy


def test_the_strategy_draws_balanced_examples_and_gives_them_all_to_the_leakage_check(service: Service) -> None:
    suite = make_suite()
    spec = specs.parse("managed:examples=10,epochs=auto,max_usd=1")
    made = spec.prepare(suite.without_test(), BASE, Store(Path("store")))
    assert [item.id for item in made.given if item.id.startswith("dev")] == [item.id for item in suite.dev]
    assert len(made.given) == made.setup.labels == 14
    assert service.created[0]["method"]["supervised"]["hyperparameters"] == {"n_epochs": "auto"}


@pytest.mark.parametrize(
    "spec", ["managed:epochs=0", "managed:max_usd=-1", "managed:max_usd=nan", "managed:max_queue_hours=0"]
)
def test_invalid_arguments_are_refused(spec: str) -> None:
    with pytest.raises(StrategyError, match="is not allowed"):
        specs.parse(spec)
