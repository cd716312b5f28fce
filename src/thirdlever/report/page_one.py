"""Page one of the memo: candidates under names for people, five facts, the options, and whether it was fair."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.charts import figures
from thirdlever.core.text import UNKNOWN, counted, duration, listed, months, percent, points, usd
from thirdlever.decision.costs import Cost
from thirdlever.decision.evidence import ROUNDING
from thirdlever.decision.verdict import TUNE, plan
from thirdlever.report.decision import apart, mark, plan_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thirdlever.charts.style import Picture
    from thirdlever.decision.costs import Month
    from thirdlever.decision.evidence import Standing
    from thirdlever.decision.verdict import Decision

TODAY = "Today's solution"
_OTHERS = 3  # options beside today's
_SHORT = 24  # characters of a base model's name
# Options of commands that a sentence names in parentheses, for whoever types them.
_OPTIONS = re.compile(r" \([^()]*(?:--assume|--strategy|prices\.toml)[^()]*\)")
_SEEDS = re.compile(r" × (\d+ seeds)$")  # of a recipe that stands for its repeats
_LEVERS = {"no model": "none", "prompt": "prompt", "retrieval": "retrieval", "model": "model", "tuned": "tuned"}


# DisplayNames


class DisplayNames:
    """Names of the candidates for people: "Fine-tuned, 480 examples", "the model fine-tuned on 480 examples".

    A stated candidate keeps its own name.

    Args:
        standings: the candidates by name.
        given: whether they are stated.
    """

    def __init__(self, standings: Mapping[str, Standing], *, given: bool) -> None:  # noqa: D107 - the class says it
        own = {name: (name, name) for name in standings}
        self._forms = own if given else _distinct(standings)
        found = "|".join(re.escape(name) for name in sorted(standings, key=len, reverse=True))
        # Whole names only: "rag" is a part of "storage" and of "rag(k=5)".
        self._found = re.compile(rf"(?<![\w=,@])(?<!\w\()(?:{found})(?![\w(]| @| in )") if found else None

    def __getitem__(self, name: str) -> str:  # noqa: D105 - by the candidate's name
        return self._forms[name][0]

    def inside(self, name: str) -> str:
        """The name within a sentence."""
        return self._forms[name][1]

    def within(self, text: str) -> str:
        """A text with the names for people, without the options of commands in parentheses."""

        def shown(found: re.Match[str]) -> str:
            name = self._forms[found[0]][1]
            begins = not found.start() or text[: found.start()].endswith((". ", "Rejected: "))
            return name[0].upper() + name[1:] if begins and name != found[0] else name

        plain = self._found.sub(shown, text) if self._found else text
        return _OPTIONS.sub("", plain)


def _distinct(standings: Mapping[str, Standing]) -> dict[str, tuple[str, str]]:
    """Both forms of each name, with as much of prompt, base and code name as tells it from the others."""
    forms = {name: _what(one, _way(one, standings)) for name, one in standings.items()}
    further: Sequence[Mapping[str, tuple[str, str]]] = (
        {name: _form(_prompt(one.prompt), " in {}") for name, one in standings.items()},
        {name: _form(_short(one.base or ""), " on {}") for name, one in standings.items()},
        {name: _form(name.partition(" @ ")[0], " ({})") for name in standings},
    )
    for part in further:
        taken = [title for title, _ in forms.values()]
        same = [name for name, (title, _) in forms.items() if taken.count(title) > 1]
        if len({part[name] for name in same}) > 1:
            forms |= {name: (forms[name][0] + part[name][0], forms[name][1] + part[name][1]) for name in same}
    repeats = {name: found[1] for name in forms if (found := _SEEDS.search(name))}
    return forms | {
        name: (f"{forms[name][0]}, {seeds}", f"{forms[name][1]} (mean of {seeds})") for name, seeds in repeats.items()
    }


def _form(text: str, inside: str) -> tuple[str, str]:
    return (f", {text}", inside.format(text)) if text else ("", "")


def _prompt(name: str | None) -> str:
    return "" if name is None else name if name.lower().startswith("prompt") else f"prompt {name}"


def _way(one: Standing, standings: Mapping[str, Standing]) -> str:
    """The strategy of a retrieval or tuned candidate in parentheses, if others pull the same lever in other ways."""
    ways = {_strategy(other.name) for other in standings.values() if other.kind == one.kind}
    return f" ({_strategy(one.name)})" if len(ways) > 1 else ""


def _strategy(name: str) -> str:
    return re.split(r"[(@ ]", name, maxsplit=1)[0].replace("_", " ")


def _what(one: Standing, way: str) -> tuple[str, str]:
    """What it is: as a title, and within a sentence."""
    used, base = counted(one.labels or 0, "example"), _short(one.base or "another model")
    match one.kind:
        case "no model":
            return "Classifier without a language model", "the classifier without a language model"
        case "prompt":
            none = "Prompt, no examples", "the prompt without examples"
            return (f"Prompt, {used}", f"the prompt with {used}") if one.labels else none
        case "retrieval" if one.documents:
            return f"Retrieval of documents{way}", f"retrieval of documents{way}"
        case "retrieval":
            known = f"Retrieval, {used}", f"retrieval from {used}"
            return known if one.labels and not way else (f"Retrieval{way}", f"retrieval{way}")
        case "model":
            return f"{base}, not tuned", f"{base} without tuning"
        case "tuned":
            tuned = counted(one.examples or 0, "example")
            known = f"Fine-tuned{way}, {tuned}", f"the model fine-tuned{way} on {tuned}"
            return known if one.examples else (f"Fine-tuned{way}", f"the fine-tuned model{way}")


def _short(base: str) -> str:
    name = base.rpartition("/")[2] or base
    return name if len(name) <= _SHORT else f"…{name[1 - _SHORT :]}"


# The options


@dataclass(frozen=True, kw_only=True)
class OptionRow:
    """An option on page one.

    Attributes:
        name: for people.
        candidate: its own name; None for today's solution as stated.
        role: as in the figures.
        accuracy: None if not measured.
        month: bill and errors; None if unknown.
        once: set-up, USD; None if unknown.
        outcome: why it is recommended or not, in a few words.
    """

    name: str
    candidate: str | None
    role: figures.Role
    accuracy: float | None
    month: Month | None
    once: float | None
    outcome: str


def choices(d: Decision, names: DisplayNames) -> list[OptionRow]:
    """Today's solution, then at most three candidates: the recommended, the judged tune, and the next best."""
    found = list(_today(d, names))
    picked = [name for name in (d.chosen, d.tuned, d.stay, *d.rivals, *_next(d)) if name is not None]
    taken = {one.candidate for one in found}
    further = [name for name in dict.fromkeys(picked) if name not in taken]
    return [*found, *(_choice(d, names, name) for name in further[:_OTHERS])]


