"""Settings in a model's name, as in `openai/gpt-5.1:effort=low,max_tokens=300`."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.core.arguments import Argument, pairs, read
from thirdlever.core.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping


ModelSettings: TypeAlias = "Mapping[str, Any]"

NONE: ModelSettings = MappingProxyType({})
LEAST_TOKENS = 16  # the Responses API refuses less
_EFFORTS = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
# In the order in which a name lists them.
KNOWN = {
    name: Argument(name, kind, None)
    for name, kind in (
        ("effort", _EFFORTS),
        ("thinking", int),
        ("verbosity", Literal["low", "medium", "high"]),
        ("max_tokens", int),
        ("temperature", float),
        ("top_p", float),
        ("timeout", int),  # seconds for one attempt of a request
    )
}
_LEAST = {"thinking": 1, "max_tokens": LEAST_TOKENS, "temperature": 0.0, "top_p": 0.0, "timeout": 1}
_MOST = {"temperature": 2.0, "top_p": 1.0}
_SETTINGS = re.compile(r"^(?P<model>.+):(?P<settings>\s*\w+\s*=[^:/]*)$", re.DOTALL)


def split(name: str) -> tuple[str, ModelSettings]:
    """A model's plain name, and its settings. Only a last `:name=value,…` holds settings; ids may have colons.

    >>> plain, settings = split("openai/gpt-5.1:effort=low")
    >>> plain, dict(settings), split("ollama/llama3:8b")[0]
    ('openai/gpt-5.1', {'effort': 'low'}, 'ollama/llama3:8b')

    Raises:
        ModelError: unknown setting, invalid value, or settings that contradict each other.
    """
    found = _SETTINGS.match(name)
    if found is None:
        return name, NONE
    plain = found["model"].strip()
    try:
        if _SETTINGS.match(plain):
            message = "separate settings with commas"
            raise ValueError(message)  # noqa: TRY301 - reported like the others
        values = read(pairs(found["settings"], plain), KNOWN, kind="setting")
        _check(values)
    except ValueError as error:
        message = f"model {name!r}: {error}"
        raise ModelError(message) from None
    return plain, MappingProxyType({key: values[key] for key in KNOWN if key in values})


def plain(name: str) -> str:
    """A model's name without its settings, for prices, retirements and tuning."""
    found = _SETTINGS.match(name)
    return found["model"].strip() if found else name


def canonical(name: str) -> str:
    """The name with its settings in the order of every table.

    Raises:
        ModelError: as `split`.
    """
    return joined(*split(name))


def joined(name: str, settings: ModelSettings) -> str:
    """The name with its settings; the inverse of `split`."""
    shown = {key: f"{value:g}" if isinstance(value, float) else value for key, value in settings.items()}
    listed = ",".join(f"{key}={value}" for key, value in shown.items())
    return f"{name}:{listed}" if listed else name


def _check(values: ModelSettings) -> None:
    for name, value in values.items():
        least, most = _LEAST.get(name), _MOST.get(name)
        if (least is not None and not value >= least) or (most is not None and not value <= most):
            between = f"at least {least:g}" if most is None else f"{least:g} to {most:g}"
            message = f"{name}={value:g} is not allowed; give {between}"
            raise ValueError(message)
    if values.get("thinking", 0) >= values.get("max_tokens", float("inf")):
        message = "max_tokens is the room for thinking and answer together; give more than thinking"
        raise ValueError(message)
