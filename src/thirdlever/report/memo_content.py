"""What the memo says below page one, as plain text: tables, provenance, and the items worth reading."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import shlex
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from thirdlever.analysis.compare import Compared, compared
from thirdlever.analysis.run import INFO, RECORDS
from thirdlever.analysis.scorecards import LEAST_TIMED, LOST, rows
from thirdlever.analysis.statuses import Tolerance
from thirdlever.core.errors import RunError
from thirdlever.core.text import (
    UNKNOWN,
    counted,
    duration,
    escape_terminal,
    interval,
    listed,
    months,
    percent,
    quantity,
    usd,
)
from thirdlever.report import tables
from thirdlever.report.decision import mark, searched_for

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.retrieval import RetrievalFigures
    from thirdlever.analysis.run import Run
    from thirdlever.analysis.scorecards import CandidateFigures
    from thirdlever.decision.assumptions import Value
    from thirdlever.decision.costs import Cost
    from thirdlever.decision.evidence import Slice
    from thirdlever.decision.verdict import Decision
    from thirdlever.report.page_one import DisplayNames, OptionRow


_NONE = "–"
LONGEST = 400  # characters of a cell
_SHOWN_CANDIDATES = 8  # on page one
_OLD_DAYS = 90  # from this age on, a price's age is stated
_OUTCOMES = {"passed": "continue", "failed": "stop", "open": "find out"}
_ANSWER_COLUMNS = ["candidate", "item_id", "epoch", "target", "prediction", "completion", "error"]
_OPTIONS = ("limit", "epochs", "seed", "probe", "constrain", "max_failed", "max_unparsed")
_SHOWN_ITEMS, _SHOWN_PER_SLICE = 4, 2  # more items of a slice would show the same mistake again
_LEAST_SLICE = 10  # items of a slice, for a share of them to say anything
_EVEN = 0.01  # difference of two ceilings that says nothing
_RIGHT = 0.5  # a score above it counts as right


@dataclass(frozen=True, kw_only=True)
class MemoTable:
    """A table of plain text.

    Attributes:
        title: a few words.
        columns: the headings.
        rows: the cells. A second line says more: in the first cell, the row's role in the decision.
        align: "l" or "r" for each column.
        names: whether the first column holds names.
        marked: the first cell of the row that the decision recommends.
        note: how to read the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    align: str
    names: bool = True
    marked: str | None = None
    note: str = ""


def clean(text: str, longest: int = LONGEST) -> str:
    """Printable text of at most `longest` characters."""
    shown = escape_terminal(text[:longest])  # cut first: a reply may be megabytes long
    return shown if len(text) <= longest else f"{shown} … ({len(text):,} characters)"


# Page one


def roles(decision: Decision) -> Mapping[str, str]:
    """The role of each candidate that the decision is about."""
    found: dict[str, str] = {}
    for name, role in (
        *((name, mark(decision, name)) for name in (decision.chosen, *decision.rivals) if name),
        (decision.stay, "best without tuning"),
        (decision.best_prompt, "best prompt or retrieval"),
    ):
        if name is not None:
            found.setdefault(name, role)
    if (tuned := decision.tuned) is not None:
        role = "tuned" if decision.standings[tuned].not_measured else "best tuned"
        found[tuned] = f"{found[tuned]}, tuned" if tuned in found else role
    repeats = decision.evidence.repeats
    return {own: role for name, role in found.items() for own in repeats.get(name, (name,))}


def options(choices: Sequence[OptionRow], decision: Decision) -> MemoTable:
    """Today's solution and the candidates to choose from."""
    a = decision.assumptions
    cells = [
        [
            one.name,
            percent(one.accuracy),
            usd(one.month.total if one.month else None),
            usd(one.once),
            one.outcome,
        ]
        for one in choices
    ]
    return MemoTable(
        title="The options",
        columns=["Option", "Accuracy", "Bill a month" if a.error_cost_usd is None else "A month", "Once", "Outcome"],
        rows=cells,
        align="lrrrl",
        names=False,
        note="" if a.error_cost_usd is None else f"A month: the bill, and {usd(a.error_cost_usd)} for each error.",
        marked=next((one.name for one in choices if one.role == "recommended"), None),
    )


def prompts_compared(run: Run) -> Compared | None:
    """Each strategy in one prompt compared with the same in another, and all of them together; None with one prompt."""
    try:
        return compared(run, by="prompt")
    except RunError:  # no two candidates differ in their prompt alone
        return None


