"""The release gate end to end: every verdict, the requests sent, and the unchanged baseline."""

from __future__ import annotations

import json
import multiprocessing
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer
from conftest import PLAIN, add_strategy, make_suite
from helpers import released
from helpers.killed import HEAVY
from helpers.releases import ITEMS, model, pin
from helpers.tuning_service import error, serving
from typer.testing import CliRunner, Result

from thirdlever import Split, load
from thirdlever.cli import lifecycle
from thirdlever.cli.lifecycle import regress as regress_command
from thirdlever.core.errors import ModelError, ProviderError, RunError
from thirdlever.evaluation import passes
from thirdlever.lifecycle import baseline
from thirdlever.lifecycle.regress import REPORT, Regression, regress
from thirdlever.models import base, registry
from thirdlever.runner.runner import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.context import ForkServerContext

    from thirdlever.models.base import BaseModel
    from thirdlever.testing import FakeModel

SUITE = make_suite(ITEMS)
BASELINE = Path("results", "baselines", "payments.json")


pytestmark = pytest.mark.usefixtures("fast_runs")


@pytest.fixture(scope="module")
def pinned_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline of a model that is always right."""
    folder = tmp_path_factory.mktemp("pinned")
    add_strategy(folder, "plain", PLAIN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        pin(model("fake/old"))
    return folder / BASELINE


@pytest.fixture
def pinned(project: Path, pinned_once: Path) -> bytes:
    """Put the baseline into the project; its content."""
    (project / BASELINE).parent.mkdir(parents=True)
    shutil.copy(pinned_once, project / BASELINE)
    return pinned_once.read_bytes()


def gate(new: FakeModel, **options: Any) -> Regression:  # noqa: ANN401 - regress's
    """Run the gate with a margin that these few items can settle."""
    options = {"limits": {"margin": 0.1}, "out": "out", **options}
    return regress(SUITE, baseline="payments", models=[new], **options)


# Verdicts


@pytest.mark.parametrize(("wrong", "verdict", "code"), [(0, "PASS", 0), (10, "INCONCLUSIVE", 3), (60, "FAIL", 1)])
def test_the_gate_gives_each_verdict(pinned: bytes, wrong: int, verdict: str, code: int) -> None:
    new = model("fake/new", range(wrong))
    found = gate(new)
    assert (found.verdict, found.exit_code) == (verdict, code)
    [result] = found.results
    assert (result.old, result.new, result.n) == ("fake/old", "fake/new", ITEMS)
    assert [flip.id for flip in result.broken] == sorted(f"test-{i}" for i in range(wrong))
    assert all((flip.before, flip.after) in {("fuel", "food"), ("food", "fuel")} for flip in result.broken)
    assert all(flip.target == flip.before and "shop number" in flip.input for flip in result.broken)
    assert len(new.prompts) == ITEMS  # no item is asked twice
    assert json.loads(Path("out", REPORT).read_text("utf-8"))["verdict"] == verdict
    assert BASELINE.read_bytes() == pinned


def test_several_candidates_on_several_models_each_get_a_verdict(project: Path) -> None:
    (project / "strategies" / "null.py").write_text(
        "from thirdlever import Deployment, reply, strategy\n\n@strategy\ndef null():\n"
        '    return lambda suite, model, store: Deployment(reply(lambda text: "fuel"), model=None)\n',
        "utf-8",
    )
    pin(model("fake/old"), "plain", "plain:k=2", "null")
    good, bad = model("fake/good"), model("fake/bad", range(60))
    found = regress(SUITE, baseline="payments", models=[good, bad], limits={"margin": 0.1}, out="out")
    assert [(one.candidate, one.new, one.verdict) for one in found.results] == [
        ("plain", "fake/good", "PASS"),
        ("plain", "fake/bad", "FAIL"),
        ("plain(k=2)", "fake/good", "PASS"),
        ("plain(k=2)", "fake/bad", "FAIL"),
    ]
    assert found.verdict == "FAIL"
    assert found.notes == ["not run again, because these call no model: null"]


def test_the_new_run_uses_the_baselines_options(project: Path) -> None:  # noqa: ARG001 - the current folder
    pin(model("fake/old"), "plain:k=2,seed=4", limit=50, epochs=2, seed=3, probe=4)
    new = model("fake/new")
    found = gate(new, limits={"margin": 0.2})
    info = load("out").info
    assert [info[name] for name in ("limit", "epochs", "seed", "probe")] == [50, 2, 3, 4]
    assert info["candidates"][0]["name"] == "plain(k=2, seed=4)"
    assert found.verdict == "PASS"
    assert len(new.prompts) == 2 * 50 + 5


# Early stopping


def test_stop_early_asks_only_the_items_needed(pinned: bytes) -> None:  # noqa: ARG001 - fixture
    hopeless = model("fake/new", range(ITEMS))
    found = gate(hopeless, stop_early=True)
    assert (found.verdict, found.asked, found.items) == ("FAIL", 40, ITEMS)
    assert len(hopeless.prompts) == 40
    assert found.notes == [f"stopped early after 40 of {ITEMS} items"]
    unsure = model("fake/unsure", range(10))
    found = gate(unsure, stop_early=True, out="other")
    assert (found.verdict, found.asked) == ("INCONCLUSIVE", ITEMS)
    assert len(unsure.prompts) == ITEMS


# A changed suite


def changed() -> Any:  # noqa: ANN401 - a Suite
    one, *rest = SUITE.test
    return replace(SUITE, test_split=Split("test", (replace(one, input=f"{one.input} number 0"), *rest)))


def test_a_changed_suite_is_refused(pinned: bytes) -> None:
    new = model("fake/new")
    with pytest.raises(
        RunError, match=r"suite 'payments' has changed since baseline 'payments', .* --accept-new-suite"
    ):
        regress(changed(), baseline="payments", models=[new], out="out")
    assert new.prompts == []
    assert not Path("out").exists()
    assert BASELINE.read_bytes() == pinned


def test_an_accepted_suite_change_measures_both_models(pinned: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = model("fake/old", range(60)), model("fake/new")
    monkeypatch.setattr(registry, "resolve", {"fake/old": old}.__getitem__)
    found = regress(
        changed(), baseline="payments", models=[new], limits={"margin": 0.1}, out="out", accept_new_suite=True
    )
    [result] = found.results
    assert (result.candidate, result.old, result.new, result.verdict) == ("plain", "fake/old", "fake/new", "PASS")
    assert (len(result.fixed), len(result.broken)) == (60, 0)  # the old model's current answers
    assert len(old.prompts) == len(new.prompts) == ITEMS
    assert BASELINE.read_bytes() == pinned


def test_a_model_is_not_compared_with_itself(pinned: bytes) -> None:  # noqa: ARG001 - fixture
    with pytest.raises(RunError, match="model 'fake/old' is already the baseline's model"):
        gate(model("fake/old"), remeasure=True)


def test_another_suite_is_refused(pinned: bytes) -> None:  # noqa: ARG001 - fixture
    with pytest.raises(RunError, match="baseline 'payments' belongs to suite 'payments', not 'tickets'"):
        regress(replace(SUITE, name="tickets"), baseline="payments", models=[model("fake/new")])


# A retired model


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (404, "model_not_found", "does not have the model"),
        (429, "rate_limit_exceeded", "asks to slow down"),
    ],
)
def test_a_model_that_answers_nothing_ends_the_run_after_a_few_requests(
    pinned: bytes, monkeypatch: pytest.MonkeyPatch, status: int, code: str, said: str
) -> None:
    monkeypatch.setattr(passes, "PATIENCE_LIMITED", 0.5)
    with serving() as service:
        service.answer = lambda _, path: error(status, "the model has been retired", code) if "chat" in path else None
        monkeypatch.setenv("CRUSOE_BASE_URL", service.url)
        monkeypatch.setenv("CRUSOE_API_KEY", "sk-test")
        with pytest.raises(ProviderError, match=f"^openai-api/crusoe/retired {said} "):
            regress(SUITE, baseline="payments", models=["openai-api/crusoe/retired"], out="out")
        assert len([asked for asked in service.asked if "chat" in asked]) <= 3
    assert BASELINE.read_bytes() == pinned
    assert not Path("out", REPORT).exists()


def test_a_repeated_command_re_sends_only_unanswered_requests(pinned: bytes) -> None:  # noqa: ARG001 - fixture
    def down(_: int) -> str:
        message = "down"
        raise ConnectionError(message)

    with pytest.raises(RunError, match="ConnectionError: down"):
        gate(model("fake/new", say=down))
    again = model("fake/new")
    assert gate(again).verdict == "PASS"
    assert len(again.prompts) == ITEMS


def test_frequent_failed_requests_fail_the_gate(pinned: bytes) -> None:  # noqa: ARG001 - fixture
    def flaky(number: int) -> str:
        if number % 4 == 0:
            message = "overloaded"
            raise ConnectionError(message)
        return ""

    [result] = gate(model("fake/new", say=flaky), limits={"margin": 0.1, "max_failed": 0.5}).results
    verdicts = {check.name: check.verdict for check in result.checks}
    assert (verdicts["accuracy"], verdicts["errors"]) == ("FAIL", "FAIL")
    assert {flip.after for flip in result.broken} == {"(request failed)"}


# Resuming


@pytest.mark.parametrize("stop_early", [False, True])
def test_a_killed_gate_resumes_with_the_same_command(
    project: Path, pinned: bytes, processes: ForkServerContext, *, stop_early: bool
) -> None:
    assert start(processes, released.attempt, project, 50, stop_early=stop_early) == -9
    assert (project / BASELINE).read_bytes() == pinned
    assert start(processes, released.attempt, project, None, stop_early=stop_early) == 0
    [folder] = project.glob("results/payments-regress-*")  # the killed run's folder
    asked = len((project / released.ASKED).read_text("utf-8").splitlines())
    assert asked <= ITEMS + base.HOSTED_CONNECTIONS
    records = load(folder).records
    assert records["error"].isna().all()
    assert not records["item_id"].duplicated().any()
    assert (project / BASELINE).read_bytes() == pinned


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Processes that start with a run's imports loaded, which saves seconds each."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(HEAVY)
    return context


def start(processes: ForkServerContext, target: Callable[..., None], *given: Any, **options: Any) -> int | None:  # noqa: ANN401 - the target's
    process = processes.Process(target=target, args=given, kwargs=options)
    process.start()
    process.join(120)
    return process.exitcode


# Commands


def call(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(regress_command)
    app.add_typer(lifecycle.baseline_app, name="baseline")
    return CliRunner().invoke(app, arguments)


@pytest.fixture
def models(project: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, BaseModel]:
    """A suite, an old model and two new ones that the command line finds by name."""
    (project / "evals").mkdir()
    lines = ["from conftest import make_suite", "from thirdlever import suite", "", "@suite", "def payments():"]
    (project / "evals" / "payments.py").write_text("\n".join([*lines, f"    return make_suite({ITEMS})", ""]), "utf-8")
    known: dict[str, BaseModel] = {
        "fake/old": model("fake/old"),
        "fake/good": model("fake/good"),
        "fake/bad": model("fake/bad", range(60)),
    }

    def resolve(name: str) -> BaseModel:
        if name not in known:
            message = f"model {name!r} not found"
            raise ModelError(message)
        return known[name]

    monkeypatch.setattr(registry, "resolve", resolve)
    return known


def test_the_commands_lead_from_a_run_to_a_verdict(models: dict[str, BaseModel]) -> None:
    run(SUITE, ["plain"], models=[models["fake/old"]], out="results/first", probe=0)
    assert call("baseline", "list").stdout.startswith("no baselines yet")
    told = call("baseline", "set", "first")
    assert told.stdout.splitlines()[0].startswith("pinned plain on 80 items: results/baselines/payments.json (")
    assert "payments" in call("baseline", "list").stdout
    assert "fake/old" in call("baseline", "show", "payments").stdout
    before = BASELINE.read_bytes()

    files = ["--junit", "ci/junit.xml", "--markdown", "ci/summary.md"]
    command = ["regress", "payments", "--baseline", "payments", "--margin", "0.1"]
    passed = call(*command, "--model", "fake/good", "--out", "good")
    assert (passed.exit_code, passed.stdout.splitlines()[0][:5]) == (0, "PASS:")
    failed = call(*command, "--model", "fake/bad", "--format", "json", "--out", "bad", *files)
    assert failed.exit_code == 1
    assert json.loads(failed.stdout)["verdict"] == "FAIL"
    assert Path("ci/junit.xml").read_text("utf-8").startswith("<?xml")
    assert Path("ci/summary.md").read_text("utf-8").startswith("## ❌ FAIL: fake/bad")
    open_ = call(*command[:4], "--model", "fake/good", "--margin", "0.001", "--out", "good")
    assert open_.exit_code == 3
    gone = call(*command, "--model", "fake/gone", "--out", "gone")
    assert isinstance(gone.exception, ModelError)
    assert gone.exception.exit_code == 2
    assert not Path("gone").exists()

    shown = call("baseline", "diff", "payments", "bad")
    assert shown.exit_code == 0
    assert shown.stdout.startswith("FAIL: fake/bad")
    assert BASELINE.read_bytes() == before
    assert baseline.available() == ["payments"]
