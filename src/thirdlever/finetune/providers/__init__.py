"""Fine-tuning providers, one file each, and what they share."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.tuning import profile
from thirdlever.core.errors import ModelError
from thirdlever.finetune.conversations import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.jobs import Provider

_OWN_PROTOCOL = {"azure": "azure.Azure", "bedrock": "bedrock.Bedrock", "vertex": "vertex.Vertex"}
_RETRIABLE = {408, 409, 429}  # HTTP statuses, beside every 5xx


@contextmanager
def open_provider(name: str, model: str) -> Iterator[Provider]:
    """A provider by name, closed at the end of the block; `model` is the base model as the user names it."""
    terms = profile(name)
    provider: Provider
    if name == "local":
        from thirdlever.finetune.providers.local_endpoint import LocalEndpoint

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


def is_retriable(status: int) -> bool:
    """Whether a request that failed with this HTTP status may succeed later."""
    return status in _RETRIABLE or status >= 500  # noqa: PLR2004 - HTTP's server errors


def variable(title: str, name: str) -> str:
    """An environment variable that a provider needs; raises `ModelError` if it is not set."""
    value = os.environ.get(name)
    if not value:
        message = f"{title}: the environment variable {name} is not set; set it and run again"
        raise ModelError(message)
    return value


def bucket_and_key(folder: str, *parts: str) -> tuple[str, str]:
    """The bucket and the object key of a path below a folder such as "s3://bucket/folder"."""
    bucket, _, prefix = folder.rpartition("://")[2].rstrip("/").partition("/")
    return bucket, "/".join(filter(None, (prefix, *parts)))


def rewritten(path: Path, row: Callable[[Conversation], Mapping[str, Any]]) -> bytes:
    """A training file in a provider's own format, one JSON object per line."""
    examples = parse(path.read_bytes(), minimum=1)
    return "".join(json.dumps(row(example), ensure_ascii=False) + "\n" for example in examples).encode()
