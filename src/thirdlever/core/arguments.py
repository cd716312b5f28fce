"""Arguments written as text, `name=value,name=value`, and converted by their annotations."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

from thirdlever.core.errors import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping


_BOOLEANS = {"true": True, "false": False}
_NARROW_FIRST = (NoneType, bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Argument:
    """A named argument.

    Attributes:
        type: its annotation.
        default: `inspect.Parameter.empty` if it is required.
    """

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    @property
    def writable(self) -> bool:
        """Whether every value of its type can be written as text."""
        return all(get_origin(kind) is Literal or kind in _NARROW_FIRST for kind in _members(self.type))

    def __str__(self) -> str:
        """As `thirdlever strategies` shows it: `k: int | "auto" = 8`."""
        return f"{self.name}: {_typename(self.type)}" + ("" if self.required else f" = {written(self.default)}")

    def read(self, text: str) -> Any:  # noqa: ANN401 - whatever the annotation says
        """Convert text by the annotation, trying narrow types first: "8" is a number if numbers are allowed.

        Raises:
            ValueError: the annotation allows no such value; the message names those it allows.
        """
        for kind in sorted(_members(self.type), key=_width):
            if values := _readings(text, kind):
                return values[0]
        message = f"invalid {self.name}={text!r}; expected {_in_words(self.type)}"
        raise ValueError(message)


def pairs(text: str, of: str) -> dict[str, str]:
    """Split `name=value,name=value`.

    Args:
        text: the pairs; empty for none.
        of: what they belong to, such as the strategy's name; for the message.

    Raises:
        ValueError: a part is not a pair, or a name is given twice.
    """
    found: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or name in found:
            fault = "given twice" if equals else "not an argument"
            message = f"{part!r} is {fault}; write {of}:key=value,key=value"
            raise ValueError(message)
        found[name] = value
    return found


def read(given: Mapping[str, str], known: Mapping[str, Argument], *, kind: str = "argument") -> dict[str, Any]:
    """Convert the given arguments from text.

    Raises:
        ValueError: unknown argument, or an invalid value; the message names the valid ones.
    """
    for name in given:
        if name not in known:
            raise ValueError(unknown(kind, name, known))
    return {name: known[name].read(text) for name, text in given.items()}


def written(value: object) -> str:
    """A value as the command line writes it; `read` is the inverse."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _members(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - an annotation
    union = get_origin(annotation) in {Union, UnionType}
    return tuple(m for part in get_args(annotation) for m in _members(part)) if union else (annotation,)


def _width(kind: Any) -> int:  # noqa: ANN401 - an annotation
    if get_origin(kind) is Literal:
        return 0
    return 1 + _NARROW_FIRST.index(kind) if kind in _NARROW_FIRST else len(_NARROW_FIRST) + 1


def _readings(text: str, kind: Any) -> list[Any]:  # noqa: ANN401 - an annotation
    """The value of that type, in a list; an empty list if the text is none."""
    if get_origin(kind) is Literal:
        return [option for option in get_args(kind) if written(option) == text]
    if kind in {NoneType, None}:
        return [None] if text == "none" else []
    if kind is bool:
        return [_BOOLEANS[text.lower()]] if text.lower() in _BOOLEANS else []
    if kind in {int, float}:
        try:
            return [kind(text)]
        except ValueError:
            return []
    return [text] if kind is str else []


def _typename(annotation: Any) -> str:  # noqa: ANN401 - an annotation
    names = []
    for kind in _members(annotation):
        if get_origin(kind) is Literal:
            names += [f'"{option}"' if isinstance(option, str) else written(option) for option in get_args(kind)]
        elif kind is bool:
            names += ["true", "false"]
        else:
            names.append("none" if kind in {NoneType, None} else getattr(kind, "__name__", str(kind)))
    return " | ".join(names)


_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "none", None: "none"}


def _in_words(annotation: Any) -> str:  # noqa: ANN401 - an annotation
    """What may be written: `a whole number or "auto"`."""
    names: list[str] = []
    for kind in _members(annotation):
        if get_origin(kind) is Literal:
            names += [_typename(Literal[option]) for option in get_args(kind)]
        else:
            names.append(_WORDS.get(kind) or _typename(kind))
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
