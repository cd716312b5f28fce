"""`thirdlever reprice`: a run's candidates at other prices, offline.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated, Literal

import typer

from thirdlever.commands import options


def reprice(
    run: options.Run,
    model: Annotated[
        str | None, typer.Option("--as", metavar="MODEL", help="At this model's prices, such as openai/gpt-4o-mini.")
    ] = None,
    device_usd_per_hour: Annotated[
        str | None, typer.Option(metavar="X", help="What an hour of the machine costs, or a GPU: h100, h200, l4.")
    ] = None,
    utilisation: Annotated[
        float | None, typer.Option(metavar="F", min=0, max=1, help="The share of its hours that the machine is in use.")
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="At the rates of batch APIs.")] = False,
    fmt: Annotated[Literal["table", "md", "csv", "json"], typer.Option("--format")] = "table",
) -> None:
    """Show a run at other prices: what was measured stays, and no model is asked."""
    from thirdlever.analysis import reprice as repricing
    from thirdlever.analysis.run import load
    from thirdlever.core.text import printable
    from thirdlever.report import tables

    done = repricing.reprice(load(run), model=model, device=device_usd_per_hour, utilisation=utilisation, batch=batch)
    typer.echo(tables.render_summary(done.run.summary, fmt), nl=False)
    lines = [*tables.price_lines(done.prices), *tables.device_lines(done.device, done.utilisation)]
    if model:
        lines.append(f"Tokens are as measured; {printable(model)} may count the same text otherwise.")
    for line in lines:
        typer.echo(line, err=fmt in {"csv", "json"})
