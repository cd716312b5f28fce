"""The decision: three gates and six questions over a run's evidence, and the candidate to use.

GO means that fine-tuning, the third lever, is justified. NO-GO and NEED-MORE-DATA name the candidate to stay with,
which may be the one that asks no model at all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from thirdlever.decision import gates, matrix
from thirdlever.decision.choice import overall, ranked, stay_with
from thirdlever.decision.notes import notes
from thirdlever.decision.wording import one_sentence, what_would_change
from thirdlever.economics.payback import payback

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import TypeAlias

    from thirdlever.analysis.compare import Comparison
    from thirdlever.analysis.run import Run
    from thirdlever.decision.choice import Judged
    from thirdlever.decision.evidence import Evidence, Slice, Standing
    from thirdlever.decision.gates import Gate, Verdict
    from thirdlever.decision.matrix import Question
    from thirdlever.economics.assumptions import Assumptions
    from thirdlever.economics.costs import Cost
    from thirdlever.economics.payback import Payback
    from thirdlever.economics.sensitivity import Flip

    Costs: TypeAlias = Callable[[Assumptions], Mapping[str, Cost]]


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What to do, and all that it rests on.

    Attributes:
        verdict: GO: fine-tune. NO-GO: stay with `chosen`. NEED-MORE-DATA: stay with it until the data are there.
        sentence: the decision in one plain sentence.
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
        what_would_change: sentences.
        notes: what a reader should know besides.
        given: whether it rests on given figures, with no test behind them.
    """

    verdict: Verdict
    sentence: str
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
    flips: Sequence[Flip] = ()
    what_would_change: Sequence[str] = ()
    notes: Sequence[str] = ()
    given: bool = False

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
    from thirdlever.decision.gathering import gather
    from thirdlever.economics.costing import costs

    return decide_on(gather(run), partial(costs, run), a)


def decide_on(e: Evidence, costs: Costs, a: Assumptions) -> Decision:
    """Decide on evidence.

    Args:
        e: what was measured, or given.
        costs: what candidates cost under some assumptions.
        a: the assumptions.
    """
    from thirdlever.economics.sensitivity import sensitivity

    decision = judge(e, costs(a), a)
    flips = sensitivity(lambda other: judge(e, costs(other), other).verdict, a)
    return replace(
        decision,
        sentence=one_sentence(decision),
        flips=flips,
        what_would_change=what_would_change(decision, flips),
        notes=notes(decision, e),
    )


def judge(e: Evidence, costs: Mapping[str, Cost], a: Assumptions) -> Decision:
    """The verdict under one set of assumptions, without sentences: the sensitivity asks for it again and again."""
    stay = stay_with(e, costs, a)
    paybacks = _paybacks(costs, stay.name, a) if stay else {}
    first = gates.prompt_and_retrieval(e, a)
    judged: list[Judged] = []
    for tuned in e.of("tuned"):
        back = paybacks.get(tuned.name)
        three = (first, gates.stable_and_labelled(e, a, tuned), gates.pays_back(e, a, tuned, back))
        six = matrix.six_questions(e, a, three, tuned, back)
        judged.append((tuned, three, six))
    if not judged:
        three = (first, gates.stable_and_labelled(e, a, None), gates.pays_back(e, a, None, None))
        judged.append((None, three, matrix.six_questions(e, a, three, None, None)))
    nearest, gated, asked = ranked(judged, e, costs, a)
    verdict = overall(gated, asked)
    tuned_name = nearest.name if nearest else None
    return Decision(
        verdict=verdict,
        sentence="",
        chosen=tuned_name if verdict == "GO" else (stay.name if stay else None),
        best_prompt=next((one.name for one in e.of("prompt", "retrieval")), None),
        stay=stay.name if stay else None,
        tuned=tuned_name,
        gates=gated,
        matrix=asked,
        stopped_at=matrix.stopped_at(asked),
        comparisons=list(e.comparisons.values()),
        standings=e.standings,
        slices=e.slices,
        costs=costs,
        paybacks=paybacks,
        assumptions=a,
        given=e.given,
    )


def _paybacks(costs: Mapping[str, Cost], stay: str, a: Assumptions) -> dict[str, Payback]:
    if stay not in costs:
        return {}
    return {name: payback(cost, costs[stay], a) for name, cost in costs.items() if name != stay}
