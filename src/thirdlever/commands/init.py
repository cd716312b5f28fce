"""`thirdlever init`: a suite of one's own data.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated

import typer

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
