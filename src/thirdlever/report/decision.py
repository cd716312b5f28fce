"""A decision as text for a terminal, as Markdown, and as JSON for programs."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, fields, is_dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.analysis.stats.power import Design
from thirdlever.core.table import Column, Table
from thirdlever.core.text import (
    UNKNOWN,
    amount,
    counted,
    duration,
    escape_markdown,
    listed,
    months,
    paragraph,
    percent,
    points,
    quantity,
    sentence,
    usd,
)
from thirdlever.decision.assumptions import about
from thirdlever.decision.evidence import POINT
from thirdlever.decision.gates import rules
from thirdlever.decision.verdict import TUNE, plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from thirdlever.answers.reading import Status
    from thirdlever.decision.assumptions import Assumption
    from thirdlever.decision.evidence import Evidence, Kind, Standing
    from thirdlever.decision.sensitivity import VerdictChange
    from thirdlever.decision.verdict import Decision, Step


Format = Literal["text", "md", "json"]
_LOST: Mapping[Status, str] = {
    "unparsed": "unparsed",
    "refused": "refused",
    "cut_off": "cut off",
    "failed": "failed",
    "ungraded": "not graded",
}
_NEVER = re.compile(r"months|requests|volume")  # amounts for which infinite means never
_REASONS = 2  # at most, in the headline
_USING = 14  # words of a headline that say what to use
_FLIPS = 6  # at most, in the list of what would change the verdict; the JSON has all


def render(d: Decision, fmt: Format = "text") -> str:
    """The decision, ending in a line break.

    Args:
        d: what `decide` returns.
        fmt: "text" for a terminal; "md" for Markdown; "json" holds every figure at full precision, with null for
            unknown and "never" for a payback that never happens.
    """
    match fmt:
        case "text":
            return _text(d)
        case "md":
            return _markdown(d)
        case "json":
            return json.dumps(to_dict(d), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_dict(d: Decision) -> dict[str, Any]:
    """The decision as JSON values."""
    whole = {
        field.name: _plain(getattr(d, field.name), field.name)
        for field in fields(d)
        if field.name not in {"assumptions", "evidence"}
    }
    whole |= {
        "given": d.given,
        "headline": headline(d),
        "sentence": one_sentence(d),
        "notes": notes(d),
        "what_would_change": what_would_change(d),
        "reasons": [one.code for one in d.reasons],
        "recommendation": d.recommended,
        "plan": asdict(plan(d)),
        "stopped_at": d.stopped_at.name if d.stopped_at else None,
        "assumptions": [asdict(one) for one in d.assumptions.listed()],
    }
    for name, cost in d.costs.items():
        sums = {"setup_usd": cost.setup_usd, "standing_usd_per_month": cost.standing_usd_per_month}
        whole["costs"][name] |= sums
    return whole


def _plain(value: Any, name: str) -> Any:  # noqa: ANN401 - anything a decision holds
    if is_dataclass(value) and not isinstance(value, type):
        shown = (field.name for field in fields(value) if not field.name.endswith("draws"))
        return {key: _plain(getattr(value, key), key) for key in shown}
    if isinstance(value, dict):
        return {str(key): _plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "never" if value > 0 and _NEVER.search(name) else None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


# Text and Markdown


def _text(d: Decision) -> str:
    table = f"{_candidates(d).terminal()}\n{paragraph(_legend(d))}"
    blocks = [paragraph(f"{d.verdict}. {one_sentence(d)}"), "\n".join(["The plan", *_numbered(d)]), table]
    blocks.append("The three gates")
    for number, gate in enumerate(d.gates, 1):
        lines = [f"{number}. {gate.name}: {gate.outcome}"]
        lines += [_labelled("question", gate.question), _labelled("evidence", gate.evidence)]
        lines += [_labelled("threshold", gate.threshold), _labelled("to change it", gate.change)]
        blocks.append("\n".join(lines))
    questions = ["The six questions, in order"]
    for number, one in enumerate(d.matrix, 1):
        stopped = "  <- stopped here" if one is d.stopped_at else ""
        questions.append(f"{number}. {one.question}\n   {one.answer} ({one.basis}): {one.outcome}{stopped}")
        questions.append(_labelled("evidence", one.evidence))
    blocks.append("\n".join(questions))
    for title, lines in _lists(d).items():
        blocks.append("\n".join([title, *(paragraph(line, first="- ", rest="  ") for line in lines)]))
    return "\n\n".join(blocks) + "\n"


def _labelled(label: str, text: str) -> str:
    return paragraph(text, first=f"   {label:<14}", rest=" " * 17)


def _markdown(d: Decision) -> str:
    gates = [(one.name, one.outcome, one.evidence, one.threshold, one.change) for one in d.gates]
    questions = []
    for number, one in enumerate(d.matrix, 1):
        outcome = f"{one.outcome}{' (stopped here)' if one is d.stopped_at else ''}"
        questions.append((str(number), one.question, one.answer, one.basis, outcome, one.evidence))
    blocks = [
        f"**{d.verdict}.** {escape_markdown(one_sentence(d))}",
        "## The plan",
        "\n".join(f"{i}. {escape_markdown(line)}" for i, line in enumerate(plan_lines(d), 1)),
        _candidates(d).markdown(),
        escape_markdown(_legend(d)),
        "## The three gates",
        _texts("gate", "outcome", "evidence", "threshold", "what would change it", rows=gates).markdown(),
        "## The six questions, in order",
        _texts("", "question", "answer", "basis", "outcome", "evidence", rows=questions).markdown(),
    ]
    for title, lines in _lists(d).items():
        blocks += [f"## {title}", "\n".join(f"- {escape_markdown(line)}" for line in lines)]
    return "\n\n".join(blocks) + "\n"


def _candidates(d: Decision) -> Table:
    """The candidates, best first; the one to use is marked."""
    heads = ("accuracy %", "cost $ per\n1,000 requests", "set-up\ncost $", "fixed cost $\nper month", "payback")
    rows = []
    for name, one in d.standings.items():
        cost, back = d.costs.get(name), d.paybacks.get(name)
        request = None if cost is None or cost.per_request_usd is None else 1000 * cost.per_request_usd
        rows.append(
            (
                (name, f"({said})") if (said := mark(d, name)) else name,
                "not measured" if one.not_measured else percent(one.accuracy).removesuffix(" %"),
                amount(request),
                amount(cost.setup_usd if cost else None),
                amount(cost.standing_usd_per_month if cost else None),
                (months(back.months) if back else UNKNOWN) if one.kind == "tuned" else "–",
            )
        )
    return Table([Column("candidate", "name"), *map(Column, heads)], rows)


def mark(d: Decision, name: str) -> str:
    """What a table says beside a candidate: that it is recommended, or may be better than the first choice."""
    if name == d.chosen:
        return "best measured" if d.worse_than_today else "first choice" if d.rivals else "recommended"
    return "not told apart" if name in d.rivals else ""


def _legend(d: Decision) -> str:
    against = f" Payback: compared with {d.stay}." if d.stay and d.paybacks else ""
    return f"Set-up: paid once, labels and engineering included.{against}"


def _texts(*heads: str, rows: Iterable[tuple[str, ...]]) -> Table:
    return Table([Column(head, "text") for head in heads], list(rows))


def _lists(d: Decision) -> dict[str, list[str]]:
    """The lists that end the text, without those that are empty."""
    lists = {
        "What would change this decision": what_would_change(d),
        "Notes": notes(d),
        "Assumptions": _assumptions(d),
    }
    return {title: lines for title, lines in lists.items() if lines}


def _assumptions(d: Decision) -> list[str]:
    """One line for each that has a value, and one for those that have none."""
    every = d.assumptions.listed()
    missing = ", ".join(one.name for one in every if one.value is None)
    return [
        *(_assumed(one) for one in every if one.value is not None),
        *([f"Not stated: {missing}"] if missing else []),
    ]


def _assumed(one: Assumption) -> str:
    unit = "" if one.unit == "share" else one.unit.removeprefix("USD")
    unit = unit if unit.startswith((" ", ",")) or not unit else f" {unit}"
    return f"{one.name} = {quantity(one.value, one.unit)}{unit}: {one.meaning} [{one.source}]"


# The headline

_LEVERS: Mapping[Kind, str] = {
    "no model": "the classifier without a language model",
    "prompt": "the prompt",
    "retrieval": "retrieval",
    "model": "the other base model",
    "tuned": "the fine-tuned model",
}


def headline(d: Decision) -> str:
    """The decision in at most 20 words, without the names of candidates."""
    if d.worse_than_today and d.verdict not in TUNE:
        begin = "Do not fine-tune:" if d.verdict == "NO-GO" else "Not decided yet: for now,"
        return f"{begin} keep the current solution, which is better than all that was measured."
    if d.verdict == "NEED-MORE-DATA":
        use = f"for now, use {_using(d, d.stay)}" if d.stay else "nothing is measured"
        return f"Not decided yet: {use}."
    if d.verdict == "NO-GO":
        return f"Do not fine-tune: use {_using(d, d.stay)}." if d.stay else "Do not fine-tune."
    condition = f", if {d.conditions[0].text}" if d.conditions else ""
    if d.verdict == "GO":
        return f"Fine-tune{condition}: {percent(d.standings[d.tuned or ''].accuracy)} right, not {_right(d, d.stay)}."
    if d.gates[2].code == "faster":
        speed = f"p95 {duration(d.standings[d.tuned or ''].p95_s)}"
        return f"Fine-tune for its speed{condition}: as accurate, {speed}."
    return f"Fine-tune for its cost{condition}: as accurate as {_lever(d, d.stay)}{_saved(d)}."


def _lever(d: Decision, name: str | None) -> str:
    return _LEVERS[d.standings[name or ""].kind]


def _right(d: Decision, name: str | None) -> str:
    return f"{percent(d.standings[name].accuracy)} as with {_lever(d, name)}" if name else "measured otherwise"


def _using(d: Decision, name: str) -> str:
    """A candidate's lever and accuracy, and whether that is enough or others may be better, as far as words allow."""
    one, target = d.standings[name], d.assumptions.target_accuracy
    state = "" if target is None else one.against(target)
    enough = {"meets": ", on target", "misses": f", short of {percent(target)}"}.get(state, "")
    use = f"{_lever(d, name)}, {percent(one.accuracy)} right"
    whole = f"{use}{enough}{others(d)}"
    return whole if len(whole.split()) <= _USING else f"{use}{others(d)}"


