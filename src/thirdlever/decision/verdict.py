"""Which candidate to use: the cheapest that is good enough. A cost that nobody knows is never the lowest."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from thirdlever.analysis.run import load
from thirdlever.core.errors import RunError, ThirdleverError, unknown
from thirdlever.decision import gates, questions
from thirdlever.decision.assumptions import assume
from thirdlever.decision.costs import Cost
from thirdlever.decision.evidence import Evidence, Kind, Standing
from thirdlever.decision.gates import RANK, Verdict, worst
from thirdlever.decision.payback import payback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from thirdlever.analysis.compare import Comparison
    from thirdlever.analysis.run import Run
    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Slice
    from thirdlever.decision.gates import Gate
    from thirdlever.decision.payback import Payback
    from thirdlever.decision.questions import Question
    from thirdlever.decision.sensitivity import VerdictChange

    Costs: TypeAlias = Callable[[Assumptions], Mapping[str, Cost]]
    Judged: TypeAlias = tuple[Standing | None, tuple[Gate, ...], tuple[Question, ...]]


def good_enough(e: Evidence, a: Assumptions, pool: Sequence[Standing]) -> list[Standing]:
    """Those that meet the target and are not worse than the best of the pool by the margin or more.

    Where none meets the target, those that hold the second condition alone.

    Args:
        e: what was measured.
        a: target and margin.
        pool: candidates that answered, best first.
    """
    level = [one for one in pool if e.not_worse(one.name, pool[0].name, a.margin)]
    target = a.target_accuracy
    meeting = [one for one in level if target is not None and one.against(target) == "meets"]
    return meeting or level


def stay_with(e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Standing | None:
    """The candidate to use without tuning; None when none answered."""
    enough = good_enough(e, a, e.untuned)
    return min(enough, key=lambda one: price(one, costs, a), default=None)


def ranked(judged: Sequence[Judged], e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Judged:
    """The tuned candidate with the best verdict; of several that are justified, the cheapest that is good enough."""
    best = min(RANK[overall(gates, questions)] for _, gates, questions in judged)
    equals = [one for one in judged if RANK[overall(one[1], one[2])] == best]
    tuned = [one[0] for one in equals if one[0] is not None]
    if best or not tuned:  # none is justified: the one that comes nearest
        return min(equals, key=lambda one: (RANK[one[1][2].verdict], -((one[0] and one[0].accuracy) or 0.0)))
    enough = good_enough(e, a, tuned)
    chosen = min(enough, key=lambda one: price(one, costs, a))
    return next(one for one in equals if one[0] is chosen)


def overall(gates: Sequence[Gate], questions: Sequence[Question]) -> Verdict:
    """GO only when all three gates and all six questions lead on; a NO-GO weighs more than what is still open."""
    return worst([*gates, *questions])


def price(one: Standing, costs: Mapping[str, Cost], a: Assumptions) -> tuple[float, float, float]:
    """To sort by: over the horizon, else of a request; then the better first."""
    cost = costs.get(one.name)
    whole = cost.cumulative_usd(a.horizon_months, a.monthly_volume) if cost and a.monthly_volume is not None else None
    request = cost.per_request_usd if cost else None
    return _or_infinite(whole), _or_infinite(request), -(one.accuracy or 0.0)


def _or_infinite(amount: float | None) -> float:
    return math.inf if amount is None or math.isnan(amount) else amount


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do, and all that it rests on.

    Attributes:
        verdict: GO: fine-tune. NO-GO: stay with `chosen`. NEED-MORE-DATA: stay with it until the data are there.
        chosen: the candidate to use: the cheapest that meets the target and is not worse than the best by the margin
            or more. Where none meets the target, the cheapest of the second kind. A tuned one only on GO.
        best_prompt: the most accurate candidate that asks a model and is not tuned.
        stay: the candidate to use without tuning, which paybacks are held against.
        tuned: the tuned candidate that was judged; None when none answered.
        gates: the three.
        matrix: the six questions.
        stopped_at: the question that stopped the way; None when all six lead on.
        comparisons: each tuned candidate against the most accurate one that is not tuned.
        standings: by candidate, how it did.
        slices: where retrieval and tuning help.
        costs: by candidate.
        paybacks: by candidate, against `stay`.
        flips: which assumption would change the verdict, and at what value.
        assumptions: what was taken for granted.
        evidence: what was measured, or given.
    """

    verdict: Verdict
    chosen: str | None
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
    def given(self) -> bool:
        """Whether the figures were given, with no test behind them."""
        return self.evidence.given

    @property
    def worse_than_today(self) -> bool:
        """Whether `chosen` clearly misses the accuracy that is stated for what is in use today."""
        today = self.assumptions.current_accuracy
        return bool(self.chosen and today is not None and self.standings[self.chosen].against(today) == "misses")


