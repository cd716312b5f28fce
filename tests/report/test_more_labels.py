from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
from helpers import memos
from helpers.curves import Experiment, Truth

from thirdlever.analysis.learning import FILE, LearningCurve, Lost, NextLabels, Overtaking, Worth, analyse
from thirdlever.core.errors import RunError
from thirdlever.report import memo
from thirdlever.report.more_labels import gain_sentence, overtaking_sentence, render_curve, worth_sentence

if TYPE_CHECKING:
    from pathlib import Path


def law(labels: float, *, a: float, b: float, c: float) -> float:
    return float(a * labels**-b + c)


TUNED = Truth(line="lora(epochs=1)", lever="tuned", error=partial(law, a=6.0, b=0.5, c=0.05), usd=0.02, seconds=0.2)
RAG = Truth(line="rag(k=5)", lever="retrieval", error=partial(law, a=1.2, b=0.3, c=0.12), usd=0.11, seconds=0.6)
FLAT = Truth(line="zero_shot", lever="prompt", error=lambda _: 0.4, flat=True)
WITHIN = Overtaking(
    a="lora", b="rag", first=100, last=3000, outcome="within", labels=617.0, low=240.0, high=1900.0, certain=False,
    share=1.0, difference=0.051, difference_low=0.02, difference_high=0.081,
)  # fmt: skip
GAIN = NextLabels(
    line="lora", a=6.0, b=0.5, c=0.05, sizes=4, last=3000, more=1000, gain=0.014, gain_low=0.011, gain_high=0.018,
    p=0.6, available=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def curve() -> LearningCurve:
    draws = Experiment(items=300).draws([TUNED, RAG, FLAT], np.random.default_rng(0))
    return analyse(draws, suite="payments", available=12_000, usd_per_label=0.5)


def test_the_table_has_a_column_for_each_size_and_fits_100_columns(curve: LearningCurve) -> None:
    lines = render_curve(curve).splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[1].split()[-5:] == ["100", "300", "1,000", "3,000", "10,000"]


def test_many_sizes_are_shown_in_several_tables() -> None:
    sizes = tuple(range(100, 1300, 100))
    found = analyse(Experiment(items=30, seeds=1, sizes=sizes).draws([TUNED], np.random.default_rng(0)))
    text = render_curve(found)
    assert max(map(len, text.splitlines())) <= 100
    assert all(f"{size:,}" in text for size in sizes)


def test_a_line_without_labels_is_the_same_everywhere(curve: LearningCurve) -> None:
    row = next(line for line in render_curve(curve).splitlines() if line.startswith("zero_shot (no labels)"))
    assert len(set(row.split()[3:])) == 1


def test_json_has_every_figure(curve: LearningCurve) -> None:
    found = json.loads(render_curve(curve, "json"))
    assert found["lines"][0]["points"][0]["accuracy"] == curve.lines[0].points[0].accuracy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "lora overtakes rag at about 620 labels (95 % interval: 240 to 1,900). With 3,000, the difference is"),
        ({"low": None}, "(95 % interval: at most 1,900)"),
        ({"high": None}, "(95 % interval: 240 or more, or not at all)"),
        ({"low": None, "high": None}, "but the interval of that includes every outcome within 100 to 3,000 labels"),
        ({"outcome": "already", "labels": None, "low": None, "high": None, "certain": True}, "ahead of rag already"),
        (
            {"outcome": "not within", "labels": None, "low": None, "high": None, "certain": True},
            "lora does not overtake rag within 100 to 3,000 labels (95 % interval: the same)",
        ),
        (
            {"outcome": "not within", "labels": None, "low": 2100.0, "high": None},
            "within 100 to 3,000 labels (95 % interval: 2,100 or more, or not at all)",
        ),
        ({"outcome": "not within", "labels": None, "first": 3000, "high": None}, "lora is not ahead of rag with 3,000"),
    ],
)
def test_where_one_overtakes_another_is_said_in_words(changes: dict[str, object], said: str) -> None:
    assert said in overtaking_sentence(replace(WITHIN, **changes))  # type: ignore[arg-type]