def _next(d: Decision) -> Iterator[str]:
    """Rejected candidates, then the most accurate."""
    yield from (one.candidate for one in plan(d).rejected)
    yield from (one.name for one in d.standings.values() if one.accuracy is not None)


def _today(d: Decision, names: DisplayNames) -> Iterator[OptionRow]:
    """Today's solution: a candidate of the figures, or as stated in assumptions."""
    a = d.assumptions
    if used := next((one for one in d.standings.values() if one.today), None):
        yield _choice(d, names, used.name)
    elif a.current_accuracy is not None or a.current_cost_per_request_usd is not None:
        keep = "recommended" if d.worse_than_today else "in use"
        yield OptionRow(
            name=TODAY,
            candidate=None,
            role="today",
            accuracy=a.current_accuracy,
            month=_stated_month(d),
            once=0.0,
            outcome=f"{keep}, as stated",
        )


def _stated_month(d: Decision) -> Month | None:
    """Today's month as the assumptions state it."""
    a = d.assumptions
    return None if a.monthly_volume is None else stated_today(d).month(a.monthly_volume, a.error_cost_usd)


def stated_today(d: Decision) -> Cost:
    """The costs of today's solution as the assumptions state them."""
    a = d.assumptions
    return Cost(
        candidate=TODAY, strategy="", accuracy=a.current_accuracy, per_request_usd=a.current_cost_per_request_usd
    )


