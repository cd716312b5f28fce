"""The base model as strategies see it, and how it generates: sampling, reasoning, structured output, connections."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from thirdlever.core.errors import RunError
from thirdlever.models.parameters import LEAST_TOKENS, joined, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from inspect_ai.model import GenerateConfig, Model, ResponseSchema

    from thirdlever.answers.answer import Answer
    from thirdlever.models.parameters import ModelSettings


THINKING_ROOM = 4000  # tokens; a model that answers with a label stops by itself, so the room costs nothing
_CLIENTS = {"openai": "openai", "openai-api": "openai", "openrouter": "openai", "anthropic": "anthropic"}  # packages
_LEAST_WINDOW = 4 * THINKING_ROOM  # models with less are older than reasoning
CHARS_PER_TOKEN = 3.0  # cautious: English has about 4 with today's tokenizers


class Tokens(Protocol):
    """Counts the tokens of a text."""

    def __call__(self, text: str) -> int:
        """Number of tokens."""


def as_text(messages: Iterable[str]) -> str:
    """The messages of a request as one text, whose length its tokens are estimated from."""
    return "\n\n".join(messages)


def estimated_tokens(text: str) -> int:
    """A cautious estimate from the text's length."""
    return int(len(text) / CHARS_PER_TOKEN) + 1


@dataclass(frozen=True)
class BaseModel:
    """A model to adapt.

    Attributes:
        name: as given by the user, such as "embedded" or "openai/gpt-5.4-mini:effort=low".
        inspect_name: argument of inspect's `get_model`.
        args: model arguments of `get_model`.
        revision: hash of local weights, else the provider's model name.
        local: whether it runs in this process.
        context_window: maximum tokens of prompt and answer together; None if unknown.
        tokens: counts tokens, exactly for local models, else by a cautious estimate from characters.
        settings: the generation settings in its name, by name.
        reasons: whether it may reason before it answers.
        max_output: maximum tokens of a completion, reasoning included; None if unknown.
        offline: whether it is part of a plan: no request is sent to it and no tuning job is ordered for it.
    """

    name: str
    inspect_name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    revision: str = ""
    local: bool = False
    context_window: int | None = None
    tokens: Tokens = field(default=estimated_tokens, compare=False)
    settings: ModelSettings = field(default_factory=dict, kw_only=True)
    reasons: bool = field(default=False, kw_only=True, compare=False)
    max_output: int | None = field(default=None, kw_only=True, compare=False)
    offline: bool = field(default=False, kw_only=True, compare=False)

    @property
    def plain_name(self) -> str:
        """The name without settings: what prices, retirements and tuning go by."""
        return plain(self.name)

    @property
    def service(self) -> str:
        """Inspect's name of the provider."""
        return self.inspect_name.partition("/")[0]

    @property
    def costs_device_time(self) -> bool:
        """Whether its cost is this machine's time instead of tokens."""
        return self.local

    def completion_tokens(self, answer: int) -> int:
        """Maximum tokens of a completion: the settings' `max_tokens`, or room to think and to answer.

        Args:
            answer: maximum tokens of the answer alone.
        """
        if stated := self.settings.get("max_tokens"):
            return int(stated)
        thinks = self.reasons and (self.context_window or _LEAST_WINDOW) >= _LEAST_WINDOW
        room: int = answer + max(THINKING_ROOM if thinks else 0, self.settings.get("thinking", 0))
        if not self.local:
            room = max(room, LEAST_TOKENS)
        return min(room, self.max_output or room)

    def tuned(self, folder: Path, *, key: str, whole: bool) -> BaseModel:
        """This local model after tuning.

        Args:
            folder: folder of the adapter, or of a whole model.
            key: hash of everything that the tuning depends on.
            whole: whether it is a whole model.
        """
        name, revision = joined(f"{self.plain_name}+{key[:8]}", self.settings), f"{self.revision}+{key}"
        if whole:
            return replace(self, name=name, inspect_name=f"thirdlever/hf/{folder.resolve()}", revision=revision)
        return replace(self, name=name, args={**self.args, "adapter": str(folder.resolve())}, revision=revision)

    def connect(self) -> Model:
        """The inspect model; local weights are loaded at the first request.

        A hosted model is a new one each time: its client belongs to one event loop, address and key.
        """
        from inspect_ai.model import get_model

        if self.local:
            return get_model(self.inspect_name, **self.args)
        from thirdlever.models.parameters import watched

        args = {**self.args, **_quicker(self.service)}
        return watched(get_model(self.inspect_name, memoize=False, **args), self.name, self.settings)


def _quicker(service: str) -> dict[str, Any]:
    """Let a provider's client send by aiohttp: httpx2 inspects every open connection at each request."""
    package = _CLIENTS.get(service)
    if package is None or importlib.util.find_spec(package) is None:
        return {}
    return {"http_client": importlib.import_module(package).DefaultAioHttpClient()}


LOCAL_CONNECTIONS = 512  # the engine batches, and batches best when it sees as many requests as it can hold
START_CONNECTIONS = 20  # to a hosted model; the number then adapts to what the provider allows
HOSTED_CONNECTIONS = 100  # at most
BATCH = 1000  # requests per call of a batch API; a budget can stop a run between two batches, not within one
RETRIES = 8  # per request, of providers that are not inspect's own; inspect's default never stops

