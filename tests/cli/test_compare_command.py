from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from thirdlever.analysis.compare import compared
from thirdlever.analysis.run import INFO, RECORDS, Run
from thirdlever.cli.decide import compare
from thirdlever.core.errors import RunError
from thirdlever.report import tables

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion

HOSTILE = "rag\x1b[2J|<script>`"


def saved(folder: Path, answers: dict[str, str], *, seeds: bool = False, **columns: Sequence[str]) -> Run:
    """A run on disk: candidate -> one character an item, 1 for right and 0 for wrong."""
    frames = [
        pd.DataFrame({"score": [float(c) for c in row], "item_id": [f"i{n:04}" for n in range(len(row))]}).assign(
            candidate=name, phase="accuracy", epoch=1, prediction="fuel", stop_reason="stop", error=None
        )
        for name, row in answers.items()
    ]
    frame = pd.concat(frames, ignore_index=True).assign(**{"slice": "", "group": None} | columns)
    frame["item_hash"] = frame["item_id"]
    unknown = dict.fromkeys(("input_tokens", "cached_tokens", "output_tokens", "latency_s", "retrieval_s", "device_s"))
    frame = frame.assign(strategy="few_shot", model="m", **unknown)
    frame.astype({"slice": "str", "group": "str"}).to_parquet(folder / RECORDS)
    listed = [
        {"name": name, "strategy": "few_shot", "args": {"seed": n} if seeds else {}, "base": "m", "tuning": None}
        for n, name in enumerate(answers)
    ]
    (folder / INFO).write_text(json.dumps({"suite": {"name": "made up"}, "candidates": listed}))
    return Run(folder)


# 16 won, 5 lost of 250; and one that is much worse.
A = "0" * 16 + "1" * 5 + "1" * 205 + "0" * 24
B = "1" * 16 + "0" * 5 + "1" * 205 + "0" * 24
WORSE = "0" * 125 + "1" * 125


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return saved(tmp_path, {"A": A, "B": B, "worse": WORSE})


def flat(text: str) -> str:
    return " ".join(text.split())


# What is compared


def test_the_best_is_compared_with_all_and_p_adjusts_for_every_pair(run: Run) -> None:
    found = compared(run)
    assert [(one.a, one.b) for one in found.comparisons] == [("B", "A"), ("B", "worse")]
    assert found.family == 3
    assert found.comparisons[0].p_adjusted == pytest.approx(0.0266, abs=1e-4)  # the largest of three
    assert list(found.accuracies) == ["B", "A", "worse"]


def test_all_pairs(run: Run) -> None:
    assert len(compared(run, every=True).comparisons) == 3


def test_one_against_all(run: Run) -> None:
    found = compared(run, "A")
    assert [(one.a, one.b) for one in found.comparisons] == [("A", "B"), ("A", "worse")]
    assert found.family == 2


def test_a_pair(run: Run) -> None:
    (one,) = compared(run, "A", "B").comparisons
    assert (one.won, one.lost, round(one.p, 4), one.p_adjusted) == (16, 5, 0.0266, one.p)


def test_a_slice(tmp_path: Path) -> None:
    run = saved(tmp_path, {"A": "0011", "B": "1111"}, slice=["x", "x", "y", "y"] * 2)
    found = compared(run, part="x")
    assert (found.items, found.comparisons[0].lost) == (2, 2)
    with pytest.raises(RunError, match="slice 'z' not found"):
        compared(run, part="z")


@pytest.mark.parametrize("names", [("A", "C"), ("C", None), ("worst", "A")])
def test_unknown_names(run: Run, names: tuple[str, str | None]) -> None:
    with pytest.raises(RunError, match="not found"):
        compared(run, *names)


def test_a_candidate_against_itself(run: Run) -> None:
    with pytest.raises(RunError, match=r"cannot compare .* with itself"):
        compared(run, "A", "A")


def test_one_candidate_alone(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="only candidate; run another strategy"):
        compared(saved(tmp_path, {"A": A}))


