"""Names for what the endpoint keeps, in OpenAI's style; they sort by the time at which they were given."""

from __future__ import annotations

import re
import secrets
import time
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["file", "ftjob", "ftevent", "ftckpt", "chatcmpl"]
TAIL = 8  # random characters at the end


def new(kind: Kind) -> str:
    """A name that nobody guesses and nothing else has, such as "ftjob-187a3c55e1f0b2c49f3a6d17"."""
    return f"{kind}-{time.time_ns():016x}{secrets.token_hex(TAIL // 2)}"


def tail(name: str) -> str:
    """The random part: what a tuned model's name ends in."""
    return name[-TAIL:]


def is_a(kind: Kind, name: str) -> bool:
    """Whether a name could be one of ours, and so is fit to be part of a path."""
    return re.fullmatch(rf"{kind}-[0-9a-f]{{24}}", name) is not None