# inspect's providers that send a JSON schema, and those whose server takes a list of choices, which costs less.
_SCHEMA = {
    "anthropic", "azure", "fireworks", "google", "grok", "groq", "mistral", "ollama", "openai", "openai-api",
    "openrouter", "sagemaker", "sglang", "thirdlever", "together", "vllm",
}  # fmt: skip
_CHOICES = {"local-endpoint", "thirdlever", "vllm"}  # vLLM's extension of OpenAI's protocol
_ANY_SCHEMA = {"thirdlever", "vllm"}  # with every keyword, by the same extension


def generate_config(
    model: BaseModel | None,
    answer: Answer,
    *,
    seed: int | None,
    constrain: bool = False,
    temperature: float = 0.0,
    max_connections: int | None = None,
    batch: bool = False,
) -> GenerateConfig:
    """What inspect is told about a model's requests.

    Args:
        model: the model; None for a candidate that has none.
        answer: how answers are specified.
        seed: of the sampling; None if each repeat should differ.
        constrain: whether the model may only give answers that the suite allows.
        temperature: of the sampling, unless the model's settings state one.
        max_connections: most requests at once; None for as many as suit the model.
        batch: whether to use the provider's batch API.
    """
    from inspect_ai.model import GenerateConfig

    config = GenerateConfig(
        temperature=temperature,
        seed=seed,
        max_tokens=answer.max_tokens,
        max_connections=max_connections or _most_connections(model, batch=batch),
        adaptive_connections=False,
        max_retries=RETRIES,
        batch=BATCH if batch else None,
    )
    if model is None:
        return config
    settings = model.settings
    config.temperature = temperature or settings.get("temperature", 0.0)
    config.max_tokens = model.completion_tokens(answer.max_tokens)
    config.top_p = settings.get("top_p")
    config.reasoning_effort = settings.get("effort")
    config.reasoning_tokens = settings.get("thinking")
    config.verbosity = settings.get("verbosity")
    if not model.local:
        # Unset, inspect sends OpenAI a paid request of its own to learn whether summaries of the reasoning are allowed.
        config.reasoning_summary = "none"
    if constrain:
        config = config.merge(_constraint(model, answer))
    return config


def _most_connections(model: BaseModel | None, *, batch: bool) -> int:
    if model is None or model.local:
        return LOCAL_CONNECTIONS
    return BATCH if batch else HOSTED_CONNECTIONS  # requests that wait for a batch to fill count too


def check_constrains(model: BaseModel, answer: Answer) -> None:
    """Check that a model can be restricted to the answers that a suite allows.

    Raises:
        RunError: the suite's answers are free text, or the provider has no structured output.
    """
    if answer_schema(answer) is None:
        message = f"--constrain: the answers of kind {type(answer).__name__} are free text; leave --constrain out"
        raise RunError(message)
    service = model.service
    if service not in _SCHEMA and not (answer.choices and service in _CHOICES):
        message = (
            f"--constrain: {service!r} takes no JSON schema, and every candidate must be restricted alike; "
            "leave --constrain out, or use a local model, a vLLM server or another provider"
        )
        raise RunError(message)


def answer_schema(answer: Answer) -> dict[str, Any] | None:
    """JSON schema of a suite's answers: the kind's own, or one of its choices; None for free text.

    A label is the one property of an object, because providers accept no other type at the top.
    """
    if own := getattr(answer, "schema", None):
        return _portable(own)
    if not answer.choices:
        return None
    name = answer.name.lower()
    return {
        "type": "object",
        "properties": {name: {"type": "string", "enum": list(answer.choices)}},
        "required": [name],
        "additionalProperties": False,
    }


def _constraint(model: BaseModel, answer: Answer) -> GenerateConfig:
    """A list of choices or any schema where the server takes it, otherwise a schema of inspect's keywords."""
    from inspect_ai.model import GenerateConfig

    if answer.choices and model.service in _CHOICES:
        return GenerateConfig(extra_body={"structured_outputs": {"choice": list(answer.choices)}})
    if model.service in _ANY_SCHEMA:
        return GenerateConfig(extra_body={"structured_outputs": {"json": answer_schema(answer)}})
    return GenerateConfig(response_schema=_response_schema(answer))


def _response_schema(answer: Answer) -> ResponseSchema | None:
    from inspect_ai.model import ResponseSchema
    from inspect_ai.util import JSONSchema

    schema = answer_schema(answer)
    if schema is None:
        return None
    return ResponseSchema(name="answer", json_schema=JSONSchema.model_validate(schema), strict=True)


def _portable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema in the keywords that all providers know, and closed, as their strict modes want it.

    Every property is required: a value that may be missing should be one that may be null.

    >>> _portable({"type": "object", "properties": {"n": {"oneOf": [{"const": 1}, {"type": "null"}]}}})["properties"]
    {'n': {'anyOf': [{'enum': [1]}, {'type': 'null'}]}}
    """
    renamed = {"oneOf": "anyOf", "const": "enum"}
    made: dict[str, Any] = {renamed.get(key, key): value for key, value in schema.items()}
    if "const" in schema:
        made["enum"] = [schema["const"]]
    if several := made.get("anyOf"):
        made["anyOf"] = [_portable(each) for each in several]
    if isinstance(items := made.get("items"), dict):
        made["items"] = _portable(items)
    if properties := made.get("properties"):
        made["properties"] = {name: _portable(each) for name, each in properties.items()}
        made |= {"required": list(properties), "additionalProperties": False}
    return made
