"""`thirdlever baseline`: runs pinned for the release gate.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thirdlever.cli import options
from thirdlever.core.text import printable

baseline_app = typer.Typer(rich_markup_mode=None, help="Pin runs, to hold new base models against.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `thirdlever baseline list` lists it.")]


@baseline_app.command("set")
def set_(
    run: options.Run,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="[default: the suite's name]")] = None,
    candidate: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Pin this one; again for more. [default: all]")
    ] = None,
) -> None:
    """Pin a run: results/baselines/NAME.json, to be committed."""
    from thirdlever.analysis.run import load
    from thirdlever.lifecycle import baseline
    from thirdlever.lifecycle import baseline as pinning

    found = load(run)
    pinned = baseline.of(found, name or found.info["suite"]["name"], only=candidate or ())
    path = pinning.save(pinned)
    named = ", ".join(one.name for one in pinned.candidates)
    typer.echo(
        printable(f"pinned {named} on {len(pinned.items):,} items: {path} ({path.stat().st_size / 1000:,.0f} kB)")
    )
    typer.echo(
        printable(
            f"next: commit it; then thirdlever regress {pinned.suite['name']} --baseline {pinned.name} --model NEW"
        )
    )


@baseline_app.command("list")
def list_() -> None:
    """List what is pinned."""
    from thirdlever.lifecycle import baseline as pinning
    from thirdlever.report.tables import render_baselines

    names = pinning.available()
    if not names:
        typer.echo("none yet; thirdlever baseline set RUN pins one")
        return
    typer.echo(render_baselines(map(pinning.load, names)))


@baseline_app.command()
def show(name: Name) -> None:
    """Show a baseline's candidates and where they come from."""
    from thirdlever.lifecycle import baseline as pinning
    from thirdlever.report.tables import render_baseline

    typer.echo(render_baseline(pinning.load(name)))


@baseline_app.command()
def diff(
    name: Name,
    run: options.Run,
    fmt: Annotated[Literal["text", "md", "json", "junit"], typer.Option("--format")] = "text",
) -> None:
    """Hold a finished run against a baseline, candidate by candidate; nothing is run."""
    from thirdlever.analysis.run import load
    from thirdlever.lifecycle.baseline import load as pinned
    from thirdlever.lifecycle.regress import diff as held
    from thirdlever.report.regression import render

    typer.echo(render(held(pinned(name), load(run)), fmt).rstrip())


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


def stale(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN", help="Runs or baselines. [default: all baselines, else the latest run]"),
    ] = None,
    snapshot: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="A provider's list of models, as it answered; then nobody is asked."),
    ] = None,
    within: Annotated[int, typer.Option(metavar="DAYS", min=0, help="Count retirements so far ahead.")] = 90,
    fmt: Annotated[Literal["text", "json"], typer.Option("--format")] = "text",
) -> None:
    """Check whether the models in use are retiring or have successors; exit code 1 when there is something to do."""
    from thirdlever.catalog import listings as shapes
    from thirdlever.lifecycle import stale as pins
    from thirdlever.lifecycle.stale import ask, check
    from thirdlever.report import model_changes

    models = pins.pinned(runs or [])
    listings, reasons = (shapes.read_all(snapshot), {}) if snapshot else ask(models)
    report = check(models, listings, reasons, measured=pins.measured(), within=within)
    typer.echo(model_changes.as_json(report) if fmt == "json" else model_changes.stale_text(report))
    raise typer.Exit(report.exit_code)


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


def history(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="Whose runs and baselines.")],
    fmt: Annotated[Literal["text", "json"], typer.Option("--format")] = "text",
    chart: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw it as well: a PNG, and an SVG beside it.")
    ] = None,
) -> None:
    """Show accuracy, cost and latency of a suite over its runs and base models."""
    from thirdlever.lifecycle.history import history as found
    from thirdlever.report import tables, trend

    points = found(suite)
    typer.echo(tables.render_history(points, fmt), nl=fmt == "json")
    if chart is not None:
        for path in trend.save(points, chart, suite=suite):
            typer.echo(printable(f"Chart: {path}"), err=True)
