"""Commands for tuned models: those trained here, jobs at providers, and the local endpoint.

Typer reads the annotations when the module is loaded. Heavy modules are imported by the command that needs them.
"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from thirdlever.cli.options import argument, option
from thirdlever.core.text import escape_terminal

FOLDER = Path(".thirdlever", "endpoint")

adapters_app = typer.Typer(rich_markup_mode=None)
jobs_app = typer.Typer(rich_markup_mode=None)

Key = Annotated[str, argument("KEY", "Key from `thirdlever adapters`, or its first characters.")]
To = Annotated[Path, argument("DIR", "Folder to create.")]
JobId = Annotated[str, argument("ID", "ID from `thirdlever jobs`, or the provider's.")]


@adapters_app.callback(invoke_without_command=True)
def list_adapters(context: typer.Context) -> None:
    """List the models tuned here, or export, merge and remove one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.finetune import tune
    from thirdlever.report import tables

    found = tune.adapters()
    if not found:
        typer.echo("no tuned models yet; create one with: thirdlever run SUITE --strategy lora")
        return
    typer.echo(tables.render_adapters(found))


@adapters_app.command()
def show(key: Key) -> None:
    """Show a tuned model's card: its data, cost and loss."""
    from thirdlever.finetune import tune

    for line in tune.find(key).card().splitlines():
        typer.echo(escape_terminal(line))


@adapters_app.command()
def remove(key: Key) -> None:
    """Delete a tuned model; a run that needs it trains it again."""
    from thirdlever.finetune import tune

    found = tune.find(key)
    found.remove()
    typer.echo(f"removed {found.key[:8]}")


@adapters_app.command()
def export(key: Key, to: To) -> None:
    """Copy a tuned model to a folder that peft and vLLM can load."""
    from thirdlever.finetune import tune

    tune.find(key).export(to)
    typer.echo(f"exported to {to}")


@adapters_app.command()
def merge(key: Key, to: To) -> None:
    """Merge an adapter into its base, for use as `--model hf/DIR`."""
    from thirdlever.finetune import tune

    tune.find(key).merge(to)
    typer.echo(f"merged into {to}; run it with --model hf/{to}")


@jobs_app.callback(invoke_without_command=True)
def list_jobs(context: typer.Context) -> None:
    """List this project's fine-tuning jobs, or manage one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.finetune.jobs import Ledger, idle_cost_warnings, table

    jobs = Ledger().jobs()
    for line in table(jobs) or ["no fine-tuning jobs yet; create one with: thirdlever run SUITE --strategy managed"]:
        typer.echo(escape_terminal(line))
    for line in idle_cost_warnings(jobs):
        typer.echo(escape_terminal(line), err=True)


@jobs_app.command()
def providers() -> None:
    """List the providers: last orders, idle cost, how each was tested."""
    from thirdlever.catalog.tuning import profiles

    for name, terms in profiles().items():
        until = f"until {terms.last_jobs}" if terms.last_jobs else "no announced end"
        typer.echo(f"{name}: {terms.title}; models {', '.join(terms.models)}; new jobs {until}")
        typer.echo(f"    idle: {terms.idle}")
        typer.echo(f"    tested: {terms.tested}")


@jobs_app.command()
def follow(name: JobId) -> None:
    """Wait for a job and report its progress."""
    from thirdlever.finetune import managed
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = managed.finished(ledger.find(name), ledger)
    typer.echo(escape_terminal(f"{job.short} {job.stage}: {job.tuned}"))


@jobs_app.command()
def cancel(name: JobId) -> None:
    """Cancel a job at its provider."""
    from thirdlever.finetune import jobs
    from thirdlever.finetune.jobs import Ledger
    from thirdlever.finetune.providers import open_provider

    ledger = Ledger()
    job = ledger.find(name)
    with open_provider(job.provider, job.model) as provider:
        job = jobs.cancel(job, provider, ledger)
    typer.echo(escape_terminal(f"{job.short} {job.said or 'was not submitted yet and is cancelled'}"))


@jobs_app.command()
def resume(
    name: JobId,
    max_usd: Annotated[
        float | None, option("USD", "Submit again up to this cost without asking. [default: ask]", min=0)
    ] = None,
) -> None:
    """Resume a job; submit a failed or lost one again."""
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

        done = jobs.check_succeeded(jobs.resume(job, provider, ledger, confirm), ledger)
    typer.echo(escape_terminal(f"{done.short} {done.stage}: {done.tuned}"))


@jobs_app.command()
def deployed(
    name: JobId,
    under: Annotated[str, argument("NAME", "Model name that requests must give.")],
) -> None:
    """Register a deployment that you made and will remove yourself."""
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = ledger.update(ledger.find(name).identity, served=under, ours=False, idle_usd_per_hour=0.0)
    typer.echo(escape_terminal(f"{job.short} answers as {job.served}"))


@jobs_app.command()
def teardown(name: JobId) -> None:
    """Remove a deployment to stop its cost; the tuned model stays."""
    from thirdlever.finetune import managed
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = ledger.find(name)
    managed.tear_down(job, ledger)
    typer.echo(escape_terminal(f"{job.short}: deployment {job.served} removed"))


def serve(
    model: Annotated[str, option("NAME", "Local model to serve and tune.")] = "embedded",
    port: Annotated[int, option("N", "Port to listen on; 0 for any free one.", min=0, max=65535)] = 8089,
    host: Annotated[str, option("ADDRESS", "Address to listen on.")] = "127.0.0.1",
    folder: Annotated[Path, option("DIR", "Folder for files, jobs and models.")] = FOLDER,
    leashed: Annotated[bool, typer.Option("--leashed", hidden=True, help="Stop when standard input closes.")] = False,
) -> None:
    """Serve OpenAI's fine-tuning API on this machine, free of charge."""
    from thirdlever.finetune.endpoint import app as endpoint
    from thirdlever.finetune.endpoint import server

    def announce(listening: server.Listening) -> None:
        key = f"$(cat {shlex.quote(str(listening.key_file))})" if listening.key_file else f"${endpoint.VARIABLE}"
        typer.echo(f"Serving {model} at {listening.url}; stop it with Ctrl-C. To use it from another terminal:")
        typer.echo(f'  export OPENAI_BASE_URL={listening.url} OPENAI_API_KEY="{key}"')

    server.serve(model, host=host, port=port, folder=folder, announce=announce, leashed=leashed)