def _choice(d: Decision, names: DisplayNames, name: str) -> OptionRow:
    one, cost, a = d.standings[name], d.costs.get(name), d.assumptions
    month = cost.month(a.monthly_volume, a.error_cost_usd) if cost and a.monthly_volume is not None else None
    return OptionRow(
        name=names[name],
        candidate=name,
        role=role(d, name),
        accuracy=one.accuracy,
        month=month,
        once=cost.setup_usd if cost else None,
        outcome=_outcome(d, name),
    )


def role(d: Decision, name: str) -> figures.Role:
    """What a candidate is in the decision."""
    if name == d.chosen and not d.worse_than_today:
        return "recommended"
    if d.standings[name].today:
        return "today"
    return "tuned" if name == d.tuned else "other"


def _outcome(d: Decision, name: str) -> str:
    """Why it is recommended or not, in a few words."""
    one, target = d.standings[name], d.assumptions.target_accuracy
    if one.accuracy is None:
        return "not measured" if one.not_measured else "accuracy unknown"
    if name == d.chosen:
        conditions = f" if {d.conditions[0].text}" if d.conditions else ""
        return f"{'keep' if one.today else mark(d, name)}{conditions}"
    if d.verdict in TUNE and name == d.stay:
        return "in use" if one.today else "until the tune is in use" if d.given else "replaced"
    if name == d.tuned and d.gates[2].outcome != "passed":
        return "rejected" if d.gates[2].outcome == "failed" else "not decided"
    if name in d.rivals:
        return mark(d, name)
    rejected = next((r.reason for r in plan(d).rejected if r.candidate == name), "")
    reasons = (
        (bool(rejected), f"rejected: {rejected.partition(' than ')[0]}"),
        (one.today, "in use"),
        (target is not None and one.against(target) == "misses", f"misses {percent(target)}"),
        (one.speed(d.assumptions.target_p95_s) == "misses", f"too slow: p95 of {duration(one.p95_s)}"),
    )
    return next((text for holds, text in reasons if holds), _against(d, one))


def _against(d: Decision, one: Standing) -> str:
    """Its accuracy compared with the recommended candidate's."""
    other = d.standings.get(d.chosen or d.stay or "")
    gap = (one.accuracy or 0.0) - ((other and other.accuracy) or 0.0)
    if abs(gap) <= ROUNDING:
        return "as accurate"
    tested = other and d.evidence.tested(one.name, other.name)
    chance = ", may be chance" if tested and not tested.significant() else ""
    return f"{points(gap)} {'worse' if gap < 0 else 'better'}{chance}"


# The facts


@dataclass(frozen=True, slots=True)
class Fact:
    """One of the facts at the top: what, its figure, and a second line."""

    what: str
    figure: str
    detail: str = ""


def facts(d: Decision, names: DisplayNames) -> list[Fact]:
    """Recommendation, accuracy, bill and errors, money at risk, next step."""
    return [_recommended(d, names), _accuracy(d), _bill(d), _at_risk(d), _next_step(d, names)]


def _recommended(d: Decision, names: DisplayNames) -> Fact:
    if d.chosen is None:
        return Fact("Recommendation", "none yet", "nothing is measured")
    if d.worse_than_today:
        return Fact("Recommendation", "Keep today's solution", f"best measured: {names[d.chosen]}")
    until = "until the data are complete" if d.verdict == "NEED-MORE-DATA" else ""
    if d.conditions:
        until = f"if {d.conditions[0].text}"
    if d.rivals:
        until = f"or {counted(len(d.rivals), 'other')}; {apart(d)}"
    return Fact("Recommendation", names[d.chosen], until)


