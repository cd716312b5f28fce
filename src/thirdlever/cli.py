"""The commands: each reads its options, calls one function and prints what came back.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from thirdlever.commands import adapters, baseline, jobs, serve
from thirdlever.commands.compare import compare
from thirdlever.commands.decide import decide
from thirdlever.commands.history import history
from thirdlever.commands.memo import memo
from thirdlever.commands.plan import plan
from thirdlever.commands.regress import regress
from thirdlever.commands.replace import replace
from thirdlever.commands.report import report
from thirdlever.commands.reprice import reprice
from thirdlever.commands.stale import stale
from thirdlever.errors import ThirdleverError
from thirdlever.report.text import printable

STRATEGIES = ("null", "zero_shot", "few_shot", "long_context", "rag")
MODELS = ("embedded",)
INTERRUPTED = 130

# What the system says that a user can put right.
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_NO_ACCESS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}

app = typer.Typer(
    help="Prompt, retrieval or fine-tune? Every strategy over one labelled suite, side by side.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help takes half the time
)
models = typer.Typer(rich_markup_mode=None)
app.add_typer(models, name="models", invoke_without_command=True)
app.add_typer(adapters.app, name="adapters", invoke_without_command=True)
app.add_typer(jobs.app, name="jobs", invoke_without_command=True)
app.add_typer(serve.app)
app.add_typer(baseline.app, name="baseline")


def main() -> None:
    """The entry point: exit code 0, 2 for what the user can put right, 130 when interrupted."""
    sys.exit(_answer(sys.argv[1:] or ["--help"]))


def _answer(arguments: list[str]) -> int:
    try:
        code: int | None = app(arguments, prog_name="thirdlever", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (`| head`) has seen enough; what is left must go somewhere
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ThirdleverError, typer.TyperException, OSError) as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        _fail(sentence)
        return ThirdleverError.exit_code
    if code == INTERRUPTED:
        _fail("interrupted; what was finished is kept, and the same command with the same --out goes on from there")
    return code or 0


def _sentence(error: Exception) -> str | None:
    """Cause and remedy; None for a defect, which keeps its traceback."""
    if isinstance(error, typer.TyperException):
        return f"{error.format_message().rstrip('.')}; see: thirdlever --help"
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in _NO_SPACE:
        return "no space is left on the disk; free some, then the same command with the same --out goes on"
    if error.errno in _NO_ACCESS and error.filename is not None:
        return f"{error.filename!r}: {error.strerror}; give a path that can be written"
    return None


def _fail(sentence: str) -> None:
    typer.echo(f"error: {printable(' '.join(sentence.split()))}", err=True)


def _version(wanted: bool) -> None:  # noqa: FBT001 - an option's callback gets its value so
    if wanted:
        from importlib.metadata import version

        typer.echo(version("thirdlever"))
        raise typer.Exit


@app.callback()
def _app(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")] = False,
) -> None:
    pass


@app.command()
def run(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="`thirdlever suites` lists them.")],
    strategy: Annotated[
        list[str] | None,
        typer.Option(metavar="SPEC", help=f"Such as rag:k=20; again for more. [default: {', '.join(STRATEGIES)}]"),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help=f"Such as openai/gpt-4o-mini; again for more. [default: {', '.join(MODELS)}]"
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Measure on N test items.")] = None,
    epochs: Annotated[int, typer.Option(metavar="N", min=1, help="Ask each item N times.")] = 1,
    seed: Annotated[int, typer.Option(metavar="N", help="The seed of every draw.")] = 0,
    budget: Annotated[float | None, typer.Option(metavar="USD", min=0, help="Stop before more is spent.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The run's folder; the same again resumes. [default: results/SUITE-TIME]"),
    ] = None,
    probe: Annotated[int, typer.Option(metavar="N", min=0, help="Time N items one by one.")] = 20,
    constrain: Annotated[bool, typer.Option("--constrain", help="Let models answer with a label only.")] = False,
    chroma_url: Annotated[str | None, typer.Option(metavar="URL", help="A Chroma server. [default: embedded]")] = None,
    device_usd_per_hour: Annotated[
        float | None, typer.Option(metavar="X", min=0, help="What an hour of this machine costs.")
    ] = None,
    utilisation: Annotated[
        float, typer.Option(metavar="F", min=0, max=1, help="The share of its hours that the machine is in use.")
    ] = 1.0,
    batch: Annotated[
        bool, typer.Option("--batch", help="Measure accuracy through the provider's batch API: cheaper, and slow.")
    ] = False,
) -> None:
    """Run strategies over a suite and show them side by side."""
    from thirdlever import runner
    from thirdlever.report import table

    if chroma_url is not None:
        os.environ["THIRDLEVER_CHROMA_URL"] = chroma_url
    done = runner.run(
        suite,
        strategy or STRATEGIES,
        models=model or MODELS,
        limit=limit,
        epochs=epochs,
        seed=seed,
        budget=budget,
        out=out,
        probe=probe,
        constrain=constrain,
        device_usd_per_hour=device_usd_per_hour,
        utilisation=utilisation,
        batch=batch,
    )
    typer.echo(table.render(done.summary))
    typer.echo(f"\nRecords, logs and chart: {done.folder}")


@app.command()
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's folder, its name under results/, or latest.")],
    fmt: Annotated[Literal["table", "md", "csv", "json"], typer.Option("--format")] = "table",
) -> None:
    """Show a run's candidates side by side."""
    from thirdlever.report import table
    from thirdlever.run import load

    typer.echo(table.render(load(run).summary, fmt))


for further in (compare, decide, memo, report, reprice, plan, regress, history, stale, replace):
    app.command()(further)


@app.command()
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
    from thirdlever.init import copy_starter, make_suite

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


@app.command()
def suites() -> None:
    """List the suites that can be run."""
    from thirdlever.loading import available_suites

    for name, headline in available_suites().items():
        typer.echo(printable(f"{name:<16} {headline}"))


@app.command()
def strategies() -> None:
    """List the strategies with their arguments."""
    from thirdlever import candidates

    typer.echo(candidates.describe())


@models.callback()
def list_models(context: typer.Context) -> None:
    """List the models that are at hand, or fetch one."""
    if context.invoked_subcommand is not None:
        return
    from thirdlever.models import registry

    for found in registry.available():
        state = {True: "ready", False: "not ready", None: ""}[found.ready]
        typer.echo(printable(f"{found.name:<24}{found.kind:<8}{state:<11}{found.where}"))


@models.command()
def pull(name: Annotated[str, typer.Argument(metavar="NAME", help="As `thirdlever models` lists it.")]) -> None:
    """Fetch a model's weights into your cache."""
    from thirdlever.models import registry

    registry.pull(name)
