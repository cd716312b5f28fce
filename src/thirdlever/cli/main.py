"""The commands: each reads its options, calls one function and prints what came back.

Annotations are needed at run time here, and heavy modules are imported by the command that needs them.
"""

import errno
import os
import sys
from typing import Annotated

import typer

from thirdlever.cli import finetune, lifecycle, measure
from thirdlever.cli.decide import compare, decide, memo, report, reprice
from thirdlever.cli.lifecycle import history, regress, replace, stale
from thirdlever.cli.measure import check, init, plan, run, show
from thirdlever.core.errors import ThirdleverError
from thirdlever.core.text import printable

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
for command in (init, check, run, show, compare, decide, memo, report, reprice, plan, regress, history, stale, replace):
    app.command()(command)
app.add_typer(measure.models_app, name="models", invoke_without_command=True)
app.add_typer(finetune.adapters_app, name="adapters", invoke_without_command=True)
app.add_typer(finetune.jobs_app, name="jobs", invoke_without_command=True)
app.add_typer(finetune.serve_app)
app.add_typer(lifecycle.baseline_app, name="baseline")


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
        context = getattr(error, "ctx", None)
        return f"{error.format_message().rstrip('.')}; see: {context.command_path if context else 'thirdlever'} --help"
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
def suites() -> None:
    """List the suites that can be run."""
    from thirdlever.suites.suite import available_suites

    for name, headline in available_suites().items():
        typer.echo(printable(f"{name:<16} {headline}"))


@app.command()
def strategies() -> None:
    """List the strategies with their arguments."""
    from thirdlever.strategies import specs

    typer.echo(specs.describe())