def others(d: Decision) -> str:
    """How many candidates may be better than the first choice, as a clause; "" if none may."""
    return f"; {counted(len(d.rivals), 'other')} may be better" if d.rivals else ""


def _saved(d: Decision) -> str:
    """What a tune saves each month."""
    back, volume = d.paybacks.get(d.tuned or ""), d.assumptions.monthly_volume
    if back is None or back.saving_per_request_usd is None or volume is None:
        return ", and cheaper"
    monthly = back.saving_per_request_usd * volume - (back.extra_standing_usd_per_month or 0.0)
    return f", and {usd(monthly)} a month cheaper"


def one_sentence(d: Decision) -> str:
    """What to do, and why."""
    if d.given and d.verdict == "GO" and (steps := _in_steps(d)):
        return f"On given figures: {steps}."
    if d.verdict in TUNE:
        condition = f", if {listed([one.text for one in d.conditions])}" if d.conditions else ""
        text = f"fine-tune: use {described(d, d.tuned)}{_or_rivals(d)}{condition}, because {_gain(d)}"
    else:
        reasons = _reasons(d)
        text = f"not decided yet, because {reasons}; for now, {_staying(d)}"
        if d.verdict == "NO-GO":
            text = f"do not fine-tune: {_staying(d)}{';' if d.worse_than_today else ', because'} {reasons}"
    return f"On given figures: {text}." if d.given else sentence(text)