def _accuracy(d: Decision) -> Fact:
    target = d.assumptions.target_accuracy
    goal = "no target stated" if target is None else f"target {percent(target)}"
    one = d.standings.get(d.chosen or "")
    if one is None or one.accuracy is None:
        return Fact("Accuracy", UNKNOWN, goal)
    if d.worse_than_today:
        best = f"as stated; best measured {percent(one.accuracy)}; {goal}"
        return Fact("Accuracy", percent(d.assumptions.current_accuracy), best)
    span = "stated" if one.low is None or one.high is None else _span(one.low, one.high)
    return Fact("Accuracy", percent(one.accuracy), f"{span}; {goal}")


def _span(low: float, high: float) -> str:
    return f"{100 * low:.1f} to {percent(high)}"


def _bill(d: Decision) -> Fact:
    """The bill and, if an error has a price, the errors of a month, compared with today's."""
    a, one = d.assumptions, d.costs.get(d.chosen or "")
    what = "Bill a month" if a.error_cost_usd is None else "Bill and errors a month"
    if a.monthly_volume is None:
        each = None if one is None else one.per_request_usd
        per = None if each is None else 1000 * each
        return Fact("Cost of 1,000 requests", usd(per), "monthly volume not stated")
    month = one.month(a.monthly_volume, a.error_cost_usd) if one else None
    if month is None:
        bill = next((c for c in d.conditions if c.code == "bill"), None)
        figure = UNKNOWN if bill is None or bill.value is None else f"at most {usd(bill.value)}"
        return Fact(what, figure, _against_today(d))
    span = "" if month.low is None or month.high is None else f"{usd(month.low)} to {usd(month.high)}"
    if d.worse_than_today and (today := _stated_month(d)):
        return Fact(what, usd(today.total), f"as stated; best measured {usd(month.total)}")
    return Fact(what, usd(month.total), "; ".join(filter(None, [span, _against_today(d)])))


def _against_today(d: Decision) -> str:
    a = d.assumptions
    used = next((name for name, one in d.standings.items() if one.today), None)
    cost = d.costs.get(used or "")
    if used == d.chosen and used is not None:
        return "as today"
    month = (
        cost.month(a.monthly_volume, a.error_cost_usd) if cost and a.monthly_volume is not None else _stated_month(d)
    )
    return "today's is not stated" if month is None else f"today {usd(month.total)}"


def _at_risk(d: Decision) -> Fact:
    """What is spent before it is known whether it pays back."""
    cost = d.costs.get(d.chosen or "")
    one = d.standings.get(d.chosen or "")
    if d.worse_than_today or (one and one.today):
        return Fact("Money at risk", "$0", "nothing new is bought")
    if d.verdict in TUNE and (back := d.paybacks.get(d.tuned or "")):
        special = {None: "payback unknown", math.inf: "not paid back by its cost alone"}
        takes = special.get(back.months, f"back in {months(back.months)}")
        return Fact("Money at risk", usd(cost.setup_usd if cost else None), f"set-up, {takes}")
    detail = "set-up, paid once"
    tune = d.costs.get(d.tuned or "")
    if d.verdict not in TUNE and tune and tune.setup_usd:
        detail = f"set-up; the tune would be {usd(tune.setup_usd)}"
    return Fact("Money at risk", usd(cost.setup_usd if cost else None), detail)


