"""The tables of the commands: results, prices, plan, comparisons, baselines, history and adapters."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
import textwrap
from dataclasses import asdict, astuple, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.analysis import scorecards
from thirdlever.analysis.retrieval import CUTS
from thirdlever.analysis.scorecards import LEAST_TIMED
from thirdlever.analysis.stats.power import ALPHA
from thirdlever.analysis.usage import total
from thirdlever.core.table import Column, Table
from thirdlever.core.text import (
    UNKNOWN,
    WIDTH,
    amount,
    compact,
    counted,
    duration,
    escape_csv,
    escape_markdown,
    escape_terminal,
    interval,
    listed,
    p_value,
    paragraph,
    percent,
    points,
    signed,
    usd,
)
from thirdlever.evaluation.records import describe_lost
from thirdlever.report import regression

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.compare import Compared, Comparison, NonInferiority
    from thirdlever.analysis.parts import PartTable
    from thirdlever.analysis.past_runs import DetectableEffect
    from thirdlever.analysis.retrieval import RetrievalFigures, RetrievalShare
    from thirdlever.analysis.stats.intervals import Proportion
    from thirdlever.analysis.variance import Variance
    from thirdlever.catalog.prices import Hour, Price
    from thirdlever.core.table import Cell
    from thirdlever.finetune.tune import Adapter
    from thirdlever.lifecycle.baseline import Baseline
    from thirdlever.lifecycle.diff import CandidateDiff
    from thirdlever.lifecycle.history import Point
    from thirdlever.runner.audit import Concern
    from thirdlever.runner.plan import PlannedCandidate, RunPlan
    from thirdlever.runner.prompt import Rendered
    from thirdlever.suites.suite import Suite


# Results

TableFormat = Literal["table", "md", "csv", "json"]
_SLOW_S = 10.0  # from here on, latencies are shown in seconds
_MUCH = 1.1  # times: a cost that differs by more is said


def render_summary(summary: pd.DataFrame, fmt: TableFormat = "table", *, width: int = WIDTH) -> str:
    """Scorecards side by side, one row per candidate, with a legend.

    Args:
        summary: what `scorecards` returns.
        fmt: "table" for a terminal, "md" for Markdown; "csv" and "json" hold every column at full precision.
        width: columns of the terminal.
    """
    match fmt:
        case "csv":
            return scorecards.to_csv(summary)
        case "json":
            return scorecards.to_json(summary)
        case "md":
            tables = [table.markdown() for table in _tables(summary)]
            legend = (f"- {escape_markdown(line)}" for line in _legend(summary))
        case "table":
            tables = [table.terminal(width) for table in _tables(summary)]
            legend = (paragraph(line, width=width, rest="  ") for line in _legend(summary))
    return "\n\n".join([*tables, "\n".join(legend)]) + "\n"


def _tables(summary: pd.DataFrame) -> list[Table]:
    found = [_results(summary)]
    if summary["recall"].notna().any():
        found.append(_retrieved(summary))
    if best := by_model(summary):
        heads, rows = best
        found.append(Table([Column(heads[0], "name"), *(Column(f"{head}\n$ per 1,000") for head in heads[1:])], rows))
    return found


def _retrieved(summary: pd.DataFrame) -> Table:
    """What the candidates that retrieve found, and how long each part of a request takes."""
    parts = ("embedding", "search", "ranking", "model")
    figures: dict[str, Callable[[Mapping[str, Any]], Cell]] = {
        "recall %\n[95 % CI]": lambda row: interval(row["recall"], row["recall_low"], row["recall_high"]),
        "MRR": lambda row: _ratio(row["mrr"]),
        "nDCG": lambda row: _ratio(row["ndcg"]),
        "precision\n%": lambda row: _percent(row["context_precision"]),
        "not\nretrieved\n%": lambda row: _percent(row["not_retrieved"]),
        "retrieved,\nwrong\n%": lambda row: _percent(row["retrieved_wrong"]),
        "median ms\nembedding/search\n/ranking/model": lambda row: "/".join(
            _milliseconds(row[f"{part}_p50_s"]) for part in parts
        ),
    }
    shown = [row for row in scorecards.rows(summary) if not math.isnan(row["recall"])]
    rows = [[row["candidate"], *(cell(row) for cell in figures.values())] for row in shown]
    return Table([Column("candidate", "name"), *map(Column, figures)], rows)


def _ratio(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _milliseconds(seconds: float) -> str:
    value = 1000 * seconds
    return "–" if math.isnan(value) else f"{value:.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004


LEVERS = {"prompt": "Prompt", "retrieval": "Retrieval", "tuned": "Fine-tune"}


def by_model(summary: pd.DataFrame) -> tuple[list[str], list[list[Cell]]] | None:
    """The best candidate of each lever on each base model, with its accuracy and cost per 1,000 requests.

    Returns:
        Headings and rows; None if the candidates have one base model.
    """
    best: dict[tuple[str, str], Mapping[str, Any]] = {}
    for row in scorecards.rows(summary):  # the best comes first
        if isinstance(row["base"], str) and row["measured"]:
            best.setdefault((row["base"], row["lever"]), row)
    bases = list(dict.fromkeys(base for base, _ in best))
    if len(bases) < 2:  # noqa: PLR2004 - a comparison
        return None
    levers = [lever for lever in LEVERS if any((base, lever) in best for base in bases)]
    rows = [[base, *(_best(best.get((base, lever))) for lever in levers)] for base in bases]
    return ["Model", *(f"{LEVERS[lever]}, %" for lever in levers)], rows


def _best(row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return "–"
    name, _, _ = row["candidate"].partition(" @ ")
    return f"{100 * row['accuracy']:.1f}  ${amount(row['cost_per_1k_usd'])}".replace(f"${UNKNOWN}", UNKNOWN), name


def _results(summary: pd.DataFrame) -> Table:
    """Related figures share a column, so that the table fits 100 characters."""
    shown = [q for q in (50, 95, 99) if q == 50 or summary[f"latency_p{q}_s"].notna().any()]  # noqa: PLR2004
    unit, scale = ("s", 1.0) if summary[f"latency_p{shown[-1]}_s"].max() >= _SLOW_S else ("ms", 1000.0)
    thought = "\n(reasoning)" if summary["reasoning_tokens"].max() > 0 else ""
    figures: dict[str, Callable[[Mapping[str, Any]], Cell]] = {
        f"{measure(summary)} %\n[95 % CI]": _accuracy,
        **({"F1 %\nmacro\n/micro": _both_f1} if summary["micro_f1"].notna().any() else {"macro\nF1 %": _macro_f1}),
        f"latency {unit}\n{'/'.join(f'p{q}' for q in shown)}": lambda row: _latency(row, scale, shown),
        f"tokens in\n(cached)/out{thought}": _tokens,
        "cost $\nper 1,000\nrequests": lambda row: amount(row["cost_per_1k_usd"]),
        "set-up\ncost $": lambda row: amount(row["setup_usd"]),
        "unparsed\n/refused\n/cut off\n/failed": _statuses,
    }
    rows = [[row["candidate"], *(cell(row) for cell in figures.values())] for row in scorecards.rows(summary)]
    return Table([Column("candidate", "name"), *map(Column, figures)], rows)


def measure(summary: pd.DataFrame) -> str:
    """What the column "accuracy" holds: "score" where answers can be partly right."""
    return "score" if (summary["measure"] == "score").any() else "accuracy"


def _accuracy(row: Mapping[str, Any]) -> Cell:
    ends = row["accuracy_ci95"]
    if ends is None and not math.isnan(row["accuracy_judged"]):
        return "not measured", f"(judged {100 * row['accuracy_judged']:.1f})"
    return "not measured" if ends is None else interval(row["accuracy"], *ends)


def _macro_f1(row: Mapping[str, Any]) -> str:
    return _percent(row["macro_f1"])


def _both_f1(row: Mapping[str, Any]) -> str:
    return "–" if math.isnan(row["micro_f1"]) else f"{_percent(row['macro_f1'])}/{_percent(row['micro_f1'])}"


def _percent(share: float | None) -> str:
    return "–" if share is None or math.isnan(share) else f"{100 * share:.1f}"


def _statuses(row: Mapping[str, Any]) -> str:
    return "/".join(f"{row[name]}" for name in scorecards.LOST)


def _latency(row: Mapping[str, Any], scale: float, percentiles: Sequence[int]) -> str:
    values = [row[f"latency_p{q}_s"] * scale for q in percentiles]
    if math.isnan(values[0]):
        return UNKNOWN
    return "/".join(
        "–" if math.isnan(value) else f"{value:.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004
        for value in values
    )


def _tokens(row: Mapping[str, Any]) -> str:
    if math.isnan(row["input_tokens"]):
        return UNKNOWN
    thought = f" ({compact(row['reasoning_tokens'])})" if row["reasoning_tokens"] > 0 else ""
    return f"{compact(row['input_tokens'])} ({compact(row['cached_tokens'])})/{compact(row['output_tokens'])}{thought}"


def _legend(summary: pd.DataFrame) -> list[str]:
    """What the figures mean, and how to get those that are unknown."""
    if summary.empty:
        return ["No candidate was measured."]
    items, sources = (_span(summary[name], "source") for name in ("n", "sources"))
    elsewhere = bool(summary["imported"].notna().all())
    tested = f"{_span(summary['n'], 'test item')}{'' if sources == items else f' from {sources}'}"
    lines = [
        _accuracy_legend(summary, tested),
        _latency_legend(summary["timed"], elsewhere=elsewhere),
        "Tokens: mean per request; cached tokens are part of the input"
        + (", reasoning tokens of the output." if summary["reasoning_tokens"].max() > 0 else "."),
        "Costs: model usage only, without labels and engineering. Set-up: paid once.",
        "Unparsed: no label or value found in the answer. Unparsed, refused, cut-off and failed count as wrong.",
    ]
    if bases := set(summary["retrieval_basis"].dropna()):
        lines += [*_recall_legend(bases), _RETRIEVED_LEGEND]
    if by_model(summary):
        lines.append(
            "By model: the most accurate candidate of each lever, with its accuracy and cost per 1,000 requests."
        )
    unmeasured = summary[~summary["measured"]].groupby("not_measured", sort=False)["candidate"]
    lines += [f"{', '.join(names)}: {why}." for why, names in unmeasured]
    same = summary[summary["same_answer"].notna()].groupby("same_answer", sort=False)["candidate"]
    lines += [f"{', '.join(names)}: {why}." for why, names in same]
    lost = summary[summary["lost_attempts"] > 0]
    lines += [f"{name}: {describe_lost(n)}." for name, n in zip(lost["candidate"], lost["lost_attempts"], strict=True)]
    lines += _uncached(summary)
    if summary[["cost_per_1k_usd", "setup_usd"]].isna().to_numpy().any():
        known = "state the model at import" if elsewhere else "pass --device-usd-per-hour for local models"
        lines.append(f"Unknown costs: {known}; add rates to prices.toml for others.")
    return [*_models(summary), *lines]


def _uncached(summary: pd.DataFrame) -> list[str]:
    """What requests cost where the provider's cache holds nothing, if that is much more."""
    much = summary[summary["cost_per_1k_uncached_usd"] > _MUCH * summary["cost_per_1k_usd"]]
    costs = zip(much["candidate"], much["cost_per_1k_uncached_usd"], strict=True)
    found = ", ".join(f"{usd(cost)} for {name}" for name, cost in costs)
    return [f"Cost per 1,000 without the provider's cache, which forgets within minutes: {found}."] if found else []


