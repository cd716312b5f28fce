"""The command line: `thirdlever COMMAND`, its help by topic, and its exit codes."""

import errno
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from thirdlever.cli import decide, finetune, lifecycle, measure
from thirdlever.core.errors import ThirdleverError
from thirdlever.core.text import escape_terminal

INTERRUPTED = 130
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_ACCESS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
TOPICS = {
    "Measure": (
        *("init", "documents", "suites", "strategies", "models", "data", "check", "audit"),
        *("plan", "prompt", "run", "curve", "show"),
    ),
    "Other tools": ("import", "export"),
    "Decide": ("compare", "decide", "memo", "report", "reprice"),
    "When a model changes": ("baseline", "regress", "diff", "stale", "replace", "history"),
    "Fine-tune": ("adapters", "jobs", "serve"),
}


class _ByTopic(TyperGroup):
    """Lists the commands by topic. Typer itself does so only with rich, which takes twice as long to load."""

    def format_commands(self, _: Any, formatter: Any) -> None:  # noqa: ANN401 - typer's private types
        for topic, names in TOPICS.items():
            rows = [(f"{name:<10}", self.commands[name].get_short_help_str(formatter.width - 14)) for name in names]
            with formatter.section(topic):
                formatter.write_dl(rows)


app = typer.Typer(
    cls=_ByTopic,
    help="Prompt, retrieval or fine-tuning? Compare them on one labelled suite.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    *(
        measure.init,
        measure.documents,
        measure.suites,
        measure.strategies,
        measure.check,
        measure.audit,
        measure.plan,
        measure.prompt,
        measure.run,
        measure.curve,
        measure.show,
    ),
    *(decide.compare, decide.decide, decide.memo, decide.report, decide.reprice),
    *(lifecycle.regress, lifecycle.diff, lifecycle.stale, lifecycle.replace, lifecycle.history, finetune.serve),
):
    app.command()(command)
app.command("import")(measure.import_)
app.command()(measure.export)
app.add_typer(measure.models_app, name="models")
app.add_typer(measure.data_app, name="data")
app.add_typer(lifecycle.baseline_app, name="baseline")
app.add_typer(finetune.adapters_app, name="adapters")
app.add_typer(finetune.jobs_app, name="jobs")


def main() -> None:
    """Run a command. Exit codes: the command's, an error's own (2 unless stated), 130 if interrupted."""
    sys.exit(_run(sys.argv[1:] or ["--help"]))


def _run(arguments: list[str]) -> int:
    try:
        code: int | None = app(arguments, prog_name="thirdlever", standalone_mode=False)
        sys.stdout.flush()
    except typer.Abort:  # Ctrl-C at a question
        code = INTERRUPTED
    except BrokenPipeError:  # the reader, such as `| head`, has closed the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ThirdleverError, typer.TyperException, OSError) as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        _print_error(sentence)
        return error.exit_code if isinstance(error, ThirdleverError) else ThirdleverError.exit_code
    if code == INTERRUPTED:
        _print_error("interrupted; finished work is kept: repeat the command with the same --out to resume")
    return code or 0


def _sentence(error: Exception) -> str | None:
    """Cause and remedy; None for a defect, which keeps its traceback."""
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        return f"{error.format_message().rstrip('.')}; see: {context.command_path if context else 'thirdlever'} --help"
    if not isinstance(error, OSError):
        return str(error)
    if error.errno in _NO_SPACE:
        return "no space left on the disk; free some, then repeat the command with the same --out to resume"
    if error.errno in _NO_ACCESS and error.filename is not None:
        return f"{error.filename!r}: {error.strerror}; give a writable path"
    return None


def _print_error(sentence: str) -> None:
    typer.echo(f"error: {escape_terminal(' '.join(sentence.split()))}", err=True)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the value
    if wanted:
        from importlib.metadata import version

        typer.echo(version("thirdlever"))
        raise typer.Exit


@app.callback()
def _app(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass
