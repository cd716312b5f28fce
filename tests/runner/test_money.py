"""What a run says it spent is what the provider bills: while preparing too, with a cache, and after a resume."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite

import thirdlever
from thirdlever import Item, Split, Suite
from thirdlever.analysis.usage import price_in, request_usd
from thirdlever.cli import main
from thirdlever.evaluation import passes
from thirdlever.report.tables import render_summary
from thirdlever.runner import runner
from thirdlever.runner.runner import run
from thirdlever.testing import Behaviour, Fault, LoopbackProvider, TokenPrices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project", "fast_runs")

CENT = 0.01
MODEL = "openai/gpt-4.1-mini"
MODELS = ("openai/gpt-4.1-mini", "openai/gpt-5.1", "anthropic/claude-sonnet-4-6", "openai-api/loopback/small")
# High enough for every token to be worth more than a cent.
PRICES = TokenPrices(input=100_000, cached=20_000, cache_write=150_000, output=400_000)
PRICE = """
[[price]]
model = "{model}"
input = 100000
cached_input = 20000
cache_write = 150000
output = 400000
source = "test"
as_of = 2026-01-01
"""
AUTO = 4 * 4  # requests of few_shot:k=auto: four options on four dev items


def behaviour(name: str) -> Behaviour:
    return Behaviour(answer=lambda _: "fuel", reasoning_tokens=40 if name == "gpt-5.1" else 0, prices=PRICES)


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackProvider]:
    monkeypatch.setattr(passes, "_backoff", lambda _: 0.02)
    Path("prices.toml").write_text("".join(PRICE.format(model=model) for model in MODELS), "utf-8")
    names = [model.rpartition("/")[2] for model in MODELS]
    with LoopbackProvider({name: behaviour(name) for name in names}) as served:
        for name, value in served.env.items():
            monkeypatch.setenv(name, value)
        yield served


def asked(provider: LoopbackProvider) -> int:
    return sum(one.path != "/v1/models" for one in provider.requests.last)


def long_suite() -> Suite:
    """A suite whose prompts share a beginning that providers cache, and enough train items for 32 demonstrations."""
    suite = make_suite(10)
    return replace(suite, instruction="Sort payments. " * 400, train=train())


def train() -> Split:
    items = (Item(f"train-{i}", f"POS bill number {i}", "fuel" if i % 2 else "food") for i in range(40))
    return Split("train", tuple(items))


def measure(*strategies: str, model: str = MODEL, **options: Any) -> Run:  # noqa: ANN401 - run's
    return run(long_suite(), strategies, models=[model], **{"out": "out", "probe": 0, "budget": 1e9, **options})


def recorded_usd(done: Run) -> float:
    """What the records add up to, at the price that the run used."""
    [model] = done.records["model"].unique()
    price = price_in(done.info, model)
    assert price is not None
    return float(request_usd(done.records, price).sum())


@pytest.mark.parametrize("model", MODELS)
def test_a_run_with_a_probe_spends_what_the_provider_bills(provider: LoopbackProvider, model: str) -> None:
    done = measure("plain:k=4", model=model, probe=5)
    done.require_complete()
    assert len(done.records) == 16
    assert done.records["cached_tokens"].sum() > 0
    assert done.info["spent_usd"] == pytest.approx(provider.bill_usd, abs=CENT)
    assert recorded_usd(done) == pytest.approx(provider.bill_usd, abs=CENT)
    used = provider.usage
    assert (used.cache_write > 0) == model.startswith("anthropic/")
    assert (used.reasoning > 0) == (model == "openai/gpt-5.1")
    assert done.records["reasoning_tokens"].sum() == used.reasoning


@pytest.mark.parametrize("model", MODELS)
def test_preparing_costs_what_the_provider_bills_for_it(provider: LoopbackProvider, model: str) -> None:
    done = measure("few_shot:k=auto", model=model)
    done.require_complete()
    assert asked(provider) == AUTO + 10
    assert done.info["spent_usd"] == pytest.approx(provider.bill_usd, abs=CENT)
    [row] = done.summary.to_dict("records")
    assert row["setup_usd"] + recorded_usd(done) == pytest.approx(provider.bill_usd, abs=CENT)
    assert measure("few_shot:k=auto", model=model).info["spent_usd"] == pytest.approx(provider.bill_usd, abs=CENT)


def call(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["thirdlever", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    return int(ended.value.code or 0)


def test_choosing_on_dev_stops_at_the_budget_and_resumes(
    provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "find_suite", lambda *_: long_suite())
    command = ("run", "long", "--strategy", "few_shot:k=auto", "--model", MODEL, "--probe", "0", "--out", "out")
    assert call(monkeypatch, *command, "--budget", "400") == 4
    assert "the budget is spent" in capsys.readouterr().err
    first, bill = asked(provider), provider.bill_usd
    assert 0 < first < AUTO
    info = json.loads(Path("out", "run.json").read_text("utf-8"))
    assert info["status"] == "budget"
    assert info["spent_usd"] == pytest.approx(bill, abs=CENT)

    assert call(monkeypatch, *command, "--budget", "400") == 4  # nothing is left to send for that money
    assert asked(provider) == first
    assert json.loads(Path("out", "run.json").read_text("utf-8"))["spent_usd"] == pytest.approx(bill, abs=CENT)

    assert call(monkeypatch, *command, "--budget", "1e9") == 0
    assert asked(provider) == AUTO + 10
    info = json.loads(Path("out", "run.json").read_text("utf-8"))
    assert info["status"] == "complete"
    assert info["spent_usd"] == pytest.approx(provider.bill_usd, abs=CENT)


def test_a_teacher_stops_at_the_budget_and_resumes(
    provider: LoopbackProvider, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "find_suite", lambda *_: replace(make_suite(4), train=train()))
    spec = f"distilled:teacher=zero_shot,teacher_model={MODEL},labelled=4,rows=36,epochs=1"
    command = ("run", "payments", "--strategy", spec, "--model", base, "--probe", "0", "--out", "out")
    free = ("--device-usd-per-hour", "0")
    assert call(monkeypatch, *command, *free, "--budget", "12") == 4
    first, bill = asked(provider), provider.bill_usd
    assert 0 < first < 36
    info = json.loads(Path("out", "run.json").read_text("utf-8"))
    assert (info["status"], info["spent_usd"]) == ("budget", pytest.approx(bill, abs=CENT))

    assert call(monkeypatch, *command, *free, "--budget", "1e9", "--max-unparsed", "1") == 0
    assert asked(provider) == 36
    info = json.loads(Path("out", "run.json").read_text("utf-8"))
    assert info["spent_usd"] == pytest.approx(provider.bill_usd, abs=CENT)
    assert info["candidates"][0]["setup"]["usd"] == pytest.approx(provider.bill_usd, abs=CENT)


# Requests that appear in no figure


def test_lost_attempts_are_counted_and_said_once(
    provider: LoopbackProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.inject(Fault("truncated", requests=range(3, 6)))
    done = measure("plain")
    [candidate] = done.info["candidates"]
    assert candidate["lost_attempts"] == asked(provider) - len(done.records) == 3
    sentence = "3 attempts got an unreadable reply or none; the provider may have billed them"
    assert capsys.readouterr().err.count(sentence) == 1
    assert f"plain: {sentence}." in " ".join(render_summary(done.summary).split())
    again = measure("plain")
    assert again.info["candidates"][0]["lost_attempts"] == 3  # kept, and not said again
    assert "attempts" not in capsys.readouterr().err


def test_nothing_is_said_without_a_lost_attempt(provider: LoopbackProvider, capsys: pytest.CaptureFixture[str]) -> None:
    provider.inject(Fault("server_error", requests=range(3, 6)))
    done = measure("plain")
    assert done.info["candidates"][0]["lost_attempts"] == 0
    assert "billed" not in capsys.readouterr().err + render_summary(done.summary)


# Unknown set-up


def test_unreported_tokens_make_the_setup_unknown(provider: LoopbackProvider) -> None:
    provider.inject(Fault("no_usage", requests=range(10, 12)))
    done = measure("few_shot:k=auto")
    setup = done.info["candidates"][0]["setup"]
    assert [setup[name] for name in ("input_tokens", "cached_tokens", "output_tokens")] == [None, None, None]
    assert done.summary["setup_usd"].isna().all()
    assert done.info["usage_unreported"] == 2
    assert done.info["spent_usd"] == pytest.approx(provider.bill_usd, rel=0.15)  # at the average of the others


def test_a_setup_of_an_earlier_release_has_its_cost(provider: LoopbackProvider) -> None:
    done = measure("few_shot:k=auto")
    path = done.folder / "run.json"
    info = json.loads(path.read_text("utf-8"))
    setup = info["candidates"][0]["setup"]
    del setup["cached_tokens"], setup["cache_write_tokens"], info["candidates"][0]["lost_attempts"]
    path.write_text(json.dumps(info), "utf-8")
    [row] = thirdlever.load(done.folder).summary.to_dict("records")
    uncached = (setup["input_tokens"] * PRICES.input + setup["output_tokens"] * PRICES.output) / 1e6
    assert row["setup_usd"] == pytest.approx(uncached, abs=CENT)
    assert row["lost_attempts"] == 0
    assert asked(provider) == AUTO + 10


# The first answers


def test_reasoning_that_takes_all_room_is_said_after_five_answers(
    provider: LoopbackProvider, capsys: pytest.CaptureFixture[str]
) -> None:
    measure("plain", model="openai/gpt-5.1:max_tokens=20")
    sentence = (
        "plain: 5 of 5 answers were cut off: reasoning used most of the tokens; "
        "stop (Ctrl-C) and raise max_tokens in --model"
    )
    assert capsys.readouterr().err.count(sentence) == 1
    measure("plain", out="enough")
    assert "Ctrl-C" not in capsys.readouterr().err
    assert asked(provider) == 20
