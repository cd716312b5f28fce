"""Runs made up for the report page: as many items and candidates as wanted, with logs like inspect's, and no model."""

from __future__ import annotations

import dataclasses
import json
import random
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pandas as pd

from thirdlever.analysis.run import INFO, RECORDS, Run
from thirdlever.answers.answer import Label
from thirdlever.core.files import write
from thirdlever.evaluation.records import COLUMNS, Reply, prompt_hash, to_parquet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.evaluation.logs import Message

if sys.version_info < (3, 14):
    import zipfile_zstd  # noqa: F401 - teaches zipfile the compression of inspect's logs

LABELS = ("cash", "coffee", "fees", "fuel", "groceries", "health", "home", "rent", "restaurants", "travel")
SYSTEM = f"Sort payments. Answer with one of: {', '.join(LABELS)}."
SHOTS: Sequence[Message] = tuple(
    message for n in range(8) for message in (("user", f"Payment: shop {n}"), ("assistant", LABELS[n]))
)


def make_run(
    folder: Path,
    *,
    items: int = 30,
    candidates: int = 3,
    epochs: int = 1,
    said: Mapping[tuple[int, int], str | None] | None = None,
    inputs: Mapping[int, str] | None = None,
    names: Sequence[str] = (),
    context: str = "",
    logs: bool = True,
) -> Run:
    """A finished run.

    Args:
        folder: where.
        items: how many.
        candidates: how many; each is a little worse than the one before.
        epochs: repeats of an item.
        said: completions by (candidate, item); None is a request that failed. Others are drawn.
        inputs: texts by item; others are made up.
        names: of the first candidates.
        context: put before every question.
        logs: whether to write them; without, prompts are unknown.
    """
    drawn = random.Random(0)
    grader = Label(LABELS)
    called = [*names, *(f"prompted(k={c})" for c in range(len(names), candidates))][:candidates]
    texts = [(inputs or {}).get(i, f"POS PURCHASE {1000 + i} SHOP {i % 97} | -{i % 89}.50 USD") for i in range(items)]
    targets = [LABELS[drawn.randrange(len(LABELS))] for _ in range(items)]
    records: list[dict[str, Any]] = []
    for c, name in enumerate(called):
        samples = []
        for i in range(items):
            for epoch in range(1, epochs + 1):
                right = drawn.random() < 0.9 - 0.08 * c
                drawn_answer = targets[i] if right else drawn.choice([*LABELS, "I cannot say"])
                answer = (said or {}).get((c, i), drawn_answer)
                question = f"{context} Payment: {texts[i]}" if context else f"Payment: {texts[i]}"
                prompt = [("system", SYSTEM), *SHOTS, ("user", question)]
                samples.append(
                    _sample(i=i, epoch=epoch, text=texts[i], target=targets[i], prompt=prompt, answer=answer)
                )
                records.append(
                    {"candidate": name, "strategy": name.partition("(")[0], "model": "fake/model", "input": texts[i]}
                    | _record(i=i, epoch=epoch, target=targets[i], prompt=prompt, answer=answer, grader=grader)
                )
        if logs:
            _log(folder / "logs" / f"{c}.accuracy.eval", samples)
    about = [
        {
            "name": name,
            "strategy": name.partition("(")[0],
            "args": {},
            "model": "fake/model",
            "logs": [f"{c}.accuracy.eval"],
        }
        for c, name in enumerate(called)
    ]
    info = {
        "status": "complete",
        "suite": {"name": "payments", "hash": "0" * 64},
        "candidates": about,
        "prices": {},
        "finished": "2026-11-22T04:00:00+00:00",
        "versions": {"thirdlever": "0.1.0"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / RECORDS, to_parquet([pd.DataFrame(records, columns=list(COLUMNS)).astype(COLUMNS)]))
    write(folder / INFO, json.dumps(info).encode())
    return Run(folder)


def _record(
    *, i: int, epoch: int, target: str, prompt: Sequence[Message], answer: str | None, grader: Label
) -> dict[str, Any]:
    error = None if answer is not None else "RuntimeError: <b>no</b> answer"
    asked = Reply(
        phase="accuracy",
        item_id=f"item-{i:05}",
        epoch=epoch,
        completion=answer or "",
        stop_reason="stop",
        error=error,
        input_tokens=120 + i % 7,
        cached_tokens=100,
        output_tokens=2,
        latency_s=0.25 + i % 10 / 100,
    )
    return dataclasses.asdict(asked.graded(grader, target)) | {
        "slice": ("seen", "unseen")[i % 2],
        "group": "",
        "target": target,
        "item_hash": str(i),
        "prompt_hash": prompt_hash(list(prompt)),
    }


def _sample(
    *, i: int, epoch: int, text: str, target: str, prompt: Sequence[Message], answer: str | None
) -> tuple[str, dict[str, Any]]:
    messages = [{"role": role, "content": said} for role, said in (*prompt, ("assistant", answer or ""))]
    sample = {"id": f"item-{i:05}", "epoch": epoch, "input": text, "target": target, "messages": messages, "events": []}
    return f"samples/item-{i:05}_epoch_{epoch}.json", sample


def _log(path: Path, samples: Sequence[tuple[str, dict[str, Any]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    zstandard = 93  # its number in a zip
    with zipfile.ZipFile(path, "w", compression=zstandard) as log:
        for name, sample in samples:
            log.writestr(name, json.dumps(sample))
