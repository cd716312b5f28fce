"""A suite's history as a table, as JSON and as a chart."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.core.text import UNKNOWN, fold, printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.lifecycle.history import Point

Format = Literal["text", "json"]
_NAME = 30  # characters of a line of a name


def render(points: Sequence[Point], fmt: Format = "text", *, width: int = 100) -> str:
    """Oldest first.

    Args:
        points: what `history` returns.
        fmt: "text" for a reader, "json" for a program: there unknown is null.
        width: columns of the terminal.
    """
    return _json(points) if fmt == "json" else _text(points, width)


def save(points: Sequence[Point], path: Path, *, suite: str) -> list[Path]:
    """The chart, as PNG and as SVG beside it.

    Args:
        points: what `history` returns.
        path: of either; the other ending goes beside it.
        suite: its name, for the heading.

    Raises:
        OSError: they cannot be written.
    """
    from thirdlever.report.figures import files, history

    picture = history.picture(points, suite=suite)
    return files.save(dataclasses.replace(picture, name=path.stem), path.parent)


def versions(points: Sequence[Point]) -> Mapping[str, int]:
    """Which versions of the suite there were, counted in the order of first use, by hash."""
    return {suite_hash: n for n, suite_hash in enumerate(dict.fromkeys(point.suite_hash for point in points), 1)}


def _text(points: Sequence[Point], width: int) -> str:
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
        table.add_row(*(Text(cell) for cell in (run, *_cells(point))))
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


def _cells(point: Point) -> list[str]:
    model = "–" if point.model is None else fold(printable(point.model), _NAME)
    if point.released:
        model += f"\n({point.released})"
    return [
        fold(printable(point.candidate), _NAME),
        model,
        f"{100 * point.accuracy:.1f} [{100 * point.low:.1f}, {100 * point.high:.1f}]",
        UNKNOWN if math.isnan(point.usd_per_1k) else f"{point.usd_per_1k:.3g}",
        f"{_seconds(point.p50_s)}/{_seconds(point.p95_s)}",
    ]


def _seconds(value: float) -> str:
    if math.isnan(value):
        return "?"
    return f"{value:.2f} s" if value >= 1 else f"{1000 * value:.0f} ms"


def _json(points: Sequence[Point]) -> str:
    known = versions(points)
    return json.dumps([_row(point, known) for point in points], indent=2, allow_nan=False)


def _row(point: Point, known: Mapping[str, int]) -> dict[str, Any]:
    row = dataclasses.asdict(point)
    row |= {"when": point.when.isoformat(), "released": point.released and point.released.isoformat()}
    row["suite_version"] = known[point.suite_hash]
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in row.items()}
