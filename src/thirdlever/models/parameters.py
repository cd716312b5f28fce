"""A model's settings, as in `openai/gpt-5.1:effort=low,max_tokens=300`, and requests as its provider takes them.

What a model refuses is left out, and said once; usage is counted as the provider bills it. inspect leaves out what
it knows a model refuses, such as the temperature of OpenAI's reasoning models. Other models answer 400, which costs
nothing, and are asked again without it. A setting of the user's is never left out silently.
"""

from __future__ import annotations

import functools
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.core.arguments import Argument, pairs, read
from thirdlever.core.errors import ModelError
from thirdlever.core.progress import note

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from inspect_ai.model import GenerateConfig, Model, ModelUsage


_BAD_REQUEST = {400, 422}
_OPTIONAL = ("temperature", "top_p", "seed")  # what can be left out, as GenerateConfig names it
_ROOM = "max_completion_tokens"  # the name of `max_tokens` for reasoning models behind an alias or a gateway
# What requests call the settings, in lower case and without underscores.
_SENT_AS = {
    "effort": {"effort", "reasoningeffort", "thinkinglevel", "thinkingbudget", "budgettokens"},
    "thinking": {"budgettokens", "thinkingbudget", "reasoning"},
    "verbosity": {"verbosity"},
    "temperature": {"temperature"},
    "top_p": {"topp"},
}
_CONTENT = {"messages", "input", "contents", "system", "system_instruction", "tools"}


def watched(model: Model, name: str, settings: Mapping[str, Any]) -> Model:
    """Make a model's requests leave out what the model refuses.

    Args:
        model: one that nobody else uses.
        name: as the user wrote it.
        settings: the user's. If the model does not take one of them, the request raises a `ModelError`.
    """
    inner = model.api.generate
    refused = _refused_by(name)
    seen = False

    @functools.wraps(inner)
    async def generate(*, config: GenerateConfig, **asked: Any) -> Any:  # noqa: ANN401 - inspect's union of types
        nonlocal seen
        while True:
            left_out = frozenset(refused)  # other requests may learn of more meanwhile
            outcome = await _attempt(inner, config=_without(config, left_out), **asked)
            found = _refusal(outcome, left_out)
            if found is None:
                break
            if found in settings:
                raise ModelError(_untaken(name, found))
            refused.add(found)
        output = outcome[0] if isinstance(outcome, tuple) else outcome
        if (usage := getattr(output, "usage", None)) is not None:
            output.usage = billed(usage)
        if not seen and isinstance(outcome, tuple) and not isinstance(outcome[0], Exception):
            seen = True
            _report(name, settings, config, _sent(outcome[1].request))
        return outcome

    model.api.generate = generate  # type: ignore[assignment,method-assign]
    return model


def billed(usage: ModelUsage) -> ModelUsage:
    """Usage whose output tokens include the reasoning, which providers bill at the rate of the output.

    Most report it so; xAI's output leaves the reasoning out, which its total shows.
    """
    reasoning = usage.reasoning_tokens or 0
    cached = (usage.input_tokens_cache_read or 0) + (usage.input_tokens_cache_write or 0)
    if reasoning and usage.total_tokens == usage.input_tokens + cached + usage.output_tokens + reasoning:
        return usage.model_copy(update={"output_tokens": usage.output_tokens + reasoning})
    return usage


def _report(name: str, settings: Mapping[str, Any], config: GenerateConfig, sent: set[str]) -> None:
    """Compare what was wanted with what was sent.

    Raises:
        ModelError: a setting of the user's was not sent.
    """
    for setting in settings:
        if setting in _SENT_AS and not _SENT_AS[setting] & sent:
            raise ModelError(_untaken(name, setting))
    if config.temperature is not None and "temperature" not in sent:
        _announce(name)


def _untaken(name: str, setting: str) -> str:
    return f"model {name!r} does not take {setting}; leave it out of the model's name"


@functools.cache
def _announce(name: str) -> None:
    note(f"{name} takes no temperature: its answers vary, so repeats (--epochs) matter")


@functools.cache
def _refused_by(name: str) -> set[str]:
    """What a model has refused in this process."""
    del name
    return set()


async def _attempt(inner: Callable[..., Awaitable[Any]], **asked: Any) -> Any:  # noqa: ANN401 - as inspect's `generate`
    """The outcome in one form: some providers return an error, others raise it."""
    try:
        return await inner(**asked)
    except Exception as error:  # of any provider's client; all but a bad request are raised again
        if getattr(error, "status_code", None) not in _BAD_REQUEST:
            raise
        return error


def _without(config: GenerateConfig, refused: frozenset[str]) -> GenerateConfig:
    if not refused:
        return config
    changed: dict[str, Any] = dict.fromkeys(refused - {_ROOM})
    if _ROOM in refused:
        changed |= {"max_tokens": None, "extra_body": {**(config.extra_body or {}), _ROOM: config.max_tokens}}
    return config.model_copy(update=changed)


def _refusal(outcome: Any, known: frozenset[str]) -> str | None:  # noqa: ANN401 - inspect's union of types
    """The parameter that an error is about, unless it is left out already."""
    error = outcome[0] if isinstance(outcome, tuple) else outcome
    if getattr(error, "status_code", None) not in _BAD_REQUEST:
        return None
    said = str(error).lower()
    return next((name for name in (_ROOM, *_OPTIONAL) if name in said and name not in known), None)


def _sent(request: Mapping[str, Any]) -> set[str]:
    """Names of all parameters of a request."""
    return set(_keys({key: value for key, value in request.items() if key not in _CONTENT}))


def _keys(value: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(value, dict):
        for key, inner in value.items():
            if inner is not None:
                yield key.lower().replace("_", "")
                yield from _keys(inner)


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
