"""inspect-ai's traps, each shown or guarded: what its pinned version does, and that a run is not caught by it."""

from __future__ import annotations

import asyncio
import json
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from conftest import make_suite
from inspect_ai import Task, task_with
from inspect_ai.dataset import Sample
from inspect_ai.log import read_eval_log, read_eval_log_sample, read_eval_log_sample_summaries
from inspect_ai.model import ModelAPI, ModelOutput, ModelUsage, modelapi
from inspect_ai.scorer import Target, exact

from thirdlever import BaseModel, Deployment, Label, Text, ask
from thirdlever.evaluation.passes import Pass, evaluate
from thirdlever.models.registry import resolve
from thirdlever.runner.runner import run
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from inspect_ai.log import EvalLog

    from thirdlever import Suite
    from thirdlever.analysis.run import Run
    from thirdlever.evaluation.records import Reply

pytestmark = pytest.mark.usefixtures("project")


def measure(suite: Suite, model: BaseModel, *strategies: str, **options: Any) -> Run:  # noqa: ANN401
    return run(suite, strategies or ["plain"], models=[model], **{"out": "out", "probe": 0, **options})


def logs(done: Run) -> dict[str, EvalLog]:
    """Headers by phase, found as a user would: by what is in them, not by their order."""
    headers = [read_eval_log(str(path), header_only=True) for path in (done.folder / "logs").iterdir()]
    return {(header.eval.metadata or {})["phase"]: header for header in headers}


def accuracy(log: EvalLog) -> float | int:
    assert log.results is not None
    return log.results.scores[0].metrics["accuracy"].value


# Our figures are inspect's


def mostly_right(prompt: str) -> str:
    """Right, wrong, no answer and a failure."""
    last = prompt.rpartition("number ")[2].partition("\n")[0]
    if last == "9":
        raise ValueError(prompt)
    return {"7": "food", "8": "no idea"}.get(last, "food" if int(last) % 3 == 0 else "fuel")


def test_inspects_accuracy_is_ours_to_the_last_digit() -> None:
    done = measure(make_suite(61), FakeModel(answer=mostly_right), probe=3)
    ours = done.records[done.records["phase"] == "accuracy"]["score"].mean()
    assert accuracy(logs(done)["accuracy"]) == ours == 58 / 61
    assert done.summary.loc[0, "accuracy"] == ours


def test_a_resumed_log_holds_every_sample_once_and_the_same_accuracy() -> None:
    suite, model = make_suite(30), FakeModel(answer=mostly_right)
    measure(suite, model, limit=11)
    done = measure(suite, model)
    log = logs(done)["accuracy"]
    assert len(model.prompts) == 30 + 1  # the failure was among the first eleven, and is asked again
    assert log.status == "success"
    assert accuracy(log) == done.records["score"].mean()
    summaries = read_eval_log_sample_summaries(log.location)
    assert sorted(s.id for s in summaries) == sorted(item.id for item in suite.test)
    assert sum(s.metadata.get("resumed", False) for s in summaries) == 30 - 20


def test_logs_carry_what_joins_them_to_the_records(suite: Suite) -> None:
    done = measure(suite, FakeModel(answer=mostly_right), probe=2)
    [candidate] = done.info["candidates"]
    for phase, log in logs(done).items():
        about = log.eval.metadata or {}
        assert (about["name"], about["identity"]) == ("plain", candidate["identity"])
        assert about["suite_hash"] == suite.hash
        records = done.records[done.records["phase"] == phase].set_index("item_id")
        for sample in read_eval_log_sample_summaries(log.location):
            row = records.loc[str(sample.id)]
            assert sample.metadata["item_hash"] == row["item_hash"]
            assert sample.metadata["latency_s"] == pytest.approx(row["latency_s"], rel=0.01)


# Sample summaries are thin, and reading whole samples takes minutes: records are made from neither


