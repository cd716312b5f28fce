"""From records to scorecards: one row a candidate, every figure with its unit in its name, unknown as a missing value.

In memory and in summary.csv unknown is a missing value; in JSON it is null. It is never 0. `accuracy_ci95` is a
(low, high) tuple in memory, a pair in JSON, and the two columns `accuracy_ci95_low` and `accuracy_ci95_high` in CSV.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

from thirdlever.analysis.stats import proportions
from thirdlever.analysis.usage import base_price_in, preparing_usd, price_in, request_usd
from thirdlever.catalog.prices import device_cost
from thirdlever.core.text import escape_csv

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from thirdlever.catalog.prices import Price


COLUMNS = (
    "candidate",
    "strategy",
    "model",
    "n",
    "accuracy",
    "accuracy_ci95",
    "macro_f1",
    "latency_p50_s",
    "latency_p95_s",
    "latency_p99_s",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "cost_per_1k_usd",
    "setup_usd",
    "errors",
)
FURTHER = (
    "args",
    "requests",
    "accuracy_se",
    "sources",
    "unparseable",
    "timed",
    "cold_start_s",
    "ttft_p50_s",
    "retrieval_p50_s",
    "device_s_per_request",
    "price_source",
    "setup_labels",
    "setup_s",
    "setup_device_s",
    "setup_input_tokens",
    "setup_output_tokens",
    "tuned_examples",
    "tuned_epochs",
    "tuned_tokens",
    "tuned_bytes",
    "hosting_usd_per_hour",
    "prompt_tokens_saved",
)
LEAST_TIMED = 20  # requests: of fewer, the p95 is little more than the slowest
TOKENS = ("input_tokens", "cached_tokens", "output_tokens")
TEXT = ("candidate", "strategy", "model", "args", "price_source")
COUNTS = ("n", "sources", "errors", "requests", "unparseable", "timed")


def scorecards(records: pd.DataFrame, info: Mapping[str, Any]) -> pd.DataFrame:
    """One row a candidate, best accuracy first; ties by cost (unknown last), then by latency.

    Accuracy, tokens, device time and errors come from the accuracy pass; latencies from the serial probe alone, whose
    cold and failed requests are left out. Tokens and device time are means over the requests that were answered.

    `cost_per_1k_usd` is what the model's use costs: tokens at its price or, without one, device time at the stated rate
    and utilisation. Device time is a request's share of its batch in the accuracy pass, which is what a loaded server
    costs; the serial probe's would be an idle one's. What asks no model costs its device time too. `setup_usd` is
    preparing at the same prices; the labels it took are in `setup_labels`, for their price is the reader's to state.
    `prompt_tokens_saved` is how many fewer tokens a tuned model is sent than the most accurate model that was not
    tuned.

    Args:
        records: one row a request, as records.parquet holds them.
        info: run.json: `candidates` (each with name, strategy, args, model, setup), `prices` by model name,
            `device_usd_per_hour`, `utilisation`.

    Returns:
        `COLUMNS`, then `FURTHER`. Seconds, USD, tokens per request; a candidate without records has n = 0.
    """
    import pandas as pd

    known = {candidate["name"]: candidate for candidate in info.get("candidates", ())}
    names = [*known, *(name for name in records["candidate"].unique() if name not in known)]
    answers = records[records["phase"] == "accuracy"]
    labels = _are_labels(answers)
    rows = []
    for name in names:
        own = records[records["candidate"] == name]
        candidate = known.get(name) or own.iloc[0][["strategy", "model"]].to_dict()
        quality = _quality(own[own["phase"] == "accuracy"], labels=labels)
        speed = _speed(own[own["phase"] == "latency"])
        money = _money(own[own["phase"] == "accuracy"], candidate, info)
        described = {"candidate": name, "strategy": candidate["strategy"], "model": candidate.get("model") or None}
        described["args"] = json.dumps(candidate.get("args") or {}, sort_keys=True)
        rows.append(described | quality | speed | money | _tuning(candidate.get("tuning")))
    frame = pd.DataFrame(_with_savings(rows), columns=[*COLUMNS, *FURTHER])
    return typed(frame).sort_values(
        ["accuracy", "cost_per_1k_usd", "latency_p50_s", "candidate"],
        ascending=[False, True, True, True],
        na_position="last",
        ignore_index=True,
    )


def _tuning(tuning: Mapping[str, Any] | None) -> dict[str, Any]:
    """What tuning came to; nothing where there was none."""
    if tuning is None:
        return {}
    row = {f"tuned_{name}": tuning[name] for name in ("examples", "epochs", "tokens", "bytes")}
    return row | {"hosting_usd_per_hour": tuning["hosting_usd_per_hour"]}


def _with_savings(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tuned rows held against the most accurate one that is only prompted."""
    prompted = [row for row in rows if row["model"] and "tuned_examples" not in row and "accuracy" in row]
    if prompted:
        best = max(prompted, key=lambda row: row["accuracy"])
        for row in rows:
            if "tuned_examples" in row:
                row["prompt_tokens_saved"] = best["input_tokens"] - row["input_tokens"]
    return rows


def typed(frame: pd.DataFrame) -> pd.DataFrame:
    """Figures as floats (missing where unknown), counts as integers, text as text."""
    numbers = [c for c in frame.columns if c not in {*TEXT, *COUNTS, "accuracy_ci95"}]
    return frame.astype(dict.fromkeys(numbers, "float64") | dict.fromkeys(COUNTS, "int64"))


