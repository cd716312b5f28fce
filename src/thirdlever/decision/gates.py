"""The three gates and the six questions before a fine-tune.

The gates: try prompting and retrieval first, have a stable task and enough examples, and pay back in time. Each of the
six questions, in order, is answered by a measurement or an assumption, or is unknown.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from thirdlever.analysis.stats.power import ALPHA
from thirdlever.core.text import UNKNOWN, counted, duration, listed, months, percent, points, usd
from thirdlever.core.validation import FileModel, read_toml
from thirdlever.decision.evidence import POINT, ROUNDING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.analysis.compare import Comparison
    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Evidence, Kind, Standing
    from thirdlever.decision.payback import Payback


Outcome: TypeAlias = Literal["passed", "open", "failed"]
RANK: Mapping[Outcome, int] = {"passed": 0, "open": 1, "failed": 2}

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)
_STRATEGIES = {"prompting": "few_shot", "retrieval": "rag", "tuning": "lora or managed"}
_BROKEN = "training or decoding is broken"
_KINDS: Mapping[str, Kind] = {"prompting": "prompt", "retrieval": "retrieval"}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What must hold for a verdict, and is not known yet.

    Attributes:
        code: for programs: "error_cost", "bill", "speed" or "maintainer".
        text: a clause that follows "if".
        value: the threshold: USD an error for "error_cost", at least; USD a month for "bill", at most, and for "speed".
    """

    code: str
    text: str
    value: float | None = None


