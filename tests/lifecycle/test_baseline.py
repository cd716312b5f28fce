"""Baselines: what is stored of a run, what loading restores, and that the file stays small and readable in git."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from conftest import make_suite
from helpers.releases import model, pin

from thirdlever.core.errors import BudgetError, RunError
from thirdlever.lifecycle import baseline
from thirdlever.lifecycle.baseline import ItemResult
from thirdlever.report.tables import render_baseline
from thirdlever.runner.runner import run
from thirdlever.strategies.specs import parse, spec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("project", "fast_runs")


def troubled(number: int) -> str:
    """Item 1 is unparsed, item 2 fails."""
    if number == 2:
        message = "down"
        raise ConnectionError(message)
    return "neither of them" if number == 1 else ""


def test_loading_restores_what_was_saved() -> None:
    pinned = pin(
        model("fake/old", {0}, say=troubled), "plain", "plain:k=2", suite=make_suite(12), probe=3, max_failed=0.1
    )
    again = baseline.load("payments")
    assert baseline.to_text(again) == baseline.to_text(pinned)
    assert [one.name for one in again.candidates] == ["plain", "plain(k=2)"]
    got = dict(zip([item.id for item in again.items], again.candidates[0].results, strict=True))
    assert got["test-0"] == ItemResult(0.0, "fuel")
    assert got["test-1"] == ItemResult(0.0, None)
    assert got["test-2"] == ItemResult(0.0, None, failed=True)
    assert got["test-3"] == ItemResult(1.0)
    assert again.candidates[0].figure("accuracy") == pytest.approx(9 / 12)
    assert again.candidates[0].figure("errors") == 1
    assert len(again.candidates[0].latencies_s) == 3
    assert again.suite["hash"] == make_suite(12).hash
    assert again.options["seed"] == 0
    assert "fake/old" in render_baseline(again)


def test_epochs_become_their_mean_and_the_first_wrong_answer() -> None:
    turns: dict[int, int] = {}

    def second_time_wrong(number: int) -> str:
        turns[number] = turns.get(number, 0) + 1
        return "food" if number == 1 and turns[number] == 2 else ""

    pinned = pin(model("fake/old", say=second_time_wrong), epochs=4, suite=make_suite(4))
    assert (
        baseline.load("payments").candidates[0].results[1]
        == pinned.candidates[0].results[1]
        == ItemResult(0.75, "food")
    )


def test_the_file_has_one_line_per_item() -> None:
    pin(model("fake/old", {0}), suite=make_suite(6))
    lines = (baseline.folder() / "payments.json").read_text("utf-8").splitlines()
    [line] = [line for line in lines if line.startswith('["test-0"')]
    assert json.loads(line.rstrip(","))[2:] == ["unseen", "shop 0", "fuel"]
    pin(model("fake/old", {0, 1}), suite=make_suite(6), out="again")
    after = (baseline.folder() / "payments.json").read_text("utf-8").splitlines()
    changed = [line for line in after if line not in lines and line.startswith('["')]
    assert changed == ['["test-1", "' + baseline.load("payments").items[1].hash + '", "seen", "shop 0", "food"],']


def test_two_thousand_items_and_eight_candidates_stay_well_under_a_megabyte() -> None:
    pinned = pin(model("fake/old"), suite=make_suite(20))
    [one] = pinned.candidates
    got = tuple(ItemResult(0.0, "a_rather_long_label") if i % 3 else ItemResult(1.0) for i in range(2000))
    items = [pinned.items[0]._replace(id=f"tx-{i:05}", slice="unseen_merchant", group=f"m{i}") for i in range(2000)]
    large = replace(
        pinned, items=items, candidates=[replace(one, name=f"candidate {i}", results=got) for i in range(8)]
    )
    size = len(baseline.to_text(large))
    assert size < 500_000


def test_a_long_answer_is_shortened() -> None:
    pinned = pin(model("fake/old", say=lambda n: "fuel" if n else "x" * 500), suite=make_suite(4), max_unparsed=0.25)
    assert all(got.answer is None or len(got.answer) <= baseline.MAX_ANSWER for got in pinned.candidates[0].results)


# Errors


@pytest.mark.parametrize("name", ["../escaped", ".hidden", "a b", ""])
def test_an_invalid_name_is_refused(name: str) -> None:
    pinned = pin(model("fake/old"), suite=make_suite(4))
    with pytest.raises(RunError, match=r"invalid baseline name .*; use letters"):
        baseline.save(replace(pinned, name=name))


def test_a_missing_baseline_is_reported_with_similar_names() -> None:
    pin(model("fake/old"), suite=make_suite(4))
    with pytest.raises(RunError, match="baseline 'payment' not found; did you mean 'payments'"):
        baseline.load("payment")


def _shorter(table: dict[str, Any]) -> None:
    table["items"][1].pop()


def _other(table: dict[str, Any]) -> None:
    table["items"][1][-1] = {"score": 1}


def _impossible(table: dict[str, Any]) -> None:
    table["items"][1][-1] = [7, "fuel"]


def _without(table: dict[str, Any]) -> None:
    del table["suite"]


@pytest.mark.parametrize("damage", [_shorter, _other, _impossible, _without])
def test_a_damaged_file_is_reported_in_one_sentence(damage: Callable[[dict[str, Any]], None]) -> None:
    pin(model("fake/old"), suite=make_suite(4))
    path = baseline.folder() / "payments.json"
    table = json.loads(path.read_text("utf-8"))
    damage(table)
    path.write_text(json.dumps(table), "utf-8")
    with pytest.raises(RunError, match=r"payments.json is damaged .*; restore it from git or pin the run again"):
        baseline.load("payments")


def test_a_truncated_file_and_a_newer_format_have_different_messages() -> None:
    pin(model("fake/old"), suite=make_suite(4))
    path = baseline.folder() / "payments.json"
    text = path.read_text("utf-8")
    path.write_text(text[:-20], "utf-8")
    with pytest.raises(RunError, match="is damaged"):
        baseline.load("payments")
    path.write_text(text.replace('"format": 1', '"format": 2'), "utf-8")
    with pytest.raises(RunError, match="has format 2, but this version reads 1; pin the run again"):
        baseline.load("payments")


def test_a_run_that_stopped_at_its_budget_is_not_pinned(project: Path) -> None:
    price = '[[price]]\nmodel = "fake/old"\ninput = 1000.0\noutput = 0.0\nsource = "test"\nas_of = 2026-01-01\n'
    (project / "prices.toml").write_text(price, "utf-8")
    old = model("fake/old", tokens=lambda _: 100)
    done = run(make_suite(60), ["plain"], models=[old], out="old", probe=0, budget=2.0)
    with pytest.raises(BudgetError, match=r"the budget is spent.*; answers so far: plain has"):
        baseline.from_run(done, "payments")


def test_a_run_in_which_every_request_failed_is_not_pinned() -> None:
    def down(_: int) -> str:
        message = "down"
        raise ConnectionError(message)

    with pytest.raises(RunError, match="no candidate is measured; plain: not measured: 4 of 4 requests failed"):
        pin(model("fake/old", say=down), suite=make_suite(4))
    assert baseline.available() == []


def test_only_the_wanted_candidates_are_pinned() -> None:
    done = run(make_suite(6), ["plain", "plain:k=2"], models=[model("fake/old")], out="old", probe=0)
    assert [one.name for one in baseline.from_run(done, "x", only=["plain(k=2)"]).candidates] == ["plain(k=2)"]
    with pytest.raises(RunError, match=r"candidate 'plain\(k=3\)' not found; did you mean 'plain\(k=2\)'"):
        baseline.from_run(done, "x", only=["plain(k=3)"])


# Specs


@pytest.mark.parametrize("text", ["plain", "plain:k=3", "plain:k=3,seed=1", "plain:k=1 on plain:k=2"])
def test_a_stored_strategy_has_the_spec_it_was_given(text: str) -> None:
    given = parse(text)
    again = spec(given.name, given.args)
    assert again == text
    assert parse(again).args == given.args


def test_an_argument_is_written_if_its_default_has_changed() -> None:
    assert spec("plain", {"k": 0, "seed": 5}) == "plain:seed=5"


def test_a_strategy_with_required_arguments_gets_all_arguments(add: Callable[[str, str], None]) -> None:
    add(
        "needy",
        "from thirdlever import strategy\n\n@strategy\ndef needy(*, k: int, deep: bool = True):\n    return None\n",
    )
    assert spec("needy", {"k": 2, "deep": True}) == "needy:k=2,deep=true"
