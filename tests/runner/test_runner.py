"""Candidates over a suite: what is asked, what is recorded, what it may cost, and what a second command asks."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import signal
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from conftest import make_suite
from filelock import FileLock
from inspect_ai._util import platform

from thirdlever import Split, load
from thirdlever.core.errors import ModelError, RunError, ThirdleverError
from thirdlever.evaluation.records import COLUMNS, Journal
from thirdlever.runner.runner import run
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thirdlever import Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project")

PRICE = """
[[price]]
model = "fake/model"
input = 1000.0
output = 0.0
source = "test"
as_of = 2026-01-01
"""

NULL = """
from thirdlever import Deployment, reply, strategy

@strategy
def null():
    return lambda suite, model, store: Deployment(reply(lambda text: "fuel"), model=None)
"""


def fuel(_: str) -> str:
    return "fuel"


def measure(suite: Suite, *strategies: str, model: FakeModel | None = None, **options: Any) -> Run:  # noqa: ANN401
    """A run of `plain` on a model that answers "fuel", with no probe unless asked for."""
    options = {"probe": 0, "out": "out", **options}
    return run(suite, strategies or ["plain"], models=[model or FakeModel(answer=fuel)], **options)


# What is recorded


def test_records_have_one_row_per_request_and_every_column(suite: Suite) -> None:
    records = measure(suite, probe=3).records
    assert list(records.columns) == list(COLUMNS)
    assert records.groupby("phase").size().to_dict() == {"accuracy": 12, "latency": 4}
    row = records[records["item_id"] == "test-0"].iloc[0]
    told = row[["candidate", "strategy", "model", "target", "prediction", "score", "stop_reason", "slice", "group"]]
    assert told.to_list() == ["plain", "plain", "fake/model", "food", "fuel", 0.0, "stop", "unseen", "shop 0"]
    assert row["reason"] == "expected 'food', got 'fuel'"
    assert row["input_tokens"] > row["output_tokens"] > 0
    assert row["latency_s"] > 0
    assert len(row["item_hash"]) == len(row["prompt_hash"]) == 64


def test_the_run_explains_itself(suite: Suite) -> None:
    done = measure(suite, "plain:k=2", limit=5, seed=3)
    info = json.loads((done.folder / "run.json").read_text("utf-8"))
    assert info["suite"]["hash"] == suite.hash
    assert info["suite"]["splits"]["test"] == suite.test.hash
    assert (info["limit"], info["seed"], info["status"]) == (5, 3, "complete")
    [candidate] = info["candidates"]
    assert candidate["name"] == "plain(k=2)"
    assert candidate["args"] == {"k": 2, "seed": 0}
    assert (candidate["given"], candidate["lever"]) == (2, "prompt")
    assert info["versions"]["inspect-ai"] == "0.3.285"
    for name in ("records.parquet", "summary.csv", "chart.png", "chart.svg", *(f"logs/{n}" for n in candidate["logs"])):
        assert (done.folder / name).is_file()


def test_all_candidates_are_asked_the_same_items(suite: Suite) -> None:
    records = measure(suite, "plain", "plain:k=2", limit=5).records
    asked = [set(part["item_id"]) for _, part in records.groupby("candidate")]
    assert len(asked) == 2
    assert asked[0] == asked[1] == {item.id for item in suite.test.first(5)}


def test_a_failed_request_is_wrong_and_shown(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    def fails(prompt: str) -> str:
        if "number 4" in prompt:
            raise ValueError(prompt)
        return "fuel"

    done = measure(suite, model=FakeModel(answer=fails), max_failed=0.1)
    [row] = done.records[done.records["error"].notna()].to_dict("records")
    assert (row["item_id"], row["score"], row["completion"]) == ("test-4", 0.0, "")
    place = f"{__file__}:104: ValueError: "
    assert row["error"].startswith(f"{place}Sort payments.")
    assert f"plain: accuracy: 1 of 12 requests failed, the first: {place}Sort pay" in capsys.readouterr().err
    assert done.summary.loc[0, "errors"] == 1
    assert done.summary.loc[0, "n"] == 12
    assert done.summary.loc[0, "accuracy"] == 7 / 12  # eight are fuel, and one of them failed


def test_an_answer_given_before_the_failure_does_not_count(suite: Suite, add: Callable[[str, str], None]) -> None:
    add(
        "late",
        """
from inspect_ai.solver import solver
from thirdlever import Deployment, ask, strategy

@strategy
def late():
    def prepare(suite, model, store):
        @solver
        def failing():
            async def solve(state, generate):
                await ask(suite)(state, generate)
                raise RuntimeError("after the answer")
            return solve
        return Deployment(failing(), model=model)
    return prepare
