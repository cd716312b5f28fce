"""`thirdlever compare`: candidates held against each other.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thirdlever.cli import options


def compare(
    run: options.Run,
    a: Annotated[str | None, typer.Argument(metavar="A", help="The reference. [default: the best]")] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="What is held against it. [default: every other]")
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Every pair, not only those with the best.")] = False,
    slice_: Annotated[str | None, typer.Option("--slice", metavar="NAME", help="Only the items of this slice.")] = None,
    confidence: Annotated[float, typer.Option(metavar="F", min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    margin: Annotated[
        float | None,
        typer.Option(
            metavar="F", min=0.0001, max=0.5, help="A loss to put up with, such as 0.02: is b no worse than that?"
        ),
    ] = None,
    fmt: Annotated[Literal["text", "md", "json"], typer.Option("--format")] = "text",
) -> None:
    """Tell a real difference between candidates from luck."""
    from thirdlever.analysis.compare import compared
    from thirdlever.analysis.run import load
    from thirdlever.report import comparison

    found = compared(load(run), a, b, every=every, part=slice_, confidence=confidence, margin=margin)
    typer.echo(comparison.render(found, fmt))


def decide(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's folder, its name, latest; or a .toml of given figures.")
    ],
    assume: options.Assume = None,
    fmt: Annotated[Literal["text", "md", "json"], typer.Option("--format")] = "text",
) -> None:
    """Say whether fine-tuning is justified: three gates, six questions, and what would change the answer."""
    from thirdlever.decision import verdict
    from thirdlever.report import decision

    typer.echo(decision.render(verdict.decide_from(run, assume or ()), fmt), nl=False)


def memo(
    run: options.Run,
    assume: options.Assume = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where to write it. [default: RUN/memo]")] = None,
) -> None:
    """Write the decision memo of a run: Markdown, one self-contained HTML file, and the figures."""
    from thirdlever.analysis.run import load
    from thirdlever.core.text import printable
    from thirdlever.decision.verdict import decide_on_run
    from thirdlever.report import memo as report
    from thirdlever.report.decision import one_sentence

    found = load(run)
    decision = decide_on_run(found, assume or ())
    page = report.write(found, decision, out or found.folder / "memo", given=assume or ())[0]
    typer.echo(printable(f"{decision.verdict}: {one_sentence(decision)}"))
    typer.echo(printable(f"Memo: {page}"))


def report(
    run: options.Run,
) -> None:
    """Write a run's report.html: every answer of every candidate, to filter and to read."""
    from thirdlever.analysis.run import load
    from thirdlever.report import page

    typer.echo(f"Every answer: {page.write(load(run))}")


def reprice(
    run: options.Run,
    model: Annotated[
        str | None, typer.Option("--as", metavar="MODEL", help="At this model's prices, such as openai/gpt-4o-mini.")
    ] = None,
    device_usd_per_hour: Annotated[
        str | None, typer.Option(metavar="X", help="What an hour of the machine costs, or a GPU: h100, h200, l4.")
    ] = None,
    utilisation: Annotated[
        float | None, typer.Option(metavar="F", min=0, max=1, help="The share of its hours that the machine is in use.")
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="At the rates of batch APIs.")] = False,
    fmt: Annotated[Literal["table", "md", "csv", "json"], typer.Option("--format")] = "table",
) -> None:
    """Show a run at other prices: what was measured stays, and no model is asked."""
    from thirdlever.analysis import reprice as repricing
    from thirdlever.analysis.run import load
    from thirdlever.core.text import printable
    from thirdlever.report import tables

    done = repricing.reprice(load(run), model=model, device=device_usd_per_hour, utilisation=utilisation, batch=batch)
    typer.echo(tables.render_summary(done.run.summary, fmt), nl=False)
    lines = [*tables.price_lines(done.prices), *tables.device_lines(done.device, done.utilisation)]
    if model:
        lines.append(f"Tokens are as measured; {printable(model)} may count the same text otherwise.")
    for line in lines:
        typer.echo(line, err=fmt in {"csv", "json"})
