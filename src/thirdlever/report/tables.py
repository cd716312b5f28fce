"""The tables of the commands: results, prices, plan, baselines, history and adapters."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import math
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.analysis import scorecards
from thirdlever.analysis.scorecards import LEAST_TIMED
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
    interval,
    paragraph,
    usd,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import pandas as pd

    from thirdlever.catalog.prices import Hour, Price
    from thirdlever.finetune.tune import Adapter
    from thirdlever.lifecycle.baseline import Baseline
    from thirdlever.lifecycle.history import Point


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
        "unparsed\n/failed": lambda row: f"{row['unparseable']}/{row['errors']}",
    }
    rows = [[row["candidate"], *(cell(row) for cell in figures.values())] for row in scorecards.rows(summary)]
    return Table([Column("candidate", "name"), *map(Column, figures)], rows)


def _accuracy(row: Mapping[str, Any]) -> str:
    ends = row["accuracy_ci95"]
    return UNKNOWN if ends is None else interval(row["accuracy"], *ends)


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
        "Unparsed: no label or value found in the answer. Unparsed and failed requests count as wrong.",
    ]
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
        interval(point.accuracy, point.low, point.high),
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
