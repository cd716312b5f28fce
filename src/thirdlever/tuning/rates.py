"""What tuning costs: dated rows, each with its source; what no row states is unknown.

Rows come from `tuning.toml` in the current folder (the user's own) before the ones shipped in `profiles.toml`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core.dated_tables import check_amounts, check_dates, check_keys, read_rows
from thirdlever.lifecycle.names import undated
from thirdlever.prices import Price
from thirdlever.tuning.tuner import Estimate

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from thirdlever.core.dated_tables import Row

SHIPPED = Path(__file__).with_name("profiles.toml")
OVERLAY = "tuning.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What tuning a model costs, and what the tuned model does, in USD per 1M tokens; None is unknown.

    Attributes:
        provider: whose.
        model: the base.
        train: trained tokens, all epochs together.
        input: prompt tokens of the tuned model.
        cached_input: of those the ones found in the provider's cache.
        output: its completion tokens.
        source: of the rates.
        as_of: the day they were read.
        confidence: "list", "mirror" or "contract".
    """

    provider: str
    model: str
    train: float
    source: str
    as_of: dt.date
    input: float | None = None
    cached_input: float | None = None
    output: float | None = None
    confidence: str = ""

    def estimate(self, tokens: int) -> Estimate:
        """Of a training on so many tokens."""
        return Estimate(tokens=tokens, usd=tokens * self.train / 1e6, source=f"{self.source}, {self.as_of}")

    def price(self) -> Price | None:
        """Of the tuned model's answers; None when no source states it."""
        if self.input is None or self.output is None:
            return None
        return Price(
            model=f"tuned {self.model}",
            input_per_m=self.input,
            cached_input_per_m=self.input if self.cached_input is None else self.cached_input,
            output_per_m=self.output,
            source=self.source,
            as_of=self.as_of.isoformat(),
            confidence=self.confidence,
        )


def rate(provider: str, base: str) -> Rate | None:
    """What a provider charges for a base model, a dated snapshot of it included; None when no source states it.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    for rows in (_rates(Path(OVERLAY)), _rates(SHIPPED)):
        for name in (base, undated(base)):
            if (provider, name) in rows:
                return rows[provider, name]
    return None


def rates() -> list[Rate]:
    """All of them, the user's own before the shipped ones of the same name.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    return list({**_rates(SHIPPED), **_rates(Path(OVERLAY))}.values())


def _rates(path: Path) -> Mapping[tuple[str, str], Rate]:
    found = [_rate(row, where) for row, where in read_rows(path, "rate", beside={"provider"})]
    return {(one.provider, one.model): one for one in found}


def _rate(row: Row, where: str) -> Rate:
    check_keys(row, {one.name for one in fields(Rate)}, ("provider", "model", "train", "source", "as_of"), where)
    check_amounts(row, ("train", "input", "cached_input", "output"), where)
    check_dates(row, ("as_of",), where)
    return Rate(**row)
