"""Paired comparisons of candidates, each with a suitable test and interval.

Independent items, answered once, right or wrong: exact McNemar test and Tango's score interval. Items in groups,
repeats, partial scores: the same test on whole clusters (a sign-flip test), and Tango's interval at the effective
sample size. See docs/statistics.md.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from thirdlever.analysis import grader, outcomes, retrieval
from thirdlever.analysis.grader import PERFECT
from thirdlever.analysis.scorecards import figures
from thirdlever.analysis.stats import intervals
from thirdlever.analysis.stats.intervals import of_items
from thirdlever.analysis.stats.judged import ratio_interval, ratio_z
from thirdlever.analysis.stats.power import ALPHA, POWER, Design
from thirdlever.analysis.variance import Variance, by_recipe
from thirdlever.core.errors import RunError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.analysis.outcomes import Corrections, Outcomes
    from thirdlever.analysis.retrieval import RetrievalShare
    from thirdlever.analysis.run import Run
    from thirdlever.analysis.scorecards import CandidateFigures
    from thirdlever.analysis.stats.intervals import Proportion


By: TypeAlias = Literal["prompt", "model", "strategy"]
MCNEMAR = "exact McNemar"
SIGN_FLIP = "sign-flip test by cluster"
_SAME = 1e-9  # of verdicts: rounding of a correction


class Differences:
    """b's scores minus a's, item by item.

    Scores of a grader are corrected for its errors. The test of no difference needs no correction, because a grader
    that errs alike on both cannot make equals differ; the size of a difference does, and the interval includes the
    uncertainty of the correction. If people labelled answers of both candidates, both are prediction-powered instead.

    Attributes:
        values: [items].
        totals: [clusters]; sums of values in units of one verdict, `unit`.
        sizes: [clusters]; numbers of items.
        n: number of items.
        mean: over items.
        won: items on which b is better.
        lost: items on which a is better.
        simple: whether items are independent, without repeats, and right or wrong.
        unit: what a true difference of 1 is in verdicts; 1 without a grader.
    """

    def __init__(self, o: Outcomes, a: str, b: str) -> None:
        """Subtract a's scores from b's; RunError if there is no such candidate."""
        self.values, self.unit = o.row(b) - o.row(a), 1.0
        self._calibration, self._judged, self._floor = PERFECT, 0.0, 0.0
        self._corrected = o.corrections is not None
        if o.corrections is not None:
            self._correct(o.corrections, o.candidates.index(a), o.candidates.index(b))
        self._verdicts = self.values * self.unit
        self.totals, self.sizes = intervals.cluster_totals(self._verdicts, o.clusters)
        self.n = len(self.values)
        self.mean = float(self.values.mean())
        self.won = int((self._verdicts > _SAME).sum())
        self.lost = int((self._verdicts < -_SAME).sum())
        whole = bool((np.abs(self._verdicts - np.rint(self._verdicts)) < _SAME).all())
        self._epochs, self._graded = o.epochs, o.graded or (self._corrected and not whole)
        self.simple = len(self.sizes) == self.n and o.epochs == 1 and not self._graded

    def _correct(self, by: Corrections, a: int, b: int) -> None:
        values = by.powered[b] - by.powered[a]
        if np.isnan(values).any():
            self.unit, self._calibration = float(by.calibration.youden), by.calibration
            self._judged = float((by.judged[b] - by.judged[a]).mean())
            return
        self.values, self.unit = values, 1 / max(1.0, float(np.abs(values).max()))
        self._floor = float(by.floor[a] + by.floor[b])

    def p(self) -> float:
        """Two-sided p of no difference."""
        if self.simple:
            return intervals.mcnemar(self.won, self.lost)
        # Right-or-wrong answers as whole numbers, so that the test is exact.
        return intervals.sign_flip(self.totals if self._graded else np.rint(self.totals * self._epochs))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Of the mean difference."""
        if not self._corrected:
            return _score_interval(*self._table, confidence)
        z2 = NormalDist().inv_cdf(0.5 + confidence / 2) ** 2
        low, high = ratio_interval(*self._moments, self._calibration, judged=self._judged, z2=z2)
        return float(low), float(high)

    def p_below(self, value: float) -> float:
        """One-sided p of a true difference of `value` or less."""
        if self._corrected:
            return NormalDist().cdf(-ratio_z(value, *self._moments, self._calibration, judged=self._judged))
        return NormalDist().cdf(-float(intervals.score_z(value, *self._table)))

    def design(self) -> Design:
        """What determines the power of the comparison, apart from the number of items."""
        discordant = float(np.abs(self._verdicts).mean())
        if self._graded and discordant:
            spread = self.n * intervals.cluster_variance(self.totals, self.sizes) + self._verdicts.mean() ** 2
            return Design(discordant, spread / discordant, smooth=True, unit=self.unit)
        smooth = self._graded or self._epochs > 1
        return Design(discordant, self.n / self._table[2], smooth=smooth, unit=self.unit)

    @cached_property
    def _moments(self) -> tuple[float, float]:
        """Mean difference of the verdicts and its variance, adjusted for few that differ.

        Bonett and Price (Journal of Educational and Behavioral Statistics 37, 2012) add one item won and one lost.
        """
        won, lost, n = self._table
        share = (won + 1) / (n + 2), (lost + 1) / (n + 2)
        mean = share[0] - share[1]
        variance = (sum(share) - mean**2) / (n + 2)
        if self._calibration is PERFECT:  # prediction-powered: in units of the accuracy already
            return mean / self.unit, variance / self.unit**2 + self._floor
        return mean + self._judged * float(self._calibration.wrong.value), variance

    @cached_property
    def _table(self) -> tuple[float, float, float]:
        """Won, lost and n of independent right-or-wrong items with the same uncertainty."""
        won = float(np.maximum(self._verdicts, 0).mean())
        lost = float(np.maximum(-self._verdicts, 0).mean())
        effective = float(len(self.sizes))
        if not self.simple and won + lost:
            effective = (won + lost - (won - lost) ** 2) / intervals.cluster_variance(self.totals, self.sizes)
            # At most one per answer, at least one.
            most = math.inf if self._graded else float(self.n * self._epochs)
            effective = min(max(effective, 1.0), most)
            if self._epochs > 1 or (self._graded and len(self.sizes) < self.n):
                # The means are nearly continuous, so the variance of few clusters matters, as in Student's t.
                effective *= intervals.student_factor(len(self.sizes))
        return won * effective, lost * effective, effective


