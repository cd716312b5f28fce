"""The base model as strategies see it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspect_ai.model import Model

CHARS_PER_TOKEN = 3.0  # cautious: English has about 4 with today's tokenizers


class Tokens(Protocol):
    """Counts the tokens of a text."""

    def __call__(self, text: str) -> int:
        """Number of tokens."""


def estimated_tokens(text: str) -> int:
    """A cautious estimate from the text's length."""
    return int(len(text) / CHARS_PER_TOKEN) + 1


@dataclass(frozen=True)
class BaseModel:
    """A model to adapt.

    Attributes:
        name: as given by the user, such as "embedded" or "openai/gpt-5.4-mini".
        inspect_name: argument of inspect's `get_model`.
        args: model arguments of `get_model`.
        revision: hash of local weights, else the provider's model name.
        local: whether it runs in this process.
        context_window: maximum tokens of prompt and answer together; None if unknown.
        tokens: counts tokens, exactly for local models, else by a cautious estimate from characters.
        offline: whether it is part of a plan: no request is sent to it and no tuning job is ordered for it.
    """

    name: str
    inspect_name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    revision: str = ""
    local: bool = False
    context_window: int | None = None
    tokens: Tokens = field(default=estimated_tokens, compare=False)
    offline: bool = field(default=False, kw_only=True, compare=False)

    @property
    def costs_device_time(self) -> bool:
        """Whether its cost is this machine's time instead of tokens."""
        return self.local

    def tuned(self, folder: Path, *, key: str, whole: bool) -> BaseModel:
        """This local model after tuning.

        Args:
            folder: folder of the adapter, or of a whole model.
            key: hash of everything that the tuning depends on.
            whole: whether it is a whole model.
        """
        name, revision = f"{self.name}+{key[:8]}", f"{self.revision}+{key}"
        if whole:
            return replace(self, name=name, inspect_name=f"thirdlever/hf/{folder.resolve()}", revision=revision)
        return replace(self, name=name, args={**self.args, "adapter": str(folder.resolve())}, revision=revision)

    def connect(self) -> Model:
        """The inspect model; local weights are loaded at the first request.

        A hosted model is a new one each time: its client belongs to one event loop, address and key.
        """
        from inspect_ai.model import get_model

        return get_model(self.inspect_name, memoize=self.local, **self.args)
