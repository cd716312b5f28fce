from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from thirdlever.analysis.compare import accuracy
from thirdlever.analysis.outcomes import outcomes
from thirdlever.analysis.run import Run
from thirdlever.analysis.scorecards import COLUMNS, FURTHER
from thirdlever.analysis.stats.intervals import wilson
from thirdlever.catalog.prices import Price, Tier
from thirdlever.strategies.contract import SetupCost

PRICE = Price("openai/gpt-4o-mini", 0.15, 0.075, 0.6, "genai-prices 0.2.3", None)
PROMISED = """candidate, strategy, model, n, accuracy, accuracy_ci95, macro_f1, latency_p50_s, latency_p95_s,
latency_p99_s, input_tokens, cached_tokens, output_tokens, cost_per_1k_usd, setup_usd, errors"""


def record(item: int, *, right: bool = True, phase: str = "accuracy", **fields: object) -> dict[str, Any]:
    """One request for item `item`, whose label is "a" or "b" in turn."""
    target = "ab"[item % 2]
    row: dict[str, Any] = {"candidate": "rag", "strategy": "rag", "model": "m", "phase": phase, "item_id": f"i{item}"}
    row |= {"epoch": 1, "slice": "", "group": "", "target": target, "prediction": target if right else "ba"[item % 2]}
    row |= {"score": float(right), "reason": "", "completion": "", "stop_reason": "stop", "error": None, "cold": False}
    row |= {"input_tokens": 1000, "cached_tokens": 400, "output_tokens": 10}
    row |= {"latency_s": 0.5, "retrieval_s": None, "ttft_s": None, "device_s": None}
    return row | fields


def failed(item: int, **fields: object) -> dict[str, Any]:
    unknown: dict[str, Any] = dict.fromkeys(["prediction", "input_tokens", "cached_tokens", "output_tokens"])
    return record(item, right=False, **(unknown | {"error": "TimeoutError: "} | fields))


def scorecards(records: pd.DataFrame, info: dict[str, Any]) -> pd.DataFrame:
    """The scorecards of a run in memory."""
    made = Run(Path("nowhere"))
    vars(made).update(records=records, info=info)
    return made.summary


def card(rows: list[dict[str, Any]], *, setup: SetupCost | None = None, **info: object) -> dict[str, Any]:
    """The one candidate's scorecard."""
    candidate: dict[str, object] = {"name": "rag", "strategy": "rag", "args": {"k": 20}, "model": "m"}
    candidate["setup"] = dataclasses.asdict(setup) if setup else None
    frame = scorecards(pd.DataFrame(rows), {"candidates": [candidate], "prices": {"m": None}, **info})
    assert len(frame) == 1
    return {str(name): value for name, value in frame.iloc[0].items()}


def test_the_columns_are_as_documented() -> None:
    frame = scorecards(pd.DataFrame([record(0)]), {})
    assert list(frame.columns) == [*COLUMNS, *FURTHER]
    assert ", ".join(COLUMNS) == PROMISED.replace("\n", " ")


# Accuracy


def test_accuracy_counts_failed_and_unreadable_answers_as_wrong() -> None:
    rows = [*(record(i) for i in range(26)), record(26, right=False), record(27, right=False, prediction=None)]
    found = card([*rows, failed(28)])
    assert (found["n"], found["accuracy"]) == (29, 26 / 29)
    assert (found["errors"], found["unparseable"]) == (1, 1)
    assert found["accuracy_ci95"] == pytest.approx(wilson(26, 29))


def test_an_interval_counts_sources_as_every_comparison_does() -> None:
    rows = [record(i, right=i % 8 < 5, group=f"shop {i // 4}", item_hash=str(i)) for i in range(40)]
    found, compared = card(rows), accuracy(outcomes(pd.DataFrame(rows)), "rag")
    assert (found["n"], found["sources"]) == (40, 10)
    assert found["accuracy_ci95"] == (compared.low, compared.high)
    low, high = card([row | {"group": ""} for row in rows])["accuracy_ci95"]
    assert compared.low < low < high < compared.high


def test_the_latency_probe_does_not_count_for_accuracy() -> None:
    rows = [record(0), record(0, right=False, phase="latency"), failed(1, phase="latency")]
    found = card(rows)
    assert (found["n"], found["accuracy"], found["errors"], found["requests"]) == (1, 1.0, 0, 1)


def test_repeats_are_averaged_within_the_item() -> None:
    found = card([record(i, epoch=e, right=i < 4 or e == 1) for i in range(5) for e in (1, 2)])
    assert (found["n"], found["requests"], found["accuracy"]) == (5, 10, 0.9)


