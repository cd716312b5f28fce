"""A cache for values that are slow to make."""

from __future__ import annotations

import threading
from functools import cache, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


def once(function: Callable[P, R]) -> Callable[P, R]:
    """`functools.cache`, but one thread at a time: threads that ask together wait for the first one's value."""
    lock = threading.RLock()
    cached = cache(function)

    @wraps(function)
    def one_at_a_time(*args: P.args, **kwargs: P.kwargs) -> R:
        with lock:
            return cached(*args, **kwargs)  # type: ignore[arg-type]  # as `cache`, it takes what can be hashed

    return one_at_a_time
