"""Runs that cost something, made of figures: for tests of money."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from thirdlever.analysis.run import Run
from thirdlever.catalog.prices import Price
from thirdlever.evaluation.records import COLUMNS

if TYPE_CHECKING:
    from collections.abc import Sequence

MINI = Price("openai/gpt-4o-mini", 0.15, 0.075, 0.60, source="a list", as_of="2026-11-01")
TUNED = Price("tuned gpt-4o-mini", 0.30, 0.15, 1.20, source="a list", as_of="2026-05-01")


def candidate(name: str, model: str | None = "openai/gpt-4o-mini", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """A candidate as run.json has it, that took nothing to set up unless `more` says so."""
    setup: dict[str, Any] = {"labels": 0, "seconds": 0.0, "device_seconds": 0.0, "usd": 0.0}
    setup |= {"input_tokens": 0, "output_tokens": 0} | more.pop("setup", {})
    about = {"name": name, "strategy": name, "args": {}, "model": model, "base": model, "setup": setup, "tuning": None}
    return about | more


def tuning(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - a field of `Tuning`
    return {
        "method": "supervised",
        "where": "OpenAI",
        "examples": 100,
        "epochs": 3,
        "tokens": 300_000,
        "bytes": None,
        "hosting_usd_per_hour": 0.0,
        "survived": None,
    } | more


def requests(name: str, n: int = 100, *, seed: int = 0, **columns: Any) -> pd.DataFrame:  # noqa: ANN401 - a value or one a row
    """Records of a candidate's accuracy pass: n items, right every second time, 1,000 tokens in and 10 out."""
    random = np.random.default_rng(seed)
    given: dict[str, Any] = {
        "item_id": [f"i{number:06}" for number in range(n)],
        "candidate": name,
        "strategy": name,
        "phase": "accuracy",
        "epoch": 1,
        "slice": "",
        "group": "",
        "target": "a",
        "prediction": "a",
        "score": (np.arange(n) % 2).astype(float),
        "input_tokens": random.integers(500, 1501, n),
        "cached_tokens": 0,
        "output_tokens": 10,
        "latency_s": 0.1,
        "cold": False,
    }
    return pd.DataFrame(given | columns, columns=list(COLUMNS)).astype(COLUMNS)


def run(
    candidates: Sequence[dict[str, Any]],
    records: Sequence[pd.DataFrame],
    *,
    prices: dict[str, Price | None] | None = None,
    folder: Path = Path("nowhere"),
    **info: Any,  # noqa: ANN401 - a key of run.json
) -> Run:
    """A run in memory; `prices` by model, gpt-4o-mini's by default."""
    made = Run(folder)
    prices = {"openai/gpt-4o-mini": MINI} if prices is None else prices
    about: dict[str, Any] = {"suite": {"name": "payments"}, "candidates": list(candidates), "device_usd_per_hour": None}
    about |= {"utilisation": 1.0, "prices": {name: price and price.to_dict() for name, price in prices.items()}}
    vars(made).update(info=about | info, records=pd.concat(records, ignore_index=True))
    return made
