"""Plans agree with the runs that follow them, and making a plan spends and builds nothing."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from helpers.encoders import Hashing
from inspect_ai.model import ModelOutput, ModelUsage

import thirdlever
from thirdlever.core.errors import MissingExtraError, RunError, StrategyError
from thirdlever.models import bundled, recorder
from thirdlever.models.engine import local
from thirdlever.report.tables import render_plan
from thirdlever.retrieval import embedders
from thirdlever.retrieval.stores import SERVER
from thirdlever.runner.plan import RunPlan, plan
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever import Suite

pytestmark = pytest.mark.usefixtures("project")
PRICE = """
[[price]]
model = "fake/model"
input = 1.0
cached_input = 0.1
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
OWN = """
from thirdlever import Deployment, ask, strategy

@strategy
def own():
    def prepare(suite, model, store):
        store.once("graph", of={"suite": suite.seen_hash}, build=lambda folder: 1 / 0)
        return Deployment(ask(suite), model=model)
    return prepare
"""
TWICE = """
from inspect_ai.solver import solver
from thirdlever import Deployment, ask, strategy
from thirdlever import choose as select

@solver
def review(first):
    async def solve(state, generate):
        state = await first(state, generate)
        state.messages.append(state.messages[-2].model_copy(update={"content": "Are you sure?", "id": None}))
        return await generate(state)
    return solve

@strategy
def twice(*, choose: bool = False):
    def prepare(suite, model, store):
        solver = review(ask(suite))
        if choose:
            select(suite, model, store, {"a": solver, "b": solver}, of={})
        return Deployment(solver, model=model)
    return prepare
"""
LACKING = """
from thirdlever import strategy
from thirdlever.core.errors import require

@strategy
def lacking(*, k: int = 0):
    require("absent", extra="local")
"""
BROKEN = """
from inspect_ai.solver import solver
from thirdlever import Deployment, strategy

@solver
def fail():
    async def solve(state, generate):
        1 / 0
    return solve

@strategy
def broken():
    return lambda suite, model, store: Deployment(fail(), model=model)
"""