def test_macro_f1_is_for_labels_only() -> None:
    assert card([record(0), record(1, right=False)])["macro_f1"] == pytest.approx(1 / 3)
    free_text = [record(0, target="Paris", prediction="paris"), record(1, target="Rome", prediction="Bern", score=0.0)]
    assert math.isnan(card(free_text)["macro_f1"])
    assert math.isnan(card([record(0, score=0.5)])["macro_f1"])


# Latency


def test_latency_is_the_probes_warm_answers() -> None:
    probe = [record(i, phase="latency", latency_s=0.1 * (i + 1), retrieval_s=0.01, ttft_s=0.05) for i in range(5)]
    cold, broken = record(9, phase="latency", latency_s=30.0, cold=True), failed(8, phase="latency", latency_s=60.0)
    found = card([record(0, latency_s=99.0), cold, *probe, broken])
    assert found["latency_p50_s"] == pytest.approx(0.3)
    assert found["cold_start_s"] == 30.0
    assert (found["retrieval_p50_s"], found["ttft_p50_s"]) == pytest.approx((0.01, 0.05))


@pytest.mark.parametrize(("timed", "known"), [(4, []), (59, [50]), (60, [50, 95]), (300, [50, 95, 99])])
def test_a_percentile_needs_enough_timed_requests(timed: int, known: list[int]) -> None:
    probe = [record(i, phase="latency", latency_s=0.1 * (i + 1)) for i in range(timed)]
    found = card([record(0), *probe])
    assert found["latency_p50_s"] == pytest.approx(0.05 * (timed + 1))
    assert [q for q in (95, 99) if not math.isnan(found[f"latency_p{q}_s"])] == [q for q in known if q > 50]
    for q in known[:2]:
        low, value, high = (found[f"latency_p{q}{end}_s"] for end in ("_low", "", "_high"))
        assert low < value < high


def test_without_a_probe_latency_is_unknown() -> None:
    found = card([record(0)])
    unknown = ["latency_p50_s", "latency_p95_s", "latency_p99_s", "cold_start_s", "ttft_p50_s", "retrieval_p50_s"]
    assert all(math.isnan(found[name]) for name in unknown)


# Money


def test_tokens_are_priced() -> None:
    found = card([record(0), record(1, input_tokens=2000), failed(2)], prices={"m": PRICE.to_dict()})
    assert (found["input_tokens"], found["cached_tokens"], found["output_tokens"]) == (1500, 400, 10)
    assert found["cost_per_1k_usd"] == pytest.approx(1000 * (1100 * 0.15 + 400 * 0.075 + 10 * 0.6) / 1e6)
    assert found["cost_per_1k_uncached_usd"] == pytest.approx(1000 * (1500 * 0.15 + 10 * 0.6) / 1e6)
    assert found["price_source"] == "genai-prices 0.2.3"


def test_long_prompts_are_priced_one_by_one() -> None:
    price = dataclasses.replace(PRICE, tiers=(Tier(1500, 0.3, 0.15, 1.2),))
    rows = [record(i, input_tokens=tokens, cached_tokens=0, output_tokens=0) for i, tokens in enumerate([1000, 2000])]
    assert card(rows, prices={"m": price})["cost_per_1k_usd"] == pytest.approx((1000 * 0.15 + 2000 * 0.3) / 2 / 1000)


def test_device_time_is_priced_at_the_stated_rate() -> None:
    rows = [record(i, device_s=0.1 * (i + 1)) for i in range(2)] + [record(0, phase="latency", device_s=9.0)]
    found = card(rows, device_usd_per_hour=3.6, utilisation=0.5)
    assert found["device_s_per_request"] == pytest.approx(0.15)
    assert found["cost_per_1k_usd"] == pytest.approx(0.3)
    assert found["price_source"] == "device at $3.6/h, 50% utilised"


FOUND: dict[str, Any] = {"retrieved": '["doc-1"]', "device_s": 3.6}


@pytest.mark.parametrize(
    ("usd", "priced", "on_device"),
    [
        (0.0, 1000 * PRICE.cost(1000, 400, 10), 1000 * 3.6 * 2 / 3600),
        (0.001, 1000 * PRICE.cost(1000, 400, 10) + 1, 1000 * 3.6 * 2 / 3600 + 1),
        (None, None, None),
    ],
)
def test_what_providers_charge_for_retrieval_is_part_of_a_requests_cost(
    usd: float | None, priced: float | None, on_device: float | None
) -> None:
    rows = [record(item, retrieval_usd=usd, **FOUND) for item in range(4)]
    hosted = card(rows, prices={"m": PRICE})["cost_per_1k_usd"]
    local = card(rows, device_usd_per_hour=2.0)["cost_per_1k_usd"]
    assert hosted == pytest.approx(math.nan if priced is None else priced, nan_ok=True)
    assert local == pytest.approx(math.nan if on_device is None else on_device, nan_ok=True)


