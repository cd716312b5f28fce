"""The local engine as inspect's model provider `thirdlever`: `thirdlever/embedded`, `thirdlever/hf/<folder or id>`."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inspect_ai.model import (
    ChatCompletionChoice,
    ChatMessageAssistant,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)

from thirdlever.core.errors import ModelError
from thirdlever.models.engine import chat, local
from thirdlever.models.engine.generate import Request

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage
    from inspect_ai.tool import ToolChoice, ToolInfo

    from thirdlever.models.engine.generate import Tokens


_MAX_TOKENS = 512  # if the caller gives no limit


class LocalAPI(ModelAPI):
    """Submits each request to the model's engine, which batches waiting requests."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        *,
        adapter: str | None = None,
        **_: Any,  # noqa: ANN401 - inspect's signature
    ) -> None:
        """Make sure that the weights are on this machine; they are loaded at the first request.

        Args:
            model_name: "embedded" or "hf/<folder or hub id>".
            base_url: unused, part of inspect's signature.
            api_key: unused, part of inspect's signature.
            config: default generation options.
            adapter: folder of a LoRA adapter.
        """
        local.folder(model_name)
        self._adapter = Path(adapter) if adapter else None
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - inspect's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,  # noqa: ARG002 - inspect's signature
        config: GenerateConfig,
    ) -> ModelOutput:
        """Answer one conversation.

        Raises:
            ModelError: tools were given, or the prompt does not fit.
        """
        if tools:
            message = f"the local engine does not support tools; serve {self.model_name!r} with vLLM (--model vllm/…)"
            raise ModelError(message)
        start = time.perf_counter()
        turns = [{"role": message.role, "content": message.text} for message in input]
        request = _request(self.model_name, chat.encode(self.model_name, turns), config, self._adapter)
        done = await asyncio.wrap_future(local.engine(self.model_name).submit(request))
        message_out = ChatMessageAssistant(content=done.text, model=self.model_name, source="generate")
        usage = ModelUsage(
            input_tokens=done.input_tokens - done.cached_tokens,
            input_tokens_cache_read=done.cached_tokens,
            output_tokens=done.output_tokens,
            total_tokens=done.input_tokens + done.output_tokens,
        )
        return ModelOutput(
            model=self.model_name,
            choices=[ChatCompletionChoice(message=message_out, stop_reason=done.stop_reason)],
            usage=usage,
            time=time.perf_counter() - start,
            metadata={"device_s": done.device_s, "ttft_s": done.ttft_s},
        )

    def max_connections(self) -> int:
        """The most requests that the engine batches."""
        return 512

    def connection_key(self) -> str:
        """Connections are limited per set of weights."""
        return self.model_name


def _request(name: str, tokens: Tokens, config: GenerateConfig, adapter: Path | None) -> Request:
    structured = (config.extra_body or {}).get("structured_outputs", {})  # vLLM's name for it
    choice = tuple(structured.get("choice", ()))
    schema = structured.get("json")
    if schema is None and config.response_schema is not None:
        schema = config.response_schema.json_schema.model_dump(exclude_none=True)
    return Request(
        tokens=tokens,
        max_tokens=config.max_tokens or _MAX_TOKENS,
        choices=chat.choices(name, choice) if choice else None,
        grammar=chat.grammar(name, json.dumps(schema, ensure_ascii=False)) if schema else None,
        stop=tuple(config.stop_seqs or ()),
        temperature=config.temperature or 0.0,
        top_p=1.0 if config.top_p is None else config.top_p,
        seed=config.seed,
        adapter=adapter,
    )
