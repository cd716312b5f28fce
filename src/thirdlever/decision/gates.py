"""The three gates before a fine-tune. Any that fails says: stay with the prompt or with retrieval.

Each holds evidence against a threshold and says what would change its verdict; docs/decision.md has them on one page.
A gate is a pure function of evidence, assumptions and a payback: it reads no file and no clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from thirdlever.core.text import counted, listed, months, percent
from thirdlever.decision import rules
from thirdlever.decision.gain import Outcome, gain, gained, money, no_tune, paid, to_measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.decision.evidence import Evidence, Standing
    from thirdlever.economics.assumptions import Assumptions
    from thirdlever.economics.payback import Payback

Verdict: TypeAlias = Literal["GO", "NO-GO", "NEED-MORE-DATA"]
RANK: dict[Verdict, int] = {"GO": 0, "NEED-MORE-DATA": 1, "NO-GO": 2}


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate, in sentences that a product manager reads.

    Attributes:
        name: a few words.
        question: what it asks.
        verdict: GO opens it.
        reason: why, as a clause to follow "because".
        evidence: what is known.
        threshold: what it was held against.
        change: what would change the verdict.
    """

    name: str
    question: str
    verdict: Verdict
    reason: str
    evidence: str
    threshold: str
    change: str


def worst(gates: Sequence[Gate]) -> Verdict:
    """GO only when all say so; a NO-GO weighs more than what is still open."""
    return max((gate.verdict for gate in gates), key=RANK.__getitem__)


def prompt_and_retrieval(e: Evidence, a: Assumptions) -> Gate:
    """Gate 1: prompting and retrieval were tried, and they miss the target."""

    def gate(verdict: Verdict, reason: str, change: str) -> Gate:
        return Gate(
            name="Prompt and retrieval first",
            question="Were prompting and retrieval tried, and do they miss the target?",
            verdict=verdict,
            reason=reason,
            evidence=_tried(e),
            threshold=_target(e, a),
            change=change,
        )

    target = a.target_accuracy
    if target is not None:
        meets = [one for one in e.untuned if one.against(target) == "meets"]
        if meets:
            reason = f"{meets[0].name} meets the target of {percent(target)} without tuning"
            return gate("NO-GO", reason, f"A target above {percent(meets[0].low or meets[0].accuracy)}.")
    missing = [lever for lever, kind in (("prompting", "prompt"), ("retrieval", "retrieval")) if not e.of(kind)]  # type: ignore[arg-type]
    if missing:
        how = (
            f"Try {listed(missing)} on the labelled examples, and give the figures."
            if e.given
            else f"Measure {to_measure(missing)} on the same items."
        )
        return gate("NEED-MORE-DATA", f"{listed(missing)} {'was' if len(missing) == 1 else 'were'} not tried", how)
    if target is None:
        return _without_target(e, a, gate)
    still_open = [one for one in e.untuned if one.against(target) == "open"]
    if still_open:
        one = still_open[0]
        n = one.needed(target, a.margin)
        reason = f"{one.name} may or may not reach {percent(target)}: {counted(one.n, 'item')} cannot tell"
        return gate("NEED-MORE-DATA", reason, f"About {counted(n, 'test item')} instead of {one.n:,} would settle it.")
    reason = f"nothing without tuning reaches {percent(target)}"
    return gate("GO", reason, f"A prompt or retrieval candidate that reaches {percent(target)}.")


def stable_and_labelled(e: Evidence, a: Assumptions, tuned: Standing | None) -> Gate:
    """Gate 2: the task is narrow and stays as it is, and there are enough labelled examples."""
    base = next((one for one in (tuned, *e.of("tuned", "retrieval", "prompt")) if one and one.base), None)
    need = rules.examples_for(base.base if base else None, hosted=base.hosted if base else False)
    verdict, reason, change = _examples(e.labelled, need)
    if a.stable is False:
        verdict, reason = "NO-GO", "the task is not stable and narrow, so a tune would soon be out of date"
        change = "A narrower task whose answers stay right for months."
    elif a.stable is None and verdict == "GO":
        verdict, reason = "NEED-MORE-DATA", "nobody has said whether the task is narrow and stays as it is"
        change = "Say so: --assume stable=yes (or no)."
    known = "How many labelled examples there are is unknown." if e.labelled is None else ""
    known = known or f"{counted(e.labelled or 0, 'labelled example')} at hand."
    narrow = f" Answers come from {counted(e.answers, 'label')}." if e.answers else ""
    stays: dict[bool | None, str] = {
        True: "The task is stated to be stable and narrow.",
        False: "The task is stated not to be stable and narrow.",
    }
    stated = stays.get(a.stable, "Whether the task is stable is not stated.")
    used = f" {tuned.name} was tuned on {tuned.examples:,} of them." if tuned and tuned.examples else ""
    return Gate(
        name="Stable task, enough examples",
        question="Is the task narrow and stable, and are there enough labelled examples?",
        verdict=verdict,
        reason=reason,
        evidence=f"{known}{narrow}{used} {stated}",
        threshold=need.sentence,
        change=change,
    )


