"""`thirdlever run`: the strategies side by side.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

import os
from pathlib import Path
from typing import Annotated

import typer

from thirdlever.commands import options


def run(
    suite: options.Suite,
    strategy: options.Strategies = None,
    model: options.Models = None,
    limit: options.Limit = None,
    epochs: options.Epochs = 1,
    seed: options.Seed = 0,
    budget: options.Budget = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder; the same again resumes. [default: results/SUITE-TIME]"),
    ] = None,
    probe: options.Probe = 20,
    constrain: Annotated[bool, typer.Option("--constrain", help="Let models answer with a label only.")] = False,
    chroma_url: Annotated[str | None, typer.Option(metavar="URL", help="A Chroma server. [default: embedded]")] = None,
    device_usd_per_hour: options.DeviceRate = None,
    utilisation: options.Utilisation = 1.0,
    batch: options.Batch = False,
) -> None:
    """Run strategies over a suite and show them side by side."""
    from thirdlever.report import tables
    from thirdlever.runner import runner

    if chroma_url is not None:
        os.environ["THIRDLEVER_CHROMA_URL"] = chroma_url
    done = runner.run(
        suite,
        strategy or options.STRATEGIES,
        models=model or options.MODELS,
        limit=limit,
        epochs=epochs,
        seed=seed,
        budget=budget,
        out=out,
        probe=probe,
        constrain=constrain,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
        batch=batch,
    )
    typer.echo(tables.render_summary(done.summary), nl=False)
    typer.echo(f"\nRecords, logs and chart: {done.folder}")
