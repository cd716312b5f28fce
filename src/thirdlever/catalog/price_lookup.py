"""Look up the price of a model's tokens: price tables, then rates of tuned models, then genai-prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.catalog.prices import overlaid

if TYPE_CHECKING:
    from thirdlever.catalog.prices import Price
    from thirdlever.models.base import BaseModel


def price_of(model: BaseModel) -> Price | None:
    """The current price of a model's tokens; None if no source states it.

    A row of `prices.toml` names a model in full, as the user or inspect writes it.

    Raises:
        ThirdleverError: the user's prices.toml or tuning.toml is malformed.
    """
    if (price := overlaid(model.plain_name, model.inspect_name)) or model.local:
        return price
    from thirdlever.catalog.genai_prices import listed
    from thirdlever.catalog.tuning import tuned_price

    return tuned_price(model.plain_name) or listed(model)
