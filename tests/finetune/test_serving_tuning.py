"""The endpoint trains tiny models, in processes that are paused, killed and found again."""

from __future__ import annotations

import base64
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import openai
import pytest
from helpers import tiny
from helpers.endpoints import connected, jsonl, serving, upload, wait_for

from thirdlever.core.errors import ThirdleverError
from thirdlever.finetune.endpoint.app import VARIABLE
from thirdlever.finetune.endpoint.server import ADDRESS_FILE, endpoint, serve
from thirdlever.finetune.endpoint.storage import FileStore, JobStore
from thirdlever.finetune.endpoint.training import lock, results, work

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai import OpenAI
    from openai.types.fine_tuning import FineTuningJob

PS = shutil.which("ps")
ANSWERS = {"w40", "w41"}
EPOCHS = 8
LONG: Any = {"n_epochs": 4, "batch_size": 1}  # some seconds for 40 examples
LONG_STEPS = list(range(1, 161))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf/{tiny.save(tmp_path_factory.mktemp('model'))}"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """With so small a model, more threads only wait for one another, for seconds on a busy machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


def train(client: OpenAI, model: str, **options: Any) -> str:  # noqa: ANN401 - create's
    """The id of a job that is in training."""
    job = client.fine_tuning.jobs.create(model=model, training_file=upload(client, jsonl(40)), **options).id
    wait_for(lambda: steps_of(client, job))
    return job


def steps_of(client: OpenAI, job: str) -> list[int]:
    """The steps in the job's events, in the order in which they were done."""
    events = list(client.fine_tuning.jobs.list_events(job, limit=100))[::-1]
    metrics: list[Any] = [event.data for event in events if event.type == "metrics"]
    return [figures["step"] for figures in metrics if "train_loss" in figures]


def ended(client: OpenAI, job: str) -> FineTuningJob:
    wait_for(lambda: client.fine_tuning.jobs.retrieve(job).finished_at)
    return client.fine_tuning.jobs.retrieve(job)


def messages(client: OpenAI, job: str) -> list[str]:
    return [event.message for event in client.fine_tuning.jobs.list_events(job, limit=100)]


def train_here(client: OpenAI, folder: Path, job: str) -> FineTuningJob:
    """Do a worker's part in this process, which has loaded torch: another process needs seconds for that."""
    wait_for(lambda: client.fine_tuning.jobs.retrieve(job).status == "queued")
    handler = signal.getsignal(signal.SIGTERM)
    try:
        work(JobStore(folder / "jobs").get(job), FileStore(folder / "files"))
    finally:
        signal.signal(signal.SIGTERM, handler)
    return client.fine_tuning.jobs.retrieve(job)


def test_a_job_is_paused_resumed_and_cancelled_while_it_trains(tmp_path: Path, model: str) -> None:
    with serving(tmp_path, model) as url, connected(url) as client:
        jobs = client.fine_tuning.jobs
        job = train(client, model, hyperparameters=LONG)
        assert jobs.retrieve(job).status == "running"
        waiting = jobs.create(model=model, training_file=upload(client, b"{}" + jsonl()))

        jobs.pause(job)
        wait_for(lambda: "Checkpoint created" in messages(client, job)[0])
        done = steps_of(client, job)
        assert jobs.retrieve(job).status == "paused"  # type: ignore[comparison-overlap] # as OpenAI's documentation shows
        assert ended(client, waiting.id).status == "failed"

        jobs.resume(job)
        wait_for(lambda: len(steps_of(client, job)) > len(done))
        assert jobs.cancel(job).status == "cancelled"
        steps = steps_of(client, job)
        assert steps == list(range(1, len(steps) + 1))  # from where it was paused
        following = jobs.create(model=model, training_file=upload(client)).id
        wait_for(lambda: jobs.retrieve(following).status == "running")  # the cancelled job's worker has ended
        jobs.cancel(following)
        assert jobs.retrieve(job).fine_tuned_model is None


@pytest.fixture
def client(tmp_path: Path, model: str) -> Iterator[OpenAI]:
    """Of an endpoint that starts no worker, as if another one was running."""
    with lock(tmp_path), serving(tmp_path, model) as url, connected(url) as client:
        yield client


