"""Commands for a change of model: baselines, the release gate, retirements, replacements and history.

Typer reads the annotations when the module is loaded. Heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated

import typer

from thirdlever.cli import options
from thirdlever.cli.options import argument, flag, option
from thirdlever.core.text import counted, escape_terminal

baseline_app = typer.Typer(rich_markup_mode=None, help="Create, list, show and compare baselines.")

Name = Annotated[str, argument("NAME", "Name of a baseline; see `thirdlever baseline list`.")]


@baseline_app.command("set")
def set_(
    run: options.Run,
    name: Annotated[str | None, option("NAME", "Name of the baseline. [default: the suite's name]")] = None,
    candidate: Annotated[list[str] | None, option("NAME", "Candidate to include; repeatable. [default: all]")] = None,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
) -> None:
    """Create a baseline from a run.

    Writes results/baselines/NAME.json, to be committed. Candidates that are not measured are left out.
    """
    from thirdlever.analysis.run import load
    from thirdlever.lifecycle import baseline

    found = load(run, max_failed=max_failed, max_unparsed=max_unparsed)
    made = baseline.pin(found, name or found.info["suite"]["name"], only=candidate or ())
    path = baseline.save(made)
    names = ", ".join(one.name for one in made.candidates)
    size = path.stat().st_size / 1000
    typer.echo(escape_terminal(f"pinned {names} on {counted(len(made.items), 'item')}: {path} ({size:,.0f} kB)"))
    if not candidate:
        for lost, why in found.not_measured.items():
            typer.echo(escape_terminal(f"left out: {lost}: {why}"))
    command = f"thirdlever regress {made.suite['name']} --baseline {made.name} --model NEW"
    typer.echo(escape_terminal(f"next: commit the file; when a new model appears: {command}"))


@baseline_app.command("list")
def list_() -> None:
    """List the baselines."""
    from thirdlever.lifecycle import baseline
    from thirdlever.report.tables import render_baselines

    names = baseline.available()
    if not names:
        typer.echo("no baselines yet; create one with: thirdlever baseline set RUN")
        return
    typer.echo(render_baselines(map(baseline.load, names)))


@baseline_app.command()
def show(name: Name) -> None:
    """Show a baseline's candidates, options and versions."""
    from thirdlever.lifecycle import baseline
    from thirdlever.report.tables import render_baseline

    typer.echo(render_baseline(baseline.load(name)))


@baseline_app.command("diff")
def baseline_diff(
    name: Name,
    run: options.Run,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
    fmt: options.GateFormat = "text",
) -> None:
    """Compare a finished run with a baseline, without new requests."""
    from thirdlever.analysis.run import load
    from thirdlever.lifecycle import baseline, regress
    from thirdlever.report.regression import render

    fresh = load(run, max_failed=max_failed, max_unparsed=max_unparsed)
    options.print_text(render(regress.diff(baseline.load(name), fresh), fmt))


def regress(
    suite: Annotated[str, argument("SUITE", "The baseline's suite.")],
    baseline: Annotated[str, option("NAME", "Name of the baseline; see `thirdlever baseline list`.")],
    model: Annotated[list[str], option("NEW", "New base model; repeatable.")],
    out: Annotated[Path | None, option("DIR", "Folder of the run. [default: the unfinished run, or new]")] = None,
    margin: Annotated[float | None, option("SHARE", "Maximum acceptable drop in accuracy. [default: 0.02]")] = None,
    slice_margin: Annotated[
        float | None, option("SHARE", "Maximum acceptable drop in one slice. [default: 0.05]")
    ] = None,
    prove_slices: Annotated[
        bool | None, flag("--prove-slices", "Require each slice to be shown to stay within its margin.")
    ] = None,
    max_p95_ratio: Annotated[
        float | None, option("X", "Maximum p95 latency, times the baseline's. [default: 1.25]")
    ] = None,
    max_cost_ratio: Annotated[
        float | None, option("X", "Maximum cost per request, times the baseline's. [default: 1.25]")
    ] = None,
    max_unparseable_rise: Annotated[
        float | None, option("SHARE", "Maximum rise in unparsed answers. [default: 0.01]")
    ] = None,
    max_errors: Annotated[float | None, option("SHARE", "Maximum share of failed requests. [default: 0.01]")] = None,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
    stop_early: Annotated[bool, flag("--stop-early", "Stop as soon as every verdict on accuracy is clear.")] = False,
    remeasure: Annotated[bool, flag("--remeasure", "Measure the old model again, on this machine.")] = False,
    accept_new_suite: Annotated[
        bool, flag("--accept-new-suite", "Allow a changed suite, and measure the old model on it.")
    ] = False,
    budget: options.Budget = None,
    max_connections: options.MaxConnections = None,
    grader: options.Grader = None,
    fmt: options.GateFormat = "text",
    junit: Annotated[Path | None, option("FILE", "Also write JUnit XML, for CI.")] = None,
    markdown: Annotated[Path | None, option("FILE", "Also write Markdown, for a pull request.")] = None,
) -> None:
    """Test whether a new base model may replace the baseline's.

    Exit code 0 for PASS, 1 for FAIL, 3 for INCONCLUSIVE, 2 for NOT-MEASURED or an error.
    """
    from thirdlever.core import files
    from thirdlever.lifecycle import regress as gate
    from thirdlever.report.regression import render

    found = gate.regress(
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
            "max_failed": max_failed,
            "max_unparsed": max_unparsed,
        },
        out=out,
        stop_early=stop_early,
        remeasure=remeasure,
        accept_new_suite=accept_new_suite,
        budget=budget,
        max_connections=max_connections,
        grader=grader,
    )
    outputs: tuple[tuple[Path | None, options.Gate], ...] = ((junit, "junit"), (markdown, "md"))
    for path, kind in outputs:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, render(found, kind).encode())
    options.print_text(render(found, fmt))
    raise typer.Exit(found.exit_code)


