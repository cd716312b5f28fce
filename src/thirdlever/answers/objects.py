"""Finds a JSON object in a completion, repairs its slips and removes what it is wrapped in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


_JSON = json.JSONDecoder()


@dataclass(frozen=True, slots=True)
class Found:
    """An object that has the keys.

    Attributes:
        value: the object.
        how: what was done to find it; "" if nothing.
    """

    value: dict[str, Any]
    how: str


def find_object(text: str, keys: Sequence[str]) -> Found | None:
    """The last complete object with the keys; None if there is none.

    A model that corrects itself writes the better object later, and one that repeats the format writes it before.

    >>> find_object('{"a": 1} or rather {"result": {"a": 2}}', ["a"])
    Found(value={'a': 2}, how="unwrapped from 'result'")
    """
    found = None
    for value, how in _objects(text):
        path = _path(value, keys)
        if path is not None:
            wrapped = [f"unwrapped from {'.'.join(map(str, path))!r}"] if path else []
            inner: Any = value
            for step in path:
                inner = inner[step]
            found = Found(inner, "; ".join([*how, *wrapped]))
    return found


def _objects(text: str) -> Iterator[tuple[Any, list[str]]]:
    """Every outermost object of a text that has an end, and how it was repaired."""
    ends = _ends(text)
    at = text.find("{")
    while at >= 0:
        try:
            value, end = _JSON.raw_decode(text, at)
        except (ValueError, RecursionError):
            end = ends.get(at, at)
            if end > at:
                yield _repaired(text[at:end]), ["repaired"]
        else:
            yield value, []
        at = text.find("{", max(end, at + 1))


def _ends(text: str) -> dict[int, int]:
    """Where each brace's partner ends, by where it opens; an object that was cut off has none."""
    ends: dict[int, int] = {}
    opened: list[int] = []
    for at, character in enumerate(text):
        if character == "{":
            opened.append(at)
        elif character == "}" and opened:
            ends[opened.pop()] = at + 1
    return ends


def _repaired(text: str) -> Any:  # noqa: ANN401 - JSON
    """What was meant by an object with single quotes, trailing commas, comments or the like."""
    from json_repair import repair_json

    try:
        return repair_json(text, return_objects=True, skip_json_loads=True)
    except (ValueError, RecursionError):
        return None


def _path(value: Any, keys: Sequence[str]) -> list[str | int] | None:  # noqa: ANN401 - JSON
    """The way to the last object with the keys inside a value; [] if it is the value itself, None if there is none."""
    if isinstance(value, dict) and all(key in value for key in keys):
        return []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next(([step, *path] for step, own in [*inner][::-1] if (path := _path(own, keys)) is not None), None)
