"""What a candidate costs: for each request, once to set it up, and for each month that it stands.

Every figure says what it rests on: "measured" in the run, or "assumed", by whom (see `assumptions`). What is unknown is
None, and whatever it is a part of is unknown with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thirdlever.analysis.usage import total

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

_ENDS = (2.5, 97.5)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cost:
    """A candidate in money. USD; None is unknown.

    Attributes:
        candidate: as in the run.
        strategy: its strategy.
        model: the model that it asks; None when it asks none.
        tuned: whether the model was tuned for it.
        accuracy: 0 to 1.
        per_request_usd: of one answered request, mean.
        low: lower end of its 95 % interval, by bootstrap over the sources of the items.
        high: upper end.
        setup: USD once, by part: labels, training, indexing, evaluation, engineering.
        standing: USD a month, by part: hosting, index, upkeep, re-tuning.
        basis: what a part rests on, "measured …" or "assumed …"; "per request" is among the parts.
        retires: the day from which it no longer answers; None when none is announced.
        draws: bootstrap means of the cost of a request [draws].
        accuracy_draws: bootstrap means of the accuracy [draws], of the same resamples for every candidate of a run.
    """

    candidate: str
    strategy: str
    model: str | None = None
    tuned: bool = False
    accuracy: float | None = None
    per_request_usd: float | None = None
    low: float | None = None
    high: float | None = None
    setup: Mapping[str, float | None] = field(default_factory=dict)
    standing: Mapping[str, float | None] = field(default_factory=dict)
    basis: Mapping[str, str] = field(default_factory=dict)
    retires: dt.date | None = None
    draws: NDArray[np.float64] | None = field(default=None, repr=False)
    accuracy_draws: NDArray[np.float64] | None = field(default=None, repr=False)

    @property
    def setup_usd(self) -> float | None:
        """All of the set-up."""
        return total([*self.setup.values()])

    @property
    def standing_usd_per_month(self) -> float | None:
        """All that a month costs before the first request."""
        return total([*self.standing.values()])

    @property
    def per_correct_usd(self) -> float | None:
        """Of one right answer: what wrong ones cost is paid as well. inf when there is none for the money."""
        if self.per_request_usd is None or self.accuracy is None:
            return None
        if not self.per_request_usd:
            return 0.0 if self.accuracy else math.inf
        return self.per_request_usd / self.accuracy if self.accuracy else math.inf

    @property
    def per_correct_interval(self) -> tuple[float, float] | None:
        """Its 95 % interval."""
        if self.draws is None or self.accuracy_draws is None:
            return None
        import numpy as np

        with np.errstate(divide="ignore", invalid="ignore"):
            return interval(self.draws / self.accuracy_draws)

    def monthly_usd(self, volume: float) -> float | None:
        """Of a month with so many requests."""
        if self.per_request_usd is None or self.standing_usd_per_month is None:
            return None
        return self.standing_usd_per_month + volume * self.per_request_usd

    def cumulative_usd(self, month: float, volume: float) -> float | None:
        """All that is spent by the end of a month, at so many requests a month; month 0 is the set-up."""
        monthly = self.monthly_usd(volume)
        return None if monthly is None or self.setup_usd is None else self.setup_usd + month * monthly


def interval(draws: NDArray[np.float64]) -> tuple[float, float] | None:
    """The middle 95 % of bootstrap draws; None when none of them says anything. inf stays inf."""
    import numpy as np

    known = draws[~np.isnan(draws)]
    if not len(known):
        return None
    low, high = np.percentile(known, _ENDS, method="inverted_cdf")  # others would take inf from inf
    return float(low), float(high)
