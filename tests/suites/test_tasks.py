"""An inspect task as a suite: it sends what the task sends, and grades as the task grades."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import thirdlever
from thirdlever import Context, SuiteError, messages
from thirdlever.suites.find import find_suite
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from inspect_ai.log import EvalSample

    from thirdlever import Suite

TASKS = '''
from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessageSystem, ChatMessageUser
from inspect_ai.scorer import Score, choice, exact, includes, mean, model_graded_qa, scorer
from inspect_ai.solver import generate, multiple_choice, prompt_template, self_critique, system_message, use_tools
from inspect_ai.tool import tool

COLOURS = ["red", "green", "blue"]


def things(count, start=0):
    return MemoryDataset([
        Sample(input=f"Thing {i} is {COLOURS[i % 3]}", target=COLOURS[i % 3], id=i) for i in range(start, start + count)
    ])


@task
def colours():
    solver = [system_message("Name the {{colour}}."), prompt_template("Q: {prompt}\\nA:"), generate(max_tokens=7)]
    return Task(dataset=things(30), solver=solver, scorer=exact())


@task
def more(count: int = 40, ask: str = "{prompt}"):
    solver = [prompt_template(ask), generate()]
    return Task(dataset=things(count, start=20), solver=solver, scorer=exact())


@task
def letters():
    samples = [
        Sample(input=f"Which is {i}?", choices=[str(i), str(i + 1), "none"], target="AB"[i % 2]) for i in range(20)
    ]
    return Task(dataset=samples, solver=multiple_choice(), scorer=choice())


@task
def sums():
    samples = [Sample(input=f"{i} + 1?", target=[str(i + 1), f"#{i + 1}"], metadata={"least": i}) for i in range(10)]
    return Task(dataset=samples, solver=generate(), scorer=close())


@scorer(metrics=[mean()])
def close():
    async def score(state, target):
        said = state.output.completion
        right = said == target.target[0]
        return Score(value=1 if right else 0.25 if said == str(state.metadata["least"]) else 0, explanation="counted")
    return score


@scorer(metrics=[mean()])
def marks(value):
    async def score(state, target):
        return Score(value=value)
    return score


@scorer(metrics=[mean()])
def pair():
    async def score(state, target):
        return Score(value={"a": 1, "b": 0})
    return score


@tool
def look():
    async def execute():
        """Look."""
        return ""
    return execute


def of(**settings):
    return Task(dataset=things(9), **({"scorer": exact()} | settings))


@task
def judged():
    return of(scorer=model_graded_qa())

@task
def critic():
    return of(solver=[generate(), self_critique()], scorer=includes())

@task
def boxed():
    return of(sandbox="docker")

@task
def tooled():
    return of(solver=[use_tools(look()), generate()])

@task
def unscored():
    return Task(dataset=things(9))

@task
def marked():
    return of(scorer=marks(7))

@task
def paired():
    return of(scorer=pair())

@task
def never():
    return of(scorer=marks(0))

@task
def broken():
    raise RuntimeError("no data here")
'''


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of tasks, in the current folder."""
    monkeypatch.chdir(tmp_path)
    Path("tasks.py").write_text(TASKS)
    return "tasks.py"


def by_inspect(task: str, answer: str, folder: Path) -> list[EvalSample]:
    """The samples of inspect's own log, if every answer is the same."""
    from inspect_ai import eval as evaluate

    (log,) = evaluate(task, model=FakeModel(answer=lambda _: answer).connect(), log_dir=str(folder), display="none")
    assert log.status == "success"
    assert log.samples is not None
    return log.samples


def sent(suite: Suite) -> list[tuple[str, str]]:
    """The first test item's messages, with two demonstrations."""
    shots = Context(shots=suite.train.items[:2])
    return [(turn.role, turn.text) for turn in messages(suite, suite.test.items[0], shots)]


@pytest.mark.parametrize("task", ["colours", "letters"])
def test_zero_shot_sends_what_the_task_sends(tasks: str, task: str, tmp_path: Path) -> None:
    suite = find_suite(f"{tasks}@{task}")
    logged = {str(sample.id): sample for sample in by_inspect(f"{tasks}@{task}", "x", tmp_path)}
    for item in suite.test:
        theirs = [(message.role, message.text) for message in logged[item.id].messages[:-1]]
        assert [(turn.role, turn.text) for turn in messages(suite, item)] == theirs


@pytest.mark.parametrize(("task", "answer"), [("colours", "green"), ("letters", "ANSWER: B"), ("sums", "3")])
def test_answers_score_as_in_inspect(tasks: str, task: str, answer: str, tmp_path: Path) -> None:
    from inspect_ai.scorer import value_to_float

    suite = find_suite(f"{tasks}@{task}")
    targets = {item.id: item.target for split in (suite.train, suite.dev, suite.test) for item in split}
    logged = by_inspect(f"{tasks}@{task}", answer, tmp_path)
    theirs = {str(s.id): value_to_float()(next(iter((s.scores or {}).values())).value) for s in logged}
    ours = {id_: suite.answer.grade_item(answer, id_, target).value for id_, target in targets.items()}  # type: ignore[attr-defined]
    assert ours == theirs
    assert 0 < sum(ours.values()) < len(ours)


