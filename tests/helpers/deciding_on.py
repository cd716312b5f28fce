"""Candidates with known scores, for tests of what is decided on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from thirdlever.analysis.compare import accuracy
from thirdlever.analysis.outcomes import Outcomes
from thirdlever.decision.assumptions import assume
from thirdlever.decision.costs import Cost
from thirdlever.decision.evidence import Kind, Standing, assess

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Evidence

KINDS: Mapping[str, Kind] = {
    "null": "no model",
    "few_shot": "prompt",
    "rag": "retrieval",
    "lora": "tuned",
    "managed": "tuned",
}
WILLING = {
    "monthly_volume": "1000000",
    "target_accuracy": "0.92",
    "stable": "yes",
    "behaviour": "yes",
    "changing_knowledge": "no",
    "maintainer": "the search team",
    "engineering_usd": "5000",
}
USD = {"null": 0.0001, "few_shot": 0.010, "rag": 0.012, "lora": 0.002, "managed": 0.003}


def assumptions(**changes: str) -> Assumptions:
    """All that a GO takes, with changes; "unknown" takes one away."""
    return assume({}, {name: value for name, value in {**WILLING, **changes}.items() if value != "unknown"})


def evidence(
    accuracies: Mapping[str, float],
    n: int = 2000,
    *,
    failed: Sequence[str] = (),
    kinds: Mapping[str, Kind] = KINDS,
    base: str | None = "hf/acme-7b",
    slices: Sequence[str] = (),
    labelled: int | None = 5000,
    examples: int | None = 5000,
) -> Evidence:
    """Candidates that are right on exactly such shares of n items, their errors spread evenly and apart."""
    rows = [_scores(share, n, shift) for shift, share in enumerate(accuracies.values())]
    scores = scored(list(accuracies), np.array(rows), slices)
    described = [
        Standing(
            name=name,
            kind=kinds[name],
            base=None if kinds[name] == "no model" else base,
            hosted=base is not None and not base.startswith(("hf/", "embedded")),
            requests=n,
            failed=n if name in failed else 0,
            statuses={"answered": 0 if name in failed else n, "failed": n if name in failed else 0},
            not_measured=f"not measured: {n:,} of {n:,} requests failed" if name in failed else None,
            examples=examples if kinds[name] == "tuned" else None,
        )
        for name in accuracies
    ]
    return assess(scores, measured(described, scores), labelled=labelled, answers=27)


def measured(described: Sequence[Standing], scores: Outcomes) -> list[Standing]:
    """With their accuracies, except those that are not measured."""
    return [one if one.not_measured else one.measured(accuracy(scores, one.name)) for one in described]


def scored(names: Sequence[str], scores: Any, slices: Sequence[str] = ()) -> Outcomes:  # noqa: ANN401 - any array
    """Outcomes of scores [candidates, items]; slices take turns."""
    n = scores.shape[1]
    return Outcomes(
        candidates=tuple(names),
        items=tuple(f"{i:06}" for i in range(n)),
        scores=np.asarray(scores, dtype=np.float64),
        clusters=np.arange(n),
        slices=tuple(slices[i % len(slices)] if slices else "" for i in range(n)),
    )


def priced(e: Evidence, **changes: float | None) -> dict[str, Cost]:
    """The costs of the candidates of some evidence, with their accuracies."""
    known = costs(**changes)
    return {name: replace(known[name], accuracy=one.accuracy) for name, one in e.standings.items()}


def costs(**changes: float | None) -> dict[str, Cost]:
    """By candidate; USD a request, unknown where it is None."""
    return {name: _cost(name, usd) for name, usd in {**USD, **changes}.items()}


def _cost(name: str, usd: float | None) -> Cost:
    tuned = KINDS.get(name) == "tuned"
    setup = {"training": 100.0, "engineering": 5000.0} if tuned else {"engineering": 50.0}
    return Cost(candidate=name, strategy=name, model="m", tuned=tuned, per_request_usd=usd, setup=setup, standing={})


def _scores(share: float, n: int, shift: int) -> Any:  # noqa: ANN401 - [n]
    wrong = n - round(share * n)
    scores = np.ones(n)
    scores[(np.floor(np.arange(wrong) * n / max(wrong, 1)).astype(int) + shift) % n] = 0.0
    return scores
