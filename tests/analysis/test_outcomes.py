from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from thirdlever.analysis.outcomes import outcomes
from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.analysis.outcomes import Outcomes


def records(
    scores: Mapping[str, Mapping[str, Sequence[float | None]]],
    *,
    groups: dict[str, str | None] | None = None,
    **changes: str,
) -> pd.DataFrame:
    """Rows of the accuracy pass: candidate -> item -> a score for each epoch."""
    rows = [
        {
            "candidate": candidate,
            "phase": "accuracy",
            "item_id": item,
            "epoch": epoch,
            "slice": "",
            "group": (groups or {}).get(item),
            "score": score,
            "item_hash": f"hash of {item}",
        }
        | changes
        for candidate, items in scores.items()
        for item, repeats in items.items()
        for epoch, score in enumerate(repeats, 1)
    ]
    return pd.DataFrame(rows).astype({"group": "str", "slice": "str"})


def same(one: Outcomes, other: Outcomes) -> bool:
    plain = [(o.candidates, o.items, o.slices, o.epochs, o.graded) for o in (one, other)]
    arrays = np.array_equal(one.scores, other.scores) and np.array_equal(one.clusters, other.clusters)
    return plain[0] == plain[1] and arrays


THREE = {"b": {"i2": [1.0], "i1": [0.0], "i3": [1.0]}, "a": {"i1": [1.0], "i2": [0.0], "i3": [1.0]}}


# Pairing


def test_scores_are_paired_by_item() -> None:
    o = outcomes(records(THREE))
    assert (o.candidates, o.items) == (("a", "b"), ("i1", "i2", "i3"))
    assert o.scores.tolist() == [[1, 0, 1], [0, 1, 1]]
    assert o.clusters.tolist() == [0, 1, 2]
    assert (o.epochs, o.graded) == (1, False)


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_rows_does_not_matter(seed: int) -> None:
    rows = records(THREE, groups={"i1": "g", "i3": "g"})
    assert same(outcomes(rows.sample(frac=1, random_state=seed)), outcomes(rows))


def test_repeats_are_averaged_within_their_item() -> None:
    o = outcomes(records({"a": {"i1": [1.0, 0.0, 1.0], "i2": [0.0, 0.0, 0.0]}}))
    assert o.scores.tolist() == [[pytest.approx(2 / 3), 0.0]]
    assert (len(o.items), o.epochs, o.graded) == (2, 3, False)


def test_a_request_that_failed_counts_as_wrong() -> None:
    o = outcomes(records({"a": {"i1": [None], "i2": [1.0]}}))
    assert o.scores.tolist() == [[0.0, 1.0]]


def test_partial_scores_are_recognised() -> None:
    assert outcomes(records({"a": {"i1": [0.5]}})).graded


def test_items_of_a_group_form_a_cluster() -> None:
    rows = records({"a": dict.fromkeys("wxyz", (1.0,))}, groups={"w": "g", "y": "g", "x": None, "z": ""})
    assert outcomes(rows).clusters.tolist() == [2, 0, 2, 1]


def test_the_latency_probe_is_not_an_outcome() -> None:
    rows = pd.concat([records(THREE), records({"a": {"i1": [0.0]}}, phase="latency")])
    assert same(outcomes(rows), outcomes(records(THREE)))


# What cannot be paired is refused


@pytest.mark.parametrize("column", ["item_id", "score"])
def test_a_run_without_answers_is_refused(column: str) -> None:
    rows = records(THREE)
    with pytest.raises(RunError, match="no answers"):
        outcomes(rows[rows[column].isna()])


def test_missing_items_are_named() -> None:
    rows = records(THREE).iloc[1:]
    with pytest.raises(RunError, match=r"not asked the same items \('b' 2, 'a' 3; not asked of all: 'i2'\).*--out"):
        outcomes(rows)


def test_different_numbers_of_repeats_are_named() -> None:
    rows = records({"a": {"i1": [1.0]}, "b": {"i1": [1.0, 0.0]}})
    with pytest.raises(RunError, match=r"not repeated equally often.*'a' 1, 'b' 2"):
        outcomes(rows)


def test_a_duplicated_answer_is_refused() -> None:
    rows = records({"a": {"i1": [1.0, 0.0], "i2": [1.0, 1.0]}})
    rows["epoch"] = [1, 1, 1, 2]
    with pytest.raises(RunError, match="twice"):
        outcomes(rows)


def test_two_versions_of_an_item_are_refused() -> None:
    rows = records(THREE)
    rows.loc[0, "item_hash"] = "another"
    with pytest.raises(RunError, match=r"different questions in 1 item .*'i2' for 'b' and 'a'|'a' and 'b'"):
        outcomes(rows)


# Parts


def test_an_unknown_candidate_is_named_with_the_nearest_name() -> None:
    o = outcomes(records({"few_shot": {"i1": [1.0]}, "rag": {"i1": [1.0]}}))
    with pytest.raises(RunError, match="did you mean 'rag'"):
        o.row("rga")


def test_a_slice_keeps_its_items_and_their_clusters() -> None:
    rows = records(THREE, groups={"i2": "g", "i3": "g"})
    rows["slice"] = rows["item_id"].map({"i1": "easy", "i2": "hard", "i3": "hard"})
    part = outcomes(rows).slice("hard")
    assert (part.items, part.slices) == (("i2", "i3"), ("hard", "hard"))
    assert part.scores.tolist() == [[0, 1], [1, 1]]
    assert part.clusters.tolist() == [0, 0]
    with pytest.raises(RunError, match="did you mean 'hard'"):
        part.slice("herd")


def test_the_best_candidate_has_the_highest_mean() -> None:
    o = outcomes(records({"a": {"i1": [0.0]}, "c": {"i1": [1.0]}, "b": {"i1": [1.0]}}))
    assert o.best() == "b"
