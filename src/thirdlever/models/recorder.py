"""A model that records requests and sends none: plans prepare and render strategies with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from thirdlever.core.errors import ModelError, need
from thirdlever.models import bundled, registry
from thirdlever.models.base import CHARS_PER_TOKEN, BaseModel, as_text, estimated_tokens
from thirdlever.models.engine import local
from thirdlever.models.parameters import joined, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspect_ai.model import ChatMessage, Model, ModelOutput

    from thirdlever.models.engine.chat import Turn


_ENGINE = "thirdlever/"
_CACHE_TOKENS = 1024
_CACHE_STEP = 128
_NEVER_REASONS = re.compile(r"(ft:)?(gpt-[34]|chatgpt|gpt-5.*-chat)")  # OpenAI's families, as inspect tells them apart
_LONG_TOKEN = 4.0  # characters: English, with today's tokenizers


@dataclass(frozen=True)
class Recorder(BaseModel):
    """Looks like a model to strategies. Every request is recorded and gets the same answer.

    Attributes:
        answer: the text of every answer, one that the suite can parse.
        chars_per_token: measured in an earlier run; None if unknown. It changes counts only: strategies see the same
            `tokens` as in a run, and pack the same prompts.
        sent: the recorded requests.
    """

    answer: str = field(default="", kw_only=True, compare=False)
    chars_per_token: float | None = field(default=None, kw_only=True, compare=False)
    sent: list[Sequence[Turn]] = field(default_factory=list, kw_only=True, compare=False)

    @classmethod
    def of(cls, model: BaseModel, answer: str, *, chars_per_token: float | None = None) -> Self:
        """Record what would be sent to a model. Tokens are estimated where its tokenizer is not on this machine."""
        same = {one.name: getattr(model, one.name) for one in fields(BaseModel)}
        tokens = model.tokens if _downloaded(_local_name(model)) else estimated_tokens
        return cls(**{**same, "tokens": tokens, "offline": True}, answer=answer, chars_per_token=chars_per_token)

    @property
    def exact(self) -> bool:
        """Whether `count` uses the model's own tokenizer and chat template."""
        return self.inspect_name.startswith(_ENGINE) and _downloaded(_local_name(self))

    def count(self, turns: Sequence[Turn]) -> int:
        """Tokens of a request."""
        if not self.exact:
            text = as_text(turn["content"] for turn in turns)
            return round(len(text) / self.chars_per_token) if self.chars_per_token else self.tokens(text)
        from thirdlever.models.engine import chat  # imports torch

        return len(chat.encode(_local_name(self), turns))

    @property
    def how(self) -> str:
        """How `count` counts."""
        if self.exact:
            return "counted by the model's tokenizer"
        if self.chars_per_token:
            return f"tokens estimated at the measured {self.chars_per_token:.2f} characters each"
        return "tokens estimated from their length"

    @property
    def texts(self) -> list[str]:
        """The recorded requests as one text each."""
        return [as_text(turn["content"] for turn in turns) for turns in self.sent]

    @property
    def shared(self) -> Sequence[Turn]:
        """The messages with which all recorded requests begin."""
        columns = zip(*self.sent, strict=False)
        return [turns[0] for turns in takewhile(lambda turns: all(turn == turns[0] for turn in turns), columns)]

    def prefix(self) -> int:
        """Their tokens."""
        return self.count(self.shared) if self.shared else 0

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


class PromptCache:
    """Which tokens of a prompt its provider finds in its cache, by the rules that OpenAI publishes.

    A prefix is cached from 1,024 tokens, in steps of 128. See "Prompt caching" in OpenAI's documentation; Anthropic and
    Google state minima of 1,024 or more, depending on the model.
    """

    def __init__(self, chars_per_token: float | None) -> None:
        """Start empty. While the length of a token is unknown, long tokens leave short prefixes out of the cache."""
        self._chars = chars_per_token or _LONG_TOKEN
        self._counted = chars_per_token or CHARS_PER_TOKEN
        self._kept: set[int] = set()

    def read(self, text: str) -> float:
        """Cached tokens of a prompt, as `Recorder.count` counts; the prompt is in the cache afterwards."""
        found, digest, start = 0, 0, 0
        for tokens in range(_CACHE_TOKENS, int(len(text) / self._chars) + 1, _CACHE_STEP):
            end = int(tokens * self._chars)
            digest, start = hash((digest, text[start:end])), end
            if digest in self._kept:
                found = end
            self._kept.add(digest)
        return found / self._counted


def cacheable(tokens: float) -> int:
    """Tokens of a prompt that are found in the cache when it is sent again."""
    return 0 if tokens < _CACHE_TOKENS else int(tokens) // _CACHE_STEP * _CACHE_STEP


def may_reason(model: BaseModel) -> bool:
    """Whether a model may bill tokens of reasoning: unless its effort is none, or it is known that it cannot."""
    if not model.reasons or model.settings.get("effort") == "none":
        return False
    name = model.inspect_name.rpartition("/")[2]
    return not (model.service == "openai" and _NEVER_REASONS.match(name))


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
