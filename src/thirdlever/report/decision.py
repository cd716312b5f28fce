"""A decision as text for a terminal, as Markdown, or as JSON for programs."""

from __future__ import annotations

import json
import math
import re
import textwrap
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.analysis.stats.power import Design
from thirdlever.core.text import UNKNOWN, counted, listed, md_code, months, percent, points, printable, usd
from thirdlever.decision.assumptions import about

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thirdlever.decision.assumptions import Assumption
    from thirdlever.decision.evidence import Evidence, Standing
    from thirdlever.decision.gates import Verdict
    from thirdlever.decision.sensitivity import VerdictChange
    from thirdlever.decision.verdict import Decision


Format = Literal["text", "md", "json"]

WIDTH = 100
_NEVER = re.compile(r"months|requests|volume")  # amounts for which infinite means never
_MD = re.compile(r"([\\`*_\[\]<>|#~&])")
HEADERS = ("candidate", "right", "USD per 1,000", "set-up USD", "fixed a month", "payback")


def render(d: Decision, fmt: Format = "text") -> str:
    """The decision, ending in a line break.

    Args:
        d: what `decide` returns.
        fmt: "text" for a terminal; "md" for Markdown; "json" holds every figure at full precision: null is unknown,
            "never" is never.
    """
    match fmt:
        case "text":
            return _text(d)
        case "md":
            return _markdown(d)
        case "json":
            return json.dumps(to_dict(d), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_dict(d: Decision) -> dict[str, Any]:
    """For JSON."""
    whole = {
        field.name: _plain(getattr(d, field.name), field.name)
        for field in fields(d)
        if field.name not in {"assumptions", "evidence"}
    }
    whole |= {
        "given": d.given,
        "sentence": one_sentence(d),
        "notes": notes(d),
        "what_would_change": what_would_change(d),
    }
    whole["stopped_at"] = d.stopped_at.name if d.stopped_at else None
    whole["costs"] = {
        name: {
            **_plain(cost, name),
            "setup_usd": cost.setup_usd,
            "standing_usd_per_month": cost.standing_usd_per_month,
        }
        for name, cost in d.costs.items()
    }
    whole["assumptions"] = [asdict(one) for one in d.assumptions.listed()]
    return whole


def rows(d: Decision) -> list[tuple[str, ...]]:
    """The candidates' cells under `HEADERS`, best first; what is to be used is marked."""
    found: list[tuple[str, ...]] = []
    for name, one in d.standings.items():
        cost, back = d.costs.get(name), d.paybacks.get(name)
        standing = cost.standing_usd_per_month if cost else None
        found.append(
            (
                f"{name} *" if name == d.chosen else name,
                percent(one.accuracy),
                _usd(None if not cost or cost.per_request_usd is None else 1000 * cost.per_request_usd),
                _usd(cost.setup_usd if cost else None),
                _usd(standing),
                (months(back.months) if back else UNKNOWN) if one.kind == "tuned" else "",
            )
        )
    return found


def _text(d: Decision) -> str:
    blocks = [_wrapped(f"{d.verdict}. {one_sentence(d)}"), _table(d)]
    blocks.append("The three gates")
    for number, gate in enumerate(d.gates, 1):
        blocks.append(
            "\n".join(
                [
                    f"{number}. {gate.name}: {gate.verdict}",
                    *(_labelled("asked", gate.question), _labelled("known", gate.evidence)),
                    *(_labelled("held to", gate.threshold), _labelled("changes", gate.change)),
                ]
            )
        )
    questions = ["The six questions, in order"]
    for number, one in enumerate(d.matrix, 1):
        stops = "  <- the way stops here" if one is d.stopped_at else ""
        questions.append(f"{number}. {one.question}\n   {one.answer.upper()} ({one.basis}): {one.verdict}{stops}")
        questions.append(_labelled("known", one.evidence))
    blocks.append("\n".join(questions))
    blocks.append(_bullets("What would change this", what_would_change(d)))
    blocks.append(_bullets("Besides", notes(d)))
    blocks += [_bullets("Assumed", _assumptions(d))]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _table(d: Decision) -> str:
    cells = [tuple(map(printable, row)) for row in rows(d)]
    widths = [max(map(len, column)) for column in zip(HEADERS, *cells, strict=True)]
    widths[0] = min(widths[0], WIDTH - sum(widths[1:]) - 2 * len(widths[1:]))
    lines = []
    for row in (HEADERS, *cells):
        name, *rest = textwrap.wrap(row[0], widths[0], break_on_hyphens=False) or [""]
        figures = "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
        lines += [f"{name:<{widths[0]}}{figures}".rstrip(), *(f"  {line}" for line in rest)]
    paid_back = f" Payback: against {d.stay}." if d.stay and d.paybacks else ""
    starred = "the best measured" if d.worse_than_today else "to be used"
    lines.append(_wrapped(f"* {starred}.{paid_back} Set-up: people's work and labels included."))
    return "\n".join(lines)


def _labelled(label: str, text: str) -> str:
    return _wrapped(text, f"   {label:<9}", " " * 12)


def _bullets(title: str, sentences: Iterable[str]) -> str:
    lines = [_wrapped(one, "- ", "  ") for one in sentences]
    return "\n".join([title, *lines]) if lines else ""


def _wrapped(text: str, first: str = "", then: str = "") -> str:
    return textwrap.fill(printable(text), WIDTH, initial_indent=first, subsequent_indent=then, break_on_hyphens=False)


def _markdown(d: Decision) -> str:
    lines = [f"**{d.verdict}.** {_md(one_sentence(d))}", "", f"| {' | '.join(HEADERS)} |", "|:--|" + "--:|" * 5]
    for name, *cells in rows(d):
        chosen = name.removesuffix(" *")
        shown = f"**{md_code(chosen)}**" if chosen == d.chosen else md_code(name)
        lines.append(f"| {shown} | {' | '.join(cells)} |")
    lines += [
        "",
        "## The three gates",
        "",
        "| gate | verdict | known | held to | what would change it |",
        "|:--|:--|:--|:--|:--|",
    ]
    for gate in d.gates:
        texts = (gate.evidence, gate.threshold, gate.change)
        lines.append(f"| {gate.name} | **{gate.verdict}** | {' | '.join(map(_md, texts))} |")
    lines += [
        "",
        "## The six questions",
        "",
        "| | question | answer | rests on | verdict | known |",
        "|--:|:--|:--|:--|:--|:--|",
    ]
    for number, one in enumerate(d.matrix, 1):
        stops = " (the way stops here)" if one is d.stopped_at else ""
        cells = [one.question, one.answer, one.basis, f"{one.verdict}{stops}", _md(one.evidence)]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    for title, sentences in (("What would change this", what_would_change(d)), ("Besides", notes(d))):
        if sentences:
            lines += ["", f"## {title}", "", *(f"- {_md(one)}" for one in sentences)]
    lines += ["", "## Assumed", "", *(f"- {_md(one)}" for one in _assumptions(d))]
    return "\n".join(lines) + "\n"


def _md(text: str) -> str:
    """Names come from users' files: nothing in them is a link, HTML or the end of a cell."""
    return _MD.sub(r"\\\1", printable(text)).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


def _assumptions(d: Decision) -> list[str]:
    """What is taken for granted, one a line, and what nobody states in one."""
    every = d.assumptions.listed()
    silent = [one.name for one in every if one.value is None]
    stated = [_assumed(one) for one in every if one.value is not None]
    return [*stated, f"unknown, for nobody states them: {', '.join(silent)}"] if silent else stated


def _assumed(one: Assumption) -> str:
    value = one.value
    if isinstance(value, bool):
        shown = "yes" if value else "no"
    elif isinstance(value, float):
        shown = percent(value) if one.unit == "share" else f"{value:,.10g} {one.unit}"
    else:
        shown = str(value)
    return f"{one.name} = {shown}: {one.meaning} [{one.source}]"


def _usd(amount: float | None) -> str:
    return usd(amount).removeprefix("$")


def _plain(value: Any, name: str) -> Any:  # noqa: ANN401 - anything a decision holds
    if is_dataclass(value) and not isinstance(value, type):
        return {
            field.name: _plain(getattr(value, field.name), field.name) for field in fields(value) if _shown(field.name)
        }
    if isinstance(value, dict):
        return {str(key): _plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "never" if value > 0 and _NEVER.search(name) else None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _shown(name: str) -> bool:
    return not name.endswith("draws")


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


def what_would_change(d: Decision) -> list[str]:
    """What the gates that hold the verdict ask for, then the assumptions that would change it."""
    every = d.gates if d.verdict == "GO" else (*d.gates, *d.matrix)
    asked = list(dict.fromkeys(one.change for one in every if one.verdict == d.verdict))
    if d.verdict != "GO" and len(asked) > 1:
        asked.insert(0, f"It takes all of the next {len(asked)} together: each holds the verdict by itself.")
    if d.verdict == "NO-GO":
        asked += [f"Also open: {one.change}" for one in every if one.verdict == "NEED-MORE-DATA"]
    return [*dict.fromkeys(asked), *[flipped(flip, d.verdict) for flip in d.flips if flip.becomes][:_FLIPS]]


def flipped(flip: VerdictChange, now: Verdict) -> str:
    """What another value of an assumption would do."""
    row = about(flip.name)
    was = f"now {_value(flip.value, row.unit)}" if flip.value is not None else f"now {UNKNOWN}"
    there = flip.at(lambda value: _value(value, row.unit))
    return f"{flip.name} of {there} ({was}: {row.meaning}) would make it {flip.becomes}, not {now}."


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


def notes(d: Decision) -> list[str]:
    """Sentences, the weightiest first."""
    e = d.evidence
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
