"""A plan against the run that it is a plan of; and that making one spends nothing."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from helpers import tiny
from helpers.encoders import Hashing

import thirdlever
from thirdlever.core.errors import RunError, StrategyError
from thirdlever.evaluation.ask import understudy
from thirdlever.models.engine import local
from thirdlever.report.tables import render_plan
from thirdlever.retrieval import embedder
from thirdlever.runner.plan import Plan, plan
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thirdlever import Suite

pytestmark = pytest.mark.usefixtures("project")
PRICE = """
[[price]]
model = "fake/model"
input = 1.0
output = 10.0
source = "a contract"
as_of = 2026-11-01
"""
RATE = """
[[rate]]
provider = "nebius"
model = "qwen"
train = 2.0
source = "a contract"
as_of = 2026-11-01
"""


@pytest.fixture(autouse=True)
def _encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of all-MiniLM-L6-v2."""
    monkeypatch.setattr(embedder, "_model", Hashing)


@pytest.fixture
def base(project: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A tiny local model."""
    for cached in (local.folder, local.revision, local.tokenizer):
        cached.cache_clear()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return f"hf/{tiny.save(project / 'base')}"


def planned(suite: Suite, model: str | FakeModel, *strategies: str, **options: Any) -> Plan:  # noqa: ANN401
    return plan(suite, strategies, models=[model], **{"probe": 2, **options})


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts)


# Against the run


def test_requests_and_tokens_are_those_of_the_run(suite: Suite, base: str) -> None:
    specs = ["plain:k=3", "plain:k=1", "rag:k=2"]
    before = planned(suite, base, *specs)
    done = thirdlever.run(suite, specs, models=[base], probe=2, out="out")
    for one in before.candidates:
        own = done.records[done.records["candidate"] == one.candidate]
        assert one.requests == len(own) == 15
        assert one.input_tokens == pytest.approx(own["input_tokens"].sum(), rel=0.05)
        assert one.minutes is not None
        assert one.minutes > 0


def test_a_tune_is_planned_and_not_made(project: Path, suite: Suite, base: str) -> None:
    before = planned(suite, base, "lora:epochs=2,rank=4", device_usd_per_hour=1.0)
    assert not (project / ".thirdlever").exists()
    [one] = before.candidates
    [made] = thirdlever.run(suite, ["lora:epochs=2,rank=4"], models=[base], probe=2, out="out").info["candidates"]
    assert one.trained_tokens == pytest.approx(made["tuning"]["tokens"], rel=0.05)
    assert one.usd is not None
    assert one.usd > 0
    assert "steps of training tried here" in " ".join(one.basis)
    [again] = planned(suite, base, "lora:epochs=2,rank=4").candidates
    assert (again.trained_tokens, again.setup_minutes) == (0, 0)  # it is in the store now
    [other] = planned(suite, base, "lora:epochs=1,rank=4").candidates
    assert "earlier trainings in .thirdlever/store" in " ".join(other.basis)


# Spending nothing


def test_a_hosted_model_is_never_asked(suite: Suite, project: Path) -> None:
    model = FakeModel(answer=lambda _: pytest.fail("asked"))
    there = files(project)
    made = planned(suite, model, "plain:k=2", "few_shot:k=auto", "long_context", "rag:k=2", "null", epochs=2)
    assert model.prompts == []
    assert files(project) == there
    assert [one.requests for one in made.candidates] == [27] * 5
    plain, few_shot, *_, null = made.candidates
    assert few_shot.setup_requests == 4 * 4  # four ways to ask, four items of dev
    assert "dev is taken to choose 32" in few_shot.basis
    assert few_shot.input_tokens > plain.input_tokens
    assert (null.model, null.input_tokens) == (None, 0)


def test_a_teacher_of_its_own_is_not_asked_either(suite: Suite, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = FakeModel(name="fake/teacher", answer=lambda _: pytest.fail("asked"))
    resolve = thirdlever.resolve
    monkeypatch.setattr(thirdlever, "resolve", lambda name: teacher if name == "fake/teacher" else resolve(name))
    spec = "distilled:teacher=plain,teacher_model=fake/teacher,labelled=4,rows=5,epochs=1"
    [one] = planned(suite, base, spec).candidates
    assert teacher.prompts == []
    assert one.setup_requests == 5
    assert one.setup_tokens > 0
    assert one.usd is None  # nobody states the teacher's price


def test_a_job_is_estimated_and_not_ordered(project: Path, suite: Suite) -> None:
    (project / "tuning.toml").write_text(RATE, "utf-8")
    model = FakeModel(name="nebius/qwen", answer=lambda _: pytest.fail("asked"))
    [one] = planned(suite, model, "managed:epochs=2").candidates
    assert not (project / ".thirdlever").exists()
    assert one.model == "Nebius: ft:qwen:planned"
    assert one.setup_usd == pytest.approx(2.0 * one.trained_tokens / 1e6)
    assert (one.usd, one.minutes, one.setup_minutes) == (None, None, None)


def test_what_a_provider_would_refuse_is_refused_in_the_plan(suite: Suite) -> None:
    with pytest.raises(StrategyError, match="training file would be refused"):
        planned(suite, FakeModel(name="nebius/qwen"), "managed:examples=3")


def test_the_doors_are_open_again(suite: Suite, add: Callable[[str, str], None]) -> None:
    add("bad", "from thirdlever import strategy\n@strategy\ndef bad():\n    return lambda *_: 1 / 0\n")
    with pytest.raises(StrategyError, match="ZeroDivisionError"):
        planned(suite, FakeModel(), "bad")
    assert understudy() is None


# Money and time


def test_tokens_are_priced(project: Path, suite: Suite) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    [one] = planned(suite, FakeModel(), "plain").candidates
    assert one.usd == pytest.approx((one.input_tokens + 10 * one.output_tokens) / 1e6)
    assert "price: a contract, 2026-11-01" in one.basis
    assert "times: 1.5 s a request (assumed), 20 at once" in one.basis


def test_a_model_that_was_measured_is_as_fast_as_it_was(suite: Suite) -> None:
    model = FakeModel(answer=lambda _: "fuel")
    thirdlever.run(suite, ["plain"], models=[model], probe=2, out="results/before")
    [one] = planned(suite, model, "plain").candidates
    assert "measured in results/before" in " ".join(one.basis)
    assert one.minutes is not None
    assert one.minutes < 15 * 1.5 / 60


def test_a_price_that_nobody_states_is_unknown(suite: Suite) -> None:
    made = planned(suite, FakeModel(), "plain", "null")
    assert made.usd is None
    shown = render_plan(made)
    assert "unknown" in shown
    assert "Unknown USD: plain, null." in shown  # fitting takes this machine's time
    assert json.loads(render_plan(made, "json"))["usd"] is None


# What it could show


def test_without_a_run_the_disagreement_is_assumed(suite: Suite) -> None:
    seen = planned(suite, FakeModel(), "plain", wanted=0.1).sight
    assert seen.basis.startswith("assumed: ")
    assert (seen.items, seen.available) == (12, 12)
    assert math.isnan(seen.detectable) or seen.detectable > 0.3
    assert seen.needed > 100


def test_with_a_run_it_is_measured() -> None:
    suite = make_suite(60)
    answers = FakeModel(answer=lambda prompt: "fuel" if prompt.rpartition("number ")[2][0] in "1234" else "food")
    thirdlever.run(suite, ["plain", "plain:k=1", "null:method=majority"], models=[answers], out="results/before")
    seen = planned(suite, FakeModel(), "plain", limit=20).sight
    assert seen.basis.startswith("measured: ")
    assert "on 60 items" in seen.basis


@pytest.mark.parametrize("wanted", [0.0, 1.0, -0.03, math.nan])
def test_a_wanted_difference_that_is_none(suite: Suite, wanted: float) -> None:
    with pytest.raises(RunError, match="is not allowed; give a difference in accuracy between 0 and 1"):
        planned(suite, FakeModel(), "plain", wanted=wanted)


def test_a_reader_is_told_what_to_do(suite: Suite) -> None:
    shown = render_plan(planned(suite, FakeModel(), "plain", limit=6))
    assert shown.startswith("Plan for payments: 6 of 12 test items, once each.\n")
    assert "In all: 9 requests" in shown
    assert max(map(len, shown.splitlines())) <= 100
    plain = " ".join(shown.split())
    assert "and the suite has 12: label more, or accept a coarser answer." in plain
    assert "- plain: tokens: 6 prompts built, counted by length" in plain
