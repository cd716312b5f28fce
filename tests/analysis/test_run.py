"""Reading a run's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from helpers.pages import make_run

from thirdlever.analysis.run import RECORDS, Run

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = {0: "two\nlines", 1: "<b>", 2: "three"}


def without_inputs(folder: Path) -> Run:
    """A run as it was written before the records had a column `input`."""
    run = make_run(folder, items=3, candidates=2, inputs=TEXTS)
    run.records.drop(columns="input").to_parquet(folder / RECORDS, index=False)
    return Run(folder)


def test_records_hold_the_text_of_every_item(tmp_path: Path) -> None:
    run = make_run(tmp_path, items=3, candidates=2, inputs=TEXTS, logs=False)
    assert run.inputs() == {f"item-{i:05}": text for i, text in TEXTS.items()}
    assert run.inputs(["item-00002", "item-99999"]) == {"item-00002": "three"}


def test_an_older_run_has_its_inputs_from_the_logs(tmp_path: Path) -> None:
    run = without_inputs(tmp_path)
    assert run.inputs() == {f"item-{i:05}": text for i, text in TEXTS.items()}
    assert run.inputs(["item-00001"]) == {"item-00001": "<b>"}


def test_an_older_run_with_damaged_logs_has_no_inputs(tmp_path: Path) -> None:
    run = without_inputs(tmp_path)
    for log in (tmp_path / "logs").iterdir():
        log.write_bytes(b"torn")
    assert run.inputs() == {}
