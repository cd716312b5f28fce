"""The endpoint on this machine as a provider like any other: found or started when it is asked, and no sooner."""

from __future__ import annotations

import atexit
from functools import cache
from typing import TYPE_CHECKING

from thirdlever.catalog.tuning import profile
from thirdlever.core import project
from thirdlever.core.files import content_hash
from thirdlever.finetune.providers.openai import OpenAIProtocol
from thirdlever.models.engine.local import EMBEDDED

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.finetune.endpoint.server import Endpoint
    from thirdlever.finetune.jobs import Access


ENDPOINT = project.STORE.with_name("endpoint")


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

    def access(self, served: str) -> Access:
        """Through a provider of ours, which notes the device's time."""
        from thirdlever.finetune.providers import local_inspect  # noqa: F401 - registers it

        return super().access(served)


def _folder(model: str) -> Path:
    """An endpoint tunes one base; the embedded model's is where `thirdlever serve` has its own, and the two are one."""
    if model == EMBEDDED:
        return ENDPOINT
    return ENDPOINT.with_name(f"{ENDPOINT.name}-{content_hash(model)[:12]}")


def _endpoint(model: str, folder: Path) -> Endpoint:
    from thirdlever.finetune.endpoint.server import endpoint

    running = endpoint(model, folder)
    _close_at_exit(running)
    return running


@cache
def _close_at_exit(running: Endpoint) -> None:
    """What this process started ends with it."""
    atexit.register(running.close)
