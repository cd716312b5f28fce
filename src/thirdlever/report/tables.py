"""The side-by-side view: one row a candidate, readable at 100 columns."""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import json
import math
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.analysis import scorecards
from thirdlever.analysis.scorecards import LEAST_TIMED
from thirdlever.core.text import UNKNOWN, fold, md_code, months, printable, usd

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from thirdlever.catalog.prices import Hour, Price
    from thirdlever.decision.assumptions import Assumption, Value
    from thirdlever.decision.costs import Cost
    from thirdlever.decision.payback import Payback
    from thirdlever.lifecycle.baseline import Baseline, BaselineCandidate
    from thirdlever.lifecycle.history import Point
    from thirdlever.runner.plan import Plan, Planned, Sight


TableFormat = Literal["table", "md", "csv", "json"]
_SLOW_S = 10.0  # from here on, latencies are shown in seconds
_GAP = 2
_NARROWEST = 12


def render_summary(summary: pd.DataFrame, fmt: TableFormat = "table", *, width: int = 100) -> str:
    """Scorecards as text.

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
            return _markdown(summary)
        case "table":
            return _table(summary, width)


def _table(summary: pd.DataFrame, width: int) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    columns = _columns(summary)
    rows = _rows(summary, columns)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("candidate")
    for header in columns:
        table.add_column(Text(header), justify="right", no_wrap=True)
    # Figures keep to one line; a name takes what is left and breaks where a reader would break it.
    figures = sum(_GAP + max(map(_width, column)) for column in zip(columns, *rows, strict=True))
    for name, cells in zip(summary["candidate"], rows, strict=True):
        table.add_row(Text(fold(printable(name), max(width - figures, _NARROWEST))), *map(Text, cells))
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, legacy_windows=False)
    console.print(table)
    console.print()
    console.print(Text("\n".join(_legend(summary, printable))))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _markdown(summary: pd.DataFrame) -> str:
    columns = _columns(summary)
    lines = [
        "| candidate | " + " | ".join(header.replace("\n", " ") for header in columns) + " |",
        "|:--|" + "--:|" * len(columns),
    ]
    for name, cells in zip(summary["candidate"], _rows(summary, columns), strict=True):
        lines.append(f"| {md_code(name)} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *(f"{line}  " for line in _legend(summary, md_code))]).rstrip() + "\n"


def _columns(summary: pd.DataFrame) -> dict[str, Callable[[Mapping[str, Any]], str]]:
    """Header -> the cell of a row. What belongs together shares a column: that is how it fits."""
    slow = summary["latency_p99_s"].max() >= _SLOW_S
    unit, scale = ("s", 1.0) if slow else ("ms", 1000.0)
    return {
        "accuracy %\n[95 % interval]": _accuracy,
        "macro\nF1 %": lambda row: "–" if math.isnan(row["macro_f1"]) else f"{100 * row['macro_f1']:.1f}",
        f"latency, {unit}\np50/p95/p99": lambda row: _latency(row, scale),
        "tokens in\n(cached)/out": _tokens,
        "USD per\n1,000": lambda row: _usd(row["cost_per_1k_usd"]),
        "set-up\nUSD": lambda row: _usd(row["setup_usd"]),
        "unread\n/errs": lambda row: f"{row['unparseable']}/{row['errors']}",
    }


def _rows(summary: pd.DataFrame, columns: Mapping[str, Callable[[Mapping[str, Any]], str]]) -> list[list[str]]:
    return [[cell(row) for cell in columns.values()] for row in scorecards.rows(summary)]


def _legend(summary: pd.DataFrame, shown: Callable[[str], str]) -> Sequence[str]:
    """What a figure is, and what would make an unknown one known."""
    items, sources = _span(summary["n"]), _span(summary["sources"])
    lines = [
        f"{items} test items{'' if sources == items else f' from {sources} sources'}; 95 % Wilson intervals.",
        f"Latency: {_timed(summary['timed'])}.",
        "Tokens: mean a request. USD: model use only; labels and work apart.",
        "Unread: answers in which no label or value was found; they count as wrong, as failed requests do.",
    ]
    if summary[["cost_per_1k_usd", "setup_usd"]].isna().to_numpy().any():
        lines.append("Unknown USD: state --device-usd-per-hour for a local model, rates in prices.toml for others.")
    return [*_models(summary, shown), *lines]


def _timed(counts: pd.Series[int]) -> str:
    most = counts.max()
    if not most:
        return "nothing was timed"
    few = "" if most >= LEAST_TIMED else " each, too few to be sure of p95 and p99"
    return f"{_span(counts)} single warm request{'' if most == 1 else 's'}{few}"


def _span(counts: pd.Series[int]) -> str:
    least, most = int(counts.min()), int(counts.max())
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"


def _models(summary: pd.DataFrame, shown: Callable[[str], str]) -> list[str]:
    """Whom they ask: the model that most do, then the candidates with another."""
    asking = summary[summary["model"].notna()]
    if asking.empty:
        return []
    common = asking["model"].mode()[0]
    others = asking[asking["model"] != common]
    pairs = zip(others["candidate"], others["model"], strict=True)
    named = [f"  {shown(name)}: {shown(model)}" for name, model in pairs]
    return [f"Model {shown(common)}{', except' if named else '.'}", *named]


def _accuracy(row: Mapping[str, Any]) -> str:
    if row["accuracy_ci95"] is None:
        return UNKNOWN
    low, high = row["accuracy_ci95"]
    return f"{row['accuracy']:.1%} [{low:.1%}, {high:.1%}]".replace("%", "")


def _latency(row: Mapping[str, Any], scale: float) -> str:
    values = [row[f"latency_p{q}_s"] * scale for q in (50, 95, 99)]
    if math.isnan(values[0]):
        return UNKNOWN
    return "/".join(f"{value:.0f}" if value >= 10 else f"{value:.2g}" for value in values)  # noqa: PLR2004


def _tokens(row: Mapping[str, Any]) -> str:
    sent, cached, out = (_count(row[name]) for name in ("input_tokens", "cached_tokens", "output_tokens"))
    return UNKNOWN if sent == "?" else f"{sent} ({cached})/{out}"


def _count(tokens: float) -> str:
    if math.isnan(tokens):
        return "?"
    return f"{tokens:.0f}" if tokens < 9_999.5 else f"{tokens / 1000:.1f}k"  # noqa: PLR2004


def _usd(value: float) -> str:
    """Cents, or two significant digits below them: 1,234, 12.50, 0.14, 0.0041; nought is 0."""
    if math.isnan(value):
        return UNKNOWN
    if not value:
        return "0"
    size = math.floor(math.log10(abs(value)))
    return f"{value:,.{0 if size > 2 else max(2, 1 - size)}f}"  # noqa: PLR2004


def _width(cell: str) -> int:
    return max(map(len, cell.split("\n")))


PlanFormat = Literal["text", "json"]
_PLAN_NAME = 34  # characters of a line of a candidate's name


def render_plan(plan: Plan, fmt: PlanFormat = "text", *, width: int = 100) -> str:
    """The plan as text.

    Args:
        plan: what `planning.plan` returns.
        fmt: "text" for a reader, "json" for a program: there unknown is null.
        width: columns of the terminal.
    """
    return _plan_json(plan) if fmt == "json" else _plan_text(plan, width)


def _plan_text(plan: Plan, width: int) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("candidate")
    for header in ("requests", "tokens\nin/out", "set-up:\nrequests", "tokens\ntrained", "USD", "minutes"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in plan.candidates:
        table.add_row(Text(fold(printable(one.candidate), _PLAN_NAME)), *map(Text, _plan_cells(one)))
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, legacy_windows=False)
    times = "once each" if plan.epochs == 1 else f"{plan.epochs} times each"
    console.print(
        Text(f"Plan for {printable(plan.suite)}: {plan.items:,} of {plan.sight.available:,} test items, {times}.")
    )
    console.print()
    console.print(table)
    console.print()
    for line in (*_total(plan), "", *_sight(plan.sight), "", "What the figures rest on:", *_basis(plan)):
        console.print(Text(line))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _plan_cells(one: Planned) -> list[str]:
    return [
        f"{one.requests:,}",
        f"{tokens(one.input_tokens)}/{tokens(one.output_tokens)}",
        f"{one.setup_requests:,}" if one.setup_requests else "–",
        tokens(one.trained_tokens) if one.trained_tokens else "–",
        planned_usd(one.usd),
        minutes(one.minutes),
    ]


def _total(plan: Plan) -> list[str]:
    """All candidates together; where a part is unknown, what is known and whose is not."""
    sent = sum(one.input_tokens + one.output_tokens + one.setup_tokens for one in plan.candidates)
    said = [f"In all: {plan.requests:,} requests, {tokens(sent)} tokens"]
    for name, total, show in (("usd", plan.usd, planned_usd), ("minutes", plan.minutes, minutes)):
        known = [value for one in plan.candidates if (value := getattr(one, name)) is not None]
        unit = "USD " if name == "usd" else "about "
        after = " minutes" if name == "minutes" else ""
        if total is None and not known:
            said.append(f"{unit.removeprefix('about ')}{UNKNOWN}{after}")
        else:
            said.append(f"{'' if total is not None else 'at least '}{unit}{show(sum(known))}{after}")
    lines = [", ".join(said) + "."]
    if plan.usd is None:
        names = ", ".join(printable(one.candidate) for one in plan.candidates if one.usd is None)
        lines.append(
            f"Unknown USD: {names}. State --device-usd-per-hour for a local model, rates in prices.toml for others."
        )
    return lines


def _sight(sight: Sight) -> list[str]:
    found = "the difference between two candidates, however large, is likely missed"
    if not math.isnan(sight.detectable):
        found = (
            f"two candidates that differ by {100 * sight.detectable:.1f} points or more are told apart, "
            "in 4 of 5 cases; smaller differences are likely missed"
        )
    wanted = f"A difference of {100 * sight.wanted:g} points takes {sight.needed:,} items"
    if sight.needed <= sight.items:
        wanted += ": there are enough."
    elif sight.needed <= sight.available:
        wanted += f": run with --limit {sight.needed}, or without --limit."
    else:
        wanted += f", and the suite has {sight.available:,}: label more, or accept a coarser answer."
    return [f"With {sight.items:,} items {found}.", wanted, f"({printable(sight.basis)}.)"]


def _basis(plan: Plan) -> list[str]:
    """Candidates with the same basis share a line."""
    by_basis: dict[str, list[str]] = {}
    for one in plan.candidates:
        by_basis.setdefault("; ".join(map(printable, one.basis)), []).append(printable(one.candidate))
    return [f"- {', '.join(names)}: {basis}." for basis, names in by_basis.items()]


def _plan_json(plan: Plan) -> str:
    sight: dict[str, Any] = {name: getattr(plan.sight, name) for name in plan.sight.__slots__}
    if math.isnan(plan.sight.detectable):
        sight["detectable"] = None
    whole = {
        "suite": plan.suite,
        "items": plan.items,
        "epochs": plan.epochs,
        "requests": plan.requests,
        "usd": plan.usd,
        "minutes": plan.minutes,
        "sight": sight,
        "candidates": [one.to_dict() for one in plan.candidates],
    }
    return json.dumps(whole, indent=2, allow_nan=False)


def tokens(count: float) -> str:
    """Whole, thousands or millions.

    >>> [tokens(count) for count in (0, 812, 15814, 1_234_567)]
    ['0', '812', '15.8k', '1.23M']
    """
    if count < 1000:  # noqa: PLR2004 - a thousand
        return f"{count:.0f}"
    return f"{count / 1e3:.3g}k" if count < 999_500 else f"{count / 1e6:.3g}M"  # noqa: PLR2004 - a million, rounded


def planned_usd(value: float | None) -> str:
    """Two digits that say something.

    >>> [usd(value) for value in (None, 0.0, 0.0041, 12.345)]
    ['unknown', '0', '0.0041', '12.35']
    """
    if value is None:
        return UNKNOWN
    if not value:
        return "0"
    return f"{value:,.2f}" if value >= 1 else f"{value:.2g}"


def minutes(value: float | None) -> str:
    """Minutes, to a tenth where there are few.

    >>> [minutes(value) for value in (None, 0.02, 3.14, 47.2)]
    ['unknown', '< 0.1', '3.1', '47']
    """
    if value is None:
        return UNKNOWN
    if value < 0.1:  # noqa: PLR2004
        return "< 0.1" if value else "0"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004


OLD_DAYS = 90


def price_lines(prices: Mapping[str, Price | None], today: dt.date | None = None) -> list[str]:
    """Which prices were used: rates, source, date; one line for models that share a price, then those that are old.

    Args:
        prices: by model; a model without one is left out, for its device's time is paid or its cost is unknown.
        today: from when age is counted; today by default.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    models: dict[Price, list[str]] = {}
    for model, price in prices.items():
        if price is not None:
            models.setdefault(price, []).append(printable(model))
    lines = [f"{', '.join(names)}: {_rates(price)}" for price, names in models.items()]
    for price in models:
        lines += _aged(price.model, price.as_of, today)
    return lines


