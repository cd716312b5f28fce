"""A model that records requests and sends none: plans prepare and render strategies with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from inspect_ai.model import GenerateConfig, Model, ModelAPI, ModelOutput, ModelUsage, modelapi

from thirdlever.core.errors import ModelError
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
            tokens=model.tokens if downloaded(model) else estimated_tokens,
            offline=True,
            answer=answer,
        )

    @property
    def exact(self) -> bool:
        """Whether `count` uses the model's own tokenizer and chat template."""
        return self.inspect_name.startswith((_ENGINE + local.EMBEDDED, _ENGINE + local.HF)) and downloaded(self)

    def count(self, turns: Sequence[Turn]) -> int:
        """Tokens of a request."""
        if not self.exact:
            return self.tokens("\n\n".join(turn["content"] for turn in turns))
        from thirdlever.models.engine import chat

        return len(chat.encode(self.inspect_name.removeprefix(_ENGINE), turns))

    def prefix(self) -> int:
        """Tokens of the messages with which all recorded requests begin."""
        columns = zip(*self.sent, strict=False)
        shared = [turns[0] for turns in takewhile(lambda turns: all(turn == turns[0] for turn in turns), columns)]
        return self.count(shared) if shared else 0

    def connect(self) -> Model:
        """The recorder as an inspect model."""
        return Model(_RecorderAPI(self.name, recorder=self), GenerateConfig())


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


def downloaded(model: BaseModel) -> bool:
    """Whether a local model's files are on this machine."""
    return _downloaded(model.inspect_name.removeprefix(_ENGINE))


@cache
def _downloaded(name: str) -> bool:
    if name == local.EMBEDDED:
        from thirdlever.models import bundled

        return bundled.LLM.ready
    if not name.startswith(local.HF) or Path(name.removeprefix(local.HF)).expanduser().exists():
        return True
    import huggingface_hub
    from huggingface_hub.errors import HFValidationError

    try:
        return isinstance(huggingface_hub.try_to_load_from_cache(name.removeprefix(local.HF), "config.json"), str)
    except HFValidationError:
        return True  # neither a folder nor a hub id: `resolve` reports it


def resolve(model: str | BaseModel) -> BaseModel:
    """The model of a name. A model without its key, or not downloaded yet, can be planned for all the same.

    Raises:
        ModelError: there is no such model.
    """
    if isinstance(model, BaseModel):
        return model
    if model.startswith(local.HF) and not _downloaded(model):
        return BaseModel(name=model, inspect_name=_ENGINE + model, revision=model, local=True)
    from thirdlever.models import registry

    try:
        return registry.resolve(model)
    except ModelError:
        from inspect_ai.model import get_model_info

        info = get_model_info(model) if "/" in model else None
        if info is None:
            raise
        return BaseModel(name=model, inspect_name=model, revision=model, context_window=info.context_length)
