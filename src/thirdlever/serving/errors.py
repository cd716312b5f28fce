"""Errors as OpenAI's protocol tells them: `{"error": {"message", "type", "param", "code"}}` and a status."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from thirdlever.core.errors import ThirdleverError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

INVALID = "invalid_request_error"


class ApiError(Exception):
    """What a request is refused with."""

    def __init__(
        self, message: str, *, status: int = HTTPStatus.BAD_REQUEST, param: str | None = None, code: str | None = None
    ) -> None:
        """Take a sentence, the HTTP status, the parameter at fault and OpenAI's code for it."""
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code

    def response(self) -> JSONResponse:
        """What the client gets."""
        return JSONResponse(body(str(self), param=self.param, code=self.code), self.status)


def body(
    message: str, *, kind: str = INVALID, param: str | None = None, code: str | None = None
) -> dict[str, dict[str, str | None]]:
    """The error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


async def _api_error(_: Request, error: ApiError) -> JSONResponse:
    return error.response()


async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    """No such route, no such method, a body that is too large or broken off."""
    where = f"{request.method} {request.url.path}"
    told = {
        HTTPStatus.NOT_FOUND: f"Invalid URL ({where})",
        HTTPStatus.METHOD_NOT_ALLOWED: f"Not allowed to {where}",
    }
    code = "unknown_url" if error.status_code == HTTPStatus.NOT_FOUND else None
    message = told.get(HTTPStatus(error.status_code), error.detail)
    return JSONResponse(body(message, code=code), error.status_code, error.headers)


async def _user_error(_: Request, error: ThirdleverError) -> JSONResponse:
    """What the engine or the trainer tells its users."""
    return ApiError(str(error)).response()


async def _defect(_: Request, error: Exception) -> JSONResponse:
    """A defect of ours; starlette raises it again, so that the log gets its traceback."""
    message = f"The server had an error while processing your request: {type(error).__name__}; its log says more."
    return JSONResponse(body(message, kind="server_error"), HTTPStatus.INTERNAL_SERVER_ERROR)


HANDLERS: Mapping[Any, Any] = {  # starlette would have each handler take any exception
    ApiError: _api_error,
    HTTPException: _http_error,
    ThirdleverError: _user_error,
    Exception: _defect,
}
