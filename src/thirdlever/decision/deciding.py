"""`decide` as it is typed: a run or given figures, and assumptions as text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.analysis.run import load
from thirdlever.core.errors import ThirdleverError
from thirdlever.decision import decision, figures_file
from thirdlever.economics.assumptions import assume

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thirdlever.analysis.run import Run
    from thirdlever.decision.decision import Decision


def decide(run: str, assumed: Iterable[str]) -> Decision:
    """Decide on a run, or on a .toml of given figures.

    Args:
        run: what `run.load` takes, or a file's name that ends in .toml.
        assumed: `NAME=VALUE`, each.

    Raises:
        ThirdleverError: no such run or file, or something in it or in an assumption cannot be.
    """
    if run.endswith(figures_file.SUFFIX):
        return figures_file.read(Path(run)).decide(dict(map(_pair, assumed)))
    return decide_on_run(load(run), assumed)


def decide_on_run(run: Run, assumed: Iterable[str]) -> Decision:
    """The same, on a run that was found."""
    card = (run.info.get("suite") or {}).get("card") or {}
    return decision.decide(run, assume(card, dict(map(_pair, assumed)), run.info))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        message = f"--assume {text!r} has no value; write it as NAME=VALUE, such as monthly_volume=50000"
        raise ThirdleverError(message)
    return name.strip(), value.strip()
