"""Figures that somebody gives in a .toml, for a decision before there is a run; docs/examples/fintech.toml is one."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

from thirdlever.core.errors import RunError, ThirdleverError, unknown
from thirdlever.decision.evidence import Evidence, Kind, Standing
from thirdlever.economics.assumptions import assume
from thirdlever.economics.costs import Cost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from thirdlever.decision.decision import Decision
    from thirdlever.economics.assumptions import Assumptions

SUFFIX = ".toml"

_TOP = {"title", "labelled_examples", "assumptions", "candidate"}
_TEXTS = {"name", "kind", "base"}
_AMOUNTS = {"weeks", "examples", "usd_per_request", "usd_per_month", "setup_usd", "standing_usd_per_month"}
_NUMBERS = {"accuracy", *_AMOUNTS}
_KEYS = {*_TEXTS, *_NUMBERS, "today"}
_LOCAL = ("embedded", "hf/")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a file gives.

    Attributes:
        title: a line on what it is about.
        labelled: labelled examples at hand; None when not stated.
        assumptions: as `--assume` takes them.
        candidates: one table each.
    """

    title: str
    labelled: int | None
    assumptions: Mapping[str, str]
    candidates: tuple[Mapping[str, Any], ...]

    def decide(self, given: Mapping[str, str]) -> Decision:
        """Decide on them.

        Args:
            given: `--assume`'s, which come before the file's.

        Raises:
            ThirdleverError: an assumption that does not exist, or a value that it cannot take.
        """
        from thirdlever.decision.decision import decide_on

        stated = assume({}, self.assumptions)
        costs = partial(_costs, self.candidates, stated.monthly_volume)
        return decide_on(self.evidence(), costs, assume({}, {**self.assumptions, **given}))

    def evidence(self) -> Evidence:
        """How the candidates stand, best first, with nothing measured."""
        standings = [
            Standing(
                name=row["name"],
                kind=row["kind"],
                base=row.get("base"),
                hosted=bool(row.get("base")) and not row["base"].startswith(_LOCAL),
                accuracy=row.get("accuracy"),
                examples=int(row["examples"]) if "examples" in row else None,
                weeks=row.get("weeks"),
                today=row.get("today", False),
            )
            for row in self.candidates
        ]
        standings.sort(key=lambda one: (one.accuracy is None, -(one.accuracy or 0.0)))
        return Evidence(standings={one.name: one for one in standings}, labelled=self.labelled)


def read(path: Path) -> Figures:
    """Read a file of given figures.

    Raises:
        RunError: there is no such file, or something in it cannot be; naming what, and what may stand there.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        message = f"{str(path)!r} is not there; give a run or a .toml of given figures"
        raise RunError(message) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path}: {error}; correct the file (docs/decision.md says what may stand in it)"
        raise RunError(message) from None
    _known(table, _TOP, str(path))
    rows = table.get("candidate")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        message = f"{path}: there is no candidate; add a [[candidate]] table with name, kind and accuracy"
        raise RunError(message)
    assumptions = _assumptions(table.get("assumptions", {}), path)
    has_volume = "monthly_volume" in assumptions
    candidates = tuple(
        _candidate(row, f"{path}, candidate {i}", has_volume=has_volume) for i, row in enumerate(rows, 1)
    )
    names = [row["name"] for row in candidates]
    if twice := next((name for name in names if names.count(name) > 1), None):
        message = f"{path}: {twice!r} stands there twice; give each candidate a name of its own"
        raise RunError(message)
    labelled = _number(table, "labelled_examples", str(path))
    return Figures(
        title=str(table.get("title", "")),
        labelled=None if labelled is None else int(labelled),
        assumptions=assumptions,
        candidates=candidates,
    )


def _assumptions(table: Any, path: Path) -> dict[str, str]:  # noqa: ANN401 - whatever TOML holds
    if not isinstance(table, dict):
        message = f"{path}: assumptions is no table; write [assumptions] and one name = value a line"
        raise RunError(message)
    stated = {name: str(value) for name, value in table.items()}
    try:
        assume({}, stated)
    except ThirdleverError as error:
        message = f"{path}: {str(error).removeprefix('--assume: ')}"
        raise RunError(message) from None
    return stated


def _candidate(row: Mapping[str, Any], where: str, *, has_volume: bool) -> Mapping[str, Any]:
    _known(row, _KEYS, where)
    for key in ("name", "kind"):
        if not row.get(key) or not isinstance(row[key], str):
            message = f"{where}: {key!r} is missing or no text; add it"
            raise RunError(message)
    if row["kind"] not in get_args(Kind):
        message = f"{where}: {unknown('kind', row['kind'], get_args(Kind))}"
        raise RunError(message)
    if not isinstance(row.get("base", ""), str) or not isinstance(row.get("today", False), bool):
        message = f"{where}: base is a text, today is true or false; correct it"
        raise RunError(message)
    numbers = {key: value for key in _NUMBERS if (value := _number(row, key, where)) is not None}
    if "usd_per_month" in row and ("usd_per_request" in row or not has_volume):
        message = f"{where}: usd_per_month takes monthly_volume among the assumptions, and no usd_per_request beside it"
        raise RunError(message)
    return {**row, **numbers}


def _number(row: Mapping[str, Any], key: str, where: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        message = f"{where}: {key} = {value!r} is no amount; give a number that is not negative"
        raise RunError(message)
    if key == "accuracy" and value > 1:
        message = f"{where}: {key} = {value!r} is a share of 1; give 0.92 for 92 %"
        raise RunError(message)
    return float(value)


def _known(table: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in table:
        if key not in keys:
            message = f"{where}: {unknown('key', key, keys)}"
            raise RunError(message)


def _costs(rows: tuple[Mapping[str, Any], ...], volume: float | None, a: Assumptions) -> dict[str, Cost]:
    """In money. A month's bill is of the volume that the file states, whatever volume is asked about."""
    return {row["name"]: _cost(row, volume, a) for row in rows}


def _cost(row: Mapping[str, Any], volume: float | None, a: Assumptions) -> Cost:
    per_request = row.get("usd_per_request")
    if "usd_per_month" in row and volume:
        per_request = row["usd_per_month"] / volume
    tuned = row["kind"] == "tuned"
    return Cost(
        candidate=row["name"],
        strategy=row["kind"],
        model=row.get("base"),
        tuned=tuned,
        accuracy=row.get("accuracy"),
        per_request_usd=per_request,
        setup={"given": row.get("setup_usd")},
        standing={
            "given": row.get("standing_usd_per_month", 0.0),
            **({"upkeep": a.upkeep_usd_per_month} if tuned else {}),
        },
        basis={"per request": "given", "given": "given"},
    )
