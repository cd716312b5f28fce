"""Reasoning, votes, the choice of demonstrations, and two strategies in a row."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thirdlever import Item, Json, Store, Text, messages, parse, read_examples
from thirdlever.core.errors import StrategyError
from thirdlever.runner.runner import run
from thirdlever.suites.prompts import read_source
from thirdlever.testing import FakeModel, example_suite, offline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever import Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project", "fast_runs")


@pytest.fixture
def suite() -> Suite:
    return example_suite()


@pytest.fixture(autouse=True)
def _offline() -> Iterator[None]:
    with offline():
        yield


def right(prompt: str) -> str:
    return "fuel" if "SHELL" in prompt.rpartition("Payment: ")[2] else "groceries"


def measure(suite: Suite, *strategies: str, model: FakeModel, **options: object) -> Run:
    return run(suite, strategies, models=[model], **{"probe": 0, "out": "out", **options})  # type: ignore[arg-type]


# Reasoning


def test_a_thinking_model_is_asked_for_a_last_line_that_is_read(suite: Suite) -> None:
    model = FakeModel(answer=lambda prompt: f"It might be groceries or fuel.\nStep 2.\nCategory: {right(prompt)}")
    found = measure(suite, "few_shot:k=2,think=true", model=model)
    assert found.summary["accuracy"].tolist() == [1.0]
    assert model.prompts[0].endswith(
        "Think step by step. Then give the answer on a last line of its own, which begins with Category:"
    )
    assert "\n\nCategory: fuel\n\n" in model.prompts[0]
    assert {config.max_tokens for config in model.configs} == {300 + suite.answer.max_tokens}


def test_reasoning_is_asked_for_in_a_prompt_file_too(suite: Suite) -> None:
    own = replace(suite, prompt=read_source("ours", "system:\nSort.\nuser:\n{{ input }}"))
    *_, last = messages(own, suite.train.items[0], think=True)
    assert last.text.startswith(f"{suite.train.items[0].input}\n\nThink step by step.")


def test_a_text_after_reasoning_is_the_answer() -> None:
    text = Text(name="Capital")
    assert text.read("France is in Europe.\nIts capital is old.\n**Capital:** Paris").value == "Paris"
    assert text.read("Answer: Paris").value == "Paris"
    assert text.read("Paris").value == "Paris"
    assert Json(("a",)).read('First {"a": 1} seems right. No.\nJSON: {"a": 2}').value == '{"a": 2}'


# Votes


def test_the_answer_of_most_completions_counts(suite: Suite) -> None:
    turn = count()

    def unsure(prompt: str) -> str:
        return "no idea" if next(turn) % 5 in {0, 4} else right(prompt)

    model = FakeModel(answer=unsure)
    found = measure(suite, "zero_shot:votes=5", model=model, limit=4)
    assert found.summary["accuracy"].tolist() == [1.0]
    assert len(model.prompts) == 5 * 4
    assert {config.temperature for config in model.configs} == {0.7}
    assert {config.seed for config in model.configs} == set(range(5))
    records = found.records
    assert records["confidence"].tolist() == [0.6] * 4
    single = measure(suite, "zero_shot", model=FakeModel(answer=right), limit=4, out="one").records
    assert records["input_tokens"].tolist() == [5 * tokens for tokens in single["input_tokens"]]


def test_votes_without_any_answer_are_unparsed(suite: Suite) -> None:
    found = measure(suite, "zero_shot:votes=3", model=FakeModel(answer=lambda _: "no idea"), limit=2, max_unparsed=1)
    assert found.records["status"].tolist() == ["unparsed"] * 2
    with pytest.raises(StrategyError, match="votes=0 is not allowed"):
        parse("rag:votes=0")


# Demonstrations


def test_diverse_demonstrations_differ(suite: Suite) -> None:
    model = FakeModel(answer=right)
    deployment = parse("few_shot:k=2,select=diverse").prepare(suite.without_test(), model, Store(Path("store")))
    assert sorted(item.target for item in deployment.given if isinstance(item, Item)) == ["fuel", "groceries"]


def test_demonstrations_are_chosen_by_hand(suite: Suite) -> None:
    Path("ids.txt").write_text("train-3\ntrain-0\n", "utf-8")
    deployment = parse("few_shot:examples=ids.txt").prepare(suite.without_test(), FakeModel(), Store(Path("store")))
    assert [item.id for item in deployment.given] == ["train-3", "train-0"]
    Path("own.csv").write_text("input,target,note\nSHELL 5,fuel,x\nMARKET 1,groceries,y\n", "utf-8")
    shown = read_examples(suite, "own.csv")
    assert [(item.input, item.target, item.fields) for item in shown] == [
        ("SHELL 5", "fuel", {"note": "x"}),
        ("MARKET 1", "groceries", {"note": "y"}),
    ]
    Path("ids.txt").write_text("train-99\n", "utf-8")
    with pytest.raises(StrategyError, match=r"ids\.txt: 'train-99' is not the id of a train item"):
        read_examples(suite, "ids.txt")
    Path("own.csv").write_text("input,target\nSHELL 5,petrol\n", "utf-8")
    with pytest.raises(StrategyError, match=r"own\.csv:2: 'petrol' is not one of the suite's labels"):
        read_examples(suite, "own.csv")


def test_the_order_of_demonstrations_is_an_argument(suite: Suite) -> None:
    def shown(spec: str) -> list[str]:
        deployment = parse(spec).prepare(suite.without_test(), FakeModel(), Store(Path("store")))
        return [piece.id for piece in deployment.given]

    drawn = shown("few_shot:k=4")
    assert shown("few_shot:k=4,order=reversed") == drawn[::-1]
    targets = {item.id: item.target for item in suite.train}
    assert [targets[each] for each in shown("few_shot:k=4,order=grouped")] == ["fuel", "fuel", "groceries", "groceries"]


# Two strategies in a row


def test_the_second_strategy_answers_where_the_first_is_unsure(suite: Suite) -> None:
    Path("strategies/half.py").write_text(
        "from thirdlever import Deployment, reply, strategy\n\n"
        "@strategy\ndef half():\n"
        '    """Sure of fuel only."""\n'
        "    def answer(text):\n"
        '        return ("fuel", 0.9) if "SHELL" in text else ("fuel", 0.4)\n\n'
        "    return lambda suite, model, store: Deployment(reply(answer), model=None, lever='none')\n",
        "utf-8",
    )
    model = FakeModel(answer=right)
    found = measure(
        suite, "half", "cascade:first=half,then=zero_shot,below=0.8", "cascade:first=half,then=zero_shot", model=model
    )
    accuracy = {name: figures.accuracy.value for name, figures in found.figures.items() if figures.accuracy}
    assert list(accuracy.values()) == [0.5, 1.0, 1.0]
    assert len(model.prompts) == 4 + len(suite.dev) + 4  # stated; the threshold on dev; and with it
    about = found.info["candidates"][2]
    assert (about["model"], about["lever"], about["setup"]["labels"]) == ("fake/model", "prompt", 8)
    assert found.records.loc[found.records["candidate"] == about["name"], "confidence"].min() == pytest.approx(0.4)


def test_a_first_strategy_that_is_never_unsure_is_refused(suite: Suite) -> None:
    with pytest.raises(StrategyError, match="does not say how sure it is; use null, or another with votes=5"):
        measure(suite, "cascade:first=zero_shot,then=few_shot", model=FakeModel(answer=right))
    with pytest.raises(StrategyError, match=r"below=2\.0 is not allowed"):
        parse("cascade:below=2")
