"""As many demonstrations, or whole documents, as the context window holds: what often replaces a fine-tune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from thirdlever import (
    BaseModel,
    Context,
    Deployment,
    Document,
    Item,
    Prepare,
    Retrieved,
    SetupCost,
    Store,
    StrategyError,
    Suite,
    ask,
    demonstration,
    index,
    messages,
    strategy,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

TURNS = 4  # demonstrations sent as chat turns after the packed ones: small models need to see the form of an answer
RESERVE = 256  # tokens for the chat template and the item itself, on top of twice the longest demonstration
UNKNOWN_WINDOW = 8192  # tokens of prompt
ASKED = 200  # train items that vote for the documents that all items share
VOTES = 10  # documents that each of them votes for


@strategy
def long_context(
    *,
    tokens: int | Literal["window"] = 32_000,
    documents: Literal["none", "shared", "nearest"] = "none",
    seed: int = 0,
) -> Prepare:
    """As many balanced demonstrations, or whole documents, as fit into the prompt.

    Args:
        tokens: fill this many tokens, or the model's window if that is smaller. "window" fills all of it, which is
            expensive on a hosted model with a window of a million tokens.
        documents: whole documents after four demonstrations, in place of more demonstrations, as many as fit. "shared":
            the same for every item, those that train items need most, so that a prompt cache holds them. "nearest":
            those nearest to each item, which no cache holds. The most relevant stand last.
        seed: for the draw.
    """

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        drawn = suite.train.sample(len(suite.train), seed=seed)
        limit = _limit(suite, model, tokens)
        if documents == "none":
            shots = _fitting_shots(suite, model, drawn, limit)
            context = Context(packed=shots[:-TURNS], shots=shots[-TURNS:])
            setup = SetupCost(labels=len(shots))
            return Deployment(ask(suite, context), model=model, lever="prompt", setup=setup, given=shots)
        if not suite.documents:
            message = f"long_context: suite {suite.name!r} has no documents; leave documents={documents} out"
            raise StrategyError(message)
        shots = drawn[:TURNS]
        room = _room(suite, model, drawn, limit) - sum(_tokens(suite, model, shot) for shot in shots)
        fit = _Fitting(model, suite.documents, room)
        if documents == "nearest":
            return _nearest(suite, model, store, shots, fit)
        found = fit(_by_need(suite, store)) if fit.some_do_not else suite.documents
        context = Context(shots=shots, documents=found[::-1], retrieved=Retrieved(documents=found))
        setup = SetupCost(labels=min(len(suite.train), ASKED) if fit.some_do_not else len(shots))
        given = (*shots, *found)
        return Deployment(ask(suite, context), model=model, lever="prompt", setup=setup, given=given)

    return prepare


def _limit(suite: Suite, model: BaseModel, tokens: int | Literal["window"]) -> int:
    """Tokens of a prompt and its answer."""
    window = UNKNOWN_WINDOW
    if model.context_window is not None:  # a reasoning model needs a part of it
        thinking = model.completion_tokens(suite.answer.max_tokens) - suite.answer.max_tokens
        window = model.context_window - max(0, thinking)
    return window if tokens == "window" else min(tokens, window)


def _room(suite: Suite, model: BaseModel, drawn: Sequence[Item], limit: int) -> int:
    """Tokens of them for what is packed, beside the instruction, the item and its answer."""
    own = messages(suite, drawn[0], Context(drawn[:TURNS])) if suite.prompt else messages(suite, drawn[0])[:-1]
    instruction = sum(model.tokens(message.text) for message in own)
    longest = max(_tokens(suite, model, shot) for shot in drawn)
    return limit - instruction - suite.answer.max_tokens - RESERVE - 2 * longest


def _tokens(suite: Suite, model: BaseModel, shot: Item) -> int:
    return model.tokens(demonstration(suite, shot) + "\n\n")


def _fitting_shots(suite: Suite, model: BaseModel, drawn: Sequence[Item], limit: int) -> Sequence[Item]:
    """The first of the drawn items, as many as fit.

    Raises:
        StrategyError: so few that they are what few_shot or zero_shot show.
    """
    left, fitting = _room(suite, model, drawn, limit), 0
    while fitting < len(drawn) and (left := left - _tokens(suite, model, drawn[fitting])) >= 0:
        fitting += 1
    if fitting <= TURNS:
        few = f"train has only {len(drawn)} examples; use few_shot"
        full = f"{limit} tokens have no room for demonstrations; use zero_shot"
        message = f"long_context: {few if len(drawn) <= TURNS else full}"
        raise StrategyError(message)
    return drawn[:fitting]


class _Fitting:
    """Takes documents in a given order, as long as they fit; one that does not fit is passed over.

    Attributes:
        some_do_not: whether not all of them fit.
    """

    def __init__(self, model: BaseModel, documents: Sequence[Document], room: int) -> None:
        """Count the tokens of each.

        Raises:
            StrategyError: the shortest does not fit.
        """
        self._room = room
        self._costs = {each.id: model.tokens(f"{each.title}\n{each.text}\n\n") for each in documents}
        self.some_do_not = sum(self._costs.values()) > room
        if (shortest := min(self._costs.values())) > room:
            most = f"there is room for {max(room, 0):,} tokens of documents, and the shortest has {shortest:,}"
            message = f"long_context: {most}; give more tokens, or use rag with passages"
            raise StrategyError(message)

    def __call__(self, documents: Iterable[Document]) -> list[Document]:
        left, found = self._room, []
        for document in documents:
            if self._costs[document.id] <= left:
                left -= self._costs[document.id]
                found.append(document)
        return found


def _by_need(suite: Suite, store: Store) -> list[Document]:
    """All documents, those first that are the nearest of most train items; of equals the second nearest, and so on."""
    search = index(suite.documents, store)
    votes = {document.id: [0] * VOTES for document in suite.documents}
    for item in suite.train.first(ASKED):
        for rank, document in enumerate(search.nearest(item.input, VOTES)):
            votes[document.id][rank] += 1
    return sorted(suite.documents, key=lambda document: votes[document.id], reverse=True)


def _nearest(
    suite: Suite,
    model: BaseModel,
    store: Store,
    shots: Sequence[Item],
    fit: Callable[[Iterable[Document]], list[Document]],
) -> Deployment:
    search = index(suite.documents, store)

    def find(text: str) -> Context:
        found = fit(search.nearest(text, len(suite.documents)))
        return Context(shots=shots, documents=found[::-1], retrieved=Retrieved(documents=found))

    built = search.built
    setup = SetupCost(labels=len(shots), seconds=built.seconds, device_seconds=built.device_seconds, usd=built.usd)
    return Deployment(ask(suite, find), model=model, lever="retrieval", setup=setup, given=[*shots, *suite.documents])
