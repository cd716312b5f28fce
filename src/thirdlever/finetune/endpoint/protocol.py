"""OpenAI's protocol as the endpoint implements it: request bodies, errors, pages and ids."""

from __future__ import annotations

import json
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

    _Body = TypeVar("_Body", bound=BaseModel)

_INT64 = 2**63
_SHOWN_CHARS = 60  # of a refused value, in an error message
_RANDOM_CHARS = 8  # at the end of an id


class ApiError(Exception):
    """An error response."""

    def __init__(
        self,
        message: str,
        *,
        status: int = HTTPStatus.BAD_REQUEST,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Take the message, the HTTP status, the parameter at fault, OpenAI's error code and the response's headers."""
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = headers

    def response(self) -> JSONResponse:
        """The HTTP response."""
        return JSONResponse(error_body(str(self), param=self.param, code=self.code), self.status, self.headers)


def error_body(
    message: str, *, kind: str = "invalid_request_error", param: str | None = None, code: str | None = None
) -> dict[str, dict[str, str | None]]:
    """The error object."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


async def _api_error(_: Request, error: ApiError) -> JSONResponse:
    return error.response()


async def _http_error(request: Request, error: HTTPException) -> JSONResponse:
    """Unknown route or method, or a body that is too large or incomplete."""
    where = f"{request.method} {request.url.path}"
    messages = {404: f"Invalid URL ({where})", 405: f"Not allowed to {where}"}
    code = "unknown_url" if error.status_code == HTTPStatus.NOT_FOUND else None
    body = error_body(messages.get(error.status_code, error.detail), code=code)
    return JSONResponse(body, error.status_code, error.headers)


async def _user_error(_: Request, error: ThirdleverError) -> JSONResponse:
    """A user's mistake, as reported by the engine or the trainer."""
    return ApiError(str(error)).response()


async def _server_error(_: Request, error: Exception) -> JSONResponse:
    """A bug of ours; starlette re-raises it, so that the log gets its traceback."""
    message = f"The server had an error while processing your request: {type(error).__name__}; see its log."
    return JSONResponse(error_body(message, kind="server_error"), HTTPStatus.INTERNAL_SERVER_ERROR)


HANDLERS: Mapping[Any, Any] = {  # starlette's own type requires handlers that accept any exception
    ApiError: _api_error,
    HTTPException: _http_error,
    ThirdleverError: _user_error,
    Exception: _server_error,
}


class _Item(Protocol):
    """One of OpenAI's pydantic objects."""

    id: str

    def to_dict(self) -> dict[str, object]: ...


def page(items: Sequence[_Item], query: Mapping[str, str], *, limit: int, largest: int = 100) -> dict[str, Any]:
    """The items that the query's `after` and `limit` select; by default the first `limit`, at most `largest`."""
    given, after = query.get("limit", str(limit)), query.get("after")
    if not given.isdecimal() or not 1 <= int(given) <= largest:
        message = f"Invalid 'limit': {given!r} is not a whole number from 1 to {largest}."
        raise ApiError(message, param="limit", code="invalid_value")
    ids = [item.id for item in items]
    if after is not None and after not in ids:
        message = f"Invalid 'after': {after!r} is not in this list."
        raise ApiError(message, param="after", code="invalid_value")
    start = 0 if after is None else ids.index(after) + 1
    end = start + int(given)
    shown = items[start:end]
    return {
        "object": "list",
        "data": [item.to_dict() for item in shown],
        "first_id": shown[0].id if shown else "",
        "last_id": shown[-1].id if shown else "",
        "has_more": end < len(items),
    }


class Body(BaseModel):
    """A request body: unknown parameters are refused, and null counts as absent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, given: Any) -> Any:  # noqa: ANN401 - any JSON
        return {k: v for k, v in given.items() if v is not None} if isinstance(given, dict) else given


Metadata: TypeAlias = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
Auto: TypeAlias = Literal["auto"]


class Hyperparameters(Body):
    """Of supervised fine-tuning."""

    n_epochs: Annotated[int, Field(ge=1, le=50)] | Auto = "auto"
    batch_size: Annotated[int, Field(ge=1, le=256)] | Auto = "auto"
    learning_rate_multiplier: Annotated[float, Field(gt=0)] | Auto = "auto"


class _Supervised(Body):
    hyperparameters: Hyperparameters = Hyperparameters()


class _TuningMethod(Body):
    type: Literal["supervised"]
    supervised: _Supervised = _Supervised()


class CreateJob(Body):
    """POST /fine_tuning/jobs."""

    model: str
    training_file: str
    validation_file: str | None = None
    hyperparameters: Hyperparameters | None = None
    method: _TuningMethod | None = None
    suffix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**31)] | None = None
    metadata: Metadata | None = None
    integrations: Annotated[list[Any], Field(max_length=0)] = []

    @property
    def chosen_hyperparameters(self) -> Hyperparameters:
        """The hyperparameters from whichever parameter contains them."""
        given = self.method.supervised.hyperparameters if self.method else self.hyperparameters
        return given or Hyperparameters()


class _TextPart(Body):
    type: Literal["text"]
    text: str


class _ChatTurn(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[_TextPart]

    def as_turn(self) -> dict[str, str]:
        """In the form of local chat templates, where "developer", newer clients' name for it, is "system"."""
        text = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


class _StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class _JsonSchema(Body):
    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    description: str = ""
    json_schema: Annotated[dict[str, Any], Field(alias="schema")] = {}
    strict: bool = False  # answers always follow the schema here


class _ResponseFormat(Body):
    type: Literal["text", "json_schema"]
    json_schema: _JsonSchema | None = None


class _StructuredOutputs(Body):  # vLLM's extension of the protocol: answer with one of these choices
    choice: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class CreateChat(Body):
    """POST /chat/completions."""

    model: str
    messages: Annotated[list[_ChatTurn], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 1.0
    top_p: Annotated[float, Field(ge=0, le=1)] = 1.0
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] = []
    stream: bool = False
    stream_options: _StreamOptions | None = None
    structured_outputs: _StructuredOutputs | None = None
    response_format: _ResponseFormat | None = None

    # Accepted only with the value that has no effect.
    n: Literal[1] = 1
    logprobs: Literal[False] = False
    presence_penalty: Annotated[float, Field(ge=0, le=0)] = 0
    frequency_penalty: Annotated[float, Field(ge=0, le=0)] = 0
    logit_bias: Annotated[dict[str, float], Field(max_length=0)] = {}
    tools: Annotated[list[Any], Field(max_length=0)] = []
    store: Literal[False] = False

    # For the caller's records; they do not affect the answer.
    user: str = ""
    safety_identifier: str = ""
    prompt_cache_key: str = ""
    metadata: Metadata = {}

    @property
    def answer_schema(self) -> str | None:
        """The JSON schema that the answer must follow, as text; None for an answer in plain text."""
        asked = self.response_format.json_schema if self.response_format else None
        return json.dumps(asked.json_schema) if asked else None


async def read(request: Request, kind: type[_Body]) -> _Body:
    """Validate a request's body; 400 with the first error found."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise _refusal(error) from error


def _refusal(error: ValidationError) -> ApiError:
    found = error.errors(include_url=False, include_context=False)
    # pydantic reports an error for each member of a union; one from a member of the right type is more useful.
    near = [one for one in found if _param(one).startswith(_param(found[0]))]
    first = next((one for one in near if not one["type"].endswith("_type")), near[0])
    param, value = _param(first), repr(first["input"])
    shown = value if len(value) <= _SHOWN_CHARS else f"{value[:_SHOWN_CHARS]}…"
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
            message = f"Unsupported value: '{param}' does not support {shown} with this endpoint. {first['msg']}."
            return ApiError(message, param=param, code="unsupported_value")
        case _:
            message = f"Invalid value for '{param}': {shown}. {first['msg']}."
            return ApiError(message, param=param, code="invalid_value")


def _param(error: ErrorDetails) -> str:
    """The parameter's path, without the names of union members: "str", "constrained-int", "list[_TextPart]"."""
    path = (str(part) for part in error["loc"])
    return ".".join(part for part in path if part.replace("_", "").isalnum() and part != "str")


IdKind: TypeAlias = Literal["file", "ftjob", "ftevent", "ftckpt", "chatcmpl"]


def new_id(kind: IdKind) -> str:
    """A new id that sorts by time, such as "ftjob-187a3c55e1f0b2c49f3a6d17"."""
    return f"{kind}-{time.time_ns():016x}{secrets.token_hex(_RANDOM_CHARS // 2)}"


def random_part(name: str) -> str:
    """The random end of an id, with which a tuned model's name ends."""
    return name[-_RANDOM_CHARS:]


def is_id(kind: IdKind, name: str) -> bool:
    """Whether a name has the form of our ids, and so is safe as part of a path."""
    return re.fullmatch(rf"{kind}-[0-9a-f]{{24}}", name) is not None
