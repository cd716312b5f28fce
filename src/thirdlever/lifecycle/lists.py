"""The providers' lists of models, live, by their official clients; nobody is asked without a key.

OpenAI's protocol was exercised against a server on this machine, Anthropic's client against recorded answers, Bedrock's
against botocore's Stubber; none against the live services.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thirdlever.core.errors import MissingExtraError, ThirdleverError, need
from thirdlever.lifecycle.shapes import Listing, ShapeError, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TITLES = {"openai": "OpenAI", "anthropic": "Anthropic", "bedrock": "Bedrock"}
_TIMEOUT = 10.0  # seconds: a run waits for it
_RETRIES = 1
_STATES = ["active", "deprecated", "retired"]  # Anthropic leaves retired models out unless they are asked for


class UnlistedError(ThirdleverError):
    """A provider's list cannot be had; the message says why in a few words."""


def fetch(provider: str) -> Listing:
    """What a provider has now.

    Raises:
        UnlistedError: no key, no client, no answer, or no list that is known of.
    """
    if provider not in _ASK:
        message = f"no list of {provider}'s models is known; state its dates in retirements.toml"
        raise UnlistedError(message)
    try:
        body, source = _ASK[provider]()
        return listing(body, source=source, fetched_at=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"))
    except MissingExtraError as error:
        raise UnlistedError(str(error)) from error
    except ShapeError as error:
        message = f"{TITLES[provider]} answered in a form that is not understood: {error}"
        raise UnlistedError(message) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        message = f"{TITLES[provider]} answered something that is not JSON"
        raise UnlistedError(message) from error


def _openai() -> tuple[Any, str]:
    import openai

    return _by_client(openai, openai.OpenAI, "OPENAI_API_KEY", {})


def _anthropic() -> tuple[Any, str]:
    _key("ANTHROPIC_API_KEY")
    anthropic = need("anthropic", extra="anthropic")
    return _by_client(anthropic, anthropic.Anthropic, "ANTHROPIC_API_KEY", {"limit": 1000, "lifecycle": _STATES})


def _by_client(module: Any, make: Any, variable: str, options: Mapping[str, Any]) -> tuple[Any, str]:  # noqa: ANN401
    """What the clients of OpenAI and Anthropic, which are built alike, get: the answer as it came, and its address."""
    _key(variable)
    title = TITLES[module.__name__]
    try:
        with make(timeout=_TIMEOUT, max_retries=_RETRIES) as client:
            answer = client.models.with_raw_response.list(**options).http_response
            return answer.json(), _address(str(answer.url))
    except module.APIStatusError as error:  # what it says may repeat the key
        message = f"{title} refused (HTTP {error.status_code})"
        raise UnlistedError(message) from error
    except module.APIConnectionError as error:
        message = f"{title} cannot be reached ({type(error.__cause__ or error).__name__})"
        raise UnlistedError(message) from error


def _bedrock() -> tuple[Any, str]:
    boto3 = need("boto3", extra="bedrock")
    errors = need("botocore.exceptions", extra="bedrock")
    try:
        if boto3.Session().get_credentials() is None:
            message = "no AWS credentials"
            raise UnlistedError(message)
        with bedrock_client() as client:
            return client.list_foundation_models(), client.meta.endpoint_url
    except errors.ClientError as error:
        message = f"Bedrock refused ({error.response.get('Error', {}).get('Code', 'no reason given')})"
        raise UnlistedError(message) from error
    except errors.NoRegionError as error:
        message = "no AWS region; set AWS_DEFAULT_REGION"
        raise UnlistedError(message) from error
    except errors.BotoCoreError as error:
        message = f"Bedrock cannot be reached ({type(error).__name__})"
        raise UnlistedError(message) from error


def bedrock_client() -> Any:  # noqa: ANN401 - boto3 makes its clients as it goes
    """The service's client, which gives up soon."""
    config = need("botocore.config", extra="bedrock").Config(
        connect_timeout=_TIMEOUT, read_timeout=_TIMEOUT, retries={"total_max_attempts": _RETRIES + 1}
    )
    from contextlib import closing

    return closing(need("boto3", extra="bedrock").client("bedrock", config=config))


def _key(variable: str) -> None:
    if not os.environ.get(variable):
        message = f"no {variable}"
        raise UnlistedError(message)


def _address(url: str) -> str:
    """Without a user's name, password or query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


_ASK: dict[str, Callable[[], tuple[Any, str]]] = {"openai": _openai, "anthropic": _anthropic, "bedrock": _bedrock}
