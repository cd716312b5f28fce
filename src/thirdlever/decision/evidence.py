"""Evidence for the gates: how each candidate did, and what is known about the task. No verdicts, no money."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.analysis import outcomes
from thirdlever.analysis.compare import accuracy, compare, holm, non_inferior
from thirdlever.analysis.grader import Grader
from thirdlever.analysis.stats.power import ALPHA, POWER
from thirdlever.analysis.variance import recipes
from thirdlever.core.text import counted, percent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thirdlever.analysis.compare import Comparison
    from thirdlever.analysis.outcomes import Outcomes
    from thirdlever.analysis.run import Run
    from thirdlever.analysis.scorecards import CandidateFigures
    from thirdlever.analysis.stats.intervals import Proportion
    from thirdlever.answers.reading import Status


Kind = Literal["no model", "prompt", "retrieval", "model", "tuned"]
Against = Literal["meets", "open", "misses", "unknown"]

POINT = 0.01  # difference to detect if neither a gap nor a margin states one
ROUNDING = 1e-9  # of figures that people state
_ANY_MARGIN = 0.02  # the bound does not depend on it
_LOCAL = ("embedded", "hf/")


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A candidate's result.

    Attributes:
        name: the candidate.
        kind: the lever it pulls; "model" is another base model without tuning.
        base: its base model; None without a model, or if unknown.
        prompt: the prompt that it is put to the model in, if the run has several; None for the suite's own.
        hosted: whether a provider runs and tunes the base model.
        accuracy: mean score; None if not measured, or if not stated.
        low: lower end of its 95 % interval; None for a stated figure.
        high: upper end.
        n: number of items; 0 for a stated figure.
        spread: n times the variance of the mean.
        requests: number sent.
        failed: number that failed.
        statuses: number of requests by status; empty for a stated figure.
        not_measured: why its accuracy is unknown although it was run, and the remedy.
        same_answer: that it gives nearly always the same answer, as a clause; None if it does not.
        examples: labelled examples it was tuned on; None if not tuned, or unknown.
        labels: labelled examples it uses in any way; None if unknown.
        documents: whether it retrieves documents, and not only similar examples; None if unknown.
        p95_s: time within which 95 % of its requests are answered; None if not measured.
        p95_low_s, p95_high_s: ends of its 90 % interval; None for a stated figure.
        weeks: time until it can be in use, if stated.
        today: whether it is in use now.
    """

    name: str
    kind: Kind
    base: str | None = None
    prompt: str | None = None
    hosted: bool = False
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    spread: float = 0.0
    requests: int = 0
    failed: int = 0
    statuses: Mapping[Status, int] = field(default_factory=dict)
    not_measured: str | None = None
    same_answer: str | None = None
    examples: int | None = None
    labels: int | None = None
    documents: bool | None = None
    p95_s: float | None = None
    p95_low_s: float | None = None
    p95_high_s: float | None = None
    weeks: float | None = None
    today: bool = False

    def measured(self, found: Proportion) -> Standing:
        """The same candidate with its accuracy."""
        spread = 0.0 if math.isnan(found.se) else found.n * found.se**2
        return replace(self, accuracy=found.value, low=found.low, high=found.high, n=found.n, spread=spread)

    def against(self, target: float) -> Against:
        """Whether its accuracy reaches a target; "open" if the interval contains the target."""
        if self.accuracy is None:
            return "unknown"
        low = self.accuracy if self.low is None else self.low
        high = self.accuracy if self.high is None else self.high
        if low >= target - ROUNDING:
            return "meets"
        return "misses" if high < target - ROUNDING else "open"

    def speed(self, target_s: float | None) -> Against:
        """Whether it answers 95 % of its requests in time: "meets" without a target; "open" as in `against`."""
        if target_s is None:
            return "meets"
        if self.p95_s is None:
            return "unknown"
        low = self.p95_s if self.p95_low_s is None else self.p95_low_s
        high = self.p95_s if self.p95_high_s is None else self.p95_high_s
        if high <= target_s + ROUNDING:
            return "meets"
        return "misses" if low > target_s + ROUNDING else "open"

    def needed(self, target: float, margin: float) -> int:
        """Items that would settle it with 80 % power if the true gap is the margin.

        Not for the observed gap, which may be chance: the items that would show it are then a guess.
        """
        gap = margin or POINT
        z = NormalDist().inv_cdf(1 - ALPHA / 2) + NormalDist().inv_cdf(POWER)
        return max(self.n + 1, math.ceil(z * z * (self.spread or target * (1 - target)) / gap**2))

    def __str__(self) -> str:
        """Name, accuracy and interval."""
        if self.accuracy is None:
            return f"{self.name} ({'not measured' if self.not_measured else 'accuracy unknown'})"
        if self.low is None or self.high is None:
            return f"{self.name} at {percent(self.accuracy)}"
        interval = f"{percent(self.low).removesuffix(' %')} to {percent(self.high)}"
        return f"{self.name} at {percent(self.accuracy)} ({interval} on {counted(self.n, 'item')})"


