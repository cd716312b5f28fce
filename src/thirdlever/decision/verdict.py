"""Verdict on a run or on given figures, the conditions it depends on, the candidate to use, and the plan."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from thirdlever.analysis.run import load
from thirdlever.analysis.usage import total
from thirdlever.catalog import tuning
from thirdlever.core.errors import RunError, ThirdleverError
from thirdlever.core.text import counted, months, percent, points, usd
from thirdlever.core.validation import Amount, FileModel, Name, Share, read_toml
from thirdlever.decision import gates
from thirdlever.decision.assumptions import assume
from thirdlever.decision.costs import Cost, Range
from thirdlever.decision.evidence import Evidence, Kind, Standing, is_hosted
from thirdlever.decision.gates import worst
from thirdlever.decision.payback import payback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from thirdlever.analysis.compare import Comparison
    from thirdlever.analysis.run import Run
    from thirdlever.catalog.tuning import Rate
    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Slice
    from thirdlever.decision.gates import Condition, Gate, Question
    from thirdlever.decision.payback import Payback
    from thirdlever.decision.sensitivity import VerdictChange

    Costs: TypeAlias = Callable[[Assumptions], Mapping[str, Cost]]

Verdict: TypeAlias = Literal["GO", "GO-FOR-COST", "NO-GO", "NEED-MORE-DATA"]
RANK: Mapping[Verdict, int] = {"GO": 0, "GO-FOR-COST": 1, "NEED-MORE-DATA": 2, "NO-GO": 3}

TUNE: Collection[Verdict] = {"GO", "GO-FOR-COST"}

SUFFIX = ".toml"


class Case(NamedTuple):
    """The verdict on one tuned candidate, None if none was run, and the gates and questions that led to it."""

    verdict: Verdict
    tuned: Standing | None
    gates: tuple[Gate, ...]
    questions: tuple[Question, ...]

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """What a verdict to tune depends on."""
        found = [one.condition for one in (*self.gates, *self.questions) if one.condition]
        return tuple(dict.fromkeys(found)) if self.verdict in TUNE else ()


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do, and the evidence for it.

    Attributes:
        verdict: GO: fine-tune, for it is better. GO-FOR-COST: fine-tune, for it is as good and cheaper. NO-GO: use
            `chosen`. NEED-MORE-DATA: use `chosen` until the data are complete.
        conditions: what a GO or GO-FOR-COST depends on, and is not known yet.
        chosen: the cheapest candidate that meets the target and is not worse than the best by the margin or more. If
            none meets the target, the cheapest that is not worse. A tuned one only on GO and GO-FOR-COST.
        rivals: candidates that may be better than `chosen` by the margin or more, because the test items cannot tell:
            what is recommended is `chosen` or one of them. Empty if `chosen` is shown to be good enough, or if the
            current solution is better.
        best_prompt: the most accurate untuned candidate that uses a model.
        stay: the candidate to use without tuning, the reference of the paybacks.
        tuned: the tuned candidate that was judged; None if none was run.
        stopped_at: the first question that does not lead to the next; None if all six do.
        comparisons: each tuned candidate compared with the most accurate untuned one.
        slices: where retrieval and tuning help.
        paybacks: by candidate, compared with `stay`.
        flips: which assumptions would change the verdict, and at which value.
    """

    verdict: Verdict
    conditions: tuple[Condition, ...]
    chosen: str | None
    rivals: tuple[str, ...]
    best_prompt: str | None
    stay: str | None
    tuned: str | None
    gates: tuple[Gate, ...]
    matrix: tuple[Question, ...]
    stopped_at: Question | None
    comparisons: Sequence[Comparison]
    standings: Mapping[str, Standing]
    slices: Sequence[Slice]
    costs: Mapping[str, Cost]
    paybacks: Mapping[str, Payback]
    assumptions: Assumptions
    evidence: Evidence = field(repr=False)
    flips: Sequence[VerdictChange] = ()

    @property
    def outcome(self) -> str:
        """The verdict, and whether it depends on money that is not known."""
        unknown = any(one.value is not None for one in self.conditions)
        return f"{self.verdict} on a condition" if unknown else self.verdict

    @property
    def given(self) -> bool:
        """Whether the figures were given, so that no test is possible."""
        return self.evidence.given

    @property
    def reasons(self) -> list[Gate]:
        """The gates and questions that led to the verdict, in order."""
        if self.verdict in TUNE:
            return [self.gates[2]]
        outcome = "failed" if self.verdict == "NO-GO" else "open"
        asked = (self.gates[0], *self.matrix[:3], *self.gates[1:], *self.matrix[3:])
        return [one for one in asked if one.outcome == outcome]

    @property
    def recommended(self) -> list[str]:
        """The candidates to choose from, the first choice first; empty if the current solution is better."""
        return [self.chosen, *self.rivals] if self.chosen and not self.worse_than_today else []

    @property
    def worse_than_today(self) -> bool:
        """Whether `chosen` clearly misses the stated accuracy of production today."""
        return self.chosen is not None and _misses(self.standings[self.chosen], self.assumptions.current_accuracy)


