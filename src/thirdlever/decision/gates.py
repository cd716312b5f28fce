"""The three gates: try prompting and retrieval first, have a stable task and enough examples, and pay back in time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from thirdlever.core.text import UNKNOWN, counted, listed, months, percent, points, usd
from thirdlever.core.validation import FileModel, read_toml
from thirdlever.decision.evidence import POINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.analysis.compare import Comparison
    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Evidence, Kind, Standing
    from thirdlever.decision.payback import Payback

Verdict: TypeAlias = Literal["GO", "NO-GO", "NEED-MORE-DATA"]
RANK: dict[Verdict, int] = {"GO": 0, "NEED-MORE-DATA": 1, "NO-GO": 2}

_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)
_STRATEGIES = {"prompting": "few_shot", "retrieval": "rag", "tuning": "lora or managed"}
_BROKEN = "training or decoding is broken"
_KINDS: Mapping[str, Kind] = {"prompting": "prompt", "retrieval": "retrieval"}


class Outcome(NamedTuple):
    """Verdict of a gate, its reason (a clause), and what would change it (a sentence)."""

    verdict: Verdict
    reason: str
    change: str


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One gate and its outcome, in sentences for a product manager.

    Attributes:
        verdict: GO passes the gate.
        reason: a clause that follows "because".
        evidence: what is known.
        threshold: what the evidence is compared with.
        change: what would change the verdict.
    """

    name: str
    question: str
    verdict: Verdict
    reason: str
    evidence: str
    threshold: str
    change: str


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


def worst(gates: Sequence[Gate]) -> Verdict:
    """GO only if all are GO; NO-GO outweighs NEED-MORE-DATA."""
    return max((gate.verdict for gate in gates), key=RANK.__getitem__)


def prompt_and_retrieval(e: Evidence, a: Assumptions) -> Gate:
    """Gate 1: prompting and retrieval were tried and miss the target."""
    verdict, reason, change = _untuned(e, a)
    return Gate(
        name="Prompt and retrieval first",
        question="Were prompting and retrieval tried, and do they miss the target?",
        verdict=verdict,
        reason=reason,
        evidence=_tried(e),
        threshold=_target(e, a),
        change=change,
    )


def stable_and_labelled(e: Evidence, a: Assumptions, tuned: Standing | None) -> Gate:
    """Gate 2: the task is narrow and stable, and there are enough labelled examples."""
    base = next((one for one in (tuned, *e.of("tuned", "retrieval", "prompt")) if one and one.base), None)
    found = examples_for(base.base if base else None, hosted=base.hosted if base else False)
    least, most = rules().labelled_examples
    size = " (the base's size is unknown)" if len(found) > 1 else ""
    verdict, reason, change = _examples(e.labelled, least, found[0])
    if a.stable is False:
        verdict, reason = "NO-GO", "the task is not stable and narrow, so a tuned model would soon be out of date"
        change = "A narrower task whose answers stay correct for months."
    elif a.stable is None and verdict == "GO":
        verdict, reason = "NEED-MORE-DATA", "it is not stated whether the task is narrow and stable"
        change = "State it: --assume stable=yes (or no)."
    known = "The number of labelled examples is unknown."
    if e.labelled is not None:
        known = f"{counted(e.labelled, 'labelled example')} available."
    stable = {True: "stated to be stable and narrow", False: "stated not to be stable and narrow"}
    parts = [
        known,
        f"Answers come from {counted(e.answers, 'label')}." if e.answers else "",
        f"{tuned.name} was tuned on {tuned.examples:,} of them." if tuned and tuned.examples else "",
        "Whether the task is stable is not stated." if a.stable is None else f"The task is {stable[a.stable]}.",
    ]
    return Gate(
        name="Stable task, enough examples",
        question="Is the task narrow and stable, and are there enough labelled examples?",
        verdict=verdict,
        reason=reason,
        evidence=" ".join(filter(None, parts)),
        threshold=f"{least:,} to {most:,} labelled examples. By size of the base{size}: {'; '.join(map(str, found))}.",
        change=change,
    )


