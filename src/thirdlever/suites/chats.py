"""Training files of chat models as labelled rows: OpenAI's `messages` and ShareGPT's `conversations`.

The last answer of the assistant is the target, what stands before it the input. A system prompt that all conversations
share becomes the suite's instruction.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import SuiteError
from thirdlever.suites.readers import Row

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ROLES = {"human": "user", "gpt": "assistant", "bot": "assistant", "developer": "system"}  # ShareGPT's and newer names


@dataclass(frozen=True, slots=True)
class Chats:
    """Conversations as rows.

    Attributes:
        rows: with the columns input, target and those that the file has beside its messages.
        instruction: the system prompt, if all conversations have the same.
        changes: what was taken for what, in sentences.
    """

    rows: Sequence[Row]
    instruction: str | None
    changes: Sequence[str]


def as_rows(rows: Sequence[Row]) -> Chats | None:
    """Rows with an input and a target; None if the file does not hold conversations.

    Raises:
        SuiteError: with file and line, a conversation has no question or answer, calls a tool, or has a message that
            cannot be read.
    """
    column = next((name for name in ("messages", "conversations") if rows and _are_messages(rows, name)), None)
    if column is None:
        return None
    turns = [_turns(row, column) for row in rows]
    systems = Counter(found[0][1] if found[0][0] == "system" else "" for found in turns)
    shared = next(iter(systems)) or None if len(systems) == 1 else None
    made = [_row(row, column, found, shared) for row, found in zip(rows, turns, strict=True)]
    long = sum(sum(role == "assistant" for role, _ in found) > 1 for found in turns)
    changes = [f"conversations in {column!r}: the last answer is the target, what stands before it the input"]
    changes += ["the system prompt that they share is the instruction"] if shared else []
    changes += [f"system prompts differ ({len(systems)}); each stays in its input"] if len(systems) > 1 else []
    changes += [f"conversations of several answers: {long}"] if long else []
    return Chats(made, shared, changes)


def _are_messages(rows: Sequence[Row], name: str) -> bool:
    return all(isinstance(row.values.get(name), list) and row.values[name] for row in rows)


def _turns(row: Row, column: str) -> list[tuple[str, str]]:
    """(role, text) of each message, the last one the assistant's."""
    found = [_turn(each, number, row.where) for number, each in enumerate(row.values[column], start=1)]
    system = row.values.get("system")
    if isinstance(system, str) and system and found[0][0] != "system":  # as ShareGPT has it
        found.insert(0, ("system", system))
    roles = [role for role, _ in found]
    if roles[-1] != "assistant":
        message = (
            f"{row.where}: the last message is the {roles[-1]}'s, so there is no answer; add it or remove the line"
        )
        raise SuiteError(message)
    if "user" not in roles[:-1]:
        message = f"{row.where}: the conversation has no user's message; add the question or remove the line"
        raise SuiteError(message)
    if row.values[column][-1].get("weight") == 0:
        message = f"{row.where}: the last answer has the weight 0, so it is no target; remove it or the line"
        raise SuiteError(message)
    return found


def _turn(message: Any, number: int, where: str) -> tuple[str, str]:  # noqa: ANN401 - any JSON value
    given: Mapping[str, Any] = message if isinstance(message, dict) else {}
    role = given.get("role", given.get("from"))
    role, text = _ROLES.get(str(role), str(role)), given.get("content", given.get("value"))
    if given.get("tool_calls") or given.get("function_call") or role in {"tool", "function", "observation"}:
        sentence = f"{where}: message {number} calls a tool, which a suite cannot measure; remove the line"
        raise SuiteError(sentence)
    if isinstance(text, list) and all(isinstance(part, dict) and part.get("type") == "text" for part in text):
        text = "".join(str(part.get("text", "")) for part in text)
    if role not in {"system", "user", "assistant"} or not isinstance(text, str) or not text.strip():
        sentence = f"{where}: message {number} needs a role (system, user, assistant) and a text; correct the line"
        raise SuiteError(sentence)
    return role, text


def _row(row: Row, column: str, turns: Sequence[tuple[str, str]], shared: str | None) -> Row:
    *before, (_, target) = turns
    asked = before[1:] if shared is not None and before[0][0] == "system" else before
    alone = len(asked) == 1
    given: Any = asked[0][1] if alone else [{"role": role, "content": text} for role, text in asked]
    others = {name: value for name, value in row.values.items() if name not in {column, "system"}}
    return Row(row.where, {**others, "input": given, "target": target})
