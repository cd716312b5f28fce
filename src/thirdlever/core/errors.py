"""What can go wrong, as a small tree: every message names the cause and the remedy.

A user's mistake is a `ThirdleverError`; the command line prints it as one sentence and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class ThirdleverError(Exception):
    """Anything the user can put right."""

    exit_code = 2


class SuiteError(ThirdleverError):
    """The labelled data or its eval file cannot be used as they are."""


class StrategyError(ThirdleverError):
    """No such strategy, or arguments that it does not take."""


class ModelError(ThirdleverError):
    """No such model, no key for it, or weights that cannot be loaded."""


class MissingExtraError(ThirdleverError):
    """An optional part is not installed."""


class LeakageError(ThirdleverError):
    """A strategy was given something that is in the test split."""


class RunError(ThirdleverError):
    """A run's folder cannot be written, resumed or read."""


def unknown(kind: str, name: str, available: Iterable[str]) -> str:
    """One sentence for a name that does not exist, with the near match first.

    >>> unknown("strategy", "rga", ["few_shot", "rag"])
    "strategy 'rga' not found; did you mean 'rag'? Available: few_shot, rag"
    """
    names = sorted(available)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(names) or "none"
    return f"{kind} {name!r} not found; {hint}{'Available' if hint else 'available'}: {listed}"


def require(*modules: str, extra: str) -> None:
    """Make sure that optional dependencies are there, without paying for their import.

    Raises:
        MissingExtraError: with the exact pip line, when the extra is not installed.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(_not_installed(module, extra))


def need(module: str, *, extra: str) -> Any:  # noqa: ANN401 - a module's attributes are not ours to type
    """Import an optional dependency at the point of use.

    Raises:
        MissingExtraError: with the exact pip line, when the extra is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(_not_installed(module, extra)) from None


def _not_installed(module: str, extra: str) -> str:
    return f"{module} is not installed; run: python -m pip install 'thirdlever[{extra}]'"
