"""What an hour of a GPU costs: dated rows, the user's own before the shipped ones; asked for by name."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.errors import ThirdleverError, unknown
from thirdlever.overlay import read_overlay

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERLAY = "prices.toml"
_KEYS = {"name", "provider", "usd_per_hour", "least", "source", "as_of", "confidence"}


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
        rows = read_overlay(path).get("gpu", [])
        for number, row in enumerate(rows if isinstance(rows, list) else [rows], 1):
            one = _hour(row, f"{path}, gpu {number}")
            name = str(row["name"]).lower()
            found.setdefault(name, one)
            found.setdefault(f"{name}@{row['provider']}".lower(), one)
    return found


def _hour(row: Mapping[str, Any], where: str) -> Hour:
    if not isinstance(row, dict):
        message = f"{where}: a GPU's rate is a [[gpu]] table with {', '.join(sorted(_KEYS))}"
        raise ThirdleverError(message)
    for key in row:
        if key not in _KEYS:
            message = f"{where}: {unknown('key', key, _KEYS)}"
            raise ThirdleverError(message)
    if missing := sorted(_KEYS - {"least", "confidence"} - set(row)):
        message = f"{where}: {missing[0]!r} is missing; add it"
        raise ThirdleverError(message)
    for key in ("usd_per_hour", "least"):
        value = row.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            message = f"{where}: {key} = {value!r} is no amount of USD an hour; give a number"
            raise ThirdleverError(message)
    as_of = row["as_of"]
    return Hour(
        usd=float(row["usd_per_hour"]),
        source=str(row["source"]),
        as_of=as_of.isoformat() if isinstance(as_of, dt.date) else str(as_of),
        least=float(row["least"]) if "least" in row else None,
        confidence=str(row.get("confidence", "")),
    )