@dataclass(frozen=True, kw_only=True)
class Slice:
    """A slice of the test items, and whether retrieval or tuning helps there.

    Attributes:
        name: from the suite.
        n: number of items.
        retrieval: accuracy of the best retrieval candidate minus that of the best prompt.
        tuning: accuracy of the best tuned candidate minus that of the best prompt.
        retrieval_helps: whether the former is positive and significant, after Holm over all slices and both levers.
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
    """The basis of a decision, without money and assumptions.

    Attributes:
        standings: by name, best first; those without an accuracy last.
        comparisons: each tuned candidate against the most accurate one that is not tuned, by the tuned one's name;
            Holm-adjusted over all of them.
        knowledge: the best candidate that retrieves documents against the best prompt; None if either is missing.
        slices: where retrieval and tuning help.
        outcomes: the scores; None for stated figures.
        labelled: labelled examples at hand; None if unknown.
        answers: number of possible answers; 0 for free text.
        looks: test items at each look at the run, the last one being the present; empty for stated figures.
        test_items: size of the test split; 0 if unknown.
        documents: that the suite has, for retrieval; None if unknown.
        near_leaks: measured test items that are nearly the same as one of train or dev.
        repeats: candidates that differ in their seed alone, by the name of their recipe, which stands for them.
        no_verdict: why no accuracy counts, and the remedy: the grader is not calibrated. None if they count.
    """

    standings: Mapping[str, Standing]
    comparisons: Mapping[str, Comparison] = field(default_factory=dict)
    knowledge: Comparison | None = None
    slices: Sequence[Slice] = ()
    outcomes: Outcomes | None = None
    labelled: int | None = None
    answers: int = 0
    looks: Sequence[int] = ()
    test_items: int = 0
    documents: int | None = None
    near_leaks: int = 0
    repeats: Mapping[str, Sequence[str]] = field(default_factory=dict)
    no_verdict: str | None = None
    _bounds: dict[tuple[str, str, int], float] = field(default_factory=dict, repr=False, compare=False)

    @property
    def alpha(self) -> float:
        """Risk of error of the tests at this look, so that all looks together err in at most 5 % of runs.

        A look at a part of the test split is tested at half of what is left of the 5 %, because a look at more of it
        may follow; a look at all of it, at all that is left.
        """
        left: float = ALPHA * 0.5 ** max(len(self.looks) - 1, 0)
        partial = bool(self.looks) and self.looks[-1] < self.test_items
        return left / 2 if partial else left

    @property
    def given(self) -> bool:
        """Whether the figures were stated, not measured."""
        return self.outcomes is None

    def of(self, *kinds: Kind) -> list[Standing]:
        """Candidates of these kinds with an accuracy, best first."""
        return [one for one in self.standings.values() if one.kind in kinds and one.accuracy is not None]

    @property
    def untuned(self) -> list[Standing]:
        """Candidates with an accuracy that are not tuned, best first."""
        return self.of("no model", "prompt", "retrieval", "model")

    @property
    def best_untuned(self) -> Standing | None:
        """The most accurate candidate that is not tuned, which a tuned one must beat."""
        return next(iter(self.untuned), None)

    def unknown(self, *kinds: Kind) -> list[Standing]:
        """Candidates of these kinds whose accuracy is not stated."""
        return [
            one
            for one in self.standings.values()
            if one.kind in kinds and one.accuracy is None and not one.not_measured
        ]

    def unmeasured(self, *kinds: Kind) -> list[Standing]:
        """Candidates of these kinds that were run but are not measured."""
        return [one for one in self.standings.values() if one.kind in kinds and one.not_measured]

    def not_worse(self, candidate: str, reference: str, margin: float, *, share: int = 1) -> bool:
        """Whether a candidate is shown to be less than the margin worse than a reference: non-inferiority.

        Stated figures are compared with the margin directly.

        Args:
            candidate: its name.
            reference: likewise.
            margin: of accuracy.
            share: how many candidates share the risk of error.
        """
        if candidate == reference:
            return True
        if self.outcomes is None:
            ours, theirs = self.standings[candidate].accuracy, self.standings[reference].accuracy
            return (theirs or 0.0) - (ours or 0.0) < margin - ROUNDING
        if (asked := (candidate, reference, share)) not in self._bounds:  # the sensitivity tries many margins
            found = non_inferior(self.outcomes, candidate, reference, _ANY_MARGIN, alpha=self.alpha / share)
            self._bounds[asked] = found.low
        return self._bounds[asked] > -margin

    def tested(self, a: str, b: str) -> Comparison | None:
        """The paired comparison of two candidates; None for stated figures."""
        known = () if self.outcomes is None else self.outcomes.candidates
        return compare(self.outcomes, a, b) if self.outcomes is not None and {a, b} <= {*known} else None

    def items_for(self, candidate: str, reference: str, margin: float) -> int:
        """Items that would probably show, 4 in 5, that a candidate is not worse by the margin; 0 for stated figures."""
        if self.outcomes is None:
            return 0
        return non_inferior(self.outcomes, candidate, reference, max(margin, POINT)).needed


def gather(run: Run) -> Evidence:
    """A run's evidence.

    Raises:
        RunError: the run is not finished, its candidates cannot be paired, or none of them is measured.
    """
    info, judge = run.info, Grader.of(run.info)
    no_verdict = judge.why_not if judge else None
    suite, candidates = info.get("suite") or {}, info.get("candidates") or ()
    scores = outcomes.NONE if no_verdict else outcomes.load(run)
    repeats = recipes(info, scores.candidates)
    scores = outcomes.averaged(scores, repeats)
    found = assess(
        scores,
        _together(_standings(run.figures.values()), repeats, scores),
        labelled=_labelled(suite, candidates),
        answers=int(suite.get("choices") or 0),
        looks=info.get("looks") or (),
        test_items=int((suite.get("counts") or {}).get("test") or 0),
    )
    near = {*(info.get("near_leaks") or {}).get("items", ())} & {*scores.items}
    return replace(
        found, documents=suite.get("documents"), near_leaks=len(near), repeats=repeats, no_verdict=no_verdict
    )


def _together(standings: Sequence[Standing], repeats: Mapping[str, Sequence[str]], scores: Outcomes) -> list[Standing]:
    """The candidates, with one for all repeats of a recipe: its accuracy is their mean, by item."""
    known = {one.name: one for one in standings}
    for recipe, names in repeats.items():
        own = [known.pop(name) for name in names]
        statuses = {status: sum(one.statuses[status] for one in own) for status in own[0].statuses}
        known[recipe] = replace(
            own[0],
            name=recipe,
            requests=sum(one.requests for one in own),
            failed=sum(one.failed for one in own),
            statuses=statuses,
        ).measured(accuracy(scores, recipe))
    return list(known.values())


def assess(
    scores: Outcomes,
    standings: Sequence[Standing],
    *,
    labelled: int | None = None,
    answers: int = 0,
    looks: Sequence[int] = (),
    test_items: int = 0,
) -> Evidence:
    """Compare the tuned candidates with the best of the others, and levers with each other.

    The most accurate candidate is chosen by its score, which favours it: the comparison is stricter than 5 %, never
    weaker.

    Args:
        scores: of every measured candidate.
        standings: of all candidates.
        labelled: labelled examples at hand.
        answers: number of possible answers.
        looks: see `Evidence`.
        test_items: likewise.
    """
    ranked = sorted(standings, key=lambda one: (one.accuracy is None, -(one.accuracy or 0.0)))
    found = Evidence(
        standings={one.name: one for one in ranked},
        outcomes=scores,
        labelled=labelled,
        answers=answers,
        looks=looks,
        test_items=test_items,
    )
    best, tuned = found.best_untuned, found.of("tuned")
    prompts, retrievals = found.of("prompt"), found.of("retrieval")
    reading = [one for one in retrievals if one.documents is not False]
    return replace(
        found,
        comparisons={one.b: one for one in holm([compare(scores, best.name, one.name) for one in tuned])}
        if best
        else {},
        knowledge=compare(scores, prompts[0].name, reading[0].name) if prompts and reading else None,
        slices=_slices(scores, prompts, retrievals, tuned, alpha=found.alpha),
    )


def is_hosted(base: str | None) -> bool:
    """Whether a model's name is one of a provider's."""
    return base is not None and "/" in base and not base.startswith(_LOCAL)


def _standings(figures: Iterable[CandidateFigures]) -> list[Standing]:
    """How each candidate did; a prompt on another base than the run's first is a switch of the model."""
    found = [_standing(one) for one in figures]
    first = next((one.base for one in found if one.base), None)
    return [replace(one, kind="model") if one.kind == "prompt" and one.base != first else one for one in found]


