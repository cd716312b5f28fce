"""Vertex with responses of its documented shapes, sent by a local server to google-genai's own client."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from helpers.job import job
from helpers.tuning_service import serving

from thirdlever.core.errors import ModelError
from thirdlever.finetune.jobs import ForbiddenError, GoneError, JobRequest, UnreachableError
from thirdlever.finetune.providers.vertex import Vertex, row

genai = pytest.importorskip("google.genai", reason="needs the vertex extra")

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from helpers.tuning_service import Service

ROOT = "/v1beta1/projects/p/locations/us-central1/tuningJobs"
NAME = "projects/p/locations/us-central1/tuningJobs/1"
TAG = "thirdlever-x-1"


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        yield running


@pytest.fixture
def tuner(service: Service, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vertex]:
    from google.oauth2.credentials import Credentials

    monkeypatch.setenv("VERTEX_GCS_URI", "gs://bucket/folder")
    made = Vertex()
    made.__dict__["client"] = genai.Client(
        vertexai=True,
        project="p",
        location="us-central1",
        credentials=Credentials("token"),  # type: ignore[no-untyped-call]
        http_options=genai.types.HttpOptions(base_url=service.url.removesuffix("/v1")),
    )
    yield made
    made.close()


class Storage:
    """Cloud Storage's upload, as far as it is used."""

    def __init__(self, status: int = 200) -> None:
        self.kept: dict[str, Any] = {}
        self._status = status

    def post(self, url: str, *, params: dict[str, str], data: bytes) -> SimpleNamespace:
        self.kept[f"{url}?{params['name']}"] = json.loads(data)
        return SimpleNamespace(ok=self._status == 200, status_code=self._status)


def told(state: str, **facts: Any) -> dict[str, Any]:  # noqa: ANN401 - of a TuningJob
    given = {
        "name": NAME,
        "state": state,
        "createTime": "2026-11-01T00:00:00Z",
        "baseModel": "gemini-2.0-flash",
        "labels": {"thirdlever": TAG},
        "supervisedTuningSpec": {"hyperParameters": {"epochCount": "2"}},
    }
    return given | facts


def order(folder: Path) -> JobRequest:
    path = folder / "train.jsonl"
    turns = [{"role": "user", "content": "SHELL"}, {"role": "assistant", "content": "fuel"}]
    path.write_text(json.dumps({"messages": turns}) + "\n", "utf-8")
    return JobRequest(tag=TAG, base="gemini-2.0-flash", training=path, validation=path, epochs=2, seed=0)


