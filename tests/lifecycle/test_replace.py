"""Replacements for a retiring tuned model, on generated records: accuracy, retirement dates and cost."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import typer
from helpers.model_lists import TODAY

from thirdlever.analysis.run import Run
from thirdlever.cli.lifecycle import replace
from thirdlever.core.errors import RunError
from thirdlever.decision.assumptions import assume
from thirdlever.lifecycle.replace import Proposal, propose
from thirdlever.report.regression import replace_text

if TYPE_CHECKING:
    from collections.abc import Mapping

N = 600
TUNE = "managed @ openai/gpt-4o-mini"
TUNED = "OpenAI: ft:gpt-4o-mini:aaaaaaaa"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def price(name: str, per_m: float | None) -> dict[str, Any] | None:
    rates = dict.fromkeys(("input_per_m", "cached_input_per_m", "output_per_m"), per_m)
    return rates | {"model": name, "source": "s", "as_of": None} if per_m is not None else None


def entry(name: str, model: str, base: str, where: str | None = None) -> dict[str, Any]:
    tuning = {
        "method": "supervised",
        "where": where,
        "examples": 100,
        "epochs": 3,
        "tokens": 2_000_000,
        "hosting_usd_per_hour": 0.0,
    }
    setup = {"labels": 0, "seconds": 0.0, "device_seconds": 0.0, "input_tokens": 0, "output_tokens": 0, "usd": 0.0}
    row = {"name": name, "strategy": "managed" if where else "few_shot", "model": model, "base": base}
    return row | {"setup": setup, "tuning": tuning if where else None, "given": 0, "logs": []}


def measured(others: Mapping[str, tuple[float, float | None]], **info: Any) -> Run:  # noqa: ANN401 - of run.json
    """A run of a tuned model with 90 % accuracy and of others: accuracy and USD per 1M tokens by name."""
    models = {TUNE: (TUNED, 0.9, 0.3)} | {name: (name, *facts) for name, facts in others.items()}
    wrong = np.random.default_rng(0).permutation(N)
    rows = [
        {
            "candidate": name,
            "strategy": "s",
            "model": model,
            "phase": "accuracy",
            "item_id": f"i{item:04}",
            "epoch": 1,
            "slice": "",
            "group": None,
            "prediction": "fuel",
            "stop_reason": "stop",
            "score": float(wrong[item] < share * N),
            "item_hash": f"h{item}",
            "input_tokens": 1000,
            "cached_tokens": 0,
            "output_tokens": 10,
            "latency_s": None,
            "device_s": None,
            "retrieval_s": None,
            "error": None,
        }
        for name, (model, share, _) in models.items()
        for item in range(N)
    ]
    candidates = [entry(TUNE, TUNED, "openai/gpt-4o-mini", "OpenAI"), *(entry(name, name, name) for name in others)]
    about = {
        "suite": {"name": "s", "card": {}, "counts": {"train": 100}},
        "candidates": candidates,
        "prices": {model: price(model, usd) for model, _, usd in models.values()},
        "device_usd_per_hour": None,
        "utilisation": 1.0,
    }
    path = Path("results/a")
    path.mkdir(parents=True)
    pd.DataFrame(rows).to_parquet(path / "records.parquet")
    (path / "run.json").write_text(json.dumps(about | info), "utf-8")
    return Run(path)


def proposed(run: Run, today: dt.date = TODAY, **given: str) -> Proposal:
    return propose(run, TUNE, assume({}, {"margin": "0.05"} | given, run.info), today=today)


def test_the_cheapest_candidate_within_the_margin_is_chosen() -> None:
    run = measured({"x/dear": (0.92, 3.0), "x/cheap": (0.9, 0.2), "x/poor": (0.6, 0.01)})
    found = proposed(run)
    assert found.chosen is not None
    assert found.chosen.cost.candidate == "x/cheap"
    assert {one.cost.candidate: one.holds for one in found.options} == {
        "x/poor": False,
        "x/cheap": True,
        "x/dear": True,
    }
    assert (found.base, found.retires) == ("gpt-4o-mini", dt.date(2027, 1, 14))


def test_the_monthly_cost_needs_a_volume() -> None:
    run = measured({"x/one": (0.9, 0.2)})
    assert proposed(run).options[0].monthly_usd is None
    monthly = proposed(run, monthly_volume="1000000").options[0].monthly_usd
    assert monthly == pytest.approx(0.2 * 1010 / 1e6 * 1e6)


def test_a_candidate_that_retires_as_soon_is_not_chosen() -> None:
    run = measured({"openai/gpt-4.1-mini": (0.95, 0.1), "x/lasts": (0.9, 0.2)})
    found = proposed(run)
    assert found.chosen is not None
    assert found.chosen.cost.candidate == "x/lasts"
    assert [one.outlives for one in found.options] == [False, True]


def test_a_retirement_date_recorded_by_the_run_counts() -> None:
    noted = [{"name": "x/one", "shutdown": "2027-02-01", "source": "https://x"}]
    found = proposed(measured({"x/one": (0.95, 0.1)}, snapshots=noted))
    assert (found.options[0].retires, found.chosen) == (dt.date(2027, 2, 1), None)


def test_an_unknown_cost_is_never_the_cheapest() -> None:
    found = proposed(measured({"x/unknown": (0.95, None), "x/known": (0.95, 100.0)}))
    assert found.chosen is not None
    assert found.chosen.cost.candidate == "x/known"
    assert "may be cheaper" in replace_text(found)


def test_a_missing_replacement_is_reported_with_the_sample_size_needed() -> None:
    found = proposed(measured({"x/poor": (0.88, 0.1)}), margin="0.01")
    assert found.chosen is None
    shown = replace_text(found)
    assert "\nNo replacement: " in shown
    assert f"about {found.options[0].evidence.needed:,} test items" in shown


def test_many_candidates_share_one_risk_of_error() -> None:
    """A candidate that passes alone fails beside eight others, because Holm corrects for their number."""
    alone = proposed(measured({"x/a": (0.88, 0.1)}), margin="0.0325")
    [only] = alone.options
    assert only.holds
    Path("results/a").rename("results/b")
    among = proposed(measured({"x/a": (0.88, 0.1)} | {f"x/{i}": (0.7, 0.1) for i in range(8)}), margin="0.0325")
    assert not any(one.holds for one in among.options)


def test_retuning_is_priced_on_bases_that_last() -> None:
    found = proposed(measured({"x/one": (0.9, 0.2)}))
    by_name = {(one.where, one.base): one for one in found.retuning}
    assert by_name["Azure", "gpt-4o-mini"].usd == pytest.approx(2_000_000 * 3.0 / 1e6)
    assert not any(one.where == "OpenAI" for one in found.retuning)  # its bases retire with the original
    shown = replace_text(found)
    assert "2,000,000 tokens" in shown
    assert " 1,241 " in shown  # a month of Azure's hosting
    assert "$1,000" in shown  # people's work


def test_a_training_of_unknown_size_has_an_unknown_price() -> None:
    run = measured({"x/one": (0.9, 0.2)})
    run.info["candidates"][0]["tuning"]["tokens"] = None
    found = proposed(run)
    assert {one.usd for one in found.retuning} == {None}
    assert "unknown number of tokens" in replace_text(found)


@pytest.mark.parametrize(
    ("today", "said"),
    [(dt.date(2027, 1, 13), "in 1 day ("), (dt.date(2027, 1, 14), "retired on 2027-01-14")],
)
def test_the_retirement_date_is_reported(today: dt.date, said: str) -> None:
    assert said in replace_text(proposed(measured({"x/one": (0.9, 0.2)}), today=today))


def test_a_missing_or_lone_candidate_is_reported() -> None:
    run = measured({"x/one": (0.9, 0.2)})
    with pytest.raises(RunError, match="did you mean 'x/one'"):
        propose(run, "x/on", assume({}, {}))
    run.info["candidates"].pop()
    with pytest.raises(RunError, match="only candidate"):
        proposed(run)


@pytest.mark.parametrize(("margin", "code"), [(0.05, 0), (0.001, 1)])
def test_the_exit_code_shows_whether_a_replacement_exists(
    margin: float, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    measured({"x/one\x1b[2J": (0.89, 0.2)})
    with pytest.raises(typer.Exit) as ended:
        replace("a", TUNE, margin)
    assert ended.value.exit_code == code
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 100
