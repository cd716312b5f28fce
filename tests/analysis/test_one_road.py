"""One function computes a run's figures, and everything that shows them reads it."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from helpers import memos

from thirdlever.analysis import figures
from thirdlever.analysis.compare import compared
from thirdlever.analysis.run import Run
from thirdlever.analysis.scorecards import lever
from thirdlever.report import memo
from thirdlever.report.page import page_data
from thirdlever.report.tables import render_summary

if TYPE_CHECKING:
    from pathlib import Path


def numbers(text: str) -> set[float]:
    return {float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*\.?\d*", text)}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """400 items from 134 shops; latencies and tokens differ between requests."""
    seconds = np.linspace(0.2, 0.9, 400)
    return memos.made(tmp_path, group=[f"shop {i // 3}" for i in range(400)], latency_s=seconds)


def test_table_decision_memo_page_and_compare_state_the_same_figures(run: Run) -> None:
    decision, comparison = memos.decided(run), compared(run)
    memo.write(memo.Subject(title="payments", source=run.folder, run=run), decision, run.folder / "memo")
    lines = (run.folder / "memo" / "memo.md").read_text("utf-8").splitlines()
    table = {row["candidate"]: row for row in json.loads(render_summary(run.summary, "json"))}
    page = {card["name"]: card for card in page_data(run).head["candidates"]}
    assert set(table) == set(page) == set(decision.standings) == set(run.figures) == set(memos.RIGHT)
    for name, one in run.figures.items():
        accuracy, row, card, standing = one.accuracy, table[name], page[name], decision.standings[name]
        assert accuracy is not None
        interval = (accuracy.low, accuracy.high)
        assert (
            row["accuracy"] == card["accuracy"] == standing.accuracy == accuracy.value == decision.costs[name].accuracy
        )
        assert tuple(row["accuracy_ci95"]) == (card["low"], card["high"]) == (standing.low, standing.high) == interval
        if name in comparison.accuracies:
            assert comparison.accuracies[name] == accuracy
        usd = decision.costs[name].per_request_usd
        assert row["cost_per_1k_usd"] == card["cost_per_1k_usd"] == (None if usd is None else 1000 * usd)
        for column in ("latency_p50_s", "latency_p95_s"):
            assert row[column] == card[column] == one.latency[column]
        shown = set().union(*(numbers(line) for line in lines if line.startswith(f"| `{name}`")))
        assert {round(100 * value, 1) for value in (accuracy.value, *interval)} <= shown
        assert {round(1000 * row[f"latency_p{q}_s"]) for q in (50, 95)} <= shown
        assert usd is None or round(1000 * usd, 2) in shown


def test_a_decision_at_another_device_rate_is_stated_by_the_memo(tmp_path: Path) -> None:
    run = memos.made(tmp_path, prices={}, device_s=np.linspace(0.1, 2.0, 400))
    assert run.summary["cost_per_1k_usd"].isna().all()
    decision = memos.decided(run, "device_usd_per_hour=3.6", "utilisation=0.5")
    shown = run.summary_at(3.6, 0.5).set_index("candidate")["cost_per_1k_usd"]
    assert shown.to_dict() == {name: 1000 * (cost.per_request_usd or 0) for name, cost in decision.costs.items()}
    assert shown["rag"] == pytest.approx(1000 * 1.05 * 3.6 / 3600 / 0.5)


def test_the_records_are_read_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[Any] = []
    read = pd.read_parquet

    def counted(*args: Any, **kwargs: Any) -> pd.DataFrame:  # noqa: ANN401 - pandas' arguments
        reads.append(args)
        return read(*args, **kwargs)

    monkeypatch.setattr(pd, "read_parquet", counted)
    again = Run(run.folder)
    subject = memo.Subject(title="payments", source=again.folder, run=again)
    memo.write(subject, memos.decided(again), run.folder / "memo")
    compared(again)
    page_data(again)
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("about", "retrieves", "expected"),
    [
        ({"lever": "retrieval", "model": "m"}, False, "retrieval"),
        ({"lever": None, "model": "m", "tuning": {"method": "lora"}}, True, "tuned"),
        ({"model": None}, False, "none"),
        ({"model": "m"}, True, "retrieval"),
        ({"model": "m", "tuning": None}, False, "prompt"),
        ({}, False, "prompt"),
    ],
)
def test_a_lever_is_what_the_deployment_states_or_does(about: dict[str, Any], retrieves: bool, expected: str) -> None:  # noqa: FBT001 - a parameter
    assert lever(about, retrieves=retrieves) == expected


def test_a_slice_has_figures_of_its_own(run: Run) -> None:
    whole, part = run.figures["rag"], figures(run.records, run.info, part="s1", confidence=0.9)["rag"]
    assert whole.accuracy is not None
    assert part.accuracy is not None
    assert (whole.accuracy.n, part.accuracy.n) == (400, 133)
    assert compared(run, part="s1", confidence=0.9).accuracies["rag"] == part.accuracy
    assert dataclasses.astuple(part.accuracy) != dataclasses.astuple(whole.accuracy)
