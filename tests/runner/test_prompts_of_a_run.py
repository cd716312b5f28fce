"""Strategies in several prompts: which candidates there are, what each is asked, and what a changed file asks again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite

from thirdlever.core.errors import PromptError, RunError
from thirdlever.lifecycle import baseline
from thirdlever.runner.plan import plan
from thirdlever.runner.runner import run
from thirdlever.strategies.specs import in_prompts, parse, spec
from thirdlever.suites.prompts import find_prompt
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from thirdlever import Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project", "fast_runs")

STEP = """
from thirdlever import Deployment, Tuning, ask, strategy

@strategy
def tuned(*, n: int = 1):
    def prepare(suite, model, store):
        tuning = Tuning(method="fake", where=suite.prompt.name if suite.prompt else "default", examples=n, epochs=1,
                        tokens=1)
        return Deployment(ask(suite, brief=True), model=model, tuning=tuning)
    return prepare
"""
NULL = """
from thirdlever import Deployment, reply, strategy

@strategy
def null():
    return lambda suite, model, store: Deployment(reply(lambda text: "fuel"), model=None)
"""


@pytest.fixture
def suite() -> Suite:
    made = make_suite()
    prompts = Path("prompts")
    prompts.mkdir()
    Path("strategies/tuned.py").write_text(STEP, "utf-8")
    Path("strategies/null.py").write_text(NULL, "utf-8")
    (prompts / "v6.txt").write_text("Sort: fuel, groceries.", "utf-8")
    (prompts / "v7.jinja").write_text("system:\nSort. {{ answer_format }}\nuser:\n{{ input }}\n", "utf-8")
    return made


def measure(suite: Suite, *strategies: str, model: FakeModel | None = None, **options: Any) -> Run:  # noqa: ANN401
    options = {"probe": 0, "out": "out", "limit": 3, **options}
    return run(suite, strategies, models=[model or FakeModel(answer=lambda _: "fuel")], **options)


def names(found: Run) -> list[str]:
    return [one["name"] for one in found.info["candidates"]]


def test_every_strategy_runs_in_every_prompt_and_one_without_a_model_once(suite: Suite) -> None:
    model = FakeModel(answer=lambda _: "fuel")
    found = measure(suite, "plain:k=1", "null", "tuned", model=model, prompts=["default", "v6", "v7"])
    assert names(found) == [
        "plain(k=1)", "plain(k=1) in v6", "plain(k=1) in v7", "null", "tuned", "tuned in v6", "tuned in v7",
    ]  # fmt: skip
    assert [one["prompt"] for one in found.info["candidates"]] == [None, "v6", "v7", None, None, "v6", "v7"]
    assert [one["tuning"]["where"] for one in found.info["candidates"][4:]] == ["default", "v6", "v7"]
    assert found.info["prompts"]["v6"]["source"] == "Sort: fuel, groceries."
    assert len(model.prompts) == 6 * 3
    assert model.prompts[3].startswith("Sort: fuel, groceries.\n\n")


def test_a_suites_own_prompt_is_used_unless_another_is_named(suite: Suite) -> None:
    own = replace(suite, prompt=find_prompt("v7"))
    assert names(measure(own, "plain")) == ["plain in v7"]
    assert names(measure(own, "plain", prompts=["default"], out="b")) == ["plain"]
    assert own.hash == suite.hash
    assert own.seen_hash != suite.seen_hash


def test_a_strategy_may_name_its_prompt(suite: Suite) -> None:
    found = measure(suite, "tuned", "tuned:prompt=short", "plain:prompt=v6 on tuned", prompts=["v7"])
    assert names(found) == ["tuned in v7", "tuned in short", "plain on tuned in v6"]
    assert [spec(one["strategy"], one["args"]) for one in found.info["candidates"]] == [
        "tuned:prompt=v7", "tuned:prompt=short", "plain:prompt=v6 on tuned:prompt=v6",
    ]  # fmt: skip


def test_the_tuned_model_may_have_another_prompt_than_the_one_it_is_asked_in(suite: Suite) -> None:
    ((found,),) = in_prompts([parse("plain on tuned:prompt=short")], suite, ["v7"])
    assert str(found) == "plain in v7 on tuned in short"
    assert [step.prompt and step.prompt.name for step in found.steps] == ["short", "v7"]


def test_a_changed_prompt_is_asked_again_and_only_it(suite: Suite) -> None:
    measure(suite, "plain", prompts=["v6", "v7"])
    model = FakeModel(answer=lambda _: "fuel")
    measure(suite, "plain", model=model, prompts=["v6", "v7"])
    assert model.prompts == []
    Path("prompts/v7.jinja").write_text("system:\nSort well. {{ answer_format }}\nuser:\n{{ input }}\n", "utf-8")
    measure(suite, "plain", model=model, prompts=["v6", "v7"])
    assert len(model.prompts) == 3
    assert all(prompt.startswith("Sort well.") for prompt in model.prompts)


def test_a_run_that_is_resumed_without_one_of_its_prompts_is_refused(suite: Suite) -> None:
    measure(suite, "plain", prompts=["v6", "v7"])
    with pytest.raises(RunError, match="plain in v7, which this command leaves out"):
        measure(suite, "plain", prompts=["v6"])


def test_a_test_item_in_a_prompt_file_is_a_leak(suite: Suite) -> None:
    leaked = next(item.input for item in suite.test if len(item.input) > 20)
    Path("prompts/v8.txt").write_text(f"Sort.\nFor example, {leaked} is fuel.", "utf-8")
    with pytest.raises(
        PromptError, match=r"^prompts/v8.txt:2: contains test item 'test-\d+'; remove it from the prompt"
    ):
        measure(suite, "plain", prompts=["v8"])
    assert not Path("out").exists()


def test_a_prompt_from_elsewhere_is_not_pinned_because_the_gate_would_not_find_it(suite: Suite) -> None:
    Path("elsewhere").mkdir()
    Path("elsewhere/v9.txt").write_text("Sort: fuel, groceries.", "utf-8")
    found = measure(suite, "plain", prompts=["elsewhere/v9.txt"])
    with pytest.raises(
        RunError, match="plain in v9: prompts/ has no v9, and regress looks for it there; copy the file"
    ):
        baseline.pin(found, "payments")
    Path("elsewhere/v9.txt").rename("prompts/v9.txt")
    assert [one.name for one in baseline.pin(found, "payments").candidates] == ["plain in v9"]


def test_prompts_are_given_once_and_names_belong_to_one_file(suite: Suite) -> None:
    with pytest.raises(PromptError, match="prompt 'v6' is given 2 times"):
        measure(suite, "plain", prompts=["v6", "prompts/v6.txt"])
    Path("other").mkdir()
    Path("other/v6.txt").write_text("Another one.", "utf-8")
    with pytest.raises(PromptError, match="have the same name"):
        measure(suite, "plain:prompt=v6", "tuned", prompts=["other/v6.txt"])


def test_a_plan_has_the_candidates_of_the_run(suite: Suite) -> None:
    made = plan(suite, ["plain", "null"], models=[FakeModel()], prompts=["default", "v7"], probe=0)
    assert [one.candidate for one in made.candidates] == ["plain", "plain in v7", "null"]
    default, own, _ = (one.input_tokens for one in made.candidates)
    assert default != own


def test_a_baseline_knows_its_prompts(suite: Suite) -> None:
    made = baseline.pin(measure(suite, "plain", prompts=["v7"]), "b")
    assert [(one.name, one.args["prompt"]) for one in made.candidates] == [("plain in v7", "v7")]
    assert made.facts["prompts"]["v7"]["source"].startswith("system:")
