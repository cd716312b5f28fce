"""The tables of the commands: results, prices, plan, baselines, history and adapters."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.analysis import scorecards
from thirdlever.analysis.scorecards import LEAST_TIMED
from thirdlever.analysis.usage import total
from thirdlever.core.table import Column, Table
from thirdlever.core.text import (
    UNKNOWN,
    WIDTH,
    amount,
    compact,
    counted,
    duration,
    escape_markdown,
    escape_terminal,
    fold,
    interval,
    paragraph,
    usd,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.past_runs import DetectableEffect
    from thirdlever.catalog.prices import Hour, Price
    from thirdlever.finetune.tune import Adapter
    from thirdlever.lifecycle.baseline import Baseline
    from thirdlever.lifecycle.history import Point
    from thirdlever.runner.plan import PlannedCandidate, RunPlan


# Results

TableFormat = Literal["table", "md", "csv", "json"]
_SLOW_S = 10.0  # from here on, latencies are shown in seconds


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
            legend = (f"- {escape_markdown(line)}" for line in _legend(summary))
            return "\n".join([_results(summary).markdown(), "", *legend]) + "\n"
        case "table":
            legend = (paragraph(line, width=width, rest="  ") for line in _legend(summary))
            return "\n".join([_results(summary).terminal(width), "", *legend]) + "\n"


def _results(summary: pd.DataFrame) -> Table:
    """Related figures share a column, so that the table fits 100 characters."""
    unit, scale = ("s", 1.0) if summary["latency_p99_s"].max() >= _SLOW_S else ("ms", 1000.0)
    figures: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "accuracy %\n[95% CI]": _accuracy,
        "macro\nF1 %": lambda row: "–" if math.isnan(row["macro_f1"]) else f"{100 * row['macro_f1']:.1f}",
        f"latency {unit}\np50/p95/p99": lambda row: _latency(row, scale),
        "tokens in\n(cached)/out": _tokens,
        "cost $\nper 1,000\nrequests": lambda row: amount(row["cost_per_1k_usd"]),
        "set-up\ncost $": lambda row: amount(row["setup_usd"]),
        "unparsed\n/refused\n/cut off\n/failed": _statuses,
    }
    if summary["reasoning_tokens"].notna().any():
        figures["reasoning\ntokens"] = lambda row: _known(row["reasoning_tokens"])
    rows = [[row["candidate"], *(cell(row) for cell in figures.values())] for row in scorecards.rows(summary)]
    return Table([Column("candidate", "name"), *map(Column, figures)], rows)


def _accuracy(row: Mapping[str, Any]) -> str:
    ends = row["accuracy_ci95"]
    return "not measured" if ends is None else interval(row["accuracy"], *ends)


def _statuses(row: Mapping[str, Any]) -> str:
    return "/".join(f"{row[name]}" for name in scorecards.LOST)


def _known(tokens: float) -> str:
    return UNKNOWN if math.isnan(tokens) else compact(tokens)


def _latency(row: Mapping[str, Any], scale: float) -> str:
    values = [row[f"latency_p{q}_s"] * scale for q in (50, 95, 99)]
    if math.isnan(values[0]):
        return UNKNOWN
    return "/".join(f"{value:.0f}" if value >= 10 else f"{value:.2g}" for value in values)  # noqa: PLR2004


def _tokens(row: Mapping[str, Any]) -> str:
    if math.isnan(row["input_tokens"]):
        return UNKNOWN
    return f"{compact(row['input_tokens'])} ({compact(row['cached_tokens'])})/{compact(row['output_tokens'])}"


def _legend(summary: pd.DataFrame) -> list[str]:
    """What the figures mean, and how to get those that are unknown."""
    items, sources, timed = (_span(summary[name]) for name in ("n", "sources", "timed"))
    most = summary["timed"].max()
    few = "" if most >= LEAST_TIMED else "; too few for a reliable p95 and p99"
    tested = f"{items} test items{'' if sources == items else f' from {sources} sources'}"
    lines = [
        f"Accuracy: correct answers to {tested}; 95% confidence interval (Wilson).",
        f"Latency: percentiles of {timed} sequential warm request{'' if most == 1 else 's'}{few}."
        if most
        else "Latency: not measured.",
        "Tokens: mean per request; cached tokens are part of the input.",
        "Costs: model usage only, without labels and engineering. Set-up: paid once.",
        "Unparsed: no label or value found in the answer. Unparsed, refused, cut-off and failed count as wrong.",
    ]
    unmeasured = summary[~summary["measured"]].groupby("not_measured", sort=False)["candidate"]
    lines += [f"{', '.join(names)}: {why}." for why, names in unmeasured]
    if summary[["cost_per_1k_usd", "setup_usd"]].isna().to_numpy().any():
        lines.append("Unknown costs: pass --device-usd-per-hour for local models; add rates to prices.toml for others.")
    return [*_models(summary), *lines]


def _span(counts: pd.Series[int]) -> str:
    least, most = int(counts.min()), int(counts.max())
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _models(summary: pd.DataFrame) -> list[str]:
    """The model that most candidates use, then the candidates with another."""
    used = summary[summary["model"].notna()]
    if used.empty:
        return []
    common = used["model"].mode()[0]
    others = used[used["model"] != common]
    named = [f"  {name}: {model}" for name, model in zip(others["candidate"], others["model"], strict=True)]
    return [f"Model: {common}{', except' if named else ''}", *named]


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
            duration(one.figure("latency_p95_s")),
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
    heads = "accuracy %\n[95% CI]", "cost $\nper 1,000\nrequests", "latency\np50/p95"
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
        f"{duration(point.p50_s)}/{duration(point.p95_s)}" if not math.isnan(point.p50_s) else UNKNOWN,
    )


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

_NAME_WIDTH = 34  # characters


def render_plan(plan: RunPlan, fmt: Literal["text", "json"] = "text", *, width: int = 100) -> str:
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
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("candidate")
    for header in ("requests", "tokens\nin/out", "set-up\nrequests", "trained\ntokens", "USD", "minutes"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in plan.candidates:
        table.add_row(Text(fold(escape_terminal(one.candidate), _NAME_WIDTH)), *map(Text, _cells(one)))
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, legacy_windows=False)
    times = "once" if plan.epochs == 1 else f"{plan.epochs} times"
    of = plan.detectable_effect.available
    title = f"Plan for {escape_terminal(plan.suite)}: {plan.items:,} of {of:,} test items, each asked {times}."
    body = (*_totals(plan), "", *_effect(plan.detectable_effect), "", "Basis:", *_basis(plan))
    for line in (Text(title), "", table, "", *map(Text, body)):
        console.print(line)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _cells(one: PlannedCandidate) -> list[str]:
    return [
        f"{one.requests:,}",
        UNKNOWN if one.input_tokens is None else f"{tokens(one.input_tokens)}/{tokens(one.output_tokens)}",
        f"{one.setup_requests:,}" if one.setup_requests else "–",
        "–" if one.trained_tokens == 0 else tokens(one.trained_tokens),
        _at_least(one.usd, [one.request_usd, one.setup_usd], dollars),
        _at_least(one.minutes, [one.request_minutes, one.setup_minutes], minutes),
    ]


def _at_least(value: float | None, parts: list[float | None], show: Callable[[float | None], str]) -> str:
    """A sum; if a part is unknown, what is known of it."""
    known = sum(part for part in parts if part is not None)
    return f"≥ {show(known)}" if value is None and known else show(value)


def _totals(plan: RunPlan) -> list[str]:
    candidates = plan.candidates
    used = [total([one.input_tokens, one.output_tokens, one.setup_tokens]) for one in candidates]
    usd = _at_least(plan.usd, [part for one in candidates for part in (one.request_usd, one.setup_usd)], dollars)
    time = _at_least(
        plan.minutes, [part for one in candidates for part in (one.request_minutes, one.setup_minutes)], minutes
    )
    lines = [
        f"Total: {plan.requests:,} requests, {_at_least(total(used), used, tokens)} tokens, USD {usd}, minutes {time}."
    ]
    if plan.usd is None:
        names = ", ".join(escape_terminal(one.candidate) for one in candidates if one.usd is None)
        lines.append(
            f"Unknown USD: {names}; the reasons are above. Missing rates go into prices.toml (training: tuning.toml); "
            "--device-usd-per-hour is the rate of local models."
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
    wanted = f"Detecting {100 * effect.wanted:g} points takes {effect.needed:,} items"
    if effect.needed <= effect.items:
        wanted += ": there are enough."
    elif effect.needed <= effect.available:
        wanted += f": run with --limit {effect.needed}, or without --limit."
    else:
        wanted += f", and the suite has {effect.available:,}: label more, or accept a larger difference."
    return [f"{effect.items:,} items {found}.", wanted, f"({escape_terminal(effect.basis)}.)"]


def _basis(plan: RunPlan) -> list[str]:
    """Candidates with the same basis share a line."""
    by_basis: dict[str, list[str]] = {}
    for one in plan.candidates:
        by_basis.setdefault("; ".join(map(escape_terminal, one.basis)), []).append(escape_terminal(one.candidate))
    return [f"- {', '.join(names)}: {basis}." for basis, names in by_basis.items()]


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
