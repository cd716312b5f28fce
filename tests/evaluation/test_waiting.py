"""A provider that makes a run wait is named while it does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from conftest import make_suite
from helpers.tuning_service import error, serving
from inspect_ai.hooks import ModelRetry

from thirdlever.evaluation import breaker, passes
from thirdlever.runner.runner import run

if TYPE_CHECKING:
    from helpers.tuning_service import Answer

pytestmark = pytest.mark.usefixtures("project")

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "busy",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "fuel"}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6},
}


def test_a_notice_names_the_waiting_provider_and_its_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inspect_eval, "_NOTICE_EVERY", 0.0)
    refusals = [503] * 3  # the client itself tries that often before inspect hears of it

    def answer(_: str, path: str) -> Answer | None:
        if "chat" not in path:
            return None
        return error(refusals.pop(), "overloaded", "overloaded") if refusals else (200, COMPLETION)

    with serving() as service:
        service.answer = answer
        monkeypatch.setenv("CRUSOE_BASE_URL", service.url)
        monkeypatch.setenv("CRUSOE_API_KEY", "sk-test")
        done = run(make_suite(3), ["plain"], models=["openai-api/crusoe/busy"], probe=0, limit=1, out="out")
    assert done.records["error"].isna().all()
    shown = capsys.readouterr()
    [line] = [line for line in shown.err.splitlines() if line.startswith("waiting for")]
    assert line.startswith("waiting for crusoe/busy (InternalServerError, 503): retrying in ")
    assert "sk-test" not in shown.err
    assert not shown.out


def test_a_hundred_waiting_requests_give_one_notice(capsys: pytest.CaptureFixture[str]) -> None:
    hook = inspect_eval.RetryNotices()
    for attempt in range(100):
        asyncio.run(hook.on_model_retry(ModelRetry(model_name="busy", attempt=attempt, wait_time=3.4)))
    assert capsys.readouterr().err == "waiting for busy: retrying in 3 s\n"
