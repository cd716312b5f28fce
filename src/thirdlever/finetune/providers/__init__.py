"""Fine-tuning providers, one file each."""

from __future__ import annotations

from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING

from thirdlever.catalog.tuning import profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever.finetune.jobs import Provider

_OWN_PROTOCOL = {
    "azure": "azure.Azure",
    "bedrock": "bedrock.Bedrock",
    "fireworks": "fireworks.Fireworks",
    "together": "together.Together",
    "vertex": "vertex.Vertex",
}


@contextmanager
def open_provider(name: str, model: str) -> Iterator[Provider]:
    """A provider by name, closed at the end of the block; `model` is the base model as the user names it."""
    terms = profile(name)
    provider: Provider
    if name == "local":
        from thirdlever.finetune.providers.openai import LocalEndpoint

        provider = LocalEndpoint(model)
    elif name in _OWN_PROTOCOL:
        module, _, kind = _OWN_PROTOCOL[name].partition(".")
        provider = getattr(import_module(f"{__name__}.{module}"), kind)()
    else:
        from thirdlever.finetune.providers.openai import OpenAIProtocol

        provider = OpenAIProtocol(terms)
    try:
        yield provider
    finally:
        provider.close()
