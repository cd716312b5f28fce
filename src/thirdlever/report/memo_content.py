"""The memo's tables as text: what page one shows, and how figures are written in all of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import shlex
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from thirdlever.analysis.run import INFO, RECORDS
from thirdlever.analysis.scorecards import LEAST_TIMED, rows
from thirdlever.core.text import UNKNOWN, counted, duration, months, percent, printable, usd
from thirdlever.report.decision import notes, one_sentence, what_would_change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.run import Run
    from thirdlever.decision.assumptions import Value
    from thirdlever.decision.costs import Cost
    from thirdlever.decision.gates import Gate
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


def headline_facts(decision: Decision, summary: pd.DataFrame) -> list[tuple[str, str]]:
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


_OLD_DAYS = 90
_CHUNK = 1 << 20


def provenance_facts(run: Run) -> list[tuple[str, str]]:
    """Suite, measurement, machine and files, as (what, value)."""
    info = run.info
    suite = info["suite"]
    options = {name: info.get(name) for name in ("limit", "epochs", "seed", "probe", "constrain")}
    found: list[tuple[str, Any]] = [
        ("Command", shlex.join(info.get("command") or ())),
        ("Started", info.get("started")),
        ("Finished", info.get("finished")),
        ("Suite", suite["name"]),
        ("Suite hash", suite.get("hash")),
        *((f"{split} hash", digest) for split, digest in (suite.get("splits") or {}).items()),
        ("Options", ", ".join(f"{name} {_value_text(value)}" for name, value in options.items())),
        ("Hardware", _pairs(info.get("hardware"))),
        ("Machine, USD an hour", info.get("device_usd_per_hour")),
        ("Machine, share in use", info.get("utilisation")),
        ("Versions", _pairs(info.get("versions"))),
        *((f"sha256 of {name}", _sha256(run.folder / name)) for name in (RECORDS, INFO)),
    ]
    return [(clean(what), clean(_value_text(value), 4000)) for what, value in found]


def models(run: Run) -> Table:
    """Which model, at which revision, answered for whom."""
    cells = [
        [clean(_value_text(candidate.get(name)), 200) for name in ("name", "model", "revision", "identity")]
        for candidate in run.info.get("candidates", ())
    ]
    return Table(title="Models", columns=["Candidate", "Model", "Revision", "Identity"], rows=cells)


def prices(run: Run) -> Table:
    """The rates that the run used, with their dates."""
    finished = dt.date.fromisoformat(run.info["finished"][:10])
    cells = []
    for model, price in (run.info.get("prices") or {}).items():
        rates = [_rate(price, name) for name in ("input_per_m", "cached_input_per_m", "output_per_m")]
        source = clean(_value_text(price.get("source"))) if price else "none: device time, or unknown"
        cells.append([clean(str(model)), *rates, source, _dated(price, finished)])
    columns = ["Model", "Input", "Cached input", "Output", "Source", "As of"]
    note = "USD per 1M tokens."
    return Table(title="Prices", columns=columns, rows=cells, figures=frozenset({1, 2, 3}), note=note)


def commands(run: Run, given: Sequence[str]) -> list[str]:
    """What makes these figures again from the run's folder, with no model, key or network."""
    folder = str(run.folder)
    assumed = [part for one in given for part in ("--assume", one)]
    return [
        clean(shlex.join(["thirdlever", command, folder, *options]), 2000)
        for command, options in (("show", []), ("compare", []), ("decide", assumed), ("memo", assumed))
    ]


def _dated(price: Mapping[str, Any] | None, finished: dt.date) -> str:
    as_of = price.get("as_of") if price else None
    if not as_of:
        return UNKNOWN if price else "–"
    try:
        days = (finished - dt.date.fromisoformat(as_of)).days
    except ValueError:  # a month, or a user's own words
        return clean(str(as_of))
    return f"{as_of} ({days} days old when used)" if days > _OLD_DAYS else str(as_of)


def _rate(price: Mapping[str, Any] | None, name: str) -> str:
    value = price.get(name) if price else None
    return "–" if value is None else f"{value:g}"


def _pairs(table: Mapping[str, Any] | None) -> str:
    return ", ".join(f"{name} {value}" for name, value in (table or {}).items())


