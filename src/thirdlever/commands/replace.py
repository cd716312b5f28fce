"""`thirdlever replace`.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated

import typer

from thirdlever.commands import options


def replace(
    run: options.Run,
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="The one to replace, as the run names it.")],
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE", min=0.001, max=0.5, help="Accuracy that may be lost. [default: the card's, else 0.02]"
        ),
    ] = None,
) -> None:
    """Propose what takes the place of a candidate whose model retires; exit code 1 when nothing measured does."""
    from thirdlever.analysis.run import load
    from thirdlever.decision.assumptions import assume
    from thirdlever.lifecycle.replace import propose
    from thirdlever.report.model_changes import replace_text

    measured = load(run)
    given = {} if margin is None else {"margin": str(margin)}
    assumptions = assume(measured.info["suite"].get("card", {}), given, measured.info)
    proposal = propose(measured, candidate, assumptions)
    typer.echo(replace_text(proposal))
    raise typer.Exit(0 if proposal.chosen else 1)
