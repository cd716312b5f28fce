"""The one way a suite's item is put to a model, with or without demonstrations and documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspect_ai.model import ChatMessage
    from inspect_ai.solver import Solver

    from thirdlever.suite import Document, Item, Suite


def render(
    suite: Suite, text: str, *, shots: Sequence[Item] = (), documents: Sequence[Document] = ()
) -> tuple[str, str]:
    """The system and user message for one input.

    What is the same for every item comes first, so that a provider's prompt cache, and the local engine's, can hold it.
    All demonstrations go into one message: as chat turns they cost the harness 15 times the work per request.

    Returns:
        (system, user)
    """
    system = f"{suite.instruction.strip()}\n{suite.answer.describe()}"
    blocks = [f"{d.title}\n{d.text}" for d in documents]
    blocks += [demonstration(suite, shot) for shot in shots]
    blocks.append(f"{suite.input_name}: {text}\n{suite.answer.name}:")
    return system, "\n\n".join(blocks)


def demonstration(suite: Suite, shot: Item) -> str:
    """One labelled example as the prompt shows it."""
    return f"{suite.input_name}: {shot.input}\n{suite.answer.name}: {shot.target}"


def messages(
    suite: Suite, text: str, *, shots: Sequence[Item] = (), documents: Sequence[Document] = ()
) -> list[ChatMessage]:
    """`render` as inspect's chat messages."""
    from inspect_ai.model import ChatMessageSystem, ChatMessageUser  # noqa: PLC0415 - heavy

    system, user = render(suite, text, shots=shots, documents=documents)
    return [ChatMessageSystem(content=system), ChatMessageUser(content=user)]


def ask(suite: Suite, *, shots: Sequence[Item] = (), documents: Sequence[Document] = ()) -> Solver:
    """A solver that puts each item to the model with the same demonstrations and documents."""
    from inspect_ai.solver import Generate, TaskState, solver  # noqa: PLC0415 - heavy

    @solver
    def asking() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            state.messages = messages(suite, state.input_text, shots=shots, documents=documents)
            return await generate(state)

        return solve

    return asking()
