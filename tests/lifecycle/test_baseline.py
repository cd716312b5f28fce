"""Baselines: what of a run is pinned, that the file gives it back, and that it stays small and readable in git."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from helpers.releases import model, pin

from thirdlever.charts import accuracy
from thirdlever.core.errors import RunError
from thirdlever.lifecycle import baseline
from thirdlever.lifecycle import baseline as pinning
from thirdlever.lifecycle.baseline import Got
from thirdlever.report.tables import render_baseline
from thirdlever.runner.runner import run
from thirdlever.strategies.specs import parse, spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("project")


@pytest.fixture(autouse=True)
def _no_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs grow in parts here, and drawing each part takes most of the time."""
    monkeypatch.setattr(accuracy, "draw", lambda *_, **__: None)


def troubled(number: int) -> str:
    """Item 1 cannot be read, item 2 fails."""
    if number == 2:
        message = "down"
        raise ConnectionError(message)
    return "neither of them" if number == 1 else ""


def test_a_baseline_comes_back_as_it_was_pinned() -> None:
    pinned = pin(model("fake/old", {0}, say=troubled), "plain", "plain:k=2", suite=make_suite(12), probe=3)
    again = pinning.load("payments")
    assert pinning.to_text(again) == pinning.to_text(pinned)
    assert [one.name for one in again.candidates] == ["plain", "plain(k=2)"]
    got = dict(zip([item.id for item in again.items], again.candidates[0].got, strict=True))
    assert got["test-0"] == Got(0.0, "fuel")
    assert got["test-1"] == Got(0.0, None)
    assert got["test-2"] == Got(0.0, None, failed=True)
    assert got["test-3"] == Got(1.0)
    assert again.candidates[0].figure("accuracy") == pytest.approx(9 / 12)
    assert again.candidates[0].figure("errors") == 1
    assert len(again.candidates[0].latencies_s) == 3
    assert again.suite["hash"] == make_suite(12).hash
    assert again.options["seed"] == 0
    assert "fake/old" in render_baseline(again)


def test_repeats_become_their_mean_and_the_first_answer_that_was_wrong() -> None:
    turns: dict[int, int] = {}

    def second_time_wrong(number: int) -> str:
        turns[number] = turns.get(number, 0) + 1
        return "food" if number == 1 and turns[number] == 2 else ""

    pinned = pin(model("fake/old", say=second_time_wrong), epochs=4, suite=make_suite(4))
    assert pinning.load("payments").candidates[0].got[1] == pinned.candidates[0].got[1] == Got(0.75, "food")


def test_each_item_has_a_line_of_its_own() -> None:
    pin(model("fake/old", {0}), suite=make_suite(6))
    lines = (pinning.folder() / "payments.json").read_text("utf-8").splitlines()
    [line] = [line for line in lines if line.startswith('["test-0"')]
    assert json.loads(line.rstrip(","))[2:] == ["unseen", "shop 0", "fuel"]
    pin(model("fake/old", {0, 1}), suite=make_suite(6), out="again")
    after = (pinning.folder() / "payments.json").read_text("utf-8").splitlines()
    changed = [line for line in after if line not in lines and line.startswith('["')]
    assert changed == ['["test-1", "' + pinning.load("payments").items[1].hash + '", "seen", "shop 0", "food"],']


def test_two_thousand_items_and_eight_candidates_stay_well_under_a_megabyte() -> None:
    pinned = pin(model("fake/old"), suite=make_suite(20))
    [one] = pinned.candidates
    got = [Got(0.0, "a_rather_long_label") if i % 3 else Got(1.0) for i in range(2000)]
    items = [pinned.items[0]._replace(id=f"tx-{i:05}", slice="unseen_merchant", group=f"m{i}") for i in range(2000)]
    large = replace(pinned, items=items, candidates=[replace(one, name=f"candidate {i}", got=got) for i in range(8)])
    size = len(pinning.to_text(large))
    assert size < 500_000


def test_a_long_answer_is_shortened() -> None:
    pinned = pin(model("fake/old", say=lambda n: "fuel" if n else "x" * 500), suite=make_suite(4))
    assert all(got.answer is None or len(got.answer) <= baseline.LONGEST for got in pinned.candidates[0].got)


# What cannot be pinned or read


