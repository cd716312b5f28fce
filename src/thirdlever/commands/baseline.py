"""`thirdlever baseline`: runs pinned for the release gate.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated, Literal

import typer

from thirdlever.commands import options
from thirdlever.core.text import printable

app = typer.Typer(rich_markup_mode=None, help="Pin runs, to hold new base models against.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="As `thirdlever baseline list` lists it.")]


@app.command("set")
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


@app.command("list")
def list_() -> None:
    """List what is pinned."""
    from thirdlever.lifecycle import baseline as pinning

    names = pinning.available()
    if not names:
        typer.echo("none yet; thirdlever baseline set RUN pins one")
        return
    typer.echo(f"{'name':<24}{'suite':<20}{'date':<12}{'items':>7}  candidates")
    for one in map(pinning.load, names):
        listed = ", ".join(candidate.name for candidate in one.candidates)
        typer.echo(printable(f"{one.name:<24}{one.suite['name']:<20}{one.date:<12}{len(one.items):>7,}  {listed}"))


@app.command()
def show(name: Name) -> None:
    """Show a baseline's candidates and where they come from."""
    from thirdlever.lifecycle import baseline as pinning
    from thirdlever.report.tables import render_baseline

    typer.echo(render_baseline(pinning.load(name)))


@app.command()
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
