"""A chat request as the local engine takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.serving.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.models.engine.engine import Engine
    from thirdlever.models.engine.generate import Request as EngineRequest
    from thirdlever.models.engine.generate import Tokens
    from thirdlever.serving.bodies import CreateChat
    from thirdlever.serving.models import Models

_MAX_TOKENS = 512  # when the caller states none: the engine sets memory aside for all that it may have to write
_LEAST_TOP_P = 1e-6  # the likeliest token alone; 0 would leave none


def prepare(wanted: CreateChat, models: Models) -> tuple[Engine, EngineRequest]:
    """What to ask, and whom.

    Raises:
        ApiError: no such model, a conversation that its template does not take, or a prompt that does not fit.
    """
    adapter = models.adapter(wanted.model)

    from thirdlever.models import registry
    from thirdlever.models.engine import chat, local
    from thirdlever.models.engine.generate import Request as EngineRequest

    tokens = _encode(models.base, [message.turn() for message in wanted.messages])
    window = registry.resolve(models.base).context_window
    request = EngineRequest(
        tokens=tokens,
        max_tokens=_room(wanted, len(tokens), window),
        stop=(wanted.stop,) if isinstance(wanted.stop, str) else tuple(wanted.stop),
        temperature=wanted.temperature,
        top_p=max(wanted.top_p, _LEAST_TOP_P),
        seed=wanted.seed,
        adapter=adapter,
        choices=chat.choices(models.base, wanted.allowed) if wanted.allowed else None,
    )
    return local.engine(models.base), request


def _encode(base: str, turns: Sequence[dict[str, str]]) -> Tokens:
    from jinja2 import TemplateError

    from thirdlever.models.engine import chat

    try:
        return chat.encode(base, turns)
    except TemplateError as error:
        message = f"The model's chat template does not take this conversation: {error}."
        raise ApiError(message, param="messages", code="invalid_value") from error


def _room(wanted: CreateChat, prompt: int, window: int | None) -> int:
    """Tokens that the answer may have."""
    stated = wanted.max_completion_tokens or wanted.max_tokens
    if window is None:
        return stated or _MAX_TOKENS
    room = stated or min(_MAX_TOKENS, window - prompt)
    if room < 1 or prompt + room > window:
        message = (
            f"This model's maximum context length is {window} tokens. However, you requested {prompt + max(room, 1)} "
            f"tokens ({prompt} in the messages, {max(room, 1)} in the completion). Reduce the length of either."
        )
        raise ApiError(message, param="messages", code="context_length_exceeded")
    return room
