"""Lists a page at a time: `limit` items that come `after` one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from thirdlever.serving.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Listed(Protocol):
    """One of OpenAI's objects (pydantic)."""

    id: str

    def to_dict(self) -> dict[str, object]:
        """As JSON has it, without what was not set."""


def page(items: Sequence[Listed], query: Mapping[str, str], *, limit: int, most: int = 100) -> dict[str, Any]:
    """The list object.

    Args:
        items: all there are, in order.
        query: the request's; `after` and `limit` are read.
        limit: when the request states none.
        most: the largest that it may state.

    Raises:
        ApiError: no such item, or a limit out of bounds.
    """
    asked = _limit(query.get("limit"), limit, most)
    start = _after(items, query["after"]) if "after" in query else 0
    shown = items[start : start + asked]
    return {
        "object": "list",
        "data": [item.to_dict() for item in shown],
        "first_id": shown[0].id if shown else "",
        "last_id": shown[-1].id if shown else "",
        "has_more": start + asked < len(items),
    }


def _limit(given: str | None, default: int, most: int) -> int:
    if given is None:
        return default
    if not given.isdecimal() or not 1 <= int(given) <= most:
        message = f"Invalid 'limit': {given!r} is not a whole number from 1 to {most}."
        raise ApiError(message, param="limit", code="invalid_value")
    return int(given)


def _after(items: Sequence[Listed], name: str) -> int:
    for place, item in enumerate(items, 1):
        if item.id == name:
            return place
    message = f"Invalid 'after': {name!r} is not in this list."
    raise ApiError(message, param="after", code="invalid_value")