_RECALL = {
    "gold": "Recall, MRR, nDCG: of the documents that hold the answer (gold), among all that was retrieved.",
    "answer": "Recall, MRR: of passages that contain the right answer word for word, among all that was retrieved.",
}
_RETRIEVED_LEGEND = (
    "Precision: the share of what was retrieved that is right. Not retrieved (of passages: none contains the answer), "
    "and retrieved but answered wrong: in % of the items that the documents answer; --by retrieval shows more."
)


def _recall_legend(bases: Collection[str]) -> list[str]:
    """What recall is of."""
    return [text for basis, text in _RECALL.items() if basis in bases]


def _latency_legend(timed: pd.Series[int], *, elsewhere: bool) -> str:
    """What was timed: results of another tool have the times that their file gives."""
    most, least = timed.max(), LEAST_TIMED[95]
    if not most:
        return "Latency: not measured."
    if elsewhere:
        return f"Latency: as the files give it, of {_span(timed, 'request')}; waiting may be included."
    few = "" if most >= least else f"; a p95 needs {least} (--probe {least})"
    return f"Latency: {'percentiles of ' if most > 1 else ''}{_span(timed, 'sequential warm request')}{few}."


def _accuracy_legend(summary: pd.DataFrame, tested: str) -> str:
    if measure(summary) == "score":
        return f"Score: mean score of the answers to {tested}; 95 % confidence interval (Wilson)."
    if summary["accuracy_judged"].isna().all():
        return f"Accuracy: correct answers to {tested}; 95 % confidence interval (Wilson)."
    if summary["accuracy"].isna().all():
        return f"Judged: answers to {tested} that the grader accepts, in %; no accuracy, see below."
    lost = int(summary["ungraded"].sum())
    left_out = f" {counted(lost, 'answer')} without a verdict left out." if lost else ""
    return (
        f"Accuracy: answers to {tested}, judged by a model and corrected for its errors by people's labels; "
        f"the 95 % confidence interval includes both uncertainties.{left_out}"
    )


