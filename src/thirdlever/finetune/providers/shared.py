"""What the providers share: an HTTP client, which errors mean what, settings, waiting, uploads in their own formats."""

from __future__ import annotations

import json
import os
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from thirdlever.core.errors import ModelError
from thirdlever.finetune.conversations import parse
from thirdlever.finetune.jobs import ForbiddenError, GoneError, Provider, UndeployedError, UnreachableError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    import httpx2

    from thirdlever.catalog.tuning import Profile
    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.jobs import Job

TIMEOUT_S = 60.0  # per request, uploads included
DEPLOY_TIMEOUT_S = 3600.0
POLL_S = 10.0
Shape = TypeVar("Shape", bound=BaseModel)
_RETRIABLE = {408, 409, 429}  # HTTP statuses, beside every 5xx


class HttpProvider(Provider):
    """A provider with a documented HTTP interface; no request is repeated."""

    def address(self) -> tuple[str, str]:
        """URL and key."""
        return self.terms.access()

    def call(self, shape: type[Shape], method: str, path: str, **options: Any) -> Shape:  # noqa: ANN401 - httpx2's
        """Send one request; the response in the shape given."""
        import httpx2

        title = self.terms.title
        try:
            response = self._client.request(method, path, **options)
        except httpx2.TransportError as error:
            message = f"{title} cannot be reached ({type(error).__name__}); run the same command again to continue"
            raise UnreachableError(message) from error
        if not response.is_success:
            raise refusal(self.terms, response.status_code, _said(response), secret=self._secret)
        try:
            return shape.model_validate_json(response.content or b"{}")
        except ValidationError as error:
            message = f"{title} sent a response that is not as documented; run the same command again to continue"
            raise UnreachableError(message) from error

    def close(self) -> None:
        """Close connections."""
        if client := self.__dict__.pop("_client", None):
            client.close()

    @cached_property
    def _client(self) -> httpx2.Client:
        import httpx2

        url, self._secret = self.address()
        headers = {"Authorization": f"Bearer {self._secret}"}
        return httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT_S)


def _said(response: httpx2.Response) -> str:
    """The message of an error, which is nested in its body at some providers."""
    try:
        body = response.json()
    except ValueError:
        return response.reason_phrase
    error = body.get("error", body) if isinstance(body, dict) else body
    return str(error.get("message") if isinstance(error, dict) else error)


def refusal(terms: Profile, status: int, said: str, *, code: str = "", secret: str = "") -> ModelError:
    """The error for an HTTP status, without the key."""
    said = said.replace(secret, "…") if secret else said
    title = terms.title
    match status:
        case 401:  # the message may repeat a part of the key
            return ModelError(f"{title} refused the key in {terms.key_variable}; set a valid one")
        case 403:
            return ForbiddenError(f"{title} does not allow this account to do that (HTTP 403: {said})")
        case 404:
            return GoneError(f"{title} does not have it: {said}")
    said = f"(HTTP {status}: {said})"
    if is_retriable(status) and code != "insufficient_quota":
        return UnreachableError(f"{title} cannot answer now {said}; run the same command again to continue")
    return ModelError(f"{title} refused {said}; correct this and run again")


def not_deployed(terms: Profile, job: Job) -> NoReturn:
    """Tell the user to deploy a model; raises `UndeployedError`."""
    message = (
        f"{terms.title} answers for {job.tuned} only once it is deployed: {terms.deploying}; then "
        f"run thirdlever jobs deployed {job.short} NAME, and the same command again"
    )
    raise UndeployedError(message)


def wait_until(
    ready: str, state: Callable[[], str | None], what: str, *, failed: Collection[str | None] = (None,)
) -> None:
    """Poll until a resource is ready; raises `ModelError` if it fails, or takes longer than `DEPLOY_TIMEOUT_S`."""
    until = time.monotonic() + DEPLOY_TIMEOUT_S
    while (said := state()) != ready:
        if said in failed or time.monotonic() > until:
            message = f"{what} is {said or 'missing'}; check it at the provider, then run again"
            raise ModelError(message)
        time.sleep(POLL_S)


def seconds_between(start: dt.datetime | None, end: dt.datetime | None) -> float | None:
    """Seconds from one time to another; None if either is not reported."""
    return (end - start).total_seconds() if start and end else None


def is_retriable(status: int) -> bool:
    """Whether a request that failed with this HTTP status may succeed later."""
    return status in _RETRIABLE or status >= 500  # noqa: PLR2004 - HTTP's server errors


def variable(title: str, name: str) -> str:
    """An environment variable that a provider needs; raises `ModelError` if it is not set."""
    value = os.environ.get(name)
    if not value:
        message = f"{title}: the environment variable {name} is not set; set it and run again"
        raise ModelError(message)
    return value


def bucket_and_key(folder: str, *parts: str) -> tuple[str, str]:
    """The bucket and the object key of a path below a folder such as "s3://bucket/folder"."""
    bucket, _, prefix = folder.rpartition("://")[2].rstrip("/").partition("/")
    return bucket, "/".join(filter(None, (prefix, *parts)))


def rewritten(path: Path, row: Callable[[Conversation], Mapping[str, Any]]) -> bytes:
    """A training file in a provider's own format, one JSON object per line."""
    examples = parse(path.read_bytes(), minimum=1)
    return "".join(json.dumps(row(example), ensure_ascii=False) + "\n" for example in examples).encode()