def test_the_stock_client_trains_asks_and_deletes_a_model(client: OpenAI, model: str, tmp_path: Path) -> None:
    jobs = client.fine_tuning.jobs
    training, validation = upload(client, jsonl(20)), upload(client, jsonl(4))
    wanted: Any = {"n_epochs": EPOCHS, "batch_size": 4, "learning_rate_multiplier": 1.5}
    made = jobs.create(
        model=model,
        training_file=training,
        validation_file=validation,
        suffix="demo",
        method={"type": "supervised", "supervised": {"hyperparameters": wanted}},
    )
    job = train_here(client, tmp_path, made.id)

    assert (job.status, job.error) == ("succeeded", None)
    assert job.fine_tuned_model == f"ft:{model}:local:demo:{job.id[-8:]}"
    assert job.trained_tokens
    assert job.finished_at is not None
    assert job.finished_at >= job.created_at
    shown = job.hyperparameters
    assert (shown.n_epochs, shown.batch_size, shown.learning_rate_multiplier) == (EPOCHS, 4, 1.5)
    steps = list(range(1, 5 * EPOCHS + 1))
    assert steps_of(client, job.id) == steps

    [result] = job.result_files
    assert client.files.retrieve(result).purpose == "fine-tune-results"
    header, *rows = base64.b64decode(client.files.content(result).read()).decode().splitlines()
    assert header == "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    assert [row.partition(",")[0] for row in rows] == [str(step) for step in steps]
    assert all(rows[4].split(","))  # at the end of an epoch both are measured
    assert rows[0].endswith(",,")

    checkpoints = jobs.checkpoints.list(job.id).data
    assert checkpoints[0].step_number == steps[-1]
    assert checkpoints[0].metrics.train_loss is not None
    assert checkpoints[0].metrics.full_valid_loss is None

    base, tuned = client.models.list().data
    assert (base.id, tuned.id) == (model, job.fine_tuned_model)
    for name in (tuned.id, checkpoints[0].fine_tuned_model_checkpoint):
        answer = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "w3 w5 w6"}], temperature=0, max_tokens=4
        )
        assert answer.choices[0].message.content in ANSWERS
        assert answer.choices[0].finish_reason == "stop"
        assert client.models.retrieve(name).id == name
    streamed = client.chat.completions.create(
        model=tuned.id, messages=[{"role": "user", "content": "w4 w5 w6"}], temperature=0, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) in ANSWERS

    with pytest.raises(openai.BadRequestError, match="is succeeded"):
        jobs.cancel(job.id)
    assert client.models.delete(tuned.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve(tuned.id)
    assert [entry.id for entry in client.models.list()] == [model]


def test_an_example_that_is_too_long_fails_its_job(client: OpenAI, model: str, tmp_path: Path) -> None:
    long = {"messages": [{"role": "user", "content": "w3 " * 600}, {"role": "assistant", "content": "w4"}]}
    training = upload(client, jsonl() + json.dumps(long).encode())
    job = train_here(client, tmp_path, client.fine_tuning.jobs.create(model=model, training_file=training).id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.code == "training_failed"
    assert "has 602 tokens" in job.error.message


# Kills


@dataclass
class Servers:
    """`thirdlever serve` in separate processes, one at a time, and the workers that they leave."""

    folder: Path
    model: str
    process: subprocess.Popen[str] | None = None

    @contextmanager
    def client(self) -> Iterator[OpenAI]:
        """Start a server and leave it running."""
        command = [sys.executable, "-P", "-m", "thirdlever", "serve", "--model", self.model, "--port", "0"]
        started = subprocess.Popen([*command, "--folder", str(self.folder)], stdout=subprocess.PIPE, text=True)
        self.process = started
        wait_for(lambda: self._found().get("pid") == started.pid)
        key = (self.folder / "key").read_text("utf-8").strip()
        with connected(self._found()["url"], key) as client:
            yield client

    def _found(self) -> dict[str, Any]:
        path = self.folder / ADDRESS_FILE
        return json.loads(path.read_text("utf-8")) if path.exists() else {}

    def end(self, number: int) -> str:
        """Send it a signal; returns what it printed."""
        assert self.process is not None
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=60)
        self.process = None
        return str(out)

    def workers(self) -> list[int]:
        """Process ids of the workers in the folder."""
        every = subprocess.run([str(PS), "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
        wanted = f"thirdlever.finetune.endpoint.training {self.folder}"
        return [int(line.split()[0]) for line in every.splitlines() if wanted in line]


@pytest.fixture
def servers(tmp_path: Path, model: str) -> Iterator[Servers]:
    if PS is None:
        pytest.skip("needs ps, to find workers")
    servers = Servers(tmp_path, model)
    yield servers
    if servers.process:
        servers.end(signal.SIGKILL)
    for worker in servers.workers():
        os.kill(worker, signal.SIGKILL)


def test_a_killed_servers_worker_continues_and_the_next_server_finds_it(servers: Servers) -> None:
    with servers.client() as client:
        job = train(client, servers.model, hyperparameters=LONG)
        [worker] = servers.workers()
        servers.end(signal.SIGKILL)
    assert servers.workers() == [worker]
    with servers.client() as client:
        assert set(servers.workers()) <= {worker}
        assert ended(client, job).status == "succeeded"
        assert messages(client, job).count("Fine-tuning job started") == 1
        assert steps_of(client, job) == LONG_STEPS
        assert [entry.id for entry in client.fine_tuning.jobs.list()] == [job]
        url, key = str(client.base_url).rstrip("/"), client.api_key
        printed = servers.end(signal.SIGINT)
    assert url in printed
    assert f"$(cat {servers.folder}/key)" in printed
    assert key not in printed
    assert not (servers.folder / ADDRESS_FILE).exists()


def test_training_resumes_from_the_last_checkpoint_after_everything_is_killed(servers: Servers) -> None:
    with servers.client() as client:
        job = train(client, servers.model, hyperparameters=LONG)
        wait_for(lambda: client.fine_tuning.jobs.checkpoints.list(job).data)
        servers.end(signal.SIGKILL)
    for worker in servers.workers():
        os.kill(worker, signal.SIGKILL)
    kept = servers.folder / "jobs" / job / "training" / "checkpoints"
    newest = max(int(path.name.rpartition("-")[2]) for path in kept.iterdir())
    (kept / f"checkpoint-{newest + 10}").mkdir()  # as if the kill came while it was written
    with servers.client() as client:
        assert ended(client, job).status == "succeeded"
        steps = steps_of(client, job)
        assert steps.count(1) == 1
        assert sorted(set(steps)) == LONG_STEPS
        assert messages(client, job).count("Fine-tuning job started") == 2
        numbers = [entry.step_number for entry in client.fine_tuning.jobs.checkpoints.list(job)]
        assert len(set(numbers)) == len(numbers)


def test_a_job_survives_a_killed_harness_and_a_closed_endpoint(servers: Servers) -> None:
    """The harness is re-run at once, while the endpoint of the first is still stopping its worker."""
    model, folder = servers.model, servers.folder
    harness = (
        "from pathlib import Path; from thirdlever.finetune.endpoint.server import endpoint;"
        f"endpoint({model!r}, Path({str(folder)!r})); print('there', flush=True); input()"
    )
    killed = subprocess.Popen(
        [sys.executable, "-P", "-c", harness], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert killed.stdout
    assert killed.stdout.readline() == "there\n"
    with endpoint(model, folder) as found, connected(found.url, found.key) as client:
        job, before = train(client, model, hyperparameters=LONG), found.pid
        killed.kill()
        killed.communicate()
    wait_for(lambda: not (folder / ADDRESS_FILE).exists() or endpoint_is_closed(found.url))
    with endpoint(model, folder) as found, connected(found.url, found.key) as client:
        assert found.pid != before
        done = len(steps_of(client, job))
        wait_for(lambda: len(steps_of(client, job)) > done)
    assert servers.workers() == []  # closing the endpoint stops its worker
    with endpoint(model, folder) as found, connected(found.url, found.key) as client:
        assert ended(client, job).status == "succeeded"
        assert steps_of(client, job) == LONG_STEPS  # none of them twice
        assert [entry.id for entry in client.fine_tuning.jobs.list()] == [job]


def endpoint_is_closed(url: str) -> bool:
    try:
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2].partition("/")[0]))).close()
    except ConnectionRefusedError:
        return True
    return False


