"""`thirdlever report`: every answer of a run on one page.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated

import typer


def report(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, its name under results/, or latest.")],
) -> None:
    """Write a run's report.html: every answer of every candidate, to filter and to read."""
    from thirdlever.report import page
    from thirdlever.run import load

    typer.echo(f"Every answer: {page.write(load(run))}")
