from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from thirdlever.analysis.outcomes import Outcomes
from thirdlever.analysis.variance import by_recipe, components, split


def table(scores: np.ndarray[Any, np.dtype[np.float64]], names: tuple[str, ...]) -> Outcomes:
    items = scores.shape[1]
    return Outcomes(names, tuple(map(str, range(items))), scores, np.arange(items), ("",) * items)


def test_components_recover_the_simulated_variances() -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        scores = 0.3 * rng.normal(size=(1, 60)) + 0.1 * rng.normal(size=(6, 1)) + 0.2 * rng.normal(size=(6, 60))
        found.append(components(scores))
    assert np.mean(found, axis=0) == pytest.approx([0.09, 0.01, 0.04], rel=0.1)


def test_seeds_that_agree_have_no_variance() -> None:
    items = np.tile([1.0, 1.0, 0.0, 1.0], (3, 1))
    assert components(items) == pytest.approx((0.25, 0.0, 0.0))


def test_without_seeds_the_error_is_that_of_the_items() -> None:
    rng = np.random.default_rng(1)
    right = (rng.uniform(size=400) < 0.8).astype(float)
    found = split(table(np.stack([right, right]), ("a", "b")), ("a", "b"), recipe="lora", source="training")
    assert found.se_seeds == 0
    assert found.se_one == found.se_items == pytest.approx(right.std(ddof=1) / 20)


def test_the_error_of_one_seed_matches_the_spread_of_seeds() -> None:
    # Many recipes with 10 seeds each on fresh items: how far a first seed's accuracy lies from the truth.
    rng, promised, actual = np.random.default_rng(2), [], []
    for _ in range(300):
        skill = 0.8 + 0.05 * rng.normal(size=(10, 1))
        scores = (rng.uniform(size=(10, 200)) < skill).astype(float)
        promised.append(split(table(scores, tuple("abcdefghij")), tuple("abcdefghij"), recipe="", source="").se_one)
        actual.append(scores[0].mean() - 0.8)
    assert np.mean(promised) == pytest.approx(float(np.std(actual)), rel=0.12)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_a_single_seed_or_item_has_no_components(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="two seeds and two items"):
        components(np.ones(shape))


def test_candidates_that_differ_only_in_seed_are_one_recipe() -> None:
    def candidate(name: str, strategy: str, *, tuning: object = None, **args: object) -> dict[str, object]:
        return {"name": name, "strategy": strategy, "args": args, "base": "embedded", "tuning": tuning}

    info = {
        "candidates": [
            candidate("f0", "few_shot", k=8, seed=0),
            candidate("f1", "few_shot", k=8, seed=1),
            candidate("f2", "few_shot", k=32, seed=2),
            candidate("t0", "lora", tuning={}, seed=0),
            candidate("t1", "lora", tuning={}, seed=1),
            candidate("z", "zero_shot"),
        ]
    }
    scores = np.random.default_rng(0).integers(0, 2, (6, 30)).astype(float)
    found = by_recipe(table(scores, ("f0", "f1", "f2", "t0", "t1", "z")), info)
    assert [(one.recipe, one.source, one.candidates) for one in found] == [
        ("few_shot", "demonstrations", ("f0", "f1")),
        ("lora", "training", ("t0", "t1")),
    ]
