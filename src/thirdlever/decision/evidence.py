"""What the gates look at: how each candidate stands and what is known of the task. Nothing here judges or spends."""

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

POINT = 0.01  # looked for where neither a gap nor a margin says how much matters
_ROUNDING = 1e-9
_ANY_MARGIN = 0.02  # the bound does not depend on it


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a candidate did.

    Attributes:
        name: the candidate.
        kind: which lever it pulls.
        base: the model under it; None when it asks none, or when that is not known.
        hosted: whether a provider runs and tunes the base.
        accuracy: mean score; None when no request was answered, or when nobody states it.
        low: lower end of its 95 % interval; None for a figure that was given, not measured.
        high: upper end.
        n: items; 0 for a given figure.
        spread: n times the variance of the mean, which is what more items divide.
        requests: how many were made.
        failed: how many of them brought no answer.
        examples: labelled examples that it was tuned on; None when it was not tuned, or when that is not known.
        weeks: the time until it is in use, where that is given.
        today: whether it is what is in use now.
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
        """Whether it reaches a share of right answers; "open" while its interval holds the target."""
        if self.accuracy is None:
            return "unknown"
        low = self.accuracy if self.low is None else self.low
        high = self.accuracy if self.high is None else self.high
        if low >= target:
            return "meets"
        return "misses" if high < target else "open"

    def needed(self, target: float, margin: float) -> int:
        """Items that would settle it with 80 % power: for the gap seen, or for the margin where the gap is smaller."""
        gap = max(abs((self.accuracy or 0.0) - target), margin) or POINT
        z = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)
        return max(self.n + 1, math.ceil(z * z * (self.spread or target * (1 - target)) / gap**2))

    def __str__(self) -> str:
        """Name, accuracy, and how sure that is."""
        if self.accuracy is None:
            return f"{self.name} (no answers)" if self.requests else f"{self.name} (accuracy unknown)"
        if self.low is None or self.high is None:
            return f"{self.name} at {percent(self.accuracy)}"
        interval = f"{percent(self.low).removesuffix(' %')} to {percent(self.high)}"
        return f"{self.name} at {percent(self.accuracy)} ({interval} on {counted(self.n, 'item')})"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A part of the test items, and whether retrieval or tuning helps there.

    Attributes:
        name: as the suite names it.
        n: its items.
        retrieval: best retrieval candidate less best prompt.
        tuning: best tuned candidate less best prompt.
        retrieval_helps: whether that difference is more than chance, after Holm over all slices and both levers.
        tuning_helps: the same of tuning.
    """

    name: str
    n: int
    retrieval: float
    tuning: float
    retrieval_helps: bool
    tuning_helps: bool


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that a decision rests on, but money and assumptions.

    Attributes:
        standings: by name, best first; those without an answer last.
        comparisons: each tuned candidate against the most accurate one that is not tuned, by the tuned one's name;
            Holm-adjusted over all of them.
        knowledge: the best retrieval candidate against the best prompt; None when either is missing.
        slices: where retrieval and tuning help.
        outcomes: the scores; None on given figures.
        labelled: labelled examples at hand; None when not known.
        answers: different right answers that the task has; 0 for free text.
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
        """Whether the figures were given by somebody, with no item behind them."""
        return self.outcomes is None

    def of(self, *kinds: Kind) -> list[Standing]:
        """Candidates of some kinds that answered, best first."""
        return [one for one in self.standings.values() if one.kind in kinds and one.accuracy is not None]

    @property
    def untuned(self) -> list[Standing]:
        """Candidates that are not tuned and answered, best first."""
        return self.of("no model", "prompt", "retrieval")

    @property
    def best_untuned(self) -> Standing | None:
        """The most accurate candidate that is not tuned: what a tuned one has to beat."""
        return next(iter(self.untuned), None)

    @property
    def failures(self) -> list[Standing]:
        """Candidates of which nothing is known because every request failed."""
        return [one for one in self.standings.values() if one.requests and one.failed == one.requests]

    def not_worse(self, candidate: str, reference: str, margin: float) -> bool:
        """Whether a candidate is worse than a reference by less than the margin, if at all, and beyond chance.

        On given figures the figures themselves are held against the margin.
        """
        if candidate == reference:
            return True
        if self.outcomes is None:
            ours, theirs = self.standings[candidate].accuracy, self.standings[reference].accuracy
            return (theirs or 0.0) - (ours or 0.0) <= margin + _ROUNDING
        if (pair := (candidate, reference)) not in self._bounds:  # asked for many margins, by the sensitivity
            from thirdlever.analysis.compare import non_inferior

            self._bounds[pair] = non_inferior(self.outcomes, candidate, reference, _ANY_MARGIN).low
        return self._bounds[pair] > -margin


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
