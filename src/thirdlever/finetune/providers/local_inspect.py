"""The local endpoint as an inspect provider: OpenAI's protocol, plus the device time that the endpoint reports.

Import this module at the point of use: it imports inspect.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inspect_ai.model import ModelOutput, modelapi
from inspect_ai.model._providers.openai_compatible import OpenAICompatibleAPI

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage, GenerateConfig, ModelCall
    from inspect_ai.tool import ToolChoice, ToolInfo

TIMINGS = "timings"  # in a chat completion, as other local servers name it; {"device_s": …, "ttft_s": …}


@modelapi(name="local-endpoint")
class LocalEndpointAPI(OpenAICompatibleAPI):
    """A model of the local endpoint."""

    def __init__(self, model_name: str, **options: Any) -> None:  # noqa: ANN401 - inspect's
        """As inspect calls it."""
        super().__init__(model_name, service="local-endpoint", **options)

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - inspect's name
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput | tuple[ModelOutput | Exception, ModelCall]:
        """Answer one conversation."""
        answered = await super().generate(input, tools, tool_choice, config)
        if isinstance(answered, tuple):
            output, call = answered
            timings = (call.response or {}).get(TIMINGS)
            if isinstance(output, ModelOutput) and isinstance(timings, dict):
                output.metadata = {key: timings.get(key) for key in ("device_s", "ttft_s")}
        return answered