@cache  # a decision asks for the same ones for each of hundreds of assumptions
def _score_interval(won: float, lost: float, n: float, confidence: float) -> tuple[float, float]:
    low, high = intervals.score_interval(won, lost, n, confidence)
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidate b compared with candidate a.

    Attributes:
        a: the reference.
        b: the other candidate.
        n: items that both answered.
        clusters: independent groups among them; n if no items belong together.
        difference: b's mean score minus a's.
        low: lower end of its interval.
        high: upper end.
        confidence: coverage of the interval.
        p: two-sided, for this comparison alone.
        p_adjusted: Holm's, over all comparisons made together.
        won: items on which b is better.
        lost: items on which a is better.
        mde: smallest true difference that this many items detect with 80 % power (two-sided 5 %); nan if none.
        method: name of the test.
        discordant: share of items on which the two differ.
        epochs: repeats of each item.
        graded: whether scores other than 0 and 1 occur.
        design: what determines power, apart from n.
    """

    a: str
    b: str
    n: int
    clusters: int
    difference: float
    low: float
    high: float
    confidence: float
    p: float
    p_adjusted: float
    won: int
    lost: int
    mde: float
    method: str
    discordant: float
    epochs: int
    graded: bool
    design: Design

    def significant(self, alpha: float = ALPHA) -> bool:
        """Whether the difference is significant after Holm's correction."""
        return self.p_adjusted <= alpha

    def needed(self, difference: float, power: float = POWER) -> int:
        """Paired items that detect such a true difference with such power, if the two disagree as often as here."""
        return self.design.needed(difference, power)


