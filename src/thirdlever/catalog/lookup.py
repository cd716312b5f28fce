"""TODO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.catalog.prices import overlaid

if TYPE_CHECKING:
    from thirdlever.catalog.prices import Price
    from thirdlever.models.base import BaseModel


def price_of(model: BaseModel) -> Price | None:
    """The price of a model's tokens now; None when no source states it.

    Rows of an overlay name a model as the user writes it or as inspect does; no part of a name is ever matched.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    if stated := overlaid(model.name, model.inspect_name):
        return stated
    if model.local:
        return None
    from thirdlever.catalog.genai_prices import listed
    from thirdlever.catalog.tuning import tuned_price

    return tuned_price(model.name) or listed(model)