def pays_back(e: Evidence, a: Assumptions, tuned: Standing | None, payback: Payback | None) -> Gate:
    """Gate 3: a tuned candidate is really better, meets the target, and pays back before the next release."""
    window = payback.wanted_months if payback else min(a.payback_months or a.horizon_months, a.horizon_months)
    stopped = no_tune(e) if tuned is None else gain(e, a, tuned)
    verdict, reason, change = stopped or money(a, payback)
    return Gate(
        name="Pays back in time",
        question="Is a tuned candidate better for certain, and is the money back before the next base release?",
        verdict=verdict,
        reason=reason,
        evidence=" ".join(filter(None, [gained(e, tuned), paid(tuned, payback)])) or "No tuned candidate was measured.",
        threshold=(
            f"Better than the best candidate without tuning (5 % risk of error over all tuned candidates), "
            f"{'on target' if a.target_accuracy is not None else 'no target stated'}, "
            f"and back within {months(window)} at {_volume(a)}."
        ),
        change=change,
    )


def _examples(labelled: int | None, need: rules.Need) -> Outcome:
    if labelled is None:
        return Outcome("NEED-MORE-DATA", "the number of labelled examples is unknown", "Count the labelled examples.")
    if labelled < need.least:
        short = need.least - labelled
        reason = f"{counted(labelled, 'labelled example')} are too few"
        return Outcome("NEED-MORE-DATA", reason, f"{counted(short, 'more labelled example')}: {need.quality}.")
    few = labelled < need.recommended
    reason = "the examples are enough, though fewer than recommended" if few else "there are enough labelled examples"
    return Outcome("GO", reason, f"Fewer than {need.least:,} good examples, or a task that changes.")


def _without_target(e: Evidence, a: Assumptions, gate: Callable[[Verdict, str, str], Gate]) -> Gate:
    """No target is stated: then prompting falls short if a tuned candidate beats it for certain."""
    tuned, state = e.of("tuned"), "State a target: --assume target_accuracy=0.92 (yours)."
    best = e.best_untuned
    if not tuned or best is None:
        return gate("NEED-MORE-DATA", "no target is stated, and no tuned candidate shows that more is possible", state)
    stopped = [found for one in tuned if (found := gain(e, a, one))]
    if len(stopped) < len(tuned):
        return gate("GO", f"no target is stated, and a tuned candidate beats {best.name}, the best without it", state)
    verdict, _, change = min(stopped, key=lambda found: RANK[found.verdict])
    beats = "no tuned candidate beats" if verdict == "NO-GO" else "it is open whether a tuned candidate beats"
    either = f"{state} Or: {change[0].lower()}{change[1:]}"
    return gate(verdict, f"no target is stated, and {beats} {best.name}", either)


def _tried(e: Evidence) -> str:
    found = [str(one) for one in e.untuned]
    failed = [one.name for one in e.failures if one.kind != "tuned"]
    lines = [f"Tried without tuning: {'; '.join(found)}." if found else "Nothing without tuning was measured."]
    if failed:
        lines.append(f"No request was answered by {listed(failed)}, which counts as not tried.")
    return " ".join(lines)


def _target(e: Evidence, a: Assumptions) -> str:
    if a.target_accuracy is None:
        return "No target is stated: it is to beat the best candidate without tuning, beyond chance."
    if e.given:
        return f"The target of {percent(a.target_accuracy)}, on the figures as they were given."
    return (
        f"The target of {percent(a.target_accuracy)}: met when the whole 95 % interval is above it, missed when below."
    )


def _volume(a: Assumptions) -> str:
    volume = a.monthly_volume
    return "a volume that is not stated" if volume is None else f"{volume:,.0f} requests a month"