def _span(counts: pd.Series[int], thing: str) -> str:
    least, most = int(counts.min()), int(counts.max())
    return counted(most, thing) if least == most else f"{least:,} to {counted(most, thing)}"


def _models(summary: pd.DataFrame) -> list[str]:
    """The model that most candidates use, then the candidates with another."""
    used = summary[summary["model"].notna()]
    if used.empty:
        return []
    common = used["model"].mode()[0]
    others = used[used["model"] != common]
    named = [f"  {name}: {model}" for name, model in zip(others["candidate"], others["model"], strict=True)]
    return [f"Model: {common}{', except' if named else ''}", *named]


# Parts of answers


def render_parts(parts: Mapping[str, PartTable], fmt: TableFormat = "table", *, width: int = WIDTH) -> str:
    """Figures by label, field or rule, one row each.

    Args:
        parts: by candidate; all of one kind.
        fmt: as of `render_summary`.
        width: columns of the terminal.
    """
    rows = [{"candidate": name, **row} for name, table in parts.items() for row in part_rows(table)]
    if fmt == "csv":
        return _frame(rows).to_csv(index=False, lineterminator="\n")
    if fmt == "json":
        return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    by = next(iter(parts.values())).by
    heads = [name for name in _PART_FIGURES if any(row[name] is not None for row in rows)]
    columns = [
        Column("candidate", "name"),
        Column(by, "text"),
        Column("targets"),
        *(Column(f"{name} %") for name in heads),
    ]
    before = [None, *(row["candidate"] for row in rows[:-1])]
    cells = [
        (
            "" if row["candidate"] == above else row["candidate"],
            row[by],
            f"{row['targets']:,}",
            *(_percent(row[name]) for name in heads),
        )
        for row, above in zip(rows, before, strict=True)
    ]
    table = Table(columns, cells)
    if fmt == "md":
        return "\n\n".join([table.markdown(), "\n".join(f"- {line}" for line in _PART_LEGEND[by])]) + "\n"
    return "\n\n".join([table.terminal(width), "\n".join(_PART_LEGEND[by])]) + "\n"


_PART_FIGURES = ("accuracy", "precision", "recall", "F1", "valid")
_PART_LEGEND = {
    "label": (
        "Targets: how many have the label. Requests without an answer lower recall.",
        "Macro: mean over the labels that targets have. Micro: all labels together.",
    ),
    "field": (
        "Targets: how many have a value in the field, other than null.",
        "Accuracy: right, null included. Valid: allowed by the schema. Requests without an answer count as wrong.",
        "Macro: mean over the fields that targets have. Micro: all fields together.",
    ),
    "rule": ("Accuracy: share of requests whose answer keeps the rule.",),
}


def part_rows(table: PartTable) -> list[dict[str, Any]]:
    """One dictionary per part, then macro and micro averages; None where a figure has no meaning."""
    rows = [
        {
            table.by: one.part,
            "targets": one.support,
            "accuracy": one.accuracy,
            "precision": one.precision,
            "recall": one.recall,
            "F1": one.f1,
            "valid": one.valid,
        }
        for one in table.parts
    ]
    every = sum(one.support for one in table.parts)
    none = dict.fromkeys(_PART_FIGURES)
    for name, f1 in (("(macro)", table.macro_f1), ("(micro)", table.micro_f1)):
        if f1 is not None:
            rows.append({table.by: name, "targets": every, **none, "F1": f1})
    if table.valid is not None:
        rows.append({table.by: "(whole answer)", "targets": every, **none, "valid": table.valid})
    return rows


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame = pd.DataFrame(rows)
    texts = [name for name in frame.columns if name in {"candidate", "label", "field", "rule", "slice"}]
    return frame.assign(**{name: frame[name].map(escape_csv) for name in texts})


# Retrieval

Retrieved: TypeAlias = "Mapping[str, Mapping[str, RetrievalFigures]]"
_PROPORTIONS = ("mrr", "ndcg", "precision", "answer_recall")
_SPLIT = ("found_right", "found_wrong", "missed_right", "missed_wrong")