class Finding(NamedTuple):
    """Outcome of a gate, its code, its reason (a clause), what would change it (a sentence), and what it depends on."""

    outcome: Outcome
    code: str
    reason: str
    change: str
    condition: Condition | None = None
    items: int = 0


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate and its outcome, in sentences for a product manager.

    Attributes:
        outcome: passed, failed, or open until more is known.
        code: the reason, for programs.
        reason: a clause that follows "because".
        evidence: what is known.
        threshold: what the evidence is compared with.
        change: what would change the outcome.
        condition: what it passes on, if anything.
        items: test items that would probably decide it, if that is what would change it; else 0.
    """

    name: str
    question: str
    outcome: Outcome
    code: str
    reason: str
    evidence: str
    threshold: str
    change: str
    condition: Condition | None = None
    items: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleRule(FileModel):
    """Rule of thumb for labelled examples: two ranges, for bases above so many billions of parameters."""

    name: str
    minimum: list[int]
    recommended: list[int]
    quality: str
    above: float = 0.0

    def __str__(self) -> str:
        """The rule as a phrase."""
        minimum, recommended = _range(self.minimum), _range(self.recommended)
        return f"{self.name}: at least {minimum}, recommended {recommended}, {self.quality}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules(FileModel):
    """The rules of thumb in gates.toml."""

    source: str
    labelled_examples: list[int]
    monthly_requests: int
    release_months: list[int]
    size: list[ExampleRule]
    managed: ExampleRule
    parameters: Mapping[str, float]


@cache
def rules() -> Rules:
    """The rules of thumb."""
    return read_toml(Path(__file__).with_name("gates.toml"), Rules)


def worst(gates: Sequence[Gate]) -> Outcome:
    """Passed only if all are; failed outweighs open."""
    return max((gate.outcome for gate in gates), key=RANK.__getitem__)


def prompt_and_retrieval(e: Evidence, a: Assumptions) -> Gate:
    """Gate 1: prompting and retrieval were tried and miss the target."""
    return _gate(
        _no_verdict(e) or _untuned(e, a),
        name="Prompt and retrieval first",
        question="Were prompting and retrieval tried, and do they miss the target?",
        evidence=_tried(e),
        threshold=_target(e, a),
    )


def stable_and_labelled(e: Evidence, a: Assumptions, tuned: Standing | None) -> Gate:
    """Gate 2: the task is narrow and stable, and there are enough labelled examples for the base."""
    found = _rules_for(e, tuned)
    labels = _examples(e.labelled, found[0])
    if a.stable is False:
        labels = Finding(
            "failed",
            "not_stable",
            "the task is not stable and narrow, so a tuned model would soon be out of date",
            "A narrower task whose answers stay correct for months.",
        )
    elif a.stable is None and labels.outcome == "passed":
        labels = Finding(
            "open",
            "stability_unknown",
            "it is not stated whether the task is narrow and stable",
            "State whether the task is narrow and stable (--assume stable=yes or no).",
        )
    size = " (the base's size is unknown)" if len(found) > 1 else ""
    return _gate(
        labels,
        name="Stable task, enough examples",
        question="Is the task narrow and stable, and are there enough labelled examples?",
        evidence=_labels(e, a, tuned),
        threshold=f"By size of the base{size}: {'; '.join(map(str, found))}.",
    )


def pays_back(e: Evidence, a: Assumptions, tuned: Standing | None, payback: Payback | None) -> Gate:
    """Gate 3: a tuned candidate is better beyond chance, meets the target, and pays back before the next release."""
    window = payback.wanted_months if payback else min(a.payback_months or a.horizon_months, a.horizon_months)
    volume = (
        "an unknown volume" if a.monthly_volume is None else f"{counted(round(a.monthly_volume), 'request')} a month"
    )
    blocked = _no_tune() if tuned is None else _no_gain(e, a, tuned)
    return _gate(
        blocked or _money(e, a, payback),
        name="Pays back in time",
        question="Is a tuned candidate better beyond chance, and does it pay back before the next base release?",
        evidence=_tune(e, tuned, payback),
        threshold=(
            f"Better than the best candidate without tuning ({_risk(e)}), "
            f"{'on target' if a.target_accuracy is not None else 'no target stated'}, "
            f"and paid back within {months(window)} at {volume}."
        ),
    )


def for_cost(e: Evidence, a: Assumptions, tuned: Standing | None, payback: Payback | None) -> Gate:
    """The case for a tune that is not better: as accurate within the margin, cheaper, and paid back in time.

    Each of the tuned candidates is tested at the risk of error divided by their number, so that for at most 5 % of runs
    in which all are worse by the margin one passes.
    """
    best, window = e.best_untuned, payback.wanted_months if payback else a.horizon_months
    return _gate(
        _no_tune() if tuned is None else _saves(e, a, tuned, payback),
        name="Cheaper and as good",
        question="Is a tuned candidate as accurate within the margin, cheaper, and paid back in time?",
        evidence=_tune(e, tuned, payback),
        threshold=(
            f"Less than {points(a.margin)} worse than {best.name if best else 'the best without tuning'} "
            f"({_risk(e)}), and paid back within {months(window)}."
        ),
    )


def _risk(e: Evidence) -> str:
    """The risk of error of the tests, for a product manager."""
    looks = "" if len(e.looks) <= 1 else f" and all {len(e.looks)} looks at the results"
    whole = f"at most a 5 % chance of an error over all tuned candidates{looks}"
    return whole if math.isclose(e.alpha, ALPHA) else f"{whole}: {100 * e.alpha:.3g} % at this look"


def _gate(found: Finding, *, name: str, question: str, evidence: str, threshold: str) -> Gate:
    return Gate(name=name, question=question, evidence=evidence, threshold=threshold, **found._asdict())


# Labelled examples


def examples_for(base: str | None, *, hosted: bool) -> list[ExampleRule]:
    """The rule for a managed service or for the size of the base; the rules for all sizes if it is unknown."""
    if hosted:
        return [rules().managed]
    size = parameters(base)
    if size is None:
        return rules().size
    return [max((row for row in rules().size if size > row.above), key=lambda row: row.above)]


def parameters(base: str | None) -> float | None:
    """A model's size in billions of parameters, from its name; None if the name does not state it.

    >>> parameters("hf/Qwen2.5-7B-Instruct"), parameters("openai/gpt-4o-mini")
    (7.0, None)
    """
    if base is None:
        return None
    if base in rules().parameters:
        return rules().parameters[base]
    found = _SIZE.search(base.replace("_", "-"))
    return float(found[1]) / (1000 if found[2].lower() == "m" else 1) if found else None


def starved(e: Evidence, tuned: Standing) -> bool:
    """Whether a tune used so few labelled examples that its result says little about tuning.

    It used fewer than its base needs, or half of those at hand and fewer than recommended.
    """
    if tuned.examples is None or e.labelled is None:
        return False
    if tuned.examples < required_examples(e, tuned):
        return True
    return 2 * tuned.examples <= e.labelled and tuned.examples < _rules_for(e, tuned)[0].recommended[0]


def required_examples(e: Evidence, tuned: Standing | None) -> int:
    """Labelled examples to have at least: the upper end of the base's minimum, or the smallest base's if unknown."""
    return _rules_for(e, tuned)[0].minimum[1]


def _rules_for(e: Evidence, tuned: Standing | None) -> list[ExampleRule]:
    base = next((one for one in (tuned, *e.of("tuned", "retrieval", "prompt", "model")) if one and one.base), None)
    return examples_for(base.base if base else None, hosted=base.hosted if base else False)


def _range(ends: list[int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"


def _examples(labelled: int | None, rule: ExampleRule) -> Finding:
    least = rule.minimum[1]
    if labelled is None:
        return Finding(
            "open", "labels_unknown", "the number of labelled examples is unknown", "Count the labelled examples."
        )
    if labelled < least:
        change = f"Label {counted(least - labelled, 'more example')}: {rule.quality}."
        reason = f"{counted(labelled, 'labelled example')} are too few: invest in data first"
        return Finding("open", "too_few_labels", reason, change)
    few = ", though fewer than recommended" if labelled < rule.recommended[0] else ""
    reason = f"there are enough labelled examples{few}"
    return Finding("passed", "enough_labels", reason, f"Fewer than {least:,} good examples, or a task that changes.")


def _labels(e: Evidence, a: Assumptions, tuned: Standing | None) -> str:
    """How many labels there are, and how many the tune and the others used."""
    known = "The number of labelled examples is unknown."
    if e.labelled is not None:
        known = f"{counted(e.labelled, 'labelled example')} available."
    others = [one for one in e.untuned if one.labels]
    most = max(others, key=lambda one: one.labels or 0, default=None)
    stable = {True: "stated to be stable and narrow", False: "stated not to be stable and narrow"}
    parts = [
        known,
        f"Answers come from {counted(e.answers, 'label')}." if e.answers else "",
        f"{tuned.name} was tuned on {tuned.examples:,} of them." if tuned and tuned.examples else "",
        f"{most.name} used {most.labels:,}." if most and tuned and tuned.examples else "",
        "Whether the task is stable is not stated." if a.stable is None else f"The task is {stable[a.stable]}.",
    ]
    return " ".join(filter(None, parts))


# Without tuning


def _no_verdict(e: Evidence) -> Finding | None:
    """Why no accuracy counts: the grader is not calibrated."""
    if e.no_verdict is None:
        return None
    reason, _, remedy = e.no_verdict.partition("; ")
    return Finding("open", "grader_not_calibrated", reason, _sentence(remedy))


def _untuned(e: Evidence, a: Assumptions) -> Finding:
    target = a.target_accuracy
    right = [one for one in e.untuned if target is not None and one.against(target) == "meets"]
    if meets := [one for one in right if one.speed(a.target_p95_s) == "meets"]:
        reason = f"{meets[0].name} meets the target of {percent(target)} without tuning"
        change = f"A target above {percent(meets[0].low or meets[0].accuracy)}."
        return Finding("failed", "target_met_without_tuning", reason, change)
    demanded = [lever for lever in _KINDS if lever != "retrieval" or a.changing_knowledge is not False]
    if missing := [lever for lever in demanded if not e.of(_KINDS[lever])]:
        return _not_tried(e, missing)
    if target is None:
        return _without_target(e, a)
    if one := next((one for one in right if one.speed(a.target_p95_s) != "misses"), None):
        return _untimed(one, a)
    if one := next((one for one in e.untuned if one.against(target) == "open"), None):
        reason = f"{counted(one.n, 'item')} are too few to tell whether {one.name} reaches {percent(target)}"
        needed = one.needed(target, a.margin)
        return Finding("open", "target_open", reason, _more_items(needed, one.n, e, a), items=needed)
    goal = percent(target) + ("" if a.target_p95_s is None else f" with a p95 within {duration(a.target_p95_s)}")
    reason = f"nothing without tuning reaches {goal}"
    return Finding("passed", "target_missed", reason, f"A prompt or retrieval candidate that reaches {goal}.")


def _untimed(one: Standing, a: Assumptions) -> Finding:
    """It is not known whether a candidate is fast enough."""
    limit = duration(a.target_p95_s)
    change = "Time more of its requests (--probe 60, or more)."
    if one.p95_s is None:
        return Finding("open", "latency_unknown", f"the latency of {one.name} is unknown, and {limit} is asked", change)
    reason = f"it is open whether {one.name} answers 95 % of its requests within {limit}"
    return Finding("open", "latency_open", reason, change)


def _not_tried(e: Evidence, missing: Sequence[str]) -> Finding:
    """A lever whose candidates are not measured was not tried, whatever they cost."""
    lost = [one for lever in missing for one in e.unmeasured(_KINDS[lever])]
    never = [lever for lever in missing if not e.unmeasured(_KINDS[lever])]
    reason = f"{listed(missing)} {'was' if len(missing) == 1 else 'were'} not tried"
    changes = [f"Measure {_to_measure(never)} on the same items."] if never else []
    if e.given:
        changes = [f"Try {listed(missing)} on the labelled examples, and give the figures."]
    if "retrieval" in missing:
        changes.append("Or state that no changing facts are needed (--assume changing_knowledge=no).")
    if lost:
        reason += f" ({listed([one.name for one in lost])} not measured)"
        again = "it" if len(lost) == 1 else "them"
        names = listed([one.name for one in lost])
        changes.append(f"Mend what kept {names} from being measured (see the notes), and measure {again} again.")
    return Finding("open", "lever_not_tried", reason, " ".join(changes))


def _without_target(e: Evidence, a: Assumptions) -> Finding:
    """Without a stated target, prompting falls short if a tuned candidate is better beyond chance."""
    tuned, state = [*e.of("tuned"), *e.unmeasured("tuned")], "State a target (--assume target_accuracy=0.92, or yours)."
    best = e.best_untuned
    if not tuned or best is None:
        reason = "no target is stated, and no tuned candidate shows that more is possible"
        return Finding("open", "no_target", reason, state)
    blocked = [found for one in tuned if (found := _no_gain(e, a, one))]
    if len(blocked) < len(tuned):
        reason = f"no target is stated, and a tuned candidate beats {best.name}, the best without tuning"
        return Finding("passed", "tune_is_better", reason, state)
    nearest = min(blocked, key=lambda found: RANK[found.outcome])
    beats = "no tuned candidate beats" if nearest.outcome == "failed" else "it is open whether a tuned candidate beats"
    either = f"{state} Or: {nearest.change[0].lower()}{nearest.change[1:]}"
    return Finding(nearest.outcome, nearest.code, f"no target is stated, and {beats} {best.name}", either)


def _tried(e: Evidence) -> str:
    found = [str(one) for one in e.untuned]
    lines = [f"Tried without tuning: {'; '.join(found)}." if found else "Nothing without tuning was measured."]
    lost = e.unmeasured("no model", "prompt", "retrieval", "model")
    return " ".join([*lines, *(f"{one.name} does not count as tried; it is {one.not_measured}." for one in lost)])


def _target(e: Evidence, a: Assumptions) -> str:
    if a.target_accuracy is None:
        return "No target is stated: the target is to be better than the best candidate without tuning, beyond chance."
    target = f"The target of {percent(a.target_accuracy)}"
    if e.given:
        return f"{target}, on the given figures."
    return f"{target}: met if the whole 95 % interval is above it, missed if it is below."


# The tune


def _no_tune() -> Finding:
    change = f"Measure {_to_measure(['tuning'])} on the same items."
    return Finding("open", "no_tune", "no tuned candidate was measured", change)


def _broken_tune(tuned: Standing) -> Finding | None:
    """A tune that is not measured, or is never right, is no evidence against tuning; None for any other."""
    if tuned.not_measured:
        lost = {status: number for status, number in tuned.statuses.items() if status != "answered"}
        most = max(lost, key=lost.__getitem__, default="failed")
        cause = f": {_BROKEN}" if most in {"unparsed", "cut_off"} else ""
        change = f"Fix the cause, then measure {tuned.name} again; it is {tuned.not_measured}."
        return Finding("open", "tune_not_measured", f"{tuned.name} is not measured{cause}", change)
    if tuned.accuracy == 0 and (tuned.requests or not tuned.n):
        change = f"Read its answers (`thirdlever report`), fix the cause, then measure {tuned.name} again."
        return Finding("open", "tune_broken", f"{tuned.name} is right on no item: {_BROKEN}", change)
    return None


def _no_gain(e: Evidence, a: Assumptions, tuned: Standing) -> Finding | None:
    """Why a tuned candidate's gain is not established; None if it is."""
    if broken := _broken_tune(tuned):
        return broken
    best = e.best_untuned
    if best is None:
        change = f"Measure {_to_measure(['prompting'])} on the same items."
        return Finding("open", "no_reference", "there is no candidate without tuning to compare with", change)
    if tuned.accuracy is None:
        change = f"Try {tuned.name} on a part of the labelled examples, and give its accuracy."
        return Finding("open", "accuracy_unknown", f"the accuracy of {tuned.name} is unknown", change)
    compared = e.comparisons.get(tuned.name)
    return _refuted(e, tuned, best, compared, a) or _too_slow(tuned, a) or _undecided(e, tuned, best, compared, a)