_ORDERS = {
    "too_few_labels": "Label more examples",
    "labels_unknown": "Count the labelled examples",
    "stability_unknown": "State whether the task is stable",
    "starved": "Tune on more examples",
    "may_be_chance": "Collect more test items",
    "target_open": "Collect more test items",
    "may_be_worse": "Collect more test items",
    "lever_not_tried": "Measure what was not tried",
    "no_target": "State a target accuracy",
    "no_tune": "Measure a fine-tuned candidate",
    "tune_not_measured": "Repair the tune and measure it again",
    "tune_broken": "Repair the tune and measure it again",
    "accuracy_unknown": "Try the tune on a part of the examples",
    "no_reference": "Measure a prompt",
    "cost_unknown": "State the missing prices",
    "volume_unknown": "State the monthly volume",
    "retrieval_first": "Add retrieval of documents",
    "payback_open": "Collect more test items",
    "latency_unknown": "Time more requests",
    "latency_open": "Time more requests",
}


def _next_step(d: Decision, names: DisplayNames) -> Fact:
    """The first step of the plan that is work."""
    steps = plan(d).steps
    first = next((one for one in d.reasons if one.code in _ORDERS and one.outcome != "passed"), None)
    if d.verdict in TUNE or first is None:
        step = steps[0] if steps else None
        action = "Nothing to do" if step is None else names.within(step.action)
        weeks = "" if step is None or not step.weeks else f"{step.weeks:g} week{'' if step.weeks == 1 else 's'}"
        cost = "" if step is None or not step.usd else usd(step.usd)
        return Fact("Next step", action[:1].upper() + action[1:], ", ".join(filter(None, [weeks, cost])))
    return Fact("Next step", _ORDERS[first.code], "then decide again")


def steps(d: Decision, names: DisplayNames) -> list[str]:
    """The steps of the plan, with names for people."""
    return [names.within(line) for line in plan_lines(d)[: len(plan(d).steps)]]


# The chart


def picture(d: Decision, names: DisplayNames, *, source: Sequence[str]) -> Picture:
    """The chart of the decision."""
    a = d.assumptions
    shown = {name for name, one in d.standings.items() if one.accuracy is not None}
    found = [_option(d, names, name) for name in d.standings if name in shown]
    if not any(one.role == "today" or d.standings[name].today for one, name in zip(found, shown, strict=True)):
        found += [
            figures.OptionMark(
                name=one.name,
                role="today",
                lever="none",
                accuracy=one.accuracy,
                usd=_shown_usd(d, one.month, a.current_cost_per_request_usd),
                usd_per_1000=_thousand(a.current_cost_per_request_usd),
            )
            for one in _today(d, names)
            if one.accuracy is not None
        ]
    items = max((one.n for one in d.standings.values()), default=0)
    return figures.options_picture(
        found,
        finding=finding(d, names),
        volume=a.monthly_volume,
        target=a.target_accuracy,
        items=items,
        source=source,
    )


def _option(d: Decision, names: DisplayNames, name: str) -> figures.OptionMark:
    one, cost, a = d.standings[name], d.costs.get(name), d.assumptions
    month = cost.month(a.monthly_volume, None) if cost and a.monthly_volume is not None else None
    back = d.paybacks.get(name)
    most = back.most_usd_per_request if back else None
    limit = None
    if month is None and d.given and most is not None and most >= 0 and a.monthly_volume is not None:
        limit = most * a.monthly_volume
    each = cost.per_request_usd if cost else None
    return figures.OptionMark(
        name=names[name],
        role=role(d, name),
        lever=_LEVERS[one.kind],
        accuracy=one.accuracy or 0.0,
        low=one.low,
        high=one.high,
        usd=_shown_usd(d, month, each) if limit is None else limit,
        usd_per_1000=_thousand(each),
        at_most=limit is not None,
    )


def _shown_usd(d: Decision, month: Month | None, each: float | None) -> float | None:
    """A month's bill without errors, or the cost of 1,000 requests if no volume is stated."""
    if d.assumptions.monthly_volume is None:
        return _thousand(each)
    return None if month is None or not math.isfinite(month.bill) else month.bill


def _thousand(each: float | None) -> float | None:
    return None if each is None else 1000 * each


