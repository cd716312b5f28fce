"""`thirdlever jobs`: managed fine-tuning jobs, whoever runs them.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated

import typer

from thirdlever.core.text import printable

app = typer.Typer(rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="ID", help="As `thirdlever jobs` lists it, or the provider's.")]


@app.callback(invoke_without_command=True)
def list_jobs(context: typer.Context) -> None:
    """List the fine-tuning jobs ordered from this project, or see to one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.finetune.jobs import Ledger, costs, lines

    jobs = Ledger().jobs()
    for line in lines(jobs) or ["no fine-tuning jobs yet; thirdlever run SUITE --strategy managed orders one"]:
        typer.echo(printable(line))
    for line in costs(jobs):
        typer.echo(printable(line), err=True)


@app.command()
def follow(name: Name) -> None:
    """Wait for a job, telling how it stands."""
    from thirdlever.finetune import managed
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = managed.finished(ledger.find(name), ledger)
    typer.echo(printable(f"{job.short} {job.stage}: {job.tuned}"))


@app.command()
def cancel(name: Name) -> None:
    """Stop a job at its provider."""
    from thirdlever.finetune import jobs
    from thirdlever.finetune.jobs import Ledger
    from thirdlever.finetune.providers.registry import tuner

    ledger = Ledger()
    job = ledger.find(name)
    with tuner(job.provider, job.model) as provider:
        job = jobs.cancel(job, provider, ledger)
    typer.echo(printable(f"{job.short} {job.said or 'had not been submitted, and is struck off'}"))


@app.command()
def resume(
    name: Name,
    max_usd: Annotated[
        float | None, typer.Option(metavar="USD", min=0, help="Submit anew without asking when it costs no more.")
    ] = None,
) -> None:
    """Go on with a job; one that failed, was cancelled or is gone is submitted anew."""
    from thirdlever.catalog.tuning import profile
    from thirdlever.finetune import jobs, managed
    from thirdlever.finetune.jobs import Ledger
    from thirdlever.finetune.providers.registry import tuner

    ledger = Ledger()
    job = ledger.find(name)
    terms = profile(job.provider)
    with tuner(job.provider, job.model) as provider:

        def confirm() -> None:
            managed.check_dates(terms, job.base, horizon_days=0)
            estimate = provider.estimate(job.base, job.estimated_tokens)
            managed.check_cost(terms, job.base, estimate, max_usd)

        done = jobs.succeeded(jobs.resume(job, provider, ledger, confirm), terms.title)
    typer.echo(printable(f"{done.short} {done.stage}: {done.tuned}"))


@app.command()
def deployed(
    name: Name, under: Annotated[str, typer.Argument(metavar="NAME", help="What requests are to call it.")]
) -> None:
    """Say under which name a tuned model answers that you deployed yourself; it is yours to remove."""
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = ledger.update(ledger.find(name).identity, served=under, ours=False, idle_usd_per_hour=0.0)
    typer.echo(printable(f"{job.short} answers as {job.served}"))


@app.command()
def teardown(name: Name) -> None:
    """Remove a job's deployment, so that it costs nothing while it is idle; the tuned model stays."""
    from thirdlever.finetune import managed
    from thirdlever.finetune.jobs import Ledger

    ledger = Ledger()
    job = ledger.find(name)
    managed.tear_down(job, ledger)
    typer.echo(printable(f"{job.short}: deployment {job.served} removed"))
