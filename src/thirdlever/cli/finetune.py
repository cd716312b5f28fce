"""`thirdlever adapters`: what was tuned here.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from thirdlever.core.text import printable

adapters_app = typer.Typer(rich_markup_mode=None)

Key = Annotated[str, typer.Argument(metavar="KEY", help="As `thirdlever adapters` lists it, or its first characters.")]
To = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")]


@adapters_app.callback(invoke_without_command=True)
def list_adapters(context: typer.Context) -> None:
    """List what was tuned here: adapters and whole models."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.finetune import tune
    from thirdlever.report import tables

    found = tune.adapters()
    if not found:
        typer.echo("none yet; thirdlever run SUITE --strategy lora makes one")
        return
    typer.echo(tables.render_adapters(found))


@adapters_app.command()
def show(key: Key) -> None:
    """Show a tune's card: what it was made of, what it cost, how its loss fell."""
    from thirdlever.finetune import tune

    for line in tune.find(key).card().splitlines():
        typer.echo(printable(line))


@adapters_app.command()
def remove(key: Key) -> None:
    """Delete a tune; a run that needs it trains it again."""
    from thirdlever.finetune import tune

    found = tune.find(key)
    found.remove()
    typer.echo(f"removed {found.key[:8]}")


@adapters_app.command()
def export(key: Key, to: To) -> None:
    """Copy a tune to a folder that peft and vLLM load."""
    from thirdlever.finetune import tune

    tune.find(key).export(to)
    typer.echo(f"exported to {to}")


@adapters_app.command()
def merge(key: Key, to: To) -> None:
    """Write base and adapter as one model, which `--model hf/DIR` runs."""
    from thirdlever.finetune import tune

    tune.find(key).merge(to)
    typer.echo(f"merged into {to}; run it with --model hf/{to}")


jobs_app = typer.Typer(rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="ID", help="As `thirdlever jobs` lists it, or the provider's.")]


@jobs_app.callback(invoke_without_command=True)
def list_jobs(context: typer.Context) -> None:
    """List the fine-tuning jobs ordered from this project, or see to one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.finetune.jobs import Ledger, idle_cost_warnings, table

    jobs = Ledger().jobs()
    for line in table(jobs) or ["no fine-tuning jobs yet; thirdlever run SUITE --strategy managed orders one"]:
        typer.echo(printable(line))
    for line in idle_cost_warnings(jobs):
        typer.echo(printable(line), err=True)


@jobs_app.command()
def follow(name: Name) -> None:
    """Wait for a job, telling how it stands."""
    from thirdlever.finetune import managed
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = managed.finished(ledger.find(name), ledger)
    typer.echo(printable(f"{job.short} {job.stage}: {job.tuned}"))


@jobs_app.command()
def cancel(name: Name) -> None:
    """Stop a job at its provider."""
    from thirdlever.finetune import jobs
    from thirdlever.finetune.jobs import Ledger
    from thirdlever.finetune.providers import open_provider

    ledger = Ledger()
    job = ledger.find(name)
    with open_provider(job.provider, job.model) as provider:
        job = jobs.cancel(job, provider, ledger)
    typer.echo(printable(f"{job.short} {job.said or 'had not been submitted, and is struck off'}"))


@jobs_app.command()
def resume(
    name: Name,
    max_usd: Annotated[
        float | None, typer.Option(metavar="USD", min=0, help="Submit anew without asking when it costs no more.")
    ] = None,
) -> None:
    """Go on with a job; one that failed, was cancelled or is gone is submitted anew."""
    from thirdlever.catalog.tuning import estimate, profile
    from thirdlever.finetune import jobs, managed
    from thirdlever.finetune.jobs import Ledger
    from thirdlever.finetune.providers import open_provider

    ledger = Ledger()
    job = ledger.find(name)
    terms = profile(job.provider)
    with open_provider(job.provider, job.model) as provider:

        def confirm() -> None:
            managed.check_dates(terms, job.base, horizon_days=0)
            expected = estimate(job.provider, job.base, job.estimated_tokens)
            managed.check_cost(terms, job.base, expected, max_usd)

        done = jobs.check_succeeded(jobs.resume(job, provider, ledger, confirm))
    typer.echo(printable(f"{done.short} {done.stage}: {done.tuned}"))


@jobs_app.command()
def deployed(
    name: Name, under: Annotated[str, typer.Argument(metavar="NAME", help="What requests are to call it.")]
) -> None:
    """Say under which name a tuned model answers that you deployed yourself; it is yours to remove."""
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = ledger.update(ledger.find(name).identity, served=under, ours=False, idle_usd_per_hour=0.0)
    typer.echo(printable(f"{job.short} answers as {job.served}"))


@jobs_app.command()
def teardown(name: Name) -> None:
    """Remove a job's deployment, so that it costs nothing while it is idle; the tuned model stays."""
    from thirdlever.finetune import managed
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = ledger.find(name)
    managed.tear_down(job, ledger)
    typer.echo(printable(f"{job.short}: deployment {job.served} removed"))


serve_app = typer.Typer(rich_markup_mode=None)

FOLDER = Path(".thirdlever", "endpoint")


@serve_app.command()
def serve(
    model: Annotated[str, typer.Option(metavar="NAME", help="The local model to serve and tune.")] = "embedded",
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0 takes any that is free.")] = 8089,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    folder: Annotated[Path, typer.Option(metavar="DIR", help="Where files, jobs and models are kept.")] = FOLDER,
    leashed: Annotated[bool, typer.Option("--leashed", hidden=True, help="End with standard input.")] = False,
) -> None:
    """Serve OpenAI's fine-tuning protocol on this machine: upload, tune, ask, for nothing."""
    from thirdlever.finetune.endpoint import app as auth
    from thirdlever.finetune.endpoint import server

    def announce(listening: server.Listening) -> None:
        key = f"$(cat {shlex.quote(str(listening.key_file))})" if listening.key_file else f"${auth.VARIABLE}"
        typer.echo(f"Serving {model} at {listening.url}; Ctrl-C ends it. To use it from another terminal:")
        typer.echo(f'  export OPENAI_BASE_URL={listening.url} OPENAI_API_KEY="{key}"')

    server.serve(model, host=host, port=port, folder=folder, announce=announce, leashed=leashed)
