from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from thirdlever.analysis.stats.intervals import Proportion, macro_f1, of_items, quantile, quantile_interval, wilson

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

binomtest = pytest.importorskip("scipy.stats").binomtest  # comes with scikit-learn

# Wilson's interval


@pytest.mark.parametrize(("successes", "n"), [(0, 1), (1, 1), (0, 40), (40, 40), (3, 7), (82, 100), (2763, 3080)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_wilson_agrees_with_scipy(successes: int, n: int, confidence: float) -> None:
    theirs = binomtest(successes, n).proportion_ci(confidence, method="wilson")
    assert wilson(successes, n, confidence) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_wilson_stays_within_bounds() -> None:
    assert wilson(0, 5)[0] == 0.0
    assert wilson(5, 5)[1] == 1.0


# Repeats of an item are not new items


def proportion(scores: ArrayLike, items: ArrayLike) -> Proportion:
    """Of requests: a score and an item each."""
    item = np.unique(items, return_inverse=True)[1]
    means = np.bincount(item, weights=scores) / np.bincount(item)
    return of_items(means, np.arange(len(means)), requests=len(item))


def test_items_without_repeats_give_wilson_exactly() -> None:
    scores = [1.0] * 82 + [0.0] * 18
    found = proportion(scores, np.arange(100))
    assert (found.value, found.n) == (0.82, 100)
    assert (found.low, found.high) == pytest.approx(wilson(82, 100), abs=1e-12)
    assert found.se == pytest.approx((0.82 * 0.18 / 100) ** 0.5)


@pytest.mark.parametrize("epochs", [2, 10])
def test_repeats_that_agree_add_nothing(epochs: int) -> None:
    scores, items = [1.0] * 82 + [0.0] * 18, list(range(100))
    once, often = proportion(scores, items), proportion(scores * epochs, items * epochs)
    assert (often.low, often.high, often.se, often.n) == pytest.approx((once.low, once.high, once.se, 100))


def test_repeats_that_disagree_narrow_the_interval_but_not_as_new_items_would() -> None:
    rng = np.random.default_rng(0)
    skill = rng.uniform(0.4, 1.0, 200)
    scores = (rng.uniform(size=(200, 8)) < skill[:, None]).astype(float)
    found = proportion(scores.ravel(), np.repeat(np.arange(200), 8))
    naive, single = wilson(scores.sum(), scores.size), wilson(200 * found.value, 200)
    assert naive[1] - naive[0] < found.high - found.low < single[1] - single[0]


def test_the_interval_has_its_coverage() -> None:
    rng, hits = np.random.default_rng(1), 0
    for _ in range(400):
        skill = rng.beta(4, 1, 60)  # true mean 0.8
        scores = (rng.uniform(size=(60, 3)) < skill[:, None]).astype(float)
        found = proportion(scores.ravel(), np.repeat(np.arange(60), 3))
        hits += found.low <= 0.8 <= found.high
    assert 0.925 <= hits / 400 <= 0.98


def test_repeats_count_at_most_as_their_requests() -> None:
    found = proportion([1.0, 0.0] * 10, list(itertools.chain.from_iterable([i, i] for i in range(10))))
    assert (found.low, found.high) == pytest.approx(wilson(10, 20))


def test_items_with_unequal_repeats_have_equal_weight() -> None:
    assert proportion([1.0, 1.0, 1.0, 0.0], ["a", "a", "a", "b"]).value == 0.5


def test_a_single_item_has_a_wide_interval() -> None:
    found = proportion([1.0], ["a"])
    assert (found.value, found.low, found.high) == pytest.approx((1.0, *wilson(1, 1)))


# Macro-F1 and quantiles


def test_macro_f1_matches_a_hand_calculation() -> None:
    # a: precision 1/2, recall 1/2; b: precision 1/1, recall 1/2
    assert macro_f1(["a", "a", "b", "b"], ["a", "x", "a", "b"]) == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_an_unparsed_answer_is_a_wrong_label() -> None:
    assert macro_f1(["a", "a", "b"], ["a", None, "b"]) == pytest.approx((2 / 3 + 1) / 2)


def test_macro_f1_counts_only_labels_of_the_targets() -> None:
    assert macro_f1(["a"], ["a"]) == 1.0
    assert macro_f1(["a", "b"], ["z", "z"]) == 0.0


@pytest.mark.parametrize(("n", "q"), [(60, 0.95), (20, 0.5), (300, 0.99)])
def test_each_end_of_a_quantile_s_interval_is_wrong_in_at_most_one_of_twenty(n: int, q: float) -> None:
    drawn = np.random.default_rng(1).exponential(size=(4000, n))
    true = -math.log(1 - q)
    ends = [found for row in drawn if (found := quantile_interval(row, q)) is not None]
    assert len(ends) == len(drawn)
    for wrong in (np.mean([low > true for low, _ in ends]), np.mean([high < true for _, high in ends])):
        assert wrong <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / len(drawn))


def test_quantile_interpolates_linearly() -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert quantile([1.0, 2.0], 0.95) == pytest.approx(1.95)
    assert quantile([3.0], 0.99) == 3.0
    assert quantile([], 0.5) is None
