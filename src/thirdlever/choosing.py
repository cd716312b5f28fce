"""Choosing between ways to ask on the dev split, once, with what that cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.errors import StrategyError
from thirdlever.strategy import Deployment, SetupCost

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import Any

    from inspect_ai.solver import Solver

    from thirdlever.journal import Reply
    from thirdlever.models.base import BaseModel
    from thirdlever.store import Store
    from thirdlever.suite import Suite

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
        replies = {name: _replies(suite, model, solver, folder) for name, solver in options.items()}
        targets = {item.id: item.target for item in items}
        return {
            "accuracy": {
                name: sum(suite.answer.grade(r.completion, targets[r.item_id]).value for r in given) / len(items)
                for name, given in replies.items()
            },
            "input_tokens": sum(r.input_tokens or 0 for given in replies.values() for r in given),
            "output_tokens": sum(r.output_tokens or 0 for given in replies.values() for r in given),
            "device_seconds": sum(r.device_s or 0.0 for given in replies.values() for r in given),
        }

    depends = {"suite": suite.seen_hash, "model": [model.name, model.revision], "options": list(options), **of}
    facts = store.once("choice", of=depends, build=build).facts
    accuracy: Mapping[str, float] = facts["accuracy"]
    setup = SetupCost(
        labels=len(items),
        seconds=facts["seconds"],
        device_seconds=facts["device_seconds"],
        input_tokens=facts["input_tokens"],
        output_tokens=facts["output_tokens"],
    )
    return Choice(max(options, key=lambda name: accuracy[name]), accuracy, setup)


def _replies(suite: Suite, model: BaseModel, solver: Solver, folder: Path) -> list[Reply]:
    from thirdlever.evaluation import Pass, evaluate

    replies: list[Reply] = []

    def keep(reply: Reply) -> bool:
        replies.append(reply)
        return True

    work = Pass(
        name="dev",
        phase="accuracy",
        suite=suite,
        items=suite.dev.first(ITEMS),
        epochs=1,
        seed=0,
        constrain=False,
        about={},
    )
    evaluate(work, Deployment(solver, model=model), folder, answered=lambda _: None, keep=keep)
    return replies