def described(d: Decision, name: str | None) -> str:
    """A candidate with its accuracy and cost."""
    if name is None:
        return "nothing"
    one, cost = d.standings[name], d.costs.get(name)
    parts = [f"{percent(one.accuracy)} accuracy"]
    if cost and cost.per_request_usd is not None:
        parts.append(f"{usd(1000 * cost.per_request_usd)} per 1,000 requests")
    if one.kind == "no model":
        parts.append("no language model")
    return f"{name} ({', '.join(parts)})"


def _staying(d: Decision) -> str:
    if d.stay is None:
        return "there is no measured candidate to stay with"
    one, a = d.standings[d.stay], d.assumptions
    missed = a.target_accuracy is not None and one.against(a.target_accuracy) == "misses"
    target = f"the target of {percent(a.target_accuracy)}" if missed else ""
    if d.worse_than_today:
        below = " and ".join(filter(None, ["that", target]))
        today = f"keep the current solution ({percent(a.current_accuracy)} accuracy, as stated)"
        return f"{today}; the best measured candidate is {described(d, d.stay)}, which misses {below}"
    although = f", although it misses {target}" if missed else ""
    return f"{'keep' if one.today else 'use'} {described(d, d.stay)}{although}{_or_rivals(d)}"


def _or_rivals(d: Decision) -> str:
    """The candidates that may be better than the first choice, as another choice; "" if none may."""
    return f", or {_rivals_named(d.rivals)} ({apart(d)} which is better)" if d.rivals else ""