def _too_slow(tuned: Standing, a: Assumptions) -> Finding | None:
    """Why a tuned candidate is not known to be fast enough; None if it is, or if no time is asked."""
    speed = tuned.speed(a.target_p95_s)
    if speed == "meets":
        return None
    if speed != "misses":
        return _untimed(tuned, a)
    reason = f"{tuned.name} is too slow: its p95 is {duration(tuned.p95_s)}, and {duration(a.target_p95_s)} is asked"
    return Finding("failed", "too_slow", reason, "A smaller base, a shorter prompt, or a faster machine.")


def _refuted(
    e: Evidence, tuned: Standing, best: Standing, compared: Comparison | None, a: Assumptions
) -> Finding | None:
    """Failed: the tuned candidate is not better, or misses the target; open if it was starved of examples."""
    used = f" than the {tuned.examples:,} that {tuned.name} was tuned on" if tuned.examples else ""
    change = f"A tuned candidate that beats {best.name}: more or better examples{used}, or another base."
    difference = _difference(tuned, best, compared)
    below_margin = compared is None or compared.high < a.margin
    code, reason = "not_better", ""
    if difference <= ROUNDING and below_margin:
        how = f"{points(difference)} worse than" if difference < -ROUNDING else "no better than"
        reason = f"{tuned.name} is {how} {best.name}, which needs no tuning"
    elif compared and below_margin:
        reason = f"{tuned.name} gains less than {points(a.margin)} over {best.name}"
    elif a.target_accuracy is not None and tuned.against(a.target_accuracy) == "misses":
        code, reason = (
            "target_missed_by_tune",
            f"{tuned.name} misses the target of {percent(a.target_accuracy)} as well",
        )
    if not reason:
        return None
    if starved(e, tuned):
        few = f"{tuned.name} was tuned on {tuned.examples:,} of {e.labelled:,} labelled examples"
        missing = required_examples(e, tuned) - (e.labelled or 0)
        label = f"Label {counted(missing, 'more example')}, and tune on all."
        change = label if missing > 0 else f"Tune it on the {e.labelled:,} at hand."
        return Finding("open", "starved", f"{few}, too few to judge tuning by", change)
    return Finding("failed", code, reason, change)


