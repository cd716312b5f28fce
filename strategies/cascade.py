"""Two strategies in a row: the cheap one answers where it is sure, the other one the rest."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Literal

from thirdlever import (
    CONFIDENCE,
    BaseModel,
    Deployment,
    Prepare,
    Store,
    StrategyError,
    Suite,
    add_setups,
    choose_threshold,
    parse,
    strategy,
)

if TYPE_CHECKING:
    from inspect_ai.solver import Generate, Solver, TaskState


@strategy
def cascade(*, first: str = "null", then: str = "rag", below: float | Literal["auto"] = "auto") -> Prepare:
    """The first strategy answers; where its confidence is below a threshold, the second one does.

    Args:
        first: a strategy that says how sure it is: null, or one with votes.
        then: the strategy for the other items.
        below: the threshold, 0 to 1, or "auto" to choose the most accurate one on dev.
    """
    specs = [parse(first), parse(then)]
    if below != "auto" and not 0 <= below <= 1:
        message = f"cascade: below={below} is not allowed; expected 0 to 1, or auto"
        raise StrategyError(message)

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:
        primary, fallback = (spec.prepare(suite, model, store) for spec in specs)
        if primary.model and fallback.model and primary.model != fallback.model:
            message = f"cascade: {first} and {then} call two models, and a candidate has one price; use first=null"
            raise StrategyError(message)
        setup = add_setups(primary.setup, fallback.setup)
        threshold = below
        if threshold == "auto":
            of = [[str(spec), spec.source_hash, dict(spec.args)] for spec in specs]
            made = choose_threshold(
                suite, primary, fallback, store, of={"strategies": of, "model": _revisions(fallback, primary)}
            )
            threshold, setup = made.value, add_setups(setup, made.setup)
        return Deployment(
            _in_a_row(primary.solver, fallback.solver, threshold, first),
            model=fallback.model or primary.model,
            setup=setup,
            given=(*primary.given, *fallback.given, *(suite.dev if below == "auto" else ())),
            tuning=fallback.tuning or primary.tuning,
            lever=fallback.lever,
        )

    return prepare


def _revisions(*deployments: Deployment) -> list[str | None]:
    return [each.model.revision if each.model else None for each in deployments]


def _in_a_row(primary: Solver, fallback: Solver, threshold: float, name: str) -> Solver:
    from inspect_ai.solver import solver

    @solver
    def cascading() -> Solver:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            asked = copy.copy(state)
            asked.messages = list(state.messages)
            answered = await primary(asked, generate)
            sure = answered.metadata.get(CONFIDENCE)
            if sure is None:
                message = f"cascade: {name} does not say how sure it is; use null, or another with votes=5"
                raise StrategyError(message)
            return answered if sure >= threshold else await fallback(state, generate)

        return solve

    return cascading()
