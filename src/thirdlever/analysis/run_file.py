"""The files of a run, checked as they are read: a damaged one is one sentence, and no later code has to expect it.

Keys and columns that a release does not know are kept; those that older releases did not write may be missing.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from thirdlever.core import project
from thirdlever.core.errors import RunError
from thirdlever.core.validation import Amount, Bounded, FileModel, Name, Share, validated

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

SCHEMA = 1  # of a run's files; runs without a number are older and are read as they are
Count = Annotated[int, Bounded(ge=0)]


class _Part(FileModel):
    """A part of run.json, with the keys that this release reads."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "ignore", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class _Setup(_Part):
    labels: Count | None
    usd: Amount | None
    device_seconds: Amount | None
    seconds: Amount | None = None
    input_tokens: Count | None = 0
    cached_tokens: Count | None = 0
    cache_write_tokens: Count | None = 0
    output_tokens: Count | None = 0


@dataclass(frozen=True, kw_only=True)
class _Tuning(_Part):
    method: str | None = None
    where: str | None = None
    examples: Count | None = None
    epochs: Amount | None = None
    tokens: Count | None = None
    bytes: Count | None = None
    hosting_usd_per_hour: Amount | None = None
    survived: Share | None = None


@dataclass(frozen=True, kw_only=True)
class _Candidate(_Part):
    name: Name
    strategy: str
    args: dict[str, Any] = field(default_factory=dict)
    model: str | None = None
    base: str | None = None
    prompt: str | None = None
    revision: str | None = None
    identity: str = ""
    lever: str | None = None
    setup: _Setup | None = None
    tuning: _Tuning | None = None
    given: Count | None = None
    documents: Count | None = None
    found: dict[str, Any] | None = None
    logs: list[str] = field(default_factory=list)
    lost_attempts: Count = 0


@dataclass(frozen=True, kw_only=True)
class _Suite(_Part):
    name: Name
    hash: str = ""
    splits: dict[str, str] = field(default_factory=dict)
    counts: dict[str, Count] = field(default_factory=dict)
    choices: Count | None = None
    answer: dict[str, Any] | None = None
    card: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Unfinished(_Part):
    candidate: str
    answered: Count
    requests: Count
    why: str | None


@dataclass(frozen=True, kw_only=True)
class _Tier(_Part):
    above: Amount
    input_per_m: Amount
    cached_input_per_m: Amount
    output_per_m: Amount
    cache_write_per_m: Amount | None = None


@dataclass(frozen=True, kw_only=True)
class _Price(_Part):
    model: str
    input_per_m: Amount
    cached_input_per_m: Amount
    output_per_m: Amount
    source: str
    as_of: str | None
    confidence: str = ""
    tiers: list[_Tier] = field(default_factory=list)
    cache_write_per_m: Amount | None = None
    batch_share: Share | None = None


@dataclass(frozen=True, kw_only=True)
class _NearLeaks(_Part):
    items: list[str]
    allowed: str | None


@dataclass(frozen=True, kw_only=True)
class _Grader(_Part):
    model: str
    labels: list[list[Any]]


@dataclass(frozen=True, kw_only=True)
class _Imported(_Part):
    files: list[dict[str, Any]]
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class _RunFile(_Part):
    suite: _Suite
    candidates: list[_Candidate]
    finished: str = ""
    started: str = ""
    status: str = "complete"
    unfinished: list[_Unfinished] = field(default_factory=list)
    prompts: dict[str, dict[str, Any]] | None = None
    snapshots: list[dict[str, Any]] | None = None
    limit: Count | None = None
    epochs: Count | None = None
    seed: int | None = None
    probe: Count | None = None
    constrain: bool | None = None
    batch: bool | None = None
    budget_usd: Amount | None = None
    spent_usd: Amount | None = None
    usage_unreported: Count | None = None
    near_leaks: _NearLeaks | None = None
    grader: _Grader | None = None
    imported: _Imported | None = None
    prices: dict[str, _Price | None] | None = None
    device_usd_per_hour: Amount | None = None
    utilisation: Share | None = None
    max_failed: Share | None = None
    max_unparsed: Share | None = None
    versions: dict[str, str | None] | None = None
    hardware: dict[str, Any] | None = None
    command: list[str] | None = None
    looks: list[Count] | None = None