def _undecided(
    e: Evidence, tuned: Standing, best: Standing, compared: Comparison | None, a: Assumptions
) -> Finding | None:
    """Open: more items would decide."""
    if compared and not compared.significant(e.alpha):
        n, had = max(_needed(compared, a.margin or POINT), compared.n + 1), compared.n
        code, reason = "may_be_chance", f"the difference between {tuned.name} and {best.name} may be chance"
    elif a.target_accuracy is not None and tuned.against(a.target_accuracy) == "open":
        n, had = tuned.needed(a.target_accuracy, a.margin), tuned.n
        code = "target_open"
        reason = f"{counted(had, 'item')} are too few to tell whether {tuned.name} reaches {percent(a.target_accuracy)}"
    else:
        return None
    return Finding("open", code, reason, _more_items(n, had, e, a), items=n)


def _saves(e: Evidence, a: Assumptions, tuned: Standing, payback: Payback | None) -> Finding:
    """Whether a tune is as good as the best without tuning, and its saving pays back in time."""
    best = e.best_untuned
    if best is None or tuned.accuracy is None or tuned.not_measured:
        return _no_gain(e, a, tuned) or _no_tune()
    if worse := _worse(e, a, tuned, best) or _too_slow(tuned, a):
        return worse
    if a.target_p95_s is not None and best.speed(a.target_p95_s) == "misses":
        return _faster(a, tuned, best, payback)
    saving = payback.saving_per_request_usd if payback else None
    if payback is None or saving is None:
        change = "State the prices and set-up costs (prices.toml, --assume, or the file of figures)."
        return Finding("open", "cost_unknown", f"the saving of {tuned.name} is unknown", change)
    if (saving if payback.saving_low is None else payback.saving_low) <= 0:
        reason = f"{tuned.name} saves nothing per request over {payback.reference}"
        return Finding("failed", "saves_nothing", reason, "A smaller base, or a shorter prompt.")
    return _money(e, a, payback, priced=True)


