"""What the providers share: which errors to retry, settings from the environment, uploads in their own formats."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import ModelError
from thirdlever.finetune.conversations import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from thirdlever.finetune.conversations import Conversation

_RETRIABLE = {408, 409, 429}  # HTTP statuses, beside every 5xx


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
