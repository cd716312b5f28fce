"""How an item is put to a model: one prompt frame for all strategies, with or without examples and documents."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from inspect_ai.model import ChatMessage
    from inspect_ai.solver import Solver

    from thirdlever.suites.suite import Document, Item, Suite


RETRIEVAL = "retrieval_s"  # key of `state.metadata`: seconds that `ask` spent on finding the context


@dataclass(frozen=True, slots=True)
class Context:
    """What a model is shown beside the instruction and the input.

    Attributes:
        shots: demonstrations as chat turns, the most relevant last.
        packed: demonstrations as one block of text in the first message: for a thousand of them, a fifteenth of the
            harness's work for as many chat turns.
        documents: knowledge, at the start of the first message.
    """

    shots: Sequence[Item] = ()
    packed: Sequence[Item] = ()
    documents: Sequence[Document] = ()


def messages(suite: Suite, text: str, context: Context | None = None, *, brief: bool = False) -> list[ChatMessage]:
    """The conversation that asks for the answer to one input.

    What all items share comes first, so that prompt caches (a provider's, the local engine's) can reuse it.

    Args:
        suite: provides the instruction and the answer kind.
        text: the input.
        context: what to show beside it.
        brief: leave out the answer specification, which a model tuned on the suite knows.
    """
    from inspect_ai.model import ChatMessageAssistant, ChatMessageSystem, ChatMessageUser

    context = context or Context()
    instruction = suite.instruction.strip()
    system = instruction if brief else f"{instruction}\n{suite.answer.describe()}"
    chat: list[ChatMessage] = [ChatMessageSystem(content=system)]
    blocks = [f"{document.title}\n{document.text}" for document in context.documents]
    blocks += [demonstration(suite, shot) for shot in context.packed]
    for shot in context.shots:
        chat.append(ChatMessageUser(content="\n\n".join([*blocks, question(suite, shot.input)])))
        chat.append(ChatMessageAssistant(content=shot.target))
        blocks = []
    chat.append(ChatMessageUser(content="\n\n".join([*blocks, question(suite, text)])))
    return chat


def question(suite: Suite, text: str) -> str:
    """An input as every message shows it."""
    return f"{suite.input_name}: {text}\n{suite.answer.name}:"


def demonstration(suite: Suite, shot: Item) -> str:
    """A labelled example as a block of text."""
    return f"{question(suite, shot.input)} {shot.target}"


def ask(suite: Suite, context: Context | Callable[[str], Context] | None = None, *, brief: bool = False) -> Solver:
    """A solver that puts each item to the model.

    Args:
        suite: provides the instruction and the answer kind.
        context: the same for every item, or a function that finds it for an input; its time is recorded separately.
        brief: ask as a tuned model is asked, see `messages`.
    """
    from inspect_ai.solver import Generate, TaskState, solver

    @solver
    def asking() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            shown = context
            if callable(shown):
                start = time.perf_counter()
                shown = shown(state.input_text)
                state.metadata[RETRIEVAL] = time.perf_counter() - start
            state.messages = messages(suite, state.input_text, shown, brief=brief)
            return await generate(state)

        return solve

    return asking()


def reply(predict: Callable[[str], str]) -> Solver:
    """A solver that answers each item with a function of its input, without a model."""
    from inspect_ai.model import ModelOutput
    from inspect_ai.solver import Generate, TaskState, solver

    @solver
    def replying() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - inspect's signature
            state.output = ModelOutput.from_content("none", predict(state.input_text))
            return state

        return solve

    return replying()