def _faster(a: Assumptions, tuned: Standing, best: Standing, payback: Payback | None) -> Finding:
    """A tune that is as good, and in time where the best without tuning is not."""
    reason = f"its p95 is {duration(tuned.p95_s)}, and that of {best.name} is {duration(best.p95_s)}"
    saving, extra = (payback.saving_per_request_usd, payback.extra_standing_usd_per_month) if payback else (None, None)
    condition = None
    if saving is not None and extra is not None and a.monthly_volume is not None:
        more = extra - saving * a.monthly_volume
        if more > 0:
            text = f"the time saved is worth {usd(more)} a month"
            condition = Condition(code="speed", text=text, value=more)
    change = f"A candidate without tuning that answers within {duration(a.target_p95_s)}."
    return Finding("passed", "faster", reason, change, condition)


def _worse(e: Evidence, a: Assumptions, tuned: Standing, best: Standing) -> Finding | None:
    """Why a tune is not known to be as good as the best without tuning; None if it is."""
    target = a.target_accuracy
    if target is not None and best.against(target) == "meets" and tuned.against(target) == "misses":
        reason = f"{tuned.name} misses the target of {percent(target)}, which {best.name} meets"
        return Finding("failed", "target_missed_by_tune", reason, f"A tune that reaches {percent(target)}.")
    if e.not_worse(tuned.name, best.name, a.margin, share=len(e.of("tuned"))):
        return None
    reason = f"{tuned.name} may be {points(a.margin)} or more worse than {best.name}"
    needed = e.items_for(tuned.name, best.name, a.margin)
    return Finding("failed", "may_be_worse", reason, _more_items(needed, tuned.n, e, a), items=needed)


