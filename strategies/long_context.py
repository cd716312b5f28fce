"""As many demonstrations as the context window holds: what often replaces a fine-tune."""

from __future__ import annotations

from typing import Literal

from thirdlever import (
    BaseModel,
    Context,
    Deployment,
    Prepare,
    SetupCost,
    Store,
    StrategyError,
    Suite,
    ask,
    demonstration,
    messages,
    strategy,
)

TURNS = 4  # demonstrations sent as chat turns after the packed ones: small models need to see the form of an answer
RESERVE = 256  # tokens for the chat template and the item itself, on top of twice the longest demonstration
UNKNOWN_WINDOW = 8192  # tokens of prompt


@strategy
def long_context(*, tokens: int | Literal["window"] = 32_000, seed: int = 0) -> Prepare:
    """As many balanced demonstrations as fit, packed into one message, the same for every item.

    Args:
        tokens: fill this many tokens, or the model's window if that is smaller. "window" fills all of it, which is
            expensive on a hosted model with a window of a million tokens.
        seed: for the draw.
    """

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - nothing to keep
        window = UNKNOWN_WINDOW
        if model.context_window is not None:  # a reasoning model needs a part of it
            thinking = model.completion_tokens(suite.answer.max_tokens) - suite.answer.max_tokens
            window = model.context_window - max(0, thinking)
        limit = window if tokens == "window" else min(tokens, window)
        drawn = suite.train.sample(len(suite.train), seed=seed)
        own = messages(suite, drawn[0], Context(drawn[:TURNS])) if suite.prompt else messages(suite, drawn[0])[:-1]
        instruction = sum(model.tokens(message.text) for message in own)
        costs = [model.tokens(demonstration(suite, shot) + "\n\n") for shot in drawn]
        room = limit - instruction - suite.answer.max_tokens - RESERVE - 2 * max(costs)
        fitting = 0
        while fitting < len(costs) and (room := room - costs[fitting]) >= 0:
            fitting += 1
        if fitting <= TURNS:
            few = f"train has only {len(costs)} examples; use few_shot"
            full = f"{limit} tokens have no room for demonstrations; use zero_shot"
            message = f"long_context: {few if len(costs) <= TURNS else full}"
            raise StrategyError(message)
        shots = drawn[:fitting]
        context = Context(packed=shots[:-TURNS], shots=shots[-TURNS:])
        return Deployment(
            ask(suite, context), model=model, lever="prompt", setup=SetupCost(labels=len(shots)), given=shots
        )

    return prepare
