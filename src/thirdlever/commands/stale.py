"""`thirdlever stale`.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer


def stale(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Runs or baselines. [default: all baselines, else the latest run]"),
    ] = None,
    snapshot: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A provider's list of models, as it answered; then nobody is asked."),
    ] = None,
    within: Annotated[int, typer.Option(metavar="DAYS", min=0, help="Count retirements so far ahead.")] = 90,
    fmt: Annotated[Literal["text", "json"], typer.Option("--format")] = "text",
) -> None:
    """Check whether the models in use are retiring or have successors; exit code 1 when there is something to do."""
    from thirdlever.catalog import listings as shapes
    from thirdlever.lifecycle import stale as pins
    from thirdlever.lifecycle.stale import ask, check
    from thirdlever.report import model_changes

    models = pins.pinned(runs or [])
    listings, reasons = (shapes.read_all(snapshot), {}) if snapshot else ask(models)
    report = check(models, listings, reasons, measured=pins.measured(), within=within)
    typer.echo(model_changes.as_json(report) if fmt == "json" else model_changes.stale_text(report))
    raise typer.Exit(report.exit_code)
