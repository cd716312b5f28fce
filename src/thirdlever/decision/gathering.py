"""From a run to the evidence of a decision: who stands where, who was compared with whom."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.compare import accuracy, compare, holm
from thirdlever.analysis.outcomes import outcomes
from thirdlever.analysis.stats.power import ALPHA
from thirdlever.decision.evidence import Evidence, Kind, Slice, Standing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.compare import Comparison
    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.run import Run

_LOCAL = ("embedded", "hf/")
_COLUMNS = ("candidate", "phase", "item_id", "epoch", "slice", "group", "score", "item_hash", "error", "retrieval_s")


def gather(run: Run) -> Evidence:
    """Read a run's evidence, without its texts: a million records take seconds.

    Raises:
        RunError: the run is not finished, or its candidates cannot be paired.
    """
    import pandas as pd

    from thirdlever.analysis.run import RECORDS

    info = run.info
    return evidence(pd.read_parquet(run.folder / RECORDS, columns=list(_COLUMNS)), info)


def evidence(records: pd.DataFrame, info: Mapping[str, Any]) -> Evidence:
    """Evidence from records and run.json.

    Args:
        records: one row a request; `_COLUMNS` are read.
        info: run.json: `candidates` with strategy, base, model and tuning; `suite` with counts and choices.
    """
    suite, candidates = info.get("suite") or {}, info.get("candidates") or ()
    return assess(
        outcomes(records),
        _described(records, candidates),
        labelled=_labelled(suite, candidates),
        answers=int(suite.get("choices") or 0),
    )


def assess(
    scores: Outcomes, described: Sequence[Standing], *, labelled: int | None = None, answers: int = 0
) -> Evidence:
    """Measure candidates on their scores, and hold the tuned ones against the best of the others.

    The most accurate candidate is chosen by looking, which favours it: a tuned one that beats it is held to more than
    5 %, never to less.

    Args:
        scores: of every candidate that answered.
        described: all candidates, without figures.
        labelled: labelled examples at hand.
        answers: different right answers that the task has.
    """
    standings = [_measured(one, scores) for one in described]
    standings.sort(key=lambda one: (one.accuracy is None, -(one.accuracy or 0.0)))
    found = Evidence(
        standings={one.name: one for one in standings}, outcomes=scores, labelled=labelled, answers=answers
    )
    best, tuned = found.best_untuned, found.of("tuned")
    prompts, retrievals = found.of("prompt"), found.of("retrieval")
    return replace(
        found,
        comparisons={one.b: one for one in holm([compare(scores, best.name, one.name) for one in tuned])}
        if best
        else {},
        knowledge=compare(scores, prompts[0].name, retrievals[0].name) if prompts and retrievals else None,
        slices=_slices(scores, prompts, retrievals, tuned),
    )


def _described(records: pd.DataFrame, candidates: Sequence[Mapping[str, Any]]) -> list[Standing]:
    """Every candidate of the run or the records: what it is, how much it was asked, how often that failed."""
    asked = records[records["phase"] == "accuracy"]
    flags = asked.assign(failed=asked["error"].notna(), retrieved=asked["retrieval_s"].notna()).groupby("candidate")
    counts = flags.agg(requests=("failed", "size"), failed=("failed", "sum"), retrieved=("retrieved", "any"))
    known = {str(one["name"]): one for one in candidates}
    standings = []
    for name in dict.fromkeys([*known, *counts.index]):
        about = known.get(name, {})
        requests, failed, retrieved = counts.loc[name] if name in counts.index else (0, 0, False)
        kind = _kind(about, retrieved=bool(retrieved))
        base = None if kind == "no model" else about.get("base") or about.get("model")
        standings.append(
            Standing(
                name=name,
                kind=kind,
                base=base,
                hosted=bool(base) and not str(base).startswith(_LOCAL),
                requests=int(requests),
                failed=int(failed),
                examples=int((about.get("tuning") or {}).get("examples") or 0) or None,
            )
        )
    return standings


def _kind(about: Mapping[str, Any], *, retrieved: bool) -> Kind:
    """By what the candidate does, so that a user's own strategies are judged like those that come along."""
    if about.get("tuning") is not None or about.get("strategy") in {"lora", "managed", "distilled"}:
        return "tuned"
    if about and about.get("model") is None:
        return "no model"
    return "retrieval" if retrieved or about.get("strategy") == "rag" else "prompt"


def _measured(one: Standing, scores: Outcomes) -> Standing:
    """With its figures; as it is when no request of it was answered."""
    if one.name not in scores.candidates or (one.requests and one.failed == one.requests):
        return one
    found = accuracy(scores, one.name)
    spread = 0.0 if math.isnan(found.se) else found.n * found.se**2
    return replace(one, accuracy=found.value, low=found.low, high=found.high, n=found.n, spread=spread)


def _labelled(suite: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> int | None:
    """The train split; in a run that does not say its size, the most labels that a candidate took."""
    counts = suite.get("counts")
    if counts:
        return int(counts["train"])
    taken = [int(one["setup"]["labels"]) for one in candidates if one.get("setup")]
    return max(taken, default=0) or None


def _slices(
    scores: Outcomes, prompts: Sequence[Standing], retrievals: Sequence[Standing], tuned: Sequence[Standing]
) -> list[Slice]:
    """Best retrieval and best tuned candidate, each against the best prompt, slice by slice."""
    names = sorted({name for name in scores.slices if name})
    if not (prompts and retrievals and tuned and names):
        return []
    levers = (retrievals[0].name, tuned[0].name)
    compared: list[Comparison] = []
    for name in names:
        part = scores.slice(name)
        compared += [compare(part, prompts[0].name, lever) for lever in levers]
    adjusted = holm(compared)
    return [
        Slice(
            name=name,
            n=retrieval.n,
            retrieval=retrieval.difference,
            tuning=tuning.difference,
            retrieval_helps=_helps(retrieval),
            tuning_helps=_helps(tuning),
        )
        for name, retrieval, tuning in zip(names, adjusted[::2], adjusted[1::2], strict=True)
    ]


def _helps(compared: Comparison) -> bool:
    return compared.difference > 0 and compared.p_adjusted <= ALPHA