def test_a_job_is_submitted_with_its_label(tuner: Vertex, service: Service, tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []
    respond = service.respond

    def take(method: str, path: str, body: bytes, headers: Any) -> Any:  # noqa: ANN401
        sent.append(json.loads(body))
        return respond(method, path, body, headers)

    service.respond = take  # type: ignore[method-assign]
    service.answer = lambda method, path: (200, told("JOB_STATE_PENDING")) if (method, path) == ("POST", ROOT) else None
    tuner.__dict__["storage"] = storage = Storage()
    assert tuner.submit(order(tmp_path)) == NAME
    [body] = sent
    assert body["labels"] == {"thirdlever": TAG}
    assert body["baseModel"] == "gemini-2.0-flash"
    spec = body["supervisedTuningSpec"]
    assert spec["trainingDatasetUri"] == f"gs://bucket/folder/{TAG}/train.jsonl"
    assert spec["validationDatasetUri"] == f"gs://bucket/folder/{TAG}/dev.jsonl"
    assert spec["hyperParameters"]["epochCount"] == 2
    assert [where.rpartition("?")[2] for where in storage.kept] == [
        f"folder/{TAG}/dev.jsonl",
        f"folder/{TAG}/train.jsonl",
    ]


def test_a_folder_without_write_permission_is_reported(tuner: Vertex, tmp_path: Path) -> None:
    tuner.__dict__["storage"] = Storage(403)
    with pytest.raises(ModelError, match=r"gs://bucket/folder/.*HTTP 403"):
        tuner.submit(order(tmp_path))


@pytest.mark.parametrize(("tag", "found"), [(TAG, NAME), ("thirdlever-x-2", None)])
def test_a_job_is_found_by_its_label(tuner: Vertex, service: Service, tag: str, found: str | None) -> None:
    service.answer = lambda *_: (200, {"tuningJobs": [told("JOB_STATE_RUNNING")]})
    assert tuner.find(tag) == found


@pytest.mark.parametrize("state", [state for state in genai.types.JobState if state.name == state.value])
def test_every_state_is_understood(tuner: Vertex, service: Service, state: Any) -> None:  # noqa: ANN401
    service.answer = lambda *_: (200, told(state.value))
    expected = {
        "SUCCEEDED": "succeeded",
        "FAILED": "failed",
        "EXPIRED": "failed",
        "PARTIALLY_SUCCEEDED": "failed",
        "CANCELLED": "cancelled",
        "RUNNING": "running",
        "UPDATING": "running",
        "CANCELLING": "running",
    }
    said = state.value.removeprefix("JOB_STATE_")
    assert tuner.poll(NAME).status == expected.get(said, "queued")


def test_a_job_that_succeeded_reports_its_endpoint_and_tokens(tuner: Vertex, service: Service) -> None:
    facts = {
        "endTime": "2026-11-01T01:00:00Z",
        "tunedModel": {"model": "projects/p/locations/l/models/1@1", "endpoint": "projects/p/locations/l/endpoints/2"},
        "tuningDataStats": {"supervisedTuningDataStats": {"totalBillableTokenCount": "4321"}},
    }
    service.answer = lambda *_: (200, told("JOB_STATE_SUCCEEDED", **facts))
    state = tuner.poll(NAME)
    assert (state.tuned, state.trained_tokens) == ("projects/p/locations/l/endpoints/2", 4321)
    assert (state.epochs, state.seconds) == (2, 3600.0)
    served = tuner.deploy(job(provider="vertex", tuned=state.tuned))
    assert tuner.access(served).inspect_name == "google/vertex/projects/p/locations/l/endpoints/2"


def test_a_failed_job_gives_its_reason(tuner: Vertex, service: Service) -> None:
    service.answer = lambda *_: (200, told("JOB_STATE_FAILED", error={"code": 3, "message": "bad data"}))
    assert tuner.poll(NAME).error == "bad data"


def test_a_job_is_cancelled(tuner: Vertex, service: Service) -> None:
    service.answer = lambda method, _: (200, {} if method == "POST" else told("JOB_STATE_CANCELLING"))
    assert tuner.cancel(NAME).said == "cancelling"
    assert service.asked[0] == f"POST {ROOT}/1:cancel"


@pytest.mark.parametrize(("status", "kind"), [(503, UnreachableError), (404, GoneError), (403, ForbiddenError)])
def test_errors_are_distinguished(tuner: Vertex, service: Service, status: int, kind: type[ModelError]) -> None:
    service.answer = lambda *_: (status, {"error": {"code": status, "message": "because", "status": "S"}})
    with pytest.raises(kind, match="because"):
        tuner.poll(NAME)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_CLOUD_PROJECT", raising=False)
    with pytest.raises(ModelError, match="GOOGLE_CLOUD_PROJECT"):
        Vertex().find(TAG)


def test_a_conversation_is_converted_to_geminis_format() -> None:
    chat = [
        {"role": "system", "content": "Sort."},
        {"role": "user", "content": "SHELL"},
        {"role": "assistant", "content": "fuel"},
    ]
    assert row(chat) == {
        "systemInstruction": {"parts": [{"text": "Sort."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "SHELL"}]},
            {"role": "model", "parts": [{"text": "fuel"}]},
        ],
    }
