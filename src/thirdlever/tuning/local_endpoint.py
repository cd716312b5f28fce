"""The endpoint on this machine as a provider like any other: found or started when it is asked, and no sooner."""

from __future__ import annotations

import atexit
import re
from functools import cache
from typing import TYPE_CHECKING

from thirdlever import project
from thirdlever.tuning.openai_protocol import OpenAIProtocol
from thirdlever.tuning.profiles import profile

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.serving.process import Endpoint

ENDPOINTS = project.STORE.with_name("endpoint")


class LocalEndpoint(OpenAIProtocol):
    """Tunes one local model."""

    def __init__(self, model: str) -> None:
        """For a model by the name that users give: "embedded" or "hf/…"."""
        super().__init__(profile("local"))
        self._model = model

    def address(self) -> tuple[str, str]:
        """Of the running endpoint, which may have come back at another one."""
        running = _endpoint(self._model, _folder(self._model))
        return running.url, running.key


def _folder(model: str) -> Path:
    """An endpoint tunes one base: each has a folder of its own."""
    return ENDPOINTS / re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-")


def _endpoint(model: str, folder: Path) -> Endpoint:
    from thirdlever.serving.process import endpoint

    running = endpoint(model, folder)
    _close_at_exit(running)
    return running


@cache
def _close_at_exit(running: Endpoint) -> None:
    """What this process started ends with it."""
    atexit.register(running.close)