def stale(
    runs: Annotated[
        list[str] | None,
        argument("RUN", "Runs or baselines to check. [default: all baselines, else the latest run]"),
    ] = None,
    snapshot: Annotated[list[Path] | None, option("FILE", "Read a provider's saved model list; repeatable.")] = None,
    within: Annotated[int, option("DAYS", "Warn about retirements within N days.", min=0)] = 90,
    fmt: options.TextOrJson = "text",
) -> None:
    """Find models in use that are retiring or have a successor.

    Exit code 0 if nothing needs action, 1 if something does, 2 if nothing could be checked.
    """
    from thirdlever.catalog import listings
    from thirdlever.lifecycle.stale import check, fetch_lists, measured, models_in_use
    from thirdlever.report import regression

    models = models_in_use(runs or [])
    lists, reasons = (listings.read_all(snapshot), {}) if snapshot else fetch_lists(models)
    report = check(models, lists, reasons, measured=measured(), within=within)
    options.print_text(regression.stale_json(report) if fmt == "json" else regression.stale_text(report))
    raise typer.Exit(report.exit_code)


def replace(
    run: options.Run,
    candidate: Annotated[str, argument("CANDIDATE", "Candidate to replace, by its name in the run.")],
    margin: Annotated[
        float | None,
        option("SHARE", "Maximum acceptable drop in accuracy. [default: the card's, else 0.02]", min=0.001, max=0.5),
    ] = None,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
) -> None:
    """Recommend a replacement for a candidate whose model retires.

    Exit code 0 if there is one, 1 if no measured candidate qualifies.
    """
    from thirdlever.analysis.run import load
    from thirdlever.decision.assumptions import assume
    from thirdlever.lifecycle.replace import propose
    from thirdlever.report.regression import replace_text

    measured = load(run, max_failed=max_failed, max_unparsed=max_unparsed)
    given = {} if margin is None else {"margin": str(margin)}
    assumptions = assume(measured.info["suite"].get("card", {}), given, measured.info)
    proposal = propose(measured, candidate, assumptions)
    typer.echo(replace_text(proposal))
    raise typer.Exit(0 if proposal.chosen else 1)


def diff(
    before: Annotated[str, argument("RUN", "The first run: its folder or its name under results/.")],
    after: Annotated[str, argument("RUN", "The second run.")],
    fmt: options.TextFormat = "text",
) -> None:
    """Show what changed between two runs, and which items flipped."""
    from thirdlever.analysis.run import load
    from thirdlever.lifecycle import diff as changes
    from thirdlever.report.regression import render_diff

    options.print_text(render_diff(changes.diff(load(before), load(after)), fmt))


def history(
    suite: Annotated[str, argument("SUITE", "Name of the suite.")],
    fmt: options.TextOrJson = "text",
    chart: Annotated[Path | None, option("FILE", "Also draw a chart, as PNG and SVG under this name.")] = None,
) -> None:
    """Show a suite's accuracy, cost and latency over time."""
    from thirdlever.lifecycle import history as past
    from thirdlever.report import tables, trend

    points = past.history(suite)
    options.print_text(tables.render_history(points, fmt))
    if chart is not None:
        for path in trend.save(points, chart, suite=suite):
            typer.echo(escape_terminal(f"Chart: {path}"), err=True)