def decide_from(
    run: str, assumed: Iterable[str], *, max_failed: float | None = None, max_unparsed: float | None = None
) -> Decision:
    """Decide on a run or on a .toml file of given figures.

    Args:
        run: as `run.load` takes it, or the name of a file that ends in .toml.
        assumed: `NAME=VALUE`, each.
        max_failed: see `run.load`; a file of figures has no requests.
        max_unparsed: likewise.

    Raises:
        ThirdleverError: the run or file does not exist, or it or an assumption is invalid.
    """
    if run.endswith(SUFFIX):
        return read(Path(run)).decide(pairs(assumed))
    return decide_on_run(load(run, max_failed=max_failed, max_unparsed=max_unparsed), assumed)


def decide_on_run(run: Run, assumed: Iterable[str]) -> Decision:
    """Decide on a loaded run, with `NAME=VALUE` assumptions."""
    card = (run.info.get("suite") or {}).get("card") or {}
    return decide(run, assume(card, pairs(assumed), run.info))


def decide(run: Run, a: Assumptions) -> Decision:
    """Decide on a run, offline.

    Raises:
        RunError: the run is not finished, its candidates cannot be paired, or none of them is measured.
    """
    from thirdlever.decision.costs import averaged, costs
    from thirdlever.decision.evidence import gather

    e = gather(run)
    return decide_on(e, lambda other: averaged(costs(run, other), e.repeats), a)


def decide_on(e: Evidence, costs: Costs, a: Assumptions) -> Decision:
    """Decide on evidence.

    Args:
        e: the measured or given figures.
        costs: the candidates' costs under given assumptions.
        a: the assumptions.
    """
    from thirdlever.decision.sensitivity import sensitivity

    decision = judge(e, costs(a), a)
    flips = sensitivity(lambda other: judge(e, costs(other), other).outcome, a)
    return replace(decision, flips=flips)


