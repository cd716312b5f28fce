from __future__ import annotations

import json
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
from thirdlever.report import comparison

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

HOSTILE = "rag\x1b[2J|<script>`"


def saved(folder: Path, answers: dict[str, str], *, seeds: bool = False, **columns: Sequence[str]) -> Run:
    """A run on disk: candidate -> one character an item, 1 for right and 0 for wrong."""
    frames = [
        pd.DataFrame({"score": [float(c) for c in row], "item_id": [f"i{n:04}" for n in range(len(row))]}).assign(
            candidate=name, phase="accuracy", epoch=1
        )
        for name, row in answers.items()
    ]
    frame = pd.concat(frames, ignore_index=True).assign(**{"slice": "", "group": None} | columns)
    frame["item_hash"] = frame["item_id"]
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


def test_the_best_is_held_against_all_and_p_allows_for_every_pair(run: Run) -> None:
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


def test_flips_are_told(run: Run) -> None:
    text = flat(comparison.render(compared(run, "A", "B")))
    assert "B is right on 16 items where A is wrong, and wrong on 5 where A is right." in text
    assert "So B is 4.4 points better here" in text
    assert "in 2.7 % of cases (p 0.027): the difference is real." in text


def test_what_is_not_proven_says_what_it_takes(tmp_path: Path) -> None:
    text = flat(comparison.render(compared(saved(tmp_path, {"A": "10" * 20, "B": "10" * 19 + "11"}), "A", "B")))
    assert "B is right on 1 item where A is wrong, and wrong on 0 where A is right." in text
    assert "the difference is not proven" in text
    assert "Not proven is not the same as equal." in text
    assert "for 2.5 points it takes about 3" in text


def test_what_luck_explains_among_many(tmp_path: Path) -> None:
    others = {f"c{n}": B[n:] + B[:n] for n in (30, 60, 90)}
    text = flat(comparison.render(compared(saved(tmp_path, {"A": A, "B": B} | others))))
    assert "among 10 comparisons one like it is no rarity" in text


def test_equals(tmp_path: Path) -> None:
    text = flat(comparison.render(compared(saved(tmp_path, {"A": A, "B": A}), "A", "B")))
    assert "B and A do equally well on every item. So B is exactly as good here" in text
    assert "nan" not in text


def test_a_margin_is_shown_or_not(run: Run) -> None:
    assert "B may replace A: a loss of 2.0 points or more is ruled out" in flat(
        comparison.render(compared(run, "A", "B", margin=0.02))
    )
    text = flat(comparison.render(compared(run, "B", "A", margin=0.02)))
    assert "That A is less than 2.0 points worse than B is not shown: it may be 7.7 points worse." in text


def test_seeds_are_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {f"few_shot(seed={n})": "".join(rng.choice(["0", "1"], 100, p=[0.2, 0.8])) for n in range(3)}
    text = flat(comparison.render(compared(saved(tmp_path, rows, seeds=True))))
    assert "few_shot was tried with 3 seeds" in text
    assert "from the draw of its demonstrations, which no interval of one run can see" in text


# The command


def test_the_command_prints_what_was_found(run: Run) -> None:
    app = typer.Typer()
    app.command()(compare)
    shown = CliRunner().invoke(app, [str(run.folder), "A", "B", "--margin", "0.02"])
    assert shown.exit_code == 0
    assert shown.output.strip() == comparison.render(compared(run, "A", "B", margin=0.02)).strip()


# Formats


def test_the_table_fits_a_terminal(run: Run) -> None:
    lines = comparison.render(compared(run), width=80).splitlines()
    assert max(map(len, lines)) <= 80
    assert "Suite made up: 250 test items." in lines[0]


def test_json_holds_everything(run: Run) -> None:
    found = json.loads(comparison.render(compared(run, margin=0.02), "json"))
    assert found["comparisons"][0]["won"] == 5
    assert found["comparisons"][0]["design"]["discordant"] == pytest.approx(0.084)
    assert [one["holds"] for one in found["non_inferiority"]] == [False, False]
    assert set(found["accuracies"]) == {"A", "B", "worse"}


def test_json_has_no_nan(tmp_path: Path) -> None:
    found = json.loads(comparison.render(compared(saved(tmp_path, {"A": "1", "B": "0"})), "json"))
    assert found["comparisons"][0]["mde"] is None


@pytest.mark.parametrize("fmt", ["text", "md", "json"])
def test_hostile_names_are_inert(tmp_path: Path, fmt: comparison.Format) -> None:
    text = comparison.render(compared(saved(tmp_path, {"A": A, HOSTILE: B})), fmt)
    assert "\x1b" not in text
    if fmt == "md":
        assert "`rag\\x1b[2J\\|<script>'`" in text


def test_many_pairs_are_a_table_alone(tmp_path: Path) -> None:
    run = saved(tmp_path, {f"c{n}": A[n:] + A[:n] for n in range(5)})
    text = comparison.render(compared(run, every=True))
    assert "is right on" not in text
    assert "Name two candidates" in text
