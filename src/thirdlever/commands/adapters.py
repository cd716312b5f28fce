"""`thirdlever adapters`: what was tuned here.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated

import typer

from thirdlever.core.text import printable

app = typer.Typer(rich_markup_mode=None)

Key = Annotated[str, typer.Argument(metavar="KEY", help="As `thirdlever adapters` lists it, or its first characters.")]
To = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that is not there yet.")]


@app.callback(invoke_without_command=True)
def list_adapters(context: typer.Context) -> None:
    """List what was tuned here: adapters and whole models."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.finetune import tune

    found = tune.every()
    if not found:
        typer.echo("none yet; thirdlever run SUITE --strategy lora makes one")
        return
    named = f"{'key':<10}{'suite':<18}{'base':<16}{'method':<14}"
    typer.echo(f"{named}{'examples':>9}{'epochs':>8}{'dev loss':>10}{'MB':>8}")
    for one in found:
        loss = "" if one.dev_loss is None else f"{one.dev_loss:.3f}"
        method = one.method if one.rank is None else f"{one.method} r={one.rank}"
        line = f"{one.key[:8]:<10}{one.suite:<18}{one.base:<16}{method:<14}{one.examples:>9,}{one.epochs:>8.3g}"
        typer.echo(printable(f"{line}{loss:>10}{one.bytes / 1e6:>8.1f}"))


@app.command()
def show(key: Key) -> None:
    """Show a tune's card: what it was made of, what it cost, how its loss fell."""
    from thirdlever.finetune import tune

    for line in tune.find(key).card().splitlines():
        typer.echo(printable(line))


@app.command()
def remove(key: Key) -> None:
    """Delete a tune; a run that needs it trains it again."""
    from thirdlever.finetune import tune

    found = tune.find(key)
    found.remove()
    typer.echo(f"removed {found.key[:8]}")


@app.command()
def export(key: Key, to: To) -> None:
    """Copy a tune to a folder that peft and vLLM load."""
    from thirdlever.finetune import tune

    tune.find(key).export(to)
    typer.echo(f"exported to {to}")


@app.command()
def merge(key: Key, to: To) -> None:
    """Write base and adapter as one model, which `--model hf/DIR` runs."""
    from thirdlever.finetune import tune

    tune.find(key).merge(to)
    typer.echo(f"merged into {to}; run it with --model hf/{to}")