@pytest.mark.parametrize("name", ["../escaped", ".hidden", "a b", ""])
def test_a_name_that_is_no_file_name_is_refused(name: str) -> None:
    pinned = pin(model("fake/old"), suite=make_suite(4))
    with pytest.raises(RunError, match="is no name for a baseline; use letters"):
        pinning.save(replace(pinned, name=name))


def test_a_baseline_that_is_not_there_is_named_with_its_neighbours() -> None:
    pin(model("fake/old"), suite=make_suite(4))
    with pytest.raises(RunError, match="baseline 'payment' not found; did you mean 'payments'"):
        pinning.load("payment")


def _shorter(table: dict[str, Any]) -> None:
    table["items"][1].pop()


def _other(table: dict[str, Any]) -> None:
    table["items"][1][-1] = {"score": 1}


def _impossible(table: dict[str, Any]) -> None:
    table["items"][1][-1] = [7, "fuel"]


def _without(table: dict[str, Any]) -> None:
    del table["suite"]


@pytest.mark.parametrize("damage", [_shorter, _other, _impossible, _without])
def test_a_damaged_file_is_a_sentence(damage: Callable[[dict[str, Any]], None]) -> None:
    pin(model("fake/old"), suite=make_suite(4))
    path = pinning.folder() / "payments.json"
    table = json.loads(path.read_text("utf-8"))
    damage(table)
    path.write_text(json.dumps(table), "utf-8")
    with pytest.raises(RunError, match=r"payments.json is damaged .*; restore it from git or pin the run again"):
        pinning.load("payments")


def test_a_torn_file_and_a_newer_format_are_told_apart() -> None:
    pin(model("fake/old"), suite=make_suite(4))
    path = pinning.folder() / "payments.json"
    text = path.read_text("utf-8")
    path.write_text(text[:-20], "utf-8")
    with pytest.raises(RunError, match="is damaged"):
        pinning.load("payments")
    path.write_text(text.replace('"format": 1', '"format": 2'), "utf-8")
    with pytest.raises(RunError, match="has format 2, this version reads 1; pin the run again"):
        pinning.load("payments")


def test_a_run_that_ended_at_its_budget_is_not_pinned(project: Path) -> None:
    price = '[[price]]\nmodel = "fake/old"\ninput = 1000.0\noutput = 0.0\nsource = "test"\nas_of = 2026-01-01\n'
    (project / "prices.toml").write_text(price, "utf-8")
    old = model("fake/old", tokens=lambda _: 100)
    done = run(make_suite(60), ["plain"], models=[old], out="old", probe=0, budget=2.0)
    with pytest.raises(RunError, match="ended at its budget"):
        baseline.of(done, "payments")


def test_a_run_in_which_every_request_failed_is_not_pinned() -> None:
    def down(_: int) -> str:
        message = "down"
        raise ConnectionError(message)

    with pytest.raises(RunError, match="every request of 'plain' failed, which measures nothing"):
        pin(model("fake/old", say=down), suite=make_suite(4))
    assert pinning.available() == []


def test_only_the_wanted_candidates_are_pinned() -> None:
    done = run(make_suite(6), ["plain", "plain:k=2"], models=[model("fake/old")], out="old", probe=0)
    assert [one.name for one in baseline.of(done, "x", only=["plain(k=2)"]).candidates] == ["plain(k=2)"]
    with pytest.raises(RunError, match=r"candidate 'plain\(k=3\)' not found; did you mean 'plain\(k=2\)'"):
        baseline.of(done, "x", only=["plain(k=3)"])


# Strategies to be run again


@pytest.mark.parametrize("text", ["plain", "plain:k=3", "plain:k=3,seed=1", "plain:k=1 on plain:k=2"])
def test_a_pinned_strategy_is_written_as_it_was_given(text: str) -> None:
    given = parse(text)
    again = spec(given.name, given.args)
    assert again == text
    assert parse(again).args == given.args


def test_a_default_that_has_changed_since_is_written_out() -> None:
    assert spec("plain", {"k": 0, "seed": 5}) == "plain:seed=5"


def test_a_strategy_that_must_be_told_something_is_told_everything(add: Callable[[str, str], None]) -> None:
    add(
        "needy",
        "from thirdlever import strategy\n\n@strategy\ndef needy(*, k: int, deep: bool = True):\n    return None\n",
    )
    assert spec("needy", {"k": 2, "deep": True}) == "needy:k=2,deep=true"