def _are_labels(answers: pd.DataFrame) -> bool:
    """Whether answers are graded as labels are, by equality: macro-F1 means nothing for free text or graded scores."""
    return bool(((answers["prediction"] == answers["target"]) == (answers["score"] == 1)).all())


def _quality(asked: pd.DataFrame, *, labels: bool) -> dict[str, Any]:
    """Accuracy, macro-F1 and what went wrong. A request that failed is a wrong answer."""
    row: dict[str, Any] = {
        "n": asked["item_id"].nunique(),
        "sources": 0,
        "requests": len(asked),
        "errors": int(asked["error"].notna().sum()),
        "unparseable": int((asked["prediction"].isna() & asked["error"].isna()).sum()),
        "accuracy_ci95": None,
    }
    if asked.empty:
        return row
    # Lists, because to iterate over a column of text takes twelve times as long.
    scores = asked["score"].fillna(0.0).tolist()
    accuracy = proportions.proportion(scores, asked["item_id"].tolist(), asked["group"].tolist())
    row |= {
        "accuracy": accuracy.value,
        "accuracy_ci95": (accuracy.low, accuracy.high),
        "accuracy_se": accuracy.se,
        "sources": accuracy.clusters,
    }
    if labels:
        predictions = [value if isinstance(value, str) else None for value in asked["prediction"].tolist()]
        row["macro_f1"] = proportions.macro_f1(asked["target"].tolist(), predictions)
    return row


def _speed(probe: pd.DataFrame) -> dict[str, Any]:
    """Latencies of warm, answered requests, in seconds."""
    cold = probe["cold"].fillna(value=False).astype(bool)
    warm = probe[~cold & probe["error"].isna()]
    row: dict[str, Any] = {
        f"latency_p{q}_s": proportions.quantile(warm["latency_s"].dropna().to_list(), q / 100) for q in (50, 95, 99)
    }
    row["timed"] = len(warm)
    row["cold_start_s"] = probe.loc[cold, "latency_s"].max()
    row["ttft_p50_s"] = proportions.quantile(warm["ttft_s"].dropna().to_list(), 0.5)
    row["retrieval_p50_s"] = proportions.quantile(warm["retrieval_s"].dropna().to_list(), 0.5)
    return row


def _money(asked: pd.DataFrame, candidate: Mapping[str, Any], info: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens and device time per request, and what they and the setting up cost."""
    import numpy as np

    answered = asked[asked["error"].isna()]
    tokens = answered[[*TOKENS]].astype("float64")
    device_s = answered["device_s"].astype("float64").mean()
    row: dict[str, Any] = {name: tokens[name].mean() for name in TOKENS}
    row["device_s_per_request"] = device_s

    price = price_in(info, candidate.get("model"))
    rate, utilisation = info.get("device_usd_per_hour"), info.get("utilisation", 1.0)
    if price:
        # Request by request, because a long prompt can be dearer by the token.
        costs = request_usd(answered, price)
        known = costs[~np.isnan(costs)]
        row["cost_per_1k_usd"] = 1000 * known.mean() if len(known) else None
        row["price_source"] = price.origin
    elif not math.isnan(device_s):
        cost = device_cost(device_s, rate, utilisation)
        row["cost_per_1k_usd"] = None if cost is None else 1000 * cost
        row["price_source"] = None if cost is None else f"device at ${rate:g}/h, {utilisation:.0%} utilised"
    return row | _setup(candidate.get("setup"), base_price_in(info, candidate), rate, utilisation)


def _setup(
    setup: Mapping[str, Any] | None, price: Price | None, rate: float | None, utilisation: float
) -> dict[str, Any]:
    """The one-off cost."""
    if setup is None:
        return {}
    return {
        "setup_usd": preparing_usd(setup, price, rate, utilisation),
        "setup_labels": setup["labels"],
        "setup_s": setup["seconds"],
        "setup_device_s": setup["device_seconds"],
        "setup_input_tokens": setup["input_tokens"],
        "setup_output_tokens": setup["output_tokens"],
    }


_PAIR = "accuracy_ci95"
_ENDS = (f"{_PAIR}_low", f"{_PAIR}_high")


def to_csv(summary: pd.DataFrame) -> str:
    """One line a candidate; the interval as two columns, unknown as an empty cell.

    To read it with pandas, pass `keep_default_na=False, na_values=[""]`: the strategy null is no missing value.
    """
    frame = summary.copy()
    place = list(frame.columns).index(_PAIR)
    pairs = [pair or (None, None) for pair in frame.pop(_PAIR)]
    for offset, name in enumerate(_ENDS):
        frame.insert(place + offset, name, [pair[offset] for pair in pairs])
    for name in TEXT:
        frame[name] = [escape_csv(cell) if isinstance(cell, str) else "" for cell in frame[name]]
    return frame.to_csv(index=False, lineterminator="\n")


def to_json(summary: pd.DataFrame) -> str:
    """A list of objects; unknown is null."""
    plain = [{name: _value(name, value) for name, value in row.items()} for row in rows(summary)]
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def rows(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """One dictionary a candidate."""
    return cast("list[dict[str, Any]]", summary.to_dict("records"))


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - a cell
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return int(value) if name in COUNTS else value