@dataclass(frozen=True, kw_only=True)
class NonInferiority:
    """Whether a candidate is worse than a reference by less than a margin, if at all.

    Attributes:
        candidate: the replacement.
        reference: what it would replace.
        margin: maximum acceptable loss, as a difference of mean scores.
        difference: the candidate's mean score minus the reference's.
        low: its one-sided lower bound.
        p: one-sided, of a loss of the margin or more.
        holds: whether p is at most alpha.
        needed: paired items that would show it with 80 % power if the two are equally good.
    """

    candidate: str
    reference: str
    margin: float
    difference: float
    low: float
    p: float
    holds: bool
    needed: int


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A run's comparisons, with what is needed to read them.

    Attributes:
        suite: name.
        part: the slice; None for all items.
        items: number of items.
        clusters: independent groups among them.
        epochs: repeats of each item.
        accuracies: of the compared candidates, best first.
        comparisons: with the candidate named first, or the better of the pair, as `a`.
        family: number of comparisons that p is adjusted for.
        non_inferiority: of b to a for each comparison, in the same order; empty without a margin.
        variances: of recipes that ran with several seeds.
        not_measured: why candidates are left out, by name.
        same_answer: which candidates give nearly always the same answer, as clauses, by name.
        by: what alone differs in each pair: "prompt", "model" or "strategy"; None for any pair.
        overall: with `by`, the same over all pairs with the same two prompts, models or strategies: the mean of their
            candidates' scores on each item. Only where there are several such pairs.
        retrieval: of the comparisons whose candidates retrieve documents: how much of the difference that explains.
    """

    suite: str
    part: str | None
    items: int
    clusters: int
    epochs: int
    accuracies: dict[str, Proportion]
    comparisons: Sequence[Comparison]
    family: int
    non_inferiority: Sequence[NonInferiority]
    variances: Sequence[Variance]
    not_measured: Mapping[str, str]
    same_answer: Mapping[str, str] = field(default_factory=dict)
    by: By | None = None
    overall: Sequence[Comparison] = ()
    retrieval: Sequence[RetrievalShare] = ()


def compared(
    run: Run,
    a: str | None = None,
    b: str | None = None,
    *,
    every: bool = False,
    part: str | None = None,
    confidence: float = 0.95,
    margin: float | None = None,
    by: By | None = None,
) -> Compared:
    """Compare b with a; or every other candidate with a; or, without names, every other with the best.

    The best is chosen by its score, so p is then adjusted for all pairs, shown or not. With `by`, the pairs are those
    that differ in their prompt, model or strategy alone, the one that the run lists first being `a`.

    Raises:
        RunError: the run's candidates cannot be paired, only one is measured, a name is unknown or not measured, or
            `by` is given with names or tells no pair apart.
    """
    lost = run.not_measured
    for name in (a, b):
        if name is not None and name in lost:
            message = f"cannot compare {name!r}; {lost[name]}"
            raise RunError(message)
    o = outcomes.load(run)
    if len(o.candidates) < 2:  # noqa: PLR2004 - a pair
        only = f"{o.candidates[0]!r} is the run's only{' measured' if lost else ''} candidate; "
        others = "; ".join(f"{name}: {why}" for name, why in lost.items())
        raise RunError(only + (others or "run another strategy with the same --out to compare"))
    if a == b and a is not None:
        message = f"cannot compare {a!r} with itself; name two candidates"
        raise RunError(message)
    if part is not None:
        o = o.slice(part)
    overall: Sequence[Comparison] = ()
    if by is not None:
        if a is not None:
            message = f"--by {by} compares all candidates that differ in their {by}; leave the names out"
            raise RunError(message)
        found, overall = _compared_by(o, run.info, by, confidence)
        family = len(found)
    else:
        found, family = _pairs(o, a, b, every=every, confidence=confidence)
    named = {name for one in found for name in (one.a, one.b)}
    measured = figures(run.records, run.info, part=part, confidence=confidence)
    accuracies = {name: known for name in o.candidates if name in named and (known := measured[name].accuracy)}
    return Compared(
        suite=run.info["suite"]["name"],
        part=part,
        items=len(o.items),
        clusters=len(set(o.clusters.tolist())),
        epochs=o.epochs,
        accuracies=dict(sorted(accuracies.items(), key=lambda pair: -pair[1].value)),
        comparisons=found,
        family=family,
        non_inferiority=[] if margin is None else [non_inferior(o, one.b, one.a, margin) for one in found],
        variances=by_recipe(o, run.info),
        not_measured=lost,
        same_answer={name: why for name in accuracies if (why := measured[name].same_answer)},
        by=by,
        overall=overall,
        retrieval=[share for one in found if (share := _retrieval_share(o, measured, one))],
    )


def _retrieval_share(o: Outcomes, measured: Mapping[str, CandidateFigures], one: Comparison) -> RetrievalShare | None:
    import pandas as pd

    pair = (one.a, one.b)
    scores = {name: pd.Series(o.row(name), index=list(o.items)) for name in pair}
    return retrieval.share({name: measured[name].asked for name in pair}, scores)


def _compared_by(
    o: Outcomes, info: Mapping[str, Any], by: By, confidence: float
) -> tuple[list[Comparison], list[Comparison]]:
    """The pairs that differ in one respect alone; and, where several have the same two values, these over all of them.

    Raises:
        RunError: there is no such pair.
    """
    groups: dict[str, dict[str, str]] = {}  # by all other respects: candidates by this one
    for about in info["candidates"]:
        if about["model"] is not None and about["name"] in o.candidates:
            respects = _respects(about)
            value = respects.pop(by)
            groups.setdefault(json.dumps(respects, sort_keys=True), {})[value] = about["name"]
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for alike in groups.values():
        for a, b in itertools.combinations(alike, 2):
            pairs.setdefault((a, b), []).append((alike[a], alike[b]))
    if not pairs:
        message = f"no two candidates differ in their {by} alone; run the same with several (--{by})"
        raise RunError(message)
    found = holm([compare(o, a, b, confidence=confidence) for same in pairs.values() for a, b in same])
    overall = [_together(o, values, same, confidence) for values, same in pairs.items() if len(same) > 1]
    return found, holm(overall)


def _respects(about: Mapping[str, Any]) -> dict[str, str]:
    """A candidate's prompt, model and strategy; the strategy with its arguments."""

    def without_prompt(args: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: value for name, value in args.items() if name != "prompt"}
        return own | {"on": without_prompt(own["on"])} if isinstance(own.get("on"), dict) else own

    args = json.dumps(without_prompt(about["args"]), sort_keys=True, default=str)
    return {
        "prompt": about.get("prompt") or "default",
        "model": str(about["base"]),
        "strategy": f"{about['strategy']} {args}",
    }