def by_prompt(found: Compared) -> MemoTable:
    """The comparisons of the prompts as a table."""
    cells = [
        (
            clean(one.b),
            clean(one.a),
            interval(one.difference, one.low, one.high, sign=True),
            f"{one.won:,} / {one.lost:,}",
            "unlikely to be chance" if one.significant() else "may be chance",
        )
        for one in (*found.overall, *found.comparisons)
    ]
    note = "Adjusted for the number of comparisons. “thirdlever compare RUN A B --items” lists the items."
    columns = ["In this prompt", "Compared with", "Points [95 %]", "Items better / worse", "Difference"]
    return MemoTable(title="Which prompt?", columns=columns, rows=cells, align="llrrl", note=note)


def prompts_in_words(found: Compared) -> list[str]:
    """Which prompt is better over all strategies, in a sentence for each pair."""
    told = []
    for one in found.overall or found.comparisons:
        b, a = (name.partition(":")[0] if found.overall else name for name in (one.b, one.a))
        better, chance = (
            ("better", "worse")[one.difference < 0],
            "unlikely to be chance" if one.significant() else "may be chance",
        )
        span = interval(one.difference, one.low, one.high, sign=True)
        told.append(
            f"{b} does {better} than {a}: {span} points, {chance}."
            if one.difference
            else f"{b} and {a}: no difference was found."
        )
    return told


def retrieval(found: Mapping[str, Mapping[str, RetrievalFigures]]) -> MemoTable:
    """What each candidate retrieves and what becomes of it, the most accurate first.

    Args:
        found: what `Run.retrieval` returns.
    """
    shown = [(name, parts[""]) for name, parts in found.items() if "" in parts][:_SHOWN_CANDIDATES]
    cells = [[clean(name), *_retrieved(one)] for name, one in shown]
    columns = ["Candidate", "Recall, % [95 %]", "MRR / nDCG", "Precision, %", "Right if found / if not, %"]
    columns += ["Wrong: found / not found, %", "At most: search / model, %"]
    passages = any(one.unit == "passage" for _, one in shown)
    kinds = (
        "Recall, MRR and nDCG are of documents; found means a passage that contains the answer. " if passages else ""
    )
    note = (
        "At most: the accuracy if search found everything, and if the model answered all right but what is not found. "
        "“thirdlever show RUN --by retrieval” has the same by slice, with intervals."
    )
    align = "l" + "r" * (len(columns) - 1)
    return MemoTable(title="What retrieval finds", columns=columns, rows=cells, align=align, note=kinds + note)


def _retrieved(one: RetrievalFigures) -> list[str]:
    def share(value: float | None) -> str:
        return _NONE if value is None else f"{100 * value:.1f}"

    figures = [
        interval(one.found.value, one.found.low, one.found.high),
        f"{one.mrr.value:.3f} / {f'{one.ndcg.value:.3f}' if one.ndcg else _NONE}",
        share(one.precision.value if one.precision else None),
    ]
    if (split := one.split) is None:
        return [*figures, *[_NONE] * 3]
    right = [share(known.value if known else None) for known in (split.right_if_found, split.right_if_missed)]
    most = [share(split.best_search), share(split.best_reader)]
    wrong = [share(split.found_wrong), share(split.missed_wrong)]
    return [*figures, *map(" / ".join, (right, wrong, most))]


def retrieval_in_words(found: Mapping[str, Mapping[str, RetrievalFigures]]) -> str:
    """Whether better search or a better model would help the most accurate candidate that retrieves; "" if unknown."""
    name, one = next(((name, parts[""]) for name, parts in found.items() if "" in parts), ("", None))
    if one is None or one.split is None:
        return ""
    split = one.split
    what = {"document": "a document that holds the answer", "passage": "a passage with the answer"}
    with_it, without = (known.value if known else None for known in (split.right_if_found, split.right_if_missed))
    told = [f"{name} finds {what[one.unit]} for {percent(split.found)} of the items that the documents answer."]
    if with_it is not None:
        others = "" if without is None else f", and {percent(without)} of the others"
        told.append(f"It answers {percent(with_it)} of these right{others}.")
    told.append(
        f"If search found everything, accuracy would be at most {percent(split.best_search)}; "
        f"if the model read everything right that is found, at most {percent(split.best_reader)}."
    )
    gap = split.best_search - split.best_reader
    told.append(
        "Better search and a better model can gain about as much."
        if abs(gap) < _EVEN
        else f"{'Better search' if gap > 0 else 'A better model'} can gain more."
    )
    return " ".join(told)


