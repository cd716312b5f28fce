"""A strategy's keyword arguments as the command line writes them, read against the factory's annotations."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from types import NoneType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from thirdlever.core.errors import StrategyError, unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Argument:
    """One keyword argument of a strategy.

    Attributes:
        name: as in the factory's signature.
        type: its annotation.
        default: `inspect.Parameter.empty` when it must be given.
    """

    name: str
    type: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty

    def __str__(self) -> str:
        """As `thirdlever strategies` shows it: `k: int | "auto" = 8`."""
        return f"{self.name}: {_typename(self.type)}" + ("" if self.required else f" = {written(self.default)}")

    def read(self, text: str) -> Any:  # noqa: ANN401 - whatever the annotation says
        """The value that `text` stands for.

        Raises:
            StrategyError: naming what is allowed, when the annotation admits no such value.
        """
        # Narrow before wide: "8" is the number where numbers are allowed, and text only where nothing else fits.
        for kind in sorted(_members(self.type), key=_width):
            values = _readings(text, kind)
            if values:
                return values[0]
        message = f"{self.name}={text!r} is not allowed; give {_typename(self.type)}"
        raise StrategyError(message)


def arguments(factory: Callable[..., Any]) -> dict[str, Argument]:
    """A factory's arguments by name, in the order of its signature.

    Raises:
        StrategyError: an annotation cannot be evaluated.
    """
    # Not the return type: `Prepare` may be imported for type checkers only, and nobody needs it here.
    hints = {name: hint for name, hint in inspect.get_annotations(factory).items() if name != "return"}
    try:
        types = get_type_hints(SimpleNamespace(__annotations__=hints), globalns=factory.__globals__)
    except NameError as error:
        message = f"strategy {factory.__name__!r}: {error} in an annotation; import it at run time"
        raise StrategyError(message) from None
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: Argument(p.name, types.get(p.name, type(p.default)), p.default) for p in parameters}


def read(pairs: Mapping[str, str], known: Mapping[str, Argument], *, strategy: str) -> dict[str, Any]:
    """Typed values of the arguments given.

    Raises:
        StrategyError: an argument that the strategy does not take, a value that it does not allow, or a required
            argument that is missing.
    """
    for name in pairs:
        if name not in known:
            raise StrategyError(unknown(f"argument of strategy {strategy!r}", name, known))
    for argument in known.values():
        if argument.required and argument.name not in pairs:
            message = f"strategy {strategy!r} needs {argument.name}; write {strategy}:{argument.name}=VALUE"
            raise StrategyError(message)
    try:
        return {name: known[name].read(text) for name, text in pairs.items()}
    except StrategyError as error:
        message = f"strategy {strategy!r}: {error}"
        raise StrategyError(message) from None


def written(value: object) -> str:
    """A value as the command line writes it: `read` gives it back."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _members(annotation: Any) -> tuple[Any, ...]:  # noqa: ANN401 - an annotation
    union = get_origin(annotation) in {Union, UnionType}
    return tuple(m for part in get_args(annotation) for m in _members(part)) if union else (annotation,)


def _width(kind: Any) -> int:  # noqa: ANN401 - an annotation
    if get_origin(kind) is Literal:
        return 0
    order = (NoneType, bool, int, float, str)
    return 1 + order.index(kind) if kind in order else len(order) + 1


def _readings(text: str, kind: Any) -> list[Any]:  # noqa: ANN401 - an annotation
    """The value of that kind that `text` stands for, in a list; nothing in it when there is none."""
    if get_origin(kind) is Literal:
        return [option for option in get_args(kind) if written(option) == text]
    if kind in {NoneType, None}:
        return [None] if text == "none" else []
    if kind is bool:
        return [_WORDS[text.lower()]] if text.lower() in _WORDS else []
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
