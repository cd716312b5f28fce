"""The endpoint without its engine: files, jobs before training, errors, pages and access.

Every response is checked against OpenAI's own description, see endpoints.py.
"""

from __future__ import annotations

import json
import socket
import stat
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import openai
import pytest
from helpers.endpoints import KEY, connected, jsonl, serving, upload, wait_for
from helpers.training_file import FAULTS, file
from openai import DefaultHttpxClient, OpenAI

from thirdlever.core.errors import ThirdleverError
from thirdlever.finetune.endpoint import app
from thirdlever.finetune.endpoint.training import lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODEL = "hf/none"


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An endpoint's folder in which nothing is trained: as if another worker was at it."""
    with lock(tmp_path):
        yield tmp_path


@pytest.fixture
def client(folder: Path) -> Iterator[OpenAI]:
    with serving(folder) as url, connected(url) as client:
        yield client


def create(client: OpenAI, training_file: str, **options: Any) -> Any:  # noqa: ANN401 - create's
    return client.fine_tuning.jobs.create(model=MODEL, training_file=training_file, **options)


def validated(client: OpenAI, job: str) -> Any:  # noqa: ANN401 - openai's job
    wait_for(lambda: client.fine_tuning.jobs.retrieve(job).status != "validating_files", 10)
    return client.fine_tuning.jobs.retrieve(job)


# Files


def test_a_file_is_uploaded_read_and_deleted(client: OpenAI) -> None:
    content = jsonl()
    made = client.files.create(file=('tr"ain\n.jsonl', content), purpose="fine-tune")
    assert (made.bytes, made.purpose, made.status) == (len(content), "fine-tune", "processed")
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == content
    assert [entry.id for entry in client.files.list()] == [made.id]
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        client.files.retrieve(made.id)
    assert client.files.list().data == []


@pytest.mark.parametrize("name", ["file-1", "..%2f..%2fkey", "file-" + "0" * 24])
def test_a_missing_file_is_not_found(client: OpenAI, name: str) -> None:
    for ask in (client.files.retrieve, client.files.content, client.files.delete):
        with pytest.raises(openai.NotFoundError):
            ask(name)


def test_files_are_listed_by_purpose_and_in_order(client: OpenAI) -> None:
    made = [upload(client) for _ in range(3)]
    assert [entry.id for entry in client.files.list()] == made[::-1]
    assert [entry.id for entry in client.files.list(order="asc", purpose="fine-tune")] == made
    assert client.files.list(purpose="fine-tune-results").data == []


def test_only_files_for_tuning_are_accepted(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=b"{}", purpose="batch")
    assert caught.value.param == "purpose"
    with pytest.raises(openai.BadRequestError) as caught:
        client.files.create(file=b"{}", purpose="fine-tune", expires_after={"anchor": "created_at", "seconds": 3600})
    assert caught.value.code == "unsupported_parameter"


# Jobs up to their training


def test_a_job_is_validated_and_queued(client: OpenAI) -> None:
    training, validation = upload(client), upload(client, jsonl(2))
    job = create(client, training, validation_file=validation, suffix="v1", seed=7, metadata={"run": "a"})
    assert (job.status, job.seed, job.metadata, job.model) == ("validating_files", 7, {"run": "a"}, MODEL)
    assert (job.fine_tuned_model, job.finished_at, job.trained_tokens, job.error) == (None, None, None, None)
    assert (job.training_file, job.validation_file, job.result_files) == (training, validation, [])
    assert job.method.supervised.hyperparameters.n_epochs == "auto"
    assert validated(client, job.id).status == "queued"
    messages = [event.message for event in client.fine_tuning.jobs.list_events(job.id)]
    assert messages[0] == "Files validated, 12 examples, moving job to queued state"
    assert messages[-1] == f"Created fine-tuning job: {job.id}"
    assert client.fine_tuning.jobs.checkpoints.list(job.id).data == []


@pytest.mark.parametrize(
    "given",
    [
        {"hyperparameters": {"n_epochs": 2, "batch_size": 4}},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2, "batch_size": 4}}}},
    ],
    ids=["older form", "newer form"],
)
def test_hyperparameters_are_shown_where_older_and_newer_clients_look(client: OpenAI, given: dict[str, Any]) -> None:
    job = create(client, upload(client), **given)
    for shown in (job.hyperparameters, job.method.supervised.hyperparameters):
        assert (shown.n_epochs, shown.batch_size, shown.learning_rate_multiplier) == (2, 4, "auto")