# Starting


def test_a_running_endpoint_is_found_and_left_running(tmp_path: Path, model: str) -> None:
    with endpoint(model, tmp_path) as started:
        with endpoint(model, tmp_path) as found:
            assert (found.url, found.key) == (started.url, started.key)
        with connected(found.url, found.key) as client:  # finding it did not stop it
            assert client.models.list().data[0].id == model
        with pytest.raises(ThirdleverError, match=f"serves {model}, not embedded"):
            endpoint("embedded", tmp_path)
        with pytest.raises(ThirdleverError, match="is already being served"):
            serve(model, host="127.0.0.1", port=0, folder=tmp_path, announce=print)
        assert started.key not in (tmp_path / "server.log").read_text("utf-8")
    assert not (tmp_path / ADDRESS_FILE).exists()


def test_an_endpoint_that_cannot_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(ThirdleverError, match=r"did not start: .* has no config\.json"):
        endpoint(f"hf/{tmp_path}", tmp_path)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.org"])  # noqa: S104 - refused
def test_other_machines_need_a_token_that_the_user_chose(
    tmp_path: Path, model: str, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ThirdleverError, match="accepts connections from other machines; set THIRDLEVER_ENDPOINT_KEY"):
        serve(model, host=host, port=0, folder=tmp_path, announce=print)
    monkeypatch.setenv(VARIABLE, "")
    with pytest.raises(ThirdleverError, match="is empty"):
        serve(model, host="127.0.0.1", port=0, folder=tmp_path, announce=print)


def test_a_port_that_is_taken_is_refused(tmp_path: Path, model: str) -> None:
    with serving(tmp_path / "one", model) as url:
        port = int(url.rpartition(":")[2].partition("/")[0])
        with pytest.raises(ThirdleverError, match=f"port {port}: Address already in use; pass another --port"):
            serve(model, host="127.0.0.1", port=port, folder=tmp_path / "two", announce=print)


# The result file


def test_the_result_file_has_training_and_validation_in_one_row() -> None:
    curve = [
        {"step": 1, "epoch": 0.5, "loss": 2.0, "accuracy": 0.25},
        {"step": 2, "epoch": 1.0, "loss": 1.0, "accuracy": 0.5},
        {"step": 2, "epoch": 1.0, "dev_loss": 1.5, "dev_accuracy": 0.75},
    ]
    assert results(curve).splitlines()[1:] == ["1,2.0,0.25,,", "2,1.0,0.5,1.5,0.75"]
