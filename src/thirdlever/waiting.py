"""Says that a provider makes a run wait: a bar that stands still for minutes looks like a crash.

Import this module at the point of use: inspect comes with it.
"""

from __future__ import annotations

import functools
import math
import time

from inspect_ai.hooks import Hooks, ModelRetry, hooks

from thirdlever.core.progress import note

_LINE_EVERY = 30.0  # seconds


class Waiting(Hooks):
    """A line when a request is to be tried again, and no other for a while: hundreds may be waiting at once."""

    def __init__(self) -> None:
        """Nothing is said yet."""
        self._said = -math.inf

    async def on_model_retry(self, data: ModelRetry) -> None:
        """Name the model, what it answered and when it is asked again."""
        now = time.monotonic()
        if now - self._said < _LINE_EVERY:
            return
        self._said = now
        why = ", ".join(filter(None, [data.exception_type, str(data.status_code) if data.status_code else None]))
        note(f"waiting for {data.model_name}{f' ({why})' if why else ''}: asked again in {data.wait_time:.0f} s")


@functools.cache
def tell_of_waiting() -> None:
    """Listen from now on. Call it while requests are made: hooks that are there before, inspect announces on stdout."""
    hooks(name="waiting", description="says that a provider makes a run wait")(Waiting)
