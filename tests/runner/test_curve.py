"""The learning curve: what is drawn, what is measured once, and what a second command does."""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite

from thirdlever import Item, Label, Split, Suite, Text
from thirdlever.cli import main
from thirdlever.core.errors import BudgetError, RunError, SuiteError
from thirdlever.runner.curve import Draws, cells, curve, seeded, total
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.runner.curve import MeasuredCurve

pytestmark = pytest.mark.usefixtures("project", "fast_runs")

# Knows the label of an input that it was given an example of, so that more labels make it better.
KNOWS = '''
from thirdlever import Deployment, SetupCost, reply, strategy

@strategy
def knows(*, examples: int = 100, seed: int = 0):
    """The label of the example with the same last letter."""

    def prepare(suite, model, store):
        shown = suite.train.sample(examples, seed=seed)
        known = {item.input[-1]: item.target for item in shown}
        setup = SetupCost(labels=len(shown))
        return Deployment(reply(lambda text: known.get(text[-1], "food")), model=None, setup=setup, given=shown)

    return prepare
'''


@pytest.fixture(autouse=True)
def _strategies(add: Callable[[str, str], None]) -> None:
    add("knows", KNOWS)


@pytest.fixture(autouse=True)
def _undrawn(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A figure takes longer than a small curve: only where it is looked at."""
    if "figure" not in request.fixturenames:
        monkeypatch.setattr("thirdlever.charts.style.save", lambda *_: [])


@pytest.fixture
def figure() -> None:
    """Curves have their figure."""


def payments(train: int = 40, dev: int = 10, labels: Sequence[str] = ("food", "fuel"), test: int = 12) -> Suite:
    """A suite with two thirds of the last label."""

    def split(name: str, n: int) -> Split:
        targets = [labels[min(i % (len(labels) + 1), len(labels) - 1)] for i in range(n)]
        return Split(name, tuple(Item(f"{name}-{i}", f"{name} payment {i}", targets[i]) for i in range(n)))

    return replace(
        make_suite(), answer=Label(tuple(labels)), train=split("train", train), dev=split("dev", dev),
        test_split=split("test", test),
    )  # fmt: skip


def measure(*strategies: str, suite: Suite | None = None, **options: Any) -> MeasuredCurve:  # noqa: ANN401 - curve's
    model = options.pop("model", None) or FakeModel(answer=lambda _: "fuel")
    settings: dict[str, Any] = {"sizes": [10, 30], "seeds": [0, 1], "probe": 0, "out": "out"}
    return curve(suite or payments(), strategies, models=[model], **settings | options)


def runs() -> dict[str, list[str]]:
    """The candidates of each run."""
    found = {path.parent.name: json.loads(path.read_text("utf-8")) for path in Path("out").glob("*/run.json")}
    return {name: sorted(one["name"] for one in info["candidates"]) for name, info in found.items()}


# What is drawn


def test_a_larger_draw_contains_a_smaller_one() -> None:
    drawn = Draws(payments(), seed=3, noise=0.2)
    small, large = drawn.first(20), drawn.first(35)
    for part in ("train", "dev"):
        assert {item.content.__repr__() for item in getattr(small, part)} < {
            item.content.__repr__() for item in getattr(large, part)
        }


def test_a_size_counts_train_and_dev_in_the_suites_proportion() -> None:
    drawn = Draws(payments(), seed=0).first(25)
    assert (len(drawn.train), len(drawn.dev)) == (20, 5)
    assert drawn.test.hash == payments().test.hash


def test_all_labels_are_the_suite() -> None:
    suite = payments()
    drawn = Draws(suite, seed=1).first(total(suite))
    assert drawn.hash == suite.hash


@pytest.mark.parametrize("seed", range(4))
def test_every_label_keeps_its_share(seed: int) -> None:
    suite = payments(train=400, dev=100)
    counts = Counter(item.target for item in Draws(suite, seed).first(100).train)
    assert counts["fuel"] == pytest.approx(80 * 2 / 3, abs=1.5)


def test_a_rare_label_is_drawn_at_least_once() -> None:
    suite = payments(train=400, dev=0, labels=[f"label {i}" for i in range(50)])
    rare = replace(suite.train.items[0], id="rare", target="rare")
    suite = replace(suite, train=Split("train", (*suite.train, rare)), answer=Label((*suite.answer.choices, "rare")))
    assert "rare" in {item.target for item in Draws(suite, seed=0).first(51).train}


def test_seeds_draw_different_labels() -> None:
    first, second = (Draws(payments(), seed).first(20).train for seed in (0, 1))
    assert {item.id for item in first} != {item.id for item in second}


def test_the_other_inputs_stay_available_without_their_labels() -> None:
    drawn = Draws(payments(), seed=0).first(20)
    assert len(drawn.unlabelled) == 30
    assert {item.target for item in drawn.unlabelled} == {""}


@pytest.mark.parametrize("share", [0.1, 0.25])
def test_noise_is_the_share_of_labels_that_are_wrong(share: float) -> None:
    suite = payments(train=400, dev=100, labels=[f"label {i}" for i in range(10)])
    right = {item.id: item.target for split in (suite.train, suite.dev) for item in split}
    for labels in (100, 300, 500):
        drawn = Draws(suite, seed=0, noise=share).first(labels)
        for split in (drawn.train, drawn.dev):
            assert sum(item.target != right[item.id] for item in split) == pytest.approx(share * len(split), abs=1)
        assert {item.target for item in drawn.train if item.target == right[item.id]} == set(suite.answer.choices)


def test_noise_that_would_leave_a_label_without_a_right_example_is_refused() -> None:
    suite = payments(train=200, dev=0, labels=[f"label {i}" for i in range(50)])
    with pytest.raises(SuiteError, match=r"with 55 .* 11 of train must be wrong, and only 5 can be"):
        Draws(suite, seed=0, noise=0.2).first(55)


# What is measured


def test_a_curve_has_a_run_for_each_size_and_seed() -> None:
    made = measure("knows")
    assert runs() == {
        "n10-s0": ["knows"],
        "n10-s1": ["knows(seed=1)"],
        "n30-s0": ["knows"],
        "n30-s1": ["knows(seed=1)"],
    }
    [line] = made.found.lines
    assert (line.name, [point.labels for point in line.points]) == ("knows", [10, 30])
    assert [point.draws for point in line.points] == [2, 2]
    assert [point.used for point in line.points] == [8, 24]


def test_a_strategy_without_labels_is_measured_once() -> None:
    made = measure("zero_shot", "knows")
    assert sum("zero_shot" in names for names in runs().values()) == 1
    flat = next(line for line in made.found.lines if line.flat)
    assert flat.name == "zero_shot"
    assert flat.points[0].accuracy == pytest.approx(2 / 3)


def test_all_labels_are_measured_once_unless_the_strategy_has_a_seed(add: Callable[[str, str], None]) -> None:
    add("fixed", KNOWS.replace("def knows", "def fixed").replace(", seed: int = 0", "").replace("seed=seed", "seed=0"))
    measure("fixed", "knows", sizes=["all"])
    assert runs() == {"n50-s0": ["fixed", "knows"], "n50-s1": ["knows(seed=1)"]}


def test_a_cap_on_examples_that_is_above_the_size_takes_what_there_is() -> None:
    made = measure("knows:examples=20")
    assert [point.used for point in made.found.lines[0].points] == [8, 20]


def test_a_seed_that_the_user_gives_stays() -> None:
    assert seeded("knows:seed=7", 1) == "knows:seed=7"
    assert seeded("zero_shot on knows:examples=3", 1) == "zero_shot on knows:examples=3,seed=1"
    assert seeded("knows", 0) == "knows"


def test_noise_makes_a_line_of_its_own() -> None:
    made = measure("knows", label_noise=[0, 0.25])
    assert sorted(line.title for line in made.found.lines) == ["knows", "knows, 25 % wrong"]
    assert "n30-s1-noise0.25" in runs()
    assert len(made.found.worths) == 1


def test_several_models_have_a_line_each() -> None:
    models = [FakeModel(name="a/food", answer=lambda _: "food"), FakeModel(name="b/fuel", answer=lambda _: "fuel")]
    made = curve(payments(), ["few_shot:k=2", "knows"], models=models, sizes=[10], seeds=[0], probe=0, out="out")
    accuracies = {line.name: line.points[0].accuracy for line in made.found.lines}
    assert accuracies.pop("knows") > 0
    assert accuracies == pytest.approx({"few_shot(k=2) @ b/fuel": 2 / 3, "few_shot(k=2) @ a/food": 1 / 3})


# Again


def test_the_same_command_asks_nothing_twice() -> None:
    model = FakeModel(answer=lambda _: "fuel")
    first = measure("few_shot:k=2", "zero_shot", model=model)
    asked = len(model.prompts)
    assert asked == 12 * 5  # four draws, and zero_shot once
    assert measure("few_shot:k=2", "zero_shot", model=model).found == first.found
    assert len(model.prompts) == asked


def test_sizes_seeds_and_strategies_can_be_added() -> None:
    model = FakeModel(answer=lambda _: "fuel")
    measure("zero_shot", "few_shot:k=2", sizes=[30], seeds=[0], model=model)
    measure("few_shot:k=2", "knows", "zero_shot", sizes=[10, 30], seeds=[0, 1], model=model)
    assert len(model.prompts) == 12 * 5
    assert runs()["n30-s0"] == ["few_shot(k=2)", "knows", "zero_shot"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"limit": 5}, "holds a curve with limit=None"),
        ({"sizes": [10]}, "n30-s0 and n30-s1, which this command leaves out"),
        ({"suite": payments(test=13)}, "holds a curve of other data"),
        ({"suite": replace(payments(), name="bills")}, "holds a curve of suite 'payments'"),
    ],
)
def test_another_command_for_the_same_folder_is_refused(options: dict[str, Any], said: str) -> None:
    measure("knows")
    before = Path("out/curve.json").read_text("utf-8")
    with pytest.raises(RunError, match=said):
        measure("knows", **options)
    assert Path("out/curve.json").read_text("utf-8") == before


def test_an_interrupted_curve_goes_on_where_it_ended() -> None:
    answered: list[str] = []

    def answer(prompt: str) -> str:
        answered.append(prompt)
        if len(answered) == 18:
            raise KeyboardInterrupt
        return "fuel"

    with pytest.raises(KeyboardInterrupt):
        measure("few_shot:k=2", model=FakeModel(answer=answer))
    assert json.loads(Path("out/curve.json").read_text("utf-8"))["status"] == "running"
    measure("few_shot:k=2", model=FakeModel(answer=answer))
    assert len(answered) < 4 * 12 + 12
    assert json.loads(Path("out/curve.json").read_text("utf-8"))["status"] == "complete"


PRICE = """
[[price]]
model = "fake/model"
input = 1000
cached_input = 1000
output = 1000
source = "test"
as_of = 2026-01-01
"""


def test_a_budget_bounds_all_runs_together() -> None:
    Path("prices.toml").write_text(PRICE, "utf-8")
    whole = measure("few_shot:k=2", out="whole", budget=1e6)
    spent = {
        path.parent.name: json.loads(path.read_text("utf-8"))["spent_usd"] for path in Path("whole").glob("*/run.json")
    }
    assert whole.ended is None
    assert all(usd > 0 for usd in spent.values())
    # The requests of the third run are in flight when the budget is spent; the fourth sends none.
    made = measure("few_shot:k=2", budget=spent["n10-s0"] + spent["n10-s1"] + spent["n30-s0"] / 2)
    assert isinstance(made.ended, BudgetError)
    assert str(made.ended).endswith("3 of 4 runs measured; repeat the command with --out out and a larger --budget")
    assert [point.draws for point in made.found.lines[0].points] == [2, 1]
    again = measure("few_shot:k=2", budget=1e6)
    assert again.ended is None
    assert again.found.lines == whole.found.lines


# What is written


@pytest.mark.usefixtures("figure")
def test_the_files_of_a_curve_say_the_same() -> None:
    made = measure("knows", "zero_shot")
    assert {path.name for path in Path("out").glob("curve.*")} == {"curve.json", "curve.csv", "curve.png", "curve.svg"}
    with Path("out/curve.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    points = [point for line in made.found.lines for point in line.points]
    assert [float(row["accuracy"]) for row in rows] == [point.accuracy for point in points]
    stored = json.loads(Path("out/curve.json").read_text("utf-8"))["found"]
    assert stored == json.loads(json.dumps(made.found.to_dict()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sizes": [60]}, "60 is more than the 50 labels of train and dev"),
        ({"sizes": ["many"]}, "'many' is not a number of labels"),
        ({"sizes": [0]}, "0 is not a number of labels"),
        ({"sizes": [1]}, "each of 2 labels must be in train; give 2 or more"),
        ({"label_noise": [1.5]}, "--label-noise 1.5 is not allowed"),
        ({"label_noise": [0.1], "suite": replace(payments(), answer=Text())}, "no labels that could be exchanged"),
    ],
)
def test_a_curve_that_cannot_be_measured_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises((RunError, SuiteError), match=said):
        measure("knows", **options)
    assert not Path("out").exists()


def test_the_smallest_run_comes_first() -> None:
    made = cells(payments(), ["knows"], [10, 30], [0, 1], [0.0])
    assert [cell.folder for cell in made] == ["n10-s0", "n10-s1", "n30-s0", "n30-s1"]


# The command


def command(*words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["thirdlever", *words])
        with pytest.raises(SystemExit) as ended:
            main.main()
    return int(ended.value.code or 0)


@pytest.fixture
def files() -> None:
    """The suite as a project has it."""
    suite = payments()
    folder = Path("datasets/payments")
    folder.mkdir(parents=True)
    for split in (suite.train, suite.dev, suite.test):
        rows = [json.dumps({"id": one.id, "input": one.input, "target": one.target}) for one in split]
        (folder / f"{split.name}.jsonl").write_text("\n".join(rows) + "\n", "utf-8")
    Path("evals").mkdir()
    load = 'load_suite("payments", instruction="Sort.")'
    source = f"from thirdlever import load_suite, suite\n\n@suite\ndef payments():\n    return {load}\n"
    Path("evals/payments.py").write_text(source, "utf-8")


@pytest.mark.usefixtures("files")
def test_the_command_prints_a_table_and_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("curve", "payments", "--strategy", "knows", "--sizes", "10,20,all", "--probe", "0")
    assert command(*arguments) == 0
    text = capsys.readouterr().out
    assert "1,000 labels beyond 50" in text
    assert "results/curve-payments" in text
    assert command(*arguments, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["suite"] == "payments"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("option", [("--seeds", "a"), ("--label-noise", "0,x"), ("--sizes", "")])
def test_a_list_that_is_none_is_refused(option: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command("curve", "payments", "--strategy", "knows", *option) == 2
    assert option[0] in capsys.readouterr().err