def _together(o: Outcomes, values: tuple[str, str], pairs: Sequence[tuple[str, str]], confidence: float) -> Comparison:
    """Two prompts, models or strategies, each by the mean score of its candidates on each item."""
    names = [f"{value.partition(' ')[0]}: {len(pairs)} candidates" for value in values]
    both = o.merged({name: [pair[side] for pair in pairs] for side, name in enumerate(names)})
    return compare(both, *names, confidence=confidence)


def _pairs(
    o: Outcomes, a: str | None, b: str | None, *, every: bool, confidence: float
) -> tuple[list[Comparison], int]:
    """The comparisons to show, and the number that p is adjusted for."""
    if a is not None and b is not None:
        return [compare(o, a, b, confidence=confidence)], 1
    found = compare_all(o, against=a, confidence=confidence)
    best = o.best()
    return [one for one in found if every or a is not None or one.a == best], len(found)


def compare(o: Outcomes, a: str, b: str, *, confidence: float = 0.95) -> Comparison:
    """Compare b with a, and nothing else: p is not adjusted.

    Raises:
        RunError: there is no such candidate.
    """
    differences = Differences(o, a, b)
    low, high = differences.interval(confidence)
    design = differences.design()
    p = differences.p()
    return Comparison(
        a=a,
        b=b,
        n=differences.n,
        clusters=len(differences.sizes),
        difference=differences.mean,
        low=low,
        high=high,
        confidence=confidence,
        p=p,
        p_adjusted=p,
        won=differences.won,
        lost=differences.lost,
        mde=design.detectable(differences.n),
        method=MCNEMAR if differences.simple else SIGN_FLIP,
        discordant=(differences.won + differences.lost) / differences.n,
        epochs=o.epochs,
        graded=o.graded,
        design=design,
    )


