"""A suite by its name: an eval file, or an inspect task."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path

from thirdlever.core import project
from thirdlever.core.errors import SuiteError, unknown
from thirdlever.core.mistakes import explained
from thirdlever.suites.readers import read_text
from thirdlever.suites.suite import MARK, REMEDY, Suite, check


def find_suite(name: str, train: str | None = None) -> Suite:
    """Load and check `evals/<name>.py`, or an inspect task: `file.py@task:level=hard`, `inspect_evals/task`.

    Args:
        name: of the suite, or the task.
        train: another task, whose samples strategies learn from.

    Raises:
        SuiteError: no such file, it defines no suite, or the suite cannot be measured with.
    """
    evals = project.files("evals")
    path = Path(name)
    if path.stem in evals and path.suffix == ".py" and path.resolve() == evals[path.stem].resolve():
        name = path.stem  # the eval file, in place of its name
    if _is_task(name):
        from thirdlever.suites.tasks import from_task

        return check(from_task(name, train))
    if train is not None:
        message = f"--train {train}: suite {name!r} has a train split; only an inspect task takes another's samples"
        raise SuiteError(message)
    if name not in evals:
        message = f"{unknown('suite', name, evals)}; {REMEDY}"
        raise SuiteError(message)
    return check(load_file(evals[name], name))


def load_file(path: Path, name: str) -> Suite:
    """The suite of an eval file, unchecked.

    Raises:
        SuiteError: it defines no suite, or cannot be run.
    """
    factory = getattr(project.load_module(path, SuiteError), name, None)
    if factory is None or not hasattr(factory, MARK):
        message = f"{path}: no suite {name!r} in it; define a function of that name with @suite"
        raise SuiteError(message)
    try:
        made = factory()
    except (ImportError, NameError, AttributeError, TypeError, ValueError, LookupError, OSError) as cause:
        raise SuiteError(explained(cause, path)) from cause
    if not isinstance(made, Suite):
        message = f"{path}: {name}() returned {type(made).__name__}; it must return a Suite, e.g. from load_suite"
        raise SuiteError(message)
    return replace(made, name=name)


def _is_task(name: str) -> bool:
    """Whether a suite's name is that of an inspect task."""
    return "/" in name or "@" in name or name.partition(":")[0].endswith(".py")


def available_suites() -> dict[str, str]:
    """Names of all suites, each with the first line of its file's docstring, without the name."""
    files = sorted(project.files("evals").items())
    return {name: _headline(path).removeprefix(f"{name}:").strip() for name, path in files}


def _headline(path: Path) -> str:
    try:
        docstring = ast.get_docstring(ast.parse(read_text(path)))
    except (SyntaxError, ValueError):  # running a broken file reports it; listing does not
        return ""
    return (docstring or "").partition("\n")[0]
