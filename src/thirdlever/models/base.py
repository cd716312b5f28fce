"""The base model as strategies see it."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from thirdlever.models.parameters import LEAST_TOKENS, joined, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from inspect_ai.model import Model

    from thirdlever.models.parameters import ModelSettings

THINKING_ROOM = 4000  # tokens; a model that answers with a label stops by itself, so the room costs nothing
_CLIENTS = {"openai": "openai", "openai-api": "openai", "openrouter": "openai", "anthropic": "anthropic"}  # packages
_LEAST_WINDOW = 4 * THINKING_ROOM  # models with less are older than reasoning
CHARS_PER_TOKEN = 3.0  # cautious: English has about 4 with today's tokenizers


class Tokens(Protocol):
    """Counts the tokens of a text."""

    def __call__(self, text: str) -> int:
        """Number of tokens."""


def as_text(messages: Iterable[str]) -> str:
    """The messages of a request as one text, whose length its tokens are estimated from."""
    return "\n\n".join(messages)


def estimated_tokens(text: str) -> int:
    """A cautious estimate from the text's length."""
    return int(len(text) / CHARS_PER_TOKEN) + 1


@dataclass(frozen=True)
class BaseModel:
    """A model to adapt.

    Attributes:
        name: as given by the user, such as "embedded" or "openai/gpt-5.4-mini:effort=low".
        inspect_name: argument of inspect's `get_model`.
        args: model arguments of `get_model`.
        revision: hash of local weights, else the provider's model name.
        local: whether it runs in this process.
        context_window: maximum tokens of prompt and answer together; None if unknown.
        tokens: counts tokens, exactly for local models, else by a cautious estimate from characters.
        settings: the generation settings in its name, by name.
        reasons: whether it may reason before it answers.
        max_output: maximum tokens of a completion, reasoning included; None if unknown.
        offline: whether it is part of a plan: no request is sent to it and no tuning job is ordered for it.
    """

    name: str
    inspect_name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    revision: str = ""
    local: bool = False
    context_window: int | None = None
    tokens: Tokens = field(default=estimated_tokens, compare=False)
    settings: ModelSettings = field(default_factory=dict, kw_only=True)
    reasons: bool = field(default=False, kw_only=True, compare=False)
    max_output: int | None = field(default=None, kw_only=True, compare=False)
    offline: bool = field(default=False, kw_only=True, compare=False)

    @property
    def plain_name(self) -> str:
        """The name without settings: what prices, retirements and tuning go by."""
        return plain(self.name)

    @property
    def service(self) -> str:
        """Inspect's name of the provider."""
        return self.inspect_name.partition("/")[0]

    @property
    def costs_device_time(self) -> bool:
        """Whether its cost is this machine's time instead of tokens."""
        return self.local

    def completion_tokens(self, answer: int) -> int:
        """Maximum tokens of a completion: the settings' `max_tokens`, or room to think and to answer.

        Args:
            answer: maximum tokens of the answer alone.
        """
        if stated := self.settings.get("max_tokens"):
            return int(stated)
        thinks = self.reasons and (self.context_window or _LEAST_WINDOW) >= _LEAST_WINDOW
        room: int = answer + max(THINKING_ROOM if thinks else 0, self.settings.get("thinking", 0))
        if not self.local:
            room = max(room, LEAST_TOKENS)
        return min(room, self.max_output or room)

    def tuned(self, folder: Path, *, key: str, whole: bool) -> BaseModel:
        """This local model after tuning.

        Args:
            folder: folder of the adapter, or of a whole model.
            key: hash of everything that the tuning depends on.
            whole: whether it is a whole model.
        """
        name, revision = joined(f"{self.plain_name}+{key[:8]}", self.settings), f"{self.revision}+{key}"
        if whole:
            return replace(self, name=name, inspect_name=f"thirdlever/hf/{folder.resolve()}", revision=revision)
        return replace(self, name=name, args={**self.args, "adapter": str(folder.resolve())}, revision=revision)

    def connect(self) -> Model:
        """The inspect model; local weights are loaded at the first request.

        A hosted model is a new one each time: its client belongs to one event loop, address and key.
        """
        from inspect_ai.model import get_model

        if self.local:
            return get_model(self.inspect_name, **self.args)
        from thirdlever.models.parameters import watched

        args = {**self.args, **_quicker(self.service)}
        return watched(get_model(self.inspect_name, memoize=False, **args), self.name, self.settings)


def _quicker(service: str) -> dict[str, Any]:
    """Let a provider's client send by aiohttp: httpx2 inspects every open connection at each request."""
    package = _CLIENTS.get(service)
    if package is None or importlib.util.find_spec(package) is None:
        return {}
    return {"http_client": importlib.import_module(package).DefaultAioHttpClient()}