def compare_all(o: Outcomes, *, against: str | None = None, confidence: float = 0.95) -> list[Comparison]:
    """Every pair, best first with the better one as `a`, or every candidate against one; with Holm's correction.

    Choose `against` before you see the scores. The best of a run is chosen by its score: compare every pair, then read
    those of the best.
    """
    ranked = [o.candidates[i] for i in np.argsort(-o.scores.mean(axis=1), kind="stable")]
    if against is None:
        pairs = list(itertools.combinations(ranked, 2))
    else:
        o.row(against)
        pairs = [(against, name) for name in ranked if name != against]
    return holm([compare(o, a, b, confidence=confidence) for a, b in pairs])


def holm(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons with p adjusted for making all of them (Holm 1979)."""
    if not comparisons:
        return []
    from statsmodels.stats.multitest import multipletests

    adjusted = multipletests([one.p for one in comparisons], method="holm")[1]
    return [replace(one, p_adjusted=float(p)) for one, p in zip(comparisons, adjusted, strict=True)]


def non_inferior(o: Outcomes, candidate: str, reference: str, margin: float, *, alpha: float = ALPHA) -> NonInferiority:
    """Whether a candidate is worse than a reference by less than `margin`; for a slice, pass `o.slice(name)`.

    Raises:
        RunError: there is no such candidate.
        ValueError: the margin is not above 0 and below 1.
    """
    if not 0 < margin < 1:
        message = f"invalid margin {margin!r}; expected a number between 0 and 1"
        raise ValueError(message)
    differences = Differences(o, reference, candidate)
    p = differences.p_below(-margin)
    design = differences.design()
    loss = margin * design.unit
    spread = max(design.discordant, loss) * design.effect
    z = NormalDist().inv_cdf(1 - alpha) + NormalDist().inv_cdf(POWER)
    return NonInferiority(
        candidate=candidate,
        reference=reference,
        margin=margin,
        difference=differences.mean,
        low=differences.interval(1 - 2 * alpha)[0],
        p=p,
        holds=p <= alpha,
        needed=math.ceil(z * z * spread / loss**2),
    )


def accuracy(o: Outcomes, name: str, *, confidence: float = 0.95) -> Proportion:
    """A candidate's mean score on outcomes that belong to no run, such as a baseline's; for a run, see `figures`.

    Raises:
        RunError: there is no such candidate.
    """
    asked = len(o.items) * o.epochs
    if by := o.corrections:
        place = o.candidates.index(name)
        return grader.accuracy(
            by.verdicts[place],
            by.judged[place],
            o.clusters,
            by.calibration,
            requests=asked,
            graded=o.graded,
            confidence=confidence,
        )
    return of_items(o.row(name), o.clusters, requests=asked, graded=o.graded, confidence=confidence)
