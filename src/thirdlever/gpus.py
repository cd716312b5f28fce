"""What an hour of a GPU costs: dated rows, the user's own before the shipped ones; asked for by name."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core.dated_tables import check_amounts, check_keys, read_rows
from thirdlever.core.errors import ThirdleverError, unknown
from thirdlever.prices import OVERLAY

if TYPE_CHECKING:
    from thirdlever.core.dated_tables import Row


_REQUIRED = ("name", "provider", "usd_per_hour", "source", "as_of")
_OPTIONAL = ("least", "confidence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """An hour of a device, USD.

    Attributes:
        usd: the rate; where a provider has several, the highest.
        source: who asks it; "given" when the user stated the amount.
        as_of: the day it was read (ISO 8601); None for a stated amount.
        least: the lowest, where a provider has several.
        confidence: "list", "mirror" or "contract"; "" when unstated.
    """

    usd: float
    source: str = "given"
    as_of: str | None = None
    least: float | None = None
    confidence: str = ""


def hour(text: str) -> Hour:
    """An amount as it is, or a GPU's rate: `2.5`, `h200`, `h100@aws`.

    A name alone takes the first row of that GPU, the user's own first.

    Raises:
        ThirdleverError: neither an amount nor a GPU that has a row; or the user's overlay is malformed.
    """
    try:
        return Hour(usd=float(text.removeprefix("$")))
    except ValueError:
        rows = gpus()
    found = rows.get(text.lower())
    if found is None:
        message = f"{unknown('GPU', text, rows)}; or give an amount of USD an hour"
        raise ThirdleverError(message)
    return found


def gpus() -> dict[str, Hour]:
    """By name, and by name@provider.

    Raises:
        ThirdleverError: the user's overlay is malformed.
    """
    found: dict[str, Hour] = {}
    for path in (Path(OVERLAY), Path(__file__).with_name(OVERLAY)):
        for row, where in read_rows(path, "gpu", beside={"price", "batch"}):
            one = _hour(row, where)
            name = str(row["name"]).lower()
            found.setdefault(name, one)
            found.setdefault(f"{name}@{row['provider']}".lower(), one)
    return found


def _hour(row: Row, where: str) -> Hour:
    check_keys(row, {*_REQUIRED, *_OPTIONAL}, _REQUIRED, where)
    check_amounts(row, ("usd_per_hour", "least"), where, per="an hour")
    as_of = row["as_of"]
    return Hour(
        usd=float(row["usd_per_hour"]),
        source=str(row["source"]),
        as_of=as_of.isoformat() if isinstance(as_of, dt.date) else str(as_of),
        least=float(row["least"]) if "least" in row else None,
        confidence=str(row.get("confidence", "")),
    )
