"""Six questions before a fine-tune, in order, each answered by a measurement or an assumption, or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.core.text import counted, listed, months, percent, points
from thirdlever.decision.gates import Condition, Gate, required_examples, rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Evidence, Standing
    from thirdlever.decision.gates import Outcome
    from thirdlever.decision.payback import Payback

Answer: TypeAlias = Literal["yes", "no", "unknown"]
Basis: TypeAlias = Literal["measured", "assumed", "given figures", "not stated"]

_YES_PASSES: Mapping[Answer, Outcome] = {"yes": "passed", "no": "failed", "unknown": "open"}
_NO_PASSES: Mapping[Outcome, Answer] = {"passed": "no", "failed": "yes", "open": "unknown"}
_NOBODY = {"no", "nobody", "no one"}


@dataclass(frozen=True, kw_only=True)
class Question(Gate):
    """One of the six: passed leads to the next, failed stops here, open is unanswered.

    Attributes:
        answer: to `question`.
        basis: of the answer.
    """

    answer: Answer
    basis: Basis


def six_questions(
    e: Evidence, a: Assumptions, gates: Sequence[Gate], tuned: Standing | None, payback: Payback | None
) -> tuple[Question, ...]:
    """Answer all six questions.

    Args:
        e: the evidence.
        a: the assumptions.
        gates: the three gates.
        tuned: the tuned candidate that the gates judge.
        payback: its payback.
    """
    first, second, third = gates
    return (
        _prompting(e, a, first),
        _knowledge(e, a),
        _behaviour(e, a, tuned),
        _examples(e, second, tuned),
        _volume(a, third, payback),
        _maintenance(a),
    )


def stopped_at(questions: Sequence[Question]) -> Question | None:
    """The first question that does not lead to the next."""
    return next((one for one in questions if one.outcome != "passed"), None)


def _prompting(e: Evidence, a: Assumptions, gate: Gate) -> Question:
    best = e.best_untuned
    target = f"Target: {percent(a.target_accuracy)}." if a.target_accuracy else gate.threshold
    return Question(
        name="Prompting",
        question="Can prompting, retrieval or no model at all solve it?",
        answer=_NO_PASSES[gate.outcome],
        basis=_measured(e) if best else "not stated",
        outcome=gate.outcome,
        code=gate.code,
        reason=gate.reason,
        evidence=f"Best without tuning: {best}." if best else "Nothing without tuning was measured.",
        threshold=f"Yes: stop here. {target}",
        change=gate.change,
    )


def _knowledge(e: Evidence, a: Assumptions) -> Question:
    """Yes passes only if retrieval of documents was measured: then gate 1 has already judged it.

    Similar examples show how to answer, and supply no facts.
    """
    retrieval = [one for one in e.of("retrieval") if one.documents is not False]
    answer, basis = _facts_needed(e, a)
    stated: Mapping[bool | None, str] = {
        True: "Stated: answers need changing or proprietary facts.",
        False: "Stated: answers need no changing facts.",
        None: "It is not stated whether answers need changing facts.",
    }
    passes = bool(retrieval) or answer == "no"
    reason = "retrieval was tried" if retrieval and answer != "no" else "no new facts are needed"
    return Question(
        name="Knowledge",
        question="Does the model need current or proprietary facts?",
        answer=answer,
        basis=basis,
        outcome="passed" if passes else ("failed" if answer == "yes" else "open"),
        code="knowledge_supplied" if passes else "retrieval_first",
        reason=reason if passes else "retrieval of documents supplies new facts, and it was not tried",
        evidence=" ".join([_retrieved(e), stated[a.changing_knowledge], *_slices(e)]),
        threshold="Yes: add retrieval, then reassess. Tuning does not reliably teach facts.",
        change="Measure retrieval of documents (--strategy rag:documents=3), or state that no facts change "
        "(--assume changing_knowledge=no).",
    )


def _facts_needed(e: Evidence, a: Assumptions) -> tuple[Answer, Basis]:
    """As stated; else yes if retrieval helps significantly, no if it helps by less than the margin."""
    compared = e.knowledge
    if a.changing_knowledge is not None:
        return ("yes" if a.changing_knowledge else "no"), "assumed"
    if compared is not None and compared.difference > 0 and compared.p <= e.alpha:
        return "yes", "measured"
    if compared is not None and compared.high < a.margin:
        return "no", "measured"
    return "unknown", "not stated"


def _retrieved(e: Evidence) -> str:
    compared, retrieval = e.knowledge, e.of("retrieval")
    if compared is None:
        examples = " It retrieves examples, not documents." if retrieval and retrieval[0].documents is False else ""
        return f"Retrieval was tried: {retrieval[0]}.{examples}" if retrieval else "Retrieval was not tried."
    side = "better" if compared.difference >= 0 else "worse"
    interval = f"{100 * compared.low:+.1f} to {100 * compared.high:+.1f}"
    return f"{compared.b} is {points(compared.difference)} {side} than {compared.a} (interval {interval} points)."


def _behaviour(e: Evidence, a: Assumptions, tuned: Standing | None) -> Question:
    """A significantly better tuned candidate shows the need; a candidate that is not better does not refute it."""
    compared = e.comparisons.get(tuned.name) if tuned else None
    answer: Answer = "unknown"
    basis: Basis = "not stated"
    evidence = "Not stated, and no tuned candidate is significantly better."
    if a.behaviour is not None:
        answer, basis = ("yes" if a.behaviour else "no"), "assumed"
        evidence = f"Stated: a consistent change of behaviour is {'needed' if a.behaviour else 'not needed'}."
    elif compared is not None and compared.significant(e.alpha) and compared.difference > 0:
        answer, basis = "yes", "measured"
        evidence = f"{compared.b} is {points(compared.difference)} better than {compared.a}, significantly."
    reasons: Mapping[Answer, str] = {
        "yes": "a change of behaviour is needed",
        "no": "no change of behaviour is needed",
        "unknown": "it is not stated whether a change of behaviour is needed",
    }
    return Question(
        name="Behaviour",
        question="Is a consistent change of behaviour needed (format, tone, house rules)?",
        answer=answer,
        basis=basis,
        outcome=_YES_PASSES[answer],
        code=f"behaviour_{answer}",
        reason=reasons[answer],
        evidence=evidence,
        threshold="No: do not fine-tune. It changes how a model answers, not what it knows.",
        change="State whether a change of behaviour is needed (--assume behaviour=yes or no), or measure a tuned "
        "candidate that is significantly better.",
    )


def _examples(e: Evidence, gate: Gate, tuned: Standing | None) -> Question:
    least = required_examples(e, tuned)
    enough = e.labelled is not None and e.labelled >= least
    return Question(
        name="Examples",
        question=f"Are there {least:,} or more good labelled examples?",
        answer="unknown" if e.labelled is None else ("yes" if enough else "no"),
        basis="not stated" if e.labelled is None else _measured(e),
        outcome="passed" if enough else "open",
        code="enough_labels" if enough else "too_few_labels",
        reason="there are enough labelled examples" if enough else gate.reason,
        evidence="Unknown." if e.labelled is None else f"{counted(e.labelled, 'labelled example')} available.",
        threshold="No: invest in data first.",
        change=f"Fewer than {least:,}." if enough else gate.change,
    )


def _volume(a: Assumptions, gate: Gate, payback: Payback | None) -> Question:
    """A computed payback overrides the rule of thumb."""
    least, volume = rules().monthly_requests, a.monthly_volume
    answer: Answer = "unknown" if volume is None else ("yes" if volume >= least else "no")
    in_time = gate.outcome == "passed"
    reasons: Mapping[Answer, str] = {
        "yes": "the volume is large enough",
        "no": "it pays back despite a low volume"
        if in_time
        else f"fewer than {least:,} requests a month rarely pay a tune back",
        "unknown": "the volume is not stated",
    }
    computed = f" Computed payback: {months(payback.months)}." if payback and payback.months is not None else ""
    return Question(
        name="Volume",
        question=f"Are there {least:,} or more requests a month?",
        answer=answer,
        basis="not stated" if volume is None else "assumed",
        outcome="passed" if volume is not None and in_time else _YES_PASSES[answer],
        code="volume_unknown" if volume is None else f"volume_{'enough' if answer == 'yes' else 'low'}",
        reason=reasons[answer],
        evidence=("Not stated." if volume is None else f"{counted(round(volume), 'request')} a month.") + computed,
        threshold="No: a return is unlikely, unless the computed payback says otherwise.",
        change="State the requests a month (--assume monthly_volume=N)."
        if volume is None
        else f"A volume on the other side of {least:,}.",
    )


def _maintenance(a: Assumptions) -> Question:
    """Nobody to maintain it is no reason against a tune: it is a condition of it."""
    named = a.maintainer or ""
    answer: Answer = "unknown" if not named else ("no" if named.lower() in _NOBODY else "yes")
    reasons: Mapping[Answer, str] = {
        "yes": "a maintainer is named",
        "no": "nobody maintains the tuned model",
        "unknown": "no maintainer of the tuned model is named",
    }
    evidence: Mapping[Answer, str] = {"yes": f"Named: {named}.", "no": "Stated: nobody.", "unknown": "Not stated."}
    return Question(
        name="Maintenance",
        question="Can the tuned model be maintained?",
        answer=answer,
        basis="assumed" if named else "not stated",
        outcome="passed",
        code=f"maintainer_{answer}",
        reason=reasons[answer],
        evidence=evidence[answer],
        threshold="No: first budget for tuning, evaluation and rollout at every base release.",
        change="Nobody to re-tune after a release." if answer == "yes" else "Name somebody (--assume maintainer=TEAM).",
        condition=None if answer == "yes" else Condition(code="maintainer", text="somebody is named to re-tune it"),
    )


def _slices(e: Evidence) -> list[str]:
    """Slices where only retrieval helps (knowledge is missing) or only tuning does (behaviour is)."""
    knowledge = [one for one in e.slices if one.retrieval_helps and not one.tuning_helps]
    behaviour = [one for one in e.slices if one.tuning_helps and not one.retrieval_helps]
    lines = []
    for only, lever, other in ((knowledge, "retrieval", "tuning"), (behaviour, "tuning", "retrieval")):
        if only:
            names = listed([f"{one.name} ({counted(one.n, 'item')})" for one in only])
            lines.append(f"Where {lever} helps significantly and {other} does not: {names}.")
    if e.slices and not lines:
        lines.append("In no slice does only one of retrieval and tuning help significantly.")
    return lines


def _measured(e: Evidence) -> Basis:
    return "given figures" if e.given else "measured"
