"""The endpoint on this machine as a provider, found or started at the first request."""

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
    from thirdlever.finetune.endpoint.server import Endpoint
    from thirdlever.finetune.jobs import Access

ENDPOINT = project.STORE.with_name("endpoint")  # also the default folder of `thirdlever serve`


class LocalEndpoint(OpenAIProtocol):
    """Tunes one local model, named as users name it: "embedded" or "hf/…"."""

    def __init__(self, model: str) -> None:
        """Connects to nothing and starts nothing."""
        super().__init__(profile("local"))
        self._model = model

    def address(self) -> tuple[str, str]:
        """URL and key of the running endpoint, which may have restarted at another address."""
        running = _endpoint(self._model)
        return running.url, running.key

    def access(self, served: str) -> Access:
        """Through our own inspect provider, which records device time."""
        from thirdlever.finetune.providers import local_inspect  # noqa: F401 - registers it

        return super().access(served)


def _endpoint(model: str) -> Endpoint:
    from thirdlever.finetune.endpoint.server import endpoint

    # An endpoint tunes one base model, so each has a folder of its own.
    folder = ENDPOINT if model == EMBEDDED else ENDPOINT.with_name(f"{ENDPOINT.name}-{content_hash(model)[:12]}")
    running = endpoint(model, folder)
    _close_at_exit(running)
    return running


@cache
def _close_at_exit(running: Endpoint) -> None:
    atexit.register(running.close)