def render_retrieval(found: Retrieved, fmt: TableFormat = "table", *, width: int = WIDTH) -> str:
    """What candidates retrieve and what becomes of it, overall and by slice.

    Args:
        found: by candidate, then by slice; all items are under "".
        fmt: as of `render_summary`.
        width: columns of the terminal.
    """
    rows = [_retrieval_row(candidate, part, one) for candidate, parts in found.items() for part, one in parts.items()]
    if fmt == "csv":
        return _frame(rows).to_csv(index=False, lineterminator="\n")
    if fmt == "json":
        return json.dumps(_plain(rows), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    table = _by_slice(found)
    lines = [
        *_recall_legend({one.basis for parts in found.values() for one in parts.values()}),
        "Right: of the items for which something right was found, and of the others. Wrong: of all of these items.",
        "At most: accuracy if search found everything, or if the model answered all right but what is not found.",
    ]
    if fmt == "md":
        return "\n\n".join([table.markdown(), "\n".join(f"- {escape_markdown(line)}" for line in lines)]) + "\n"
    return (
        "\n\n".join([table.terminal(width), "\n".join(paragraph(line, width=width, rest="  ") for line in lines)])
        + "\n"
    )


def _by_slice(found: Retrieved) -> Table:
    heads = (
        "items",
        "recall %\n[95 % CI]",
        "right %\nfound\n/not found",
        "wrong %\nfound\n/not found",
        "at most %\nsearch\n/model",
    )
    rows = [
        ("" if part else candidate, part or "(all)", *_slice_cells(one))
        for candidate, parts in found.items()
        for part, one in parts.items()
    ]
    return Table([Column("candidate", "name"), Column("slice", "text"), *map(Column, heads)], rows)


def _slice_cells(one: RetrievalFigures) -> list[str]:
    split, recall = one.split, interval(one.found.value, one.found.low, one.found.high)
    if split is None:
        return [f"{one.n:,}", recall, *["–"] * 3]
    found, missed = split.right_if_found, split.right_if_missed
    pairs = (
        (found.value if found else None, missed.value if missed else None),
        (split.found_wrong, split.missed_wrong),
        (split.best_search, split.best_reader),
    )
    return [f"{one.n:,}", recall, *(f"{_percent(a)}/{_percent(b)}" for a, b in pairs)]


def _retrieval_row(candidate: str, part: str, one: RetrievalFigures) -> dict[str, Any]:
    """Every figure; None where it has no meaning."""
    row: dict[str, Any] = {"candidate": candidate, "slice": part, "basis": one.basis, "unit": one.unit, "items": one.n}
    row |= {"unanswerable": one.unanswerable, "k": one.k}
    known: dict[str, Proportion | None] = {"recall": one.found, **{f"recall_at_{k}": one.recall.get(k) for k in CUTS}}
    known |= {name: getattr(one, name) for name in _PROPORTIONS}
    parts = ("right_if_found", "right_if_missed")
    known |= {name: getattr(one.split, name) if one.split else None for name in parts}
    for name, value in known.items():
        row |= {name: value and value.value, f"{name}_low": value and value.low, f"{name}_high": value and value.high}
    return row | {name: one.split and getattr(one.split, name) for name in (*_SPLIT, "best_search", "best_reader")}


def retrieval_sentence(one: RetrievalShare) -> str:
    """What each candidate finds and makes of it, and how much of their difference lies where one finds more."""
    what = {"document": "a document that holds the answer", "passage": "a passage that contains the answer"}[one.unit]
    told = [
        f"{name} finds {what} for {percent(share)} of the items: with it, {percent(one.right_if_found[name])} of the "
        f"answers are right, and without it {percent(one.right_if_missed[name])}."
        for name, share in one.found.items()
    ]
    told = [text.replace(UNKNOWN, "none") for text in told]
    only = [(name, part) for name, part in ((one.b, one.gained), (one.a, one.lost)) if name in one.found]
    if not one.difference:
        return " ".join(told)
    where = [
        f"{signed(part)} come from items for which {'only ' * (len(only) > 1)}{name} finds one" for name, part in only
    ]
    rest = signed(one.difference - one.gained - one.lost)
    total = f"Of the {signed(one.difference)} points from {one.a} to {one.b}"
    return " ".join([*told, f"{total}, {listed([*where, f'{rest} from the others'])}."])


# Prices

_OLD_DAYS = 90


def price_lines(prices: Mapping[str, Price | None], today: dt.date | None = None) -> list[str]:
    """The prices used, one line for all models that share one, then a warning for each that is old.

    Args:
        prices: by model; None for a model without one, which is left out.
        today: what ages are counted from; today by default.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    models: dict[Price, list[str]] = {}
    for model, price in prices.items():
        if price is not None:
            models.setdefault(price, []).append(model)
    lines = [f"{', '.join(names)}: {_rates(price)}" for price, names in models.items()]
    for price in models:
        lines += _aged(price.model, price.as_of, today)
    return [escape_terminal(line) for line in lines]


def device_lines(device: Hour | None, utilisation: float, today: dt.date | None = None) -> list[str]:
    """The hourly rate used for local models, with a warning if it is old."""
    if device is None:
        return []
    least = "" if device.least is None else f"; from {usd(device.least)}"
    origin = ", ".join(filter(None, [device.source, device.as_of, device.confidence]))
    line = f"device time: {usd(device.usd)} per hour at {100 * utilisation:.0f} % utilisation ({origin}{least})"
    aged = _aged("device time", device.as_of, today or dt.datetime.now(dt.UTC).date())
    return [escape_terminal(line) for line in (line, *aged)]


def _rates(price: Price) -> str:
    written = "" if price.cache_write_per_m is None else f"{usd(price.cache_write_per_m)} cache writes, "
    tiers = f"; higher above {price.tiers[0].above:,} prompt tokens" if price.tiers else ""
    origin = ", ".join(filter(None, [price.source, price.as_of or "undated", price.confidence]))
    return (
        f"{usd(price.input_per_m)} input, {usd(price.cached_input_per_m)} cached, {written}"
        f"{usd(price.output_per_m)} output per 1M tokens{tiers} ({price.model}: {origin})"
    )


def _aged(what: str, as_of: str | None, today: dt.date) -> list[str]:
    if as_of is None:
        return []
    try:
        days = (today - dt.date.fromisoformat(as_of[:10])).days
    except ValueError:
        return [f"warning: the price of {what} has an invalid date {as_of!r}; write it as 2026-11-01 in prices.toml"]
    if days <= _OLD_DAYS:
        return []
    return [f"warning: the price of {what} is {days} days old ({as_of}); check it and update prices.toml"]


# Baselines


def render_baseline(pinned: Baseline) -> str:
    """A baseline: its origin, and its candidates' figures."""
    options = ", ".join(f"{name}={value}" for name, value in pinned.options.items() if value is not None)
    installed = ", ".join(f"{name} {number}" for name, number in (pinned.facts.get("versions") or {}).items())
    about = [
        f"Baseline {pinned.name}: suite {pinned.suite['name']}, {pinned.date}, {counted(len(pinned.items), 'item')}",
        f"Suite hash: {pinned.suite['hash'][:16]}",
        f"Options: {options}",
        f"Versions: {installed}",
    ]
    columns = [Column("candidate", "name"), Column("model", "name"), Column("accuracy %"), Column("p95 latency")]
    rows = [
        (
            one.name,
            one.base or "–",
            f"{100 * one.figure('accuracy'):.1f}",
            "–" if math.isnan(one.figure("latency_p95_s")) else duration(one.figure("latency_p95_s")),
            amount(one.figure("cost_per_1k_usd")),
        )
        for one in pinned.candidates
    ]
    table = Table([*columns, Column("cost $ per\n1,000 requests")], rows)
    return "\n".join([*(paragraph(line, rest="  ") for line in about), "", table.terminal()])


def render_baselines(pinned: Iterable[Baseline]) -> str:
    """All baselines, one row each."""
    columns = [Column("name", "text"), Column("suite", "text"), Column("date", "text"), Column("items")]
    rows = [
        (one.name, one.suite["name"], one.date, f"{len(one.items):,}", tuple(each.name for each in one.candidates))
        for one in pinned
    ]
    return Table([*columns, Column("candidates", "name")], rows).terminal()


# History

HistoryFormat = Literal["text", "json"]


def render_history(points: Sequence[Point], fmt: HistoryFormat = "text", *, width: int = WIDTH) -> str:
    """A suite's runs, oldest first.

    Args:
        points: what `history` returns.
        fmt: "text" for a terminal; "json" for programs, where unknown is null.
        width: columns of the terminal.
    """
    versions = {suite_hash: n for n, suite_hash in enumerate(dict.fromkeys(point.suite_hash for point in points), 1)}
    if fmt == "json":
        return json.dumps([_history_json(point, versions) for point in points], indent=2, allow_nan=False)
    heads = "accuracy %\n[95 % CI]", "cost $\nper 1,000\nrequests", "latency\np50/p95"
    names = [Column("run", "text"), Column("candidate", "name"), Column("model\n(released)", "name")]
    before = [None, *(point.run for point in points[:-1])]
    rows = [
        ("" if point.run == above else _run(point, versions), *_history_cells(point))
        for point, above in zip(points, before, strict=True)
    ]
    notes = ["Candidates whose intervals overlap may be equally accurate."]
    if len(versions) > 1:
        notes.insert(0, "The suite changed between runs: compare only figures of the same suite version.")
    return "\n".join([Table([*names, *map(Column, heads)], rows).terminal(width), "", *notes]) + "\n"


def _run(point: Point, versions: Mapping[str, int]) -> tuple[str, ...]:
    lines = [f"{point.when:%Y-%m-%d}", point.run]
    if point.baseline:
        lines.append("(baseline)" if point.baseline == point.run else f"(baseline {point.baseline})")
    return (*lines, f"suite v{versions[point.suite_hash]}") if len(versions) > 1 else tuple(lines)


def _history_cells(point: Point) -> tuple[str | tuple[str, ...], ...]:
    model = point.model or "–"
    return (
        point.candidate,
        (model, f"({point.released})") if point.released else model,
        "not measured" if math.isnan(point.accuracy) else interval(point.accuracy, point.low, point.high),
        amount(point.usd_per_1k),
        _times(point),
    )


def _times(point: Point) -> str:
    if math.isnan(point.p50_s):
        return UNKNOWN
    return f"{duration(point.p50_s)}/{'–' if math.isnan(point.p95_s) else duration(point.p95_s)}"


def _history_json(point: Point, versions: Mapping[str, int]) -> dict[str, Any]:
    row = dataclasses.asdict(point)
    row |= {"when": point.when.isoformat(), "released": point.released and point.released.isoformat()}
    row["suite_version"] = versions[point.suite_hash]
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}


