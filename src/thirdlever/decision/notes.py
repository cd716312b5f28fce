"""What a reader should know besides the verdict: what is missing, unknown or odd in the evidence."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thirdlever.analysis.stats.power import Design
from thirdlever.core.text import counted, listed, months, percent, points, usd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever.decision.evidence import Evidence, Standing
    from thirdlever.decision.verdict import Decision


def notes(d: Decision, e: Evidence) -> list[str]:
    """Sentences, the weightiest first."""
    return [*_missing(d, e), *_untested(d, e), *_target(d, e), *_today(d), *_money_only(d, e), *_costs(d)]


def _missing(d: Decision, e: Evidence) -> Iterator[str]:
    for one in e.failures:
        yield f"Every request to {one.name} failed ({one.failed:,} of {one.requests:,}): nothing is known of it."
    if len(d.standings) == 1:
        yield "There is one candidate only: nothing to compare it with."
    never = [one.name for one in e.standings.values() if one.accuracy is None and not one.requests]
    if never:
        yield f"The accuracy of {listed(never)} is unknown: {'nobody states it' if e.given else 'nothing was asked'}."
    if not e.of("no model") and not e.given:
        yield "No candidate without a language model was measured (--strategy null); it is often good enough."
    if 0 < len(e.of("no model")) == len(e.untuned) and not e.given:
        yield "Neither prompting nor retrieval was measured."


def _untested(d: Decision, e: Evidence) -> Iterator[str]:
    """What a run would have to hold to test given figures."""
    best, tuned = e.best_untuned, d.standings.get(d.tuned or "")
    if not e.given:
        return
    said = "These figures were given: no item stands behind them, so no test and no interval."
    gap = _gap(best, tuned)
    if best and tuned and gap:
        # Nothing is known of how often the two differ: as if they erred independently, which is the most to expect.
        right, wrong = (best.accuracy or 0.0), (tuned.accuracy or 0.0)
        apart = right * (1 - wrong) + wrong * (1 - right)
        n = Design(apart).needed(gap)
        both = f"{points(gap)} between {tuned.name} and {best.name}"
        said += f" To test {both}, run both on the same {counted(n, 'labelled item')} or fewer."
    yield said


def _target(d: Decision, e: Evidence) -> Iterator[str]:
    target = d.assumptions.target_accuracy
    if target is None:
        return
    answered = [one for one in e.standings.values() if one.accuracy is not None]
    if answered and all(one.against(target) == "misses" for one in answered):
        yield f"Nothing reaches the target of {percent(target)}: the best is {answered[0]}."
    chosen = d.standings.get(d.chosen or "")
    cheaper = [
        one
        for one in e.untuned
        if chosen and one.against(target) == "meets" and one is not chosen and _request(d, one) < _request(d, chosen)
    ]
    if chosen and cheaper:
        one = cheaper[0]
        gap = (chosen.accuracy or 0.0) - (one.accuracy or 0.0)
        yield (
            f"{one.name} meets the target too and costs less a request, but may be worse than the best by more than "
            f"{points(d.assumptions.margin)} (seen against {chosen.name}: {points(gap)})."
        )


def _today(d: Decision) -> Iterator[str]:
    a, chosen = d.assumptions, d.standings.get(d.chosen or "")
    if a.current_accuracy is None or chosen is None or chosen.accuracy is None:
        return
    gap = chosen.accuracy - a.current_accuracy
    cost = (
        f" at {usd(1000 * a.current_cost_per_request_usd)} per 1,000 requests" if a.current_cost_per_request_usd else ""
    )
    side = "better" if gap >= 0 else "worse"
    yield (
        f"In use today, as stated: {percent(a.current_accuracy)} right{cost}. "
        f"{chosen.name} is {points(gap)} {side}, though not compared on the same items."
    )


def _money_only(d: Decision, e: Evidence) -> Iterator[str]:
    """A tune that is as good and cheaper does not open gate 1, but its owner should hear of it."""
    if d.verdict == "GO" or d.stay is None:
        return
    margin = d.assumptions.margin
    for one in e.of("tuned"):
        back = d.paybacks.get(one.name)
        saving = (back.saving_per_request_usd if back else None) or 0.0
        if back and back.within and saving > 0 and e.not_worse(one.name, d.stay, margin):
            yield (
                f"Money alone could speak for {one.name}: it is not {points(margin)} worse than {d.stay}, "
                f"and saves {usd(1000 * saving)} per 1,000 requests, back in {months(back.months)}."
            )


def _costs(d: Decision) -> Iterator[str]:
    unknown = [
        name
        for name, cost in d.costs.items()
        if cost.per_request_usd is None and d.standings[name].accuracy is not None
    ]
    if unknown:
        yield f"What a request costs is unknown for {listed(unknown)}: it is never taken for free, or for the cheapest."
    for name, back in d.paybacks.items():
        if name in unknown and d.standings[name].kind == "tuned" and name != d.tuned:
            yield f"{name} {back.condition}."
    free = [name for name, cost in d.costs.items() if cost.per_request_usd == 0]
    if free:
        yield f"A request costs nothing by the prices used for {listed(free)}."


def _gap(best: Standing | None, tuned: Standing | None) -> float:
    return abs((tuned.accuracy or 0.0) - (best.accuracy or 0.0)) if best and tuned else 0.0


def _request(d: Decision, one: Standing) -> float:
    cost = d.costs.get(one.name)
    return math.inf if cost is None or cost.per_request_usd is None else cost.per_request_usd
