"""Processor time to load a suite and to check it for leaked test items, by number of rows. Prints a Markdown table.

    python benchmarks/loading.py

Both should grow with the rows: ten times the rows take about ten times as long.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from pathlib import Path

from thirdlever import Label, load_suite
from thirdlever.suites.suite import Leakage

ROWS = (12_000, 120_000)
REPEATS = 3
LABELS = tuple(f"kind {number}" for number in range(25))


def write(rows: int) -> None:
    """A suite named `ledger` in the working directory: four fifths train, a fifth test, a document per 100 rows."""
    folder = Path("datasets/ledger")
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in (("train", rows * 4 // 5), ("test", rows // 5)):
        items = (
            {"id": f"{split}{n}", "input": f"card purchase {split} number {n} main street", "target": LABELS[n % 25]}
            for n in range(size)
        )
        (folder / f"{split}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items), "utf-8")
    documents = (
        {"id": f"d{n}", "title": "Payments", "text": "card purchase at number 5 main street and so on " * 20}
        for n in range(rows // 100)
    )
    (folder / "documents.jsonl").write_text("".join(json.dumps(document) + "\n" for document in documents), "utf-8")


def seconds(rows: int) -> tuple[float, float]:
    """Processor seconds to load the suite in the working directory, and to check it."""
    start = time.process_time()
    suite = load_suite("ledger", instruction="Name the kind.", answer=Label(LABELS))
    assert len(suite.train) == rows * 4 // 5
    loaded = time.process_time()
    Leakage(suite).check_suite()
    return loaded - start, time.process_time() - loaded


def main() -> None:
    """Print the least of the repeats."""
    print("| rows | load s | check s |")
    print("|--:|--:|--:|", flush=True)
    for rows in ROWS:
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            write(rows)
            load, check = (min(times) for times in zip(*(seconds(rows) for _ in range(REPEATS)), strict=True))
            os.chdir("/")
        print(f"| {rows:,} | {load:.2f} | {check:.2f} |")


if __name__ == "__main__":
    main()