""",
    )
    done = measure(suite, "late")
    assert done.records["score"].sum() == 0
    assert set(done.records["error"]) == {f"{Path('strategies/late.py').resolve()}:12: RuntimeError: after the answer"}


def test_epochs_are_asked_and_recorded_apart(suite: Suite) -> None:
    model = FakeModel(answer=fuel)
    records = measure(suite, model=model, epochs=3).records
    assert len(model.prompts) == 36
    assert records.groupby("item_id")["epoch"].apply(sorted).to_list() == [[1, 2, 3]] * 12


def test_the_probe_keeps_its_cold_start_apart(suite: Suite) -> None:
    probe = measure(suite, probe=4).records.query("phase == 'latency'")
    assert probe["cold"].to_list() == [True, False, False, False, False]
    assert probe["item_id"].to_list() == [item.id for item in suite.test.first(5)]


def test_time_spent_retrieving_is_recorded_and_part_of_the_latency(
    suite: Suite, add: Callable[[str, str], None]
) -> None:
    add(
        "finds",
        """
from thirdlever import Context, Deployment, ask, strategy

@strategy
def finds():
    def prepare(suite, model, store):
        shots = suite.train.items[:1]
        return Deployment(ask(suite, lambda text: Context(shots)), model=model, given=shots)
    return prepare
