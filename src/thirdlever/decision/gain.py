"""Whether a tuned candidate is worth it: a gain that chance does not explain, and money that comes back in time."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from thirdlever.core.text import UNKNOWN, counted, listed, months, percent, points, usd
from thirdlever.decision.evidence import POINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.analysis.compare import Comparison
    from thirdlever.decision.evidence import Evidence, Standing
    from thirdlever.decision.gates import Verdict
    from thirdlever.economics.assumptions import Assumptions
    from thirdlever.economics.payback import Payback


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