def _standing(one: CandidateFigures) -> Standing:
    """How a candidate did; without an accuracy if it is not measured."""
    kind: Kind = "no model" if one.lever == "none" else one.lever
    base = None if kind == "no model" else one.about.get("base") or one.about.get("model")
    standing = Standing(
        name=one.name,
        kind=kind,
        base=base,
        prompt=one.about.get("prompt"),
        hosted=is_hosted(base) if one.about.get("tuning") is None else one.about["tuning"]["where"] != "local",
        requests=len(one.asked),
        failed=one.failed,
        statuses=one.statuses,
        not_measured=one.not_measured,
        same_answer=one.same_answer,
        examples=int((one.about.get("tuning") or {}).get("examples") or 0) or None,
        labels=(one.about.get("setup") or {}).get("labels"),
        documents=None if one.about.get("documents") is None else one.about["documents"] > 0,
        p95_s=one.latency["latency_p95_s"],
        p95_low_s=one.latency.get("latency_p95_low_s"),
        p95_high_s=one.latency.get("latency_p95_high_s"),
    )
    return standing if one.accuracy is None else standing.measured(one.accuracy)


def _labelled(suite: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> int | None:
    """Size of the train split; in runs that do not state it, the most labels that a candidate used."""
    counts = suite.get("counts")
    if counts:
        return int(counts["train"])
    taken = [int(one["setup"]["labels"]) for one in candidates if one.get("setup")]
    return max(taken, default=0) or None


def _slices(
    scores: Outcomes,
    prompts: Sequence[Standing],
    retrievals: Sequence[Standing],
    tuned: Sequence[Standing],
    *,
    alpha: float,
) -> list[Slice]:
    """The best retrieval and the best tuned candidate, each against the best prompt, by slice."""
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
            retrieval_helps=_helps(retrieval, alpha),
            tuning_helps=_helps(tuning, alpha),
        )
        for name, retrieval, tuning in zip(names, adjusted[::2], adjusted[1::2], strict=True)
    ]


def _helps(compared: Comparison, alpha: float) -> bool:
    return compared.difference > 0 and compared.significant(alpha)
