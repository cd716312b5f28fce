"""What inspect imports to find the provider, from any process: `inspect eval task.py --model thirdlever/embedded`."""

from __future__ import annotations

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="thirdlever")
def thirdlever() -> type[ModelAPI]:
    """The local engine; torch comes with the first model, not with this."""
    from thirdlever.models.engine.provider import LocalAPI

    return LocalAPI