def _rivals_named(names: Sequence[str]) -> str:
    """A further candidate to choose from, or the number of several."""
    return names[0] if len(names) == 1 else f"one of {len(names)} others"


def apart(d: Decision) -> str:
    """Why there are rivals."""
    return f"{counted(d.standings[d.chosen or ''].n, 'item')} cannot tell"


def _reasons(d: Decision) -> str:
    return ", and ".join(list(dict.fromkeys(one.reason for one in d.reasons))[:_REASONS])


def _gain(d: Decision) -> str:
    compared = next((one for one in d.comparisons if one.b == d.tuned), None)
    back = d.gates[2].reason
    if d.verdict == "GO-FOR-COST":
        best = d.evidence.untuned[0].name
        return f"it is less than {points(d.assumptions.margin)} worse than {best} and {back}"
    return f"it is {points(compared.difference)} better than {compared.a} and {back}" if compared else back


def _in_steps(d: Decision) -> str:
    """On given figures: the cheap step first, then the tune; "" if the tune is no better."""
    if d.stay is None or d.tuned is None:
        return ""
    first, tuned = d.standings[d.stay], d.standings[d.tuned]
    if (tuned.accuracy or 0.0) <= (first.accuracy or 0.0):
        return ""
    tune = f"{tuned.name} ({_effort(d, d.tuned)})"
    text = f"{first.name} first ({_effort(d, d.stay)}), then {tune}"
    if first.today:
        text = f"fine-tune: use {tune} instead of {first.name} ({percent(first.accuracy)})"
    condition = f", if {listed([one.text for one in d.conditions])}" if d.conditions else ""
    return f"{text}{condition}"


# The plan


def plan_lines(d: Decision) -> list[str]:
    """The plan, a sentence a step, then what is rejected, who owns it and when to look again."""
    found = plan(d)
    lines = [_step(d, step) for step in found.steps]
    lines += [f"Rejected: {one.candidate}: {one.reason}." for one in found.rejected]
    owner = f" Owner: {found.owner}." if found.owner else ""
    return [*lines, f"Decide again {found.review}.{owner}"]


def _step(d: Decision, step: Step) -> str:
    when = _when(step)
    cost = f", {usd(step.usd)}" if step.usd else ""
    name = step.candidate
    at = f" ({percent(d.standings[name].accuracy)}{cost})" if name else ""
    if step.rivals:
        at += f", or {_rivals_named(step.rivals)}"
    only = f" Only if {listed(list(step.only_if))}." if step.only_if else ""
    stop = f" Stop here if {step.stop}." if step.stop else ""
    return (
        f"{when}{sentence(f'{step.action}{at}')}{only}{stop}" if not when else f"{when}{step.action}{at}.{only}{stop}"
    )


def _when(step: Step) -> str:
    """The weeks of a step, the first being week 1; "" if they are not known."""
    if not step.weeks or step.begins is None:
        return ""
    first, last = math.floor(step.begins) + 1, math.ceil(step.begins + step.weeks)
    return f"Week {first}: " if first >= last else f"Weeks {first} to {last}: "


def _numbered(d: Decision) -> Iterator[str]:
    for number, line in enumerate(plan_lines(d), 1):
        yield paragraph(line, first=f"{number}. ", rest="   ")


def _effort(d: Decision, name: str) -> str:
    one, cost = d.standings[name], d.costs.get(name)
    parts = [percent(one.accuracy)]
    if one.weeks is not None:
        parts.append(f"{one.weeks:g} week{'' if one.weeks == 1 else 's'}")
    if cost and cost.setup_usd:
        parts.append(usd(cost.setup_usd))
    return ", ".join(parts)


# What would change the verdict


def what_would_change(d: Decision) -> list[str]:
    """The changes that the blocking gates ask for, then the assumptions that would change the verdict."""
    every, tune = (*d.gates, *d.matrix), d.verdict in TUNE
    asked = list(dict.fromkeys(one.change for one in (d.gates if tune else d.reasons)))
    if not tune and len(asked) > 1:
        asked.insert(0, f"All of the next {len(asked)} are needed: each blocks a GO on its own.")
    if d.verdict == "NO-GO":
        asked += [f"Also open: {one.change}" for one in every if one.outcome == "open"]
    return [*dict.fromkeys(asked), *[flipped(flip, d.outcome) for flip in d.flips if flip.becomes][:_FLIPS]]


