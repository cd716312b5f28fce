"""Announced retirements as dated rows, for when no list can be asked; the user's own rows come first."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.catalog.names import undated
from thirdlever.core.dated_tables import check_dates, check_keys, read_rows
from thirdlever.core.errors import ThirdleverError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from thirdlever.core.dated_tables import Row


OVERLAY = "retirements.toml"
SHIPPED = Path(__file__).with_name(OVERLAY)
_REQUIRED = ("provider", "model", "retires", "source", "as_of")
_DATES = ("retires", "as_of")


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
    found = [_row(row, where) for row, where in read_rows(path, "retirement")]
    return {(one.provider, one.model): one for one in found}


def _row(row: Row, where: str) -> Retirement:
    check_keys(row, {one.name for one in fields(Retirement)}, _REQUIRED, where)
    check_dates(row, _DATES, where)
    for key, value in row.items():
        if key not in _DATES and not isinstance(value, str):
            message = f"{where}: {key} = {value!r} is no text; put it in quotes"
            raise ThirdleverError(message)
    return Retirement(**row)
