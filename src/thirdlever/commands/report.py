"""`thirdlever report`: every answer of a run on one page.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

import typer

from thirdlever.commands import options


def report(
    run: options.Run,
) -> None:
    """Write a run's report.html: every answer of every candidate, to filter and to read."""
    from thirdlever.analysis.run import load
    from thirdlever.report import page

    typer.echo(f"Every answer: {page.write(load(run))}")
