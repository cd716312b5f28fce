"""The prompt search: what it asks, what it keeps, what it never sees, and how it goes on after a kill."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thirdlever import Optimised, Store, load, optimise, parse
from thirdlever.core.errors import BudgetError, StrategyError
from thirdlever.evaluation.ask import metered
from thirdlever.runner.runner import run
from thirdlever.suites.prompts import read_source
from thirdlever.suites.suite import Split
from thirdlever.testing import FakeModel, example_suite

if TYPE_CHECKING:
    from thirdlever import Suite

pytestmark = pytest.mark.usefixtures("project", "fast_runs")

RULE = "A service station sells fuel {and so on}; a market hall sells groceries."


def learner(prompt: str) -> str:
    """Answers rightly only when it is told the rule, and writes the rule when it is asked for an instruction."""
    if "Write a better instruction" in prompt:
        return f"Here it is:\n```\n{RULE}\n```"
    asked = prompt.rpartition("Payment: ")[2]
    right = "fuel" if "SHELL" in asked else "groceries"
    return right if RULE in prompt else "fuel"


@pytest.fixture
def suite() -> Suite:
    return example_suite(train=40)


def search(suite: Suite, model: FakeModel, **options: int | str) -> Optimised:
    return optimise(suite, model, Store(Path("store")), **{"calls": 60, "what": "instruction", "k": 0, **options})  # type: ignore[arg-type]


def test_it_finds_the_instruction_that_the_answers_call_for(suite: Suite) -> None:
    model = FakeModel(answer=learner)
    made = optimise(suite, model, Store(Path("store")), calls=60, what="instruction", k=0)
    assert (made.found.start, made.found.accuracy, made.found.items) == (0.5, 1.0, 8)
    assert made.found.calls <= 64
    assert RULE in made.found.source
    assert "{{ answer_format }}" in made.found.source
    assert read_source("again", made.found.source).uses == made.prompt.uses
    assert any("wrong: expected 'groceries', got 'fuel'" in prompt for prompt in model.prompts)
    assert made.setup.labels == len({item.id for item in made.given})
    assert made.setup.output_tokens


def test_it_never_sees_the_test_split(suite: Suite) -> None:
    model = FakeModel(answer=learner)
    optimise(suite.without_test(), model, Store(Path("store")), calls=40, k=2)
    assert not any(item.input in prompt for item in suite.test for prompt in model.prompts)


def test_a_second_search_asks_nothing(suite: Suite) -> None:
    model = FakeModel(answer=learner)
    first = search(suite, model).found
    model.prompts.clear()
    assert search(suite, model).found == first
    assert model.prompts == []


def test_a_search_that_was_interrupted_asks_only_what_is_missing(suite: Suite) -> None:
    whole = FakeModel(answer=learner)
    wanted = optimise(suite, whole, Store(Path("whole")), calls=60, what="both", k=2).found

    stopped = FakeModel(answer=learner)
    with metered(lambda *_: len(stopped.prompts) < 30), pytest.raises(BudgetError, match="the budget was spent"):
        optimise(suite, stopped, Store(Path("store")), calls=60, what="both", k=2)
    resumed = FakeModel(answer=learner)
    found = optimise(suite, resumed, Store(Path("store")), calls=60, what="both", k=2).found
    assert found == wanted
    assert len(stopped.prompts) + len(resumed.prompts) == len(whole.prompts)


def test_demonstrations_of_missed_answers_are_taken_in(suite: Suite) -> None:
    def copier(prompt: str) -> str:
        return (
            "groceries"
            if "MARKET" in prompt.rpartition("Payment: ")[2] and "groceries" in prompt.split("Payment", 1)[1]
            else "fuel"
        )

    only_fuel = replace(suite, train=Split("train", tuple(sorted(suite.train, key=lambda item: item.target))))
    made = optimise(
        only_fuel, FakeModel(answer=copier), Store(Path("store")), calls=80, what="demonstrations", k=1, seed=3
    )
    assert made.found.accuracy >= made.found.start
    assert "assistant:\n" in made.found.source


def test_it_starts_from_the_prompt_it_is_put_in_and_a_run_keeps_what_it_found(suite: Suite) -> None:
    Path("prompts").mkdir()
    Path("prompts/ours.txt").write_text("Sort the payment: fuel or groceries?", "utf-8")
    model = FakeModel(answer=lambda prompt: learner(prompt.replace("\n\nCard", "\n\nPayment: Card")))
    run(suite, ["optimised:calls=60,search=instruction,k=0"], models=[model], prompts=["ours"], probe=0, out="out")
    [about] = load("out").info["candidates"]
    assert about["name"] == "optimised(calls=60, search=instruction, k=0) in ours"
    assert about["found"]["accuracy"] == 1.0
    saved = Path("out", about["found"]["file"])
    assert RULE in saved.read_text("utf-8")
    again = run(suite, ["zero_shot"], models=[model], prompts=[str(saved)], probe=0, out="again")
    assert again.summary["accuracy"].tolist() == [1.0]


def test_what_cannot_be_searched_is_one_sentence(suite: Suite) -> None:
    model = FakeModel(answer=learner)
    with pytest.raises(StrategyError, match="calls=7 is too few for 4 dev items; give 8 or more"):
        search(suite, model, calls=7)
    with pytest.raises(StrategyError, match="nothing to search"):
        search(suite, model, what="demonstrations")
    with pytest.raises(StrategyError, match="has 0 dev items; a search needs 4 or more"):
        search(replace(suite, dev=Split("dev", ())), model)
    with pytest.raises(StrategyError, match="calls must be 1 or more"):
        parse("optimised:calls=0")