def names(known: DisplayNames, decision: Decision) -> MemoTable:
    """The names on page one, and those of the candidates; no rows if they are the same."""
    cells = [(known[name], escape_terminal(name)) for name in decision.standings if known[name] != name]
    return MemoTable(title="Names", columns=["On page one", "Candidate"], rows=cells, align="ll")


def candidates(decision: Decision, summary: pd.DataFrame) -> MemoTable:
    """All candidates; of many, the best and those that the decision is about."""
    known, volume = roles(decision), decision.assumptions.monthly_volume
    ranked = rows(summary)
    spare = _SHOWN_CANDIDATES - sum(row["candidate"] in known for row in ranked)
    others = [row["candidate"] for row in ranked if row["candidate"] not in known][: max(spare, 0)]
    shown = [row for row in ranked if row["candidate"] in known or row["candidate"] in others]
    columns = ["Candidate", f"{tables.measure(summary).capitalize()}, % [95 %]", "USD per 1,000", "USD per month"]
    each = decision.assumptions.error_cost_usd
    errors = None if volume is None or each is None else volume * each  # USD per month if every answer were wrong
    if errors is not None:
        columns.append("Errors, USD per month")
    columns += ["Set-up, USD", "Latency, median – p95", "Lost"]
    timed, left_out = int(summary["timed"].max()), len(ranked) - len(shown)
    slow = "p95: 95 % of requests are faster."
    if timed < LEAST_TIMED[95]:
        slow = f"A p95 needs {LEAST_TIMED[95]} timed requests, not {timed:,}."
    notes = [
        slow if timed else "No latency was measured.",
        f"Per month: {counted(round(volume), 'request')}."
        if volume is not None
        else "The monthly volume is not stated.",
        "Lost: unparsed, refused, cut off or failed; counted as wrong.",
        f"{counted(left_out, 'more candidate')} under “All figures”." if left_out else "",
    ]
    return MemoTable(
        title="Candidates",
        columns=columns,
        rows=[_candidate(row, decision.costs.get(row["candidate"]), known, volume, errors) for row in shown],
        align="l" + "r" * (len(columns) - 1),
        marked=decision.evidence.repeats.get(decision.chosen or "", (decision.chosen,))[0],
        note=" ".join(filter(None, notes)),
    )


def by_model(summary: pd.DataFrame) -> MemoTable | None:
    """The best of each lever on each base model; None with one base model."""
    found = tables.by_model(summary)
    if found is None:
        return None
    columns, cells = found
    shown = [[clean(cell) if isinstance(cell, str) else "\n".join(map(clean, cell)) for cell in row] for row in cells]
    note = "The most accurate candidate of each lever, with its cost per 1,000 requests."
    align = "l" + "r" * len(columns[1:])
    return MemoTable(title="By model and lever", columns=columns, rows=shown, align=align, note=note)


def _candidate(
    row: Mapping[str, Any], cost: Cost | None, known: Mapping[str, str], volume: float | None, errors: float | None
) -> list[str]:
    name, role = escape_terminal(row["candidate"]), known.get(row["candidate"])
    wrong = None if errors is None or row["accuracy_ci95"] is None else (1 - row["accuracy"]) * errors
    return [
        f"{name}\n{role}" if role else name,
        accuracy(row, unit=""),
        _usd_for(cost, 1000, unit=""),
        _bare(cost.monthly_usd(volume) if cost and volume is not None else None),
        *([] if errors is None else [_bare(wrong)]),
        _bare(cost.setup_usd if cost else None),
        _times(row),
        f"{sum(row[name] for name in LOST):,}",
    ]


def _times(row: Mapping[str, Any]) -> str:
    """Median and 95th percentile of the latency, as far as they are known."""
    half, slow = row["latency_p50_s"], row["latency_p95_s"]
    if math.isnan(half):
        return UNKNOWN
    return duration(half) if math.isnan(slow) else f"{duration(half)} – {duration(slow)}"


def accuracy(row: Mapping[str, Any], unit: str = " %") -> str:
    """Accuracy and its interval, in percent."""
    if row["accuracy_ci95"] is None:
        return "not measured"
    low, high = (100 * end for end in row["accuracy_ci95"])
    return f"{100 * row['accuracy']:.1f}{unit} [{low:.1f}, {high:.1f}]"