# Adapters


def render_adapters(adapters: Iterable[Adapter]) -> str:
    """Tuned models in the store, one row each."""
    columns = [Column("key", "text"), Column("suite", "text"), Column("base", "name"), Column("method", "text")]
    figures = map(Column, ("examples", "epochs", "dev loss", "MB"))
    rows = [
        (
            one.key[:8],
            one.suite,
            one.base,
            one.method if one.rank is None else f"{one.method} r={one.rank}",
            f"{one.examples:,}",
            f"{one.epochs:.3g}",
            "–" if one.dev_loss is None else f"{one.dev_loss:.3f}",
            f"{one.bytes / 1e6:.1f}",
        )
        for one in adapters
    ]
    return Table([*columns, *figures], rows).terminal()


# Plan


_USD = ("request_usd", "reasoning_usd", "setup_usd")


def render_plan(plan: RunPlan, fmt: Literal["text", "json"] = "text", *, width: int = WIDTH) -> str:
    """The plan as text.

    Args:
        plan: what `runner.plan.plan` returns.
        fmt: "text" for a terminal, "json" with every figure at full precision; unknown is null.
        width: columns of the terminal.
    """
    return _json(plan) if fmt == "json" else _text(plan, width)


def _json(plan: RunPlan) -> str:
    found = asdict(plan)
    effect, candidates = found.pop("detectable_effect"), found.pop("candidates")
    if math.isnan(effect["detectable"]):
        effect["detectable"] = None
    totals = {"requests": plan.requests, "usd": plan.usd, "minutes": plan.minutes}
    return json.dumps(found | totals | {"detectable_effect": effect, "candidates": candidates}, indent=2)


def _text(plan: RunPlan, width: int) -> str:
    heads = ("requests", "tokens\nin/out", "set-up\nrequests", "set-up\ntokens", "trained\ntokens", "USD", "minutes")
    rows = [(one.candidate, *_plan_cells([one])) for one in plan.candidates]
    if len(rows) > 1:
        rows.append(("total", *_plan_cells(plan.candidates)))
    blocks = [
        [f"Plan for {plan.suite}: {plan.items:,} of {plan.detectable_effect.available:,} test items.", *_consist(plan)],
        [*_not_planned(plan), *_totals(plan)],
        _effect(plan.detectable_effect),
    ]
    head, *body = ("\n".join(paragraph(line, width=width) for line in block) for block in blocks)
    basis = "\n".join(paragraph(line, width=width, first="- ", rest="  ") for line in _basis(plan))
    table = Table([Column("candidate", "name"), *map(Column, heads)], rows).terminal(width)
    return "\n\n".join([head, table, *body, f"Basis:\n{basis}"]) + "\n"


def _consist(plan: RunPlan) -> list[str]:
    """Sentences on what the numbers of requests consist of."""
    asked = plan.items * plan.epochs
    times = f" × {plan.epochs} epochs" if plan.epochs > 1 else ""
    parts = f"{counted(plan.items, 'test item')}{times} for accuracy"
    if plan.probed:
        timed = counted(plan.probed - 1, "test item")
        parts += f" + {plan.probed:,} for latency ({timed} one by one, after a first request that is not timed)"
    lines = [f"Requests of a candidate: {asked + plan.probed:,} = {parts}."]
    known = [(one.candidate, one.calls_per_item) for one in plan.candidates]
    if several := [f"{name} {calls:.3g}" for name, calls in known if calls is not None and calls not in {0, 1}]:
        lines.append(f"Each model call is a request. Model calls per item, where not 1: {'; '.join(several)}.")
    if any(one.setup_requests for one in plan.candidates):
        lines.append(
            f"Set-up sends {_added(plan.candidates, _count, 'setup_requests')} requests first, such as dev items to "
            "choose settings or inputs for a teacher to label; the basis lists them."
        )
    return lines


