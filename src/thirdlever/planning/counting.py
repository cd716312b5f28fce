"""A stand-in for a model that counts what it is sent and answers at once, for nothing.

Import this module at the point of use: inspect comes with it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, modelapi

from thirdlever.models.base import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspect_ai.model import ChatMessage
    from inspect_ai.tool import ToolChoice, ToolInfo

    from thirdlever.models.engine.chat import Turn

_TURN = 4  # tokens that a chat template puts around a turn, where the template is not at hand


Count: TypeAlias = "Callable[[Sequence[Turn]], int]"


@dataclass(frozen=True)
class Counting(BaseModel):
    """Takes a model's place for as long as a plan is made.

    Attributes:
        count: tokens of a conversation.
        answer: what every request is answered with, one that can be read.
    """

    count: Count = field(kw_only=True, compare=False)
    answer: str = field(kw_only=True)

    @classmethod
    def of(cls, base: BaseModel, answer: str) -> Counting:
        """Stand in for a model, whose tokenizer counts where there is one."""
        return cls(base.name, "counting/model", local=True, count=counter(base), answer=answer)

    def connect(self) -> Model:
        """An inspect model."""
        return Model(_CountingAPI(self.name, stands_in=self), GenerateConfig())


def counter(base: BaseModel) -> Count:
    """Counts the tokens of a conversation: exactly for a local model, else as the model estimates texts."""
    if base.local:
        from thirdlever.models.engine import chat, local

        name = base.inspect_name.removeprefix("thirdlever/")
        if name == local.EMBEDDED or name.startswith(local.HF):
            return lambda turns: len(chat.encode(name, turns))
    return lambda turns: sum(base.tokens(turn["content"]) + _TURN for turn in turns)


def example(base: BaseModel, turns: Sequence[Turn]) -> int:
    """Tokens of a training example, whose last turn is the answer."""
    return counter(base)(turns[:-1]) + base.tokens(turns[-1]["content"]) + 1


@modelapi(name="counting")
class _CountingAPI(ModelAPI):
    def __init__(self, model_name: str, *, stands_in: Counting) -> None:
        super().__init__(model_name)
        self._counting = stands_in

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - inspect's name
        tools: list[ToolInfo],  # noqa: ARG002 - inspect's signature, as the next two
        tool_choice: ToolChoice,  # noqa: ARG002
        config: GenerateConfig,  # noqa: ARG002
    ) -> ModelOutput:
        output = ModelOutput.from_content(self.model_name, self._counting.answer)
        sent = self._counting.count([{"role": turn.role, "content": turn.text} for turn in input])
        output.usage = ModelUsage(input_tokens=sent, output_tokens=1, total_tokens=sent + 1)
        return output

    def max_connections(self) -> int:
        return 512
