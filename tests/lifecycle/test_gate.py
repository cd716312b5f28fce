"""The checks of the release gate: their verdicts, reasons and needed sample sizes, and how reports show them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import junitparser
import numpy as np
import pytest
from markdown_it import MarkdownIt

from thirdlever.core.errors import RunError, SuiteError
from thirdlever.lifecycle.baseline import Baseline, BaselineCandidate, BaselineItem, ItemResult
from thirdlever.lifecycle.checks import Limits, resolve_limits, worst
from thirdlever.lifecycle.regress import Pair, Regression, compare
from thirdlever.report.regression import render
from thirdlever.report.tables import render_baseline, render_baselines

if TYPE_CHECKING:
    from collections.abc import Container, Sequence
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion

    from thirdlever.lifecycle.checks import Check
    from thirdlever.lifecycle.regress import Result

PAIR = Pair("plain", "plain", "plain")
HERE = {"system": "Linux-6.1-x", "machine": "x86_64", "cpus": 2}
FIGURES = {"cost_per_1k_usd": 1.0, "errors": 0, "unparseable": 0, "input_tokens": 100.0}
TIMES = [0.1 + 0.001 * i for i in range(60)]


def measured(
    n: int = 2000,
    wrong: Container[int] = (),
    *,
    slices: Sequence[str] = ("",),
    times: Sequence[float] = TIMES,
    facts: dict[str, Any] | None = None,
    **figures: float,
) -> Baseline:
    """One candidate on n independent items, some of them wrong."""
    results = tuple(ItemResult(0.0, "food") if i in wrong else ItemResult(1.0) for i in range(n))
    known = FIGURES | {"n": n, "requests": n} | figures
    one = BaselineCandidate(
        name="plain",
        strategy="plain",
        args={"k": 0},
        base="fake/model",
        revision="1",
        figures={name: figure for name, figure in known.items() if not math.isnan(figure)},
        latencies_s=list(times),
        prompts="p",
        results=results,
    )
    items = [BaselineItem(f"t{i:05}", f"{i:016x}", slices[i % len(slices)], "") for i in range(n)]
    return Baseline(
        name="payments",
        suite={"name": "payments", "hash": "h"},
        options={"epochs": 1},
        facts={"hardware": HERE, "finished": "2026-01-02T00:00:00"} | (facts or {}),
        items=items,
        candidates=[one],
    )


def gate(old: Baseline, new: Baseline, **given: Any) -> Result:  # noqa: ANN401 - limits'
    return compare(old, new, PAIR, resolve_limits({}, given, {}))


def check(result: Result, name: str) -> Check:
    [found] = [one for one in result.checks if one.name == name]
    return found


# Accuracy


@pytest.mark.parametrize(
    ("n", "lost", "verdict"),
    [
        (2000, 0, "PASS"),
        (2000, 10, "PASS"),
        (2000, 40, "INCONCLUSIVE"),  # exactly the margin
        (2000, 80, "FAIL"),
        (100, 0, "INCONCLUSIVE"),  # too few items, though nothing is lost
        (100, 30, "FAIL"),
    ],
)
def test_accuracy_passes_fails_or_is_inconclusive(n: int, lost: int, verdict: str) -> None:
    result = gate(measured(n), measured(n, range(lost)))
    found = check(result, "accuracy")
    assert (found.verdict, result.verdict) == (verdict, verdict)
    assert found.change == pytest.approx(-lost / n)
    assert found.low is not None
    assert (found.low > -0.02) == (verdict == "PASS")
    assert len(result.broken) == lost


def test_the_recommended_sample_size_is_enough() -> None:
    old, new = measured(100), measured(100, {0})
    found = check(gate(old, new), "accuracy")
    assert found.verdict == "INCONCLUSIVE"
    assert found.needed is not None
    assert f"about {found.needed:,} would be enough" in found.reason
    n = found.needed
    again = check(gate(measured(2 * n), measured(2 * n, range(2 * n // 100))), "accuracy")
    assert again.verdict == "PASS"


def test_a_loss_at_the_margin_has_no_sample_size_that_settles_it() -> None:
    found = check(gate(measured(2000), measured(2000, range(40))), "accuracy")
    assert found.needed is None
    assert "the observed loss is at the margin, which no sample size would settle" in found.reason


def test_grouped_items_count_as_fewer_items() -> None:
    old, new = measured(600), measured(600)
    assert gate(old, new).verdict == "PASS"
    few = [item._replace(group=f"shop {i // 20}") for i, item in enumerate(old.items)]
    assert gate(replace(old, items=few), replace(new, items=few)).verdict == "INCONCLUSIVE"


def test_a_lost_slice_fails_a_model_that_passes_overall() -> None:
    slices = ["rare", *["common"] * 19]
    result = gate(measured(slices=slices), measured(wrong=set(range(0, 400, 20)), slices=slices))
    assert check(result, "accuracy").verdict == "PASS"
    assert check(result, "accuracy, slice rare").verdict == "FAIL"
    assert check(result, "accuracy, slice common").verdict == "PASS"
    assert result.verdict == "FAIL"


def test_a_small_slice_is_inconclusive_only_if_slices_must_be_proved() -> None:
    slices = ["rare", *["common"] * 99]
    old, new = measured(slices=slices), measured(slices=slices)
    result = gate(old, new)
    assert (check(result, "accuracy, slice rare").verdict, result.verdict) == (None, "PASS")
    proved = gate(old, new, prove_slices=True)
    assert (check(proved, "accuracy, slice rare").verdict, proved.verdict) == ("INCONCLUSIVE", "INCONCLUSIVE")


def test_slices_fail_by_chance_no_more_often_than_stated() -> None:
    """Ten slices that each lose exactly their margin: corrected, one of them fails in about 5 % of runs."""
    rng = np.random.default_rng(0)
    names = [f"s{i}" for i in range(10)]
    failed = 0
    for _ in range(40):
        wrong = set(np.flatnonzero(rng.random(2000) < 0.05).tolist())
        result = gate(measured(slices=names), measured(wrong=wrong, slices=names), margin=0.2)
        failed += result.verdict == "FAIL"
    assert failed <= 6  # at 5 %, more would occur in less than 1 % of cases


# The other limits


@pytest.mark.parametrize(("factor", "verdict"), [(1.0, "PASS"), (1.2, "PASS"), (1.26, "INCONCLUSIVE"), (2.0, "FAIL")])
def test_latency_is_limited_to_a_multiple_of_the_baselines(factor: float, verdict: str) -> None:
    result = gate(measured(), measured(times=[factor * t for t in TIMES]))
    found = check(result, "p95 latency")
    assert found.verdict == verdict
    assert found.change == pytest.approx(factor)
    assert (found.needed is not None) == (verdict == "INCONCLUSIVE")


@pytest.mark.parametrize(("cost", "verdict"), [(0.5, "PASS"), (1.25, "PASS"), (1.3, "FAIL")])
def test_cost_is_limited_to_a_multiple_of_the_baselines(cost: float, verdict: str) -> None:
    assert check(gate(measured(), measured(cost_per_1k_usd=cost)), "cost per 1,000").verdict == verdict


@pytest.mark.parametrize("name", ["unparseable", "errors"])
@pytest.mark.parametrize(
    ("n", "share", "verdict"), [(2000, 0.01, "PASS"), (2000, 0.03, "FAIL"), (100, 0.02, "INCONCLUSIVE")]
)
def test_unparsed_answers_and_failed_requests_are_limited(name: str, n: int, share: float, verdict: str) -> None:
    counted: dict[str, Any] = {name: share * n}
    found = check(gate(measured(n), measured(n, **counted)), name)
    assert found.verdict == verdict
    assert (found.needed is not None) == (verdict == "INCONCLUSIVE")


def test_device_time_is_limited_only_if_a_limit_is_stated() -> None:
    sides = measured(device_s_per_request=1.0), measured(device_s_per_request=2.0, cost_per_1k_usd=1e6)
    told = gate(*sides)
    assert (check(told, "cost per 1,000").verdict, told.verdict) == (None, "PASS")
    assert "device time" in check(told, "cost per 1,000").reason
    assert "per month" not in render(report(results=[told]))  # a saving could be due to the machine
    assert gate(*sides, max_cost_ratio=2.0).verdict == "FAIL"


def test_unparsed_answers_of_the_baseline_raise_the_limit() -> None:
    assert check(gate(measured(unparseable=100), measured(unparseable=110)), "unparseable").verdict == "PASS"


@pytest.mark.parametrize(
    ("old", "new", "name", "limit", "why"),
    [
        ({"times": ()}, {}, "p95 latency", "max_p95_ratio", "it was not timed"),
        ({"times": (0.1,) * 19}, {}, "p95 latency", "max_p95_ratio", "19 timed requests are too few for a p95"),
        (
            {"facts": {"hardware": HERE | {"cpus": 64}}},
            {},
            "p95 latency",
            "max_p95_ratio",
            "another machine; use --remeas",
        ),
        (
            {},
            {"cost_per_1k_usd": math.nan},
            "cost per 1,000",
            "max_cost_ratio",
            "the price is unknown; add it to prices.toml",
        ),
    ],
)
def test_a_figure_that_cannot_be_compared_is_inconclusive_only_for_a_stated_limit(
    old: dict[str, Any], new: dict[str, Any], name: str, limit: str, why: str
) -> None:
    sides = measured(**old), measured(**new)
    told = gate(*sides)
    assert (check(told, name).verdict, told.verdict) == (None, "PASS")
    assert check(told, name).reason.startswith("no limit applied: ")
    given: dict[str, Any] = {limit: 3.0}
    stated = gate(*sides, **given)
    assert (check(stated, name).verdict, stated.verdict) == ("INCONCLUSIVE", "INCONCLUSIVE")
    assert why in check(stated, name).reason


def test_an_updated_system_is_the_same_machine_and_local_cost_needs_the_same_machine() -> None:
    updated = measured(facts={"hardware": HERE | {"system": "Linux-6.2-y"}})
    assert check(gate(measured(), updated), "p95 latency").verdict == "PASS"
    local = measured(facts={"hardware": HERE | {"cpus": 64}}, device_s_per_request=0.1)
    assert check(gate(local, measured(device_s_per_request=0.1)), "cost per 1,000").verdict is None
    hosted = measured(facts={"hardware": HERE | {"cpus": 64}})
    assert check(gate(hosted, measured()), "cost per 1,000").verdict == "PASS"


def test_one_failed_check_fails_the_whole() -> None:
    assert worst(["PASS", None, "INCONCLUSIVE", "FAIL"]) == "FAIL"
    assert worst(["PASS", None, "INCONCLUSIVE"]) == "INCONCLUSIVE"
    assert worst(["PASS", None]) == "PASS"


# Other differences


def test_a_different_tokenizer_is_reported() -> None:
    [note] = gate(measured(), measured(input_tokens=112.0)).notes
    assert note == "the new model has a different tokenizer: the same prompts went from 100 to 112 tokens"


def test_changed_versions_are_reported() -> None:
    old, new = (measured(facts={"versions": {"openai": number}}) for number in ("3.1", "3.2"))
    assert gate(old, new).notes == ["versions changed since the baseline: openai 3.1 to 3.2"]


def test_a_changed_item_under_the_same_id_is_refused() -> None:
    old, new = measured(10), measured(10)
    changed = replace(new, items=[new.items[0]._replace(hash="other"), *new.items[1:]])
    with pytest.raises(RunError, match="item 't00000' differs from baseline 'payments'"):
        gate(old, changed)
    with pytest.raises(RunError, match="item 't00010' is not in baseline"):
        gate(old, measured(11))


# Limits


def test_options_override_the_card_and_the_card_overrides_defaults() -> None:
    found = resolve_limits(
        {"regression": {"margin": 0.01, "max_errors": 0.0}}, {"margin": 0.03, "slice_margin": None}, {}
    )
    assert (found.margin, found.max_errors, found.slice_margin) == (0.03, 0.0, Limits().slice_margin)
    assert [found.source(name) for name in ("margin", "max_errors", "slice_margin")] == ["given", "card", "default"]


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ({"margn": 0.1}, "limit 'margn' not found; did you mean 'margin'"),
        ({"margin": 0}, "margin=0; expected a share above 0 and below 1"),
        ({"margin": "2 %"}, "margin='2 %'; expected a share above 0 and below 1"),
        ({"max_p95_ratio": float("nan")}, "max_p95_ratio=nan; expected a multiple above 0"),
        ({"max_errors": 1.5}, "max_errors=1.5; expected a share from 0 to 1"),
        ({"prove_slices": "yes"}, "prove_slices='yes'; expected true or false"),
        ([0.02], "'regression' must be a mapping of limits"),
    ],
)
def test_an_invalid_limit_is_refused(card: Any, message: str) -> None:  # noqa: ANN401 - as YAML has it
    with pytest.raises(SuiteError, match=message):
        resolve_limits({"regression": card}, {}, {})


# Reports


def test_a_baseline_is_shown_with_its_origin(snapshot: SnapshotAssertion) -> None:
    pinned = measured(12, facts={"versions": {"openai": "3.1"}})
    [one] = pinned.candidates
    pinned = replace(
        pinned, candidates=[replace(one, figures={**one.figures, "accuracy": 0.75, "latency_p95_s": 0.12})]
    )
    assert render_baseline(pinned) == snapshot
    assert render_baselines([pinned]) == snapshot


EVIL = "a|b`<img src=x>\x1b[2J\n# no"


def report(**options: Any) -> Regression:  # noqa: ANN401 - Regression's
    old = measured(200, {3}, slices=[EVIL, "plain"], times=())
    new = measured(200, range(100), slices=[EVIL, "plain"], cost_per_1k_usd=0.5)
    [candidate] = new.candidates
    results = (ItemResult(0.0, EVIL), *candidate.results[1:])
    new = replace(new, candidates=[replace(candidate, base=EVIL, results=results)])
    texts = {item.id: (EVIL, "fuel") for item in old.items}
    result = compare(old, new, replace(PAIR, candidate=EVIL), Limits(), texts=texts)
    about: dict[str, Any] = {
        "verdict": result.verdict,
        "suite": "payments",
        "baseline": "payments",
        "pinned": "2026-01-02",
        "results": [result],
        "asked": 200,
        "items": 200,
        "limits": Limits(),
        "monthly_volume": 1_000_000.0,
        "notes": [EVIL],
        "folder": "out",
    }
    return Regression(**about | options)


def test_a_public_parser_reads_the_junit_file(tmp_path: Path) -> None:
    path = tmp_path / "junit.xml"
    path.write_text(render(report(), "junit"), "utf-8")
    [suite] = junitparser.JUnitXml.fromfile(str(path))
    assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (7, 3, 0, 1)
    cases = {case.name: case.result for case in suite}
    assert [type(told) for told in cases["accuracy"]] == [junitparser.Failure]
    assert cases["accuracy"][0].message == "shown to lose more than 2 points"
    assert [type(told) for told in cases["p95 latency"]] == [junitparser.Skipped]
    assert not cases["cost per 1,000"]


def test_an_inconclusive_check_is_an_error_in_junit(tmp_path: Path) -> None:
    result = gate(measured(100), measured(100))
    path = tmp_path / "junit.xml"
    path.write_text(render(report(results=[result]), "junit"), "utf-8")
    [suite] = junitparser.JUnitXml.fromfile(str(path))
    assert (suite.failures, suite.errors) == (0, 1)


def test_markdown_escapes_names_and_answers() -> None:
    text = render(report(), "md")
    page = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    assert "<img" not in page
    assert "\x1b" not in page
    assert re.findall(r"<h\d>", page) == ["<h2>", "<h3>"]
    checks, broken = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    assert checks.count("<tr>") == 1 + len(report().results[0].checks)
    assert broken.count("<tr>") == 1 + 20
    assert broken.count("<td") == 20 * 5
    assert page.count("<details>") == page.count("</details>") == 1
    assert "<summary>99 broken, the first 20</summary>" in page
    assert "Nothing fixed." in page
    assert "the new model would save $500.00 per month at 1,000,000 requests" in page
    assert page.startswith("<h2>❌ FAIL: ")


def test_the_terminal_shows_the_verdict_first_and_both_answers() -> None:
    text = render(report())
    lines = text.splitlines()
    assert lines[0].startswith("FAIL: ")
    assert "\x1b" not in text
    assert "broken: 99, the first 20" in lines
    assert any(line.strip().startswith("t00001") and line.endswith("fuel → food") for line in lines)
    assert "fixed: 0" in lines


def test_json_has_every_field_and_null_for_unknown_figures() -> None:
    plain = json.loads(render(report(), "json"))
    [result] = plain["results"]
    assert (plain["verdict"], plain["exit_code"]) == ("FAIL", 1)
    assert len(result["broken"]) == 99
    assert {one["name"]: one["before"] for one in result["checks"]}["p95 latency"] is None
