"""What it costs to train a tune's data once more, elsewhere: from dated rates, nobody is asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.catalog.retirements import retirement
from thirdlever.catalog.tuning import profile, rates

if TYPE_CHECKING:
    import datetime as dt


@dataclass(frozen=True, slots=True, kw_only=True)
class Retuning:
    """The same training once more, elsewhere.

    Attributes:
        where: the provider.
        base: the model, as the provider names it.
        usd: of the training; None when unknown.
        input_per_m: USD per 1M prompt tokens of the tuned model; what a request costs is unknown until it is measured.
        output_per_m: USD per 1M completion tokens.
        idle_usd_per_hour: what a deployment costs while nobody asks; None when unknown.
        as_of: the day of these figures.
    """

    where: str
    base: str
    usd: float | None
    input_per_m: float | None
    output_per_m: float | None
    idle_usd_per_hour: float | None
    as_of: dt.date


def retuning(tokens: int | None, until: dt.date, today: dt.date) -> list[Retuning]:
    """Where a training could be repeated, the cheapest first: bases that last, at providers that take jobs.

    Args:
        tokens: that it takes, all epochs together; None when unknown.
        until: no base whose end is announced by this day.
        today: jobs have to be taken on this day.

    Raises:
        ThirdleverError: a dated table is malformed.
    """
    found = []
    for row in rates():
        terms = profile(row.provider)
        announced = retirement(row.provider, row.model)
        if (terms.last_jobs and terms.last_jobs < today) or (announced and announced.retires <= until):
            continue
        estimate = row.estimate(tokens) if tokens is not None else None
        found.append(
            Retuning(
                where=terms.title,
                base=row.model,
                usd=estimate.usd if estimate else None,
                input_per_m=row.input,
                output_per_m=row.output,
                idle_usd_per_hour=terms.idle_usd_per_hour,
                as_of=row.as_of,
            )
        )
    return sorted(found, key=lambda one: (last(one.usd), one.where, one.base))


def last(value: float | None) -> float:
    """To sort by: what is unknown is never the cheapest."""
    return math.inf if value is None else value