def _usd_for(cost: Cost | None, requests: int, unit: str = "$") -> str:
    if cost is None or cost.per_request_usd is None:
        return UNKNOWN
    return f"{unit}{_bare(requests * cost.per_request_usd)}"


def _bare(amount: float | None) -> str:
    """An amount under a heading that says USD."""
    return usd(amount).replace("$", "")


# Tables for whoever checks the decision


def assumptions(decision: Decision) -> MemoTable:
    """The value, unit and source of each assumption."""
    cells = [
        (
            one.name,
            one.meaning,
            _value(one.value, one.unit),
            "" if one.unit == "share" else one.unit,
            clean(one.source) or "not stated",
        )
        for one in decision.assumptions.listed()
    ]
    note = "Change one with: thirdlever memo RUN --assume name=value."
    columns = ["Assumption", "Meaning", "Value", "Unit", "Source"]
    return MemoTable(title="Assumptions", columns=columns, rows=cells, align="llrll", note=note)


def _value(value: Value, unit: str) -> str:
    return quantity(clean(value) if isinstance(value, str) else value, unit)


def details(decision: Decision, summary: pd.DataFrame | None) -> list[MemoTable]:
    """All that is needed to check the decision; tables without rows are left out."""
    makers = (_questions, _comparisons, _slices, _costs, _bases, _paybacks, _sensitivity)
    questions, *others = (make(decision) for make in makers)
    every = [] if summary is None else [_all(summary)]
    return [table for table in (questions, *every, *others) if table.rows]


def _questions(decision: Decision) -> MemoTable:
    cells = [
        (one.question, one.answer, one.basis, _OUTCOMES[one.outcome], clean(one.evidence), clean(one.threshold))
        for one in decision.matrix
    ]
    columns = ["Question", "Answer", "Basis", "Outcome", "Evidence", "Threshold"]
    return MemoTable(title="Six questions, in order", columns=columns, rows=cells, align="llllll", names=False)


def _all(summary: pd.DataFrame) -> MemoTable:
    def figure(value: float, form: str) -> str:
        return _NONE if math.isnan(value) else format(value, form)

    def time(value: float) -> str:
        return _NONE if math.isnan(value) else duration(value)

    columns: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
        "Items": lambda row: f"{row['n']:,}",
        f"{tables.measure(summary).capitalize()}, % [95 %]": lambda row: accuracy(row, unit=""),
        "Macro F1, %": lambda row: figure(100 * row["macro_f1"], ".1f"),
        "Unparsed / refused / cut off / failed": lambda row: " / ".join(f"{row[name]:,}" for name in LOST),
        "p50 [90 %]": lambda row: _with_ends(row, 50),
        "p95 [90 %]": lambda row: _with_ends(row, 95),
        "p99": lambda row: time(row["latency_p99_s"]),
        "Retrieval": lambda row: time(row["retrieval_p50_s"]),
        "Tokens in (cached) / out": lambda row: (
            f"{figure(row['input_tokens'], ',.0f')} ({figure(row['cached_tokens'], ',.0f')}) / "
            f"{figure(row['output_tokens'], ',.1f')}"
        ),
    }
    cells = [[escape_terminal(row["candidate"]), *(cell(row) for cell in columns.values())] for row in rows(summary)]
    note = "Unparsed: the reply contains no answer. Retrieval: its part of the median latency."
    note += " Unparsed, refused, cut-off and failed requests count as wrong."
    align = "l" + "r" * len(columns)
    return MemoTable(title="All figures", columns=["Candidate", *columns], rows=cells, align=align, note=note)


def _with_ends(row: Mapping[str, Any], q: int) -> str:
    """A percentile of the latency with its 90 % interval."""
    value, low, high = (row[f"latency_p{q}{end}_s"] for end in ("", "_low", "_high"))
    if math.isnan(value):
        return _NONE
    return duration(value) if math.isnan(low) else f"{duration(value)} [{duration(low)}, {duration(high)}]"


