"""`thirdlever models`: what can be asked.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from typing import Annotated

import typer

from thirdlever.core.text import printable

app = typer.Typer(rich_markup_mode=None)


@app.callback()
def list_models(context: typer.Context) -> None:
    """List the models that are at hand, or fetch one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.models import registry

    for found in registry.available():
        state = {True: "ready", False: "not ready", None: ""}[found.ready]
        typer.echo(printable(f"{found.name:<24}{found.kind:<8}{state:<11}{found.where}"))


@app.command()
def pull(name: Annotated[str, typer.Argument(metavar="NAME", help="As `thirdlever models` lists it.")]) -> None:
    """Fetch a model's weights into your cache."""
    from thirdlever.models import registry

    registry.pull(name)