def _plan_cells(of: Sequence[PlannedCandidate]) -> list[str]:
    """A row of figures: the sums over some candidates."""
    added = partial(_added, of)
    sent, came = added(tokens, "input_tokens"), added(tokens, "output_tokens", "reasoning_tokens")
    return [
        added(_count, "requests"),
        UNKNOWN if sent == came == UNKNOWN else _at_least(sent, came),
        _dash(added(_count, "setup_requests")),
        "–" if all(one.setup_requests == 0 for one in of) else added(tokens, "setup_tokens", "reasoning_tokens"),
        _dash(added(tokens, "trained_tokens")),
        added(dollars, *_USD),
        added(minutes, "request_minutes", "setup_minutes"),
    ]


def _added(of: Sequence[PlannedCandidate], show: Callable[[float | None], str], *fields: str) -> str:
    """The sum of some fields over candidates; if a part is unknown, what is known of it."""
    parts: list[float | None] = [getattr(one, field) for one in of for field in fields]
    known = sum(part for part in parts if part is not None)
    return f"≥ {show(known)}" if None in parts and known else show(total(parts))


def _at_least(*figures: str) -> str:
    """Figures in one cell; one mark says that any of them is a lower bound."""
    known = "/".join(figure.removeprefix("≥ ") for figure in figures)
    return f"≥ {known}" if any(figure.startswith("≥") for figure in figures) else known


def _count(number: float | None) -> str:
    return UNKNOWN if number is None else f"{number:,.0f}"


def _dash(figure: str) -> str:
    return "–" if figure == "0" else figure


def _not_planned(plan: RunPlan) -> list[str]:
    """Candidates with the same reason share a line."""
    by_reason: dict[str, list[str]] = {}
    for one in plan.candidates:
        if one.error:
            by_reason.setdefault(one.error, []).append(one.candidate)
    return [f"{listed(names)} cannot be planned: {reason}" for reason, names in by_reason.items()]


def _totals(plan: RunPlan) -> list[str]:
    added = partial(_added, plan.candidates)
    requests = added(_count, "requests", "setup_requests")
    used = added(tokens, "input_tokens", "output_tokens", "reasoning_tokens", "setup_tokens")
    usd, time = added(dollars, *_USD), added(minutes, "request_minutes", "setup_minutes")
    lines = [f"Total with set-up: {requests} requests, {used} tokens in and out, USD {usd}, minutes {time}."]
    planned = [one for one in plan.candidates if one.error is None]
    if names := [one.candidate for one in planned if one.reasoning_tokens is None]:
        lines.append(f"Lower bounds, because reasoning tokens are unknown: {', '.join(names)}; run --limit 10 first.")
    if names := [one.candidate for one in planned if None in (one.request_usd, one.setup_usd)]:
        lines.append(
            f"Unknown USD: {', '.join(names)}; the reasons are below. Missing rates go into prices.toml "
            "(training: tuning.toml); --device-usd-per-hour is the rate of local models."
        )
    return lines


def _effect(effect: DetectableEffect) -> list[str]:
    if math.isnan(effect.detectable):
        found = "can detect no difference between two candidates reliably"
    else:
        found = (
            f"can detect a difference of {100 * effect.detectable:.1f} points between two candidates in 4 of 5 cases; "
            "smaller differences are likely missed"
        )
    wanted = f"Detecting {100 * effect.wanted:g} points takes {counted(effect.needed, 'item')}"
    if effect.needed <= effect.items:
        wanted += ": there are enough."
    elif effect.needed <= effect.available:
        wanted += f": run with --limit {effect.needed}, or without --limit."
    else:
        wanted += f", and the suite has {effect.available:,}: label more, or accept a larger difference."
    return [f"{counted(effect.items, 'item')} {found}.", wanted, f"({effect.basis}.)"]


def _basis(plan: RunPlan) -> list[str]:
    """Candidates with the same basis share a line."""
    by_basis: dict[str, list[str]] = {}
    for one in plan.candidates:
        if one.error is None:
            by_basis.setdefault("; ".join(one.basis), []).append(one.candidate)
    return [f"{', '.join(names)}: {basis}." for basis, names in by_basis.items()]


def tokens(count: float | None) -> str:
    """Whole, thousands or millions.

    >>> [tokens(count) for count in (None, 0, 812, 15814, 1_234_567)]
    ['unknown', '0', '812', '15.8k', '1.23M']
    """
    if count is None:
        return UNKNOWN
    if count < 1000:  # noqa: PLR2004 - a thousand
        return f"{count:.0f}"
    return f"{count / 1e3:.3g}k" if count < 999_500 else f"{count / 1e6:.3g}M"  # noqa: PLR2004 - a million, rounded


def dollars(value: float | None) -> str:
    """Two significant digits below a dollar.

    >>> [dollars(value) for value in (None, 0.0, 0.0041, 12.345)]
    ['unknown', '0', '0.0041', '12.35']
    """
    if value is None:
        return UNKNOWN
    if not value:
        return "0"
    return f"{value:,.2f}" if value >= 1 else f"{value:.2g}"


def minutes(value: float | None) -> str:
    """Minutes, to a tenth below ten.

    >>> [minutes(value) for value in (None, 0.02, 3.14, 47.2)]
    ['unknown', '< 0.1', '3.1', '47']
    """
    if value is None:
        return UNKNOWN
    if value < 0.1:  # noqa: PLR2004
        return "< 0.1" if value else "0"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004


def render_prompt(prompt: Rendered, fmt: Literal["text", "json"] = "text") -> str:
    """What a candidate sends for an item, message by message."""
    if fmt == "json":
        return json.dumps(asdict(prompt), ensure_ascii=False, indent=2)
    lines = [f"{prompt.strategy} on {prompt.model}, item {prompt.item} (right answer: {prompt.target})"]
    for number, messages in enumerate(prompt.calls, start=1):
        if len(prompt.calls) > 1:
            lines += ["", f"request {number} of {len(prompt.calls)}"]
        for message in messages:
            same = ", the same for every item" if message.shared else ""
            lines += ["", f"── {message.role}: {counted(message.tokens, 'token')}{same}", message.text]
    lines += ["", f"{counted(prompt.tokens, 'token')} in all ({prompt.counted}). {_reused(prompt)}"]
    lines += [f"note: {remark}" for remark in prompt.remarks]
    return "\n".join(escape_terminal(line) for text in lines for line in text.split("\n"))


