"""`thirdlever init`: a suite of one's own data.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer

from thirdlever.cli import options
from thirdlever.core.text import printable


def init(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The suite's name; none copies the starter project.")
    ] = None,
    train: Annotated[Path | None, typer.Option(metavar="FILE", help="Labelled rows: .csv, .tsv or .jsonl.")] = None,
    dev: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows to choose on. [default: a tenth of train]")
    ] = None,
    test: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rows to measure on. [default: a fifth of train]")
    ] = None,
    input_: Annotated[str | None, typer.Option("--input", metavar="COLUMN", help="What the model is shown.")] = None,
    target: Annotated[str | None, typer.Option(metavar="COLUMN", help="The right answer.")] = None,
    documents: Annotated[Path | None, typer.Option(metavar="FILE", help="Knowledge: rows with title and text.")] = None,
    slice_: Annotated[str | None, typer.Option("--slice", metavar="COLUMN", help="Parts to report apart.")] = None,
    group: Annotated[str | None, typer.Option(metavar="COLUMN", help="The source that rows share.")] = None,
) -> None:
    """Make a suite of your own data, or copy the starter project, in the current folder."""
    from thirdlever.suites.create import copy_starter, make_suite

    if name is None:
        if any(option is not None for option in (train, dev, test, input_, target, documents, slice_, group)):
            message = "the suite has no name; run: thirdlever init NAME --train FILE --input COLUMN --target COLUMN"
            raise typer.TyperException(message)
        copied, kept = copy_starter()
        typer.echo(f"{len(copied)} files copied, {len(kept)} kept as they are; next: thirdlever run transactions")
        return
    if train is None or input_ is None or target is None:
        message = f"data is missing; run: thirdlever init {name} --train FILE --input COLUMN --target COLUMN"
        raise typer.TyperException(message)
    made = make_suite(
        name,
        train=train,
        dev=dev,
        test=test,
        input=input_,
        target=target,
        documents=documents,
        slice=slice_,
        group=group,
    )
    typer.echo(f"datasets/{name}: " + ", ".join(f"{count} {part}" for part, count in made.counts.items() if count))
    for line in made.changes:
        typer.echo(printable(f"- {line}"))
    for line in made.warnings:
        typer.echo(printable(f"warning: {line}"))
    typer.echo(f"next: thirdlever run {name}")


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
        float, typer.Option(metavar="D", help="Accuracy difference to detect; 0.03 is 3 percentage points.")
    ] = 0.03,
    fmt: Annotated[Literal["text", "json"], typer.Option("--format")] = "text",
) -> None:
    """Estimate a run's requests, tokens, cost and time, and the smallest difference it could detect."""
    from thirdlever.report.plan_table import render_plan
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
    typer.echo(render_plan(planned, fmt), nl=False)


def show(
    run: options.Run,
    fmt: Annotated[Literal["table", "md", "csv", "json"], typer.Option("--format")] = "table",
) -> None:
    """Show a run's candidates side by side."""
    from thirdlever.analysis.run import load
    from thirdlever.report import tables

    typer.echo(tables.render_summary(load(run).summary, fmt), nl=False)


def check(
    name: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Strategies and evals; rag:k=5 sets arguments. [default: all here]"),
    ] = None,
) -> None:
    """Check your strategies and evals on a fake model: no network, weights or cost. Exit code 1 if any fails."""
    from thirdlever.runner import check as checks

    findings = checks.check(name or ())
    for found in findings:
        typer.echo(printable(f"{found.status:<8}{found.kind:<10}{found.name:<16} {found.sentence}"))
    raise typer.Exit(int(any(found.status == "failed" for found in findings)))


models_app = typer.Typer(rich_markup_mode=None)


@models_app.callback()
def list_models(context: typer.Context) -> None:
    """List the models that are at hand, or fetch one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.models import registry

    for found in registry.available():
        state = {True: "ready", False: "not ready", None: ""}[found.ready]
        typer.echo(printable(f"{found.name:<24}{found.kind:<8}{state:<11}{found.where}"))


@models_app.command()
def pull(name: Annotated[str, typer.Argument(metavar="NAME", help="As `thirdlever models` lists it.")]) -> None:
    """Fetch a model's weights into your cache."""
    from thirdlever.models import registry

    registry.pull(name)
