"""The memo's tables for an auditor: all figures, comparisons, costs, paybacks, sensitivity."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.scorecards import rows
from thirdlever.core.text import UNKNOWN, months, printable, usd
from thirdlever.report.figures.latency import duration
from thirdlever.report.memo_tables import Table, accuracy, bare, clean, usd_of, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pandas as pd

    from thirdlever.decision.verdict import Decision

_NONE = "–"


def details(decision: Decision, summary: pd.DataFrame) -> list[Table]:
    """What an auditor recomputes: all figures, comparisons, costs, paybacks, sensitivity."""
    makers = (_comparisons, _slices, _costs, _bases, _paybacks, _flips)
    return [table for table in (_all(summary), *(make(decision) for make in makers)) if table.rows]


def _all(summary: pd.DataFrame) -> Table:
    columns: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        "Items": lambda row: f"{row['n']:,}",
        "Right, % [95 %]": lambda row: accuracy(row, unit=""),
        "Macro F1, %": lambda row: _figure(100 * row["macro_f1"], ".1f"),
        "Unread / failed": lambda row: f"{row['unparseable']:,} / {row['errors']:,}",
        "p50 / p95 / p99": lambda row: " / ".join(_duration(row[f"latency_p{q}_s"]) for q in (50, 95, 99)),
        "Retrieval": lambda row: _duration(row["retrieval_p50_s"]),
        "Tokens in (cached) / out": lambda row: (
            f"{_figure(row['input_tokens'], ',.0f')} ({_figure(row['cached_tokens'], ',.0f')}) / "
            f"{_figure(row['output_tokens'], ',.1f')}"
        ),
    }
    cells = [[printable(row["candidate"]), *(cell(row) for cell in columns.values())] for row in rows(summary)]
    figures = frozenset(range(1, len(columns) + 1))
    note = "Unread: no answer was found in what the model wrote. Retrieval: its share of the time, median."
    return Table(title="All figures", columns=["Candidate", *columns], rows=cells, figures=figures, note=note)


def _comparisons(decision: Decision) -> Table:
    cells = [
        (
            printable(one.b),
            printable(one.a),
            f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]",
            f"{one.won:,} / {one.lost:,} of {one.n:,}",
            f"{one.p:.2g} ({one.p_adjusted:.2g})",
            UNKNOWN if math.isnan(one.mde) else f"{100 * one.mde:.1f}",
            one.method,
        )
        for one in decision.comparisons
    ]
    columns = ["Tuned", "Against", "Points [95 %]", "Won / lost", "p (adjusted)", "Smallest seen", "Test"]
    note = (
        "Won: right where the other is wrong. Adjusted (Holm): the risk of one false alarm over the whole table."
        " Smallest seen: the true difference in points that so many items show four times in five."
    )
    return Table(title="Tuned against untuned", columns=columns, rows=cells, figures=frozenset({2, 3, 4, 5}), note=note)


def _slices(decision: Decision) -> Table:
    def cell(difference: float, *, helps: bool) -> str:
        return f"{100 * difference:+.1f}{' helps' if helps else ''}"

    cells = [
        (
            clean(one.name),
            f"{one.n:,}",
            cell(one.retrieval, helps=one.retrieval_helps),
            cell(one.tuning, helps=one.tuning_helps),
        )
        for one in decision.slices
    ]
    columns = ["Slice", "Items", "Retrieval, points", "Tuning, points"]
    note = "Against the best prompt; “helps” where it is more than chance over all slices."
    return Table(title="Where each lever helps", columns=columns, rows=cells, figures=frozenset({1, 2, 3}), note=note)


def _costs(decision: Decision) -> Table:
    def parts(amounts: Mapping[str, float | None]) -> str:
        return ", ".join(f"{name} {usd(amount)}" for name, amount in amounts.items() if amount != 0) or "nothing"

    cells = []
    for cost in decision.costs.values():
        span = (
            f" [{bare(cost.low and 1000 * cost.low)}, {bare(cost.high and 1000 * cost.high)}]"
            if cost.low is not None
            else ""
        )
        cells.append(
            (
                printable(cost.candidate),
                f"{usd_of(cost, 1000, unit='')}{span}",
                bare(None if cost.per_correct_usd is None else 1000 * cost.per_correct_usd).replace(
                    "inf", "no right answer"
                ),
                parts(cost.setup),
                parts(cost.standing),
            )
        )
    columns = ["Candidate", "USD per 1,000 [95 %]", "USD per 1,000 right", "Once", "A month"]
    return Table(title="Costs", columns=columns, rows=cells, figures=frozenset({1, 2}))


def _bases(decision: Decision) -> Table:
    """Part by part; candidates whose part rests on the same share a row."""
    sharing: dict[str, dict[str, list[str]]] = {}
    for cost in decision.costs.values():
        for part, basis in cost.basis.items():
            sharing.setdefault(part, {}).setdefault(basis, []).append(printable(cost.candidate))
    cells = [
        (part, basis, "all" if len(names) == len(decision.costs) else ", ".join(names))
        for part, shared in sharing.items()
        for basis, names in shared.items()
    ]
    return Table(title="What costs rest on", columns=["Part", "Rests on", "Candidates"], rows=cells, names=False)


def _return(roi: float | None) -> str:
    if roi is None:
        return UNKNOWN
    if roi < 0:
        return "a loss"
    return "a gain without set-up" if math.isinf(roi) else f"{roi:,.1f}"


def _paybacks(decision: Decision) -> Table:
    cells = []
    for back in decision.paybacks.values():
        if not decision.costs[back.candidate].tuned:
            continue
        known = months(back.months)
        span = [months(end) for end in (back.months_low, back.months_high) if end is not None]
        cells.append(
            (
                printable(back.candidate),
                printable(back.reference),
                usd(back.saving_per_request_usd),
                UNKNOWN if back.break_even_requests is None else _requests(back.break_even_requests),
                known + (f" [{' to '.join(span)}]" if {*span} - {known} else ""),
                _return(back.roi),
                clean(back.condition),
            )
        )
    columns = ["Candidate", "Against", "Saved a request", "Breaks even at", "Back in", "Return", "Condition"]
    note = "Return: gain over the time until the next base model for each dollar of set-up."
    return Table(title="Payback", columns=columns, rows=cells, figures=frozenset({2, 3, 4, 5}), note=note)


def _flips(decision: Decision) -> Table:
    """Those that change the verdict, then all others in one row."""
    units = {one.name: one.unit for one in decision.assumptions.listed()}
    cells = [
        (one.name, value_of(one.value, units[one.name]), one.at(partial(_found, unit=units[one.name])), one.becomes)
        for one in decision.flips
        if one.becomes
    ]
    others = ", ".join(one.name for one in decision.flips if not one.becomes)
    rest = [(others, _NONE, "no value", _NONE)] if others else []
    columns = ["Assumption", "Now", "Changes the verdict at", "To"]
    return Table(title="Sensitivity", columns=columns, rows=[*cells, *rest], figures=frozenset({1, 2}))


def _found(value: float, unit: str) -> str:
    """A value that a search came to, in no more digits than it is sure of."""
    return value_of(float(f"{value:.4g}"), unit)


def _requests(number: float) -> str:
    return "never" if number == math.inf else f"{number:,.0f} requests"


def _figure(value: float, how: str) -> str:
    return _NONE if math.isnan(value) else format(value, how)


def _duration(value: float) -> str:
    return _NONE if math.isnan(value) else duration(value)
