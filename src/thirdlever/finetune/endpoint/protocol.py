"""Errors as OpenAI's protocol tells them: `{"error": {"message", "type", "param", "code"}}` and a status."""

from __future__ import annotations

import re
import secrets
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from thirdlever.core.errors import ThirdleverError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic_core import ErrorDetails
    from starlette.requests import Request

    _Read = TypeVar("_Read", bound=BaseModel)


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


class Listed(Protocol):
    """One of OpenAI's objects (pydantic)."""

    id: str

    def to_dict(self) -> dict[str, object]:
        """As JSON has it, without what was not set."""


def page(items: Sequence[Listed], query: Mapping[str, str], *, limit: int, most: int = 100) -> dict[str, Any]:
    """The list object.

    Args:
        items: all there are, in order.
        query: the request's; `after` and `limit` are read.
        limit: when the request states none.
        most: the largest that it may state.

    Raises:
        ApiError: no such item, or a limit out of bounds.
    """
    asked = _limit(query.get("limit"), limit, most)
    start = _after(items, query["after"]) if "after" in query else 0
    shown = items[start : start + asked]
    return {
        "object": "list",
        "data": [item.to_dict() for item in shown],
        "first_id": shown[0].id if shown else "",
        "last_id": shown[-1].id if shown else "",
        "has_more": start + asked < len(items),
    }


def _limit(given: str | None, default: int, most: int) -> int:
    if given is None:
        return default
    if not given.isdecimal() or not 1 <= int(given) <= most:
        message = f"Invalid 'limit': {given!r} is not a whole number from 1 to {most}."
        raise ApiError(message, param="limit", code="invalid_value")
    return int(given)


def _after(items: Sequence[Listed], name: str) -> int:
    for place, item in enumerate(items, 1):
        if item.id == name:
            return place
    message = f"Invalid 'after': {name!r} is not in this list."
    raise ApiError(message, param="after", code="invalid_value")


_INT64 = 2**63


class Body(BaseModel):
    """The common rules."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, given: Any) -> Any:  # noqa: ANN401 - whatever came
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given


Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
Auto: TypeAlias = Literal["auto"]


class Hyperparameters(Body):
    """Of a supervised tune."""

    n_epochs: Annotated[int, Field(ge=1, le=50)] | Auto = "auto"
    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto = "auto"
    learning_rate_multiplier: Annotated[float, Field(gt=0)] | Auto = "auto"


class Supervised(Body):
    """The one method there is."""

    hyperparameters: Hyperparameters = Hyperparameters()


class Method(Body):
    """How to tune."""

    type: Literal["supervised"]
    supervised: Supervised = Supervised()


class CreateJob(Body):
    """POST /fine_tuning/jobs."""

    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters | None = None
    method: Method | None = None
    suffix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: Metadata | None = None
    integrations: Annotated[list[Any], Field(max_length=0)] = []

    @property
    def tuned_with(self) -> Hyperparameters:
        """The hyperparameters, wherever they were given."""
        given = self.method.supervised.hyperparameters if self.method else self.hyperparameters
        return given or Hyperparameters()


class Part(Body):
    """A piece of a message's content."""

    type: Literal["text"]
    text: str


class Message(Body):
    """A turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part]

    def turn(self) -> dict[str, str]:
        """As the local models' templates take it; "developer" is what newer clients call the system."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class StreamOptions(Body):
    """Of a streamed answer."""

    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class ResponseFormat(Body):
    """The one there is."""

    type: Literal["text"]


class StructuredOutputs(Body):
    """vLLM's addition to the protocol, as far as it is taken here: answer with one of these."""

    choice: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class CreateChat(Body):
    """POST /chat/completions."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] = []
    stream: bool = False
    stream_options: StreamOptions | None = None
    structured_outputs: StructuredOutputs | None = None

    # Taken at the value that changes nothing.
    n: Literal[1] = 1
    logprobs: Literal[False] = False
    presence_penalty: Annotated[float, Field(ge=0, le=0)] = 0
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] = 0
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] = {}
    tools: Annotated[list[Any], Field(max_length=0)] = []
    response_format: ResponseFormat | None = None
    store: Literal[False] = False

    # For the caller's books; no answer depends on them.
    user: str = ""
    safety_identifier: str = ""
    prompt_cache_key: str = ""
    metadata: Metadata = {}

    @property
    def allowed(self) -> tuple[str, ...]:
        """The only answers there may be; none for any."""
        return tuple(self.structured_outputs.choice) if self.structured_outputs else ()


async def read(request: Request, kind: type[_Read]) -> _Read:
    """The request's body.

    Raises:
        ApiError: 400, of the first thing that is wrong with it.
    """
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> ApiError:
    found = error.errors(include_url=False, include_context=False)
    # Each alternative of a union has its error; one that was of the right type at least says more.
    near = [fault for fault in found if _param(fault).startswith(_param(found[0]))]
    first = next((fault for fault in near if not fault["type"].endswith("_type")), near[0])
    param = _param(first)
    match first["type"]:
        case "json_invalid" | "model_type" | "model_attributes_type" if not param:
            return ApiError("We could not parse the JSON body of your request; send one JSON object.")
        case "extra_forbidden":
            message = f"Unsupported parameter: '{param}' is not supported by this endpoint."
            return ApiError(message, param=param, code="unsupported_parameter")
        case "missing":
            message = f"Missing required parameter: '{param}'."
            return ApiError(message, param=param, code="missing_required_parameter")
        case "literal_error" | "too_long":
            message = f"Unsupported value: '{param}' does not support {_shown(first['input'])} with this endpoint."
            return ApiError(f"{message} {first['msg']}.", param=param, code="unsupported_value")
        case _:
            message = f"Invalid value for '{param}': {_shown(first['input'])}. {first['msg']}."
            return ApiError(message, param=param, code="invalid_value")


def _param(fault: ErrorDetails) -> str:
    """Which parameter; a union's alternatives have names, too: "str", "constrained-int", "list[Part]"."""
    path = (str(part) for part in fault["loc"])
    return ".".join(part for part in path if part.replace("_", "").isalnum() and part != "str")


def _shown(value: object) -> str:
    """The beginning of what was sent."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:60]}…"  # noqa: PLR2004 - about a line's worth


Kind: TypeAlias = Literal["file", "ftjob", "ftevent", "ftckpt", "chatcmpl"]
TAIL = 8  # random characters at the end


def new(kind: Kind) -> str:
    """A name that nobody guesses and nothing else has, such as "ftjob-187a3c55e1f0b2c49f3a6d17"."""
    return f"{kind}-{time.time_ns():016x}{secrets.token_hex(TAIL // 2)}"


def tail(name: str) -> str:
    """The random part: what a tuned model's name ends in."""
    return name[-TAIL:]


def is_a(kind: Kind, name: str) -> bool:
    """Whether a name could be one of ours, and so is fit to be part of a path."""
    return re.fullmatch(rf"{kind}-[0-9a-f]{{24}}", name) is not None
