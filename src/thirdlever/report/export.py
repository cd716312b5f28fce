"""Scorecards for other tools: CSV that no spreadsheet executes, JSON that every parser takes."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, cast

from thirdlever.core.text import csv_cell, printable
from thirdlever.scorecards import COUNTS, TEXT

if TYPE_CHECKING:
    import pandas as pd

_PAIR = "accuracy_ci95"
_ENDS = (f"{_PAIR}_low", f"{_PAIR}_high")


def to_csv(summary: pd.DataFrame) -> str:
    """One line a candidate; the interval as two columns, unknown as an empty cell.

    To read it with pandas, pass `keep_default_na=False, na_values=[""]`: the strategy null is no missing value.
    """
    frame = summary.copy()
    place = list(frame.columns).index(_PAIR)
    pairs = [pair or (None, None) for pair in frame.pop(_PAIR)]
    for offset, name in enumerate(_ENDS):
        frame.insert(place + offset, name, [pair[offset] for pair in pairs])
    for name in TEXT:
        frame[name] = [csv_cell(printable(cell)) if isinstance(cell, str) else "" for cell in frame[name]]
    return frame.to_csv(index=False, lineterminator="\n")


def to_json(summary: pd.DataFrame) -> str:
    """A list of objects; unknown is null."""
    plain = [{name: _value(name, value) for name, value in row.items()} for row in rows(summary)]
    return json.dumps(plain, indent=2, allow_nan=False) + "\n"


def rows(summary: pd.DataFrame) -> list[dict[str, Any]]:
    """One dictionary a candidate."""
    return cast("list[dict[str, Any]]", summary.to_dict("records"))


def _value(name: str, value: Any) -> Any:  # noqa: ANN401 - a cell
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return int(value) if name in COUNTS else value