def _comparisons(decision: Decision) -> MemoTable:
    cells = [
        (
            escape_terminal(one.b),
            escape_terminal(one.a),
            f"{100 * one.difference:+.1f} [{100 * one.low:+.1f}, {100 * one.high:+.1f}]",
            f"{one.won:,} / {one.lost:,} of {one.n:,}",
            f"{one.p:.2g} ({one.p_adjusted:.2g})",
            UNKNOWN if math.isnan(one.mde) else f"{100 * one.mde:.1f}",
            one.method,
        )
        for one in decision.comparisons
    ]
    columns = ["Tuned", "Compared with", "Points [95 %]", "Won / lost", "p (adjusted)", "Detectable", "Test"]
    note = (
        "Won: right where the other is wrong. Adjusted: by Holm's method, for all comparisons in this table."
        " Detectable: the smallest true difference, in points, that this many items would show in 80 % of runs."
    )
    return MemoTable(title="Tuned against untuned", columns=columns, rows=cells, align="llrrrrl", note=note)


def _slices(decision: Decision) -> MemoTable:
    def cell(one: Slice, difference: float, *, helps: bool) -> str:
        few = one.n < _LEAST_SLICE
        return "too few items" if few else f"{100 * difference:+.1f}{' helps' if helps else ''}"

    cells = [
        (
            clean(one.name),
            f"{one.n:,}",
            cell(one, one.retrieval, helps=one.retrieval_helps),
            cell(one, one.tuning, helps=one.tuning_helps),
        )
        for one in decision.slices
    ]
    columns = ["Slice", "Items", "Retrieval, points", "Tuning, points"]
    note = "Compared with the best prompt. “helps”: significant after adjusting for the number of slices."
    return MemoTable(title="Where each lever helps", columns=columns, rows=cells, align="lrrr", note=note)


def _costs(decision: Decision) -> MemoTable:
    def parts(amounts: Mapping[str, float | None]) -> str:
        return ", ".join(f"{name} {usd(amount)}" for name, amount in amounts.items() if amount != 0) or "none"

    def per_1000(amount: float | None) -> str:
        return _bare(amount and 1000 * amount)

    cells = [
        (
            escape_terminal(cost.candidate),
            _usd_for(cost, 1000, unit="")
            + ("" if cost.low is None else f" [{per_1000(cost.low)}, {per_1000(cost.high)}]"),
            per_1000(cost.per_correct_usd).replace("inf", "no correct answer"),
            parts(cost.setup),
            parts(cost.standing),
            _again(cost),
        )
        for cost in decision.costs.values()
    ]
    columns = ["Candidate", "USD per 1,000 [95 %]", "USD per 1,000 correct", "One-time", "Per month", "Re-tuning"]
    months_ = f"{decision.assumptions.horizon_months:g} months"
    note = f"Re-tuning: at each release of the base, every {months_}, with the published range of people's work."
    tuned = any(cost.tuned for cost in decision.costs.values())
    return MemoTable(title="Costs", columns=columns, rows=cells, align="lrrlll", note=note if tuned else "")


def _again(cost: Cost) -> str:
    """The cost of tuning again, and its range."""
    if cost.retuning is None:
        return UNKNOWN if cost.tuned else _NONE
    now, low, high = cost.retuning
    return usd(now) if low == high else f"{usd(now)} ({usd(low)} to {usd(high)})"


def _bases(decision: Decision) -> MemoTable:
    """The basis of each part of the cost; candidates with the same basis share a row."""
    sharing: dict[tuple[str, str], list[str]] = {}
    order = dict.fromkeys(part for cost in decision.costs.values() for part in cost.basis)
    for part in order:
        for cost in decision.costs.values():
            if part in cost.basis:
                sharing.setdefault((part, cost.basis[part]), []).append(escape_terminal(cost.candidate))
    cells = [
        (part, basis, "all" if len(names) == len(decision.costs) else ", ".join(names))
        for (part, basis), names in sharing.items()
    ]
    columns = ["Part", "Basis", "Candidates"]
    return MemoTable(title="Basis of the costs", columns=columns, rows=cells, align="lll", names=False)


def _paybacks(decision: Decision) -> MemoTable:
    cells = []
    for back in decision.paybacks.values():
        if not decision.costs[back.candidate].tuned:
            continue
        known = months(back.months)
        span = [months(end) for end in (back.months_low, back.months_high) if end is not None]
        cells.append(
            (
                escape_terminal(back.candidate),
                escape_terminal(back.reference),
                usd(back.saving_per_request_usd),
                _requests(back.break_even_requests),
                known + (f" [{' to '.join(span)}]" if {*span} - {known} else ""),
                _return(back.roi),
                clean(back.condition),
            )
        )
    columns = ["Candidate", "Compared with", "Saved per request", "Breaks even at", "Pays back in", "ROI", "Condition"]
    note = "ROI: net gain until the next base model, per dollar of set-up."
    return MemoTable(title="Payback", columns=columns, rows=cells, align="llrrrrl", note=note)