""",
    )
    found = measure(suite, "finds")
    assert [candidate["lever"] for candidate in found.info["candidates"]] == ["retrieval"]
    records = found.records
    assert (records["retrieval_s"] > 0).all()
    assert (records["retrieval_s"] < records["latency_s"]).all()
    assert run(suite, ["plain"], models=[FakeModel()], out="other").records["retrieval_s"].isna().all()


# Strategies without a model, several models


def test_a_strategy_that_asks_no_model_runs_once_and_costs_no_tokens(
    suite: Suite, add: Callable[[str, str], None]
) -> None:
    add("null", NULL)
    one, two = FakeModel(answer=fuel), FakeModel(name="fake/other", inspect_name="fake/other", answer=fuel)
    done = run(suite, ["null", "plain"], models=[one, two], out="out", probe=2)
    assert set(done.records["candidate"]) == {"null", "plain @ fake/model", "plain @ fake/other"}
    null = done.records[done.records["candidate"] == "null"]
    assert null["model"].isna().all()
    assert [candidate["lever"] for candidate in done.info["candidates"]] == ["none", "prompt", "prompt"]
    assert (null["input_tokens"] == 0).all()
    assert null["score"].sum() == 9  # 8 of 12, and 1 of the 3 in the probe
    assert len(one.prompts) == len(two.prompts) == 15


# A second command


@pytest.mark.parametrize(
    ("strategies", "model", "named"),
    [(["plain:k=1"], "fake/model", "'plain', which"), (["plain"], "fake/other", "'plain', which")],
)
def test_a_run_is_not_replaced_by_another(suite: Suite, strategies: list[str], model: str, named: str) -> None:
    before = run(suite, ["plain"], models=[FakeModel()], out="kept")
    with pytest.raises(RunError, match=named.replace("'", "") + " this command leaves out; give another --out"):
        run(suite, strategies, models=[FakeModel(name=model)], out="kept")
    with pytest.raises(RunError, match="holds a run of suite 'payments'"):
        run(replace(suite, name="others"), ["plain"], models=[FakeModel()], out="kept")
    assert load("kept").info == before.info
    more = run(suite, ["plain", "plain:k=1"], models=[FakeModel()], out="kept")
    assert len(more.info["candidates"]) == 2


def test_a_repeated_command_without_new_answers_keeps_the_dates(suite: Suite) -> None:
    first = run(suite, ["plain"], models=[FakeModel()], out="kept").info
    again = run(suite, ["plain"], models=[FakeModel()], out="kept").info
    assert [again[key] for key in ("started", "finished")] == [first[key] for key in ("started", "finished")]
    more = run(suite, ["plain"], models=[FakeModel()], epochs=2, out="kept").info
    assert more["finished"] > first["finished"]


def test_a_repeated_command_sends_no_request(suite: Suite) -> None:
    first = measure(suite, probe=3)
    model = FakeModel(answer=fuel)
    second = measure(suite, model=model, probe=3)
    assert model.prompts == []
    pd.testing.assert_frame_equal(first.records, second.records)


def test_a_changed_target_invalidates_every_answer(suite: Suite) -> None:
    measure(suite, probe=3)
    one, *rest = suite.test
    changed = replace(suite, test_split=Split("test", (replace(one, target="fuel"), *rest)))
    model = FakeModel(answer=fuel)
    done = measure(changed, model=model, probe=3)
    assert len(model.prompts) == 12 + 4
    assert len(done.records) == 12 + 4
    assert done.records.query("item_id == 'test-0'")["target"].to_list()[0] == "fuel"
    assert len(list((done.folder / "logs").iterdir())) == 2  # the old ones are gone


def test_each_look_with_more_items_is_counted(suite: Suite) -> None:
    looks = [measure(suite, limit=n).info["looks"] for n in (3, 3, 5, 4, 9)]
    assert looks == [[3], [3], [3, 5], [3, 5], [3, 5, 9]]


def test_a_larger_limit_asks_only_for_the_rest(suite: Suite) -> None:
    measure(suite, limit=5)
    model = FakeModel(answer=fuel)
    assert len(measure(suite, model=model, limit=9).records) == 9
    assert len(model.prompts) == 4
    assert len(measure(suite, model=model, limit=3).records) == 3
    assert len(model.prompts) == 4


def test_a_failed_request_is_sent_again(suite: Suite) -> None:
    down = True

    def answer(prompt: str) -> str:
        if down and "number 4" in prompt:
            raise ConnectionError(prompt)
        return "fuel"

    measure(suite, model=FakeModel(answer=answer))
    down = False
    model = FakeModel(answer=answer)
    records = measure(suite, model=model).records
    assert len(model.prompts) == 1
    assert records["error"].isna().all()
    assert len(records) == 12


def test_a_lost_log_is_rebuilt_without_the_model(suite: Suite) -> None:
    [log] = (measure(suite).folder / "logs").iterdir()
    log.unlink()
    model = FakeModel()
    assert measure(suite, model=model).records["score"].sum() == 8
    assert model.prompts == []
    assert log.is_file()


# Decoding is the same for every candidate


def test_every_request_is_greedy_seeded_and_bounded(suite: Suite) -> None:
    model = FakeModel(answer=fuel)
    measure(suite, model=model, seed=7)
    for config in model.configs:
        assert (config.temperature, config.seed, config.max_tokens) == (0, 7, 16)  # the least that a provider takes
        assert config.max_retries == 8
        assert config.extra_body is None


def test_constrained_models_are_told_the_choices(suite: Suite) -> None:
    model = replace(FakeModel(answer=fuel), inspect_name="vllm/model")
    measure(suite, model=model, constrain=True)
    assert model.configs[0].extra_body == {"structured_outputs": {"choice": ["food", "fuel"]}}


def test_a_run_that_cannot_be_constrained_sends_nothing(suite: Suite) -> None:
    model = FakeModel(answer=fuel)
    with pytest.raises(RunError, match="'fake' takes no JSON schema"):
        measure(suite, model=model, constrain=True)
    assert model.prompts == []


# Money


def test_the_budget_ends_the_run_and_keeps_what_is_paid_for(project: Path) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    suite, model = make_suite(60), FakeModel(answer=fuel, tokens=lambda _: 100)  # 0.1 USD a request
    done = measure(suite, "plain", "plain:k=2", model=model, budget=2.95)
    assert done.info["status"] == "budget"
    assert 30 <= len(model.prompts) <= 30 + 20  # what was under way finished
    assert len(done.records) == len(model.prompts)
    assert done.info["spent_usd"] == pytest.approx(0.1 * len(model.prompts))
    assert done.records["error"].isna().all()
    assert set(done.records["candidate"]) == {"plain"}


def test_a_larger_budget_goes_on_and_counts_what_was_spent(project: Path) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")
    suite, model = make_suite(60), FakeModel(answer=fuel, tokens=lambda _: 100)
    measure(suite, model=model, budget=2.95)
    paid = len(model.prompts)
    measure(suite, model=model, budget=2.95)
    assert len(model.prompts) == paid
    assert measure(suite, model=model, budget=6.05).info["status"] == "complete"
    assert len(model.prompts) == 60


def test_a_budget_without_a_price_is_refused_before_anything_is_asked(suite: Suite) -> None:
    model = FakeModel()
    with pytest.raises(RunError, match=r"price of 'fake/model' is unknown; state it in prices.toml"):
        measure(suite, model=model, budget=1.0)
    with pytest.raises(RunError, match="give --device-usd-per-hour"):
        measure(suite, model=replace(model, local=True), budget=1.0)
    assert model.prompts == []


# A notebook, two at once


def test_a_run_works_inside_a_running_loop(suite: Suite) -> None:
    async def notebook() -> Run:
        return measure(suite)

    assert len(asyncio.run(notebook()).records) == 12


def test_a_notebook_needs_no_ipywidgets_and_stays_a_notebook_to_inspect(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "running_in_notebook", lambda: True)
    monkeypatch.setattr(platform, "have_package", lambda _: False)
    assert len(measure(suite).records) == 12
    assert platform.running_in_notebook()


def test_a_second_run_in_the_same_process_is_refused(suite: Suite) -> None:
    refused: list[str] = []

    def other() -> None:
        try:
            measure(suite, out="other")
        except RunError as error:
            refused.append(str(error))

    def answer(_: str) -> str:
        if not refused:
            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        return "fuel"

    measure(suite, model=FakeModel(answer=answer), limit=1)
    assert refused == ["another run is in progress in this process; wait for it to end"]


def test_a_folder_in_use_is_refused(suite: Suite, project: Path) -> None:
    (project / "out").mkdir()
    with FileLock(project / "out" / ".lock"), pytest.raises(RunError, match="'out' is in use by another run"):
        measure(suite)


# What goes wrong


@pytest.mark.parametrize("option", [{"limit": 0}, {"epochs": 0}, {"probe": -1}])
def test_counts_that_make_no_sense_are_refused(suite: Suite, option: dict[str, Any]) -> None:
    [(name, value)] = option.items()
    with pytest.raises(RunError, match=f"{name}={value} is not allowed; give"):
        measure(suite, **option)


def test_a_full_disk_ends_the_run_which_then_resumes(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    append = Journal.append

    def fills_up(journal: Journal, reply: Any) -> None:  # noqa: ANN401 - a Reply
        if len(journal.replies) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(journal, reply)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", fills_up)
        with pytest.raises(RunError, match="no space left on device; free some space and repeat the command"):
            measure(suite)
    model = FakeModel(answer=fuel)
    assert len(measure(suite, model=model).records) == 12
    assert len(model.prompts) == 12 - 5


def test_a_folder_that_cannot_be_created_is_explained(suite: Suite, project: Path) -> None:
    (project / "file").write_text("", "utf-8")
    with pytest.raises(RunError, match="cannot write 'file/out': not a directory; choose another --out"):
        measure(suite, out="file/out")


def test_an_error_that_affects_every_request_ends_the_run(suite: Suite) -> None:
    def unloadable(_: str) -> str:
        message = "weights are not there; fetch them"
        raise ModelError(message)

    model = FakeModel(answer=unloadable)
    with pytest.raises(ModelError, match="fetch them"):
        measure(suite, model=model, probe=3)


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """SIGINT interrupts, also where a shell that put the tests into the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
def test_an_interrupted_run_resumes(suite: Suite) -> None:
    def answer(_: str) -> str:
        if len(model.prompts) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return "fuel"

    model = FakeModel(answer=answer)
    with pytest.raises(KeyboardInterrupt):
        measure(suite, model=model)
    paid = len(model.prompts)
    again = FakeModel(answer=fuel)
    assert len(measure(suite, model=again).records) == 12
    assert 12 - paid <= len(again.prompts) < 12


