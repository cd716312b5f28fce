"""Whether a tuned candidate is worth it: a gain that chance does not explain, and money that comes back in time."""

from __future__ import annotations

import math
import re
import tomllib
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from thirdlever.core.text import UNKNOWN, counted, listed, months, percent, points, usd
from thirdlever.decision.evidence import POINT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.analysis.compare import Comparison
    from thirdlever.decision.assumptions import Assumptions
    from thirdlever.decision.evidence import Evidence, Standing
    from thirdlever.decision.payback import Payback


class Outcome(NamedTuple):
    """What a gate comes to: its verdict, why (a clause), and what would change it (a sentence)."""

    verdict: Verdict
    reason: str
    change: str


def gain(e: Evidence, a: Assumptions, tuned: Standing) -> Outcome | None:
    """Why the gain does not stand; None when it does."""
    best = e.best_untuned
    if best is None:
        change = f"Measure {to_measure(['prompting'])} on the same items."
        return Outcome("NEED-MORE-DATA", "there is nothing untuned to hold it against", change)
    compared = e.comparisons.get(tuned.name)
    return _refuted(tuned, best, compared, a) or _open(tuned, best, compared, a)


def _refuted(tuned: Standing, best: Standing, compared: Comparison | None, a: Assumptions) -> Outcome | None:
    """A NO-GO: the tune does not deliver."""
    used = f" than the {tuned.examples:,} that {tuned.name} was tuned on" if tuned.examples else ""
    more = f"A tuned candidate that beats {best.name}: more or better examples{used}, or another base."
    difference = _difference(tuned, best, compared)
    if difference <= 0 and (compared is None or compared.high < a.margin):
        how = f"{points(difference)} worse than" if difference else "no better than"
        return Outcome("NO-GO", f"{tuned.name} is {how} {best.name}, which needs no tuning", more)
    if compared and compared.high < a.margin:
        return Outcome("NO-GO", f"{tuned.name} gains less than {points(a.margin)} over {best.name}, if anything", more)
    if a.target_accuracy is not None and tuned.against(a.target_accuracy) == "misses":
        return Outcome("NO-GO", f"{tuned.name} misses the target of {percent(a.target_accuracy)} as well", more)
    return None


def _open(tuned: Standing, best: Standing, compared: Comparison | None, a: Assumptions) -> Outcome | None:
    """More items would tell."""
    if compared and not compared.significant():
        gap = max(abs(compared.difference), a.margin) or POINT
        n, had = max(_needed(compared, gap), compared.n + 1), compared.n
        reason = f"chance alone could explain how {tuned.name} differs from {best.name}"
    elif a.target_accuracy is not None and tuned.against(a.target_accuracy) == "open":
        n, had = tuned.needed(a.target_accuracy, a.margin), tuned.n
        reason = f"{tuned.name} may or may not reach {percent(a.target_accuracy)}"
    else:
        return None
    return Outcome("NEED-MORE-DATA", reason, f"About {counted(n, 'test item')} instead of {had:,} would settle it.")


def no_tune(e: Evidence) -> Outcome:
    """There is no tuned candidate that answered."""
    failed = [one.name for one in e.failures if one.kind == "tuned"]
    if failed:
        reason = f"every request to {listed(failed)} failed"
        return Outcome("NEED-MORE-DATA", reason, "Mend the failure (records.parquet says which) and run it again.")
    change = f"Measure {to_measure(['tuning'])} on the same items."
    return Outcome("NEED-MORE-DATA", "no tuned candidate was measured", change)


def money(a: Assumptions, payback: Payback | None) -> Outcome:
    """Whether the money comes back in time, interval included."""
    if payback is None or payback.months is None:
        if a.monthly_volume is None:
            change = "Say how often the task is done: --assume monthly_volume=N."
            return Outcome("NEED-MORE-DATA", "the volume is unknown", change)
        condition = payback.condition if payback else ""
        change = condition or "Prices and set-up costs: prices.toml, --assume."
        return Outcome("NEED-MORE-DATA", "what the tune costs or saves is not known in full", _sentence(change))
    if payback.months == math.inf:
        reason = f"{payback.candidate} never pays back: it brings no more than it costs, against {payback.reference}"
        return Outcome("NO-GO", reason, _sentence(payback.condition))
    window = payback.wanted_months
    earliest = payback.months if payback.months_low is None else payback.months_low
    latest = payback.months if payback.months_high is None else payback.months_high
    if earliest <= window < latest:
        worst_case = "never come" if latest == math.inf else f"take {months(latest)}"
        reason = f"the payback of {months(payback.months)} may just as well {worst_case}"
        return Outcome("NEED-MORE-DATA", reason, "More test items: the cost of a request is measured on them.")
    if payback.months > window:
        takes, limit = months(payback.months), months(window)
        takes = takes if takes != limit else f"a little over {limit}"
        reason = f"it takes {takes} to pay back, and {limit} is the limit"
        return Outcome("NO-GO", reason, _sentence(payback.condition))
    return Outcome("GO", f"it pays back in {months(payback.months)}", f"A payback beyond {months(window)}.")


