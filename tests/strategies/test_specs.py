"""Strategies found by path, arguments read against annotations, and what makes two candidates the same."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from thirdlever import BaseModel, Item, Split, Suite
from thirdlever.core.errors import StrategyError
from thirdlever.strategies.specs import Candidate, available, candidates, describe, parse, parse_all

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("project")

TYPED = '''
from typing import Literal, TYPE_CHECKING
from thirdlever import strategy
if TYPE_CHECKING:
    from thirdlever import Prepare

@strategy
def typed(*, k: int | Literal["auto"] = 8, rate: float = 0.5, deep: bool = False, source: str = "train",
          how: Literal["balanced", "random"] = "balanced", cap: int | None = None) -> "Prepare":
    """Every kind of argument.

    More of it.
    """
    if k != "auto" and k < 0:
        raise ValueError("k is negative")
    return lambda suite, model, store: None
'''

MODEL = BaseModel("fake/model", "fake/model", revision="1")


@pytest.fixture(autouse=True)
def _typed(add: Callable[[str, str], None]) -> None:
    add("typed", TYPED)


# Reading name[:key=value,…]


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("k=20", "k", 20),
        ("k=auto", "k", "auto"),
        ("rate=0.25", "rate", 0.25),
        ("rate=2", "rate", 2.0),
        ("deep=true", "deep", True),
        ("deep=False", "deep", False),
        ("source=8", "source", "8"),
        ("how=random", "how", "random"),
        ("cap=none", "cap", None),
        ("cap=3", "cap", 3),
        (" k = 20 ", "k", 20),
    ],
)
def test_a_value_is_read_as_its_annotation_says(text: str, name: str, value: object) -> None:
    read = parse(f"typed:{text}").args[name]
    assert read == value
    assert type(read) is type(value)


def test_defaults_are_filled_in_and_only_what_was_given_is_shown() -> None:
    spec = parse("typed:k=20,how=random")
    assert spec.args == {"k": 20, "rate": 0.5, "deep": False, "source": "train", "how": "random", "cap": None}
    assert str(spec) == "typed(k=20, how=random)"
    assert str(parse("typed")) == "typed"


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("typd", "strategy 'typd' not found; did you mean 'typed'? Available: "),
        ("typed:kk=1", "strategy 'typed': argument 'kk' not found; did you mean 'k'?"),
        ("typed:k=many", "strategy 'typed': invalid k='many'; expected a whole number or \"auto\""),
        ("typed:how=sorted", 'invalid how=\'sorted\'; expected "balanced" or "random"'),
        ("typed:deep=1", "invalid deep='1'; expected true or false"),
        ("typed:rate=", "invalid rate=''; expected a number"),
        ("typed:k", "'k' is not an argument; write typed:key=value,key=value"),
        ("typed:k=1,k=2", "'k=2' is given twice"),
        ("typed:k=-1", "k is negative; correct the argument"),
        ("", "strategy '' not found"),
    ],
)
def test_an_invalid_spec_is_refused_with_the_remedy(spec: str, sentence: str) -> None:
    with pytest.raises(StrategyError) as caught:
        parse(spec)
    assert sentence in str(caught.value)


def test_a_required_argument_must_be_given(add: Callable[[str, str], None]) -> None:
    add("bare", "from thirdlever import strategy\n@strategy\ndef bare(*, job: str):\n    return lambda *_: job\n")
    with pytest.raises(StrategyError, match="needs job; write bare:job=VALUE"):
        parse("bare")
    assert parse("bare:job=ft-1").args == {"job": "ft-1"}


@pytest.mark.parametrize("source", ["def other(): ...", "def broken(): ...", "x = 1"])
def test_a_file_without_its_strategy_says_so(add: Callable[[str, str], None], source: str) -> None:
    add("broken", source)
    with pytest.raises(StrategyError, match="define a function of that name with @strategy"):
        parse("broken")


# Listing


def test_a_file_of_the_user_is_a_strategy() -> None:
    assert {"plain", "typed"} <= set(available())


def test_description_shows_headline_types_and_defaults() -> None:
    shown = describe()
    assert "typed            Every kind of argument.\n" in shown
    assert '    k: int | "auto" = 8\n' in shown
    assert "    deep: true | false = false\n" in shown
    assert "    cap: int | none = none" in shown


# Names


def test_the_model_is_in_the_name_when_there_are_several() -> None:
    other = replace(MODEL, name="openai/gpt")
    assert [[c.name for c in group] for group in candidates([[parse("plain:k=2")]], [MODEL])] == [["plain(k=2)"]]
    [names] = [[c.name for c in group] for group in candidates([[parse("plain")]], [MODEL, other])]
    assert names == ["plain @ fake/model", "plain @ openai/gpt"]


@pytest.mark.parametrize("specs", [[], ["plain", "plain"], ["plain:k=2", "plain:k=02"]])
def test_an_empty_list_and_a_repeated_strategy_are_refused(specs: list[str]) -> None:
    with pytest.raises(StrategyError, match=r"no strategy given; available: |is given 2 times; give it once"):
        parse_all(specs)


# Identity


def identity(suite: Suite, spec: str = "plain", model: BaseModel = MODEL, **options: Any) -> str:  # noqa: ANN401
    return Candidate(parse(spec), model, "any name").identity(suite, **options)


def with_target(suite: Suite, target: str) -> Suite:
    first, *rest = suite.test
    return replace(suite, test_split=Split("test", (replace(first, target=target), *rest)))


def test_an_explicit_default_is_the_same_candidate(suite: Suite) -> None:
    assert identity(suite) == identity(suite, "plain:k=0")


def test_a_change_to_anything_an_answer_depends_on_makes_another_candidate(suite: Suite, project: Path) -> None:
    variants = [
        identity(suite),
        identity(suite, "plain:k=1"),
        identity(suite, "typed"),
        identity(suite, model=replace(MODEL, revision="2")),
        identity(suite, model=replace(MODEL, inspect_name="fake/other")),
        identity(suite, model=replace(MODEL, args={"dtype": "float32"})),
        identity(suite, seed=1),
        identity(suite, constrain=True),
        identity(with_target(suite, "fuel")),
        identity(replace(suite, instruction="Sort.")),
        identity(replace(suite, train=Split("train", (*suite.train, Item("new", "one more", "food"))))),
    ]
    path = project / "strategies" / "plain.py"
    path.write_text(path.read_text("utf-8") + "\n", "utf-8")
    variants.append(identity(suite))
    assert len(set(variants)) == len(variants)