def test_a_run_that_is_not_finished(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not finished"):
        compared(Run(tmp_path))


# In words


def test_a_pair_is_described_in_sentences(run: Run, snapshot: SnapshotAssertion) -> None:
    text = tables.render_comparison(compared(run, "A", "B"))
    assert text == snapshot
    assert re.search(r"right on 16 items.* wrong on 5 .*4\.4 points better.*2\.7 % of runs", flat(text))


def test_a_difference_that_is_not_significant_says_how_many_items_it_takes(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    found = compared(saved(tmp_path, {"A": "10" * 20, "B": "10" * 19 + "11"}), "A", "B")
    text = flat(tables.render_comparison(found))
    assert tables.difference_sentence(found.comparisons[0], 1) == snapshot
    assert "right on 1 item " in text
    assert "not significant" in text
    assert "to detect 2.0 points, use about 503 items" in text


def test_a_difference_that_is_not_unusual_among_many_is_not_significant(tmp_path: Path) -> None:
    others = {f"c{n}": B[n:] + B[:n] for n in (30, 60, 90)}
    text = flat(tables.render_comparison(compared(saved(tmp_path, {"A": A, "B": B} | others))))
    assert "among 10 comparisons that is not unusual" in text


def test_equal_candidates_are_described_without_nan(tmp_path: Path) -> None:
    text = flat(tables.render_comparison(compared(saved(tmp_path, {"A": A, "B": A}), "A", "B")))
    assert "B and A do equally well on every item." in text
    assert "would occur in all runs" not in text
    assert "nan" not in text


def test_a_margin_is_shown_to_hold_or_not(run: Run) -> None:
    assert "B can replace A: a loss of 2.0 points or more is ruled out" in flat(
        tables.render_comparison(compared(run, "A", "B", margin=0.02))
    )
    text = flat(tables.render_comparison(compared(run, "B", "A", margin=0.02)))
    assert "It is not shown that A is less than 2.0 points worse than B: it may be 7.7 points worse." in text


def test_the_spread_over_seeds_is_split_into_its_sources(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    rng = np.random.default_rng(0)
    rows = {f"few_shot(seed={n})": "".join(rng.choice(["0", "1"], 100, p=[0.2, 0.8])) for n in range(3)}
    [spread] = compared(saved(tmp_path, rows, seeds=True)).variances
    assert len(spread.candidates) == 3
    assert tables.spread_sentence(spread) == snapshot


# The command


def test_the_command_prints_what_was_found(run: Run) -> None:
    app = typer.Typer()
    app.command()(compare)
    shown = CliRunner().invoke(app, [str(run.folder), "A", "B", "--margin", "0.02"])
    assert shown.exit_code == 0
    assert shown.output.strip() == tables.render_comparison(compared(run, "A", "B", margin=0.02)).strip()


# Formats


def test_the_table_fits_a_terminal(run: Run) -> None:
    lines = tables.render_comparison(compared(run), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "Suite made up: 250 test items." in lines[0]


def test_json_holds_everything(run: Run) -> None:
    found = json.loads(tables.render_comparison(compared(run, margin=0.02), "json"))
    assert found["comparisons"][0]["won"] == 5
    assert found["comparisons"][0]["design"]["discordant"] == pytest.approx(0.084)
    assert [one["holds"] for one in found["non_inferiority"]] == [False, False]
    assert set(found["accuracies"]) == {"A", "B", "worse"}


def test_json_has_no_nan(tmp_path: Path) -> None:
    found = json.loads(tables.render_comparison(compared(saved(tmp_path, {"A": "1", "B": "0"})), "json"))
    assert found["comparisons"][0]["mde"] is None


@pytest.mark.parametrize("fmt", ["text", "md", "json"])
def test_hostile_names_are_inert(tmp_path: Path, fmt: tables.ComparisonFormat) -> None:
    text = tables.render_comparison(compared(saved(tmp_path, {"A": A, HOSTILE: B})), fmt)
    assert "\x1b" not in text
    if fmt == "md":
        assert "`rag\\x1b[2J\\|<script>'`" in text


def test_many_pairs_are_shown_in_the_table_only(tmp_path: Path) -> None:
    run = saved(tmp_path, {f"c{n}": A[n:] + A[:n] for n in range(5)})
    text = tables.render_comparison(compared(run, every=True))
    assert "is right on" not in text
    assert "name its two candidates" in text