def _money(e: Evidence, a: Assumptions, payback: Payback | None, *, priced: bool = False) -> Finding:
    """Whether a tuned candidate pays back in time, including the interval.

    Args:
        e: the evidence.
        a: the assumptions.
        payback: compared with the candidate to use without tuning.
        priced: no price of an error may make up for a cost that does not pay back.
    """
    if payback is None or payback.months is None:
        return _unknown_money(e, a, payback)
    if a.monthly_volume == 0 and payback.months:
        return Finding("failed", "no_requests", "there are no requests to pay it back", "Requests in production.")
    price, limit = payback.error_usd_needed, months(payback.wanted_months)
    if priced or price is None or payback.months <= payback.wanted_months + ROUNDING:
        return _in_time(payback, payback.months)
    each = usd(price)
    reason = f"its cost alone does not pay back within {limit}, but fewer errors do if one costs at least {each}"
    condition = Condition(code="error_cost", text=f"an error costs at least {each}", value=price)
    change = "State what an error costs (--assume error_cost_usd=X)."
    return Finding("passed", "worth_per_error", reason, change, condition)


def _in_time(payback: Payback, after: float) -> Finding:
    """Whether a payback after so many months, its interval included, is within the limit."""
    window = payback.wanted_months
    takes, limit = months(after), months(window)
    earliest = after if payback.months_low is None else payback.months_low
    latest = after if payback.months_high is None else payback.months_high
    if after == math.inf:
        reason = (
            f"{payback.candidate} never pays back: it gains no more than it costs, compared with {payback.reference}"
        )
        return Finding("failed", "never_pays_back", reason, _sentence(payback.condition))
    if earliest <= window + ROUNDING < latest:
        otherwise = "never come" if latest == math.inf else f"take {months(latest)}"
        reason = f"the payback of {takes} may also {otherwise}"
        change = "More test items: the cost of a request is measured on them."
        return Finding("open", "payback_open", reason, change)
    if after > window + ROUNDING:
        takes = takes if takes != limit else f"a little over {limit}"
        reason = f"it takes {takes} to pay back, and {limit} is the limit"
        return Finding("failed", "late_payback", reason, _sentence(payback.condition))
    return Finding("passed", "pays_back", f"it pays back in {takes}", f"A payback beyond {limit}.")