def test_the_difference_with_most_labels_is_said() -> None:
    assert overtaking_sentence(WITHIN).endswith("the difference is +5.1 points (95 % interval +2.0 to +8.1).")


@pytest.mark.parametrize(
    ("changes", "usd", "said"),
    [
        ({}, None, "lora: 1,000 labels beyond 3,000 would add about 1.4 points (95 % interval 1.1 to 1.8)."),
        ({}, 0.5, "for $500, $357 a point."),
        ({"gain": 0.0}, 0.5, "would add nothing that this curve shows (95 % interval 1.1 to 1.8) for $500."),
        ({"last": 300}, None, "extrapolated to 4.3 times the most that was measured"),
        ({"p": 0.001}, None, "The formula does not fit what was measured, so do not rely on it."),
        ({"p": None, "sizes": 3}, None, "fitted to 3 sizes, which such a curve always fits: measure a fourth."),
        ({"available": 9000}, None, "The suite has 9,000 more labels: measure with them instead."),
    ],
)
def test_what_more_labels_would_buy_is_said_in_words(changes: dict[str, object], usd: float | None, said: str) -> None:
    assert said in gain_sentence(replace(GAIN, **changes), usd)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, "lora: 50,000 labels of which 20 % are wrong are as good as about 620 right ones (95 % interval: 240 to"),
        ({"high": None}, "(95 % interval: 240 or more)"),
        ({"outcome": "already", "labels": None, "low": None}, "are no better than 100 right ones"),
        ({"outcome": "not within", "labels": None, "high": None}, "are at least as good as 3,000 right ones"),
    ],
)
def test_what_noisy_labels_are_worth_is_said_in_words(changes: dict[str, object], said: str) -> None:
    worth = Worth(line="lora", noise=0.2, noisy=50_000, clean=replace(WITHIN, **changes))  # type: ignore[arg-type]
    assert said in worth_sentence(worth)


def test_what_is_not_measured_is_named_with_its_reason(curve: LearningCurve) -> None:
    lost = [
        Lost(line="lora", labels=100, seed=seed, noise=0.0, why="40 % of answers could not be parsed")
        for seed in (0, 1)
    ]
    assert "lora with 100 labels: 40 % of answers could not be parsed." in render_curve(replace(curve, lost=lost))


# In the memo


def test_a_memo_shows_the_curve_of_its_suite(tmp_path: Path, curve: LearningCurve) -> None:
    run = memos.made(tmp_path / "run", n=60)
    subject = memo.Subject(title="payments", source=run.folder, run=run, curve=curve)
    page, text, *files = memo.write(subject, memos.decided(run, "usd_per_label=0.5"), tmp_path / "memo")
    section = text.read_text("utf-8").partition("## Would more labels help?")[2].partition("\n## ")[0]
    assert "(curve.png)" in section
    assert "lora\\(epochs=1\\) overtakes" in section or "overtakes rag(k=5) at about" in section
    assert "$500" in section
    assert tmp_path / "memo" / "curve.svg" in files
    assert 'id="curve"' in page.read_text("utf-8")


def test_a_curve_of_other_data_is_refused(tmp_path: Path) -> None:
    run = memos.made(tmp_path / "run", n=60)
    about = {"suite": {"name": "payments", "hash": "other", "labels": 10}, "cells": []}
    (tmp_path / FILE).write_text(json.dumps(about), "utf-8")
    with pytest.raises(RunError, match="is of another version of suite 'payments'; measure the curve again"):
        memo.curve_of(run, tmp_path)
    about["suite"] = {"name": "bills", "hash": "other", "labels": 10}
    (tmp_path / FILE).write_text(json.dumps(about), "utf-8")
    with pytest.raises(RunError, match="is of suite 'bills', not of suite 'payments'"):
        memo.curve_of(run, tmp_path)


def test_figures_have_no_curve(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="a file of figures has no suite"):
        memo.curve_of(None, tmp_path)


def test_a_folder_without_a_curve_is_refused(tmp_path: Path) -> None:
    run = memos.made(tmp_path / "run", n=60)
    with pytest.raises(RunError, match=r"curve\.json is missing"):
        memo.curve_of(run, tmp_path)