def _requests(number: float | None) -> str:
    if number is None:
        return UNKNOWN
    return "never" if number == math.inf else counted(round(number), "request")


def _return(roi: float | None) -> str:
    if roi is None:
        return UNKNOWN
    if roi < 0:
        return "a loss"
    return "a gain without set-up" if math.isinf(roi) else f"{roi:,.1f}"


def _sensitivity(decision: Decision) -> MemoTable:
    """The assumptions that can change the verdict, then all others in one row."""
    units = {one.name: one.unit for one in decision.assumptions.listed()}
    cells = [
        (one.name, _value(one.value, units[one.name]), one.at(partial(searched_for, unit=units[one.name])), one.becomes)
        for one in decision.flips
        if one.becomes
    ]
    if others := ", ".join(one.name for one in decision.flips if not one.becomes):
        cells.append((others, _NONE, "no value", _NONE))
    columns = ["Assumption", "Now", "Changes the verdict at", "To"]
    return MemoTable(title="Sensitivity", columns=columns, rows=cells, align="lrrl")


# Provenance


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A prompt of the run, with what is to be said of it."""

    name: str
    about: str
    source: str


def prompts(run: Run) -> list[ShownPrompt]:
    """The run's prompt files with their candidates, and the prompts that were searched with their accuracy on dev."""
    about = run.info["candidates"]
    used = {name: [one["name"] for one in about if one.get("prompt") == name] for name in run.info.get("prompts") or {}}
    given = [
        ShownPrompt(name, f"sha256 {prompt['hash'][:12]}. Used by {listed(used[name])}.", prompt["source"])
        for name, prompt in (run.info.get("prompts") or {}).items()
    ]
    return given + [
        ShownPrompt(one["name"], searched(found, run.figures[one["name"]]), found["source"])
        for one in about
        if (found := one.get("found"))
    ]


def searched(found: Mapping[str, Any], figures: CandidateFigures) -> str:
    """What a prompt search gained on dev, and what is left of it on the test items."""
    test = f", {percent(figures.accuracy.value)} of the test items" if figures.accuracy else ""
    gained = "No prompt did better on dev than the first."
    if found["accuracy"] > found["start"]:
        best = f"the best of {counted(found['prompts'], 'prompt')}"
        gained = f"The accuracy on dev is that of {best}, so it is likely too high; the test items are new to it."
    return (
        f"Searched: from {percent(found['start'])} to {percent(found['accuracy'])} of {found['items']:,} dev items"
        f"{test}. {gained} The search took {found['calls']:,} answers. "
        f"To use it, copy {found['file']} from the run's folder to prompts/."
    )


def chosen_facts(run: Run) -> list[tuple[str, str]]:
    """The arguments that candidates have from dev."""
    return [
        (f"{one['name']}, chosen on dev", chosen.replace(",", ", "))
        for one in run.info["candidates"]
        if (chosen := one.get("chosen"))
    ]


def near_leak_facts(run: Run) -> list[tuple[str, str]]:
    """Measured test items that are nearly in train or dev, and the accuracies without them; empty without any."""
    from thirdlever.analysis.run import without

    found = run.info.get("near_leaks")
    measured = set(run.records["item_id"]) & set(found["items"]) if found else set()
    if not found or not measured:
        return []
    known = {row["candidate"]: row["accuracy"] for row in rows(run.summary)}
    others = [row for row in rows(without(run, measured).summary) if row["measured"]]  # the best first
    pairs = [
        f"{row['candidate']} {percent(row['accuracy'])} ({percent(known[row['candidate']])} with them)"
        for row in others
    ]
    share = f"{len(measured):,} of {counted(int(run.records['item_id'].nunique()), 'test item')}"
    allowed = f"; allowed: {found['allowed']}" if found["allowed"] else ""
    return [("Nearly in train or dev", f"{share}{allowed}"), ("Accuracy without them", ", ".join(pairs))]