def _reused(prompt: Rendered) -> str:
    if not prompt.shared_tokens:
        return "No message is the same for every item."
    begins = f"The first {prompt.shared_tokens:,} are the same for every item"
    if not prompt.cached_tokens:
        return f"{begins}, too few for a provider's prompt cache, which starts at 1,024."
    return f"{begins}; a provider's prompt cache reuses {prompt.cached_tokens:,} of them."


ComparisonFormat = Literal["text", "md", "json"]
_IN_WORDS = 8  # at most so many comparisons are described in sentences; more are shown in the table only
_Z95 = 1.96
_MARGIN = 0.02  # the difference to detect where no margin is stated: that of a decision
_MOST_ITEMS = 10_000_000  # a larger test set is not worth suggesting


def render_comparison(
    found: Compared, fmt: ComparisonFormat = "text", *, width: int = WIDTH, items: Sequence[CandidateDiff] | None = None
) -> str:
    """Accuracies, differences with their uncertainty, and the same in sentences.

    Args:
        found: what was compared.
        fmt: "text" for a terminal, "md" for Markdown; "json" holds every figure at full precision.
        width: columns of the terminal.
        items: on which the candidates of each comparison differ; None to leave them out.
    """
    if fmt == "json":
        listed = {} if items is None else {"differing": [_differing_json(one) for one in items]}
        return json.dumps(_plain(asdict(found) | listed), indent=2, allow_nan=False)
    tables = [_accuracies(found), _differences(found, found.comparisons)]
    if found.overall:
        tables.insert(1, _differences(found, found.overall))
    sentences, notes = _sentences(found), _notes(found)
    if fmt == "md":
        blocks = [escape_markdown(_intro(found)), *(table.markdown() for table in tables)]
        blocks.append("\n".join(f"- {escape_markdown(line)}" for line in sentences))
        blocks.append("  \n".join(map(escape_markdown, notes)))
        blocks += [regression.render_alone(one, "md") for one in items or ()]
        return "\n\n".join(filter(None, blocks)) + "\n"
    blocks = [paragraph(_intro(found), width=width), *(table.terminal(width) for table in tables)]
    blocks += [paragraph(line, width=width) for line in sentences]
    blocks.append("\n".join(paragraph(note, width=width, rest="  ") for note in notes))
    blocks += [regression.render_alone(one, "text") for one in items or ()]
    return "\n\n".join(blocks) + "\n"


def _differing_json(one: CandidateDiff) -> dict[str, Any]:
    lists = (("better_a", one.broken), ("better_b", one.fixed), ("same_score", one.reworded))
    names = ("id", "input", "target", "answer_a", "answer_b")
    found = {key: [dict(zip(names, astuple(flip), strict=True)) for flip in flips] for key, flips in lists}
    return {"a": one.before, "b": one.after, **found}


def _intro(found: Compared) -> str:
    part = "" if found.part is None else f", slice {found.part}"
    groups = "" if found.clusters == found.items else f" from {counted(found.clusters, 'independent group')}"
    epochs = "" if found.epochs == 1 else f", each run {found.epochs} times"
    return f"Suite {found.suite}{part}: {counted(found.items, 'test item')}{groups}{epochs}."


def _accuracies(found: Compared) -> Table:
    columns = [Column("candidate", "name"), Column(f"accuracy %\n[{_confidence(found.comparisons[0])}]")]
    return Table(columns, [(name, interval(one.value, one.low, one.high)) for name, one in found.accuracies.items()])


def _differences(found: Compared, comparisons: Sequence[Comparison]) -> Table:
    heads = (
        f"difference, points\n[{_confidence(found.comparisons[0])}]",
        "items better/\nworse",
        "p\n(adjusted)",
        "detectable,\npoints",
    )
    rows = [
        (
            one.b,
            one.a,
            interval(one.difference, one.low, one.high, sign=True),
            f"{one.won:,}/{one.lost:,}",
            f"{p_value(one.p)} ({p_value(one.p_adjusted)})",
            "none" if math.isnan(one.mde) else f"{100 * one.mde:.1f}",
        )
        for one in comparisons
    ]
    return Table([Column("candidate", "name"), Column("reference", "name"), *map(Column, heads)], rows)


def _sentences(found: Compared) -> list[str]:
    lines = []
    margin = next((one.margin for one in found.non_inferiority), 0.0) or _MARGIN
    if len(found.comparisons) <= _IN_WORDS:
        losses = [loss_sentence(one) for one in found.non_inferiority] or [""] * len(found.comparisons)
        for one, loss in zip(found.comparisons, losses, strict=True):
            lines.append(" ".join(filter(None, [difference_sentence(one, found.family, margin), loss])))
    named = (replace(one, a=one.a.partition(":")[0], b=one.b.partition(":")[0]) for one in found.overall)
    pooled = [difference_sentence(one, len(found.overall), margin) for one in named]
    if len(found.retrieval) <= _IN_WORDS:
        lines += map(retrieval_sentence, found.retrieval)
    return [*pooled, *lines] + [spread_sentence(one) for one in found.variances]


def _notes(found: Compared) -> list[str]:
    methods = " or ".join(sorted({one.method for one in found.comparisons}))
    several = found.family > 1
    overall = f"Over all {found.by} pairs: each item counts with the mean score of the candidates on it."
    notes = [
        *([overall] if found.overall else []),
        *(f"{name} is left out: {why}." for name, why in found.not_measured.items()),
        *(f"{name}: {why}." for name, why in found.same_answer.items()),
        f"Test: {methods}; p {f'adjusted (Holm) for all {found.family} comparisons' if several else 'not adjusted'}.",
        "Items better/worse: where the candidate does better/worse than the reference.",
        "Detectable: the smallest true difference found with 80 % power on this many items (two-sided, 5 % level).",
    ]
    if any((one.low > 0 or one.high < 0) != (one.p <= ALPHA) for one in (*found.overall, *found.comparisons)):
        notes.append("Near 5 %, an interval and its p may disagree, because they are different methods: p decides.")
    if len(found.comparisons) > _IN_WORDS:
        notes.append("To read a comparison in words, name its two candidates.")
    if not several and not found.by:
        notes.append("If you picked this pair by its scores, use --all, which adjusts for the choice.")
    return notes


