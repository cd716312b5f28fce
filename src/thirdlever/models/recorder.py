"""A model that records requests and sends none: plans prepare and render strategies with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, get_model_info, modelapi

from thirdlever.core.errors import ModelError, need
from thirdlever.models import bundled, registry
from thirdlever.models.base import BaseModel, estimated_tokens
from thirdlever.models.engine import local

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspect_ai.model import ChatMessage
    from inspect_ai.tool import ToolChoice, ToolInfo

    from thirdlever.models.engine.chat import Turn


_ENGINE = "thirdlever/"


@dataclass(frozen=True)
class Recorder(BaseModel):
    """Looks like a model to strategies. Every request is recorded and gets the same answer.

    Attributes:
        answer: the text of every answer, one that the suite can parse.
        sent: the recorded requests.
    """

    answer: str = field(default="", kw_only=True, compare=False)
    sent: list[Sequence[Turn]] = field(default_factory=list, kw_only=True, compare=False)

    @classmethod
    def of(cls, model: BaseModel, answer: str) -> Self:
        """Record what would be sent to a model. Tokens are estimated where its tokenizer is not on this machine."""
        return cls(
            name=model.name,
            inspect_name=model.inspect_name,
            args=model.args,
            revision=model.revision,
            local=model.local,
            context_window=model.context_window,
            tokens=model.tokens if downloaded(_own_name(model)) else estimated_tokens,
            offline=True,
            answer=answer,
        )

    @property
    def exact(self) -> bool:
        """Whether `count` uses the model's own tokenizer and chat template."""
        return self.inspect_name.startswith(_ENGINE) and downloaded(_own_name(self))

    def count(self, turns: Sequence[Turn]) -> int:
        """Tokens of a request."""
        if not self.exact:
            return self.tokens("\n\n".join(turn["content"] for turn in turns))
        from thirdlever.models.engine import chat  # imports torch

        return len(chat.encode(_own_name(self), turns))

    def prefix(self) -> int:
        """Tokens of the messages with which all recorded requests begin."""
        columns = zip(*self.sent, strict=False)
        shared = [turns[0] for turns in takewhile(lambda turns: all(turn == turns[0] for turn in turns), columns)]
        return self.count(shared) if shared else 0

    def connect(self) -> Model:
        """The recorder as an inspect model."""
        return Model(_RecorderAPI(self.name, recorder=self), GenerateConfig())


def _own_name(model: BaseModel) -> str:
    return model.inspect_name.removeprefix(_ENGINE)


@modelapi(name="recorder")
class _RecorderAPI(ModelAPI):
    def __init__(self, model_name: str, *, recorder: Recorder) -> None:
        super().__init__(model_name)
        self._recorder = recorder

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 - inspect's signature
        tools: list[ToolInfo],  # noqa: ARG002
        tool_choice: ToolChoice,  # noqa: ARG002
        config: GenerateConfig,  # noqa: ARG002
    ) -> ModelOutput:
        turns = [{"role": turn.role, "content": turn.text} for turn in input]
        self._recorder.sent.append(turns)
        sent = self._recorder.count(turns)
        output = ModelOutput.from_content(self.model_name, self._recorder.answer)
        output.usage = ModelUsage(input_tokens=sent, output_tokens=1, total_tokens=sent + 1)
        return output

    def max_connections(self) -> int:
        return 512


def downloaded(model: str) -> bool:
    """Whether a local model's files are on this machine; True for every other name."""
    if model == local.EMBEDDED:
        return bundled.LLM.ready
    name = model.removeprefix(local.HF)
    if name == model or Path(name).expanduser().exists():
        return True
    hub = need("huggingface_hub", extra="local")
    try:
        return isinstance(hub.try_to_load_from_cache(name, "config.json"), str)
    except ValueError:  # neither a folder nor a hub id: `resolve` reports it
        return True


def resolve_offline(model: str | BaseModel) -> BaseModel:
    """The model of a name, without downloading it and without its key.

    Raises:
        ModelError: there is no such model.
    """
    if isinstance(model, BaseModel):
        return model
    if not downloaded(model) and model != local.EMBEDDED:
        return BaseModel(name=model, inspect_name=_ENGINE + model, revision=model, local=True)
    try:
        return registry.resolve(model)
    except ModelError:
        info = get_model_info(model) if "/" in model else None
        if info is None:
            raise
        return BaseModel(name=model, inspect_name=model, revision=model, context_window=info.context_length)
