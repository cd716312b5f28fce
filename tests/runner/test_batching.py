"""`--batch` against a loopback server that speaks OpenAI's batch protocol, through inspect's own batcher."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from inspect_ai.model._providers.util import batch as inspects

from thirdlever.models.base import BaseModel
from thirdlever.runner import runner
from thirdlever.runner.budget import batches
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thirdlever import Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project")
MODEL = "openai/gpt-4o-mini"
PRICE = f"""
[[price]]
model = "{MODEL}"
input = 0.15
output = 0.60
batch = 0.5
source = "a contract"
as_of = 2026-11-01
"""


class Provider(BaseHTTPRequestHandler):
    """Answers "fuel"; a batch is done as soon as it is made."""

    files: ClassVar[dict[str, bytes]]
    asked: ClassVar[int]

    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path.endswith("/files"):
            self.files["lines"] = b"\n".join(line for line in body.splitlines() if line.startswith(b"{"))
            self._json(
                {"id": "input", "object": "file", "bytes": 1, "created_at": 1, "filename": "f", "purpose": "batch"}
            )
        elif self.path.endswith("/batches"):
            self.files["output"] = b"\n".join(map(_line, self.files["lines"].splitlines()))
            self._json(_batch("in_progress"))
        else:
            type(self).asked += 1
            self._json(_answer(json.loads(body)))

    def do_GET(self) -> None:
        if self.path.endswith("/content"):
            self._send(self.files["output"], "application/octet-stream")
        else:
            self._json(_batch("completed"))

    def _json(self, value: object) -> None:
        self._send(json.dumps(value).encode(), "application/json")

    def _send(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _batch(status: str) -> dict[str, Any]:
    done = {"output_file_id": "output"} if status == "completed" else {}
    counts = {"total": 12, "completed": 12, "failed": 0}
    about = {"id": "batch", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "input"}
    return about | {"completion_window": "24h", "status": status, "created_at": 1, "request_counts": counts} | done


def _line(line: bytes) -> bytes:
    request = json.loads(line)
    response = {"status_code": 200, "request_id": "r", "body": _answer(request["body"])}
    return json.dumps({"id": "l", "custom_id": request["custom_id"], "response": response, "error": None}).encode()


def _answer(body: dict[str, Any]) -> dict[str, Any]:
    """As whichever of OpenAI's two protocols was spoken has it."""
    usage = {"prompt_tokens": 100, "completion_tokens": 2, "total_tokens": 102}
    if "messages" in body:
        message = {"role": "assistant", "content": "fuel"}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        about = {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"]}
        return about | {"choices": choices, "usage": usage}
    text = {"type": "output_text", "text": "fuel", "annotations": []}
    output = [{"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": [text]}]
    counted: dict[str, Any] = {"input_tokens": 100, "output_tokens": 2, "total_tokens": 102}
    counted |= {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    about = {"id": "r", "object": "response", "created_at": 1, "model": body["model"], "tools": [], "error": None}
    more = {"parallel_tool_calls": True, "tool_choice": "auto", "status": "completed"}
    return about | more | {"output": output, "usage": counted}


@contextmanager
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Provider]]:
    class Own(Provider):
        files: ClassVar[dict[str, bytes]] = {}
        asked: ClassVar[int] = 0

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1")
    for name in ("DEFAULT_BATCH_TICK", "DEFAULT_SEND_DELAY"):  # seconds, 15 each
        monkeypatch.setattr(inspects, name, 0.05)
    try:
        yield Own
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def measured(suite: Suite, out: str, *, batch: bool, budget: float | None = None) -> Run:
    return runner.run(suite, ["plain"], models=[MODEL], probe=2, out=out, batch=batch, budget=budget)


def test_accuracy_goes_through_the_batch_api_and_latency_never_does(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider(monkeypatch) as own:
        run = measured(suite, "batched", batch=True)
        assert len(own.files["lines"].splitlines()) == 12
        assert own.asked == 3
    assert list(run.records["phase"]) == ["accuracy"] * 12 + ["latency"] * 3
    assert run.records["error"].isna().all()
    assert run.info["batch"] is True


def test_a_batch_changes_neither_the_candidate_nor_its_cost_in_production(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    with provider(monkeypatch):
        batched, plain = measured(suite, "batched", batch=True), measured(suite, "plain", batch=False)
    identities = [run.info["candidates"][0]["identity"] for run in (batched, plain)]
    assert identities[0] == identities[1]
    columns = ["accuracy", "input_tokens", "output_tokens", "cost_per_1k_usd"]
    assert batched.summary[columns].equals(plain.summary[columns])


def test_a_budget_counts_requests_at_the_batch_rate(
    project: Path, suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")  # at an address of its own a model's list price does not hold
    with provider(monkeypatch):
        run = measured(suite, "batched", batch=True, budget=1.0)
    full, half = (run.info["prices"][name] for name in (MODEL, f"{MODEL}, batch"))
    assert half["input_per_m"] == full["input_per_m"] / 2
    each = (100 * full["input_per_m"] + 2 * full["output_per_m"]) / 1e6
    assert run.info["spent_usd"] == pytest.approx(12 * each / 2 + 3 * each)


def test_a_model_without_a_batch_api_is_asked_as_usual(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    model = FakeModel(answer=lambda _: "fuel")
    run = runner.run(suite, ["plain"], models=[model], probe=0, out="fake", batch=True)
    assert len(run.records) == len(model.prompts) == 12
    assert {config.batch for config in model.configs} == {None}
    assert "no batch API can be used for fake/model; sending requests as usual" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "there"),
    [
        ("openai/gpt-4o-mini", True),
        ("anthropic/claude-haiku-4-5", True),
        ("together/meta-llama/Llama-3.3-70B-Instruct-Turbo", True),
        ("openai/azure/gpt-4o-mini", False),
        ("google/vertex/gemini-2.5-flash", False),
        ("openai-api/nebius/qwen", False),
        ("vllm/qwen", False),
    ],
)
def test_only_some_providers_have_a_batch_api(name: str, there: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert batches(BaseModel(name, name)) is there
    assert not batches(BaseModel(name, name, local=True))
    assert not batches(None)
