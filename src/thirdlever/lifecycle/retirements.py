"""Announced retirements as dated rows, for when no list can be asked; the user's own rows come first."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.errors import ThirdleverError, unknown
from thirdlever.lifecycle.names import undated
from thirdlever.overlay import read_overlay

if TYPE_CHECKING:
    from collections.abc import Mapping

OVERLAY = "retirements.toml"
SHIPPED = Path(__file__).with_name(OVERLAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement:
    """When a model stops answering, and who says so.

    Attributes:
        provider: whose.
        model: its id there.
        retires: the day from which it no longer answers.
        source: where that was read.
        as_of: when.
        instead: what the provider recommends; "" when nothing.
        confidence: "list", "mirror" or "contract".
    """

    provider: str
    model: str
    retires: dt.date
    source: str
    as_of: dt.date
    instead: str = ""
    confidence: str = ""


def retirement(provider: str, model: str) -> Retirement | None:
    """What is announced for a model, a dated snapshot of it included; None when no row states it.

    Raises:
        ThirdleverError: the user's file is malformed.
    """
    for rows in (_rows(Path(OVERLAY)), _rows(SHIPPED)):
        for name in (model, undated(model)):
            if (provider, name) in rows:
                return rows[provider, name]
    return None


def _rows(path: Path) -> Mapping[tuple[str, str], Retirement]:
    table = read_overlay(path)
    rows = table.get("retirement", [])
    if set(table) - {"retirement"} or not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        message = f"{path}: only [[retirement]] tables belong here; see the header of {SHIPPED}"
        raise ThirdleverError(message)
    found = [_row(row, f"{path}, retirement {number}") for number, row in enumerate(rows, 1)]
    return {(one.provider, one.model): one for one in found}


def _row(row: Mapping[str, Any], where: str) -> Retirement:
    known = {one.name for one in fields(Retirement)}
    for key, value in row.items():
        if key not in known:
            message = f"{where}: {unknown('key', key, known)}"
            raise ThirdleverError(message)
        day = isinstance(value, dt.date) and not isinstance(value, dt.datetime)
        if key in {"retires", "as_of"} and not day:
            message = f"{where}: {key} = {value!r} is no date; write it as {dt.date(2026, 11, 1)}, without quotes"
            raise ThirdleverError(message)
        if key not in {"retires", "as_of"} and not isinstance(value, str):
            message = f"{where}: {key} = {value!r} is no text; put it in quotes"
            raise ThirdleverError(message)
    for key in ("provider", "model", "retires", "source", "as_of"):
        if key not in row:
            message = f"{where}: {key!r} is missing; add it"
            raise ThirdleverError(message)
    return Retirement(**row)
