"""The memo's tables as text: what page one shows, and how figures are written in all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.scorecards import LEAST_TIMED, rows
from thirdlever.core.text import UNKNOWN, counted, months, percent, printable, usd
from thirdlever.report.figures.latency import duration

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from thirdlever.decision.assumptions import Value
    from thirdlever.decision.costs import Cost
    from thirdlever.decision.verdict import Decision

_ON_PAGE_ONE = 8
_LONGEST = 400  # characters of a cell


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of text.

    Attributes:
        title: what it holds.
        columns: headings; the first column names the row.
        rows: cells.
        figures: columns, by number, that hold figures.
        names: whether the first column holds names from outside.
        marked: rows, by number, that the decision is about.
        note: how to read it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    figures: frozenset[int] = frozenset()
    names: bool = True
    marked: frozenset[int] = frozenset()
    note: str = ""


def clean(text: str, longest: int = _LONGEST) -> str:
    """Text that obeys nobody and ends."""
    shown = printable(text[:longest])  # before: a long text is not looked at as a whole
    return shown if len(text) <= longest else f"{shown} … ({len(text):,} characters)"


def roles(decision: Decision) -> Mapping[str, str]:
    """What the candidates that a decision is about are to it."""
    found: dict[str, str] = {}
    for name, role in (
        (decision.chosen, "best measured" if decision.worse_than_today else "use this"),
        (decision.stay, "best without tuning"),
        (decision.best_prompt, "best prompt or retrieval"),
        (decision.tuned, "tuned, judged"),
    ):
        if name is not None:
            found[name] = (
                f"{found[name]}, {role}" if name in found and role.startswith("tuned") else found.get(name, role)
            )
    return found


def facts(decision: Decision, summary: pd.DataFrame) -> list[tuple[str, str]]:
    """The few figures of page one; what follows a line break says how sure one is."""
    use, a = decision.chosen, decision.assumptions
    found = []
    if use is not None:
        row = next((row for row in rows(summary) if row["candidate"] == use), None)
        found.append(("Best measured" if decision.worse_than_today else "Use", printable(use)))
        if row is not None:
            found.append(("Right answers", accuracy(row).replace(" [", "\n[")))
        found.append(("Cost of 1,000 requests", usd_of(decision.costs.get(use), 1000)))
    found.append(("Target", percent(a.target_accuracy) if a.target_accuracy is not None else "not stated"))
    back = decision.paybacks.get(decision.tuned) if decision.tuned else None
    if back is not None:
        found.append((f"Payback of {printable(back.candidate)}", months(back.months)))
    return found


def candidates(decision: Decision, summary: pd.DataFrame) -> Table:
    """Side by side: all, or the best and those that the decision is about."""
    known, volume = roles(decision), decision.assumptions.monthly_volume
    ranked = rows(summary)
    spare = _ON_PAGE_ONE - sum(row["candidate"] in known for row in ranked)
    shown = []
    for row in ranked:
        if row["candidate"] in known or spare > 0:
            shown.append(row)
            spare -= row["candidate"] not in known
    columns = [
        "Candidate",
        "Right, % [95 % interval]",
        "USD per 1,000",
        "USD a month",
        "Set-up, USD",
        "Answer time, median – slow",
        "Failed",
    ]
    each = decision.assumptions.error_cost_usd
    errors = None if volume is None or each is None else volume * each  # USD a month, were every answer wrong
    if errors is not None:
        columns.insert(4, "Errors, USD a month")
    left_out, timed = len(ranked) - len(shown), summary["timed"].max()
    few = "" if timed >= LEAST_TIMED else f", as far as {counted(timed, 'timed request')} can tell"
    notes = [
        f"Slow: 95 of 100 answers come faster{few}." if timed else "Nothing was timed.",
        f"A month has {volume:,.0f} requests." if volume is not None else "The monthly volume is not stated.",
        f"{counted(left_out, 'more candidate')} in the table of all figures." if left_out else "",
    ]
    return Table(
        title="Side by side",
        columns=columns,
        rows=[_candidate(row, decision.costs.get(row["candidate"]), known, volume, errors) for row in shown],
        figures=frozenset(range(1, len(columns))),
        marked=frozenset(i for i, row in enumerate(shown) if row["candidate"] == decision.chosen),
        note=" ".join(filter(None, notes)),
    )


def questions(decision: Decision) -> Table:
    """The six questions in order."""
    cells = [
        (one.question, one.answer, one.basis, _goes(one.verdict), clean(one.evidence), clean(one.threshold))
        for one in decision.matrix
    ]
    columns = ["Question", "Answer", "Rests on", "So", "Evidence", "Held against"]
    return Table(title="Six questions, in order", columns=columns, rows=cells, names=False)


def assumptions(decision: Decision) -> Table:
    """Value, unit and source of each."""
    cells = [
        (
            f"{one.meaning}\n{one.name}",
            value_of(one.value, one.unit),
            "" if one.unit == "share" else one.unit,
            clean(one.source) or "nobody has said",
        )
        for one in decision.assumptions.listed()
    ]
    columns = ["What", "Value", "Unit", "Source"]
    note = "To change one: thirdlever memo RUN --assume name=value."
    return Table(title="Assumptions", columns=columns, rows=cells, figures=frozenset({1}), names=False, note=note)


def value_of(value: Value, unit: str) -> str:
    """An assumption's value as a reader writes it."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return clean(value)
    if unit == "share":
        return percent(value)
    return usd(value) if unit.startswith("USD") else f"{value:,.10g}"


def _goes(verdict: str) -> str:
    return {"GO": "go on", "NO-GO": "stop here", "NEED-MORE-DATA": "find out"}[verdict]


def _candidate(
    row: Mapping[str, Any], cost: Cost | None, known: Mapping[str, str], volume: float | None, errors: float | None
) -> list[str]:
    name = printable(row["candidate"])
    role = known.get(row["candidate"])
    monthly = cost.monthly_usd(volume) if cost and volume is not None else None
    fast, slow = row["latency_p50_s"], row["latency_p95_s"]
    return [
        f"{name}\n{role}" if role else name,
        accuracy(row, unit=""),
        usd_of(cost, 1000, unit=""),
        bare(monthly),
        *(
            []
            if errors is None
            else [UNKNOWN if row["accuracy_ci95"] is None else bare((1 - row["accuracy"]) * errors)]
        ),
        bare(cost.setup_usd if cost else None),
        UNKNOWN if math.isnan(fast) else f"{duration(fast)} – {duration(slow)}",
        f"{row['errors']:,}",
    ]


def accuracy(row: Mapping[str, Any], unit: str = " %") -> str:
    """With its interval, in per cent."""
    if row["accuracy_ci95"] is None:
        return "no answers"
    low, high = (100 * end for end in row["accuracy_ci95"])
    return f"{100 * row['accuracy']:.1f}{unit} [{low:.1f}, {high:.1f}]"


def usd_of(cost: Cost | None, requests: int, unit: str = "$") -> str:
    """What so many requests cost."""
    if cost is None or cost.per_request_usd is None:
        return UNKNOWN
    return f"{unit}{bare(requests * cost.per_request_usd)}"


def bare(amount: float | None) -> str:
    """An amount under a heading that says USD."""
    return usd(amount).replace("$", "")
