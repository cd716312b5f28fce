"""The two doors through which preparing a strategy spends, and who stands in them while a plan is made.

Strategies, a user's own among them, are none the wiser: they prepare, and nobody is asked and nothing is ordered. What
is built on this machine goes through `Store.once`; a plan hands in a store of its own.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from thirdlever.evaluation import Pass
    from thirdlever.journal import Reply
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Deployment
    from thirdlever.tuning.examples import Conversation
    from thirdlever.tuning.managed import Tuned


class Understudy(Protocol):
    """Stands in for models and providers that preparing would pay."""

    def asked(self, work: Pass, deployment: Deployment) -> Sequence[Reply]:
        """Reply to a strategy's own questions."""

    def ordered(
        self,
        model: BaseModel,
        examples: Sequence[Conversation],
        *,
        dev: Sequence[Conversation],
        provider: str,
        epochs: int | None,
        horizon_days: int,
    ) -> Tuned:
        """Stand in for a tuning job; the arguments are those of `managed.tune`, with the provider's name known."""


_on: ContextVar[Understudy | None] = ContextVar("understudy", default=None)


def understudy() -> Understudy | None:
    """Who stands in; None when it is no rehearsal."""
    return _on.get()


@contextmanager
def standing_in(one: Understudy) -> Iterator[None]:
    """Ask nobody and order nothing until the block ends."""
    before = _on.set(one)
    try:
        yield
    finally:
        _on.reset(before)
