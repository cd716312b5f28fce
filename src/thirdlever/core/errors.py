"""Errors that users can fix, as a small tree. Every message names the cause and the fix.

The command line prints a `ThirdleverError` as one sentence and exits with its `exit_code`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


class ThirdleverError(Exception):
    """Base class: anything that the user can fix."""

    exit_code = 2


class SuiteError(ThirdleverError):
    """The labelled data or the eval file is invalid."""


class PromptError(ThirdleverError):
    """A prompt file cannot be read, or cannot be rendered for a suite."""


class StrategyError(ThirdleverError):
    """The strategy does not exist, or does not take these arguments."""


class ModelError(ThirdleverError):
    """The model does not exist, has no API key, or its weights cannot be loaded."""


class TuningError(StrategyError):
    """Tuning failed after it had begun, so the candidate has no model; the others can be measured."""

    def __init__(self, message: str, *, reason: str, usd: float | None = 0.0) -> None:
        """Keep the cause, for a list of candidates, and the cost.

        Args:
            message: with the cause and the remedy.
            reason: the cause alone, in a few words.
            usd: what the failed attempts cost; None if unknown.
        """
        super().__init__(message)
        self.reason = reason
        self.usd = usd


class MissingExtraError(ThirdleverError):
    """An optional dependency is not installed."""


class LeakageError(ThirdleverError):
    """A strategy was given text from the test split."""


class RunError(ThirdleverError):
    """A run's folder cannot be written, resumed or read."""


class ProviderError(ThirdleverError):
    """A model's provider fails every request, for a cause such as a wrong key, an empty account or a dead host."""


class BudgetError(ThirdleverError):
    """The budget is spent before everything is measured. What was paid for is kept."""

    exit_code = 4


def unknown(kind: str, name: str, available: Iterable[str], *, meant: str | None = None) -> str:
    """The message for a name that does not exist, with the closest match (or `meant`, if that is known) first.

    >>> unknown("strategy", "rga", ["few_shot", "rag"])
    "strategy 'rga' not found; did you mean 'rag'? Available: few_shot, rag"
    """
    names = sorted(available)
    near = [meant] if meant else difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    listed = ", ".join(names) or "none"
    return f"{kind} {name!r} not found; {hint}{'Available' if hint else 'available'}: {listed}"


def require(*modules: str, extra: str) -> None:
    """Check that optional dependencies are installed, without importing them.

    Raises:
        MissingExtraError: one is not installed; the message has the exact pip line.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise MissingExtraError(_not_installed(module, extra))


def need(module: str, *, extra: str) -> Any:  # noqa: ANN401 - a module's attributes are not ours to type
    """Import an optional dependency at the point of use.

    Raises:
        MissingExtraError: one is not installed; the message has the exact pip line.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != module.partition(".")[0]:
            raise
        raise MissingExtraError(_not_installed(module, extra)) from None


def _not_installed(module: str, extra: str) -> str:
    return f"{module} is not installed; run: python -m pip install 'thirdlever[{extra}]'"
