"""The side-by-side view: one row a candidate, readable at 100 columns."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.analysis import scorecards
from thirdlever.analysis.scorecards import LEAST_TIMED
from thirdlever.core.text import UNKNOWN, fold, md_code, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import pandas as pd

Format = Literal["table", "md", "csv", "json"]
_SLOW_S = 10.0  # from here on, latencies are shown in seconds
_GAP = 2
_NARROWEST = 12


def render(summary: pd.DataFrame, fmt: Format = "table", *, width: int = 100) -> str:
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