def device_lines(device: Hour | None, utilisation: float, today: dt.date | None = None) -> list[str]:
    """Which hourly rate local models' time was paid at."""
    if device is None:
        return []
    origin = printable(", ".join(filter(None, [device.source, device.as_of, device.confidence])))
    least = "" if device.least is None else f", from {usd(device.least)}"
    line = f"device time: {usd(device.usd)} an hour ({origin}{least}), {100 * utilisation:.0f} % utilised"
    return [line, *_aged("device time", device.as_of, today or dt.datetime.now(dt.UTC).date())]


def costs_table(costs: Sequence[Cost]) -> str:
    """Markdown: what a request, a right answer, the set-up and a month cost."""
    lines = [
        "| candidate | 1,000 requests [95 % interval] | 1,000 right answers | set-up, once | standing, each month |",
        "|:--|--:|--:|--:|--:|",
    ]
    for cost in costs:
        cells = (_per_1000(cost), thousand(cost.per_correct_usd), usd(cost.setup_usd), usd(cost.standing_usd_per_month))
        lines.append(f"| {md_code(cost.candidate)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cost_lines(cost: Cost) -> list[str]:
    """Every part of a candidate's cost, one line each, with what it rests on."""
    lines = [f"a request: {usd(cost.per_request_usd)}{_interval(cost)}: {cost.basis.get('per request', 'given')}"]
    for when, parts in (("once", cost.setup), ("a month", cost.standing)):
        for part, amount in parts.items():
            lines.append(f"{part}, {when}: {usd(amount)}: {cost.basis.get(part, 'given')}")
    return [printable(line) for line in lines]


def assumption_lines(assumptions: Sequence[Assumption]) -> list[str]:
    """What was assumed, and who says so."""
    return [
        printable(f"{one.name} = {_value(one.value)}{f' {one.unit}' if one.unit and one.value is not None else ''}: ")
        + printable(f"{one.meaning}{f' ({one.source})' if one.source else ''}")
        for one in assumptions
    ]


def payback_sentence(back: Payback) -> str:
    """When the money is back, in words."""
    pair = printable(f"{back.candidate} against {back.reference}")
    if back.months is None:
        return f"{pair}: when the money is back is {UNKNOWN}; it {back.condition}"
    if math.isinf(back.months):
        return f"{pair}: the money never comes back at this volume; it {back.condition}"
    if not back.months:
        return f"{pair}: costs no more from the first day; it {back.condition}"
    ends = (
        "" if back.months_low is None else f" (95 % interval {months(back.months_low)} to {months(back.months_high)})"
    )
    return f"{pair}: the money is back after {months(back.months)}{ends}; it {back.condition}"


def roi(value: float | None) -> str:
    """What a dollar of extra set-up brings over the model's life, its own return not counted."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "a gain without extra set-up" if value > 0 else "a loss without extra set-up"
    return f"{usd(abs(value))} {'gained' if value >= 0 else 'lost'} for each $1 of extra set-up"


def thousand(amount: float | None) -> str:
    """USD for a thousand of what costs so much; never where there is none for any money."""
    if amount is None or math.isnan(amount):
        return UNKNOWN
    return "never" if math.isinf(amount) else usd(1000 * amount)


def _per_1000(cost: Cost) -> str:
    ends = "" if cost.low is None or cost.high is None else f" [{usd(1000 * cost.low)}, {usd(1000 * cost.high)}]"
    return thousand(cost.per_request_usd) + ends


def _interval(cost: Cost) -> str:
    if cost.low is None or cost.high is None:
        return ""
    return f" (95 % interval {usd(cost.low)} to {usd(cost.high)})"


def _rates(price: Price) -> str:
    parts = [f"{usd(price.input_per_m)} in", f"{usd(price.cached_input_per_m)} cached"]
    if price.cache_write_per_m is not None:
        parts.append(f"{usd(price.cache_write_per_m)} written to the cache")
    parts.append(f"{usd(price.output_per_m)} out, USD per 1M tokens")
    dearer = f"; dearer above {price.tiers[0].above:,} prompt tokens" if price.tiers else ""
    origin = ", ".join(filter(None, [price.source, price.as_of or "no date given", price.confidence]))
    return printable(f"{', '.join(parts)}{dearer} ({price.model}: {origin})")


def _aged(what: str, as_of: str | None, today: dt.date) -> list[str]:
    """A line when a price is so old that it may have changed."""
    if as_of is None:
        return []
    try:
        days = (today - dt.date.fromisoformat(as_of[:10])).days
    except ValueError:
        return [printable(f"{what}: its date {as_of!r} is none; write it as 2026-11-01 in prices.toml")]
    if days <= OLD_DAYS:
        return []
    return [
        printable(f"old: the price of {what} is {days} days old ({as_of}); check it, and state today's in prices.toml")
    ]


def _value(value: Value) -> str:
    match value:
        case None:
            return UNKNOWN
        case bool():
            return "yes" if value else "no"
        case str():
            return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - no decimals


_UNKNOWN = "unknown"


def render_baseline(pinned: Baseline) -> str:
    """What was pinned, when, of what, and how it did."""
    options = ", ".join(f"{name}={value}" for name, value in pinned.options.items() if value is not None)
    versions = ", ".join(f"{name} {number}" for name, number in (pinned.facts.get("versions") or {}).items())
    lines = [
        f"{pinned.name}: suite {pinned.suite['name']}, {len(pinned.items):,} items, {pinned.date}",
        f"suite hash {pinned.suite['hash'][:16]}; {options}",
        f"made with {versions}",
        "",
        f"{'candidate':<32}{'model':<28}{'accuracy':>9}{'p95':>11}{'$/1,000':>11}",
        *(_baseline_row(one) for one in pinned.candidates),
    ]
    return "\n".join(map(printable, lines))


def _baseline_row(one: BaselineCandidate) -> str:
    accuracy, p95, cost = (one.figure(name) for name in ("accuracy", "latency_p95_s", "cost_per_1k_usd"))
    cells = [
        f"{100 * accuracy:.1f} %",
        _UNKNOWN if math.isnan(p95) else f"{1000 * p95:,.0f} ms",
        _UNKNOWN if math.isnan(cost) else f"{cost:.4g}",
    ]
    return f"{one.name:<32}{one.base or '-':<28}{cells[0]:>9}{cells[1]:>11}{cells[2]:>11}"


HistoryFormat = Literal["text", "json"]
_HISTORY_NAME = 30  # characters of a line of a name


def render_history(points: Sequence[Point], fmt: HistoryFormat = "text", *, width: int = 100) -> str:
    """Oldest first.

    Args:
        points: what `history` returns.
        fmt: "text" for a reader, "json" for a program: there unknown is null.
        width: columns of the terminal.
    """
    return _history_json(points) if fmt == "json" else _history_text(points, width)


def save_history(points: Sequence[Point], path: Path, *, suite: str) -> list[Path]:
    """The chart, as PNG and as SVG beside it.

    Args:
        points: what `history` returns.
        path: of either; the other ending goes beside it.
        suite: its name, for the heading.

    Raises:
        OSError: they cannot be written.
    """
    from thirdlever.charts import style
    from thirdlever.report import trend

    picture = trend.picture(points, suite=suite)
    return style.save(dataclasses.replace(picture, name=path.stem), path.parent)


def versions(points: Sequence[Point]) -> Mapping[str, int]:
    """Which versions of the suite there were, counted in the order of first use, by hash."""
    return {suite_hash: n for n, suite_hash in enumerate(dict.fromkeys(point.suite_hash for point in points), 1)}


def _history_text(points: Sequence[Point], width: int) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    known = versions(points)
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    for header in ("run", "candidate", "model\n(released)"):
        table.add_column(header, overflow="fold")
    for header in ("accuracy %\n[95 %]", "USD per\n1,000", "latency\np50/p95"):
        table.add_column(Text(header), justify="right", no_wrap=True)
    before = None
    for point in points:
        run = "" if point.run == before else _run(point, known)
        before = point.run
        table.add_row(*(Text(cell) for cell in (run, *_history_cells(point))))
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, legacy_windows=False)
    console.print(table)
    console.print()
    if len(known) > 1:
        console.print(Text("The suite changed: figures of different versions cannot be compared."))
    console.print(Text("Accuracy with 95 % intervals; intervals that overlap may well be the same accuracy."))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _run(point: Point, known: Mapping[str, int]) -> str:
    lines = [f"{point.when:%Y-%m-%d}", printable(point.run)]
    if point.baseline:
        lines.append("(baseline)" if point.baseline == point.run else f"(baseline {printable(point.baseline)})")
    if len(known) > 1:
        lines.append(f"suite v{known[point.suite_hash]}")
    return "\n".join(lines)


def _history_cells(point: Point) -> list[str]:
    model = "–" if point.model is None else fold(printable(point.model), _HISTORY_NAME)
    if point.released:
        model += f"\n({point.released})"
    return [
        fold(printable(point.candidate), _HISTORY_NAME),
        model,
        f"{100 * point.accuracy:.1f} [{100 * point.low:.1f}, {100 * point.high:.1f}]",
        UNKNOWN if math.isnan(point.usd_per_1k) else f"{point.usd_per_1k:.3g}",
        f"{_seconds(point.p50_s)}/{_seconds(point.p95_s)}",
    ]


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "?"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.0f} ms"


def _history_json(points: Sequence[Point]) -> str:
    known = versions(points)
    return json.dumps([_history_row(point, known) for point in points], indent=2, allow_nan=False)


def _history_row(point: Point, known: Mapping[str, int]) -> dict[str, Any]:
    row = dataclasses.asdict(point)
    row |= {"when": point.when.isoformat(), "released": point.released and point.released.isoformat()}
    row["suite_version"] = known[point.suite_hash]
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
