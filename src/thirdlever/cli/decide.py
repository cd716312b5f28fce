"""Commands that turn a run into a decision, a memo and a report.

Typer reads the annotations when the module is loaded. Heavy modules are imported by the command that needs them.
"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from thirdlever.cli import options
from thirdlever.cli.options import argument, flag, option
from thirdlever.core.text import escape_terminal


def compare(
    run: options.Run,
    a: Annotated[str | None, argument("A", "The reference. [default: the best candidate]")] = None,
    b: Annotated[str | None, argument("B", "The candidate to compare with A. [default: all others]")] = None,
    every: Annotated[bool, flag("--all", "Compare every pair, not only those with the best.")] = False,
    slice_: Annotated[str | None, option("NAME", "Compare on the items of this slice only.", "--slice")] = None,
    confidence: Annotated[float, option("SHARE", "Confidence level of the intervals.", min=0.5, max=0.999)] = 0.95,
    margin: Annotated[
        float | None,
        option("SHARE", "Test if the drop in accuracy is below this, such as 0.02.", min=0.0001, max=0.5),
    ] = None,
    by: Annotated[
        Literal["prompt", "model", "strategy"] | None,
        typer.Option("--by", help="Compare candidates that differ in this alone."),
    ] = None,
    items: Annotated[bool, flag("--items", "List the items on which the answers differ.")] = False,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
    fmt: options.TextFormat = "text",
) -> None:
    """Show which differences between candidates are significant."""
    from thirdlever.analysis.compare import compared
    from thirdlever.analysis.run import load
    from thirdlever.lifecycle.diff import between
    from thirdlever.report import tables

    measured = load(run, max_failed=max_failed, max_unparsed=max_unparsed)
    found = compared(measured, a, b, every=every, part=slice_, confidence=confidence, margin=margin, by=by)
    differing = [between(measured, one.a, one.b, part=slice_) for one in found.comparisons] if items else None
    options.print_text(tables.render_comparison(found, fmt, items=differing))


def decide(
    run: Annotated[
        str, argument("RUN", "A run's folder, its name under results/, latest, or a .toml file of figures.")
    ],
    assume: options.Assume = None,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
    fmt: options.TextFormat = "text",
) -> None:
    """Decide if fine-tuning is justified, and what would change that."""
    from thirdlever.decision import verdict
    from thirdlever.report import decision

    found = verdict.decide_from(run, assume or (), max_failed=max_failed, max_unparsed=max_unparsed)
    options.print_text(decision.render(found, fmt))


def memo(
    run: Annotated[
        str, argument("RUN", "A run's folder, its name under results/, latest, or a .toml file of figures.")
    ],
    assume: options.Assume = None,
    out: Annotated[
        Path | None, option("DIR", "Folder for the memo. [default: RUN/memo, or FILE-memo for a .toml file]")
    ] = None,
    owner: Annotated[str, option("NAME", "Who is responsible for the decision.")] = "",
    approver: Annotated[str, option("NAME", "Who approves it.")] = "",
    curve: Annotated[Path | None, option("DIR", "Folder of a learning curve of the same suite, to include.")] = None,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
) -> None:
    """Write the decision memo of a run or of given figures."""
    from thirdlever.analysis.run import load
    from thirdlever.decision import verdict
    from thirdlever.report import memo as report
    from thirdlever.report.decision import one_sentence

    given = assume or []
    if run.endswith(verdict.SUFFIX):
        path, measured = Path(run), None
        figures = verdict.read(path)
        title, folder = figures.title or path.stem, path.with_name(f"{path.stem}-memo")
        decision = figures.decide(verdict.pairs(given))
    else:
        measured = load(run, max_failed=max_failed, max_unparsed=max_unparsed)
        title, path, folder = measured.info["suite"]["name"], measured.folder, measured.folder / report.FOLDER
        decision = verdict.decide_on_run(measured, given)
    subject = report.Subject(
        title=title,
        source=path,
        given=given,
        run=measured,
        owner=owner,
        approver=approver,
        curve=None if curve is None else report.curve_of(measured, curve),
    )
    page = report.write(subject, decision, out or folder)[0]
    typer.echo(escape_terminal(f"{decision.verdict}: {one_sentence(decision)}"))
    typer.echo(escape_terminal(f"Memo: {page}"))


def report(run: options.Run, max_failed: options.MaxFailed = None, max_unparsed: options.MaxUnparsed = None) -> None:
    """Write report.html: every answer, to filter, sort and read."""
    from thirdlever.analysis.run import load
    from thirdlever.report import page

    found = load(run, max_failed=max_failed, max_unparsed=max_unparsed)
    typer.echo(f"Every answer: {page.write(found)}")


def reprice(
    run: options.Run,
    model: Annotated[
        str | None,
        option("MODEL", "Use this model's prices, such as openai/gpt-5.4-mini. [default: the run's]", "--as"),
    ] = None,
    device_usd_per_hour: Annotated[
        str | None, option("USD", "Cost of the machine, in USD an hour, or a GPU: h100, h200, l4.")
    ] = None,
    utilisation: Annotated[
        float | None,
        option("SHARE", "Share of the time that the machine is busy. [default: the run's]", min=0, max=1),
    ] = None,
    batch: Annotated[bool, flag("--batch", "Use the rates of batch APIs.")] = False,
    max_failed: options.MaxFailed = None,
    max_unparsed: options.MaxUnparsed = None,
    fmt: options.TableFormat = "table",
) -> None:
    """Show a run's table at other prices, without new requests."""
    from thirdlever.analysis import run as runs
    from thirdlever.analysis.run import load
    from thirdlever.report import tables

    measured = load(run, max_failed=max_failed, max_unparsed=max_unparsed)
    done = runs.reprice(measured, model=model, device=device_usd_per_hour, utilisation=utilisation, batch=batch)
    options.print_text(tables.render_summary(done.run.summary, fmt))
    lines = [*tables.price_lines(done.prices), *tables.device_lines(done.device, done.utilisation)]
    if model:
        lines.append(f"Token counts are those measured; {escape_terminal(model)} may count the same text differently.")
    for line in lines:
        typer.echo(line, err=fmt in {"csv", "json"})