TEN = ["not json", "a list", "prompt and completion", "no messages", "no turns", "unknown role", "content is a number"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        *((file(FAULTS[name][0]).encode(), "invalid_training_file") for name in TEN),
        (file(FAULTS["last turn the user's"][0]).encode(), "invalid_training_file"),
        (b"\xff\xfe" + jsonl(), "invalid_training_file"),
        (b"", "invalid_n_examples"),
        (jsonl(9), "invalid_n_examples"),
    ],
    ids=[*TEN, "last turn the user's", "not UTF-8", "empty", "nine examples"],
)
def test_a_malformed_file_fails_its_job_afterwards(client: OpenAI, content: bytes, code: str) -> None:
    job = create(client, upload(client, content))
    assert job.status == "validating_files"
    failed = validated(client, job.id)
    assert (failed.status, failed.error.code, failed.error.param) == ("failed", code, "training_file")
    assert failed.finished_at is not None
    assert client.fine_tuning.jobs.list_events(job.id).data[0].level == "error"


def test_a_malformed_validation_file_is_named(client: OpenAI) -> None:
    job = create(client, upload(client), validation_file=upload(client, b"{"))
    error = validated(client, job.id).error
    assert (error.code, error.param) == ("invalid_validation_file", "validation_file")


def test_a_job_keeps_its_own_copy_of_a_file(client: OpenAI) -> None:
    name = upload(client)
    job = create(client, name)
    client.files.delete(name)
    assert validated(client, job.id).status == "queued"


def test_a_queued_job_can_be_paused_resumed_and_cancelled(client: OpenAI) -> None:
    jobs = client.fine_tuning.jobs
    job = create(client, upload(client)).id
    validated(client, job)
    with pytest.raises(openai.BadRequestError, match="only a job that is paused can become queued"):
        jobs.resume(job)
    assert jobs.pause(job).status == "paused"  # type: ignore[comparison-overlap] # as its documentation shows
    assert jobs.resume(job).status == "queued"
    cancelled = jobs.cancel(job)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at is not None
    for step in (jobs.cancel, jobs.pause, jobs.resume):
        with pytest.raises(openai.BadRequestError, match=f"Job {job} is cancelled"):
            step(job)


@pytest.mark.parametrize(
    ("given", "param", "code"),
    [
        ({"model": "gpt-4o"}, "model", "model_not_available"),
        ({"training_file": "file-1"}, "training_file", "invalid_training_file"),
        ({"validation_file": "file-1"}, "validation_file", "invalid_validation_file"),
        ({"suffix": "a:b"}, "suffix", "invalid_value"),
        ({"seed": -1}, "seed", "invalid_value"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "invalid_value"),
        ({"hyperparameters": {"rank": 4}}, "hyperparameters.rank", "unsupported_parameter"),
        ({"hyperparameters": {}, "method": {"type": "supervised"}}, "hyperparameters", "invalid_value"),
        ({"method": {"type": "dpo"}}, "method.type", "unsupported_value"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "a"}}]}, "integrations", "unsupported_value"),
        ({"metadata": {"k": "v" * 513}}, "metadata.k", "invalid_value"),
        ({"extra_body": {"quantisation": 4}}, "quantisation", "unsupported_parameter"),
    ],
)
def test_an_invalid_job_is_refused_at_once(client: OpenAI, given: dict[str, Any], param: str, code: str) -> None:
    wanted = {"model": MODEL, "training_file": upload(client)} | given
    with pytest.raises(openai.BadRequestError) as caught:
        client.fine_tuning.jobs.create(**wanted)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert client.fine_tuning.jobs.list().data == []


@pytest.mark.parametrize("name", ["ftjob-1", "ftjob-" + "0" * 24])
def test_a_missing_job_is_not_found(client: OpenAI, name: str) -> None:
    jobs = client.fine_tuning.jobs
    for ask in (jobs.retrieve, jobs.cancel, jobs.pause, jobs.resume, jobs.list_events, jobs.checkpoints.list):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(name)
        assert caught.value.code == "fine_tune_not_found"


# Pages


