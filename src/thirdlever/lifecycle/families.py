"""Which models are releases of the same thing, and which of them came later.

Anthropic says so itself (`line`), and asks not to infer it. Elsewhere the names alone tell: what is left of a name
without its version and date is its family. A name of another make, as in a new naming scheme, is no relation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from thirdlever.lifecycle.names import dated, undated

if TYPE_CHECKING:
    import datetime as dt

    from thirdlever.lifecycle.shapes import Listed, Listing

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
