"""A user's figures in TOML: prices and rates that come before those that are shipped."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from thirdlever.errors import ThirdleverError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


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


def check_amounts(row: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    """Refuse what is no amount of USD per 1M tokens.

    Raises:
        ThirdleverError: naming the key.
    """
    for key in keys:
        value = row.get(key, 0)
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            message = f"{where}: {key} = {value!r} is no amount of USD per 1M tokens; give a number"
            raise ThirdleverError(message)
