"""The rules of thumb that gates.toml holds, with where they come from."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Need:
    """Labelled examples that a tune takes.

    Attributes:
        least: fewer do not open the gate.
        recommended: from here on, nobody would ask for more.
        quality: what counts more than their number.
        sentence: all of it, in words.
    """

    least: int
    recommended: int
    quality: str
    sentence: str


@cache
def table() -> dict[str, Any]:
    """gates.toml."""
    return tomllib.loads(Path(__file__).with_name("gates.toml").read_text("utf-8"))


def parameters(base: str | None) -> float | None:
    """A model's size in billions of parameters as its name states it; None when it does not.

    >>> parameters("hf/Qwen2.5-7B-Instruct"), parameters("openai/gpt-4o-mini")
    (7.0, None)
    """
    if base is None:
        return None
    known: dict[str, float] = table()["parameters"]
    if base in known:
        return known[base]
    found = _SIZE.search(base.replace("_", "-"))
    return float(found[1]) / (1000 if found[2].lower() == "m" else 1) if found else None


def examples_for(base: str | None, *, hosted: bool) -> Need:
    """What the gate asks, held against the row for the base's size."""
    least, most = table()["labelled_examples"]
    size = parameters(base)
    rows = [table()["managed"]] if hosted else table()["size"]
    if not hosted and size is not None:
        rows = [max((row for row in rows if size > row["above"]), key=lambda row: float(row["above"]))]
    said = "; ".join(
        f"{row['name']}: at least {_range(row['minimum'])}, recommended {_range(row['recommended'])}, {row['quality']}"
        for row in rows
    )
    unsaid = "" if hosted or size is not None else " (the base's size is unknown)"
    return Need(
        least=max(least, rows[0]["minimum"][0]),
        recommended=max(least, rows[0]["recommended"][0]),
        quality=rows[0]["quality"],
        sentence=f"{least:,} to {most:,} labelled examples. By size of the base{unsaid}: {said}.",
    )


def _range(ends: list[int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"
