"""Requests to a tuned model, and what is recorded of its answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from helpers.job import job
from helpers.tuning_killed import BASE, KEY
from helpers.tuning_service import serving

from thirdlever import Deployment, ask
from thirdlever.evaluation.passes import Pass, evaluate
from thirdlever.finetune import managed
from thirdlever.finetune.endpoint.server import Endpoint
from thirdlever.finetune.jobs import Ledger
from thirdlever.finetune.providers import openai

if TYPE_CHECKING:
    from collections.abc import Iterator

    from helpers.tuning_service import Service

    from thirdlever.evaluation.records import Reply

COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "ft",
    "choices": [
        {"index": 0, "finish_reason": "stop", "logprobs": None, "message": {"role": "assistant", "content": "fuel"}}
    ],
    "usage": {"prompt_tokens": 7, "completion_tokens": 1, "total_tokens": 8},
}


@pytest.fixture
def service(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:  # noqa: ARG001 - an empty folder
    with serving() as running:
        monkeypatch.setattr(openai, "_endpoint", lambda *_: Endpoint(running.url, KEY, 0))
        for name, value in (("BASE_URL", running.url), ("API_KEY", KEY)):
            monkeypatch.setenv(f"CRUSOE_{name}", value)
        yield running


def answers(provider: str) -> list[Reply]:
    made = Ledger().add(job(provider=provider, stage="succeeded", tuned="ft:m", served="ft:m", id="j"), "", "")
    suite = make_suite(test=2)
    replies: list[Reply] = []
    work = Pass(
        name="managed", phase="accuracy", suite=suite, items=suite.test, epochs=1, seed=0, constrain=False, about={}
    )
    deployment = Deployment(ask(suite, brief=True), model=managed.tuned_model(made, BASE))

    def keep(reply: Reply) -> bool:
        replies.append(reply)
        return True

    evaluate(work, deployment, answered=lambda _: None, keep=keep)
    return replies


@pytest.mark.parametrize(("provider", "device_s"), [("local", 0.25), ("crusoe", None)])
def test_the_local_endpoints_device_time_is_kept(service: Service, provider: str, device_s: float | None) -> None:
    told = COMPLETION | {"timings": {"device_s": 0.25, "ttft_s": 0.125}}
    service.answer = lambda _, path: (200, told) if path == "/chat/completions" else None
    replies = answers(provider)
    assert [(reply.completion, reply.input_tokens, reply.output_tokens) for reply in replies] == [("fuel", 7, 1)] * 2
    assert {reply.device_s for reply in replies} == {device_s}
    assert service.authorisations == {f"Bearer {KEY}"}
    assert not any(KEY.encode() in path.read_bytes() for path in Path().rglob("*") if path.is_file())


def test_device_time_that_an_endpoint_does_not_report_is_unknown(service: Service) -> None:
    service.answer = lambda _, path: (200, COMPLETION) if path == "/chat/completions" else None
    assert {reply.device_s for reply in answers("local")} == {None}
