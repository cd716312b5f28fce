"""Which documents hold the answer to an item: those that its column `gold` names, and those that quote it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.answers.answer import Text
from thirdlever.answers.number import Number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.answers.answer import Answer
    from thirdlever.suites.suite import Document, Item, Suite


def quotable(answer: Answer, target: str) -> list[str]:
    """Right answers that a document can quote word for word; none for kinds such as labels."""
    if isinstance(answer, Text):
        return answer.answers(target)
    return [target] if isinstance(answer, Number) else []


def holds_answer(suite: Suite, item: Item, documents: Sequence[Document]) -> bool | None:
    """Whether one of the documents holds the right answer; None if that cannot be told.

    It holds it if it quotes it (answers of the kinds `Text` and `Number`) and belongs to a document that the item's
    column `gold` names. Either is enough to tell if the other is unknown.
    """
    named = item.fields.get("gold")
    gold = {str(each) for each in named} if isinstance(named, list) else None
    answers = quotable(suite.answer, item.target)
    if gold is None and not answers:
        return None
    known = documents if gold is None else [one for one in documents if {one.id, one.id.rpartition("#")[0]} & gold]
    return any(not answers or any(map(one.says, answers)) for one in known)
