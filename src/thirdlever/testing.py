"""The offline model that thirdlever's own tests use, and yours can: it answers from a function and counts its requests.

    model = FakeModel(lambda prompt: "fuel" if "SHELL" in prompt else "groceries")
    run = thirdlever.run("transactions", ["zero_shot"], models=[model])
    assert len(model.prompts) == …

Import this module at the point of use: inspect comes with it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, modelapi

from thirdlever.models.base import BaseModel

if TYPE_CHECKING:
    from inspect_ai.model import ChatMessage
    from inspect_ai.tool import ToolChoice, ToolInfo

Answer: TypeAlias = Callable[[str], str | Awaitable[str]]


@dataclass(frozen=True)
class FakeModel(BaseModel):
    """A base model without weights or network.

    Attributes:
        answer: from the whole prompt, messages joined by blank lines, to the completion; may be async. What it raises
            is a failed request.
        prompts: every prompt it was asked, in order.
        configs: the generation settings of each request.
    """

    name: str = "fake/model"
    inspect_name: str = "fake/model"
    revision: str = "1"
    answer: Answer = field(default=lambda _: "", kw_only=True, compare=False)
    prompts: list[str] = field(default_factory=list, kw_only=True, compare=False)
    configs: list[GenerateConfig] = field(default_factory=list, kw_only=True, compare=False)

    def connect(self) -> Model:
        """An inspect model; a new one each time, for inspect would hand one fake's answers to another."""
        return Model(_FakeAPI(self.inspect_name.partition("/")[2], fake=self), GenerateConfig())


@modelapi(name="fake")
class _FakeAPI(ModelAPI):
    def __init__(self, model_name: str, *, fake: FakeModel) -> None:
        super().__init__(model_name)
        self._fake = fake

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - inspect's name
        tools: list[ToolInfo],  # noqa: ARG002 - a fake calls none
        tool_choice: ToolChoice,  # noqa: ARG002 - likewise
        config: GenerateConfig,
    ) -> ModelOutput:
        prompt = "\n\n".join(message.text for message in input)
        self._fake.prompts.append(prompt)
        self._fake.configs.append(config)
        answered = self._fake.answer(prompt)
        completion = await answered if inspect.isawaitable(answered) else answered
        output = ModelOutput.from_content(self.model_name, completion)
        sent, came = self._fake.tokens(prompt), self._fake.tokens(completion)
        # Without usage inspect would count tokens itself, with a tokenizer that it fetches from the network.
        output.usage = ModelUsage(input_tokens=sent, output_tokens=came, total_tokens=sent + came)
        return output
