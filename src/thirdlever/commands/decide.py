"""`thirdlever decide`.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated, Literal

import typer

from thirdlever.commands import options


def decide(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder, its name, latest; or a .toml of given figures.")
    ],
    assume: options.Assume = None,
    fmt: Annotated[Literal["text", "md", "json"], typer.Option("--format")] = "text",
) -> None:
    """Say whether fine-tuning is justified: three gates, six questions, and what would change the answer."""
    from thirdlever.decision import verdict
    from thirdlever.report import decision

    typer.echo(decision.render(verdict.decide_from(run, assume or ()), fmt), nl=False)
