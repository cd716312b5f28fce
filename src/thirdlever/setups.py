"""Set-up costs added up, where preparing takes several steps or two models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.catalog.lookup import price_of
from thirdlever.strategy import SetupCost

if TYPE_CHECKING:
    from thirdlever.models.base import BaseModel


def add_setups(*setups: SetupCost, teacher: BaseModel | None = None) -> SetupCost:
    """One cost of several steps; of the labels the largest number, for all steps draw on the same train split.

    Args:
        setups: the steps'.
        teacher: the model that they asked, where it is not the candidate's own: a run prices its tokens at the
            candidate's rates, so those of another hosted model are turned into money here, at its own.
    """
    usds = [setup.usd for setup in setups]
    total = SetupCost(
        labels=max(setup.labels for setup in setups),
        seconds=sum(setup.seconds for setup in setups),
        device_seconds=sum(setup.device_seconds for setup in setups),
        input_tokens=sum(setup.input_tokens for setup in setups),
        output_tokens=sum(setup.output_tokens for setup in setups),
        usd=None if None in usds else sum(usd or 0.0 for usd in usds),
    )
    if teacher is None or teacher.local:
        return total
    price = price_of(teacher)
    known = price is not None and total.usd is not None
    asked = price.cost(total.input_tokens, 0, total.output_tokens) if price else 0.0
    return SetupCost(
        labels=total.labels,
        seconds=total.seconds,
        device_seconds=total.device_seconds,
        usd=(total.usd or 0.0) + asked if known else None,
    )
