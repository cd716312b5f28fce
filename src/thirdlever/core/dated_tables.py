"""Dated rows in TOML, the user's own and those that are shipped: prices, rates, retirements. Read here, and checked."""

from __future__ import annotations

import datetime as dt
import tomllib
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.core.errors import ThirdleverError, unknown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    Row: TypeAlias = Mapping[str, Any]


def read_overlay(path: Path) -> dict[str, Any]:
    """The file's tables; none when there is no such file.

    Raises:
        ThirdleverError: it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path}: {error}; correct the file or remove it"
        raise ThirdleverError(message) from None


def read_rows(path: Path, name: str, *, beside: Collection[str] = ()) -> list[tuple[Row, str]]:
    """The `[[name]]` tables of a file, each with its place for messages; none when there is no such file.

    Args:
        path: the file.
        name: of the tables.
        beside: what else the file may hold.

    Raises:
        ThirdleverError: it is no TOML, or holds something else.
    """
    table = read_overlay(path)
    check_keys(table, {name, *beside}, (), str(path))
    rows = table.get(name, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        message = f"{path}: {name} = {rows!r} is no list of tables; begin each row with a line [[{name}]]"
        raise ThirdleverError(message)
    return [(row, f"{path}, {name} {number}") for number, row in enumerate(rows, 1)]


def check_keys(row: Row, known: Collection[str], required: Sequence[str], where: str) -> None:
    """Refuse a key that is not known, and the lack of one that is required.

    Raises:
        ThirdleverError: naming the key.
    """
    for key in row:
        if key not in known:
            message = f"{where}: {unknown('key', key, known)}"
            raise ThirdleverError(message)
    for key in required:
        if key not in row:
            message = f"{where}: {key!r} is missing; add it"
            raise ThirdleverError(message)


def check_amounts(row: Row, keys: Iterable[str], where: str, per: str = "per 1M tokens") -> None:
    """Refuse what is no amount of USD.

    Raises:
        ThirdleverError: naming the key.
    """
    for key in keys:
        value = row.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            message = f"{where}: {key} = {value!r} is no amount of USD {per}; give a number"
            raise ThirdleverError(message)


def check_dates(row: Row, keys: Iterable[str], where: str) -> None:
    """Refuse what is no date.

    Raises:
        ThirdleverError: naming the key.
    """
    for key in keys:
        if key in row and (not isinstance(row[key], dt.date) or isinstance(row[key], dt.datetime)):
            message = f"{where}: {key} = {row[key]!r} is no date; write it as {dt.date(2026, 11, 1)}, without quotes"
            raise ThirdleverError(message)
