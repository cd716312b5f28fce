"""A finished run held against a baseline; nothing is run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.core.errors import RunError
from thirdlever.regression import baseline
from thirdlever.regression.checks import worst
from thirdlever.regression.gate import Pair, hold
from thirdlever.regression.limits import limits
from thirdlever.regression.rerun import Regression, monthly_volume

if TYPE_CHECKING:
    from thirdlever.analysis.run import Run
    from thirdlever.regression.baseline import Baseline


def diff(pinned: Baseline, run: Run) -> Regression:
    """Hold every candidate of a run that is pinned too, with the same arguments, against the pinned one.

    Raises:
        RunError: nothing of it is pinned, or the runs are of different questions.
    """
    fresh = baseline.of(run, pinned.name)
    pairs = [
        Pair(old.name, old.name, new.name)
        for old in pinned.candidates
        for new in fresh.candidates
        if (old.strategy, old.args) == (new.strategy, new.args)
    ]
    if not pairs:
        listed = ", ".join(one.name for one in pinned.candidates)
        message = f"run {str(run.folder)!r} holds none of the candidates of baseline {pinned.name!r}: {listed}"
        raise RunError(message + "; run those")
    card = run.info["suite"].get("card") or {}
    held = limits(card, {})
    results = [hold(pinned, fresh, pair, held) for pair in pairs]
    return Regression(
        verdict=worst(result.verdict for result in results),
        suite=pinned.suite["name"],
        baseline=pinned.name,
        pinned=pinned.date,
        results=results,
        asked=len(fresh.items),
        items=len(pinned.items),
        limits=held,
        monthly_volume=monthly_volume(card),
        notes=[],
        folder=str(run.folder),
    )