def test_jobs_come_in_pages_newest_first(client: OpenAI) -> None:
    training = upload(client)
    made = [create(client, training, metadata={"n": str(i % 2)}).id for i in range(5)]
    first = client.fine_tuning.jobs.list(limit=2)
    assert ([job.id for job in first.data], first.has_more) == (made[:2:-1], True)
    assert [job.id for job in client.fine_tuning.jobs.list(limit=2)] == made[::-1]  # the client turns the pages
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"n": "1"})] == [made[3], made[1]]
    last = client.fine_tuning.jobs.list(after=made[1])
    assert ([job.id for job in last.data], last.has_more) == ([made[0]], False)


def test_events_come_in_pages(client: OpenAI) -> None:
    job = create(client, upload(client)).id
    validated(client, job)
    wait_for(lambda: len(client.fine_tuning.jobs.list_events(job).data) == 3, 5)
    events = client.fine_tuning.jobs.list_events(job, limit=1)
    assert events.has_more
    assert len(list(events)) == 3


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"after": "ftjob-1"}])
def test_an_invalid_page_is_refused(client: OpenAI, query: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.fine_tuning.jobs.list(**query)
    assert caught.value.param in query


# Models, and what there is not


def test_the_base_is_the_only_model_at_first(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).owned_by == "thirdlever"
    with pytest.raises(openai.PermissionDeniedError):
        client.models.delete(MODEL)
    for name in ("gpt-4o", f"ft:{MODEL}:local::0badcafe", "ft:../..:local:x:0badcafe"):
        for ask in (client.models.retrieve, client.models.delete):
            with pytest.raises(openai.NotFoundError) as caught:
                ask(name)
            assert caught.value.code == "model_not_found"


def test_unknown_routes_and_methods_are_distinguished(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=r"Invalid URL \(POST /v1/embeddings\)") as caught:
        client.embeddings.create(model=MODEL, input="a")
    assert caught.value.code == "unknown_url"
    with pytest.raises(openai.APIStatusError, match="Not allowed to DELETE"):
        client.delete("/models", cast_to=object)


# Who may ask, and how much


@pytest.mark.parametrize("key", ["sk-wrong", KEY + "x", "ü"])
def test_requests_without_the_token_are_refused(folder: Path, key: str) -> None:
    with serving(folder) as url, DefaultHttpxClient(trust_env=False) as http:
        for path in ("/models", "/files", "/nothing"):
            response = http.get(url + path, headers={b"authorization": f"Bearer {key}".encode()})
            assert response.status_code == 401
            error = response.json()["error"]
            assert error["type"] == "invalid_request_error"
            assert KEY not in error["message"]
        assert http.get(f"{url}/models").status_code == 401
        assert http.get(f"{url}/models", headers={"Authorization": f"bearer {KEY}"}).status_code == 200


def test_a_body_is_limited_whatever_length_it_states(folder: Path) -> None:
    with serving(folder, max_body=20_000) as url, connected(url) as client:
        upload(client)
        with pytest.raises(openai.APIStatusError, match="exceeds 20000 bytes") as caught:
            upload(client, jsonl(1_000))
        assert caught.value.status_code == 413
        pieces = (b"x" * 1_000 for _ in range(40))  # sent in chunks, without a length
        response = client._client.post(  # noqa: SLF001 - the client itself always states a length
            f"{url}/fine_tuning/jobs", content=pieces, headers={"Authorization": f"Bearer {KEY}"}
        )
        assert response.status_code == 413
        assert len(client.files.list().data) == 1


def test_only_files_may_be_large(folder: Path) -> None:
    with serving(folder) as url, DefaultHttpxClient(trust_env=False) as http:
        head = {"Authorization": f"Bearer {KEY}"}
        body = b" " * (app.MAX_JSON + 1)
        for place in ("/chat/completions", "/fine_tuning/jobs"):
            assert http.post(url + place, content=body, headers=head).status_code == 413


def test_more_requests_at_once_than_allowed_are_asked_to_wait(folder: Path) -> None:
    with serving(folder, max_requests=1) as url, connected(url) as client, begun(url, b"") as waiting:
        with pytest.raises(openai.RateLimitError, match="1 requests are in progress") as caught:
            wait_for(lambda: client.models.list() is None)
        assert caught.value.response.headers["retry-after"] == "1"
        waiting.sendall(b"{}       ")
        assert waiting.recv(100).startswith(b"HTTP/1.1 400")
        assert client.models.list().data


def test_a_body_that_arrives_too_slowly_is_given_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "BODY_GRACE_S", 0.1)
    with serving(folder) as url, begun(url, b"{") as slow:
        answer = slow.recv(4000)
        assert answer.startswith(b"HTTP/1.1 408")
        assert b"arrives too slowly: 1 bytes" in answer