def searched_for(value: float, *, unit: str) -> str:
    """A value of an assumption that a search found within a thousandth, and so in three digits."""
    return quantity(float(f"{value:.3g}"), unit)


def flipped(flip: VerdictChange, now: str) -> str:
    """What another value of an assumption would do."""
    row = about(flip.name)
    other = f"{flip.name} is {flip.at(partial(searched_for, unit=row.unit))} (now {quantity(flip.value, row.unit)})"
    return f"{flip.becomes} instead of {now} if {other}: {row.meaning}."


# Notes


def notes(d: Decision) -> list[str]:
    """What else a reader should know, the most important first."""
    e = d.evidence
    return [
        *_missing(d, e),
        *_untested(d, e),
        *_target(d, e),
        *_rivals(d, e),
        *_weak_base(d, e),
        *_today(d),
        *_cost_alone(d, e),
        *_costs(d),
        *_machine(d),
        *_edge(d),
    ]


def _missing(d: Decision, e: Evidence) -> Iterator[str]:
    for one in e.standings.values():
        if one.not_measured:
            yield f"{one.name} is {one.not_measured}."
    yield from (f"{one.name}: {one.same_answer}." for one in e.standings.values() if one.same_answer)
    if lost := [_lost(one) for one in e.standings.values() if one.accuracy is not None and _lost(one)]:
        yield f"Counted as wrong: {'; '.join(lost)}."
    if len(d.standings) == 1:
        yield "There is only one candidate, so there is nothing to compare it with."
    never = [one.name for one in e.standings.values() if one.accuracy is None and not one.not_measured]
    if never:
        yield f"The accuracy of {listed(never)} is unknown: it was not {'stated' if e.given else 'measured'}."
    if not e.of("no model") and not e.given:
        yield "No candidate without a language model was measured (--strategy null); one is often good enough."
    if 0 < len(e.of("no model")) == len(e.untuned) and not e.given:
        yield "Neither prompting nor retrieval was measured."


def _lost(one: Standing) -> str:
    """A candidate's requests that have no answer, by status; "" if all were answered."""
    found = [f"{number:,} {_LOST[status]}" for status, number in one.statuses.items() if number and status in _LOST]
    return f"{listed(found)} of {counted(one.requests, 'request')} to {one.name}" if found else ""


def _untested(d: Decision, e: Evidence) -> Iterator[str]:
    """How many items would test given figures."""
    best, tuned = e.best_untuned, d.standings.get(d.tuned or "")
    if not e.given:
        return
    said = "These figures were stated, not measured on test items, so they have no test and no interval."
    right, wrong = (best and best.accuracy) or 0.0, (tuned and tuned.accuracy) or 0.0
    if best and tuned and (gap := abs(wrong - right)):
        # How often the two differ is unknown. Independent errors are assumed: that is the most to expect.
        n = Design(right * (1 - wrong) + wrong * (1 - right)).needed(gap)
        both = f"a difference of {points(gap)} between {tuned.name} and {best.name}"
        said += f" To test {both}, run both on the same {counted(n, 'labelled item')}; fewer may do."
    yield said


def _target(d: Decision, e: Evidence) -> Iterator[str]:
    target = d.assumptions.target_accuracy
    if target is None:
        return
    answered = [one for one in e.standings.values() if one.accuracy is not None]
    if answered and all(one.against(target) == "misses" for one in answered):
        yield f"No candidate reaches the target of {percent(target)}: the best is {answered[0]}."
    chosen = d.standings.get(d.chosen or "")
    if chosen is None:
        return
    meeting = (one for one in e.untuned if one is not chosen and one.against(target) == "meets")
    cheaper = next((one for one in meeting if _request(d, one) < _request(d, chosen)), None)
    if cheaper:
        yield (
            f"{cheaper.name} also meets the target at a lower cost per request, but may be more than "
            f"{points(d.assumptions.margin)} worse than the best "
            f"(measured against {chosen.name}: {points((chosen.accuracy or 0.0) - (cheaper.accuracy or 0.0))})."
        )


