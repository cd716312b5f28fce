"""The null baseline of every answer kind, on real sentence embeddings."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest

import thirdlever
from thirdlever import Checks, Item, Json, Labels, Number, Split, Store, Suite, Text, at_most, must, parse
from thirdlever.core import project
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from thirdlever.analysis.run import Run
    from thirdlever.answers.answer import Answer

pytestmark = pytest.mark.usefixtures("fast_runs")

WISHES = {"cancel": "please cancel my card", "fee": "how much is the fee", "lost": "I lost my wallet"}
THINGS = ("pump", "lamp", "chair", "kettle", "radio", "heater")


def made(answer: Answer, draw: Callable[[random.Random], tuple[str, str]], *, train: int = 80) -> Suite:
    drawn = random.Random(0)

    def split(name: str, n: int) -> Split:
        pairs = [draw(drawn) for _ in range(n)]
        return Split(name, tuple(Item(f"{name}-{i}", f"{text} ({name} {i})", t) for i, (text, t) in enumerate(pairs)))

    dev, test = split("dev", 20), split("test", 30)
    card = {"near_leaks": "few sentences, numbered"}
    return Suite("made", "Answer.", answer, split("train", train), dev, test, card=card)


def wishes(drawn: random.Random) -> tuple[str, str]:
    found = [label for label in WISHES if drawn.random() < 0.5]
    return " and ".join(WISHES[label] for label in found) or "good morning", ", ".join(found) or "none"


def order(drawn: random.Random) -> tuple[str, str]:
    intent = drawn.choice(["return", "buy"])
    number = f"AC-{drawn.randint(100, 99999)}" if drawn.random() < 0.7 else None
    said = {"return": "I want my money back for", "buy": "I would like to purchase"}[intent]
    text = f"{said} the {drawn.choice(THINGS)}{f', see {number}' if number else ''}"
    return text, json.dumps({"intent": intent, "order": {"id": number}})


def stars(drawn: random.Random) -> tuple[str, str]:
    n = drawn.randint(1, 5)
    words = ["terrible, awful", "poor, bad", "average", "good, nice", "wonderful, excellent"]
    return f"The {drawn.choice(THINGS)} is {words[n - 1]}", str(n)


def thing(drawn: random.Random) -> tuple[str, str]:
    number = drawn.randrange(1000)
    return f"Where is my {THINGS[number % 6]} of order {number}", f"Order {number}: the {THINGS[number % 6]} is late."


SCHEMA = {
    "type": "object",
    "properties": {
        "intent": {"type": "string"},
        "order": {"type": "object", "properties": {"id": {"type": ["string", "null"]}}, "required": ["id"]},
    },
    "required": ["intent", "order"],
}


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Suite], Run]:
    monkeypatch.setattr(project, "STORE", tmp_path / "store")

    def measure(suite: Suite) -> Run:
        specs = ["null", "null:copy=true", "null:method=majority"]
        return thirdlever.run(suite, specs, models=[FakeModel(answer=lambda _: "")], probe=0, out=tmp_path / "run")

    return measure


def scores(run: Run) -> tuple[float, float]:
    found = dict(zip(run.summary["candidate"], run.summary["accuracy"], strict=True))
    return found["null"], found["null(method=majority)"]


def test_sets_of_labels_are_classified_one_against_the_rest(measured: Callable[[Suite], Run]) -> None:
    null, majority = scores(measured(made(Labels(tuple(WISHES), partial=True), wishes)))
    assert null > 0.9
    assert majority < 0.6


def test_fields_are_classified_or_copied_by_the_form_of_their_values(measured: Callable[[Suite], Run]) -> None:
    run = measured(made(Json(schema=SCHEMA, partial=True), order))
    null, majority = scores(run)
    assert null < 0.8
    assert majority < 0.6
    plain, copied = (
        {part.part: part for part in run.parts("field")[name].parts} for name in ("null", "null(copy=true)")
    )
    assert (plain["order.id"].accuracy or 0) < 0.6
    assert (copied["order.id"].accuracy, copied["order.id"].valid) == (1, 1)
    assert plain["intent"].accuracy == copied["intent"].accuracy
    assert (copied["intent"].accuracy or 0) > 0.9


def test_a_field_with_many_values_that_are_not_in_the_input_has_its_most_frequent_one(
    measured: Callable[[Suite], Run],
) -> None:
    def secret(drawn: random.Random) -> tuple[str, str]:
        return f"{drawn.random()}", json.dumps({"key": None if drawn.random() < 0.6 else f"k{drawn.randrange(10**6)}"})

    run = measured(made(Json(("key",)), secret))
    assert set(run.records["prediction"]) == {'{"key": null}'}


def test_numbers_are_fitted_by_regression(measured: Callable[[Suite], Run]) -> None:
    null, majority = scores(measured(made(Number(tolerance=1), stars)))
    assert null > majority
    assert null > 0.8


@pytest.mark.parametrize(
    "answer", [Text(score="f1"), Checks((must("order"), at_most(words=9)))], ids=["text", "checks"]
)
def test_free_text_is_the_answer_of_the_most_similar_item(
    answer: Answer, tmp_path: Path, measured: Callable[[Suite], Run]
) -> None:
    suite = made(answer, thing)
    null, _ = scores(measured(suite))
    assert null > 0.5
    deployment = parse("null").prepare(suite.without_test(), FakeModel(), Store(tmp_path / "store"))
    assert len(deployment.given) == 100
    known = {item.target for item in deployment.given if isinstance(item, Item)}
    assert set(thirdlever.load(tmp_path / "run").records["prediction"]) <= known
