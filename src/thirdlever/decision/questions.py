"""The six questions before a fine-tune, in order; the first that says no stops the way.

Each is answered from what was measured, else from what is assumed, else not at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.analysis.stats.power import ALPHA
from thirdlever.core.text import counted, listed, months, percent, points
from thirdlever.decision import gates as rules
from thirdlever.decision.gates import Gate

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Evidence, Standing
    from thirdlever.decision.gates import Verdict
    from thirdlever.decision.payback import Payback


Answer: TypeAlias = Literal["yes", "no", "unknown"]
Basis: TypeAlias = Literal["measured", "assumed", "given figures", "nobody has said"]
_YES_LEADS_ON: Mapping[Answer, Verdict] = {"yes": "GO", "no": "NO-GO", "unknown": "NEED-MORE-DATA"}
_NOBODY = {"no", "nobody", "no one"}


@dataclass(frozen=True, kw_only=True)
class Question(Gate):
    """One of the six: GO leads to the next, NO-GO stops here, NEED-MORE-DATA has no answer yet.

    Attributes:
        answer: to `question`.
        basis: what it rests on.
    """

    answer: Answer
    basis: Basis


def six_questions(
    e: Evidence, a: Assumptions, gates: Sequence[Gate], tuned: Standing | None, payback: Payback | None
) -> tuple[Question, ...]:
    """Ask all six.

    Args:
        e: what was measured.
        a: what is assumed.
        gates: the three, already judged.
        tuned: the tuned candidate that they judge.
        payback: its payback.
    """
    first, second, third = gates
    return (
        _prompting(e, a, first),
        _knowledge(e, a),
        _behaviour(e, a, tuned),
        _examples(e, second),
        _volume(a, third, payback),
        _maintained(a),
    )


def stopped_at(questions: Sequence[Question]) -> Question | None:
    """The first question that does not lead to the next."""
    return next((one for one in questions if one.verdict != "GO"), None)


def _prompting(e: Evidence, a: Assumptions, gate: Gate) -> Question:
    answer: Answer = {"GO": "no", "NO-GO": "yes", "NEED-MORE-DATA": "unknown"}[gate.verdict]  # type: ignore[assignment]
    tried = e.of("no model", "prompt", "retrieval")
    return Question(
        name="Prompting",
        question="Can prompting, retrieval or no model at all solve it?",
        answer=answer,
        basis=_measured(e) if tried else "nobody has said",
        verdict=gate.verdict,
        reason=gate.reason,
        evidence=f"Best without tuning: {tried[0]}." if tried else "Nothing without tuning was measured.",
        threshold="Yes: stop here. "
        + (f"Target: {percent(a.target_accuracy)}." if a.target_accuracy else gate.threshold),
        change=gate.change,
    )


def _knowledge(e: Evidence, a: Assumptions) -> Question:
    """Yes leads on only where retrieval is among the candidates: it was added, and gate 1 has reassessed."""
    retrieval = e.of("retrieval")
    answer, basis = _facts_needed(e, a)
    told: dict[bool | None, str] = {
        True: "Stated: answers need facts that change or that only you have.",
        False: "Stated: no changing facts.",
    }
    stated = told.get(a.changing_knowledge, "Nobody has said whether answers need facts that change.")
    go = bool(retrieval) or answer == "no"
    missing = "new facts are the job of retrieval, and it was not tried"
    return Question(
        name="Knowledge",
        question="Does the model need current or proprietary facts?",
        answer=answer,
        basis=basis,
        verdict="GO" if go else ("NO-GO" if answer == "yes" else "NEED-MORE-DATA"),
        reason=("retrieval was tried" if retrieval else "no new facts are needed") if go else missing,
        evidence=" ".join([_retrieved(e), stated, *_slices(e)]),
        threshold="Yes: add retrieval, then reassess. Tuning does not reliably teach facts.",
        change="Measure retrieval (--strategy rag), or state --assume changing_knowledge=no.",
    )


def _facts_needed(e: Evidence, a: Assumptions) -> tuple[Answer, Basis]:
    """Stated, or else shown: retrieval helps beyond chance, or by less than the margin if at all."""
    compared = e.knowledge
    if a.changing_knowledge is not None:
        return ("yes" if a.changing_knowledge else "no"), "assumed"
    if compared is not None and compared.difference > 0 and compared.p <= ALPHA:
        return "yes", "measured"
    if compared is not None and compared.high < a.margin:
        return "no", "measured"
    return "unknown", "nobody has said"


def _retrieved(e: Evidence) -> str:
    compared, retrieval = e.knowledge, e.of("retrieval")
    if compared is None:
        return f"Retrieval was tried: {retrieval[0]}." if retrieval else "Retrieval was not tried."
    side = "better" if compared.difference >= 0 else "worse"
    interval = f"{100 * compared.low:+.1f} to {100 * compared.high:+.1f}"
    return f"{compared.b} is {points(compared.difference)} {side} than {compared.a} (interval {interval} points)."


def _behaviour(e: Evidence, a: Assumptions, tuned: Standing | None) -> Question:
    """A tune that does better for certain has shown it; one that does not has not shown the contrary."""
    compared = e.comparisons.get(tuned.name) if tuned else None
    answer: Answer = "unknown"
    basis: Basis = "nobody has said"
    evidence = "Nobody has said, and no tuned candidate is better beyond chance."
    if a.behaviour is not None:
        answer, basis = ("yes" if a.behaviour else "no"), "assumed"
        evidence = f"Stated: a consistent change of behaviour is {'wanted' if a.behaviour else 'not wanted'}."
    elif compared is not None and compared.significant() and compared.difference > 0:
        answer, basis = "yes", "measured"
        evidence = f"{compared.b} is {points(compared.difference)} better than {compared.a}, beyond chance."
    return Question(
        name="Behaviour",
        question="Is a consistent change of behaviour needed (format, tone, house rules)?",
        answer=answer,
        basis=basis,
        verdict=_YES_LEADS_ON[answer],
        reason={
            "yes": "a change of behaviour is wanted",
            "no": "no change of behaviour is wanted",
            "unknown": "nobody has said whether a change of behaviour is wanted",
        }[answer],
        evidence=evidence,
        threshold="No: no fine-tune. It changes how a model answers, not what it knows.",
        change="State --assume behaviour=yes (or no), or measure a tuned candidate that is better beyond chance.",
    )


def _examples(e: Evidence, gate: Gate) -> Question:
    least = rules.table()["labelled_examples"][0]
    answer: Answer = "unknown" if e.labelled is None else ("yes" if e.labelled >= least else "no")
    return Question(
        name="Examples",
        question=f"Are there {least:,} or more good labelled examples?",
        answer=answer,
        basis="nobody has said" if e.labelled is None else _measured(e),
        verdict="GO" if answer == "yes" else "NEED-MORE-DATA",
        reason="there are enough labelled examples" if answer == "yes" else gate.reason,
        evidence="Unknown." if e.labelled is None else f"{counted(e.labelled, 'labelled example')} at hand.",
        threshold="No: invest in data first.",
        change=f"Fewer than {least:,}." if answer == "yes" else f"{least:,} or more of good quality.",
    )


def _volume(a: Assumptions, gate: Gate, payback: Payback | None) -> Question:
    """A payback that was worked out comes before the rule of thumb."""
    least, volume = rules.table()["monthly_requests"], a.monthly_volume
    answer: Answer = "unknown" if volume is None else ("yes" if volume >= least else "no")
    in_time = gate.verdict == "GO"
    worked_out = f" Payback, worked out: {months(payback.months)}." if payback and payback.months is not None else ""
    return Question(
        name="Volume",
        question=f"Are there {least:,} or more requests a month?",
        answer=answer,
        basis="nobody has said" if volume is None else "assumed",
        verdict="NEED-MORE-DATA" if volume is None else ("GO" if answer == "yes" or in_time else "NO-GO"),
        reason={
            "yes": "the volume is large enough",
            "no": "it pays back in spite of few requests"
            if in_time
            else f"fewer than {least:,} requests a month seldom pay a tune back",
            "unknown": "the volume is not stated",
        }[answer],
        evidence=("Not stated." if volume is None else f"{volume:,.0f} requests a month.") + worked_out,
        threshold="No: a return is unlikely, unless the payback that was worked out says otherwise.",
        change="State --assume monthly_volume=N." if volume is None else f"A volume on the other side of {least:,}.",
    )


def _maintained(a: Assumptions) -> Question:
    named = a.maintainer or ""
    answer: Answer = "unknown" if not named else ("no" if named.lower() in _NOBODY else "yes")
    return Question(
        name="Maintenance",
        question="Can the tuned model be kept up to date?",
        answer=answer,
        basis="assumed" if named else "nobody has said",
        verdict=_YES_LEADS_ON[answer],
        reason={
            "yes": "somebody keeps it up to date",
            "no": "nobody keeps a tuned model up to date",
            "unknown": "nobody is named who keeps a tuned model up to date",
        }[answer],
        evidence={"yes": f"Named: {named}.", "no": "Stated: nobody.", "unknown": "Nobody is named."}[answer],
        threshold="No: budget first for tuning, measuring and rolling out again at every base release.",
        change="Nobody to tune again at a release."
        if answer == "yes"
        else "Name who keeps a tuned model up to date: --assume maintainer=TEAM.",
    )


def _slices(e: Evidence) -> list[str]:
    """Where one lever helps and the other does not: knowledge or behaviour."""
    knowledge = [one for one in e.slices if one.retrieval_helps and not one.tuning_helps]
    behaviour = [one for one in e.slices if one.tuning_helps and not one.retrieval_helps]
    lines = []
    for only, word, other in ((knowledge, "retrieval", "tuning"), (behaviour, "tuning", "retrieval")):
        if only:
            names = listed([f"{one.name} ({counted(one.n, 'item')})" for one in only])
            lines.append(f"Where {word} helps and {other} does not, beyond chance: {names}.")
    if e.slices and not lines:
        lines.append("No slice shows one of retrieval and tuning helping without the other, beyond chance.")
    return lines


def _measured(e: Evidence) -> Basis:
    return "given figures" if e.given else "measured"