def _unknown_money(e: Evidence, a: Assumptions, payback: Payback | None) -> Finding:
    """A stated tune whose cost is unknown passes on the condition that its bill stays low enough."""
    if a.monthly_volume is None:
        change = "State the requests a month (--assume monthly_volume=N)."
        return Finding("open", "volume_unknown", "the volume is unknown", change)
    most = payback.most_usd_per_request if payback else None
    if payback is None or most is None or not e.given:
        change = (
            _sentence(payback.condition if payback else "")
            or "State the prices and set-up costs (prices.toml, --assume)."
        )
        return Finding("open", "cost_unknown", "a cost or a saving of the tuned candidate is unknown", change)
    limit = months(payback.wanted_months)
    if most < 0:
        reason = f"{payback.candidate} cannot pay back within {limit}, whatever a request costs"
        return Finding("failed", "never_pays_back", reason, _sentence(payback.condition))
    bill = f"its bill is at most {usd(most * a.monthly_volume)} a month"
    condition = Condition(code="bill", text=bill, value=most * a.monthly_volume)
    reason = f"it pays back within {limit} if {bill}"
    return Finding("passed", "worth_under_bill", reason, _sentence(payback.condition), condition)


def _tune(e: Evidence, tuned: Standing | None, payback: Payback | None) -> str:
    """How a tuned candidate did, and when it pays back."""
    return " ".join(filter(None, [_gain(e, tuned), _paid(tuned, payback)])) or "No tuned candidate was measured."