def test_a_request_without_a_record_of_its_retrieval_costs_its_tokens() -> None:
    rows = [record(item, retrieval_usd=None, retrieved=None) for item in range(4)]
    assert card(rows, prices={"m": PRICE})["cost_per_1k_usd"] == pytest.approx(1000 * PRICE.cost(1000, 400, 10))


def test_an_unstated_price_is_unknown_and_not_0() -> None:
    assert math.isnan(card([record(0, device_s=0.2)])["cost_per_1k_usd"])
    assert math.isnan(card([record(0)])["cost_per_1k_usd"])
    no_usage = record(0, input_tokens=None, cached_tokens=None, output_tokens=None)
    assert math.isnan(card([no_usage], prices={"m": PRICE})["cost_per_1k_usd"])


def test_a_candidate_without_a_model_costs_device_time() -> None:
    asked = record(0, input_tokens=0, cached_tokens=0, output_tokens=0, device_s=0.5)
    candidates: list[dict[str, object]] = [{"name": "rag", "strategy": "null", "args": {}, "model": None}]
    found = card([asked], candidates=candidates)
    assert pd.isna(found["cost_per_1k_usd"])
    assert card([asked], candidates=candidates, device_usd_per_hour=3.6)["cost_per_1k_usd"] == pytest.approx(0.5)


# Setting up


@pytest.mark.parametrize(
    ("setup", "info", "usd"),
    [
        (SetupCost(labels=20, seconds=3.0), {}, 0.0),
        (SetupCost(usd=7.5), {}, 7.5),
        (SetupCost(usd=None), {}, None),
        (SetupCost(input_tokens=1_000_000, output_tokens=1_000_000), {"prices": {"m": PRICE}}, 0.75),
        (SetupCost(input_tokens=1_000_000), {}, None),
        (SetupCost(device_seconds=3600), {"device_usd_per_hour": 2.0, "utilisation": 0.5}, 4.0),
        (SetupCost(device_seconds=3600, input_tokens=500), {"device_usd_per_hour": 2.0}, 2.0),
        (SetupCost(device_seconds=3600), {}, None),
        (SetupCost(device_seconds=3600, usd=1.0), {"prices": {"m": PRICE}}, None),
    ],
)
def test_setup_is_priced(setup: SetupCost, info: dict[str, Any], usd: float | None) -> None:
    found = card([record(0)], setup=setup, **info)
    assert found["setup_usd"] == pytest.approx(math.nan if usd is None else usd, nan_ok=True)
    assert (found["setup_labels"], found["setup_s"]) == (setup.labels, setup.seconds)


# The whole


def test_rows_are_sorted_by_accuracy_then_cost_with_unknown_last() -> None:
    rows = []
    for name, right, device in [
        ("bad", False, 0.1),
        ("dear", True, 0.9),
        ("unknown", True, None),
        ("cheap", True, 0.2),
    ]:
        rows.append(record(0, right=right, candidate=name, device_s=device))
    frame = scorecards(pd.DataFrame(rows), {"device_usd_per_hour": 1.0})
    assert list(frame["candidate"]) == ["cheap", "dear", "unknown", "bad"]


def test_a_candidate_whose_every_request_failed_has_no_accuracy() -> None:
    found = card([failed(0), failed(1)], prices={"m": PRICE})
    unknown = ("accuracy", "macro_f1", "input_tokens", "cost_per_1k_usd", "latency_p50_s")
    assert all(math.isnan(found[name]) for name in unknown)
    assert (found["errors"], found["n"], found["measured"]) == (2, 2, False)


def test_a_candidate_without_records_has_no_figures() -> None:
    waiting: dict[str, object] = {"name": "zero_shot", "strategy": "zero_shot", "args": {}, "model": "m", "setup": None}
    frame = scorecards(pd.DataFrame([record(0)]), {"candidates": [waiting]})
    assert list(frame["candidate"]) == ["rag", "zero_shot"]
    last = frame.iloc[1]
    assert (last["n"], last["errors"], last["accuracy_ci95"]) == (0, 0, None)
    assert math.isnan(last["accuracy"])


def test_records_from_parquet_give_the_same_scorecards(tmp_path: Path) -> None:
    rows = [record(0), failed(1), record(0, phase="latency", cold=True)]
    pd.DataFrame(rows).to_parquet(tmp_path / "records.parquet")
    again = pd.read_parquet(tmp_path / "records.parquet")
    pd.testing.assert_frame_equal(scorecards(again, {}), scorecards(pd.DataFrame(rows), {}), check_dtype=False)
