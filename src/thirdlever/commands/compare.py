"""`thirdlever compare`: candidates held against each other.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated, Literal

import typer

from thirdlever.commands import options


def compare(
    run: options.Run,
    a: Annotated[str | None, typer.Argument(metavar="A", help="The reference. [default: the best]")] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="What is held against it. [default: every other]")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every pair, not only those with the best.")] = False,
    slice_: Annotated[str | None, typer.Option("--slice", metavar="NAME", help="Only the items of this slice.")] = None,
    confidence: Annotated[float, typer.Option(metavar="F", min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="F", min=0.0001, max=0.5, help="A loss to put up with, such as 0.02: is b no worse than that?"
        ),
    ] = None,
    fmt: Annotated[Literal["text", "md", "json"], typer.Option("--format")] = "text",
) -> None:
    """Tell a real difference between candidates from luck."""
    from thirdlever.analysis.compare import compared
    from thirdlever.analysis.run import load
    from thirdlever.report import comparison

    found = compared(load(run), a, b, every=every, part=slice_, confidence=confidence, margin=margin)
    typer.echo(comparison.render(found, fmt))
