"""Levers combined: a strategy on top of the model that another one has prepared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from thirdlever.core.errors import StrategyError
from thirdlever.setups import add_setups

if TYPE_CHECKING:
    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.strategy import Deployment, Prepare
    from thirdlever.suites.suite import Suite


def stacked(over: Prepare, under: Prepare, *, name: str) -> Prepare:
    """Prepare `under`, then `over` on its model; both set-ups are paid for, and all that either was given is checked.

    Args:
        over: who asks.
        under: whose model is asked.
        name: of the latter, for the error when it has none.
    """

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        below = under(suite, model, store)
        if below.model is None:
            message = f"{name} prepares no model that another strategy could ask; put one on lora, managed or distilled"
            raise StrategyError(message)
        above = over(suite, below.model, store)
        return replace(
            above,
            setup=add_setups(below.setup, above.setup),
            given=(*below.given, *above.given),
            tuning=above.tuning or below.tuning,
        )

    return prepare