def finding(d: Decision, names: DisplayNames) -> str:
    """What the chart shows, in a sentence."""
    target, best = d.assumptions.target_accuracy, next(iter(d.standings.values()), None)
    if best is None or best.accuracy is None:
        return "Nothing is measured."
    if target is None:
        return _gain(d, names, best)
    meeting = [one for one in d.standings.values() if one.accuracy is not None and one.against(target) == "meets"]
    if not meeting:
        unsure = any(one.against(target) == "open" for one in d.standings.values() if one.accuracy is not None)
        surely = "is shown to reach" if unsure else "reaches"
        return f"Nothing {surely} {percent(target)}; the best is at {percent(best.accuracy)}."
    if all(one.kind == "tuned" for one in meeting):
        return f"Only fine-tuning reaches {percent(target)}."
    if len(meeting) == 1:
        return f"Only {names.inside(meeting[0].name)} reaches {percent(target)}."
    cheapest = next((one for one in meeting if one.name == d.chosen), meeting[0])
    several = f"{counted(len(meeting), 'candidate')} reach {percent(target)}"
    return f"{several}; the cheapest is {names.inside(cheapest.name)}."


def _gain(d: Decision, names: DisplayNames, best: Standing) -> str:
    tuned, stay = d.standings.get(d.tuned or ""), d.evidence.best_untuned
    if tuned is None or tuned.accuracy is None or stay is None:
        if best.name == d.chosen and d.rivals:
            items, rivals = counted(best.n, "item"), counted(len(d.rivals), "other")
            return f"{items} cannot tell {names.inside(best.name)} from {rivals}."
        return f"{names[best.name]} is the most accurate, at {percent(best.accuracy)}."
    gap = tuned.accuracy - (stay.accuracy or 0.0)
    how = f"{points(gap)} {'more' if gap > 0 else 'less'} accurate than"
    if abs(gap) <= ROUNDING:
        how = "as accurate as"
    return f"Fine-tuning is {how} the best without it."


# Fairness


def fairness(d: Decision) -> list[tuple[str, str]]:
    """Whether the comparison was fair: labels, unanswered requests, base models, items, looks at the test split."""
    if d.given:
        return [("Basis", "stated figures; nothing was measured")]
    return [
        ("Labels used", _labels(d)),
        ("Without an answer", _unanswered(d)),
        ("Base model", _bases(d)),
        ("Test items", _items(d)),
    ]


def _labels(d: Decision) -> str:
    e, tuned = d.evidence, d.standings.get(d.tuned or "")
    least = "unknown" if e.labelled is None else f"{e.labelled:,}"
    others = max((one.labels or 0 for one in e.untuned), default=0)
    own = "" if tuned is None or not tuned.examples else f"tune {tuned.examples:,}, "
    return f"{own}others up to {others:,}; {least} in train"


def _unanswered(d: Decision) -> str:
    shares = {
        name: 1 - one.statuses.get("answered", 0) / one.requests
        for name, one in d.standings.items()
        if one.requests and not one.not_measured
    }
    lost = sum(1 for one in d.standings.values() if one.not_measured)
    left = f"; {counted(lost, 'candidate')} not measured" if lost else ""
    return f"at most {percent(max(shares.values(), default=0.0))} of a candidate's{left}"


def _bases(d: Decision) -> str:
    bases = list(dict.fromkeys(_short(one.base) for one in d.standings.values() if one.base))
    return f"{bases[0]} for all" if len(bases) == 1 else listed(bases) or "none"


def _items(d: Decision) -> str:
    e, n = d.evidence, max((one.n for one in d.standings.values()), default=0)
    size = f" of {e.test_items:,}" if e.test_items else ""
    look = f"; look {len(e.looks)} at them" if len(e.looks) > 1 else "; first look at them" if e.looks else ""
    near = f"; {e.near_leaks:,} nearly in train or dev" if e.near_leaks else ""
    return f"{n:,}{size}, the same for all{look}{near}"
