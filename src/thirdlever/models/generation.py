"""How a model generates: the room of a completion, sampling, reasoning, structured output and connections."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from inspect_ai.model import GenerateConfig, ResponseSchema

    from thirdlever.answers.answer import Answer
    from thirdlever.models.base import BaseModel


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
    """JSON schema of a suite's answers; None for free text.

    A label is the one property of an object, because providers accept no other type at the top.
    """
    if answer.choices:
        properties: dict[str, Any] = {answer.name.lower(): {"type": "string", "enum": list(answer.choices)}}
    elif keys := getattr(answer, "keys", ()):
        value = {"anyOf": [{"type": kind} for kind in ("string", "number", "boolean", "null")]}
        properties = dict.fromkeys(keys, value)
    else:
        return None
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _constraint(model: BaseModel, answer: Answer) -> GenerateConfig:
    """A list of choices where the server takes one, otherwise a JSON schema."""
    from inspect_ai.model import GenerateConfig

    if answer.choices and model.service in _CHOICES:
        return GenerateConfig(extra_body={"structured_outputs": {"choice": list(answer.choices)}})
    return GenerateConfig(response_schema=_response_schema(answer))


def _response_schema(answer: Answer) -> ResponseSchema | None:
    from inspect_ai.model import ResponseSchema
    from inspect_ai.util import JSONSchema

    schema = answer_schema(answer)
    if schema is None:
        return None
    return ResponseSchema(name="answer", json_schema=JSONSchema.model_validate(schema), strict=True)
