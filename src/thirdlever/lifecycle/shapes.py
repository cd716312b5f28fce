"""Lists of models in their providers' own shapes: OpenAI's, Anthropic's and Bedrock's answers read into one."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.core.errors import ThirdleverError
from thirdlever.lifecycle.names import dated, undated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

State: TypeAlias = Literal["active", "deprecated", "retired"]
_EPOCH = dt.date(1970, 1, 1)  # what providers give for a day that they do not know


class ShapeError(ValueError):
    """No list of models, or none that is understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A model as its provider lists it; None is what the list does not tell.

    Attributes:
        id: the provider's name for it.
        created: the day it was released.
        shutdown: the day from which it no longer answers.
        state: "deprecated" models answer still and are headed for retirement.
        line: what the provider says that it is a release of, such as "opus".
    """

    id: str
    created: dt.date | None = None
    shutdown: dt.date | None = None
    state: State | None = None
    line: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a provider has.

    Attributes:
        provider: whose, as the names of its models begin.
        source: the address or file that it was read from.
        fetched_at: when, ISO 8601; None when unknown.
        models: by id.
    """

    provider: str
    source: str
    fetched_at: str | None
    models: Mapping[str, Listed]

    def find(self, name: str) -> Listed | None:
        """A model by its id; an alias that the list leaves out stands for the newest of its snapshots."""
        if name in self.models or dated(name):
            return self.models.get(name)
        snapshots = [one for one in self.models.values() if dated(one.id) and undated(one.id) == undated(name)]
        return max(snapshots, key=lambda one: (one.created or _EPOCH, one.id), default=None)


def read(path: Path) -> Listing:
    """A list that was saved in its provider's own shape.

    Raises:
        ThirdleverError: no such file, or no list of models in it.
    """
    try:
        return listing(json.loads(path.read_text("utf-8")), source=str(path))
    except OSError as error:
        message = f"{path}: {(error.strerror or str(error)).lower()}; give a saved list of models"
        raise ThirdleverError(message) from error
    except ValueError as error:  # no UTF-8, no JSON, or a shape that is not understood
        message = f"{path}: {error}; save the answer of OpenAI's, Anthropic's or Bedrock's list of models as it is"
        raise ThirdleverError(message) from error


def read_all(paths: Iterable[Path]) -> dict[str, Listing]:
    """Saved lists by provider; the last one of a provider counts.

    Raises:
        ThirdleverError: as `read`.
    """
    return {one.provider: one for one in map(read, paths)}


def listing(body: object, *, source: str, fetched_at: str | None = None) -> Listing:
    """A provider's answer, told apart by its shape.

    Raises:
        ShapeError: naming what is not understood.
    """
    if not isinstance(body, dict):
        raise ShapeError(_what("an answer", body))
    bedrock = "modelSummaries" in body
    rows = body["modelSummaries"] if bedrock else body.get("data")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        message = "it lists no models"
        raise ShapeError(message)
    if body.get("has_more") is True:
        message = "it is one page of several; ask for all with limit=1000"
        raise ShapeError(message)
    if bedrock:
        provider, models = "bedrock", [_of_bedrock(row) for row in rows]
    elif rows[0].get("type") == "model":
        provider, models = "anthropic", [_of_anthropic(row) for row in rows]
    else:
        provider, models = "openai", [_of_openai(row) for row in rows]
    return Listing(provider=provider, source=source, fetched_at=fetched_at, models={one.id: one for one in models})


def _of_openai(row: Mapping[str, Any]) -> Listed:
    shutdown = _day(row, "shutdown_date")
    created = row.get("created")
    if not isinstance(created, int | None) or isinstance(created, bool):
        raise ShapeError(_what("'created'", created))
    try:
        day = dt.datetime.fromtimestamp(created, dt.UTC).date() if created else None
    except (ValueError, OverflowError, OSError):
        raise ShapeError(_what("'created'", created)) from None
    return Listed(id=_text(row, "id"), created=day, shutdown=shutdown, state="deprecated" if shutdown else "active")


def _of_anthropic(row: Mapping[str, Any]) -> Listed:
    line, state = row.get("line"), row.get("lifecycle")
    return Listed(
        id=_text(row, "id"),
        created=_day(row, "created_at"),
        shutdown=_day(row, "retires_at"),
        state=state if state in {"active", "deprecated", "retired"} else None,  # older answers have none
        line=line if isinstance(line, str) else None,
    )


def _of_bedrock(row: Mapping[str, Any]) -> Listed:
    life = row.get("modelLifecycle") or {}
    if not isinstance(life, dict):
        raise ShapeError(_what("'modelLifecycle'", life))
    states: dict[object, State] = {"ACTIVE": "active", "LEGACY": "deprecated"}
    return Listed(
        id=_text(row, "modelId"),
        created=_day(life, "startOfLifeTime"),
        shutdown=_day(life, "endOfLifeTime"),
        state=states.get(life.get("status")),
    )


def _text(row: Mapping[str, Any], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise ShapeError(_what(repr(key), value))
    return value


def _day(row: Mapping[str, Any], key: str) -> dt.date | None:
    """A day in UTC, from a time, its ISO form or seconds since 1970; None where none is given."""
    value = row.get(key)
    try:
        if isinstance(value, str):
            value = dt.datetime.fromisoformat(value)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            value = dt.datetime.fromtimestamp(value, dt.UTC)
    except (ValueError, OverflowError, OSError):
        raise ShapeError(_what(repr(key), value)) from None
    if value is None:
        return None
    if not isinstance(value, dt.datetime):
        raise ShapeError(_what(repr(key), value))
    day = (value.astimezone(dt.UTC) if value.tzinfo else value).date()
    return day if day > _EPOCH else None


def _what(name: str, value: object) -> str:
    return f"{name} is {value!r:.60}, which is not understood"