def test_a_model_that_reports_no_usage_cannot_have_a_budget(suite: Suite, project: Path) -> None:
    (project / "prices.toml").write_text(PRICE, "utf-8")

    class Mute(FakeModel):
        def connect(self) -> Any:  # noqa: ANN401 - an inspect model
            model = super().connect()
            generate = model.api.generate

            async def without_usage(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - inspect's signature
                output: Any = await generate(*args, **kwargs)
                output.usage = None
                return output

            model.api.generate = without_usage  # type: ignore[method-assign]
            return model

    with pytest.raises(RunError, match="does not report its usage"):
        measure(suite, model=Mute(answer=fuel), budget=100.0)


# Reading a run


def test_a_run_is_found_by_folder_name_and_as_the_latest(suite: Suite) -> None:
    for name in ("results/one", "results/two"):
        measure(suite, out=name, limit=2)
    assert load("results/one").folder == load("one").folder
    assert load("latest").folder.name == "two"
    with pytest.raises(RunError, match="run 'oen' not found; did you mean 'one'"):
        load("oen")


def test_a_run_that_is_not_finished_says_how_to_finish_it(project: Path) -> None:
    (project / "out").mkdir()
    with pytest.raises(RunError, match="the run is not finished; repeat its command with --out out"):
        _ = load("out").summary


def test_a_run_that_fails_to_start_leaves_no_folder(suite: Suite, project: Path) -> None:
    before = set(project.rglob("*"))
    with pytest.raises(ModelError):
        run(suite, ["plain"], models=["no-such-model"], out="some/where")
    assert set(project.rglob("*")) - before <= {*project.glob("strategies/__pycache__"), *project.rglob("*.pyc")}


@pytest.mark.parametrize("option", [{"device_usd_per_hour": -1.0}, {"utilisation": 0.0}])
def test_amounts_that_make_no_sense_are_refused(suite: Suite, option: dict[str, Any]) -> None:
    with pytest.raises(ThirdleverError):
        measure(suite, **option)


def test_the_same_model_twice_is_refused(suite: Suite) -> None:
    with pytest.raises(ThirdleverError, match="model 'fake/model' is given 2 times"):
        run(suite, ["plain"], models=[FakeModel(), FakeModel()], out="out")