def decide(run: Run, a: Assumptions) -> Decision:
    """Decide on a run, offline.

    Raises:
        RunError: the run is not finished, or its candidates cannot be paired.
    """
    from thirdlever.decision.costs import costs
    from thirdlever.decision.evidence import gather

    return decide_on(gather(run), partial(costs, run), a)


def decide_on(e: Evidence, costs: Costs, a: Assumptions) -> Decision:
    """Decide on evidence.

    Args:
        e: what was measured, or given.
        costs: what candidates cost under some assumptions.
        a: the assumptions.
    """
    from thirdlever.decision.sensitivity import sensitivity

    decision = judge(e, costs(a), a)
    flips = sensitivity(lambda other: judge(e, costs(other), other).verdict, a)
    return replace(decision, flips=flips)


def judge(e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Decision:
    """The verdict under one set of assumptions, without sentences: the sensitivity asks for it again and again."""
    stay = stay_with(e, costs, a)
    paybacks = _paybacks(costs, stay.name, a) if stay else {}
    first = gates.prompt_and_retrieval(e, a)
    judged: list[Judged] = []
    for tuned in e.of("tuned"):
        back = paybacks.get(tuned.name)
        three = (first, gates.stable_and_labelled(e, a, tuned), gates.pays_back(e, a, tuned, back))
        six = questions.six_questions(e, a, three, tuned, back)
        judged.append((tuned, three, six))
    if not judged:
        three = (first, gates.stable_and_labelled(e, a, None), gates.pays_back(e, a, None, None))
        judged.append((None, three, questions.six_questions(e, a, three, None, None)))
    nearest, gated, asked = ranked(judged, e, costs, a)
    verdict = overall(gated, asked)
    tuned_name = nearest.name if nearest else None
    return Decision(
        verdict=verdict,
        chosen=tuned_name if verdict == "GO" else (stay.name if stay else None),
        best_prompt=next((one.name for one in e.of("prompt", "retrieval")), None),
        stay=stay.name if stay else None,
        tuned=tuned_name,
        gates=gated,
        matrix=asked,
        stopped_at=questions.stopped_at(asked),
        comparisons=list(e.comparisons.values()),
        standings=e.standings,
        slices=e.slices,
        costs=costs,
        paybacks=paybacks,
        assumptions=a,
        evidence=e,
    )


def _paybacks(costs: Mapping[str, Cost], stay: str, a: Assumptions) -> dict[str, Payback]:
    if stay not in costs:
        return {}
    return {name: payback(cost, costs[stay], a) for name, cost in costs.items() if name != stay}


SUFFIX = ".toml"

_TOP = {"title", "labelled_examples", "assumptions", "candidate"}
_TEXTS = {"name", "kind", "base"}
_AMOUNTS = {"weeks", "examples", "usd_per_request", "usd_per_month", "setup_usd", "standing_usd_per_month"}
_NUMBERS = {"accuracy", *_AMOUNTS}
_KEYS = {*_TEXTS, *_NUMBERS, "today"}
_LOCAL = ("embedded", "hf/")


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What a file gives.

    Attributes:
        title: a line on what it is about.
        labelled: labelled examples at hand; None when not stated.
        assumptions: as `--assume` takes them.
        candidates: one table each.
    """

    title: str
    labelled: int | None
    assumptions: Mapping[str, str]
    candidates: tuple[Mapping[str, Any], ...]

    def decide(self, given: Mapping[str, str]) -> Decision:
        """Decide on them.

        Args:
            given: `--assume`'s, which come before the file's.

        Raises:
            ThirdleverError: an assumption that does not exist, or a value that it cannot take.
        """
        stated = assume({}, self.assumptions)
        costs = partial(_costs, self.candidates, stated.monthly_volume)
        return decide_on(self.evidence(), costs, assume({}, {**self.assumptions, **given}))

    def evidence(self) -> Evidence:
        """How the candidates stand, best first, with nothing measured."""
        standings = [
            Standing(
                name=row["name"],
                kind=row["kind"],
                base=row.get("base"),
                hosted=bool(row.get("base")) and not row["base"].startswith(_LOCAL),
                accuracy=row.get("accuracy"),
                examples=int(row["examples"]) if "examples" in row else None,
                weeks=row.get("weeks"),
                today=row.get("today", False),
            )
            for row in self.candidates
        ]
        standings.sort(key=lambda one: (one.accuracy is None, -(one.accuracy or 0.0)))
        return Evidence(standings={one.name: one for one in standings}, labelled=self.labelled)


def read(path: Path) -> Figures:
    """Read a file of given figures.

    Raises:
        RunError: there is no such file, or something in it cannot be; naming what, and what may stand there.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        message = f"{str(path)!r} is not there; give a run or a .toml of given figures"
        raise RunError(message) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"{path}: {error}; correct the file (docs/decision.md says what may stand in it)"
        raise RunError(message) from None
    _known(table, _TOP, str(path))
    rows = table.get("candidate")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        message = f"{path}: there is no candidate; add a [[candidate]] table with name, kind and accuracy"
        raise RunError(message)
    assumptions = _assumptions(table.get("assumptions", {}), path)
    has_volume = "monthly_volume" in assumptions
    candidates = tuple(
        _candidate(row, f"{path}, candidate {i}", has_volume=has_volume) for i, row in enumerate(rows, 1)
    )
    names = [row["name"] for row in candidates]
    if twice := next((name for name in names if names.count(name) > 1), None):
        message = f"{path}: {twice!r} stands there twice; give each candidate a name of its own"
        raise RunError(message)
    labelled = _number(table, "labelled_examples", str(path))
    return Figures(
        title=str(table.get("title", "")),
        labelled=None if labelled is None else int(labelled),
        assumptions=assumptions,
        candidates=candidates,
    )


def _assumptions(table: Any, path: Path) -> dict[str, str]:  # noqa: ANN401 - whatever TOML holds
    if not isinstance(table, dict):
        message = f"{path}: assumptions is no table; write [assumptions] and one name = value a line"
        raise RunError(message)
    stated = {name: str(value) for name, value in table.items()}
    try:
        assume({}, stated)
    except ThirdleverError as error:
        message = f"{path}: {str(error).removeprefix('--assume: ')}"
        raise RunError(message) from None
    return stated


def _candidate(row: Mapping[str, Any], where: str, *, has_volume: bool) -> Mapping[str, Any]:
    _known(row, _KEYS, where)
    for key in ("name", "kind"):
        if not row.get(key) or not isinstance(row[key], str):
            message = f"{where}: {key!r} is missing or no text; add it"
            raise RunError(message)
    if row["kind"] not in get_args(Kind):
        message = f"{where}: {unknown('kind', row['kind'], get_args(Kind))}"
        raise RunError(message)
    if not isinstance(row.get("base", ""), str) or not isinstance(row.get("today", False), bool):
        message = f"{where}: base is a text, today is true or false; correct it"
        raise RunError(message)
    numbers = {key: value for key in _NUMBERS if (value := _number(row, key, where)) is not None}
    if "usd_per_month" in row and ("usd_per_request" in row or not has_volume):
        message = f"{where}: usd_per_month takes monthly_volume among the assumptions, and no usd_per_request beside it"
        raise RunError(message)
    return {**row, **numbers}


def _number(row: Mapping[str, Any], key: str, where: str) -> float | None:
    value = row.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        message = f"{where}: {key} = {value!r} is no amount; give a number that is not negative"
        raise RunError(message)
    if key == "accuracy" and value > 1:
        message = f"{where}: {key} = {value!r} is a share of 1; give 0.92 for 92 %"
        raise RunError(message)
    return float(value)


def _known(table: Mapping[str, Any], keys: set[str], where: str) -> None:
    for key in table:
        if key not in keys:
            message = f"{where}: {unknown('key', key, keys)}"
            raise RunError(message)


def _costs(rows: tuple[Mapping[str, Any], ...], volume: float | None, a: Assumptions) -> dict[str, Cost]:
    """In money. A month's bill is of the volume that the file states, whatever volume is asked about."""
    return {row["name"]: _cost(row, volume, a) for row in rows}


def _cost(row: Mapping[str, Any], volume: float | None, a: Assumptions) -> Cost:
    per_request = row.get("usd_per_request")
    if "usd_per_month" in row and volume:
        per_request = row["usd_per_month"] / volume
    tuned = row["kind"] == "tuned"
    return Cost(
        candidate=row["name"],
        strategy=row["kind"],
        model=row.get("base"),
        tuned=tuned,
        accuracy=row.get("accuracy"),
        per_request_usd=per_request,
        setup={"given": row.get("setup_usd")},
        standing={
            "given": row.get("standing_usd_per_month", 0.0),
            **({"upkeep": a.upkeep_usd_per_month} if tuned else {}),
        },
        basis={"per request": "given", "given": "given"},
    )


def decide_from(run: str, assumed: Iterable[str]) -> Decision:
    """Decide on a run, or on a .toml of given figures.

    Args:
        run: what `run.load` takes, or a file's name that ends in .toml.
        assumed: `NAME=VALUE`, each.

    Raises:
        ThirdleverError: no such run or file, or something in it or in an assumption cannot be.
    """
    if run.endswith(SUFFIX):
        return read(Path(run)).decide(dict(map(_pair, assumed)))
    return decide_on_run(load(run), assumed)


def decide_on_run(run: Run, assumed: Iterable[str]) -> Decision:
    """The same, on a run that was found."""
    card = (run.info.get("suite") or {}).get("card") or {}
    return decide(run, assume(card, dict(map(_pair, assumed)), run.info))


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        message = f"--assume {text!r} has no value; write it as NAME=VALUE, such as monthly_volume=50000"
        raise ThirdleverError(message)
    return name.strip(), value.strip()