def read_info(path: Path) -> dict[str, Any]:
    """The content of a run.json, with the keys that this release does not know.

    Raises:
        RunError: it is not JSON, a later release wrote it, or a value is missing or not of its type.
    """
    again = f"restore it, or repeat the run's command with --out {path.parent}"
    try:
        info: dict[str, Any] = json.loads(path.read_text("utf-8"))
        json.dumps(info, ensure_ascii=False).encode()  # half of a surrogate pair cannot be shown
    except (ValueError, RecursionError) as error:
        message = f"{path} is damaged ({error}); {again}"
        raise RunError(message) from error
    _check_schema(info, path)
    try:
        file = validated(_RunFile, info, str(path), error=RunError)
        for name in ("started", "finished"):
            _check_time(getattr(file, name), name, path)
    except RunError as error:
        message = f"{error}; {_newer(info) or again}"
        raise RunError(message) from None
    return info


def _check_schema(info: Any, path: Path) -> None:  # noqa: ANN401 - JSON from outside
    schema = info.get("schema", 0) if isinstance(info, dict) else 0
    if type(schema) is not int or schema > SCHEMA:
        versions = info.get("versions")
        written = versions.get("thirdlever") if isinstance(versions, dict) else None
        by = f"thirdlever {written}" if written else "a later release"
        message = f"{path} has schema {schema!r}, of {by}; this release reads up to {SCHEMA}: upgrade thirdlever"
        raise RunError(message)


def _check_time(stated: str, name: str, path: Path) -> None:
    try:
        dt.datetime.fromisoformat(stated or "2000-01-01")
    except ValueError:
        message = f"{path}: invalid {name} {stated!r}; expected a time such as 2026-11-01T12:00:00+00:00"
        raise RunError(message) from None


def _newer(info: object) -> str | None:
    """The remedy if a newer release wrote the file."""
    versions = info.get("versions") if isinstance(info, dict) else None
    wrote = versions.get("thirdlever") if isinstance(versions, dict) else None
    if not isinstance(wrote, str) or _numbers(wrote) <= _numbers(project.version()):
        return None
    return f"thirdlever {wrote} wrote it, and this is {project.version()}: upgrade with pip install -U thirdlever"


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdecimal()]


_NEEDED = (  # every release wrote these
    *("candidate", "strategy", "model", "phase", "item_id", "epoch", "slice", "group", "prediction", "score"),
    *("input_tokens", "cached_tokens", "output_tokens", "latency_s", "retrieval_s", "device_s", "stop_reason", "error"),
    "item_hash",
)
_PHASES = {"accuracy", "latency"}


def read_records(path: Path, columns: Mapping[str, str]) -> pd.DataFrame:
    """The records of a run.

    Args:
        path: of a records.parquet.
        columns: the pandas type of each known column.

    Raises:
        RunError: it is not a Parquet file, or a column is missing or has other values than it may have.
    """
    import pandas as pd

    again = f"restore it, or repeat the run's command with --out {path.parent}; the answers are in its journals"
    try:
        found = pd.read_parquet(path)
    # What pyarrow raises for damaged bytes: a flipped length asks for terabytes, a flipped type is not implemented.
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError, MemoryError) as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        message = f"{path} is damaged ({reason}); {again}"
        raise RunError(message) from error
    if problem := _problem(found, columns):
        message = f"{path} is damaged: {problem}; {again}"
        raise RunError(message)
    return found


def _problem(records: pd.DataFrame, columns: Mapping[str, str]) -> str | None:
    """What is wrong with records, as a clause."""
    if missing := [name for name in _NEEDED if name not in records]:
        return f"column {missing[0]!r} is missing"
    wrong = (_wrong(records[name].dropna(), columns[name]) for name in columns if name in records)
    return next(filter(None, wrong), None) or _not_keyed(records)


def _wrong(known: pd.Series[Any], wanted: str) -> str | None:
    """What is wrong with a column's values, of which none is missing."""
    import pandas as pd

    is_text = pd.api.types.infer_dtype(known, skipna=True) == "string"
    if len(known) and is_text != (wanted == "str"):
        return f"column {known.name!r} does not hold {'text' if wanted == 'str' else 'numbers'}"
    if len(known) and wanted != "str" and not _counts(known, at_most=1 if known.name == "score" else None):
        return f"column {known.name!r} has values out of range"
    return None


def _not_keyed(records: pd.DataFrame) -> str | None:
    """What is wrong with the columns that tell requests apart."""
    key = ["candidate", "phase", "item_id", "epoch"]
    if absent := [name for name in key if records[name].isna().any()]:
        return f"column {absent[0]!r} has missing values"
    if unknown := {*records["phase"].unique()} - _PHASES:
        return f"column 'phase' has the value {min(unknown)!r}"
    return "a request is there twice" if records.duplicated(key).any() else None


def _counts(values: pd.Series[Any], *, at_most: float | None) -> bool:
    """Whether all are finite, at least 0, and at most the given number."""
    import numpy as np

    try:
        found = values.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        return False
    return bool(np.isfinite(found).all() and (found >= 0).all() and (at_most is None or (found <= at_most).all()))