@pytest.fixture(autouse=True)
def _encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of all-MiniLM-L6-v2."""
    monkeypatch.setattr(embedders, "_model", lambda _: Hashing())


@pytest.fixture
def no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "_model", lambda _: pytest.fail("the embedder was loaded"))


@pytest.fixture
def unasked() -> FakeModel:
    """A hosted model that must not be asked."""
    return FakeModel(answer=lambda _: pytest.fail("the model was asked"))


def planned(suite: Suite, model: str | FakeModel, *strategies: str, **options: Any) -> RunPlan:  # noqa: ANN401
    return plan(suite, strategies, models=[model], **{"probe": 2, **options})


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts)


# The plan agrees with the run


@pytest.mark.parametrize("options", [{}, {"epochs": 2}, {"limit": 5}, {"probe": 0}])
def test_a_plan_counts_the_tokens_that_the_run_sends(suite: Suite, options: dict[str, Any]) -> None:
    specs, model = ["plain:k=3", "few_shot:k=2", "long_context"], FakeModel(answer=lambda _: "fuel")
    before = planned(suite, model, *specs, **options)
    done = thirdlever.run(suite, specs, models=[model], out="out", **{"probe": 2, **options})
    for one in before.candidates:
        own = done.records[done.records["candidate"] == one.candidate]
        assert one.requests == len(own)
        assert one.input_tokens == own["input_tokens"].sum()


def test_a_local_model_s_tokenizer_counts_exactly(suite: Suite, base: str) -> None:
    specs = ["plain:k=3", "zero_shot"]
    before = planned(suite, base, *specs)
    done = thirdlever.run(suite, specs, models=[base], probe=2, out="out")
    for one in before.candidates:
        own = done.records[done.records["candidate"] == one.candidate]
        assert (one.requests, one.input_tokens) == (len(own), own["input_tokens"].sum())
        assert "12 prompts rendered, counted by the model's tokenizer" in one.basis


def test_a_large_run_is_estimated_from_100_prompts() -> None:
    suite, model = make_suite(150), FakeModel(answer=lambda _: "fuel")
    [before] = planned(suite, model, "plain").candidates
    done = thirdlever.run(suite, ["plain"], models=[model], probe=2, out="out")
    assert before.input_tokens == pytest.approx(done.records["input_tokens"].sum(), rel=0.01)
    assert "100 prompts rendered, tokens estimated from their length" in before.basis


def test_an_index_in_the_store_is_used(suite: Suite) -> None:
    model = FakeModel(answer=lambda _: "fuel")
    [before] = planned(suite, model, "rag:k=2").candidates
    done = thirdlever.run(suite, ["rag:k=2"], models=[model], probe=2, out="results/before")
    [after] = planned(suite, model, "rag:k=2").candidates
    assert (before.missing, after.missing) == (["embeddings"], [])
    assert after.input_tokens == done.records["input_tokens"].sum()
    assert before.input_tokens == pytest.approx(after.input_tokens, rel=0.05)
    assert (before.setup_minutes, after.setup_minutes) == (None, 0.0)


def test_an_adapter_is_estimated_until_it_is_trained(project: Path, suite: Suite, base: str) -> None:
    spec = "lora:epochs=2,rank=4"
    [one] = planned(suite, base, spec, device_usd_per_hour=1.0).candidates
    assert not (project / ".thirdlever").exists()
    assert (one.missing, one.setup_minutes, one.usd) == (["adapter"], None, None)
    done = thirdlever.run(suite, [spec], models=[base], probe=2, out="results/before")
    assert one.trained_tokens == pytest.approx(done.info["candidates"][0]["tuning"]["tokens"], rel=0.05)
    assert one.input_tokens == done.records["input_tokens"].sum()
    [again] = planned(suite, base, spec, device_usd_per_hour=1.0).candidates
    assert (again.missing, again.trained_tokens, again.setup_minutes) == ([], 0, 0)
    assert again.usd is not None
    assert again.usd > 0
    [other] = planned(suite, base, "lora:epochs=1,rank=4").candidates
    assert other.setup_minutes is not None
    assert "speed of earlier trainings in .thirdlever/store" in " ".join(other.basis)


def test_a_strategy_on_an_adapter_is_planned_with_both(suite: Suite, base: str) -> None:
    plain, both, lora = planned(suite, base, "plain:k=3", "plain:k=3 on lora:epochs=2", "lora:epochs=2").candidates
    assert both.missing == ["adapter"]
    assert (both.input_tokens, both.trained_tokens) == (plain.input_tokens, lora.trained_tokens)


def test_a_rank_chosen_by_dev_leaves_the_training_unknown(suite: Suite, base: str) -> None:
    [one] = planned(suite, base, "lora:rank=auto").candidates
    assert (one.trained_tokens, one.setup_usd) == (None, None)
    assert "training unknown: rank=auto trains several adapters" in one.basis


# Planning spends and builds nothing


@pytest.mark.usefixtures("no_encoder")
def test_a_plan_asks_no_model_and_builds_nothing(
    suite: Suite, project: Path, unasked: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SERVER, "http://localhost:9")
    specs = ["plain:k=2", "few_shot:k=auto", "long_context", "rag:k=2", "null"]
    there = files(project)
    made = planned(suite, unasked, *specs, epochs=2)
    assert files(project) == there
    assert unasked.prompts == []
    assert [one.requests for one in made.candidates] == [27] * 5
    assert [one.missing for one in made.candidates] == [[], ["choice"], [], ["embeddings"], ["classifier"]]
    plain, few_shot, _, rag, null = made.candidates
    assert few_shot.setup_requests == 4 * 4  # four options, four items of dev
    assert "16 requests while preparing: 4 × 4 dev items" in few_shot.basis
    assert "dev chooses between 4, 8, 16, 32: the longest prompts are assumed" in few_shot.basis
    assert few_shot.input_tokens > plain.input_tokens  # type: ignore[operator]
    assert rag.input_tokens == pytest.approx(plain.input_tokens, rel=0.1)  # two examples each
    assert (null.model, null.input_tokens) == (None, 0)


def test_a_teacher_is_not_asked(suite: Suite, base: str, unasked: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = dataclasses.replace(unasked, name="fake/teacher")
    resolve = thirdlever.resolve
    monkeypatch.setattr(thirdlever, "resolve", lambda name: teacher if name == "fake/teacher" else resolve(name))
    spec = "distilled:teacher=plain,teacher_model=fake/teacher,labelled=4,rows=5,epochs=1"
    [one] = planned(suite, base, spec).candidates
    assert teacher.prompts == []
    assert (one.missing, one.setup_requests, one.usd) == (["lesson"], 5, None)  # the teacher's price is unknown
    assert one.setup_tokens > 0  # type: ignore[operator]
    assert one.trained_tokens > 0  # type: ignore[operator]


def test_what_depends_on_a_teacher_s_index_is_unknown(suite: Suite, unasked: FakeModel) -> None:
    [one] = planned(suite, unasked, "distilled:teacher=rag").candidates
    assert (one.missing, one.input_tokens, one.usd) == (["embeddings"], None, None)
    assert "prompts unknown: they depend on the index" in one.basis


def test_an_artefact_of_one_s_own_is_reported(
    suite: Suite, unasked: FakeModel, add: Callable[[str, str], None]
) -> None:
    add("own", OWN)
    made = planned(suite, unasked, "own", "plain")
    assert (made.candidates[0].missing, made.candidates[0].input_tokens) == (["graph"], None)
    assert "graph not built yet: the prompts that depend on it are unknown" in made.candidates[0].basis
    assert made.candidates[1].input_tokens


def test_a_tuning_job_is_estimated_and_not_ordered(project: Path, suite: Suite, unasked: FakeModel) -> None:
    (project / "tuning.toml").write_text(RATE, "utf-8")
    [one] = planned(suite, dataclasses.replace(unasked, name="nebius/qwen"), "managed:epochs=2").candidates
    assert not (project / ".thirdlever").exists()
    assert (one.model, one.missing) == ("Nebius: ft:qwen:planned", ["job"])
    assert one.setup_usd == pytest.approx(2.0 * one.trained_tokens / 1e6)  # type: ignore[operator]
    assert (one.usd, one.minutes, one.setup_minutes) == (None, None, None)


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("managed:examples=3", "training file would be refused"),
        ("managed:max_usd=0.000001", "more than max_usd=1e-06"),
        ("plain on null:method=majority", "prepares no model; after 'on', name a strategy that does"),
    ],
)
def test_a_plan_refuses_what_the_run_would_refuse(suite: Suite, project: Path, spec: str, error: str) -> None:
    (project / "tuning.toml").write_text(RATE, "utf-8")
    with pytest.raises(StrategyError, match=error):
        planned(suite, FakeModel(name="nebius/qwen"), spec)


def test_a_strategy_s_own_mistake_is_reported(suite: Suite, add: Callable[[str, str], None]) -> None:
    add("bad", "from thirdlever import strategy\n@strategy\ndef bad():\n    return lambda *_: 1 / 0\n")
    with pytest.raises(StrategyError, match="ZeroDivisionError"):
        planned(suite, FakeModel(), "bad")


def test_a_model_is_not_downloaded_for_a_plan(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundled.Package, "folder", lambda *_: pytest.fail("weights were fetched"))
    [one] = planned(suite, "embedded", "zero_shot").candidates
    assert "12 prompts rendered, tokens estimated from their length" in one.basis
    [hub] = planned(suite, "hf/someone/some-model", "zero_shot").candidates
    assert hub.input_tokens == one.input_tokens


def test_a_hosted_model_needs_no_key_for_a_plan() -> None:
    assert recorder.resolve_offline("openai/gpt-4o-mini").context_window == 128_000


# Money and time


def test_tokens_are_priced(project: Path, suite: Suite, unasked: FakeModel) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    [one] = planned(suite, unasked, "plain").candidates
    assert one.usd == pytest.approx((one.input_tokens + 10 * one.output_tokens) / 1e6)  # type: ignore[operator]
    assert (one.cached_tokens, one.minutes) == (0, None)  # the prefix is shorter than what providers cache
    assert "price: a contract, 2026-11-01" in one.basis
    assert "time unknown: no run in results/ has measured it" in one.basis


def test_a_long_prefix_is_priced_as_cached(project: Path, suite: Suite, unasked: FakeModel) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    long = dataclasses.replace(suite, instruction="Sort payments. " * 400)
    [one] = planned(long, unasked, "plain").candidates
    whole = len(f"{long.instruction.strip()}\n{long.answer.describe()}")
    prefix = 4 * (whole // 4 // 128 * 128)  # characters, where 4 make a token, in steps of 128 tokens
    assert one.cached_tokens == pytest.approx(14 * prefix / 3)  # 15 requests, the first of which fills the cache
    tokens = one.input_tokens - 0.9 * one.cached_tokens + 10 * one.output_tokens  # type: ignore[operator]
    assert one.usd == pytest.approx(tokens / 1e6)
    assert "price: a contract, 2026-11-01, 1,752 of 2,039 prompt tokens cached on average" in one.basis


def test_the_speed_and_length_of_an_earlier_run_are_used(suite: Suite) -> None:
    model = FakeModel(answer=lambda _: "fuel, and more words than that")
    done = thirdlever.run(suite, ["plain"], models=[model], probe=2, out="results/before")
    probe = done.records[(done.records["phase"] == "latency") & ~done.records["cold"]]["latency_s"].median()
    same, other = planned(suite, model, "plain", "plain:k=1").candidates
    assert same.minutes == pytest.approx((12 / 20 + 3) * probe / 60)
    assert other.minutes == same.minutes  # the same model
    assert "speed of results/before" in same.basis
    assert same.output_tokens == done.records["output_tokens"].sum()
    assert other.output_tokens == same.output_tokens
    assert "11 output tokens per answer, measured on 15 answers in results/before" in other.basis


def test_a_local_model_s_time_grows_with_the_prompt(suite: Suite, base: str) -> None:
    thirdlever.run(suite, ["plain"], models=[base], probe=2, out="results/before")
    same, longer = planned(suite, base, "plain", "rag:k=8", device_usd_per_hour=3.6).candidates
    assert same.usd == pytest.approx(same.minutes * 60 * 0.001)  # type: ignore[operator]
    assert longer.request_minutes > same.minutes  # type: ignore[operator]


def test_an_unknown_price_stays_unknown(suite: Suite, unasked: FakeModel) -> None:
    made = planned(suite, unasked, "plain", "null")
    assert made.usd is None
    assert "price of fake/model unknown: add it to prices.toml" in made.candidates[0].basis
    assert "Unknown USD: plain, null;" in render_plan(made)
    assert json.loads(render_plan(made, "json"))["usd"] is None


# What one run teaches


def reasoner(prompt: str) -> ModelOutput:
    """40 tokens of reasoning and 2 of the answer; a token is 5 characters of the prompt."""
    output = ModelOutput.from_content("model", "fuel")
    output.usage = ModelUsage(input_tokens=len(prompt) // 5, output_tokens=42, reasoning_tokens=40)
    return output


def test_unknown_reasoning_makes_the_plan_a_lower_bound(project: Path, suite: Suite, unasked: FakeModel) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    made = planned(suite, dataclasses.replace(unasked, reasons=True), "plain", "few_shot:k=auto")
    plain, chosen = made.candidates
    assert (plain.reasoning_tokens, plain.reasoning_usd, plain.usd, made.usd) == (None, None, None, None)
    assert plain.request_usd == pytest.approx((plain.input_tokens + 10 * plain.output_tokens) / 1e6)  # type: ignore[operator]
    assert chosen.setup_usd > 0  # type: ignore[operator]
    assert "reasoning tokens are unknown: run --limit 10 first" in plain.basis
    shown = render_plan(made)
    cells = next(line for line in shown.splitlines() if line.startswith("plain ")).split("  ")
    assert [cell.strip() for cell in cells if "≥" in cell] == ["≥ 660/45", "≥ 0.0011"]
    assert "Lower bounds, because reasoning tokens are unknown: plain, few_shot(k=auto);" in shown
    assert "Unknown USD" not in shown


def test_one_run_of_a_model_states_its_tokens_for_other_strategies(project: Path, suite: Suite) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    model = FakeModel(answer=reasoner, reasons=True)
    thirdlever.run(suite, ["plain"], models=[model], limit=4, probe=2, out="results/before")
    [before] = planned(suite, model, "few_shot:k=2").candidates
    done = thirdlever.run(suite, ["few_shot:k=2"], models=[model], probe=2, out="out")
    assert (before.output_tokens, before.reasoning_tokens) == (15 * 42, 0)
    assert before.input_tokens == pytest.approx(done.records["input_tokens"].sum(), rel=0.02)
    assert before.usd == pytest.approx((before.input_tokens + 10 * 15 * 42) / 1e6)  # type: ignore[operator]
    assert "42 output tokens per answer, 40 of them reasoning, measured on 7 answers in results/before" in before.basis
    assert any("tokens estimated at the measured 5.0" in line for line in before.basis)


def test_reasoning_that_a_strategy_asks_for_is_counted_until_a_run_measured_it(suite: Suite) -> None:
    model = FakeModel(answer=lambda _: "fuel")
    without, wanted = planned(suite, model, "zero_shot", "zero_shot:think=true").candidates
    assert wanted.output_tokens == without.output_tokens + 300 * 15  # type: ignore[operator]
    assert "300 tokens assumed for the reasoning that the prompt asks for" in wanted.basis
    thirdlever.run(suite, ["zero_shot:think=true"], models=[model], probe=2, out="results/before")
    [measured] = planned(suite, model, "zero_shot:think=true").candidates
    assert measured.output_tokens < 300  # type: ignore[operator]
    # another thinking candidate takes its tokens from that run; one that does not think takes none from it
    other, plain = planned(suite, model, "few_shot:think=true", "zero_shot").candidates
    assert other.output_tokens < 300  # type: ignore[operator]
    assert not [line for line in [*other.basis, *plain.basis] if "assumed for the reasoning" in line]
    assert not [line for line in plain.basis if "output tokens per answer" in line]


def test_one_run_states_the_tokens_of_choosing_on_dev(project: Path, suite: Suite) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    model = FakeModel(answer=reasoner, reasons=True)
    thirdlever.run(suite, ["plain"], models=[model], limit=4, probe=2, out="results/before")
    [before] = planned(suite, model, "few_shot:k=auto").candidates
    done = thirdlever.run(suite, ["few_shot:k=auto"], models=[model], probe=2, out="out")
    setup = done.info["candidates"][0]["setup"]
    assert before.setup_tokens == pytest.approx(setup["input_tokens"] + setup["output_tokens"], rel=0.02)
    assert before.setup_usd == pytest.approx((setup["input_tokens"] + 10 * setup["output_tokens"]) / 1e6, rel=0.02)


def test_a_run_of_another_suite_states_no_answer_length(suite: Suite) -> None:
    model = FakeModel(answer=reasoner, reasons=True)
    thirdlever.run(make_suite(20), ["plain"], models=[model], limit=4, probe=2, out="results/before")
    [one] = planned(suite, model, "plain").candidates
    assert (one.output_tokens, one.reasoning_tokens) == (45, None)


def test_a_repeated_prompt_is_cached_whole(project: Path, suite: Suite, unasked: FakeModel) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    long = dataclasses.replace(suite, instruction="Sort payments. " * 400)
    once, twice = (planned(long, unasked, "plain", epochs=n, probe=0).candidates[0] for n in (1, 2))
    again = twice.cached_tokens - once.cached_tokens  # type: ignore[operator]
    assert again == pytest.approx(12 * once.cached_tokens / 11)  # type: ignore[operator]


def test_a_price_without_a_cached_rate_plans_no_cache(project: Path, suite: Suite, unasked: FakeModel) -> None:
    (project / "prices.toml").write_text(PRICE.replace("cached_input = 0.1\n", ""), "utf-8")
    [one] = planned(dataclasses.replace(suite, instruction="Sort payments. " * 400), unasked, "plain").candidates
    assert one.cached_tokens == 0
    assert one.usd == pytest.approx((one.input_tokens + 10 * one.output_tokens) / 1e6)  # type: ignore[operator]


# The detectable effect


def test_without_a_run_the_disagreement_is_assumed(suite: Suite, unasked: FakeModel) -> None:
    effect = planned(suite, unasked, "plain", wanted=0.1).detectable_effect
    assert effect.basis.startswith("assumed: ")
    assert (effect.items, effect.available) == (12, 12)
    assert math.isnan(effect.detectable) or effect.detectable > 0.3
    assert effect.needed > 100


def test_with_a_run_the_disagreement_is_measured() -> None:
    suite = make_suite(60)
    answers = FakeModel(answer=lambda prompt: "fuel" if prompt.rpartition("number ")[2][0] in "1234" else "food")
    thirdlever.run(suite, ["plain", "plain:k=1", "null:method=majority"], models=[answers], out="results/before")
    effect = planned(suite, FakeModel(), "plain", limit=20).detectable_effect
    assert effect.basis.startswith("measured: ")
    assert "on 60 items" in effect.basis


@pytest.mark.parametrize("wanted", [0.0, 1.0, -0.03, math.nan])
def test_a_wanted_difference_outside_0_and_1_is_refused(suite: Suite, wanted: float) -> None:
    with pytest.raises(RunError, match="is not allowed; give a difference in accuracy between 0 and 1"):
        planned(suite, FakeModel(), "plain", wanted=wanted)


# What a reader sees


def test_a_strategy_without_a_model_is_planned_once(suite: Suite) -> None:
    models = [FakeModel(), FakeModel(name="fake/other")]
    made = plan(suite, ["plain", "null"], models=models, probe=0)
    assert [one.candidate for one in made.candidates] == [
        "plain @ fake/model",
        "plain @ fake/other",
        "null",
    ]
    assert made.requests == 3 * 12


def test_the_table_fits_and_ends_with_what_to_do(suite: Suite, unasked: FakeModel, snapshot: object) -> None:
    shown = render_plan(planned(suite, unasked, "plain", "few_shot:k=auto", "rag:k=2", limit=6))
    assert max(map(len, shown.splitlines())) <= 100
    assert shown == snapshot


def test_the_json_holds_every_figure(suite: Suite, unasked: FakeModel) -> None:
    made = planned(suite, unasked, "plain")
    found = json.loads(render_plan(made, "json"))
    assert found["candidates"] == [json.loads(json.dumps(dataclasses.asdict(made.candidates[0])))]
    assert (found["requests"], found["minutes"]) == (made.requests, None)
    assert found["detectable_effect"]["wanted"] == 0.03


# Several model calls per item


def test_every_model_call_of_an_item_is_planned(
    project: Path, suite: Suite, unasked: FakeModel, add: Callable[[str, str], None]
) -> None:
    add("twice", TWICE)
    (project / "prices.toml").write_text(PRICE, "utf-8")
    once, twice = planned(suite, unasked, "plain", "twice").candidates
    done = thirdlever.run(suite, ["twice"], models=[FakeModel(answer=lambda _: "fuel")], probe=2, out="out")
    assert (once.requests, once.calls_per_item) == (15, 1)
    assert (twice.requests, twice.calls_per_item) == (30, 2)
    assert twice.input_tokens == done.records["input_tokens"].sum() > 2 * once.input_tokens  # type: ignore[operator]
    assert twice.output_tokens == pytest.approx(2 * once.output_tokens)  # type: ignore[operator]
    assert twice.usd == pytest.approx((twice.input_tokens + 10 * twice.output_tokens) / 1e6)  # type: ignore[operator]
    assert "24 prompts for 12 items rendered, tokens estimated from their length" in twice.basis


def test_the_prefix_of_a_single_call_decides_whether_it_is_cached(
    project: Path, suite: Suite, unasked: FakeModel, add: Callable[[str, str], None]
) -> None:
    add("twice", TWICE)
    (project / "prices.toml").write_text(PRICE, "utf-8")
    short, long = (dataclasses.replace(suite, instruction="Sort payments. " * n) for n in (150, 400))
    [one] = planned(short, unasked, "twice").candidates
    assert one.cached_tokens == 0  # two prefixes of less than 1,024 tokens
    [one] = planned(long, unasked, "twice").candidates
    prefix = 4 * (len(f"{long.instruction.strip()}\n{long.answer.describe()}") // 4 // 128 * 128)
    assert one.cached_tokens == pytest.approx(29 * prefix / 3)


def test_two_model_calls_take_twice_the_time_of_another_candidate(
    suite: Suite, add: Callable[[str, str], None]
) -> None:
    add("twice", TWICE)
    model = FakeModel(answer=lambda _: "fuel")
    thirdlever.run(suite, ["plain"], models=[model], probe=2, out="results/once")
    once, twice = planned(suite, model, "plain", "twice").candidates
    assert twice.minutes == pytest.approx(2 * once.minutes)  # type: ignore[operator]
    done = thirdlever.run(suite, ["twice"], models=[model], probe=2, out="results/twice")
    probe = done.records[(done.records["phase"] == "latency") & ~done.records["cold"]]["latency_s"].median()
    [twice] = planned(suite, model, "twice").candidates
    assert twice.minutes == pytest.approx((12 / 20 + 3) * probe / 60)  # the measured time has both calls
    assert twice.output_tokens == done.records["output_tokens"].sum()


def test_dev_items_are_counted_with_every_model_call(
    suite: Suite, unasked: FakeModel, add: Callable[[str, str], None]
) -> None:
    add("twice", TWICE)
    [one] = planned(suite, unasked, "twice:choose=true").candidates
    assert one.setup_requests == 2 * 2 * 4  # two options, two calls, four items of dev
    assert "16 requests while preparing: 2 × 4 dev items × 2 model calls" in one.basis


# Candidates that cannot be planned


def test_a_candidate_that_fails_leaves_the_others_planned(
    suite: Suite, unasked: FakeModel, add: Callable[[str, str], None]
) -> None:
    add("lacking", LACKING)
    add("broken", BROKEN)
    made = planned(suite, unasked, "lacking:k=2", "plain", "long_context:tokens=9", "broken")
    lacking, plain, long_context, broken = made.candidates
    assert lacking.candidate == "lacking(k=2)"
    assert lacking.error == "absent is not installed; run: python -m pip install 'thirdlever[local]'"
    assert long_context.error == "long_context: 9 tokens have no room for demonstrations; use zero_shot"
    assert (
        broken.error == f"a prompt cannot be rendered: {Path('strategies/broken.py').resolve()}:8: "
        "ZeroDivisionError: division by zero; the run would fail as well"
    )
    for one in (lacking, long_context, broken):
        assert (one.requests, one.input_tokens, one.usd, one.minutes) == (None, None, None, None)
    assert (plain.requests, plain.error) == (15, None)
    assert (made.requests, made.usd) == (None, None)
    shown = " ".join(render_plan(made).split())
    assert f"lacking(k=2) cannot be planned: {lacking.error}" in shown
    assert "Total with set-up: ≥ 15 requests" in shown


def test_a_model_whose_extra_is_missing_leaves_the_others_planned(
    suite: Suite, unasked: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking() -> None:
        message = "torch is not installed; run: python -m pip install 'thirdlever[local]'"
        raise MissingExtraError(message)

    monkeypatch.setattr(local, "require_extra", lacking)
    embedded, hosted = plan(suite, ["plain"], models=["embedded", unasked], probe=2).candidates
    assert (embedded.candidate, embedded.requests) == ("plain @ embedded", None)
    assert (embedded.error or "").startswith("torch is not installed; run: ")
    assert (hosted.requests, hosted.error) == (15, None)


def test_a_plan_without_any_candidate_is_an_error(
    suite: Suite, unasked: FakeModel, add: Callable[[str, str], None]
) -> None:
    add("lacking", LACKING)
    with pytest.raises(MissingExtraError, match="absent is not installed"):
        planned(suite, unasked, "lacking", "lacking:k=2")
    with pytest.raises(
        RunError, match=r"no candidate can be planned\. lacking: absent .*\. long_context\(tokens=9\): "
    ):
        planned(suite, unasked, "lacking", "long_context:tokens=9")
