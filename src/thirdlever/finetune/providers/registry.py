"""The tuner of a job."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from thirdlever.catalog.tuning import profile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever.finetune.jobs import Tuner


@contextmanager
def tuner(provider: str, model: str) -> Iterator[Tuner]:
    """A provider's tuner, its connections closed at the end.

    Args:
        provider: a name of `profiles.toml`.
        model: the base model as the user names it.

    Raises:
        StrategyError: no such provider.
        MissingExtraError: its client is not installed.
    """
    made = _tuner(provider, model)
    try:
        yield made
    finally:
        made.close()


def _tuner(provider: str, model: str) -> Tuner:
    terms = profile(provider)
    match provider:
        case "local":
            from thirdlever.finetune.providers.local import LocalEndpoint

            return LocalEndpoint(model)
        case "azure":
            from thirdlever.finetune.providers.azure import Azure

            return Azure()
        case "bedrock":
            from thirdlever.finetune.providers.bedrock import Bedrock

            return Bedrock()
        case "vertex":
            from thirdlever.finetune.providers.vertex import Vertex

            return Vertex()
    from thirdlever.finetune.providers.openai import OpenAIProtocol

    return OpenAIProtocol(terms)