def _rivals(d: Decision, e: Evidence) -> Iterator[str]:
    """Which candidates may be better than the first choice, and how many items would tell."""
    if d.rivals and d.chosen:
        margin = d.assumptions.margin
        items = max(e.items_for(d.chosen, name, margin) for name in d.rivals)
        yield (
            f"{apart(d)} which is better: {listed(d.rivals)} may be {points(max(margin, POINT))} or more better than "
            f"{d.chosen}. If it is as good as they are, {counted(items, 'item')} would probably show it (4 in 5)."
        )


def _weak_base(d: Decision, e: Evidence) -> Iterator[str]:
    """The common mistake: a weak model was tuned where a stronger one, prompted alone, does better."""
    tuned = d.standings.get(d.tuned or "")
    stronger = next(iter(e.of("model")), None)
    if tuned is None or stronger is None or tuned.accuracy is None or tuned.base == stronger.base:
        return
    if (stronger.accuracy or 0.0) > tuned.accuracy:
        yield (
            f"{tuned.name} is a tune of the weaker model: {stronger.name} does better without tuning. "
            f"Tune the stronger one too, or compare its bill."
        )


def _today(d: Decision) -> Iterator[str]:
    a, chosen = d.assumptions, d.standings.get(d.chosen or "")
    if a.current_accuracy is None or chosen is None or chosen.accuracy is None:
        return
    gap, usd_each = chosen.accuracy - a.current_accuracy, a.current_cost_per_request_usd
    cost = f" at {usd(1000 * usd_each)} per 1,000 requests" if usd_each else ""
    yield (
        f"Current solution, as stated: {percent(a.current_accuracy)} accuracy{cost}. {chosen.name} is {points(gap)} "
        f"{'better' if gap >= 0 else 'worse'}, but the two were not compared on the same items."
    )


def _cost_alone(d: Decision, e: Evidence) -> Iterator[str]:
    """A tune that is as good and cheaper does not pass gate 1, but its owner should know about it."""
    if d.verdict in TUNE or d.stay is None:
        return
    margin = d.assumptions.margin
    for one in e.of("tuned"):
        back = d.paybacks.get(one.name)
        saving = (back.saving_per_request_usd if back else None) or 0.0
        if back and back.within and saving > 0 and e.not_worse(one.name, d.stay, margin):
            yield (
                f"Cost alone could justify {one.name}: it is less than {points(margin)} worse than {d.stay} and "
                f"saves {usd(1000 * saving)} per 1,000 requests (payback: {months(back.months)})."
            )


def _costs(d: Decision) -> Iterator[str]:
    unpriced = (name for name, cost in d.costs.items() if cost.per_request_usd is None)
    unknown = [name for name in unpriced if d.standings[name].accuracy is not None]
    if unknown:
        yield f"The cost per request is unknown for {listed(unknown)}; it is not treated as zero or as the lowest."
    for name, back in d.paybacks.items():
        if name in unknown and d.standings[name].kind == "tuned" and name != d.tuned:
            yield f"{name} {back.condition}."
    free = [name for name, cost in d.costs.items() if cost.per_request_usd == 0]
    if free:
        yield f"At the prices used, a request costs nothing for {listed(free)}."


def _machine(d: Decision) -> Iterator[str]:
    """What a local model costs by use, and on a machine that is always on, until it is stated which holds."""
    volume = d.assumptions.monthly_volume
    if d.assumptions.always_on is not None or volume is None:
        return
    for name in dict.fromkeys(filter(None, (d.chosen, d.tuned))):
        cost = d.costs.get(name)
        if cost and cost.machine_usd_per_month and cost.per_request_usd is not None and cost.model:
            yield (
                f"{name} runs on a machine: its requests cost {usd(volume * cost.per_request_usd)} a month by use, and "
                f"{usd(cost.machine_usd_per_month)} if the machine is always on. State which (--assume always_on=yes)."
            )


def _edge(d: Decision) -> Iterator[str]:
    """A payback between the shortest and the longest time between two releases."""
    back, (least, most) = d.paybacks.get(d.tuned or ""), rules().release_months
    if d.verdict in TUNE and back and back.months is not None and least <= back.months <= most:
        yield (
            f"The payback of {months(back.months)} is on the edge: base models appear every {least} to {most} months, "
            f"and an earlier one leaves the tune unpaid."
        )


def _request(d: Decision, one: Standing) -> float:
    cost = d.costs.get(one.name)
    return math.inf if cost is None or cost.per_request_usd is None else cost.per_request_usd
