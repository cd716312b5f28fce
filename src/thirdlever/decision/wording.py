"""A decision in sentences that need no explaining."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from thirdlever.core.text import UNKNOWN, listed, percent, points, usd
from thirdlever.decision.assumptions import about

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thirdlever.decision.gates import Verdict
    from thirdlever.decision.sensitivity import Flip
    from thirdlever.decision.verdict import Decision

_REASONS = 2  # in the one sentence
_FLIPS = 6  # shown; all are in the JSON


def one_sentence(d: Decision) -> str:
    """What to do, and why."""
    if d.given and d.verdict != "NO-GO" and (plan := _plan(d)):
        return plan
    basis = "On given figures: " if d.given else ""
    if d.verdict == "GO":
        text = f"fine-tune: use {described(d, d.tuned)}, because {_gain(d)}"
    elif d.verdict == "NO-GO":
        text = f"do not fine-tune: {_staying(d)}{_because(d)} {_reasons(d, 'NO-GO')}"
    else:
        text = f"not decided yet: until it is, {_staying(d)}{_because(d)} {_reasons(d, 'NEED-MORE-DATA')}"
    return f"{basis}{text}." if basis else f"{text[0].upper()}{text[1:]}."


def what_would_change(d: Decision, flips: Sequence[Flip]) -> list[str]:
    """What the gates that hold the verdict ask for, then the assumptions that would change it."""
    every = d.gates if d.verdict == "GO" else (*d.gates, *d.matrix)
    asked = list(dict.fromkeys(one.change for one in every if one.verdict == d.verdict))
    if d.verdict != "GO" and len(asked) > 1:
        asked.insert(0, f"It takes all of the next {len(asked)} together: each holds the verdict by itself.")
    if d.verdict == "NO-GO":
        asked += [f"Also open: {one.change}" for one in every if one.verdict == "NEED-MORE-DATA"]
    return [*dict.fromkeys(asked), *[flipped(flip, d.verdict) for flip in flips if flip.becomes][:_FLIPS]]


def flipped(flip: Flip, now: Verdict) -> str:
    """What another value of an assumption would do."""
    row = about(flip.name)
    was = f"now {_value(flip.value, row['unit'])}" if flip.value is not None else f"now {UNKNOWN}"
    there = flip.at(lambda value: _value(value, row["unit"]))
    return f"{flip.name} of {there} ({was}: {row['meaning']}) would make it {flip.becomes}, not {now}."


def described(d: Decision, name: str | None) -> str:
    """A candidate with what it reaches and costs."""
    if name is None:
        return "nothing"
    one, cost = d.standings[name], d.costs.get(name)
    parts = [percent(one.accuracy) + " right"]
    if cost and cost.per_request_usd is not None:
        parts.append(f"{usd(1000 * cost.per_request_usd)} per 1,000 requests")
    if one.kind == "no model":
        parts.append("asks no language model")
    return f"{name} ({', '.join(parts)})"


def _staying(d: Decision) -> str:
    if d.stay is None:
        return "there is no measured candidate to stay with"
    one, a = d.standings[d.stay], d.assumptions
    short = a.target_accuracy is not None and one.against(a.target_accuracy) == "misses"
    target = f"the target of {percent(a.target_accuracy)}" if short else ""
    if d.worse_than_today:
        today = f"keep what is in use today ({percent(a.current_accuracy)} right, as stated)"
        missed = listed(["that", target] if short else ["that"])
        return f"{today}; the best measured is {described(d, d.stay)}, which misses {missed}"
    return f"stay with {described(d, d.stay)}" + (f", though it misses {target}" if short else "")


def _because(d: Decision) -> str:
    return ";" if d.worse_than_today else ", because"


def _reasons(d: Decision, verdict: Verdict) -> str:
    found = [one.reason for one in (*d.gates, *d.matrix) if one.verdict == verdict]
    return ", and ".join(list(dict.fromkeys(found))[:_REASONS])


def _gain(d: Decision) -> str:
    compared = next((one for one in d.comparisons if one.b == d.tuned), None)
    back = d.gates[2].reason
    return f"it is {points(compared.difference)} better than {compared.a} and {back}" if compared else back


def _plan(d: Decision) -> str:
    """On given figures: cheap steps first, then the tune; "" when there is none to take."""
    if d.stay is None or d.tuned is None:
        return ""
    first, tuned, back = d.standings[d.stay], d.standings[d.tuned], d.paybacks.get(d.tuned)
    if (tuned.accuracy or 0.0) <= (first.accuracy or 0.0):
        return ""
    begin = f"stay with {first.name} for now" if first.today else f"{first.name} first ({_effort(d, d.stay)})"
    condition = f", which {back.condition}" if back else ""
    return f"On given figures: {begin}, then {tuned.name} ({_effort(d, d.tuned)}){condition}."


def _effort(d: Decision, name: str) -> str:
    one, cost = d.standings[name], d.costs.get(name)
    parts = [percent(one.accuracy)]
    if one.weeks is not None:
        parts.append(f"{one.weeks:g} week{'' if one.weeks == 1 else 's'}")
    if cost and cost.setup_usd:
        parts.append(usd(cost.setup_usd))
    return ", ".join(parts)


def _value(value: Any, unit: str) -> str:  # noqa: ANN401 - of any assumption
    if isinstance(value, bool):
        return "yes" if value else "no"
    if unit == "share":
        return percent(value)
    if unit.startswith("USD"):
        return usd(value)
    return f"{float(f'{value:.3g}'):,.10g}"