def grader_facts(run: Run) -> list[tuple[str, str]]:
    """The grader and how far it agrees with people, as (name, value); empty if answers are graded without one."""
    if not (found := run.info.get("grader")):
        return []
    known = found["agreement"]

    def figure(name: str) -> str:
        return UNKNOWN if known[name] is None else f"{interval(*known[name])} %"

    kappa = UNKNOWN if known["kappa"] is None else "{:.2f} [{:.2f}, {:.2f}]".format(*known["kappa"])
    labels = f"{known['right'] + known['wrong']:g} answers labelled by people, {known['right']:g} of them right"
    agrees = [
        f"agrees with people on {figure('agreement')} of {labels}",
        f"Cohen's kappa {kappa}",
        f"accepts {figure('sensitivity')} of right answers (sensitivity)",
        f"rejects {figure('specificity')} of wrong ones (specificity)",
    ]
    if not known["right"] + known["wrong"]:
        agrees = ["unknown, because no answers are labelled by people"]
    if known["no_verdict"]:
        agrees.append(f"gave no verdict on {known['no_verdict']:,}")
    raw = [f"{name} {percent(one.score.value)}" for name, one in run.figures.items() if one.score and one.score.n]
    effect = "not corrected, so they are no evidence" if _uncalibrated(run) else "corrected in all other figures"
    return [
        ("Grader", found["model"]),
        ("Agreement", "; ".join(agrees)),
        ("Verdicts as given", f"{', '.join(raw)}; {effect}"),
    ]


def _uncalibrated(run: Run) -> bool:
    from thirdlever.analysis.grader import Grader

    judge = Grader.of(run.info)
    return judge is not None and judge.why_not is not None


def provenance_facts(run: Run) -> list[tuple[str, str]]:
    """Suite, measurement, machine and files, as (name, value)."""

    def pairs(table: Mapping[str, Any] | None) -> str:
        return ", ".join(f"{name} {value}" for name, value in (table or {}).items())

    info, suite = run.info, run.info["suite"]
    options = {name: _text(info.get(name)) for name in _OPTIONS}
    found: list[tuple[str, Any]] = [
        ("Command", shlex.join(info.get("command") or ())),
        ("Started", info.get("started")),
        ("Finished", info.get("finished")),
        *(
            ("Imported from", f"{one['path']} ({one['format']})")
            for one in (info.get("imported") or {}).get("files", ())
        ),
        ("Suite", suite["name"]),
        ("Suite hash", suite.get("hash")),
        *((f"{split} hash", digest) for split, digest in (suite.get("splits") or {}).items()),
        ("Options", pairs(options)),
        ("Hardware", pairs(info.get("hardware"))),
        ("Machine, USD per hour", info.get("device_usd_per_hour")),
        ("Machine, utilisation", info.get("utilisation")),
        ("Versions", pairs(info.get("versions"))),
        *((f"sha256 of {name}", _sha256(run.folder / name)) for name in (RECORDS, INFO)),
    ]
    return [(clean(what), clean(_text(value), 4000)) for what, value in found]


def models(run: Run) -> MemoTable:
    """The model and revision behind each candidate."""
    cells = [
        [clean(_text(candidate.get(name)), 200) for name in ("name", "model", "revision", "identity")]
        for candidate in run.info.get("candidates", ())
    ]
    return MemoTable(title="Models", columns=["Candidate", "Model", "Revision", "Identity"], rows=cells, align="llll")


def prices(run: Run) -> MemoTable:
    """The prices that the run used, with their dates."""
    finished = dt.date.fromisoformat(run.info["finished"][:10])
    cells = []
    for model, price in (run.info.get("prices") or {}).items():
        rates = [(price or {}).get(name) for name in ("input_per_m", "cached_input_per_m", "output_per_m")]
        shown = [_NONE if rate is None else f"{rate:g}" for rate in rates]
        source = clean(_text(price.get("source"))) if price else "none: device time or unknown"
        cells.append([clean(str(model)), *shown, source, _dated(price, finished)])
    columns = ["Model", "Input", "Cached input", "Output", "Source", "As of"]
    return MemoTable(title="Prices", columns=columns, rows=cells, align="lrrrll", note="USD per 1M tokens.")


def _dated(price: Mapping[str, Any] | None, finished: dt.date) -> str:
    as_of = price.get("as_of") if price else None
    if not as_of:
        return UNKNOWN if price else _NONE
    try:
        days = (finished - dt.date.fromisoformat(as_of)).days
    except ValueError:  # a month, or free text
        return clean(str(as_of))
    return f"{as_of} ({days} days old when used)" if days > _OLD_DAYS else str(as_of)