def pays_back(e: Evidence, a: Assumptions, tuned: Standing | None, payback: Payback | None) -> Gate:
    """Gate 3: a tuned candidate is significantly better, meets the target, and pays back before the next release."""
    window = payback.wanted_months if payback else min(a.payback_months or a.horizon_months, a.horizon_months)
    volume = (
        "an unknown volume" if a.monthly_volume is None else f"{counted(round(a.monthly_volume), 'request')} a month"
    )
    blocked = _no_tune() if tuned is None else _no_gain(e, a, tuned)
    verdict, reason, change = blocked or _money(a, payback)
    return Gate(
        name="Pays back in time",
        question="Is a tuned candidate significantly better, and does it pay back before the next base release?",
        verdict=verdict,
        reason=reason,
        evidence=" ".join(filter(None, [_gain(e, tuned), _paid(tuned, payback)])) or "No tuned candidate was measured.",
        threshold=(
            f"Better than the best candidate without tuning (5 % risk of error over all tuned candidates), "
            f"{'on target' if a.target_accuracy is not None else 'no target stated'}, "
            f"and paid back within {months(window)} at {volume}."
        ),
        change=change,
    )


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


def _range(ends: list[int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"


def _untuned(e: Evidence, a: Assumptions) -> Outcome:
    target = a.target_accuracy
    if target is not None and (meets := [one for one in e.untuned if one.against(target) == "meets"]):
        reason = f"{meets[0].name} meets the target of {percent(target)} without tuning"
        return Outcome("NO-GO", reason, f"A target above {percent(meets[0].low or meets[0].accuracy)}.")
    if missing := [lever for lever, kind in _KINDS.items() if not e.of(kind)]:
        return _not_tried(e, missing)
    if target is None:
        return _without_target(e, a)
    if one := next((one for one in e.untuned if one.against(target) == "open"), None):
        reason = f"{counted(one.n, 'item')} are too few to tell whether {one.name} reaches {percent(target)}"
        return Outcome("NEED-MORE-DATA", reason, _more_items(one.needed(target, a.margin), one.n))
    reason = f"nothing without tuning reaches {percent(target)}"
    return Outcome("GO", reason, f"A prompt or retrieval candidate that reaches {percent(target)}.")


def _not_tried(e: Evidence, missing: Sequence[str]) -> Outcome:
    """A lever whose candidates are not measured was not tried, whatever they cost."""
    lost = [one for lever in missing for one in e.unmeasured(_KINDS[lever])]
    never = [lever for lever in missing if not e.unmeasured(_KINDS[lever])]
    reason = f"{listed(missing)} {'was' if len(missing) == 1 else 'were'} not tried"
    changes = [f"Measure {_to_measure(never)} on the same items."] if never else []
    if e.given:
        changes = [f"Try {listed(missing)} on the labelled examples, and give the figures."]
    if lost:
        reason += f" ({listed([one.name for one in lost])} not measured)"
        changes += [f"Measure {one.name} again; it is {one.not_measured}." for one in lost]
    return Outcome("NEED-MORE-DATA", reason, " ".join(changes))


def _without_target(e: Evidence, a: Assumptions) -> Outcome:
    """Without a stated target, prompting falls short if a tuned candidate is significantly better."""
    tuned, state = [*e.of("tuned"), *e.unmeasured("tuned")], "State a target: --assume target_accuracy=0.92 (yours)."
    best = e.best_untuned
    if not tuned or best is None:
        reason = "no target is stated, and no tuned candidate shows that more is possible"
        return Outcome("NEED-MORE-DATA", reason, state)
    blocked = [found for one in tuned if (found := _no_gain(e, a, one))]
    if len(blocked) < len(tuned):
        reason = f"no target is stated, and a tuned candidate beats {best.name}, the best without tuning"
        return Outcome("GO", reason, state)
    verdict, _, change = min(blocked, key=lambda found: RANK[found.verdict])
    beats = "no tuned candidate beats" if verdict == "NO-GO" else "it is open whether a tuned candidate beats"
    either = f"{state} Or: {change[0].lower()}{change[1:]}"
    return Outcome(verdict, f"no target is stated, and {beats} {best.name}", either)


def _tried(e: Evidence) -> str:
    found = [str(one) for one in e.untuned]
    lines = [f"Tried without tuning: {'; '.join(found)}." if found else "Nothing without tuning was measured."]
    lost = e.unmeasured("no model", "prompt", "retrieval")
    return " ".join([*lines, *(f"{one.name} does not count as tried; it is {one.not_measured}." for one in lost)])


def _target(e: Evidence, a: Assumptions) -> str:
    if a.target_accuracy is None:
        return "No target is stated: the target is to be significantly better than the best candidate without tuning."
    target = f"The target of {percent(a.target_accuracy)}"
    if e.given:
        return f"{target}, on the given figures."
    return f"{target}: met if the whole 95 % interval is above it, missed if it is below."


def _examples(labelled: int | None, least: int, rule: ExampleRule) -> Outcome:
    if labelled is None:
        return Outcome("NEED-MORE-DATA", "the number of labelled examples is unknown", "Count the labelled examples.")
    least = max(least, rule.minimum[0])
    if labelled < least:
        change = f"{counted(least - labelled, 'more labelled example')}: {rule.quality}."
        return Outcome("NEED-MORE-DATA", f"{counted(labelled, 'labelled example')} are too few", change)
    few = labelled < max(least, rule.recommended[0])
    reason = "there are enough labelled examples" + (", though fewer than recommended" if few else "")
    return Outcome("GO", reason, f"Fewer than {least:,} good examples, or a task that changes.")


def _no_tune() -> Outcome:
    change = f"Measure {_to_measure(['tuning'])} on the same items."
    return Outcome("NEED-MORE-DATA", "no tuned candidate was measured", change)


def _broken_tune(tuned: Standing) -> Outcome | None:
    """A tune that is not measured, or is never right, is no evidence against tuning; None for any other."""
    if tuned.not_measured:
        lost = {status: number for status, number in tuned.statuses.items() if status != "answered"}
        most = max(lost, key=lost.__getitem__, default="failed")
        cause = f": {_BROKEN}" if most in {"unparsed", "cut_off"} else ""
        change = f"Fix the cause, then measure {tuned.name} again; it is {tuned.not_measured}."
        return Outcome("NEED-MORE-DATA", f"{tuned.name} is not measured{cause}", change)
    if tuned.accuracy == 0 and tuned.requests:
        change = f"Read its answers (`thirdlever report`), fix the cause, then measure {tuned.name} again."
        return Outcome("NEED-MORE-DATA", f"{tuned.name} is right on no item: {_BROKEN}", change)
    return None


def _no_gain(e: Evidence, a: Assumptions, tuned: Standing) -> Outcome | None:
    """Why a tuned candidate's gain is not established; None if it is."""
    if broken := _broken_tune(tuned):
        return broken
    best = e.best_untuned
    if best is None:
        change = f"Measure {_to_measure(['prompting'])} on the same items."
        return Outcome("NEED-MORE-DATA", "there is no candidate without tuning to compare with", change)
    compared = e.comparisons.get(tuned.name)
    return _refuted(tuned, best, compared, a) or _undecided(tuned, best, compared, a)


def _refuted(tuned: Standing, best: Standing, compared: Comparison | None, a: Assumptions) -> Outcome | None:
    """NO-GO: the tuned candidate is not better, or misses the target."""
    used = f" than the {tuned.examples:,} that {tuned.name} was tuned on" if tuned.examples else ""
    change = f"A tuned candidate that beats {best.name}: more or better examples{used}, or another base."
    difference = _difference(tuned, best, compared)
    below_margin = compared is None or compared.high < a.margin
    reason = ""
    if difference <= 0 and below_margin:
        how = f"{points(difference)} worse than" if difference else "no better than"
        reason = f"{tuned.name} is {how} {best.name}, which needs no tuning"
    elif compared and below_margin:
        reason = f"{tuned.name} gains less than {points(a.margin)} over {best.name}"
    elif a.target_accuracy is not None and tuned.against(a.target_accuracy) == "misses":
        reason = f"{tuned.name} misses the target of {percent(a.target_accuracy)} as well"
    return Outcome("NO-GO", reason, change) if reason else None


def _undecided(tuned: Standing, best: Standing, compared: Comparison | None, a: Assumptions) -> Outcome | None:
    """NEED-MORE-DATA: more items would decide."""
    if compared and not compared.significant():
        gap = max(abs(compared.difference), a.margin) or POINT
        n, had = max(_needed(compared, gap), compared.n + 1), compared.n
        reason = f"the difference between {tuned.name} and {best.name} is not significant"
    elif a.target_accuracy is not None and tuned.against(a.target_accuracy) == "open":
        n, had = tuned.needed(a.target_accuracy, a.margin), tuned.n
        reason = f"{counted(had, 'item')} are too few to tell whether {tuned.name} reaches {percent(a.target_accuracy)}"
    else:
        return None
    return Outcome("NEED-MORE-DATA", reason, _more_items(n, had))


def _money(a: Assumptions, payback: Payback | None) -> Outcome:
    """Whether a tuned candidate pays back in time, including the interval."""
    if payback is None or payback.months is None:
        if a.monthly_volume is None:
            change = "State the requests a month: --assume monthly_volume=N."
            return Outcome("NEED-MORE-DATA", "the volume is unknown", change)
        change = _sentence(payback.condition if payback else "") or "Prices and set-up costs: prices.toml, --assume."
        return Outcome("NEED-MORE-DATA", "a cost or a saving of the tuned candidate is unknown", change)
    window = payback.wanted_months
    takes, limit = months(payback.months), months(window)
    if payback.months == math.inf:
        reason = (
            f"{payback.candidate} never pays back: it gains no more than it costs, compared with {payback.reference}"
        )
        return Outcome("NO-GO", reason, _sentence(payback.condition))
    earliest = payback.months if payback.months_low is None else payback.months_low
    latest = payback.months if payback.months_high is None else payback.months_high
    if earliest <= window < latest:
        otherwise = "never come" if latest == math.inf else f"take {months(latest)}"
        reason = f"the payback of {takes} may also {otherwise}"
        return Outcome("NEED-MORE-DATA", reason, "More test items: the cost of a request is measured on them.")
    if payback.months > window:
        takes = takes if takes != limit else f"a little over {limit}"
        reason = f"it takes {takes} to pay back, and {limit} is the limit"
        return Outcome("NO-GO", reason, _sentence(payback.condition))
    return Outcome("GO", f"it pays back in {takes}", f"A payback beyond {limit}.")


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
    power = f"this many items detect a difference of {points(compared.mde)} with 80 % power"
    if math.isnan(compared.mde):
        power = "too few items to detect any difference with 80 % power"
    return (
        f"{better} (95 % interval {low} to {high} points, "
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


def _more_items(needed: int, had: int) -> str:
    return f"About {counted(needed, 'test item')} instead of {had:,} would settle it."


def _difference(tuned: Standing, best: Standing, compared: Comparison | None) -> float:
    return compared.difference if compared else (tuned.accuracy or 0.0) - (best.accuracy or 0.0)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


@lru_cache(maxsize=64)
def _needed(compared: Comparison, difference: float) -> int:
    """Cached: the sensitivity asks for the same figure many times."""
    return compared.needed(difference)