def test_a_long_completion_survives_in_the_records_where_summaries_cut_it(suite: Suite) -> None:
    long = "word\n" * 2_000
    done = measure(replace(suite, answer=Text()), FakeModel(answer=lambda _: long), limit=1)
    [summary] = read_eval_log_sample_summaries(logs(done)["accuracy"].location)
    assert summary.scores is not None
    assert len(summary.scores["graded"].answer or "") < len(long) / 5
    assert done.records["completion"].to_list() == [long]
    assert done.records["prediction"].to_list() == [long.strip()]


def test_the_log_shows_what_was_sent(suite: Suite) -> None:
    log = logs(measure(suite, FakeModel(answer=mostly_right)))["accuracy"]
    sample = read_eval_log_sample(log.location, id="test-1")
    assert "Payment: POS test purchase at shop number 1" in sample.messages[-2].text
    assert sample.output.completion == "fuel"
    assert sample.scores is not None
    assert (sample.scores["graded"].answer, sample.scores["graded"].value) == ("fuel", 1.0)


# `task_with` changes the task that it is given


def test_inspect_changes_tasks_in_place_so_ours_are_never_shared() -> None:
    task = Task(dataset=[Sample("x")], name="one")
    assert task_with(task, name="two") is task
    model = FakeModel(answer=mostly_right)
    done = measure(make_suite(6), model, "plain", "plain:k=2", probe=1)
    names = {(h.eval.metadata or {})["name"] for h in map(_header, (done.folder / "logs").iterdir())}
    assert names == {"plain", "plain(k=2)"}


def _header(path: Path) -> EvalLog:
    return read_eval_log(str(path), header_only=True)


# Connections adapt by default, whatever a provider says