def commands(source: Path, given: Sequence[str], run: Run | None) -> list[str]:
    """The commands that recompute every figure, without a model, key or network."""
    assumed = [part for one in given for part in ("--assume", one)]
    if run is None:
        return [shlex.join(["thirdlever", command, str(source), *assumed]) for command in ("decide", "memo")]
    tolerance = Tolerance.of(run.info)
    tolerated = [] if tolerance == Tolerance() else tolerance.options()
    return [
        clean(shlex.join(["thirdlever", command, str(source), *options, *tolerated]), 2000)
        for command, options in (("show", []), ("compare", []), ("decide", assumed), ("memo", assumed))
    ]


def _text(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None or value == "":
        return _NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Items worth reading


@dataclass(frozen=True, slots=True)
class SameAnswer:
    """Candidates that gave the same answer; `text` is the parsed answer if there is one, else the reply."""

    text: str
    right: bool
    candidates: Sequence[str]


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An item on which the recommended candidate and others disagree.

    Attributes:
        item: its id.
        slice: "" if the item has none.
        input: the question; None if the run does not hold it.
        target: the right answer.
        answers: right ones first; among those, the recommended candidate's, then the most frequent.
    """

    item: str
    slice: str
    input: str | None
    target: str
    answers: Sequence[SameAnswer]


def disagreements(run: Run, scores: Outcomes, chosen: str) -> tuple[list[Disagreement], list[Disagreement]]:
    """A few items each: (chosen is wrong and others are right, the reverse), those with most others first."""
    right = scores.verdicts > _RIGHT
    own = right[scores.candidates.index(chosen)]
    others = right.sum(axis=0) - own
    lost = _pick(scores, ~own, others)
    won = _pick(scores, own, len(scores.candidates) - 1 - others)
    answers = _answers(run, scores, [scores.items[i] for i in (*lost, *won)])
    inputs = run.inputs(list(answers))
    picked = [[_disagreement(scores, i, answers, inputs, chosen) for i in group] for group in (lost, won)]
    return picked[0], picked[1]


def _pick(scores: Outcomes, mask: np.ndarray[Any, np.dtype[np.bool_]], against: np.ndarray[Any, Any]) -> list[int]:
    """Indices of items under the mask, those with most candidates against the chosen one first."""
    found: list[int] = []
    seen: Counter[str] = Counter()
    ranked = np.flatnonzero(mask & (against > 0))
    for i in ranked[np.argsort(-against[ranked], kind="stable")].tolist():
        name = scores.slices[i]
        seen[name] += 1
        if not name or seen[name] <= _SHOWN_PER_SLICE:
            found.append(i)
    return found[:_SHOWN_ITEMS]


def _answers(run: Run, scores: Outcomes, items: Sequence[str]) -> Mapping[str, list[Mapping[str, Any]]]:
    """The first answer of every candidate that is measured, by item."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    wanted = (run.records["phase"] == "accuracy") & run.records["item_id"].isin(list(items))
    records = run.records.loc[wanted & run.records["candidate"].isin(scores.candidates), _ANSWER_COLUMNS]
    first = records.sort_values(["epoch", "candidate"]).drop_duplicates(["candidate", "item_id"])
    for row in rows(first.astype(object).where(first.notna(), None)):
        found[str(row["item_id"])].append(row)
    return found


def _disagreement(
    scores: Outcomes,
    i: int,
    answers: Mapping[str, list[Mapping[str, Any]]],
    inputs: Mapping[str, str],
    chosen: str,
) -> Disagreement:
    item = scores.items[i]
    by_text: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for row in answers[item]:
        right = bool(scores.verdicts[scores.candidates.index(row["candidate"]), i] > _RIGHT)
        by_text[not right, _answer(row)].append(row["candidate"])
    ranked = sorted(by_text.items(), key=lambda e: (e[0][0], chosen not in e[1], -len(e[1]), e[0][1]))
    same = [SameAnswer(text, not wrong, names) for (wrong, text), names in ranked]
    return Disagreement(item, scores.slices[i], inputs.get(item), answers[item][0]["target"], same)


def _answer(row: Mapping[str, Any]) -> str:
    if row["error"] is not None:
        return "(failed)"
    if row["prediction"] is not None:
        return str(row["prediction"])
    return f"(unparsed: {row['completion']})" if row["completion"] else "(empty)"