def difference_sentence(one: Comparison, family: int, margin: float = _MARGIN) -> str:
    """Which items differ, by how much, how likely chance is as the cause, and what more items could detect."""
    if not one.won + one.lost:
        return f"{_items(one)} {_power(one, margin)}"
    return " ".join(filter(None, [_items(one), _size(one), _chance(one, family), _power(one, margin)]))


def loss_sentence(found: NonInferiority) -> str:
    """Whether the candidate can replace the reference."""
    candidate, reference, margin = found.candidate, found.reference, points(found.margin)
    if found.holds:
        return f"{candidate} can replace {reference}: a loss of {margin} or more is ruled out (95 % confidence)."
    bound = f"it may be {points(found.low)} worse" if found.low < 0 else "there are too few items"
    return (
        f"It is not shown that {candidate} is less than {margin} worse than {reference}: {bound}. "
        f"If both are equally good, about {counted(found.needed, 'item')} would show it."
    )


def spread_sentence(one: Variance) -> str:
    """How much the result depends on the seed."""
    seeds, (all_, items, draw, mean) = (
        len(one.candidates),
        (points(_Z95 * error) for error in (one.se_one, one.se_items, one.se_seeds, one.se_all)),
    )
    return (
        f"{one.recipe} was run with {seeds} seeds and scored {100 * one.lowest:.1f} to {100 * one.highest:.1f} %. "
        f"A single run is off by up to {all_} (95 % confidence): {items} from the choice of items and {draw} from the "
        f"draw of its {one.source}, which the interval of a single run does not cover. "
        f"The mean of all {seeds} is {100 * one.mean:.1f} %, plus or minus {mean}."
    )


def _items(one: Comparison) -> str:
    if not one.won + one.lost:
        return f"{one.b} and {one.a} do equally well on every item."
    won = counted(one.won, "item")
    if one.epochs == 1 and not one.graded:
        return f"{one.b} is right on {won} that {one.a} gets wrong, and wrong on {one.lost:,} that {one.a} gets right."
    return f"{one.b} does better than {one.a} on {won}, and worse on {one.lost:,}."


def _size(one: Comparison) -> str:
    """The difference and its interval, in the observed direction."""
    better, worse = ("better", "worse") if one.difference >= 0 else ("worse", "better")
    near, far = sorted((one.low, one.high) if one.difference >= 0 else (-one.low, -one.high))
    least = f"{100 * near:.1f}" if near >= 0 else f"{points(near)} {worse}"
    span = f"{_confidence(one)}: {least} to {points(far)} {better}"
    if not one.difference:
        return f"Overall, no difference was found between {one.b} and {one.a} ({span})."
    return f"Overall, {one.b} is {points(one.difference)} {better} ({span})."


def _chance(one: Comparison, family: int) -> str:
    if one.p >= 0.995:  # noqa: PLR2004 - as p_value
        return f"The difference is what chance alone would bring ({_p(one.p)}): it is not significant."
    share = "fewer than 1 in 10,000" if one.p < 0.0001 else f"{100 * one.p:.2g} % of"  # noqa: PLR2004 - as p_value
    chance = f"If both were equally good, a difference this large would occur in {share} runs"
    adjusted = f"adjusted {_p(one.p_adjusted)}"
    if one.p <= 0.05 < one.p_adjusted:  # noqa: PLR2004 - the usual level
        return f"{chance}; among {family} comparisons that is not unusual ({adjusted}): it is not significant."
    verdict = "the difference is significant" if one.significant() else "the difference is not significant"
    among = f", {adjusted} for {family} comparisons" if family > 1 else ""
    return f"{chance} ({_p(one.p)}{among}): {verdict}."


def _p(value: float) -> str:
    shown = p_value(value)
    return f"p < {shown[1:]}" if shown.startswith("<") else f"p = {shown}"


def _power(one: Comparison, margin: float) -> str:
    if one.significant():
        return ""
    found = f"This many items reliably detect differences of {points(one.mde)} or more"
    if math.isnan(one.mde):
        found = "This few items cannot detect any difference"
    if one.won + one.lost and one.n < (needed := one.needed(margin)) <= _MOST_ITEMS:
        found += f"; to detect {points(margin)}, use about {counted(needed, 'item')}"
    return f"{found}. Not significant does not mean equal."


def _confidence(one: Comparison) -> str:
    return f"{100 * one.confidence:g} % CI"


def _plain(value: Any) -> Any:  # noqa: ANN401 - what JSON takes
    """The same with null for NaN and infinity."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# An audit

_SIGNS = {"ok": "ok", "note": "note", "warning": "warning", "error": "ERROR"}


def render_audit(
    suite: Suite, concerns: Sequence[Concern], fmt: Literal["text", "json"] = "text", *, width: int = WIDTH
) -> str:
    """What an audit found, one block a check.

    Args:
        suite: what was looked at.
        concerns: of `runner.audit.audit`.
        fmt: "text" for a terminal, "json" with the ids of all items concerned.
        width: columns of the terminal.
    """
    if fmt == "json":
        return json.dumps({"suite": suite.name, "concerns": [asdict(concern) for concern in concerns]}, indent=2)
    lines = [f"{suite.name}: {split_sizes(suite)}", ""]
    head = max(len(concern.check) for concern in concerns) + 2
    for concern in concerns:
        start = f"{_SIGNS[concern.level]:<9}{concern.check:<{head}}"
        text = textwrap.wrap(concern.sentence, max(20, width - len(start))) or [""]
        lines += [start + text[0], *(" " * len(start) + rest for rest in text[1:])]
        lines += [f"{'':<9}  {escape_terminal(example)}" for example in concern.examples]
    return "\n".join([*lines, "", audit_verdict(concerns)])


def split_sizes(suite: Suite) -> str:
    """Number of items of each split."""
    splits = {"train": suite.train, "dev": suite.dev, "test": suite.test}
    return ", ".join(f"{len(items):,} {name}" for name, items in splits.items())


def audit_verdict(concerns: Sequence[Concern]) -> str:
    """Whether the data can be used, in a few words."""
    worst = max(concerns, key=lambda concern: list(_SIGNS).index(concern.level)).level
    verdicts = {"error": "not ready: correct what is marked ERROR", "warning": "ready, with warnings"}
    return verdicts.get(worst, "ready")
