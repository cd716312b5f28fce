"""`thirdlever check` accepts what is shipped and names file, line, cause and remedy of what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import typer

import thirdlever
from thirdlever.cli import measure
from thirdlever.core.errors import StrategyError, ThirdleverError
from thirdlever.runner.check import check
from thirdlever.testing import FakeModel, offline

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever import Suite
    from thirdlever.runner.check import Checked

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

def show(text):
    return Context()

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


def checked(name: str) -> Checked:
    [finding] = check([name])
    return finding


def check_mine(add: Callable[[str, str], None], prepare: str, arguments: str = "") -> Checked:
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
        ("return suite.nothing", "10: AttributeError: 'Suite' object has no attribute 'nothing'"),
        ("return None", " prepare returned None; it must return a Deployment"),
        ("return suite.test", "10: a strategy asked for the test split"),
        ("calls.append(suite.train.sample(2, how='x', seed={}))", "10: TypeError: "),
        ("resolve('openai/gpt').tokens(1)", "10: TypeError: object of type 'int' has no len()"),
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
        ("return Deployment(ask(suite, Context(suite.train.sample(2))), model=model)", " the prompt shows 'train-"),
        (
            "return Deployment(ask(suite, Context(documents=suite.documents)), model=model)",
            " the prompt shows 'doc-1",
        ),
        ("return Deployment(ask(suite), model=None)", " the solver calls a model, but"),
        ("return Deployment(reply(lambda _: 'fuel'), model=model)", " the solver calls no model; return"),
        ("return Deployment(reply(lambda _: 1 / 0), model=None)", "10: ZeroDivisionError: division by zero"),
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
        # Wrong calls of the public functions
        (
            "return Deployment(ask(suite, lambda text: [text]), model=model)",
            "10: the lambda returned ['Card payment test 0 at SHELL service station']; a context function must",
        ),
        (
            "return Deployment(ask(suite, lambda suite, text, k: Context()), model=model)",
            (
                "10: the lambda takes neither one argument nor two; "
                "a context function receives the input's text, or the text and the item"
            ),
        ),
        (
            "return Deployment(ask(show), model=model)",
            "10: the first argument of ask is show, not the suite; write ask(suite, show)",
        ),
        (
            "return Deployment(ask(suite, suite.train.sample(1)), model=model)",
            "10: the context of ask is (Item(id='train-",
        ),
        (
            "return Deployment(ask(suite, Context(), show), model=model)",
            "10: TypeError: ask() takes from 1 to 2 positional arguments but 3 were given; write ask(suite, context",
        ),
        (
            "return Deployment(ask(suite))",
            "10: TypeError: Deployment.__init__() missing 1 required keyword-only",
        ),
        (
            "return Deployment(ask(suite, Context(['SHELL is fuel'])), model=model)",
            '10: Context(shots=…) contains \'SHELL is fuel\'; write Item("ID", "INPUT", "TARGET")',
        ),
        (
            "return Deployment(ask(suite, Context(documents='SHELL is fuel')), model=model)",
            '10: Context(documents=\'SHELL is fuel\') takes a list; write [Document("ID", "TITLE", "TEXT")]',
        ),
        (
            "return Deployment(ask(suite, lambda text: Context(suite.documents)), model=model)",
            "10: Context(shots=…) contains Document(id='doc-1'",
        ),
        (
            "return Deployment(ask(suite, Context(shot for shot in suite.train)), model=model)",
            "10: Context(shots=…) is a generator, which can be read only once; write a list",
        ),
        (
            "return Deployment(reply(lambda _: None), model=None)",
            "10: the lambda returned None; it must return the answer as text",
        ),
        ("return Deployment(reply('fuel'), model=None)", "10: reply('fuel') takes a function from an input's text"),
        (
            "return Deployment(ask(suite), modle=model)",
            "10: TypeError: Deployment.__init__() got an unexpected keyword argument 'modle'; write Deployment(solver",
        ),
        ("return suite.trian", "10: AttributeError: 'Suite' object has no attribute 'trian'; did you mean 'train'?"),
        ("return Deplyment", "10: NameError: name 'Deplyment' is not defined; did you mean 'Deployment'?"),
        # A strategy without a model has no prompt that shows what it learned.
        (
            (
                "most = max(suite.train, key=lambda item: item.target).target\n"
                "        return Deployment(reply(lambda _: most), model=None)"
            ),
            " prepare reads suite.train, but Deployment(given=…) has no item of it; write given=tuple(suite.train)",
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
        ("from thirdlever import Contxt\n", "strategies/mine.py:1: ImportError: cannot import name 'Contxt' from"),
        ("import thirdlevre\n", "strategies/mine.py:1: ModuleNotFoundError: No module named 'thirdlevre'; install it"),
        ("import thirdlever\n\nthirdlever.nothing\n", "strategies/mine.py:3: AttributeError: "),
        ("x = 1\n", "strategies/mine.py: no strategy 'mine' in it; define a function of that name"),
    ],
)
def test_a_file_that_does_not_load_is_one_sentence(add: Callable[[str, str], None], source: str, sentence: str) -> None:
    add("mine", source)
    assert checked("mine").sentence.startswith(sentence)


def test_the_position_of_a_syntax_error_is_given_once(add: Callable[[str, str], None]) -> None:
    add("mine", "import thirdlever\ndef mine(:\n")
    assert checked("mine").sentence == "strategies/mine.py:2: SyntaxError: invalid syntax"


def test_a_prepare_without_the_store_is_refused_with_its_line(add: Callable[[str, str], None]) -> None:
    add("mine", FILE.format(prepare="        return None", arguments="").replace("suite, model, store", "suite, model"))
    wanted = "does not take three arguments; write def prepare(suite, model, store)"
    assert checked("mine").sentence == f"strategies/mine.py:9: prepare(suite, model) {wanted}"


def test_a_strategy_that_declares_what_it_learned_is_fine(add: Callable[[str, str], None]) -> None:
    learn = "most = max(suite.train, key=lambda item: item.target).target\n"
    body = f"{learn}        return Deployment(reply(lambda _: most), model=None, given=tuple(suite.train))"
    assert check_mine(add, body).status == "ok"


@pytest.mark.parametrize(
    ("key", "status", "sentence"),
    [
        ("kind", "ok", "; on the suite toys"),
        ("colour", "failed", "KeyError: 'colour' (on the suite toys)"),
    ],
)
def test_a_strategy_for_json_targets_is_tried_on_the_suite_of_the_folder(
    add: Callable[[str, str], None], key: str, status: str, sentence: str
) -> None:
    rows = [f'red {n} ball -> {{"kind": "ball"}}' for n in range(3)]
    write_eval('Json(("kind",))', train=rows, dev=['tin ball -> {"kind": "ball"}'], test=['ball -> {"kind": "ball"}'])
    body = f"""\
        import json
        kinds = sorted({{json.loads(item.target)["{key}"] for item in suite.train}})
        setup = SetupCost(labels=len(suite.train))
        return Deployment(ask(suite), model=model, setup=setup, given=tuple(suite.train))"""
    found = check_mine(add, body)
    assert found.status == status
    assert sentence in found.sentence


def test_a_strategy_is_tried_on_the_eval_that_is_named_with_it(add: Callable[[str, str], None]) -> None:
    row = 'ball -> {"kind": "ball"}'
    write_eval('Json(("kind",))', train=[f"red {row}", f"old {row}"], dev=[f"tin {row}"], test=[row])
    add(
        "mine",
        FILE.format(
            prepare="        suite.answer.labels\n        return Deployment(ask(suite), model=model)", arguments=""
        ),
    )
    assert checked("mine").status == "ok"
    found, _ = check(["mine", "toys"])
    assert found.status == "failed"
    assert "'Json' object has no attribute 'labels'" in found.sentence
    assert found.sentence.endswith("(on the suite toys)")


def test_an_argument_that_the_command_line_cannot_write_is_refused(add: Callable[[str, str], None]) -> None:
    found = check_mine(add, "return Deployment(ask(suite), model=model)", "*, k: list[int] | None = None")
    assert found.status == "failed"
    assert "cannot be written on the command line; use int, float, bool, str or Literal" in found.sentence


def test_json_objects_are_no_labels() -> None:
    row = 'ball -> {"kind": "ball"}'
    write_eval(train=[f"red {row}", 'car -> {"kind": "car"}'], dev=[f"tin {row}"], test=[row])
    assert "its labels are JSON objects; give load_suite the answer kind" in checked("toys").sentence


def test_a_strategy_that_only_counts_train_need_not_declare_it(add: Callable[[str, str], None]) -> None:
    body = "n = len(suite.train)\n        return Deployment(reply(lambda _: 'fuel'), model=None)"
    assert check_mine(add, body).status == "ok"


def test_run_refuses_a_wrong_call_in_the_same_words(add: Callable[[str, str], None], suite: Suite) -> None:
    body = "        return Deployment(ask(suite, lambda text: [text]), model=model)"
    add("mine", FILE.format(prepare=body, arguments=""))
    with offline(), pytest.raises(StrategyError, match=r"strategies/mine\.py:10: the lambda returned \['POS test"):
        thirdlever.run(suite, ["mine"], models=[FakeModel()], probe=0)


def test_a_path_with_a_space_is_named_once(
    add: Callable[[str, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add("mine", "1 / 0\n")
    (tmp_path / "my work").mkdir()
    (tmp_path / "strategies").rename(tmp_path / "my work" / "strategies")
    monkeypatch.chdir(tmp_path / "my work")
    assert checked("mine").sentence == "strategies/mine.py:1: ZeroDivisionError: division by zero"


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
        ("label", {}, "evals/toys.py:9: NameError: name 'label' is not defined; did you mean 'Label'?"),
        ("Strict()", {}, "'ball' of item 'train-0' is graded as wrong (never right); correct the answer's"),
        (
            'Json(("kind",))',
            {},
            "'ball' is not JSON (Expecting value at column 1); expected an object with the key",
        ),
        ('"label"', {"test": ["Red Ball! -> ball"]}, "train contains 1 test input ('train-0' is test 'test-0')"),
        ('"label"', {"dev": ["RED ball -> ball"]}, "train and dev share 1 input ('train-0' is 'dev-0')"),
        (
            '"label"',
            {"test": ["a boat -> boat"]},
            "test.jsonl:1: the target of test item 'test-0': 'boat' is not one of",
        ),
    ],
)
def test_a_wrong_eval_is_one_sentence(answer: str, splits: dict[str, list[str]], sentence: str) -> None:
    write_eval(answer, **splits)
    finding = checked("toys")
    assert finding.status == "failed"
    assert finding.sentence.startswith(("evals/toys.py:", "datasets/toys/"))
    assert sentence in finding.sentence


def test_a_malformed_json_target_is_reported_with_file_line_and_key() -> None:
    write_eval(
        'Json(("kind", "size"))', train=['red ball -> {"kind": "ball", "size": 1}', 'tin car -> {"kind": "car"}']
    )
    wanted = (
        "the target of train item 'train-1': '{\"kind\": \"car\"}' has no key 'size'; expected the keys 'kind', 'size'"
    )
    assert checked("toys").sentence.startswith(f"datasets/toys/train.jsonl:2: {wanted}")


def test_text_around_a_json_target_is_refused() -> None:
    write_eval('Json(("kind",))', train=['red ball -> It is {"kind": "ball"}'])
    assert checked("toys").sentence.startswith(
        "datasets/toys/train.jsonl:1: the target of train item 'train-0': 'It is"
    )


def test_an_answer_kind_with_too_few_tokens_for_the_longest_target_is_refused() -> None:
    target = '{"kind": "ball"}'
    write_eval('Json(("kind",), max_tokens=2)', **{part: [f"{part} -> {target}"] for part in ("train", "dev", "test")})
    finding = checked("toys")
    assert finding.status == "failed"
    wanted = "the target of item 'train-0' has at least 6 tokens, the answer may have 2; write max_tokens=16"
    assert wanted in finding.sentence
    Path("evals/toys.py").write_text(EVAL.format(answer='Json(("kind",), max_tokens=16)'))
    assert checked("toys").status == "ok"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        ('"json"', ' answer="json" is not an answer kind; write answer=Json(("KEY", "KEY"))'),
        ('"text"', ' answer="text" is not an answer kind; write answer=Text()'),
        ("Text", " answer=Text is a class; write answer=Text(…)"),
        ('["ball", "car"]', " answer=['ball', 'car'] is not an answer kind (list has no describe, read, grade and"),
        ('Label("ball")', "9: Label('ball') takes a tuple; write Label(('ball',))"),
        ('Json("kind")', "9: Json('kind') takes a tuple; write Json(('kind',))"),
        ("Json(Strict)", "9: Json(Strict) takes the keys; write Json(schema=…)"),
        ("Text(max_token=4)", "9: TypeError: Text.__init__() got an unexpected keyword argument 'max_token'"),
    ],
)
def test_a_wrong_answer_kind_is_one_sentence(answer: str, sentence: str) -> None:
    write_eval(answer)
    assert sentence in checked("toys").sentence


# Names


def test_columns_stay_aligned_under_a_long_name(
    add: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    add(
        "mine", FILE.format(prepare="        return Deployment(ask(suite), model=model)", arguments="*, note: str = ''")
    )
    spec = f"mine:note={'a b ' * 12}end"
    with pytest.raises(typer.Exit):
        measure.check(["plain", spec])
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first.index("prepared") == second.index("prepared") <= 60
    assert all(line.startswith(" " * 18) for line in rest)
    assert "".join([second[18:58].strip(), *map(str.strip, rest)]).replace(" ", "") == spec.replace(" ", "")


def test_all_of_the_folder_is_checked_and_nothing_else(add: Callable[[str, str], None]) -> None:
    add("broken", "1 / 0")
    write_eval()
    assert [(finding.kind, finding.name, finding.status) for finding in check()] == [
        ("strategy", "broken", "failed"),
        ("strategy", "plain", "ok"),
        ("eval", "toys", "ok"),
    ]


def test_an_unknown_name_and_an_empty_folder_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ThirdleverError, match="strategy, eval or prompt 'few_shto' not found; did you mean 'few_shot'"):
        check(["few_shto"])
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ThirdleverError, match=r"write strategies/NAME\.py or run: thirdlever init"):
        check()
