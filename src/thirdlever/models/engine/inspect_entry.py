"""Entry point by which inspect finds the provider, as in `inspect eval task.py --model thirdlever/embedded`."""

from __future__ import annotations

from inspect_ai.model import ModelAPI, modelapi


@modelapi(name="thirdlever")
def thirdlever() -> type[ModelAPI]:
    """The local engine; torch is imported with the first model."""
    from thirdlever.models.engine.provider import LocalAPI

    return LocalAPI
