"""`thirdlever plan`: what a run would take, before anything is spent.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated, Literal

import typer

STRATEGIES = ("null", "zero_shot", "few_shot", "long_context", "rag")
MODELS = ("embedded",)


def plan(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="`thirdlever suites` lists them.")],
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help=f"Such as rag:k=20; again for more. [default: {', '.join(STRATEGIES)}]"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help=f"Such as openai/gpt-4o-mini; again for more. [default: {', '.join(MODELS)}]"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Measure on N test items.")] = None,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Ask each item N times.")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of the draw of items.")] = 0,
    probe: Annotated[int, typer.Option(metavar="N", min=0, help="Time N items one by one.")] = 20,
    device_usd_per_hour: Annotated[
        float | None, typer.Option(metavar="X", min=0, help="What an hour of this machine costs.")
    ] = None,
    utilisation: Annotated[
        float, typer.Option(metavar="F", min=0, max=1, help="The share of its hours that the machine is in use.")
    ] = 1.0,
    batch: Annotated[bool, typer.Option("--batch", help="Measure accuracy through the provider's batch API.")] = False,
    wanted: Annotated[
        float, typer.Option(metavar="D", help="The difference in accuracy to be found; 0.03 is 3 points.")
    ] = 0.03,
    fmt: Annotated[Literal["text", "json"], typer.Option("--format")] = "text",
) -> None:
    """Say what a run would take, and what it could show, before anything is spent on it."""
    from thirdlever.planning import plan as planning
    from thirdlever.report import plan as report

    planned = planning.plan(
        suite,
        strategy or STRATEGIES,
        models=model or MODELS,
        limit=limit,
        epochs=epochs,
        seed=seed,
        probe=probe,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
        batch=batch,
        wanted=wanted,
    )
    typer.echo(report.render(planned, fmt), nl=False)
