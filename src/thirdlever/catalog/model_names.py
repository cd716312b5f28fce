"""Model names: the provider, the id there, which names mean the same model, and when each is retired.

Announced retirement dates serve when a provider's list cannot be asked; the user's retirements.toml comes first.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from pathlib import Path

from thirdlever.core.validation import FileModel, read_toml
from thirdlever.models.parameters import plain

LOCAL = "local"
_LOCAL = ("embedded", "hf", "thirdlever", "vllm", "ollama")  # weights on the user's machines
_HOSTS = {"azure": "azure", "bedrock": "bedrock", "vertex": "vertex"}  # inspect's `<maker>/<host>/<model>`
_SERVICES = {"azureai": "azure", "openai-api": "", "openai-api-completions": ""}  # "" means `<service>/<model>`
_DATE = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
_LATEST = re.compile(r"-latest$")
_REGION = re.compile(r"^(us|eu|apac|au|ca|jp|us-gov|global)\.(?=[a-z0-9-]+\.)")  # of a Bedrock inference profile
_ARN = re.compile(r"^arn:[^/]*/(?P<id>[^/]+)")
_BEDROCK_VERSION = re.compile(r"-v\d+(:\d+)?(:\w+)?$")


def located(name: str) -> tuple[str, str]:
    """A model's provider, and its id there.

    >>> located("openai/gpt-4o-mini"), located("anthropic/bedrock/us.anthropic.claude-x-v1:0")
    (('openai', 'gpt-4o-mini'), ('bedrock', 'anthropic.claude-x-v1:0'))
    """
    name = plain(name)
    service, _, rest = name.partition("/")
    if service in _LOCAL:
        return LOCAL, name
    host, _, hosted = rest.partition("/")
    if hosted and host in _HOSTS:
        service, rest = _HOSTS[host], hosted
    elif hosted and _SERVICES.get(service) == "":
        service, rest = host, hosted
    service = _SERVICES.get(service) or service
    return service, bedrock_id(rest) if service == "bedrock" else rest


def bedrock_id(name: str) -> str:
    """The foundation model of an ARN, a cross-region profile or a context-window variant."""
    arn = _ARN.match(name)
    name = _REGION.sub("", arn["id"] if arn else name)
    return re.sub(r"(:\d+):\d+k$", r"\1", name)


def undated(name: str) -> str:
    """A model's name without its snapshot date.

    >>> undated("gpt-4o-mini-2024-07-18"), undated("claude-3-5-haiku-latest")
    ('gpt-4o-mini', 'claude-3-5-haiku')
    """
    return _DATE.sub("", _LATEST.sub("", _BEDROCK_VERSION.sub("", name)))


def dated(name: str) -> bool:
    """Whether a name means one particular snapshot."""
    return bool(_DATE.search(_BEDROCK_VERSION.sub("", name)))


OVERLAY = "retirements.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement(FileModel):
    """When a model stops answering.

    Attributes:
        retires: the first day on which it no longer answers.
        instead: the replacement that the provider recommends; "" if none.
        confidence: "list", "mirror" or "contract".
    """

    provider: str
    model: str
    retires: dt.date
    source: str
    as_of: dt.date
    instead: str = ""
    confidence: str = ""


@dataclass(frozen=True, slots=True)
class _Retirements(FileModel):
    retirement: list[Retirement] = field(default_factory=list)


def retirement(provider: str, model: str) -> Retirement | None:
    """The announced retirement of a model or of the dated snapshot's model; None if no row states it.

    Raises:
        ThirdleverError: the user's retirements.toml is malformed.
    """
    for path in (Path(OVERLAY), Path(__file__).with_name(OVERLAY)):
        rows = {(row.provider, row.model): row for row in read_toml(path, _Retirements).retirement}
        for name in (model, undated(model)):
            if (provider, name) in rows:
                return rows[provider, name]
    return None