def _value_text(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _sha256(path: Path) -> str | None:
    """In pieces: records may be large."""
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


_LONGEST_EVIDENCE = 4000
_LONGEST_INPUT, _LONGEST_REPLY, _MOST_REPLIES = 600, 160, 5


@dataclass(frozen=True, kw_only=True)
class Memo:
    """A memo, from the verdict to the provenance.

    Attributes:
        title: what it is about.
        under: of what run, when.
        verdict: GO, NO-GO or NEED-MORE-DATA.
        sentence: the verdict in one plain sentence.
        facts: (what, figure), the few that matter.
        candidates: side by side, those that matter.
        notes: what a reader should know of the verdict.
        gates: the three.
        questions: the six.
        changes: what would change the verdict.
        failures: (heading, items).
        details: tables for an auditor, in order.
        assumptions: all of them.
        provenance: (what, value).
        sources: tables of models and prices.
        recompute: commands.
    """

    title: str
    under: str
    verdict: str
    sentence: str
    facts: Sequence[tuple[str, str]]
    candidates: Table
    notes: Sequence[str]
    gates: Sequence[Gate]
    questions: Table
    changes: Sequence[str]
    failures: Sequence[tuple[str, Sequence[Shown]]]
    details: Sequence[Table]
    assumptions: Table
    provenance: Sequence[tuple[str, str]]
    sources: Sequence[Table]
    recompute: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """An item worth reading, cut to a length that can be read."""

    item: str
    slice: str
    input: str
    target: str
    replies: Sequence[Reply] = field(default_factory=list)
    more: int = 0


def content(
    run: Run,
    decision: Decision,
    summary: pd.DataFrame,
    failed: tuple[Sequence[Failure], Sequence[Failure]],
    given: Sequence[str],
) -> Memo:
    """Put a memo's words together.

    Args:
        run: whose run.json is told.
        decision: what was decided on it.
        summary: the scorecards.
        failed: what `failures` returns.
        given: the assumptions of the command line, as typed.
    """
    suite = printable(run.info["suite"]["name"])
    return Memo(
        title=f"Prompt, retrieval or fine-tune: {suite}",
        under=f"Decision memo on the run of {run.info['finished'][:10]}",
        verdict=decision.verdict,
        sentence=clean(one_sentence(decision)),
        facts=headline_facts(decision, summary),
        candidates=candidates(decision, summary),
        notes=[clean(note) for note in notes(decision)],
        gates=[_told(gate) for gate in decision.gates],
        questions=questions(decision),
        changes=[clean(line) for line in what_would_change(decision)],
        failures=_failures(decision, failed),
        details=details(decision, summary),
        assumptions=assumptions(decision),
        provenance=provenance_facts(run),
        sources=[models(run), prices(run)],
        recompute=commands(run, given),
    )


def _told(gate: Gate) -> Gate:
    """Its sentences hold the names of candidates."""
    return replace(
        gate,
        reason=clean(gate.reason, _LONGEST_EVIDENCE),
        evidence=clean(gate.evidence, _LONGEST_EVIDENCE),
        threshold=clean(gate.threshold, _LONGEST_EVIDENCE),
        change=clean(gate.change, _LONGEST_EVIDENCE),
    )


def _failures(
    decision: Decision, failed: tuple[Sequence[Failure], Sequence[Failure]]
) -> list[tuple[str, Sequence[Shown]]]:
    name = printable(decision.chosen or decision.stay or "")
    headings = (f"{name} is wrong, others are right", f"{name} is right, others are wrong")
    return [(heading, [_shown(one) for one in group]) for heading, group in zip(headings, failed, strict=True) if group]


def _shown(one: Failure) -> Shown:
    text = "(the run's folder does not hold its text)" if one.input is None else clean(one.input, _LONGEST_INPUT)
    cut = [
        type(reply)(clean(reply.text, _LONGEST_REPLY), reply.right, [printable(name) for name in reply.candidates])
        for reply in one.replies[:_MOST_REPLIES]
    ]
    return Shown(
        item=clean(one.item),
        slice=clean(one.slice),
        input=text,
        target=clean(one.target, _LONGEST_REPLY),
        replies=cut,
        more=sum(len(reply.candidates) for reply in one.replies[_MOST_REPLIES:]),
    )


MOST = 4
_OF_A_SLICE = 2  # more would say the same again
_RIGHT = 0.5
_COLUMNS = ("candidate", "item_id", "epoch", "target", "prediction", "completion", "error")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer, and who gave it.

    Attributes:
        text: what was read from the answer, else the answer as it came.
        right: whether it counts.
        candidates: their names.
    """

    text: str
    right: bool
    candidates: Sequence[str]


@dataclass(frozen=True, slots=True)
class Failure:
    """An item on which the chosen candidate and the others part.

    Attributes:
        item: its id.
        slice: "" where there is none.
        input: what was asked; None when the run does not have it.
        target: the right answer.
        replies: right ones first; among each, the chosen candidate's, then what most said.
    """

    item: str
    slice: str
    input: str | None
    target: str
    replies: Sequence[Reply]


def failures(run: Run, scores: Outcomes, chosen: str) -> tuple[list[Failure], list[Failure]]:
    """A few items: (wrong by the chosen candidate and right by others, the reverse), most telling first.

    Args:
        run: whose texts are read, of these items alone.
        scores: its outcomes.
        chosen: the candidate to use.
    """
    lost, won = _pick(scores, chosen)
    answers = _answers(run, [scores.items[i] for i in (*lost, *won)])
    inputs = run.inputs(list(answers))
    picked = [[_failure(scores, i, answers, inputs, chosen) for i in group] for group in (lost, won)]
    return picked[0], picked[1]


def _pick(scores: Outcomes, chosen: str) -> tuple[list[int], list[int]]:
    """Items by number, the most others against the chosen one first; at most two of a slice."""
    right = scores.scores > _RIGHT
    own = right[scores.candidates.index(chosen)]
    others = right.sum(axis=0) - own
    rivals = len(scores.candidates) - 1
    return _telling(scores, ~own, others), _telling(scores, own, rivals - others)


def _telling(scores: Outcomes, mask: np.ndarray[Any, np.dtype[np.bool_]], against: np.ndarray[Any, Any]) -> list[int]:
    found: list[int] = []
    seen: Counter[str] = Counter()
    ranked = np.flatnonzero(mask & (against > 0))
    for i in ranked[np.argsort(-against[ranked], kind="stable")].tolist():
        name = scores.slices[i]
        if name and seen[name] >= _OF_A_SLICE:
            continue
        seen[name] += 1
        found.append(i)
        if len(found) == MOST:
            break
    return found


def _answers(run: Run, items: Sequence[str]) -> Mapping[str, list[Mapping[str, Any]]]:
    """The first answer of every candidate, by item."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    wanted = (run.records["phase"] == "accuracy") & run.records["item_id"].isin(list(items))
    rows = run.records.loc[wanted, list(_COLUMNS)]
    first = rows.sort_values(["epoch", "candidate"]).drop_duplicates(["candidate", "item_id"])
    for row in first.astype(object).where(first.notna(), None).to_dict("records"):
        found[str(row["item_id"])].append({str(name): value for name, value in row.items()})
    return found


def _failure(
    scores: Outcomes,
    i: int,
    answers: Mapping[str, list[Mapping[str, Any]]],
    inputs: Mapping[str, str],
    chosen: str,
) -> Failure:
    item = scores.items[i]
    by_text: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for row in answers[item]:
        right = bool(scores.scores[scores.candidates.index(row["candidate"]), i] > _RIGHT)
        by_text[not right, _answer_text(row)].append(row["candidate"])
    ranked = sorted(by_text.items(), key=lambda e: (e[0][0], chosen not in e[1], -len(e[1]), e[0][1]))
    replies = [Reply(text, not wrong, names) for (wrong, text), names in ranked]
    return Failure(item, scores.slices[i], inputs.get(item), answers[item][0]["target"], replies)


def _answer_text(row: Mapping[str, Any]) -> str:
    if row["error"] is not None:
        return "(the request failed)"
    if row["prediction"] is not None:
        return str(row["prediction"])
    return f"(no answer to be read in: {row['completion']})" if row["completion"] else "(no answer)"
