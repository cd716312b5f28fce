"""`thirdlever history`: a suite over its runs.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thirdlever.core.text import printable


def history(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="Whose runs and baselines.")],
    fmt: Annotated[Literal["text", "json"], typer.Option("--format")] = "text",
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it as well: a PNG, and an SVG beside it.")
    ] = None,
) -> None:
    """Show accuracy, cost and latency of a suite over its runs and base models."""
    from thirdlever.lifecycle.history import history as found
    from thirdlever.report import tables

    points = found(suite)
    typer.echo(tables.render_history(points, fmt), nl=fmt == "json")
    if chart is not None:
        for path in tables.save_history(points, chart, suite=suite):
            typer.echo(printable(f"Chart: {path}"), err=True)