def concurrency(seen: list[int]) -> Callable[[str], Awaitable[str]]:
    """Answers after every other request had its chance to come; notes how many were under way."""
    under_way = 0

    async def answer(_: str) -> str:
        nonlocal under_way
        under_way += 1
        seen.append(under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return "fuel"

    return answer


@pytest.mark.parametrize(
    ("local", "wanted", "least", "most"), [(False, None, 20, 20), (False, 7, 7, 7), (True, None, 50, 50)]
)
def test_a_pass_has_as_many_connections_as_it_says(
    local: bool,  # noqa: FBT001 - a parameter
    wanted: int | None,
    least: int,
    most: int,
) -> None:
    seen: list[int] = []
    measure(make_suite(50), FakeModel(answer=concurrency(seen), local=local), max_connections=wanted)
    assert least <= max(seen) <= most


def test_the_probe_is_serial_even_after_a_wide_pass() -> None:
    seen: list[int] = []
    measure(make_suite(30), FakeModel(answer=concurrency(seen), local=True), probe=5)
    assert max(seen[:30]) > 1
    assert seen[30:] == [1] * 6


# The cache's key leaves out model arguments


def test_no_answer_comes_from_inspects_cache(suite: Suite) -> None:
    one, two = FakeModel(answer=lambda _: "food"), FakeModel(answer=lambda _: "fuel", revision="2")
    assert set(measure(suite, one, out="one").records["completion"]) == {"food"}
    assert set(measure(suite, two, out="two").records["completion"]) == {"fuel"}
    assert all(config.cache is None for config in [*one.configs, *two.configs])


# inspect asks a provider that it does not know for its facts, by making a second one


class Counted(ModelAPI):
    made = 0

    def __init__(self, model_name: str, base_url: str | None = None, api_key: str | None = None, **_: Any) -> None:  # noqa: ANN401
        super().__init__(model_name, base_url, api_key)
        type(self).made += 1

    async def generate(self, *_: Any, **__: Any) -> ModelOutput:  # noqa: ANN401 - inspect's signature
        output = ModelOutput.from_content(self.model_name, "fuel")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output


def test_a_local_provider_is_made_once(suite: Suite) -> None:
    modelapi(name="counted")(Counted)
    local = BaseModel("counted/weights", "counted/weights", local=True, context_window=2048)
    measure(suite, local, probe=2)
    assert Counted.made == 1


# A client is kept for the process, its connections belong to a loop, and each pass has a loop of its own


class _Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible server with connections that stay open."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        message = {"role": "assistant", "content": "fuel"}
        usage = {"prompt_tokens": 50, "completion_tokens": 1, "total_tokens": 51}
        usage |= {"prompt_tokens_details": {"cached_tokens": 40}}  # type: ignore[dict-item]
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What `openai-api/loopback/…` was sent."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("LOOPBACK_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    monkeypatch.setenv("LOOPBACK_API_KEY", "secret-of-mine")
    _Endpoint.asked.clear()
    yield _Endpoint.asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_hosted_model_is_asked_in_every_pass(suite: Suite, endpoint: list[dict[str, Any]], project: Path) -> None:
    hosted = resolve("openai-api/loopback/m")
    done = measure(suite, hosted, "plain", "plain:k=2", probe=2, constrain=True)
    assert done.records["error"].isna().all()
    assert len(endpoint) == len(done.records) == 2 * (12 + 3)
    row = done.records.iloc[0]
    assert (row["input_tokens"], row["cached_tokens"], row["output_tokens"]) == (50, 40, 1)
    assert endpoint[0]["temperature"] == 0
    schema = endpoint[0]["response_format"]["json_schema"]["schema"]
    assert schema["properties"] == {"category": {"type": "string", "enum": ["food", "fuel"]}}
    for path in project.glob("out/**/*"):
        if path.is_file():
            assert b"secret-of-mine" not in path.read_bytes()
    for path in project.glob("out/logs/*"):
        with zipfile.ZipFile(path) as log:
            assert not any(b"secret-of-mine" in log.read(name) for name in log.namelist())


# inspect's own scorers


def test_exact_cannot_score_an_article_and_ours_can() -> None:
    async def inspects() -> Any:  # noqa: ANN401 - a Score
        class State:
            output = ModelOutput.from_content("m", "A")

        return await exact()(State(), Target("A"))  # type: ignore[arg-type]

    assert asyncio.run(inspects()).value == "I"
    assert Label(("A", "The")).read("A").value == "A"
    assert Label(("A", "The")).read("The").value == "The"


# Without usage, inspect counts tokens with a tokenizer from the network


def test_the_fake_says_what_it_used_and_needs_no_network(suite: Suite) -> None:
    records = measure(suite, FakeModel(answer=mostly_right, tokens=lambda text: 2 * len(text))).records
    answered = records[records["error"].isna()]
    assert (answered["output_tokens"] == 2 * answered["completion"].str.len()).all()


# What the local engine reports


def test_device_time_first_token_and_cached_tokens_reach_the_records(suite: Suite) -> None:
    class Engine(FakeModel):
        def connect(self) -> Any:  # noqa: ANN401 - an inspect model
            model = super().connect()
            generate = model.api.generate

            async def measured(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - inspect's signature
                output: Any = await generate(*args, **kwargs)
                output.metadata = {"device_s": 0.25, "ttft_s": 0.125}
                output.usage.input_tokens_cache_read = 90
                output.usage.input_tokens_cache_write = 20
                output.usage.input_tokens = 10
                return output

            model.api.generate = measured  # type: ignore[method-assign]
            return model

    [row] = measure(suite, Engine(answer=mostly_right), limit=1).records.to_dict("records")
    assert (row["device_s"], row["ttft_s"]) == (0.25, 0.125)
    assert (row["input_tokens"], row["cached_tokens"], row["cache_write_tokens"]) == (120, 90, 20)


# An eval inside prepare (choosing on dev) uses the same door


def test_a_pass_can_be_run_on_its_own(suite: Suite, tmp_path: Path) -> None:
    model = FakeModel(answer=mostly_right)
    work = Pass(name="dev", phase="accuracy", suite=suite, items=suite.dev, epochs=1, seed=0, constrain=False, about={})
    replies: list[str] = []

    def keep(reply: Reply) -> bool:
        replies.append(reply.completion)
        return True

    log = tmp_path / "dev.eval"
    assert evaluate(work, Deployment(ask(suite), model=model), answered=lambda _: None, keep=keep, log=log)
    assert _header(log).status == "success"
    assert len(replies) == len(suite.dev)
