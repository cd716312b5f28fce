"""The files' routes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from openai.types import FileDeleted
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.responses import FileResponse, JSONResponse

from thirdlever.serving import pagination
from thirdlever.serving.errors import ApiError

if TYPE_CHECKING:
    from starlette.requests import Request

    from thirdlever.serving.files import Files

_LIST = 10_000  # OpenAI's default and largest page


def _files(request: Request) -> Files:
    files: Files = request.app.state.files
    return files


async def create(request: Request) -> JSONResponse:
    """POST /files."""
    async with request.form() as form:
        file, purpose = form.get("file"), form.get("purpose")
        for name in set(form) - {"file", "purpose"}:
            message = f"Unsupported parameter: '{name}' is not supported by this endpoint."
            raise ApiError(message, param=name, code="unsupported_parameter")
        if not isinstance(file, UploadFile):
            message = "Missing required parameter: 'file'; send it as multipart/form-data."
            raise ApiError(message, param="file", code="missing_required_parameter")
        if purpose != "fine-tune":
            message = f"Invalid value for 'purpose': {purpose!r}; this endpoint takes 'fine-tune'."
            raise ApiError(message, param="purpose", code="invalid_value")
        kept = await run_in_threadpool(
            _files(request).add, file.file, filename=file.filename or "file", purpose="fine-tune"
        )
    return JSONResponse(kept.to_dict())


def list_all(request: Request) -> JSONResponse:
    """GET /files."""
    query = request.query_params
    order = query.get("order", "desc")
    if order not in {"asc", "desc"}:
        message = f"Invalid 'order': {order!r} is neither 'asc' nor 'desc'."
        raise ApiError(message, param="order", code="invalid_value")
    found = [file for file in _files(request).all() if query.get("purpose", file.purpose) == file.purpose]
    ordered = found if order == "asc" else found[::-1]
    return JSONResponse(pagination.page(ordered, query, limit=_LIST, most=_LIST))


def retrieve(request: Request) -> JSONResponse:
    """GET /files/{id}."""
    return JSONResponse(_files(request).get(request.path_params["id"]).to_dict())


def content(request: Request) -> FileResponse:
    """GET /files/{id}/content."""
    files, name = _files(request), request.path_params["id"]
    return FileResponse(files.path(name), filename=files.get(name).filename, media_type="application/octet-stream")


def delete(request: Request) -> JSONResponse:
    """DELETE /files/{id}."""
    name = request.path_params["id"]
    _files(request).delete(name)
    return JSONResponse(FileDeleted(id=name, object="file", deleted=True).to_dict())
