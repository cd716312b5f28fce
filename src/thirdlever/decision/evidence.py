"""Evidence for a decision: each candidate's result and what is known of the task, without any judgement."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.analysis.compare import accuracy, compare, holm
from thirdlever.analysis.outcomes import outcomes
from thirdlever.analysis.stats.power import ALPHA, POWER
from thirdlever.core.text import counted, percent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.compare import Comparison
    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.run import Run


Kind = Literal["no model", "prompt", "retrieval", "tuned"]
Against = Literal["meets", "open", "misses", "unknown"]

POINT = 0.01  # the difference to look for if there is neither a gap nor a margin
_ROUNDING = 1e-9
_ANY_MARGIN = 0.02  # the bound does not depend on it


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate's result.

    Attributes:
        name: the candidate's name.
        kind: its lever.
        base: its base model; None if it uses none or the model is unknown.
        hosted: whether a provider runs and tunes the base.
        accuracy: mean score; None if no request was answered or no accuracy is stated.
        low: lower end of its 95 % interval; None for a given figure.
        high: upper end.
        n: number of items; 0 for a given figure.
        spread: n times the variance of the mean; dividing it by a number of items gives their variance.
        requests: number of requests.
        failed: requests without an answer.
        examples: labelled examples it was tuned on; None if it was not tuned or the number is unknown.
        weeks: time until it is in use, if stated.
        today: whether it is in use now.
    """

    name: str
    kind: Kind
    base: str | None = None
    hosted: bool = False
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    spread: float = 0.0
    requests: int = 0
    failed: int = 0
    examples: int | None = None
    weeks: float | None = None
    today: bool = False

    def against(self, target: float) -> Against:
        """Whether it reaches the target accuracy; "open" if the target lies inside its interval."""
        if self.accuracy is None:
            return "unknown"
        low = self.accuracy if self.low is None else self.low
        high = self.accuracy if self.high is None else self.high
        if low >= target:
            return "meets"
        return "misses" if high < target else "open"

    def needed(self, target: float, margin: float) -> int:
        """Items that would settle it with 80 % power, for the observed gap or, if that is smaller, the margin."""
        gap = max(abs((self.accuracy or 0.0) - target), margin) or POINT
        z = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)
        return max(self.n + 1, math.ceil(z * z * (self.spread or target * (1 - target)) / gap**2))

    def __str__(self) -> str:
        """Name, accuracy and interval."""
        if self.accuracy is None:
            return f"{self.name} (no answers)" if self.requests else f"{self.name} (accuracy unknown)"
        if self.low is None or self.high is None:
            return f"{self.name} at {percent(self.accuracy)}"
        interval = f"{percent(self.low).removesuffix(' %')} to {percent(self.high)}"
        return f"{self.name} at {percent(self.accuracy)} ({interval} on {counted(self.n, 'item')})"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A slice of the test items, and whether retrieval or tuning helps there.

    Attributes:
        name: its name in the suite.
        n: number of items.
        retrieval: accuracy of the best retrieval candidate minus that of the best prompt.
        tuning: accuracy of the best tuned candidate minus that of the best prompt.
        retrieval_helps: whether that difference is significant, Holm-adjusted over all slices and both levers.
        tuning_helps: the same for tuning.
    """

    name: str
    n: int
    retrieval: float
    tuning: float
    retrieval_helps: bool
    tuning_helps: bool


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything a decision is based on, except costs and assumptions.

    Attributes:
        standings: results by name, best first, without an answer last.
        comparisons: each tuned candidate compared with the most accurate untuned one, by the tuned candidate's name;
            Holm-adjusted over all of them.
        knowledge: the best retrieval candidate compared with the best prompt; None if either is missing.
        slices: where retrieval and tuning help.
        outcomes: the scores; None for given figures.
        labelled: number of labelled examples; None if unknown.
        answers: number of distinct correct answers; 0 for free text.
    """

    standings: Mapping[str, Standing]
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    knowledge: Comparison | None = None
    slices: Sequence[Slice] = ()
    outcomes: Outcomes | None = None
    labelled: int | None = None
    answers: int = 0
    _bounds: dict[tuple[str, str], float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def given(self) -> bool:
        """Whether the figures were given, not measured on items."""
        return self.outcomes is None

    def of(self, *kinds: Kind) -> list[Standing]:
        """Candidates of these kinds that answered, best first."""
        return [one for one in self.standings.values() if one.kind in kinds and one.accuracy is not None]

    @property
    def untuned(self) -> list[Standing]:
        """Untuned candidates that answered, best first."""
        return self.of("no model", "prompt", "retrieval")

    @property
    def best_untuned(self) -> Standing | None:
        """The most accurate untuned candidate, which a tuned one must beat."""
        return next(iter(self.untuned), None)

    @property
    def failures(self) -> list[Standing]:
        """Candidates whose every request failed."""
        return [one for one in self.standings.values() if one.requests and one.failed == one.requests]

    def not_worse(self, candidate: str, reference: str, margin: float) -> bool:
        """Whether a candidate is significantly not worse than a reference by the margin or more.

        Given figures are compared with the margin directly.
        """
        if candidate == reference:
            return True
        if self.outcomes is None:
            ours, theirs = self.standings[candidate].accuracy, self.standings[reference].accuracy
            return (theirs or 0.0) - (ours or 0.0) <= margin + _ROUNDING
        if (pair := (candidate, reference)) not in self._bounds:  # the sensitivity asks for many margins
            from thirdlever.analysis.compare import non_inferior

            self._bounds[pair] = non_inferior(self.outcomes, candidate, reference, _ANY_MARGIN).low
        return self._bounds[pair] > -margin


_LOCAL = ("embedded", "hf/")
_COLUMNS = ("candidate", "phase", "item_id", "epoch", "slice", "group", "score", "item_hash", "error", "retrieval_s")


def gather(run: Run) -> Evidence:
    """Read a run's evidence; texts are skipped, so that a million records take seconds.

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
        records: one row per request; `_COLUMNS` are read.
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
    """Measure candidates on their scores and compare the tuned ones with the best untuned one.

    That one is selected on the same items, which favours it: the test of a tuned candidate errs on the strict side.

    Args:
        scores: the scores of every candidate that answered.
        described: every candidate, without figures.
        labelled: number of labelled examples.
        answers: number of distinct correct answers.
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
    """Every candidate of the run or the records, with its kind and its numbers of requests and failures."""
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
    """The standing with its figures; unchanged if no request was answered."""
    if one.name not in scores.candidates or (one.requests and one.failed == one.requests):
        return one
    found = accuracy(scores, one.name)
    spread = 0.0 if math.isnan(found.se) else found.n * found.se**2
    return replace(one, accuracy=found.value, low=found.low, high=found.high, n=found.n, spread=spread)


def _labelled(suite: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> int | None:
    """Size of the train split; if the run does not state it, the most labels that a candidate used."""
    counts = suite.get("counts")
    if counts:
        return int(counts["train"])
    taken = [int(one["setup"]["labels"]) for one in candidates if one.get("setup")]
    return max(taken, default=0) or None


def _slices(
    scores: Outcomes, prompts: Sequence[Standing], retrievals: Sequence[Standing], tuned: Sequence[Standing]
) -> list[Slice]:
    """Best retrieval and best tuned candidate, each compared with the best prompt, per slice."""
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
