"""A provider that refuses, fails or does not answer: what is sent again, what is waited for, and what ends a run."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from inspect_ai.model import record_response_headers

from thirdlever import testing
from thirdlever.core.errors import BudgetError, ProviderError
from thirdlever.evaluation import passes
from thirdlever.evaluation.passes import Breaker, Failure, failure
from thirdlever.runner.runner import run
from thirdlever.testing import Behaviour, Fault, LoopbackProvider, TokenPrices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever.analysis.run import Run
    from thirdlever.testing.loopback import FaultKind

pytestmark = pytest.mark.usefixtures("project")

ITEMS = 30
KEY = "sk-canary-7d1f"
MODEL = "openai/gpt-4.1-mini"
PRICE = f"""
[[price]]
model = "{MODEL}"
input = 0.4
cached_input = 0.1
output = 1.6
source = "test"
as_of = 2026-01-01
"""
MODELS = {
    name: Behaviour(answer=lambda _: "fuel", latency_s=0.01, prices=TokenPrices(input=0.4, cached=0.1, output=1.6))
    for name in ("gpt-4.1-mini", "claude-sonnet-4-6")
}
MODELS["gpt-4.1-nano"] = Behaviour(answer=lambda _: "fuel", latency_s=0.3)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackProvider]:
    monkeypatch.setattr(passes, "_backoff", lambda _: 0.02)
    with LoopbackProvider(MODELS, key=KEY) as served:
        for name, value in served.env.items():
            monkeypatch.setenv(name, value)
        yield served


@pytest.fixture
def priced(project: Path) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")


def measure(model: str = MODEL, *strategies: str, **options: Any) -> Run:  # noqa: ANN401
    return run(make_suite(ITEMS), strategies or ["plain"], models=[model], **{"out": "out", "probe": 0, **options})


def asked(provider: LoopbackProvider) -> int:
    """Requests without those for the list of models, which cost nothing."""
    return sum(one.path != "/v1/models" for one in provider.requests.last)


ALL: dict[FaultKind, tuple[int, str]] = {
    "unauthorized": (1, r"refuses the API key \(401: Incorrect API key provided\..*\): check its API key"),
    "forbidden": (1, r"denies access \(403: .*\): check what its API key gives access to"),
    "no_model": (1, r"does not have the model \(404: .*\): check the model's name, or whether it is retired"),
    "quota": (1, r"reports no credit or quota left for this account \(429: .*\): add credit"),
    "credit": (1, r"reports no credit or quota left for this account \(400: .*\): add credit"),
    "payment": (1, r"reports no credit or quota left for this account \(402: .*\): add credit"),
    "html": (3, r"sends replies that contain no answer \(.*\): check the address"),
    "truncated": (3, r"sends replies that contain no answer \(not JSON .*\): check the address"),
}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("model", [MODEL, "anthropic/claude-sonnet-4-6"])
def test_a_failure_of_every_request_ends_the_run_within_the_first_requests(
    provider: LoopbackProvider, model: str, kind: FaultKind
) -> None:
    most, sentence = ALL[kind]
    provider.inject(Fault(kind))
    with pytest.raises(ProviderError, match=f"^{model} {sentence}") as told:
        measure(model)
    assert asked(provider) == most
    assert "\n" not in str(told.value)
    assert KEY not in str(told.value)
    assert not Path("out", "run.json").exists()
    provider.inject()
    done = measure(model)
    assert done.records["score"].notna().all()
    assert asked(provider) == most + ITEMS


def test_a_host_that_refuses_connections_ends_the_run(provider: LoopbackProvider) -> None:
    provider.stop()
    with pytest.raises(
        ProviderError, match=r"cannot be reached \(.*\): check the address, and that the server is running"
    ):
        measure()


def test_a_server_that_never_answers_is_announced_and_ends_the_run(
    provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(passes, "SILENCE", 0.5)
    monkeypatch.setattr(passes, "_ANNOUNCE_AFTER", 0.1)
    provider.inject(Fault("silent"))
    with pytest.raises(ProviderError, match=r"does not answer \(.*\): check the server, or allow more than 0.5 s"):
        measure()
    assert f"waiting for {MODEL}: no answer yet\n" in capsys.readouterr().err
    assert provider.requests.at_once == 1


def test_a_server_that_falls_silent_is_announced_and_ends_the_run(
    provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(passes, "SILENCE", 1.5)
    monkeypatch.setattr(passes, "_ANNOUNCE_AFTER", 0.1)
    provider.inject(Fault("silent", requests=range(10, 1000)))
    done = measure()
    with pytest.raises(ProviderError, match=r"does not answer \(no reply in time\)"):
        done.require_complete()
    assert len(done.records) == 10
    assert asked(provider) <= 10 + 20
    assert f"waiting for {MODEL}: no answer for " in capsys.readouterr().err


def test_answers_before_an_empty_account_are_kept_and_shown(provider: LoopbackProvider) -> None:
    provider.inject(Fault("quota", requests=range(10, 1000)))
    done = measure()
    assert done.info["status"] == "failed"
    [unfinished] = done.info["unfinished"]
    assert (unfinished["candidate"], unfinished["answered"], unfinished["requests"]) == ("plain", 10, ITEMS)
    assert len(done.records) == 10
    with pytest.raises(ProviderError, match="answers so far: plain has 10 of 30; repeat the command with --out out"):
        done.require_complete()
    before = asked(provider)
    provider.inject()
    measure().require_complete()
    assert asked(provider) - before == ITEMS - 10


def test_other_models_are_measured_when_a_provider_fails(
    provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOOPBACK_API_KEY", "wrong")
    done = run(make_suite(ITEMS), ["plain"], models=["openai-api/loopback/gpt-4.1-mini", MODEL], out="out", probe=0)
    assert dict(done.records["model"].value_counts()) == {MODEL: ITEMS}
    assert asked(provider) == ITEMS + 1
    assert done.info["status"] == "failed"


@pytest.mark.parametrize("fault", [Fault("server_error", share=0.2), Fault("truncated", share=0.2)])
def test_a_passing_failure_is_sent_again_and_costs_no_answer(provider: LoopbackProvider, fault: Fault) -> None:
    provider.inject(fault)
    done = measure()
    done.require_complete()
    assert done.records["error"].isna().all()
    assert (done.records["completion"] == "fuel").all()
    assert asked(provider) > ITEMS


def test_a_rate_limit_pauses_every_request_as_long_as_it_asks(
    provider: LoopbackProvider, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "_ANNOUNCE_AFTER", 0.3)
    provider.inject(Fault("rate_limit", after_s=0.05, until_s=1.0, retry_after_s=0.5))
    done = measure(epochs=3)
    done.require_complete()
    assert done.records["error"].isna().all()
    assert "waiting for openai/gpt-4.1-mini: it asks to slow down (429: " in capsys.readouterr().err


def test_a_rate_limit_without_end_ends_the_run(provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "PATIENCE_LIMITED", 0.5)
    provider.inject(Fault("rate_limit"))
    with pytest.raises(ProviderError, match=r"asks to slow down \(429: .*\): try again later, or lower --max-conn"):
        measure()


@pytest.mark.usefixtures("priced")
def test_a_rate_limit_costs_a_budget_nothing(provider: LoopbackProvider) -> None:
    provider.inject(Fault("rate_limit", requests=range(5, 10), retry_after_s=0.1))
    done = measure(budget=1.0)
    done.require_complete()
    assert done.info["spent_usd"] == pytest.approx(provider.bill_usd, abs=1e-9)


@pytest.mark.usefixtures("priced")
def test_a_reply_without_usage_neither_ends_a_budget_run_nor_its_resume(provider: LoopbackProvider) -> None:
    provider.inject(Fault("no_usage", requests=range(3, 5)))
    done = measure(budget=1.0)
    done.require_complete()
    assert done.info["usage_unreported"] == 2
    assert done.records["input_tokens"].isna().sum() == 2
    before = asked(provider)
    assert measure(budget=1.0).info["usage_unreported"] == 2
    assert asked(provider) == before


@pytest.mark.usefixtures("priced")
def test_a_spent_budget_says_what_is_missing_and_exits_with_4(provider: LoopbackProvider) -> None:
    measure()
    cost = provider.bill_usd / ITEMS
    done = run(make_suite(ITEMS), ["plain"], models=[MODEL], out="other", probe=0, budget=cost * 5)
    assert done.info["status"] == "budget"
    with pytest.raises(BudgetError, match=r"plain has \d+ of 30; repeat .* larger --budget") as told:
        done.require_complete()
    assert told.value.exit_code == 4
    assert len(done.records) < ITEMS


def test_connections_grow_while_the_provider_does_not_ask_to_slow_down(provider: LoopbackProvider) -> None:
    measure("openai/gpt-4.1-nano", epochs=8)
    assert 20 < provider.requests.at_once <= 100


def test_stated_connections_are_kept(provider: LoopbackProvider) -> None:
    measure(epochs=4, max_connections=3)
    assert provider.requests.at_once <= 3


@pytest.mark.parametrize(("stated", "at_once"), [(2, 2), (None, 3)])  # the first of four goes alone
def test_stated_connections_are_kept_while_preparing(
    provider: LoopbackProvider, stated: int | None, at_once: int
) -> None:
    suite = make_suite(1)
    assert len(suite.dev) == 4
    run(suite, ["few_shot:k=auto"], models=["openai/gpt-4.1-nano"], out="out", probe=0, max_connections=stated)
    assert provider.requests.at_once == at_once


@pytest.mark.parametrize("name", ["x-ratelimit-remaining-requests", "anthropic-ratelimit-requests-remaining"])
def test_no_more_requests_are_sent_at_once_than_the_provider_still_allows(name: str) -> None:
    found = Breaker(MODEL, connections=None, timeout_s=10, secret=None, lose=lambda: None)
    at_once: list[int] = []
    under_way = 0

    async def send() -> str:
        nonlocal under_way
        under_way += 1
        at_once.append(under_way)
        await asyncio.sleep(0.001)
        record_response_headers({name: "4"})
        under_way -= 1
        return "fuel"

    async def all_of_them() -> None:
        await asyncio.gather(*(found.call(send) for _ in range(200)))

    asyncio.run(all_of_them())
    assert max(at_once) == 4


def test_every_request_goes_alone_until_the_first_is_answered(provider: LoopbackProvider) -> None:
    measure(epochs=2)
    assert provider.requests.at_once > 1
    provider.inject(Fault("unauthorized"))
    with pytest.raises(ProviderError):
        measure(out="other")
    assert asked(provider) == 2 * ITEMS + 1


class GatewayError(Exception):
    """As the clients of providers raise it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status_code = status


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (429, "Rate limit reached for gpt-5.1 in organization org-1 on tokens per min", "limited"),
        (429, "Your account has insufficient balance", "quota"),
        (403, "Quota exceeded for quota metric 'requests' and limit 'requests per day'", "quota"),
        (403, "moderation flagged this input", "denied"),
        (503, "overloaded", "server"),
        (529, "Overloaded", "server"),
        (422, "max_tokens must be positive", "request"),
    ],
)
def test_a_failure_is_classified_by_status_and_message(status: int, message: str, kind: str) -> None:
    assert failure(GatewayError(status, message)) == Failure(kind, f"{status}: {message}")


def test_a_key_that_a_gateway_repeats_is_left_out() -> None:
    assert KEY not in failure(GatewayError(401, f"bad key {KEY}"), secret=KEY).detail


def test_a_refused_text_fails_alone_without_the_key_in_its_error(
    provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    denied = (403, f"flagged by moderation; your key is {KEY}", "invalid_request_error", "moderation")
    monkeypatch.setitem(testing.loopback._ERRORS, "forbidden", denied)  # noqa: SLF001
    provider.inject(Fault("forbidden", requests=range(5, 6)))
    records = measure().records
    [failed] = records[records.status == "failed"].itertuples()
    assert "flagged by moderation; your key is [key]" in str(failed.error)
    assert asked(provider) == ITEMS
    assert records.device_s.isna().all()
