"""What `thirdlever compare` finds out about a run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.core.errors import RunError
from thirdlever.statistics import outcomes
from thirdlever.statistics.comparison import accuracy, compare, compare_all, non_inferior
from thirdlever.statistics.variance import Variance, by_recipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.run import Run
    from thirdlever.statistics.comparison import Comparison, NonInferiority
    from thirdlever.statistics.outcomes import Outcomes
    from thirdlever.statistics.proportions import Proportion


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run's comparisons, with what is needed to read them.

    Attributes:
        suite: name.
        part: the slice; None for all items.
        items: how many.
        clusters: independent groups among them.
        epochs: how often each was asked.
        accuracies: of the candidates that are compared, best first.
        comparisons: a is the one that was named first, or the better of the pair.
        family: how many comparisons p is adjusted for.
        non_inferiority: of b to a for each comparison, in the same order; empty without a margin.
        variances: for recipes that were tried with several seeds.
    """

    suite: str
    part: str | None
    items: int
    clusters: int
    epochs: int
    accuracies: dict[str, Proportion]
    comparisons: Sequence[Comparison]
    family: int
    non_inferiority: Sequence[NonInferiority]
    variances: Sequence[Variance]


def compared(
    run: Run,
    a: str | None = None,
    b: str | None = None,
    *,
    every: bool = False,
    part: str | None = None,
    confidence: float = 0.95,
    margin: float | None = None,
) -> Compared:
    """Hold b against a; every other candidate against a; or, of neither, every other against the best.

    The best is known by looking, so p is adjusted for all pairs then, shown or not.

    Raises:
        RunError: the run's candidates cannot be paired, there are not two, or a name is unknown.
    """
    o = outcomes.load(run)
    if len(o.candidates) < 2:  # noqa: PLR2004 - a pair
        message = (
            f"{o.candidates[0]!r} is the run's only candidate; run another strategy with the same --out to compare"
        )
        raise RunError(message)
    if a == b and a is not None:
        message = f"{a!r} against itself is no comparison; name two candidates"
        raise RunError(message)
    if part is not None:
        o = o.slice(part)
    found, family = _pairs(o, a, b, every=every, confidence=confidence)
    named = {name for one in found for name in (one.a, one.b)}
    accuracies = {name: accuracy(o, name, confidence=confidence) for name in o.candidates if name in named}
    return Compared(
        suite=run.info["suite"]["name"],
        part=part,
        items=len(o.items),
        clusters=len(set(o.clusters.tolist())),
        epochs=o.epochs,
        accuracies=dict(sorted(accuracies.items(), key=lambda pair: -pair[1].value)),
        comparisons=found,
        family=family,
        non_inferiority=[] if margin is None else [non_inferior(o, one.b, one.a, margin) for one in found],
        variances=by_recipe(o, run.info),
    )


def _pairs(
    o: Outcomes, a: str | None, b: str | None, *, every: bool, confidence: float
) -> tuple[list[Comparison], int]:
    """What to show, and among how many comparisons."""
    if a is not None and b is not None:
        return [compare(o, a, b, confidence=confidence)], 1
    found = compare_all(o, against=a, confidence=confidence)
    best = o.best()
    return [one for one in found if every or a is not None or one.a == best], len(found)