def judge(e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Decision:
    """The decision under one set of assumptions, without the sensitivity, which calls this many times."""
    stay = stay_with(e, costs, a)
    paybacks: dict[str, Payback] = {}
    if stay and stay.name in costs:
        lost = {name for name, one in e.standings.items() if one.not_measured}
        others = [name for name in costs if name != stay.name and name not in lost]
        paybacks = {name: payback(costs[name], costs[stay.name], a) for name in others}
    candidates: list[Standing | None] = [*e.of("tuned"), *e.unmeasured("tuned"), *e.unknown("tuned")]
    first = gates.prompt_and_retrieval(e, a)
    cases = [_case(e, a, first, one, paybacks.get(one.name) if one else None) for one in candidates or [None]]
    nearest = ranked(cases, e, costs, a)
    chosen, pool = stay, e.untuned
    if nearest.verdict in TUNE:
        chosen, pool = nearest.tuned, [one.tuned for one in cases if one.tuned and one.verdict == nearest.verdict]
    return Decision(
        verdict=nearest.verdict,
        conditions=nearest.conditions,
        chosen=chosen.name if chosen else None,
        rivals=tuple(rivals(e, a, chosen, pool)) if chosen else (),
        best_prompt=next((one.name for one in e.of("prompt", "retrieval", "model")), None),
        stay=stay.name if stay else None,
        tuned=nearest.tuned.name if nearest.tuned else None,
        gates=nearest.gates,
        matrix=nearest.questions,
        stopped_at=gates.stopped_at(nearest.questions),
        comparisons=list(e.comparisons.values()),
        standings=e.standings,
        slices=e.slices,
        costs=costs,
        paybacks=paybacks,
        assumptions=a,
        evidence=e,
    )


def _case(e: Evidence, a: Assumptions, first: Gate, tuned: Standing | None, back: Payback | None) -> Case:
    """The case for one tuned candidate: that it is better, or else that it is as good and cheaper."""
    second = gates.stable_and_labelled(e, a, tuned)
    better = (first, second, gates.pays_back(e, a, tuned, back))
    asked = gates.six_questions(e, a, better, tuned, back)
    outcome = worst([*better, *asked])
    if outcome == "passed":
        return Case("GO", tuned, better, asked)
    cheaper = (first, second, gates.for_cost(e, a, tuned, back))
    saved = gates.six_questions(e, a, cheaper, tuned, back)
    if worst([*cheaper[1:], *saved[3:]]) == "passed":
        return Case("GO-FOR-COST", tuned, cheaper, saved)
    refuted = outcome == "failed" and not e.no_verdict
    return Case("NO-GO" if refuted else "NEED-MORE-DATA", tuned, better, asked)


def ranked(cases: Sequence[Case], e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Case:
    """The case with the best verdict; among several that say tune, the cheapest candidate that is good enough."""
    best = min(RANK[one.verdict] for one in cases)
    equals = [one for one in cases if RANK[one.verdict] == best]
    tuned = [one.tuned for one in equals if one.tuned is not None]
    if equals[0].verdict not in TUNE:  # the best third gate, then the most accurate
        return min(
            equals, key=lambda one: (gates.RANK[one.gates[2].outcome], -((one.tuned and one.tuned.accuracy) or 0))
        )
    chosen = min(good_enough(e, a, tuned), key=lambda one: _price(one, costs, a))
    return next(one for one in equals if one.tuned is chosen)


def stay_with(e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Standing | None:
    """The candidate to use without tuning; None if none is measured."""
    return min(good_enough(e, a, e.untuned), key=lambda one: _price(one, costs, a), default=None)


def good_enough(e: Evidence, a: Assumptions, pool: Sequence[Standing]) -> list[Standing]:
    """Candidates that meet the target and are not worse than the best of the pool by the margin or more.

    One that gives nearly always the same answer is left out while there are others. If none meets the target, those
    that meet the second condition; of either, the ones that are fast enough. All of
    them share the risk of error.

    Args:
        e: the evidence.
        a: target and margin.
        pool: measured candidates, best first.
    """
    others = max(len(pool) - 1, 1)
    pool = [one for one in pool if not one.same_answer] or pool
    level = [one for one in pool if e.not_worse(one.name, pool[0].name, a.margin, share=others)]
    target = a.target_accuracy
    fast = [one for one in level if one.speed(a.target_p95_s) == "meets"] or level
    return [one for one in fast if target is not None and one.against(target) == "meets"] or fast


def rivals(e: Evidence, a: Assumptions, chosen: Standing, pool: Sequence[Standing]) -> Iterator[str]:
    """Candidates that may be better than the chosen one by the margin or more.

    Multiple comparisons with the best (Hsu 1981, Annals of Statistics 9:1026) on paired items: of a pool, the chosen
    candidate stands alone although another is truly better by the margin in at most 5 % of runs. The lower end of the
    two-sided interval counts, because the one-sided test errs in up to 7 % of runs on 200 items.
    """
    share = 2 * max(len(pool) - 1, 1)
    for one in () if _misses(chosen, a.current_accuracy) else pool:
        eligible = not one.same_answer and one.speed(a.target_p95_s) != "misses"
        if eligible and not e.not_worse(chosen.name, one.name, a.margin, share=share):
            yield one.name


def _misses(one: Standing, today: float | None) -> bool:
    return today is not None and one.against(today) == "misses"


def _price(one: Standing, costs: Mapping[str, Cost], a: Assumptions) -> tuple[float, float, float]:
    """Sort key: cost over the horizon, else per request, then accuracy; an unknown cost is never the lowest."""
    cost = costs.get(one.name)
    whole = cost.cumulative_usd(a.horizon_months, a.monthly_volume) if cost and a.monthly_volume is not None else None
    known = (whole, cost.per_request_usd if cost else None)
    first, second = (math.inf if usd is None or math.isnan(usd) else usd for usd in known)
    return first, second, -(one.accuracy or 0.0)


def pairs(assumed: Iterable[str]) -> dict[str, str]:
    """The values of `--assume NAME=VALUE`, by name.

    Raises:
        ThirdleverError: one has no value.
    """
    return dict(map(_pair, assumed))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        message = f"--assume {text!r} has no value; write it as NAME=VALUE, such as monthly_volume=50000"
        raise ThirdleverError(message)
    return name.strip(), value.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenCandidate(FileModel):
    """A [[candidate]] of a file of given figures; docs/decision.md explains the keys. None is unknown."""

    name: Name
    kind: Kind
    base: str | None = None
    accuracy: Share | None = None
    weeks: Amount | None = None
    p95_s: Amount | None = None
    examples: Amount | None = None
    usd_per_request: Amount | None = None
    usd_per_month: Amount | None = None
    setup_usd: Amount | None = None
    standing_usd_per_month: Amount = 0.0
    train_tokens: Amount | None = None
    epochs: Amount = 1.0
    input_tokens: Amount | None = None
    cached_tokens: Amount = 0.0
    output_tokens: Amount | None = None
    today: bool = False

    def __post_init__(self) -> None:
        """Check that tokens can be priced.

        Raises:
            ValueError: tokens of a candidate that no provider tunes, or beside a stated cost of a request.
        """
        asked, message = (self.input_tokens, self.output_tokens), ""
        if self._priced and (self.kind != "tuned" or self.base is None):
            message = "train_tokens and input_tokens need kind = 'tuned' and a base, such as 'openai/gpt-4o'"
        elif None in asked and asked != (None, None):
            message = "input_tokens and output_tokens go together"
        elif asked[0] is not None and (self.usd_per_request, self.usd_per_month) != (None, None):
            message = "input_tokens exclude usd_per_request and usd_per_month"
        if message:
            error = f"{self.name}: {message}"
            raise ValueError(error)

    @property
    def _priced(self) -> bool:
        return self.train_tokens is not None or self.input_tokens is not None

    def standing(self) -> Standing:
        """Its given results."""
        return Standing(
            name=self.name,
            kind=self.kind,
            base=self.base,
            hosted=is_hosted(self.base) and gates.parameters(self.base) is None,
            accuracy=self.accuracy,
            examples=None if self.examples is None else int(self.examples),
            p95_s=self.p95_s,
            weeks=self.weeks,
            today=self.today,
        )

    def cost(self, volume: float | None, a: Assumptions) -> Cost:
        """Its given costs; a monthly bill is divided by the volume that the file states.

        Tokens are priced by the rates of the catalogue; they are unknown if it has none.

        Raises:
            ThirdleverError: tokens are given, and no known provider tunes the base.
        """
        monthly = None if self.usd_per_month is None or not volume else self.usd_per_month / volume
        tuned = self.kind == "tuned"
        upkeep = {"upkeep": a.upkeep_usd_per_month} if tuned else {}
        setup: dict[str, float | None] = {"given": self.setup_usd}
        basis = {"per request": "given", "given": "given"}
        request = self.usd_per_request if monthly is None else monthly
        if self._priced:
            rate = self._rate()
            source = (
                f"the provider's rates ({rate.source}, {rate.as_of})" if rate else "unknown: no source states a rate"
            )
            if self.train_tokens is not None:
                tokens = round(self.train_tokens * self.epochs)
                setup = {"given": self.setup_usd or 0.0, "training": rate.estimate(tokens).usd if rate else None}
                basis["training"] = f"given: {tokens:,} tokens; {source}"
            price = rate.price() if rate else None
            if self.input_tokens is not None:
                used = (self.input_tokens, self.cached_tokens, self.output_tokens or 0.0)
                request = price.cost(*used) if price else None
                basis["per request"] = f"given: tokens; {source}"
        again = total([*setup.values()]) if a.retuning_usd is None else a.retuning_usd
        return Cost(
            candidate=self.name,
            strategy=self.kind,
            model=self.base,
            tuned=tuned,
            accuracy=self.accuracy,
            per_request_usd=request,
            setup=setup,
            standing={"given": self.standing_usd_per_month, **upkeep},
            retuning=Range(again, again, again) if tuned and again is not None else None,
            release_months=a.horizon_months,
            weeks=self.weeks,
            basis=basis,
        )

    def _rate(self) -> Rate | None:
        """The provider's rates for its base."""
        base = self.base or ""
        provider = tuning.provider_of(base)
        return tuning.rate(provider, tuning.profile(provider).base(base))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures(FileModel):
    """A file of given figures.

    Attributes:
        title: what the figures are about.
        labelled_examples: number of labelled examples; None if not stated.
        assumptions: as `--assume` takes them.
        candidate: at least one.
    """

    title: str = ""
    labelled_examples: Amount | None = None
    assumptions: Mapping[str, Any] = field(default_factory=dict)
    candidate: list[GivenCandidate] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Check the candidates together.

        Raises:
            ValueError: none is given, two have the same name, or a monthly bill cannot be divided by a volume.
        """
        names = [one.name for one in self.candidate]
        message = "" if names else "there is no candidate; add a [[candidate]] table with name, kind and accuracy"
        if twice := next((name for name in names if names.count(name) > 1), None):
            message = f"two candidates are named {twice!r}; give each its own name"
        monthly = [one for one in self.candidate if one.usd_per_month is not None]
        if any(one.usd_per_request is not None for one in monthly) or (
            monthly and "monthly_volume" not in self.assumptions
        ):
            message = "usd_per_month needs monthly_volume in [assumptions], and excludes usd_per_request"
        if message:
            raise ValueError(message)

    def decide(self, given: Mapping[str, str]) -> Decision:
        """Decide on the figures.

        Args:
            given: the values of `--assume`, which override the file's.

        Raises:
            ThirdleverError: an unknown assumption or an invalid value.
        """
        stated = {name: str(value) for name, value in self.assumptions.items()}
        volume = assume({}, stated).monthly_volume

        def costs(a: Assumptions) -> dict[str, Cost]:
            return {one.name: one.cost(volume, a) for one in self.candidate}

        return decide_on(self.evidence(), costs, assume({}, {**stated, **given}))

    def evidence(self) -> Evidence:
        """The candidates' given results, best first; nothing is measured."""
        standings = sorted(
            (one.standing() for one in self.candidate), key=lambda one: (one.accuracy is None, -(one.accuracy or 0.0))
        )
        labelled = None if self.labelled_examples is None else int(self.labelled_examples)
        return Evidence(standings={one.name: one for one in standings}, labelled=labelled)


def read(path: Path) -> Figures:
    """Read a file of given figures.

    Raises:
        RunError: there is no such file, or it is invalid.
    """
    if not path.is_file():
        message = f"{str(path)!r} does not exist; give a run or a .toml file of figures"
        raise RunError(message)
    figures = read_toml(path, Figures, error=RunError)
    try:
        assume({}, {name: str(value) for name, value in figures.assumptions.items()})
    except ThirdleverError as error:
        message = f"{path}: {str(error).removeprefix('--assume: ')}"
        raise RunError(message) from None
    return figures


# The plan

_RELEASE = "the base model's next release"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a plan.

    Attributes:
        action: what to do, as an order.
        candidate: what it puts into use or measures; None if it is about none.
        rivals: other candidates that it may put into use as well; see `Decision`.
        begins: weeks from now; None if the effort of an earlier step is not stated.
        weeks: its effort; None if not stated.
        usd: its cost, once; None if unknown.
        only_if: clauses that must hold before it begins.
        stop: a clause; if it holds after the step, the rest of the plan is not needed. "" if nothing ends the plan.
    """

    action: str
    candidate: str | None = None
    rivals: tuple[str, ...] = ()
    begins: float | None = None
    weeks: float | None = None
    usd: float | None = None
    only_if: tuple[str, ...] = ()
    stop: str = ""


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A candidate that is not used, and why: a clause."""

    candidate: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do in which order.

    Attributes:
        steps: in order.
        rejected: candidates that cost more without reaching the target or being better enough.
        owner: who maintains the tuned model; None if nobody is named, or if there is none.
        review: when to decide again, as a clause.
    """

    steps: tuple[Step, ...]
    rejected: tuple[Rejected, ...]
    owner: str | None
    review: str


def plan(d: Decision) -> Plan:
    """The plan of a decision."""
    named = d.assumptions.maintainer if d.verdict in TUNE else None
    owner = None if any(one.code == "maintainer" for one in d.conditions) else named
    return Plan(steps=tuple(_steps(d)), rejected=tuple(_rejected(d)), owner=owner, review=_review(d))


def _steps(d: Decision) -> Iterator[Step]:
    stay = d.standings[d.stay] if d.stay else None
    tune, weeks = d.verdict in TUNE, 0.0 if stay is None or stay.today else stay.weeks
    if stay and not (tune and (stay.today or not d.given)):  # a measured tune replaces it at once
        yield _use(d, stay)
    if tune and d.tuned:
        tuned, cost = d.standings[d.tuned], d.costs.get(d.tuned)
        yield Step(
            action=f"use {tuned.name}",
            candidate=tuned.name,
            rivals=d.rivals,
            begins=weeks if d.given else None,
            weeks=tuned.weeks,
            usd=cost.setup_usd if cost else None,
            only_if=tuple(one.text for one in d.conditions),
        )
        return
    wanted = [one for one in d.reasons if d.verdict == "NEED-MORE-DATA" or one.code == "retrieval_first"]
    actions = [_order(change) for change in dict.fromkeys(one.change for one in wanted if not one.items)]
    yield from (Step(action=action) for action in actions)
    if items := max((one.items for one in wanted), default=0):
        had, at_hand = max(one.n for one in d.standings.values()), d.evidence.test_items
        more = f"{counted(items, 'test item')} instead of {had:,}"
        if had < at_hand < items:
            yield Step(action=f"measure on all {at_hand:,} test items of the suite; about {items:,} would settle it")
        elif not any(more in action for action in actions):
            yield Step(action=f"measure on {more}")


def _use(d: Decision, one: Standing) -> Step:
    """To use a candidate that is not tuned, or to keep it."""
    cost, target = d.costs.get(one.name), d.assumptions.target_accuracy
    if d.worse_than_today and d.chosen == one.name:
        return Step(action="keep the current solution")
    if one.today:
        return Step(action=f"keep {one.name}", candidate=one.name, rivals=_rivals_of(d, one))
    short = target is not None and one.against(target) != "meets" and d.verdict != "NO-GO"
    return Step(
        action=f"use {one.name}",
        candidate=one.name,
        rivals=_rivals_of(d, one),
        begins=0.0,
        weeks=one.weeks,
        usd=cost.setup_usd if cost else None,
        stop=f"it reaches {percent(target)}" if short else "",
    )


def _rivals_of(d: Decision, one: Standing) -> tuple[str, ...]:
    return d.rivals if one.name == d.chosen else ()


def _rejected(d: Decision) -> Iterator[Rejected]:
    """Candidates that are more accurate than `stay`, but cost more a month."""
    volume, stay = d.assumptions.monthly_volume, d.standings.get(d.stay or "")
    ours = d.costs.get(d.stay or "")
    mine = ours.monthly_usd(volume) if ours and volume is not None else None
    if stay is None or volume is None or mine is None or not math.isfinite(mine):
        return
    for one in d.evidence.of("prompt", "retrieval", "model"):
        cost = d.costs.get(one.name)
        other = cost.monthly_usd(volume) if cost else None
        gain = (one.accuracy or 0.0) - (stay.accuracy or 0.0)
        if one is stay or one.name == d.chosen or other is None or other <= mine or gain <= 0:
            continue
        more = f"{usd(other - mine)} a month more than {stay.name}"
        times = f", {_times(other / mine)} times its bill" if mine > 0 else ""
        target = d.assumptions.target_accuracy
        missed = target is not None and one.against(target) == "misses"
        short = f"and still misses the target of {percent(target)}" if missed else f"for {points(gain)}"
        yield Rejected(candidate=one.name, reason=f"{more}{times}, {short}")


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:,.0f}"  # noqa: PLR2004 - two digits


def _review(d: Decision) -> str:
    tuned = d.costs.get(d.chosen or "")
    if tuned and tuned.retires:
        return f"by {tuned.retires:%Y-%m-%d}, when its base model is retired, or at {_RELEASE} if that is earlier"
    then = "once this is done, at the latest " if d.verdict == "NEED-MORE-DATA" else ""
    return f"{then}at {_RELEASE}, expected in {months(d.assumptions.horizon_months)}"


def _order(change: str) -> str:
    return (
        f"{change[:1].lower()}{change[1:].rstrip('.')}"
        if not change.startswith(("About", "Or"))
        else change.rstrip(".")
    )
