"""`lora`, `distilled` and strategies combined with them, in runs with a tiny random model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

import thirdlever
from thirdlever.cli import main
from thirdlever.core.errors import ModelError, StrategyError
from thirdlever.finetune import trainer, tune
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thirdlever.analysis.run import Run
    from thirdlever.suites.suite import Suite

ORACLE = '''
from thirdlever import Deployment, Prepare, reply, strategy

@strategy
def oracle(*, mumbles: int = 0) -> Prepare:
    """Knows the answers, and mumbles one in so many."""

    def answer(text):
        number = int(text.rpartition(" ")[2])
        return "er" if mumbles and number % mumbles == 0 else "fuel" if number % 3 else "food"

    def prepare(suite, model, store):
        return Deployment(reply(answer), model=None, given=tuple(suite.train))

    return prepare
'''


def run(suite: Suite, base: str, *strategies: str, **options: Any) -> Run:  # noqa: ANN401
    return thirdlever.run(suite, strategies, models=[base], **{"out": "out", "probe": 1, **options})


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr(trainer, "train", lambda *_, **__: pytest.fail("trained again"))


def test_a_tuned_row_reports_its_cost(suite: Suite, base: str) -> None:
    done = run(suite, base, "zero_shot", "lora:epochs=2,rank=4")
    zero, lora = done.info["candidates"]
    assert zero["tuning"] is None
    assert lora["tuning"] | {"tokens": 0, "bytes": 0} == {
        "method": "lora",
        "where": "local",
        "examples": 12,
        "epochs": 2.0,
        "tokens": 0,
        "bytes": 0,
        "hosting_usd_per_hour": 0.0,
        "survived": None,
    }
    assert lora["tuning"]["tokens"] > 0 < lora["tuning"]["bytes"]
    assert lora["setup"]["labels"] == 16
    assert lora["setup"]["device_seconds"] > 0
    assert lora["model"].startswith(f"{base}+")
    tokens = done.summary.set_index("strategy")["input_tokens"]
    assert tokens["lora"] < tokens["zero_shot"]  # no list of answers


@pytest.mark.usefixtures("suite")
def test_an_equal_run_trains_nothing(suite: Suite, base: str, no_training: Callable[[], None]) -> None:
    first = run(suite, base, "lora:epochs=1")
    no_training()
    again = run(suite, base, "lora:epochs=1", out="again")
    assert again.summary["accuracy"].equals(first.summary["accuracy"])


def test_another_argument_trains_another_adapter(suite: Suite, base: str) -> None:
    done = run(suite, base, "lora:epochs=1", "lora:epochs=1,seed=1", "lora:epochs=1,examples=6")
    assert done.summary["model"].nunique() == 3
    assert [candidate["tuning"]["examples"] for candidate in done.info["candidates"]] == [12, 12, 6]


def test_auto_rank_is_chosen_on_dev_and_all_attempts_are_charged(suite: Suite, base: str) -> None:
    [tuned] = run(suite, base, "lora:epochs=4,rank=auto").info["candidates"]
    cards = tune.adapters()
    assert sorted(card.rank or 0 for card in cards) == [8, 16, 32]
    [chosen] = [card for card in cards if tuned["model"].endswith(card.key[:8])]
    assert chosen.dev_loss == min(card.dev_loss or 0.0 for card in cards)
    spent = sum(card.facts["device_seconds"] for card in cards)
    assert tuned["setup"]["device_seconds"] == pytest.approx(spent)


def test_a_hosted_model_cannot_be_trained_here(suite: Suite, base: str) -> None:  # noqa: ARG001 - the current folder
    with pytest.raises(StrategyError, match="cannot be trained here; use the strategy managed"):
        thirdlever.run(suite, ["lora"], models=[FakeModel()], out="out")


# Distillation


def test_a_student_learns_the_teachers_answers(suite: Suite, base: str, add: Callable[[str, str], None]) -> None:
    add("oracle", ORACLE)
    [tuned] = run(suite, base, "distilled:teacher=oracle,labelled=4,rows=8,epochs=1").info["candidates"]
    assert tuned["tuning"]["survived"] == 1.0
    assert tuned["tuning"]["examples"] == 8
    assert tuned["setup"]["labels"] == 4  # the teacher's; one epoch has nothing to choose on dev
    [card] = tune.adapters()
    assert card.facts["of"]["examples"] == 8


def test_unparsed_answers_are_dropped_and_counted(
    suite: Suite, base: str, add: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    add("oracle", ORACLE)
    [tuned] = run(suite, base, "distilled:teacher=oracle:mumbles=2,labelled=4,rows=8,epochs=1").info["candidates"]
    kept = tuned["tuning"]["examples"]
    assert 0 < kept < 8
    assert tuned["tuning"]["survived"] == kept / 8
    assert f"{kept} of 8 rows survived (0 duplicates, {8 - kept} unparseable, 0 disagreed)" in capsys.readouterr().err


def test_a_teacher_without_readable_answers_is_refused(
    suite: Suite, base: str, add: Callable[[str, str], None]
) -> None:
    add("oracle", ORACLE)
    with pytest.raises(StrategyError, match="none of 8 rows labelled by the teacher survived"):
        run(suite, base, "distilled:teacher=oracle:mumbles=1,labelled=4,rows=8")


def test_a_teacher_that_disagrees_with_itself_loses_rows(
    suite: Suite, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = iter(["food", "fuel", "food"] * 8)
    teacher = FakeModel(answer=lambda _: next(said))
    spec = "distilled:teacher=zero_shot,teacher_model=fake/model,labelled=4,rows=8,epochs=1,samples=3"
    monkeypatch.setattr(thirdlever, "resolve", lambda _: teacher)
    [tuned] = run(suite, base, f"{spec},agreement=0.6").info["candidates"]
    assert tuned["tuning"]["survived"] == 1.0
    assert len(teacher.prompts) == 24
    assert {config.temperature for config in teacher.configs} == {0.7}
    assert {config.seed for config in teacher.configs} == {None}
    assert tuned["setup"]["usd"] is None  # nobody knows what the teacher charges
    assert tuned["setup"]["input_tokens"] == 0  # nor are its tokens priced as the student's
    said = iter(["food", "fuel", "food"] * 8)
    with pytest.raises(StrategyError, match="8 disagreed"):
        run(suite, base, f"{spec},agreement=0.9", out="strict")


def test_the_teachers_model_can_write_inputs(suite: Suite, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(prompt: str) -> str:
        if "more of the same kind" in prompt:
            return "- POS new shop 1\n2. POS new shop 2\n\n* pos NEW shop 2!\n- " + suite.train.items[0].input
        return "fuel"

    teacher = FakeModel(answer=answer)
    monkeypatch.setattr(thirdlever, "resolve", lambda _: teacher)
    spec = "distilled:teacher=zero_shot,teacher_model=fake/model,inputs=generated,rows=10,epochs=1"
    [tuned] = run(suite, base, spec).info["candidates"]
    assert tuned["tuning"]["examples"] == 2  # without repetitions, and without what train has


# One on another


def test_a_strategy_combines_with_a_tuned_model(suite: Suite, base: str) -> None:
    done = run(suite, base, "plain:k=1 on lora:epochs=1", "lora:epochs=1")
    over, under = done.info["candidates"]
    assert (over["name"], under["name"]) == ("plain(k=1) on lora(epochs=1)", "lora(epochs=1)")
    assert over["model"] == under["model"]
    assert over["tuning"] == under["tuning"]
    assert over["setup"]["device_seconds"] == under["setup"]["device_seconds"]


def test_a_strategy_needs_one_that_prepares_a_model_below_it(
    suite: Suite, base: str, add: Callable[[str, str], None]
) -> None:
    add("oracle", ORACLE)
    with pytest.raises(StrategyError, match="oracle prepares no model"):
        run(suite, base, "plain on oracle")


# thirdlever adapters


def invoke(*arguments: str) -> str:
    done = CliRunner().invoke(main.app, ["adapters", *arguments], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_adapters_are_listed_shown_exported_merged_and_removed(suite: Suite, base: str, project: Path) -> None:
    assert "no tuned models yet" in invoke()
    done = run(suite, base, "lora:epochs=1,rank=4")
    [card] = tune.adapters()
    listed = invoke()
    assert card.key[:8] in listed
    assert "lora r=4" in listed
    shown = json.loads(invoke("show", card.key[:6]))
    assert shown["of"]["settings"]["rank"] == 4
    assert shown["curve"]
    invoke("export", card.key[:6], "exported")
    described = json.loads((project / "exported" / "adapter_config.json").read_text("utf-8"))
    assert described["base_model_name_or_path"] == base.removeprefix("hf/")
    assert invoke("merge", card.key[:6], "merged") == "merged into merged; run it with --model hf/merged\n"
    merged = run(suite, "hf/merged", "zero_shot", out="merged-run")
    assert len(merged.records) == len(done.records)
    with pytest.raises(ModelError, match="already exists"):
        invoke("merge", card.key[:6], "merged")
    invoke("remove", card.key[:6])
    assert tune.adapters() == []


def test_a_missing_key_is_not_found(project: Path) -> None:  # noqa: ARG001 - the current folder
    with pytest.raises(ModelError, match="adapter 'abc' not found"):
        invoke("show", "abc")
