"""`thirdlever show`: a run's table again.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated, Literal

import typer

from thirdlever.commands import options


def show(
    run: options.Run,
    fmt: Annotated[Literal["table", "md", "csv", "json"], typer.Option("--format")] = "table",
) -> None:
    """Show a run's candidates side by side."""
    from thirdlever.analysis.run import load
    from thirdlever.report import tables

    typer.echo(tables.render_summary(load(run).summary, fmt), nl=False)
