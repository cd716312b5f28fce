"""`thirdlever regress`: may a new base model replace the pinned one?

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thirdlever.commands import options


def regress(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="The one that the baseline is of.")],
    baseline: Annotated[str, typer.Option(metavar="NAME", help="`thirdlever baseline list` lists them.")],
    model: Annotated[list[str], typer.Option(metavar="NEW", help="The new base model; again for more.")],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The new run's folder. [default: one that was begun, else a new one]"),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(metavar="F", help="The loss of accuracy that is put up with. [default: 0.02]")
    ] = None,
    slice_margin: Annotated[
        float | None, typer.Option(metavar="F", help="The same in one slice. [default: 0.05]")
    ] = None,
    prove_slices: Annotated[
        bool | None,
        typer.Option(
            "--prove-slices", help="Every slice must be shown to hold. [default: it must not be shown to fail]"
        ),
    ] = None,
    max_p95_ratio: Annotated[
        float | None, typer.Option(metavar="X", help="p95 latency, times the baseline's. [default: 1.25]")
    ] = None,
    max_cost_ratio: Annotated[
        float | None, typer.Option(metavar="X", help="Cost per request, times the baseline's. [default: 1.25]")
    ] = None,
    max_unparseable_rise: Annotated[
        float | None, typer.Option(metavar="F", help="More answers that cannot be read, as a share. [default: 0.01]")
    ] = None,
    max_errors: Annotated[
        float | None, typer.Option(metavar="F", help="Requests that fail, as a share. [default: 0.01]")
    ] = None,
    stop_early: Annotated[bool, typer.Option("--stop-early", help="Ask no more items than settle it.")] = False,
    remeasure: Annotated[bool, typer.Option("--remeasure", help="Ask the old model too, here and now.")] = False,
    accept_new_suite: Annotated[
        bool, typer.Option("--accept-new-suite", help="The suite has changed: measure the old model on it too.")
    ] = False,
    budget: options.Budget = None,
    fmt: Annotated[Literal["text", "md", "json", "junit"], typer.Option("--format")] = "text",
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML too, for CI.")] = None,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write Markdown too, for a pull request.")
    ] = None,
) -> None:
    """Hold a new base model against a baseline; exit code 0 PASS, 1 FAIL, 3 INCONCLUSIVE, 2 when it could not run."""
    from thirdlever.core import files
    from thirdlever.lifecycle.regress import regress as held
    from thirdlever.report.regression import render

    found = held(
        suite,
        baseline=baseline,
        models=model,
        limits={
            "margin": margin,
            "slice_margin": slice_margin,
            "prove_slices": prove_slices,
            "max_p95_ratio": max_p95_ratio,
            "max_cost_ratio": max_cost_ratio,
            "max_unparseable_rise": max_unparseable_rise,
            "max_errors": max_errors,
        },
        out=out,
        stop_early=stop_early,
        remeasure=remeasure,
        accept_new_suite=accept_new_suite,
        budget=budget,
    )
    for path, kind in ((junit, "junit"), (markdown, "md")):
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, render(found, "junit" if kind == "junit" else "md").encode())
    typer.echo(render(found, fmt).rstrip())
    raise typer.Exit(found.exit_code)
