"""What a baseline kept of its items, as the statistics take it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from thirdlever.analysis.outcomes import Outcomes
from thirdlever.analysis.stats.proportions import clusters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.regression.baseline import Kept

_ROUNDED = 1e-5  # scores are kept to six digits


def outcomes(items: Sequence[Kept], scores: Mapping[str, Sequence[float]], *, epochs: int) -> Outcomes:
    """Scores of candidates on the same items.

    Args:
        items: that were asked.
        scores: of each candidate by name, in the order of the items; means over an item's repeats.
        epochs: how often each was asked.
    """
    table = np.array([*scores.values()], dtype=np.float64)
    whole = table * epochs
    return Outcomes(
        candidates=tuple(scores),
        items=tuple(item.id for item in items),
        scores=table,
        clusters=clusters(pd.Series([item.group for item in items], dtype=object)),
        slices=tuple(item.slice for item in items),
        epochs=epochs,
        graded=bool((np.abs(whole - np.rint(whole)) > _ROUNDED * epochs).any()),
    )
