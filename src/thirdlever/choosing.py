"""Choosing between ways to ask on the dev split, once, with what that cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from thirdlever.core.errors import StrategyError
from thirdlever.preparing import Used, replies, setup
from thirdlever.strategies.contract import Deployment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from inspect_ai.solver import Solver

    from thirdlever.core.store import Store
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import SetupCost
    from thirdlever.suites.suite import Suite

ITEMS = 200  # of dev: tells 6 points apart (one standard error is at most 3.5)


@dataclass(frozen=True, slots=True)
class Choice:
    """What dev says.

    Attributes:
        best: the option with the highest accuracy; of equals the one listed first.
        accuracy: of every option.
        setup: what finding out cost.
    """

    best: str
    accuracy: Mapping[str, float]
    setup: SetupCost


def choose(
    suite: Suite, model: BaseModel, store: Store, options: Mapping[str, Solver], *, of: Mapping[str, Any]
) -> Choice:
    """Ask up to 200 dev items in every way, and keep the result.

    Args:
        suite: whose dev split decides.
        model: whom to ask.
        store: where the result is kept.
        options: ways to ask by name, the cheapest first.
        of: what the options depend on beside suite and model, JSON-able.
    """
    if not len(suite.dev):
        message = f"suite {suite.name!r} has no dev split to choose on; add its dev.jsonl or choose yourself"
        raise StrategyError(message)
    items = suite.dev.first(ITEMS)

    def build(folder: Path) -> dict[str, Any]:
        given = {
            name: replies(suite, Deployment(solver, model=model), items, folder / name, title=f"dev: {name}")
            for name, solver in options.items()
        }
        targets = {item.id: item.target for item in items}
        accuracy = {
            name: sum(suite.answer.grade(r.completion, targets[r.item_id]).value for r in answers) / len(items)
            for name, answers in given.items()
        }
        return {"accuracy": accuracy, **asdict(Used.by([reply for answers in given.values() for reply in answers]))}

    depends = {"suite": suite.seen_hash, "model": [model.name, model.revision], "options": list(options), **of}
    facts = store.once("choice", of=depends, build=build, resume=True).facts
    accuracy: Mapping[str, float] = facts["accuracy"]
    return Choice(max(options, key=lambda name: accuracy[name]), accuracy, setup(facts, labels=len(items)))