def begun(url: str, body: bytes) -> socket.socket:
    """A connection with a request of which only so much has been sent."""
    address = urlsplit(url)
    connection = socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=20)
    lines = ("POST /v1/chat/completions HTTP/1.1", "Host: x", f"Authorization: Bearer {KEY}", "Content-Length: 9")
    connection.sendall("\r\n".join((*lines, "", "")).encode() + body)
    return connection


@pytest.mark.parametrize("path", ["..%2f..%2fkey", "%2e%2e/key", "file-%00", "%252e%252e%252fkey", "..%5c..%5ckey"])
def test_paths_do_not_leave_the_folder(folder: Path, path: str) -> None:
    with serving(folder) as url, DefaultHttpxClient(trust_env=False) as http:
        for place in ("files", "models", "fine_tuning/jobs"):
            response = http.get(f"{url}/{place}/{path}", headers={"Authorization": f"Bearer {KEY}"})
            assert response.status_code == 404
            assert set(response.json()) == {"error"}


@pytest.mark.parametrize("name", ["a\r\nX-Injected: 1", "../../key", 'a"; x="b', "\u202e.jsonl"])
def test_a_file_s_name_adds_no_header_and_no_path(folder: Path, name: str) -> None:
    with serving(folder) as url, connected(url) as client:
        stored = client.files.create(file=(name, jsonl()), purpose="fine-tune")
        response = client.files.content(stored.id)
        assert "x-injected" not in response.response.headers
        assert response.read() == jsonl()
    assert {path.parent for path in folder.rglob("*.content")} == {folder / "files"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"a"', b"\xff", b"[" * 10_000])
def test_a_body_that_is_not_an_object_is_refused(client: OpenAI, body: bytes) -> None:
    with pytest.raises(openai.BadRequestError, match="could not parse the JSON body"):
        client.post("/fine_tuning/jobs", content=body, cast_to=object)


def test_the_token_is_generated_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    made = app.key(tmp_path / "new")
    assert len(made) > 40
    assert app.key(tmp_path / "new") == made
    assert stat.S_IMODE(app.key_file(tmp_path / "new").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["key"]


def test_the_environments_token_takes_precedence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(app.VARIABLE, "chosen")
    assert app.key(tmp_path) == "chosen"
    monkeypatch.setenv(app.VARIABLE, " ")
    with pytest.raises(ThirdleverError, match="is empty"):
        app.key(tmp_path)


# A restart


def test_all_state_survives_a_restart(folder: Path) -> None:
    with serving(folder) as url, connected(url) as client:
        training = upload(client)
        job = create(client, training).id
        before = validated(client, job)
        events = client.fine_tuning.jobs.list_events(job).data
    with serving(folder) as url, connected(url) as client:
        assert client.fine_tuning.jobs.retrieve(job) == before
        assert client.fine_tuning.jobs.list_events(job).data == events
        assert client.files.content(training).read() == jsonl()


def test_a_job_that_a_kill_left_unvalidated_is_validated_by_the_next_server(folder: Path) -> None:
    with serving(folder) as url, connected(url) as client:
        job = create(client, upload(client, b"{")).id
        validated(client, job)
    path = folder / "jobs" / job / "job.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"status": "validating_files", "error": None}))
    with (path.with_name("events.jsonl")).open("a", encoding="utf-8") as file:
        file.write('{"id": "ftevent-torn')
    (folder / "jobs" / ".ftjob-half").mkdir()
    with serving(folder) as url, connected(url) as client:
        assert validated(client, job).status == "failed"
        assert [event.level for event in client.fine_tuning.jobs.list_events(job, limit=1).data] == ["error"]
        assert [entry.id for entry in client.fine_tuning.jobs.list()] == [job]
    assert not (folder / "jobs" / ".ftjob-half").exists()