def gained(e: Evidence, tuned: Standing | None) -> str:
    """What is known of the gain."""
    if tuned is None:
        return ""
    compared, best = e.comparisons.get(tuned.name), e.best_untuned
    if best is None or tuned.accuracy is None:
        return f"{tuned}."
    difference = _difference(tuned, best, compared)
    side = "better" if difference >= 0 else "worse"
    if compared is None:
        return f"{tuned}: {points(difference)} {side} than {best.name}, on given figures, with no test behind it."
    low, high = f"{100 * compared.low:+.1f}", f"{100 * compared.high:+.1f}"
    seen = f"so many items show a difference of {points(compared.mde)} four times in five"
    if math.isnan(compared.mde):
        seen = "so few items show no difference for certain"
    return (
        f"{tuned}: {points(difference)} {side} than {best.name} (95 % interval {low} to {high} points, "
        f"{_p(compared.p_adjusted)} after adjusting for {counted(len(e.comparisons), 'tuned candidate')}; {seen})."
    )


def paid(tuned: Standing | None, payback: Payback | None) -> str:
    """What is known of the money."""
    if tuned is None or payback is None:
        return ""
    saving, avoided = payback.saving_per_request_usd, payback.avoided_errors_usd_per_request
    parts = []
    if saving is not None and not math.isnan(saving):
        side = "saved" if saving >= 0 else "more"
        parts.append(f"{usd(1000 * abs(saving))} {side} per 1,000 requests against {payback.reference}")
    if avoided:
        parts.append(
            f"errors {'avoided' if avoided > 0 else 'added'} worth {usd(1000 * abs(avoided))} per 1,000 requests"
        )
    low, high = (months(end) for end in (payback.months_low, payback.months_high))
    span = "" if UNKNOWN in {low, high} or low == high else f" ({low} to {high})"
    parts.append(f"payback: {months(payback.months)}{span}")
    return _sentence("; ".join(parts))


def to_measure(levers: Sequence[str]) -> str:
    """Candidates that a run lacks, and how to add them."""
    strategies = {"prompting": "few_shot", "retrieval": "rag", "tuning": "lora or managed"}
    return " and ".join(f"a candidate for {lever} (--strategy {strategies[lever]})" for lever in levers)


def _difference(tuned: Standing, best: Standing, compared: Comparison | None) -> float:
    return compared.difference if compared else (tuned.accuracy or 0.0) - (best.accuracy or 0.0)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


@lru_cache(maxsize=64)
def _needed(compared: Comparison, difference: float) -> int:
    """Kept, for the sensitivity asks the same again and again."""
    return compared.needed(difference)


def _p(value: float) -> str:
    return "p below 0.0001" if value < 1e-4 else f"p = {value:.2g}"  # noqa: PLR2004


_SIZE = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)([bm])(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Need:
    """Labelled examples that a tune takes.

    Attributes:
        least: fewer do not open the gate.
        recommended: from here on, nobody would ask for more.
        quality: what counts more than their number.
        sentence: all of it, in words.
    """

    least: int
    recommended: int
    quality: str
    sentence: str


@cache
def table() -> dict[str, Any]:
    """gates.toml."""
    return tomllib.loads(Path(__file__).with_name("gates.toml").read_text("utf-8"))


def parameters(base: str | None) -> float | None:
    """A model's size in billions of parameters as its name states it; None when it does not.

    >>> parameters("hf/Qwen2.5-7B-Instruct"), parameters("openai/gpt-4o-mini")
    (7.0, None)
    """
    if base is None:
        return None
    known: dict[str, float] = table()["parameters"]
    if base in known:
        return known[base]
    found = _SIZE.search(base.replace("_", "-"))
    return float(found[1]) / (1000 if found[2].lower() == "m" else 1) if found else None


def examples_for(base: str | None, *, hosted: bool) -> Need:
    """What the gate asks, held against the row for the base's size."""
    least, most = table()["labelled_examples"]
    size = parameters(base)
    rows = [table()["managed"]] if hosted else table()["size"]
    if not hosted and size is not None:
        rows = [max((row for row in rows if size > row["above"]), key=lambda row: float(row["above"]))]
    said = "; ".join(
        f"{row['name']}: at least {_range(row['minimum'])}, recommended {_range(row['recommended'])}, {row['quality']}"
        for row in rows
    )
    unsaid = "" if hosted or size is not None else " (the base's size is unknown)"
    return Need(
        least=max(least, rows[0]["minimum"][0]),
        recommended=max(least, rows[0]["recommended"][0]),
        quality=rows[0]["quality"],
        sentence=f"{least:,} to {most:,} labelled examples. By size of the base{unsaid}: {said}.",
    )


def _range(ends: list[int]) -> str:
    return f"{ends[0]:,}" if ends[0] == ends[1] else f"{ends[0]:,} to {ends[1]:,}"


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
    need = examples_for(base.base if base else None, hosted=base.hosted if base else False)
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


def _examples(labelled: int | None, need: Need) -> Outcome:
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
