"""`thirdlever plan`: what a run would take, before anything is spent.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated, Literal

import typer

from thirdlever.commands import options


def plan(
    suite: options.Suite,
    strategy: options.Strategies = None,
    model: options.Models = None,
    limit: options.Limit = None,
    epochs: options.Epochs = 1,
    seed: options.Seed = 0,
    probe: options.Probe = 20,
    device_usd_per_hour: options.DeviceRate = None,
    utilisation: options.Utilisation = 1.0,
    batch: options.Batch = False,
    wanted: Annotated[
        float, typer.Option(metavar="D", help="The difference in accuracy to be found; 0.03 is 3 points.")
    ] = 0.03,
    fmt: Annotated[Literal["text", "json"], typer.Option("--format")] = "text",
) -> None:
    """Say what a run would take, and what it could show, before anything is spent on it."""
    from thirdlever.report import tables
    from thirdlever.runner import plan as planning

    planned = planning.plan(
        suite,
        strategy or options.STRATEGIES,
        models=model or options.MODELS,
        limit=limit,
        epochs=epochs,
        seed=seed,
        probe=probe,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
        batch=batch,
        wanted=wanted,
    )
    typer.echo(tables.render_plan(planned, fmt), nl=False)