def _gain(e: Evidence, tuned: Standing | None) -> str:
    if tuned is None:
        return ""
    compared, best = e.comparisons.get(tuned.name), e.best_untuned
    if tuned.not_measured:
        return f"{tuned.name} is {tuned.not_measured}."
    if best is None or tuned.accuracy is None:
        return f"{tuned}."
    difference = _difference(tuned, best, compared)
    better = f"{tuned}: {points(difference)} {'better' if difference >= 0 else 'worse'} than {best.name}"
    if compared is None:
        return f"{better}, on given figures, without a test."
    low, high = f"{100 * compared.low:+.1f}", f"{100 * compared.high:+.1f}"
    p = "p below 0.0001" if compared.p_adjusted < 1e-4 else f"p = {compared.p_adjusted:.2g}"  # noqa: PLR2004
    chance = "unlikely to be chance" if compared.significant(e.alpha) else "may be chance"
    power = f"this many items would probably show, 4 times in 5, a difference of {points(compared.mde)}"
    if math.isnan(compared.mde):
        power = "too few items to show any difference 4 times in 5"
    return (
        f"{better} (plausible range {low} to {high} points; {chance}: "
        f"{p} after adjusting for {counted(len(e.comparisons), 'tuned candidate')}; {power})."
    )


def _paid(tuned: Standing | None, payback: Payback | None) -> str:
    if tuned is None or payback is None:
        return ""
    saving, avoided = payback.saving_per_request_usd, payback.avoided_errors_usd_per_request
    parts = []
    if saving is not None and not math.isnan(saving):
        side = "saved" if saving >= 0 else "more"
        parts.append(f"{usd(1000 * abs(saving))} {side} per 1,000 requests compared with {payback.reference}")
    if avoided:
        side = "avoided" if avoided > 0 else "added"
        parts.append(f"errors {side} worth {usd(1000 * abs(avoided))} per 1,000 requests")
    low, high = (months(end) for end in (payback.months_low, payback.months_high))
    span = "" if UNKNOWN in {low, high} or low == high else f" ({low} to {high})"
    parts.append(f"payback: {months(payback.months)}{span}")
    return _sentence("; ".join(parts))


def _to_measure(levers: Sequence[str]) -> str:
    return " and ".join(f"a candidate for {lever} (--strategy {_STRATEGIES[lever]})" for lever in levers)


def _more_items(needed: int, had: int, e: Evidence, a: Assumptions) -> str:
    at_hand = f"; the suite has {e.test_items:,}" if e.test_items > had else ""
    settled = f"would settle it down to {points(a.margin or POINT)}"
    return f"About {counted(needed, 'test item')} instead of {had:,} {settled}{at_hand}."


def _difference(tuned: Standing, best: Standing, compared: Comparison | None) -> float:
    return compared.difference if compared else (tuned.accuracy or 0.0) - (best.accuracy or 0.0)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


@lru_cache(maxsize=64)
def _needed(compared: Comparison, difference: float) -> int:
    """Cached: the sensitivity asks for the same figure many times."""
    return compared.needed(difference)


# The six questions

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
        _enough_examples(e, second, tuned),
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
        change=f"{_retrieval_to_measure(e)}, or state that no facts change (--assume changing_knowledge=no).",
    )


def _retrieval_to_measure(e: Evidence) -> str:
    if e.documents == 0:
        return "Add documents to the suite (documents.jsonl) and measure retrieval of them"
    return "Measure retrieval of documents (--strategy rag:documents=3)"


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
        change="State behaviour=yes if answers must change in format, tone or by house rules after all."
        if answer == "no"
        else "State whether a change of behaviour is needed (--assume behaviour=yes or no), or measure a tuned "
        "candidate that is significantly better.",
    )


def _enough_examples(e: Evidence, gate: Gate, tuned: Standing | None) -> Question:
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
