"""A model that records requests and sends none: plans prepare and render strategies with it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from thirdlever.core.errors import ModelError, need
from thirdlever.models import bundled, registry
from thirdlever.models.base import BaseModel, estimated_tokens
from thirdlever.models.engine import local
from thirdlever.models.model_settings import joined, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspect_ai.model import ChatMessage, Model, ModelOutput

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
        same = {one.name: getattr(model, one.name) for one in fields(BaseModel)}
        tokens = model.tokens if _downloaded(_local_name(model)) else estimated_tokens
        return cls(**{**same, "tokens": tokens, "offline": True}, answer=answer)

    @property
    def exact(self) -> bool:
        """Whether `count` uses the model's own tokenizer and chat template."""
        return self.inspect_name.startswith(_ENGINE) and _downloaded(_local_name(self))

    def count(self, turns: Sequence[Turn]) -> int:
        """Tokens of a request."""
        if not self.exact:
            return self.tokens("\n\n".join(turn["content"] for turn in turns))
        from thirdlever.models.engine import chat  # imports torch

        return len(chat.encode(_local_name(self), turns))

    def prefix(self) -> int:
        """Tokens of the messages with which all recorded requests begin."""
        columns = zip(*self.sent, strict=False)
        shared = [turns[0] for turns in takewhile(lambda turns: all(turn == turns[0] for turn in turns), columns)]
        return self.count(shared) if shared else 0

    def connect(self) -> Model:
        """The recorder as an inspect model."""
        from inspect_ai.model import get_model

        return get_model("mockllm/model", memoize=False, custom_outputs=self._record)

    def _record(self, messages: list[ChatMessage], *_: Any) -> ModelOutput:  # noqa: ANN401 - tools and settings
        from inspect_ai.model import ModelOutput, ModelUsage

        turns = [{"role": message.role, "content": message.text} for message in messages]
        self.sent.append(turns)
        output = ModelOutput.from_content(self.name, self.answer)
        output.usage = ModelUsage(input_tokens=self.count(turns), output_tokens=1)
        return output


def _local_name(model: BaseModel) -> str:
    return model.inspect_name.removeprefix(_ENGINE)


def _downloaded(model: str) -> bool:
    """Whether a local model's files are on this machine; True for every other name."""
    if model == local.EMBEDDED:
        return bundled.LLM.ready
    name = model.removeprefix(local.HF)
    if name == model or Path(name).expanduser().exists():
        return True
    try:
        return isinstance(need("huggingface_hub", extra="local").try_to_load_from_cache(name, "config.json"), str)
    except ValueError:  # neither a folder nor a hub id: `resolve` reports it
        return True


def resolve_offline(model: str | BaseModel) -> BaseModel:
    """The model of a name, without downloading it and without its key.

    Raises:
        ModelError: there is no such model.
    """
    if isinstance(model, BaseModel):
        return model
    plain, settings = split(model)
    named: dict[str, Any] = {"name": joined(plain, settings), "revision": plain, "settings": settings}
    if plain != local.EMBEDDED and not _downloaded(plain):
        return BaseModel(**named, inspect_name=_ENGINE + plain, local=True)
    try:
        return registry.resolve(model)
    except ModelError:
        from inspect_ai.model import get_model_info

        info = get_model_info(plain) if "/" in plain else None
        if info is None:
            raise
        return BaseModel(**named, inspect_name=plain, context_window=info.context_length, reasons=True)
