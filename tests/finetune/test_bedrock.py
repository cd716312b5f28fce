"""Bedrock with botocore's Stubber, which checks requests and responses against the service's own description."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

import pytest
from helpers.job import job

from thirdlever.core.errors import ModelError
from thirdlever.finetune.jobs import ForbiddenError, GoneError, JobRequest, UnreachableError
from thirdlever.finetune.providers.bedrock import Bedrock, row

pytest.importorskip("boto3", reason="needs the bedrock extra")

from botocore.stub import ANY, Stubber

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ACCOUNT = "arn:aws:bedrock:us-east-1:123456789012"
ARN = f"{ACCOUNT}:model-customization-job/amazon.nova-micro-v1:0:128k/abcdefghijkl"
MODEL = f"{ACCOUNT}:custom-model/amazon.nova-micro-v1:0:128k/abcdefghijkl"
DEPLOYMENT = f"{ACCOUNT}:custom-model-deployment/abcdefghijkl"
ROLE = "arn:aws:iam::123456789012:role/Tuning"
TAG = "thirdlever-x-1"
START = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
LINE = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "food"}]}


@pytest.fixture
def tuner(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bedrock]:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("BEDROCK_ROLE_ARN", ROLE)
    monkeypatch.setenv("BEDROCK_S3_URI", "s3://bucket/folder")
    monkeypatch.setattr("thirdlever.finetune.providers.shared.POLL_S", 0.0)
    made = Bedrock()
    yield made
    made.close()


@pytest.fixture
def bedrock(tuner: Bedrock) -> Iterator[Stubber]:
    with Stubber(tuner.bedrock) as stub:
        yield stub
        stub.assert_no_pending_responses()


@pytest.fixture
def s3(tuner: Bedrock) -> Iterator[Stubber]:
    with Stubber(tuner.s3) as stub:
        yield stub
        stub.assert_no_pending_responses()


def order(folder: Path, epochs: int | None = 2) -> JobRequest:
    path = folder / "train.jsonl"
    path.write_text(json.dumps(LINE) + "\n", "utf-8")
    base = "amazon.nova-micro-v1:0:128k"
    return JobRequest(tag=TAG, base=base, training=path, validation=path, epochs=epochs, seed=0)


def answered(status: str, **facts: Any) -> dict[str, Any]:  # noqa: ANN401 - of GetModelCustomizationJob
    given = {
        "jobArn": ARN,
        "jobName": TAG,
        "outputModelName": TAG,
        "roleArn": ROLE,
        "creationTime": START,
        "status": status,
        "baseModelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0:128k",
        "trainingDataConfig": {"s3Uri": "s3://bucket/folder/x"},
        "validationDataConfig": {"validators": []},
        "outputDataConfig": {"s3Uri": "s3://bucket/folder/y"},
    }
    return given | facts


def test_a_job_is_submitted_with_a_token_against_repetition(
    tuner: Bedrock, bedrock: Stubber, s3: Stubber, tmp_path: Path
) -> None:
    for split in ("train", "dev"):
        s3.add_response("put_object", {}, {"Bucket": "bucket", "Key": f"folder/{TAG}/{split}.jsonl", "Body": ANY})
    expected = {
        "jobName": TAG,
        "customModelName": TAG,
        "clientRequestToken": TAG,
        "roleArn": ROLE,
        "baseModelIdentifier": "amazon.nova-micro-v1:0:128k",
        "customizationType": "FINE_TUNING",
        "trainingDataConfig": {"s3Uri": f"s3://bucket/folder/{TAG}/train.jsonl"},
        "validationDataConfig": {"validators": [{"s3Uri": f"s3://bucket/folder/{TAG}/dev.jsonl"}]},
        "outputDataConfig": {"s3Uri": f"s3://bucket/folder/{TAG}/output/"},
        "hyperParameters": {"epochCount": "2"},
    }
    bedrock.add_response("create_model_customization_job", {"jobArn": ARN}, expected)
    assert tuner.submit(order(tmp_path)) == ARN


@pytest.mark.parametrize(("name", "found"), [(TAG, ARN), (f"{TAG}0", None)])
def test_a_job_is_found_by_its_whole_name(tuner: Bedrock, bedrock: Stubber, name: str, found: str | None) -> None:
    summary = {
        "jobArn": ARN,
        "jobName": name,
        "baseModelArn": "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-micro-v1:0",
        "status": "InProgress",
        "creationTime": START,
    }
    answer = {"modelCustomizationJobSummaries": [summary]}
    bedrock.add_response("list_model_customization_jobs", answer, {"nameContains": TAG})
    assert tuner.find(TAG) == found


@pytest.mark.parametrize(
    ("said", "status"),
    [("InProgress", "running"), ("Stopping", "running"), ("Stopped", "cancelled"), ("Failed", "failed")],
)
def test_every_status_is_understood(tuner: Bedrock, bedrock: Stubber, said: str, status: str) -> None:
    bedrock.add_response("get_model_customization_job", answered(said, failureMessage="why"), {"jobIdentifier": ARN})
    state = tuner.poll(ARN)
    assert (state.status, state.said, state.error, state.seconds) == (status, said, "why", None)


def test_a_completed_job_has_a_model(tuner: Bedrock, bedrock: Stubber) -> None:
    facts = {"outputModelArn": MODEL, "endTime": START + dt.timedelta(hours=1), "hyperParameters": {"epochCount": "2"}}
    bedrock.add_response("get_model_customization_job", answered("Completed", **facts))
    state = tuner.poll(ARN)
    assert (state.status, state.tuned, state.epochs, state.seconds) == ("succeeded", MODEL, 2, 3600.0)
    assert state.trained_tokens is None


def test_a_job_is_stopped(tuner: Bedrock, bedrock: Stubber) -> None:
    bedrock.add_response("stop_model_customization_job", {}, {"jobIdentifier": ARN})
    bedrock.add_response("get_model_customization_job", answered("Stopping"))
    assert tuner.cancel(ARN).said == "Stopping"


def test_a_model_is_deployed_once(tuner: Bedrock, bedrock: Stubber) -> None:
    ordered = job(provider="bedrock", tuned=MODEL)
    wanted = {"modelDeploymentName": ordered.tag, "modelArn": MODEL, "clientRequestToken": ordered.tag}
    standing = {
        "customModelDeploymentArn": DEPLOYMENT,
        "customModelDeploymentName": ordered.tag,
        "modelArn": MODEL,
        "createdAt": START,
        "status": "Active",
    }
    told = {k: v for k, v in standing.items() if k != "customModelDeploymentName"} | {
        "modelDeploymentName": ordered.tag
    }
    bedrock.add_response("list_custom_model_deployments", {"modelDeploymentSummaries": []})
    bedrock.add_response("create_custom_model_deployment", {"customModelDeploymentArn": DEPLOYMENT}, wanted)
    bedrock.add_response("get_custom_model_deployment", told | {"status": "Creating"})
    bedrock.add_response("get_custom_model_deployment", told)
    assert tuner.deploy(ordered) == DEPLOYMENT
    bedrock.add_response("list_custom_model_deployments", {"modelDeploymentSummaries": [standing]})
    bedrock.add_response("get_custom_model_deployment", told)
    assert tuner.deploy(ordered) == DEPLOYMENT
    assert tuner.access(DEPLOYMENT).inspect_name == f"bedrock/{DEPLOYMENT}"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("ThrottlingException", UnreachableError),
        ("ResourceNotFoundException", GoneError),
        ("ValidationException", ModelError),
        ("AccessDeniedException", ForbiddenError),
    ],
)
def test_errors_are_distinguished(tuner: Bedrock, bedrock: Stubber, code: str, kind: type[ModelError]) -> None:
    bedrock.add_client_error("get_model_customization_job", code, "because")
    with pytest.raises(kind, match="because"):
        tuner.poll(ARN)


def test_a_missing_region_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ModelError, match="region"):
        Bedrock().find(TAG)


def test_a_missing_variable_is_named(tuner: Bedrock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BEDROCK_ROLE_ARN")
    with pytest.raises(ModelError, match="BEDROCK_ROLE_ARN"):
        tuner.submit(order(tmp_path))


CHAT = [
    {"role": "system", "content": "Sort."},
    {"role": "user", "content": "SHELL"},
    {"role": "assistant", "content": "fuel"},
]


def test_examples_have_the_format_of_the_base_models_family() -> None:
    assert row(CHAT, "amazon.nova-lite-v1:0") == {
        "schemaVersion": "bedrock-conversation-2024",
        "system": [{"text": "Sort."}],
        "messages": [
            {"role": "user", "content": [{"text": "SHELL"}]},
            {"role": "assistant", "content": [{"text": "fuel"}]},
        ],
    }
    assert row(CHAT, "anthropic.claude-3-haiku-20240307-v1:0:200k") == {"system": "Sort.", "messages": CHAT[1:]}
