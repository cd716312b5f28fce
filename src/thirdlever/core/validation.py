"""Validate data from outside (TOML, YAML, JSON) with pydantic; every problem becomes one sentence."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias, TypeVar

from thirdlever.core.errors import ThirdleverError, unknown
from thirdlever.core.text import clipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

T = TypeVar("T")

_UNKNOWN_KEY = ("unexpected_keyword_argument", "extra_forbidden")
_QUOTED = re.compile(r"'([^']*)'")
_EXPECTED = {
    "float_type": "a number",
    "finite_number": "a finite number",
    "float_parsing": "a number",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "greater_than_equal": "a number of at least {ge:g}",
    "greater_than": "a number above {gt:g}",
    "less_than_equal": "a number of at most {le:g}",
    "less_than": "a number below {lt:g}",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text in quotes",
    "string_too_short": "text in quotes, not empty",
    "none_required": "nothing",
    "date_type": "a date without quotes, such as 2026-11-01",
    "date_parsing": "a date such as 2026-11-01",
    "date_from_datetime_parsing": "a date such as 2026-11-01",
    "datetime_type": "a date or time",
    "datetime_from_date_parsing": "a date or time, such as 2026-11-01T12:00:00Z",
    "datetime_parsing": "a date or time, such as 2026-11-01T12:00:00Z",
    "list_type": "a list",
    "tuple_type": "a list",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "mapping_type": "a table of keys and values",
    "dict_type": "a table of keys and values",
    "dataclass_type": "a table of keys and values",
    "model_type": "a table of keys and values",
}


class Bounded:
    """Bounds of an `Annotated` type, by pydantic's names: `Annotated[float, Bounded(ge=0)]`; imports nothing."""

    def __init__(self, **bounds: float) -> None:
        """Take the bounds: ge, gt, le, lt, min_length or max_length."""
        self.bounds = bounds

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's types
        """The type's schema with the bounds."""
        return handler(source) | self.bounds


Amount: TypeAlias = Annotated[float, Bounded(ge=0)]
Share: TypeAlias = Annotated[float, Bounded(ge=0, le=1)]
PositiveShare: TypeAlias = Annotated[float, Bounded(gt=0, le=1)]
Name: TypeAlias = Annotated[str, Bounded(min_length=1)]


class FileModel:
    """Base class of the frozen dataclasses that `validated` builds from files.

    Unknown keys, NaN, infinity and values of another type are errors. Subclasses are dataclasses, not pydantic models:
    a module defines them without importing pydantic, and light commands start fast.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[Mapping[str, Any]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:  # noqa: ANN401 - pydantic's types
        """Strict fields, but built from a mapping: a strict dataclass accepts only its own instances."""
        return handler(source) | {"strict": False}


def read_toml(path: Path, model: type[T], *, error: type[ThirdleverError] = ThirdleverError) -> T:
    """Read a TOML file as `model`; a missing file counts as an empty one.

    Raises:
        ThirdleverError: of type `error`; the file is not TOML or does not fit the model.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        data = {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as cause:
        message = f"{path}: {cause}; correct the file or remove it"
        raise error(message) from None
    return validated(model, data, str(path), error=error)


def validated(model: type[T], data: object, where: str, *, error: type[ThirdleverError] = ThirdleverError) -> T:
    """Data from outside as an instance of `model`.

    Args:
        model: a dataclass derived from `FileModel`, or any other type that pydantic validates.
        data: as parsed from TOML, YAML or JSON.
        where: the file, for the message.
        error: the type of exception to raise.

    Raises:
        ThirdleverError: one sentence that names the place, the key, the problem and what is expected.

    >>> validated(dict[str, Share], {"margin": 2}, "card.yaml")
    Traceback (most recent call last):
        ...
    thirdlever.core.errors.ThirdleverError: card.yaml: invalid margin 2; expected a number of at most 1 (0.92 for 92 %)
    """
    from pydantic import ValidationError

    adapter = _adapter(model)  # type: ignore[arg-type]  # mypy: a type[T] is not hashable
    try:
        found: T = adapter.validate_python(data)
    except ValidationError as failed:
        # A misspelt key explains a missing one, so it is reported first.
        problems = sorted(failed.errors(include_url=False), key=lambda one: one["type"] not in _UNKNOWN_KEY)
        problem = next((one for one in problems if one["type"] in {*_UNKNOWN_KEY, "missing"}), problems[0])
        raise error(_explain(problem, data, where, adapter)) from None
    return found


@cache
def _adapter(model: type[Any]) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(model)


def _explain(problem: ErrorDetails, data: object, where: str, adapter: TypeAdapter[Any]) -> str:
    """One sentence, such as `prices.toml, price 2: invalid input -1; expected a number of at least 0`."""
    kind, path, value = problem["type"], _path(problem, data), problem["input"]
    context = problem.get("ctx", {})
    if kind == "value_error":
        return f"{_place(where, path)}: {context['error']}"
    *outer, key = path or ["content"]
    if isinstance(key, int):
        *outer, name = outer or ["item"]
        key = f"{name} {key + 1}"
    expected = _EXPECTED.get(kind) or context.get("expected") or problem["msg"].removeprefix("Input should be ")
    said = f"invalid {key} {clipped(value)}; expected {expected.format(**context)}"
    if kind in _UNKNOWN_KEY:
        said = unknown("key", key, _keys(adapter.json_schema(), outer))
    elif kind == "missing":
        said = f"{key!r} is missing; add it"
    elif kind == "literal_error" and isinstance(value, str):
        said = unknown(key, value, _QUOTED.findall(context["expected"]))
    elif kind == "list_type" and isinstance(value, dict) and ".toml" in where:
        said = f"{key} is one table; expected a list: begin each table with a line [[{key}]]"
    elif kind == "dataclass_type" and ".toml" in where and len(path) == 1:
        said += f" under a line [{key}]"
    elif context.get("le") == 1:
        said += " (0.92 for 92 %)"
    return f"{_place(where, outer)}: {said}"


def _path(problem: ErrorDetails, data: Any) -> list[str | int]:  # noqa: ANN401 - whatever the file holds
    """The steps to the value; pydantic appends the members of a union, which are not in the data."""
    path: list[str | int] = []
    for step in problem["loc"]:
        inside = step in data if isinstance(data, dict) else isinstance(data, list) and isinstance(step, int)
        if inside:
            data = data[step]
        elif problem["type"] != "missing":
            break
        path.append(step)
    return path


def _place(where: str, path: Sequence[str | int]) -> str:
    """File, tables and rows: `prices.toml, price 2`."""
    return where + "".join(f" {step + 1}" if isinstance(step, int) else f", {step}" for step in path)


def _keys(schema: dict[str, Any], path: Sequence[str | int]) -> list[str]:
    """The keys of a table, from the model's JSON schema."""
    node = schema
    for step in (*path, None):
        if "$ref" in node:
            node = schema["$defs"][node["$ref"].rpartition("/")[2]]
        if step is None:
            break
        properties = node.get("properties", {})
        node = node.get("items", {}) if isinstance(step, int) else properties.get(step) or node["additionalProperties"]
        node = next((one for one in node.get("anyOf", []) if one.get("type") != "null"), node)
    return list(node.get("properties", {}))
