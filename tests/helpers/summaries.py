"""Realistic scorecards for tests of what shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from thirdlever.analysis.scorecards import COLUMNS, FURTHER, typed
from thirdlever.analysis.stats.intervals import wilson

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    _Cell: TypeAlias = str | float | tuple[float, float] | None
    _Cells: TypeAlias = _Cell | list[_Cell] | list[str] | list[float] | list[tuple[float, float]]

# strategy, args, accuracy, latency p50 in s, tokens in, cached, out, USD per 1,000 requests
ROWS: Sequence[tuple[str, str, float, float, float, float, float, float]] = (
    ("rag", "k=20", 0.897, 0.612, 742.1, 118.0, 4.1, 0.1143),
    ("null", "kind=embeddings", 0.893, 0.009, 0, 0, 0, 0.0),
    ("rag", "k=5", 0.861, 0.548, 268.4, 118.0, 4.1, 0.0427),
    ("long_context", "", 0.842, 0.933, 7204.0, 7110.0, 4.0, 0.5498),
    ("few_shot", "k=32", 0.823, 0.571, 1012.7, 955.0, 4.2, 0.0828),
    ("few_shot", "", 0.781, 0.530, 371.3, 318.0, 4.2, 0.0343),
    ("zero_shot", "", 0.692, 0.502, 164.4, 118.0, 4.6, 0.0186),
    ("rag", "k=20,source=both", 0.901, 0.655, 1105.0, 118.0, 4.1, 0.1690),
    ("few_shot", "k=16,select=random", 0.774, 0.545, 590.0, 530.0, 4.2, 0.0520),
    ("lora", "", 0.912, 0.420, 96.0, 0, 4.0, 0.0301),
    ("long_context", "k=400", 0.848, 1.210, 12310.0, 12200.0, 4.0, 0.9321),
    ("null", "kind=majority", 0.112, 0.0001, 0, 0, 0, 0.0),
)


def summary(count: int = 5, *, n: int = 2000, model: str = "openai/gpt-4o-mini", **changes: _Cells) -> pd.DataFrame:
    """The first `count` of `ROWS`, best first, with columns changed as asked (a value, or one for each row)."""
    rows = []
    for strategy, args, accuracy, p50, tokens, cached, output, usd in ROWS[:count]:
        row: dict[str, Any] = dict.fromkeys([*COLUMNS, *FURTHER])
        row |= {"candidate": f"{strategy}({args})" if args else strategy, "strategy": strategy, "args": "{}"}
        row |= {
            "model": None if strategy == "null" else model,
            "n": n,
            "requests": n,
            "sources": n,
            "errors": 0,
            "unparseable": 3,
            "refused": 0,
            "cut_off": 0,
            "lost_attempts": 0,
            "ungraded": 0,
            "measured": True,
            "timed": 60,
            "base": None if strategy == "null" else model,
            "lever": {"null": "none", "rag": "retrieval", "lora": "tuned"}.get(strategy, "prompt"),
        }
        row |= {"accuracy": accuracy, "accuracy_ci95": wilson(accuracy * n, n), "macro_f1": accuracy - 0.014}
        row |= {"latency_p50_s": p50, "latency_p95_s": p50 * 1.6, "latency_p99_s": p50 * 2.3}
        row |= {"input_tokens": tokens, "cached_tokens": cached, "output_tokens": output}
        row |= {"cost_per_1k_usd": usd, "setup_usd": 0.0}
        rows.append(row)
    frame = typed(pd.DataFrame(rows))
    for name, value in changes.items():
        frame[name] = pd.Series(value if isinstance(value, list) else [value] * len(frame))
    return typed(frame).sort_values("accuracy", ascending=False, ignore_index=True)
