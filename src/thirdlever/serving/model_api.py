"""The models' routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openai.types import ModelDeleted
from starlette.responses import JSONResponse

if TYPE_CHECKING:
    from starlette.requests import Request

    from thirdlever.serving.models import Models


def _models(request: Request) -> Models:
    models: Models = request.app.state.models
    return models


def list_all(request: Request) -> JSONResponse:
    """GET /models."""
    return JSONResponse({"object": "list", "data": [model.to_dict() for model in _models(request).all()]})


def retrieve(request: Request) -> JSONResponse:
    """GET /models/{model}."""
    return JSONResponse(_models(request).get(request.path_params["model"]).to_dict())


def delete(request: Request) -> JSONResponse:
    """DELETE /models/{model}."""
    name = request.path_params["model"]
    _models(request).delete(name)
    return JSONResponse(ModelDeleted(id=name, object="model", deleted=True).to_dict())
