"""Runs on disk, made of figures, for tests of the memo."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from helpers import costed

from thirdlever.analysis.run import INFO, RECORDS, Run
from thirdlever.catalog.prices import Price
from thirdlever.decision.verdict import decide_on_run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from thirdlever.decision.verdict import Decision

WILLING = ("monthly_volume=1000000", "target_accuracy=0.9", "stable=yes", "behaviour=yes", "maintainer=us")
DEAR = Price("dear", 3.0, 1.5, 15.0, source="a list", as_of="2026-05-01")
RIGHT = {"null": 0.70, "few_shot": 0.80, "rag": 0.85, "lora": 0.95}
MODELS = {"null": None, "few_shot": "dear", "rag": "dear", "lora": "tuned"}


def made(
    folder: Path,
    right: Mapping[str, float] = RIGHT,
    n: int = 400,
    *,
    names: Mapping[str, str] | None = None,
    prices: Mapping[str, Price | None] | None = None,
    **columns: Any,  # noqa: ANN401 - of the records
) -> Run:
    """A run of strategies that are right on such shares of n items; the tuned one is cheaper, and the better.

    Args:
        folder: to write it in.
        right: shares, by strategy.
        n: items.
        names: of the candidates, where they are not their strategies'.
        prices: by model.
        columns: of all records.
    """
    names = {**dict(zip(right, right, strict=True)), **(names or {})}
    told = {"slice": [f"s{i % 3}" for i in range(n)], "reason": "", "completion": "a"}
    records, candidates = [], []
    for place, (strategy, share) in enumerate(right.items()):
        model = MODELS[strategy]
        score = (np.random.default_rng(place).permutation(n) >= round((1 - share) * n)).astype(float)
        row: dict[str, Any] = {
            "strategy": strategy,
            "model": model,
            "score": score,
            "prediction": np.where(score, "a", "b"),
        }
        if model is None:
            row |= {"input_tokens": 0, "output_tokens": 0, "device_s": 0.01}
        row |= {"retrieval_s": 0.02 if strategy == "rag" else np.nan, **told, **columns}
        records += [costed.requests(names[strategy], n, **row)]
        records += [costed.requests(names[strategy], 60, **{k: _first(v, 60) for k, v in row.items()}, phase="latency")]
        more = {"tuning": costed.tuning(examples=1000)} if strategy == "lora" else {}
        candidates.append(
            costed.candidate(names[strategy], model, strategy=strategy, identity="f00d", revision="r1", **more)
        )
    cheap = {"dear": DEAR, "tuned": costed.TUNED} if prices is None else prices
    return written(folder, candidates, records, prices=dict(cheap))


def written(folder: Path, candidates: Sequence[dict[str, Any]], records: Sequence[pd.DataFrame], **info: Any) -> Run:  # noqa: ANN401
    """The run as files."""
    suite: dict[str, Any] = {"name": "payments", "hash": "beef", "splits": {"test": "cafe"}, "counts": {"train": 5000}}
    about: dict[str, Any] = {
        "finished": "2026-11-21T10:00:00+00:00",
        "started": "2026-11-21T09:00:00+00:00",
        "status": "complete",
    }
    about |= {
        "suite": suite,
        "command": ["thirdlever", "run", "pay ments"],
        "versions": {"thirdlever": "0.1.0"},
        "seed": 0,
    }
    run = costed.run(candidates, records, folder=folder, **about, **info)
    folder.mkdir(parents=True, exist_ok=True)
    run.records.to_parquet(folder / RECORDS, index=False)
    (folder / INFO).write_text(json.dumps(run.info), "utf-8")
    return Run(folder)


def decided(run: Run, *given: str) -> Decision:
    """On assumptions under which a tune may pay."""
    return decide_on_run(run, [*WILLING, *given])


def _first(value: Any, n: int) -> Any:  # noqa: ANN401 - a value or one a row
    return value if isinstance(value, str) or not hasattr(value, "__len__") else value[:n]
