"""`thirdlever serve`.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

import shlex
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(rich_markup_mode=None)

FOLDER = Path(".thirdlever", "endpoint")


@app.command()
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
