"""Components of an accuracy's variance: the items, and the seed of demonstrations or training.

A strategy that draws its demonstrations or its order of training has another accuracy with another seed. Candidates
that differ only in `seed` are repeats of one recipe; their scores are a table seeds × items.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from thirdlever.analysis.outcomes import Outcomes


@dataclass(frozen=True, kw_only=True)
class Variance:
    """Components of the variance of a score, by the method of moments.

    Attributes:
        recipe: the strategy that the candidates share.
        source: what the seed draws: "demonstrations" or "training".
        candidates: one per seed.
        items: number of items.
        mean: accuracy over all seeds.
        lowest: of one seed.
        highest: of one seed.
        between_items: variance of an item's own difficulty.
        between_seeds: variance of a seed's accuracy, which remains with many items.
        residual: variance of items whose answers differ between seeds.
        se_one: standard error of one seed's accuracy as an estimate for the recipe.
        se_all: of the mean over these seeds.
    """

    recipe: str
    source: str
    candidates: tuple[str, ...]
    items: int
    mean: float
    lowest: float
    highest: float
    between_items: float
    between_seeds: float
    residual: float
    se_one: float
    se_all: float

    @property
    def se_items(self) -> float:
        """The part of `se_one` that comes from the items, which the interval of one run includes."""
        return math.sqrt((self.between_items + self.residual) / self.items)

    @property
    def se_seeds(self) -> float:
        """The part of `se_one` that comes from the seed, which the interval of one run leaves out."""
        return math.sqrt(self.between_seeds)


def components(scores: NDArray[np.float64]) -> tuple[float, float, float]:
    """Variance between items, between seeds, and the residual, of a table [seeds, items].

    Two-way random effects without replication, Henderson's method of moments (Searle, Casella and McCulloch 1992,
    section 4.7): mean squares equal their expectations; negative estimates become 0.

    Raises:
        ValueError: fewer than two seeds or items.
    """
    seeds, items = scores.shape
    if min(seeds, items) < 2:  # noqa: PLR2004 - one has no variance
        message = f"components of variance need at least two seeds and two items; got {seeds} and {items}"
        raise ValueError(message)
    by_seed, by_item, mean = scores.mean(axis=1), scores.mean(axis=0), scores.mean()
    residual = scores - by_seed[:, None] - by_item[None, :] + mean
    ms_seeds = items * float(((by_seed - mean) ** 2).sum()) / (seeds - 1)
    ms_items = seeds * float(((by_item - mean) ** 2).sum()) / (items - 1)
    ms_residual = float((residual**2).sum()) / ((seeds - 1) * (items - 1))
    return max(0.0, (ms_items - ms_residual) / seeds), max(0.0, (ms_seeds - ms_residual) / items), ms_residual


def split(o: Outcomes, candidates: Sequence[str], *, recipe: str, source: str) -> Variance:
    """The components for candidates that share a recipe and differ in seed.

    Raises:
        RunError: there is no such candidate.
        ValueError: fewer than two candidates or items.
    """
    table = np.stack([o.row(name) for name in candidates])
    between_items, between_seeds, residual = components(table)
    seeds, items = table.shape
    means = table.mean(axis=1)
    return Variance(
        recipe=recipe,
        source=source,
        candidates=tuple(candidates),
        items=items,
        mean=float(table.mean()),
        lowest=float(means.min()),
        highest=float(means.max()),
        between_items=between_items,
        between_seeds=between_seeds,
        residual=residual,
        se_one=math.sqrt(between_seeds + (between_items + residual) / items),
        se_all=math.sqrt(between_seeds / seeds + (between_items + residual / seeds) / items),
    )


def by_recipe(o: Outcomes, info: Mapping[str, Any]) -> list[Variance]:
    """The components for every recipe of a run that ran with more than one seed.

    Args:
        o: the run's outcomes.
        info: run.json; `candidates` have name, strategy, args, base, prompt and tuning.
    """
    about = {one["name"]: one for one in info.get("candidates", ())}
    if len(o.items) < 2:  # noqa: PLR2004 - one has no variance
        return []
    return [
        split(
            o,
            names,
            recipe=str(about[names[0]]["strategy"]),
            source="training" if about[names[0]].get("tuning") is not None else "demonstrations",
        )
        for names in recipes(info, o.candidates).values()
    ]


def recipes(info: Mapping[str, Any], measured: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Candidates that differ in their seed alone, by a name for all of them: "few_shot(k=8) × 3 seeds".

    Args:
        info: run.json; `candidates` have name, strategy, args, base and prompt.
        measured: names of the candidates to look at.
    """
    alike: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for candidate in info.get("candidates", ()):
        args = {name: value for name, value in candidate["args"].items() if name != "seed"}
        if "seed" in candidate["args"] and candidate["name"] in measured:
            key = [candidate["strategy"], args, candidate.get("base"), candidate.get("prompt")]
            alike[json.dumps(key, sort_keys=True, default=str)].append(candidate)
    found = {}
    for same in alike.values():
        if len({json.dumps(candidate["args"]["seed"]) for candidate in same}) > 1:
            names = tuple(str(candidate["name"]) for candidate in same)
            plain = re.sub(r",?seed=[^,)]*", "", names[0]).replace("(,", "(").replace("()", "")
            found[f"{plain} × {len(names)} seeds"] = names
    return found
