"""`thirdlever check` accepts what is shipped and names file, line, cause and remedy of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thirdlever.core.errors import ThirdleverError
from thirdlever.runner.check import check

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever.runner.check import Finding

ROOT = Path(__file__).parents[2]
STRATEGIES = sorted(path.stem for path in ROOT.glob("strategies/[!_]*.py"))
FILE = """\
from inspect_ai.model import get_model
from thirdlever import *
from thirdlever import resolve

calls = []

@strategy
def mine({arguments}) -> Prepare:
    def prepare(suite, model, store):
{prepare}
    return prepare

def replying(solve):
    from inspect_ai.solver import solver
    return solver(lambda: solve)()
"""
SOLVER = """\
        async def solve(state, generate):
            state.messages = messages(suite, state.input_text)
            {line}
            return await generate(state)
        return Deployment(replying(solve), model=model)"""
EVAL = """\
from thirdlever import Grade, Json, Label, Suite, Text, load_suite, suite

class Strict(Text):
    def grade(self, value, target):
        return Grade(0.0, "never right")

@suite
def toys() -> Suite:
    return load_suite("toys", instruction="Name the kind.", answer={answer})
"""

pytestmark = pytest.mark.usefixtures("project")


def checked(name: str) -> Finding:
    [finding] = check([name])
    return finding


def check_mine(add: Callable[[str, str], None], prepare: str, arguments: str = "") -> Finding:
    body = prepare if prepare.startswith("        ") else f"        {prepare}"
    add("mine", FILE.format(prepare=body, arguments=arguments))
    return checked("mine")


def write_eval(answer: str = '"label"', **splits: list[str]) -> None:
    """A suite of toys; each row is "input -> target"."""
    rows = {"train": ["red ball -> ball", "tin car -> car"], "dev": ["tin ball -> ball"], "test": ["blue ball -> ball"]}
    folder = Path("datasets/toys")
    folder.mkdir(parents=True)
    for name, texts in (rows | splits).items():
        pairs = [text.split(" -> ") for text in texts]
        lines = [json.dumps({"id": f"{name}-{i}", "input": a, "target": b}) for i, (a, b) in enumerate(pairs)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    Path("evals").mkdir()
    Path("evals/toys.py").write_text(EVAL.format(answer=answer))


# Strategies


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_shipped_strategy_is_fine(name: str) -> None:
    finding = checked(name)
    assert finding.status == "ok", finding.sentence
    assert finding.sentence.endswith("parsed")


def test_a_strategy_with_arguments_is_checked_with_them(add: Callable[[str, str], None]) -> None:
    finding = check_mine(add, "return Deployment(reply(lambda _: answer), model=None)", "*, answer: str")
    assert (finding.status, finding.sentence) == ("skipped", "needs arguments; run: thirdlever check mine:answer=VALUE")
    assert checked("mine:answer=fuel").status == "ok"
    assert "no answer can be read from 'rent'" in checked("mine:answer=rent").sentence


@pytest.mark.parametrize(
    ("prepare", "sentence"),
    [
        ("return suite.nothing", "10: AttributeError: 'Suite' object has no attribute 'nothing'; correct the strategy"),
        ("return None", " prepare returned None; it must return a Deployment"),
        ("return suite.test", "10: a strategy asked for the test split"),
        ("calls.append(suite.train.sample(2, how='x', seed={}))", "10: TypeError: "),
        ("resolve('openai/gpt').tokens(1)", "10: TypeError: object of type 'int' has no len(); correct the strategy"),
        (
            "import socket; socket.create_connection(('example.org', 80))",
            "10: a connection to 'example.org' was opened; call the model that prepare receives instead",
        ),
        ("suite.card['a'] = 1\n        return Deployment(ask(suite), model=model)", " prepare changed the suite"),
        (
            (
                "from dataclasses import replace\n"
                "        text = 'Card payment test {} at SHELL service station'\n"
                "        shots = [Item('x', text.format(i), 'fuel') for i in (0, 6)]\n"
                "        return Deployment(ask(suite, Context(shots)), model=model, given=shots)"
            ),
            " strategy 'mine': the data it was given contains 2 test inputs ('x' is test 'test-0'",
        ),
        ("return Deployment(ask(suite, Context(suite.train.sample(2))), model=model)", " the prompt contains 'train-"),
        (
            "return Deployment(ask(suite, Context(documents=suite.documents)), model=model)",
            " the prompt contains 'doc-1",
        ),
        ("return Deployment(ask(suite), model=None)", " the solver calls a model, but"),
        ("return Deployment(reply(lambda _: 'fuel'), model=model)", " the solver calls no model; return"),
        ("return Deployment(reply(lambda _: 1 / 0), model=None)", "10: ZeroDivisionError: division by zero; correct"),
        (SOLVER.format(line="state.nothing()"), "12: AttributeError: 'TaskState' object has no attribute 'nothing'"),
        (SOLVER.format(line="return None"), " the solver returned None; it must return the state"),
        (
            SOLVER.format(line="state.messages[0].content += state.target.text"),
            " the prompt contains the item's",
        ),
        (SOLVER.format(line="state.output.completion = state.target.text; return state"), " the solver calls no model"),
        (
            SOLVER.format(line="calls.append(1); state.messages[0].content += str(len(calls))"),
            " the same item is asked differently the second time",
        ),
        (
            SOLVER.format(line="state.messages[0].content += 'Card payment test 7 at MARKET hall'"),
            " the prompt contains test item 'test-7'; use suite.train, suite.dev and suite.documents only",
        ),
        (
            (
                "store.once('list', of={'n': len(calls)}, build=calls.append)\n"
                "        return Deployment(ask(suite), model=model)"
            ),
            " a second prepare repeats work; build with store.once",
        ),
    ],
)
def test_a_wrong_strategy_is_one_sentence(add: Callable[[str, str], None], prepare: str, sentence: str) -> None:
    finding = check_mine(add, prepare)
    assert finding.status == "failed"
    assert f"strategies/mine.py:{sentence}" in finding.sentence
    assert "\n" not in finding.sentence


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("import thirdlever\ndef mine(:\n", "strategies/mine.py:2: SyntaxError: "),
        ("import thirdlever\n\nthirdlever.nothing\n", "strategies/mine.py:3: AttributeError: "),
        ("x = 1\n", "strategies/mine.py: no strategy 'mine' in it; define a function of that name"),
    ],
)
def test_a_file_that_does_not_load_is_one_sentence(add: Callable[[str, str], None], source: str, sentence: str) -> None:
    add("mine", source)
    assert checked("mine").sentence.startswith(sentence)


# Evals


@pytest.mark.parametrize("name", sorted(path.stem for path in ROOT.glob("evals/[!_]*.py")))
def test_every_shipped_eval_is_fine(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    assert checked(name).status == "ok"


def test_a_good_eval_is_fine() -> None:
    write_eval()
    finding = checked("toys")
    expected = "2 train, 1 dev, 1 test; no item is in two splits; every target is graded as right"
    assert (finding.status, finding.sentence) == ("ok", expected)


@pytest.mark.parametrize(
    ("answer", "splits", "sentence"),
    [
        ("label", {}, "evals/toys.py:9: NameError: name 'label' is not defined; correct the file"),
        ("Strict()", {}, "'ball' of item 'train-0' is graded as wrong (never right); correct the answer's"),
        ('Json(("kind",))', {}, "item 'train-0': not a JSON object with the keys kind; correct"),
        ('"label"', {"test": ["Red Ball! -> ball"]}, "train contains 1 test inputs ('train-0' is test 'test-0')"),
        ('"label"', {"dev": ["RED ball -> ball"]}, "train and dev share 1 input ('train-0' is 'dev-0')"),
        ('"label"', {"test": ["a boat -> boat"]}, "test item 'test-0': 'boat' is not one of the suite's labels"),
    ],
)
def test_a_wrong_eval_is_one_sentence(answer: str, splits: dict[str, list[str]], sentence: str) -> None:
    write_eval(answer, **splits)
    finding = checked("toys")
    assert finding.status == "failed"
    assert finding.sentence.startswith("evals/toys.py:")
    assert sentence in finding.sentence


# Names


def test_all_of_the_folder_is_checked_and_nothing_else(add: Callable[[str, str], None]) -> None:
    add("broken", "1 / 0")
    write_eval()
    assert [(finding.kind, finding.name, finding.status) for finding in check()] == [
        ("strategy", "broken", "failed"),
        ("strategy", "plain", "ok"),
        ("eval", "toys", "ok"),
    ]


def test_an_unknown_name_and_an_empty_folder_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ThirdleverError, match="strategy or eval 'few_shto' not found; did you mean 'few_shot'"):
        check(["few_shto"])
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ThirdleverError, match=r"write strategies/NAME\.py or run: thirdlever init"):
        check()