def test_demonstrations_are_written_as_the_scorer_wants_them(tasks: str) -> None:
    suite = find_suite(f"{tasks}@letters")
    assert {item.target for item in suite.train} == {"ANSWER: A", "ANSWER: B"}
    turns = sent(suite)
    assert [role for role, _ in turns] == ["user", "assistant"] * 2 + ["user"]
    assert turns[1][1] == suite.train.items[0].target


def test_what_all_samples_are_told_is_told_once(tasks: str) -> None:
    suite = find_suite(f"{tasks}@colours")
    turns = sent(suite)
    assert [role for role, _ in turns] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert suite.answer.max_tokens == 7


def test_strategies_learn_from_the_rest_or_from_another_task(tasks: str, capsys: pytest.CaptureFixture[str]) -> None:
    alone = find_suite(f"{tasks}@colours")
    assert [len(split) for split in (alone.train, alone.dev, alone.test)] == [21, 3, 6]
    both = find_suite(f"{tasks}@colours", f"{tasks}@more")
    assert len(both.test) == 30
    assert all(item.id.startswith("train-") for item in (*both.train, *both.dev))
    assert len(both.train) + len(both.dev) == 30  # ten of its things are in test
    assert "train dropped because test has them (by input): 10" in capsys.readouterr().err


def test_a_run_measures_a_task(tasks: str, tmp_path: Path) -> None:
    model = FakeModel(answer=lambda prompt: prompt.rpartition(" is ")[2].partition("\n")[0])
    done = thirdlever.run(
        f"{tasks}@colours",
        ["null:method=majority", "zero_shot", "few_shot:k=2"],
        models=[model],
        probe=0,
        out=tmp_path / "r",
    )
    accuracy = dict(zip(done.summary["strategy"], done.summary["accuracy"], strict=True))
    assert accuracy["zero_shot"] == accuracy["few_shot"] == 1
    assert 0 < accuracy["null"] < 1
    assert done.info["suite"]["card"]["scorer"] == "exact"


@pytest.mark.parametrize(
    ("task", "why"),
    [
        ("judged", "its scorer model_graded_qa is a model"),
        ("critic", "its solver or scorer asks a model itself"),
        ("boxed", "it runs in a sandbox"),
        ("tooled", "it calls tools"),
        ("unscored", "it has no scorer"),
        ("marked", "its scorer gave 7, which is not between 0 and 1"),
        ("paired", "its scorer gives several values"),
        ("never", "its scorer does not accept its own targets"),
    ],
)
def test_a_task_that_needs_more_than_an_answer_is_refused(tasks: str, task: str, why: str) -> None:
    with pytest.raises(SuiteError, match=f"the task 'tasks.py@{task}' cannot be a suite: {why}.*; "):
        find_suite(f"{tasks}@{task}")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("tasks.py@broken", "'tasks.py@broken' cannot be loaded: 'no data here'"),
        ("tasks.py@nothing", "cannot be loaded: .*'nothing' not found"),
        ("absent.py@x", "cannot be loaded: .*No such file"),
        ("nowhere/nothing", "no task 'nowhere/nothing'; give path/to/file.py@task"),
    ],
)
@pytest.mark.usefixtures("tasks")
def test_a_task_that_is_not_there_is_a_sentence(name: str, why: str) -> None:
    with pytest.raises(SuiteError, match=why):
        find_suite(name)


def test_a_file_of_several_tasks_needs_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("two.py").write_text(TASKS.partition("@task\ndef letters")[0])
    with pytest.raises(SuiteError, match=r"'two.py' has the tasks colours and more; name one, such as two.py@colours"):
        find_suite("two.py")


def test_a_task_takes_arguments(tasks: str) -> None:
    made = find_suite(f"{tasks}@more:count=25, ask='Which colour? {{prompt}}'")
    assert sum(len(split) for split in (made.train, made.dev, made.test)) == 25
    assert messages(made, made.test.items[0])[-1].text.startswith("Which colour? Thing ")
    assert made.hash != find_suite(f"{tasks}@more:count=26").hash


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("cuont=3", "argument 'cuont' not found; did you mean 'count'"),
        ("count", "'count' is not an argument"),
        ("count=[", "while parsing"),
    ],
)
def test_an_argument_that_the_task_does_not_take_is_a_sentence(tasks: str, given: str, why: str) -> None:
    with pytest.raises(SuiteError, match=why):
        find_suite(f"{tasks}@more:{given}")


def test_only_a_task_takes_the_samples_of_another(tasks: str) -> None:
    with pytest.raises(SuiteError, match="only an inspect task takes another's samples"):
        find_suite("transactions", f"{tasks}@more")


@pytest.mark.filterwarnings("ignore:`__get_validators__` is deprecated")  # inspect_evals' own code
def test_a_task_of_inspect_evals_is_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from inspect_evals.cybermetric import cybermetric

    questions = [
        {"question": f"Port of {i}?", "answers": dict.fromkeys("ABCD", str(i)), "solution": "ABCD"[i % 4]}
        for i in range(40)
    ]
    data = tmp_path / "cybermetric" / "CyberMetric-80.jsonl"  # where the package has its download
    data.parent.mkdir()
    data.write_text("".join(f"{json.dumps(question)}\n" for question in questions))
    monkeypatch.setattr(cybermetric, "INSPECT_EVALS_CACHE_PATH", tmp_path)
    suite = find_suite("inspect_evals/cybermetric_80")
    assert (suite.name, len(suite.test)) == ("cybermetric_80", 8)
    assert [role for role, _ in sent(suite)] == ["system", "user", "assistant", "user", "assistant", "user"]
