"""Reports on change: the release gate's findings (text, Markdown, JSON, JUnit XML), stale models, replacements."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, Literal
from xml.etree import ElementTree as ET

from thirdlever.catalog.model_names import LOCAL
from thirdlever.core.table import Column, Table
from thirdlever.core.text import (
    UNKNOWN,
    amount,
    counted,
    duration,
    escape_markdown,
    escape_terminal,
    listed,
    p_value,
    paragraph,
    percent,
    points,
    sentence,
    signed,
    usd,
)
from thirdlever.decision.costs import HOURS_PER_MONTH

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from thirdlever.lifecycle.checks import Check
    from thirdlever.lifecycle.diff import CandidateDiff, RunDiff
    from thirdlever.lifecycle.regress import Flip, Regression, Result
    from thirdlever.lifecycle.replace import Option, Proposal
    from thirdlever.lifecycle.stale import CheckedModel, StaleReport


Format = Literal["text", "md", "json", "junit"]
_LISTED = 20  # changed items that are shown; the JSON has all
_WIDE = 40  # characters of an item's input
_SIGNS = {"PASS": "✅", "FAIL": "❌", "INCONCLUSIVE": "❔", "NOT-MEASURED": "⚠️"}
_MEANING = {
    "PASS": "can replace the baseline: every limit holds",
    "FAIL": "must not replace the baseline: a limit is broken",
    "NOT-MEASURED": "cannot be judged: too many requests failed, were cut off or refused, or are unparsed",
    "INCONCLUSIVE": "cannot be judged yet: no limit is shown to be broken, but not every limit is shown to hold",
}


def render(found: Regression, fmt: Format = "text") -> str:
    """The findings in one of the formats."""
    match fmt:
        case "json":
            return found.to_json()
        case "junit":
            return to_xml(found)
        case "md":
            return _markdown(found)
        case "text":
            return _text(found)


def headline(found: Regression) -> str:
    """The verdict as a sentence."""
    new = listed(list(dict.fromkeys(filter(None, (result.new for result in found.results)))))
    return f"{found.verdict}: {new or 'the new run'} {_MEANING[found.verdict]}."


def saving(result: Result, found: Regression) -> str:
    """What the new model would save or cost per month; "" if a price or the volume is unknown.

    Also "" for a cost without a limit: that is device time, which depends on the machine as much as on the model.
    """
    cost = next((check for check in result.checks if check.name == "cost per 1,000"), None)
    if cost is None or cost.before is None or cost.after is None or cost.limit is None or found.monthly_volume is None:
        return ""
    saved = (cost.before - cost.after) * found.monthly_volume / 1000
    if math.isclose(saved, 0.0, abs_tol=0.005):
        return ""
    would = f"save ${saved:,.2f}" if saved > 0 else f"cost ${-saved:,.2f} more"
    return f"the new model would {would} per month at {counted(round(found.monthly_volume), 'request')}"


def _text(found: Regression) -> str:
    blocks = ["\n".join(map(paragraph, [headline(found), *_about(found)]))]
    for result in found.results:
        lines = [escape_terminal(_title(result)), *_checks(result).terminal().splitlines()]
        lines += [paragraph(line, first="- ", rest="  ") for line in _remarks(result, found)]
        for what, flips in (("broken", result.broken), ("fixed", result.fixed)):
            lines.append(f"{what}: {len(flips):,}{_first(flips)}")
            lines += [f"  {escape_terminal(_flip(flip))}" for flip in flips[:_LISTED]]
        blocks.append("\n".join(lines))
    return "\n\n".join([*blocks, escape_terminal(f"Records, logs and all answers: {found.folder}")]) + "\n"


def _markdown(found: Regression) -> str:
    about = "  \n".join(map(escape_markdown, _about(found)))
    blocks = [f"## {_SIGNS[found.verdict]} {escape_markdown(headline(found))}", about]
    for result in found.results:
        blocks += [f"### {_SIGNS[result.verdict]} {escape_markdown(_title(result))}", _checks(result).markdown()]
        blocks.append("\n".join(f"- {escape_markdown(line)}" for line in _remarks(result, found)))
        for what, flips in (("broken", result.broken), ("fixed", result.fixed)):
            summary = f"<summary>{len(flips):,} {what}{_first(flips)}</summary>"
            details = ["<details>" + summary, _flips(flips).markdown(), "</details>"]
            blocks += details if flips else [f"Nothing {what}."]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _about(found: Regression) -> list[str]:
    pinned = f"Suite {found.suite}, baseline {found.baseline} of {found.pinned}"
    lines = [
        f"{pinned}, {found.asked:,} of {counted(found.items, 'item')}.",
        "Change: percentage points, or a ratio (×) for latency and cost, with its interval.",
    ]
    if any(check.name.startswith("accuracy, slice") for result in found.results for check in result.checks):
        proof = "each slice must be shown to hold" if found.limits.prove_slices else "a slice counts only if it fails"
        lines.append(
            "PASS requires every check, so each is tested at 5 % without correction; "
            f"for FAIL, slices are corrected (Holm), and {proof}."
        )
    return lines + [sentence(note) for note in found.notes]


def _title(result: Result) -> str:
    models = f": {result.old} → {result.new}" if result.new else ""  # a strategy may use no model
    return f"{result.candidate}{models}: {result.verdict}"


def _remarks(result: Result, found: Regression) -> Iterator[str]:
    """The reasons of checks that do not simply pass, then what else has changed."""
    for check in result.checks:
        if _outcome(check) not in {"PASS", "open"}:
            yield f"{check.name}: {check.reason}"
    yield from filter(None, [saving(result, found), *result.notes])


def _checks(result: Result) -> Table:
    heads = (Column("check", "text"), *map(Column, ("baseline", "new", "change", "limit")), Column("outcome", "text"))
    rows = []
    for check in result.checks:
        source = "" if check.source == "default" else f" ({check.source})"
        limit = "" if check.limit is None else f"{_limit(check)}{source}"
        lost = check.verdict == "NOT-MEASURED"  # has no figures; the reason below the table says why
        before, after = ("" if lost else _value(value, check) for value in (check.before, check.after))
        rows.append((check.name, before, after, _change(check), limit, _outcome(check)))
    return Table(heads, rows)


def _outcome(check: Check) -> str:
    return check.verdict or ("no limit" if check.limit is None else "open")


def _value(value: float | None, check: Check) -> str:
    match check.unit:
        case _ if value is None:
            return UNKNOWN
        case "share":
            return percent(value)
        case "s":
            return duration(value)
        case "usd_per_1k":
            return usd(value)


def _change(check: Check) -> str:
    """A difference in points for shares, a ratio for latency and cost, each with its interval."""
    if check.change is None:
        return ""
    shown = signed if check.unit == "share" else "{:.2f}".format
    ends = "" if check.low is None else f" [{shown(check.low)}, {shown(check.high or 0.0)}]"
    return f"{'' if check.unit == 'share' else '×'}{shown(check.change)}{ends}"


def _limit(check: Check) -> str:
    limit = check.limit or 0.0
    if check.name.startswith("accuracy"):
        return f"> {100 * limit:+.3g}"
    return f"≤ {100 * limit:.3g} %" if check.unit == "share" else f"≤ ×{limit:g}"


def _first(flips: Sequence[Flip]) -> str:
    return f", the first {_LISTED}" if len(flips) > _LISTED else ""


def _flips(flips: Sequence[Flip], before: str = "before", after: str = "now") -> Table:
    """Answers are shown as code: they come from a model."""
    heads = ("item", "input", "target", before, after)
    return Table([Column(head, "name") for head in heads], [_row(flip) for flip in flips[:_LISTED]])


def _flip(flip: Flip) -> str:
    item, asked, target, before, after = _row(flip)
    right = f" (target: {target})" if target and target not in {before, after} else ""
    return f"{item}  {asked}{'  ' if asked else ''}{before} → {after}{right}"


def _row(flip: Flip) -> tuple[str, str, str, str, str]:
    short = flip.input if len(flip.input) <= _WIDE else f"{flip.input[: _WIDE - 1]}…"
    return flip.id, short, flip.target, flip.before, flip.after


def render_diff(found: RunDiff, fmt: Literal["text", "md", "json"] = "text") -> str:
    """What changed between two runs, and the items that flipped."""
    if fmt == "json":
        return found.to_json()
    escape = escape_markdown if fmt == "md" else escape_terminal
    item = "- " if fmt == "md" else "  "
    blocks = [escape(f"{found.suite}: {found.before} -> {found.after}, {counted(found.common, 'item')} in both.")]
    blocks.append(
        "\n".join(f"{item}{escape(line)}" for line in found.changes)
        or "Data, options, prices and versions are the same."
    )
    for name, lines in found.prompts.items():
        text = "\n".join(escape_terminal(line) for line in lines)
        blocks.append(f"{escape(f'prompt {name}')}\n" + (f"\n```diff\n{text}\n```" if fmt == "md" else text))
    blocks += [_candidate_diff(one, fmt, escape, item) for one in found.candidates]
    alone = (("first", found.only_before), ("second", found.only_after))
    blocks += [escape(f"Only in the {what} run: {', '.join(names)}.") for what, names in alone if names]
    return "\n\n".join(blocks) + "\n"


def render_alone(one: CandidateDiff, fmt: Literal["text", "md"]) -> str:
    """The items that only one of two candidates has right, or has better, and those with other differences."""
    lines = []
    for head, flips in (
        (f"{one.before} does better than {one.after} on", one.broken),
        (f"{one.after} does better than {one.before} on", one.fixed),
        ("Different answers that score the same:", one.reworded),
    ):
        head = f"{head} {counted(len(flips), 'item')}{_first(flips)}"  # noqa: PLW2901 - with its number
        if fmt == "md":
            lines += [
                f"### {escape_markdown(head)}\n",
                *([_flips(flips, one.before, one.after).markdown(), ""] if flips else []),
            ]
            continue
        lines.append(escape_terminal(f"{head}{f' (answer of {one.before} → of {one.after}):' if flips else ''}"))
        lines += _listed(flips, fmt)
    return "\n".join(lines)


def _listed(flips: Sequence[Flip], fmt: str) -> list[str]:
    if fmt == "md" and flips:
        return [_flips(flips).markdown(), ""]
    return [f"    {escape_terminal(_flip(flip))}" for flip in flips[:_LISTED]]


def _candidate_diff(one: CandidateDiff, fmt: str, escape: Callable[[str], str], item: str) -> str:
    name = one.after if one.before == one.after else f"{one.before} -> {one.after}"
    lines = [f"### {escape(name)}\n" if fmt == "md" else escape(name)]
    lines += [f"{item}{escape(change)}" for change in one.changes]
    if (found := one.comparison) is None:
        lines.append(f"{item}{escape(one.why_not)}")
    else:
        size = f"accuracy {signed(found.difference)} points [{signed(found.low)}, {signed(found.high)}]"
        lines.append(f"{item}{escape(f'{size}, p = {p_value(found.p)}'.replace('p = <', 'p < '))}")
    for what, flips in (("broken", one.broken), ("fixed", one.fixed)):
        lines.append(f"{item}{what}: {len(flips):,}{_first(flips)}")
        lines += [*[""] * (fmt == "md"), *_listed(flips, fmt)]
    return "\n".join(lines)


# JUnit XML: a check that is open or not measured is an error, so that it does not look green; one without a limit is
# skipped.

_TAGS = {"FAIL": "failure", "INCONCLUSIVE": "error", "NOT-MEASURED": "error", None: "skipped"}


def to_xml(found: Regression) -> str:
    """A JUnit XML document with its declaration: one test suite per candidate, one test case per check."""
    root = ET.Element("testsuites", name=escape_terminal(f"thirdlever regress {found.suite}"))
    for result in found.results:
        models = f": {result.old} -> {result.new}" if result.new else ""
        name = escape_terminal(f"{result.candidate}{models}")
        tags = [_TAGS.get(check.verdict) for check in result.checks]
        failures, errors, skipped = (str(tags.count(tag)) for tag in ("failure", "error", "skipped"))
        counts = {"tests": str(len(result.checks)), "failures": failures, "errors": errors, "skipped": skipped}
        suite = ET.SubElement(root, "testsuite", {"name": name, **counts, "time": "0"})
        for check in result.checks:
            case = ET.SubElement(suite, "testcase", classname=name, name=escape_terminal(check.name), time="0")
            tag = _TAGS.get(check.verdict)
            if tag is not None:
                why = ET.SubElement(case, tag, message=escape_terminal(check.reason))
                if tag != "skipped":
                    why.set("type", str(check.verdict))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return f"{document.decode()}\n"


# Models in use

_INDENT = " " * 9
_NAMED = 3  # candidates named for each run that uses a model


def stale_text(report: StaleReport) -> str:
    """One block per model, those that need action first."""
    models = sorted(report.models, key=lambda one: (not one.findings, not one.unchecked))
    lines = [line for one in models for line in _model(one)]
    stale, blank = sum(bool(one.findings) for one in models), sum(one.unchecked for one in models)
    counts = [f"{counted(len(models), 'model')} in use", f"{stale} stale", *([f"{blank} not checked"] if blank else [])]
    lines.append(f"{report.today}: {', '.join(counts)}; retirements within {counted(report.within, 'day')}.")
    return "\n".join(lines)


def stale_json(report: StaleReport) -> str:
    """Every field; dates in ISO 8601, null for unknown."""
    body = {
        "today": report.today.isoformat(),
        "within_days": report.within,
        "exit_code": report.exit_code,
        "models": [_stale_row(one) for one in report.models],
    }
    return json.dumps(body, indent=2, ensure_ascii=False)


def _model(one: CheckedModel) -> Iterator[str]:
    state = "STALE" if one.findings else "unknown" if one.unchecked else "ok"
    yield escape_terminal(f"{state:<9}{one.model.name}")
    for line in _usage(one):
        command = line.startswith("Next: ")  # to be copied: not broken
        yield _INDENT + escape_terminal(line) if command else paragraph(line, first=_INDENT, rest=_INDENT)


def _usage(one: CheckedModel) -> Iterator[str]:
    for alert in one.findings:
        yield f"{alert.sentence}."
        yield f"Next: {alert.remedy}"
    if one.model.provider == LOCAL:
        yield "Local weights: they cannot be retired."
    elif not one.findings and one.source:
        yield f"Available until {one.retires}." if one.retires else "No retirement announced."
    if one.newer is None and one.source and not one.unknown:
        yield "Newer models not checked: its release date is unknown."
    if one.unknown:
        yield f"{'Newer models not' if one.source else 'Not'} checked: {one.unknown}."
    if one.source:
        yield f"Source: {one.source}"
    yield f"Used by: {'; '.join(_users(one.model.by))}"


def _users(by: Iterable[str]) -> Iterator[str]:
    """`run demo: few_shot`, `run demo: rag` as `run demo: few_shot, rag`; a long list is cut."""
    grouped: dict[str, list[str]] = {}
    for user in by:
        about, _, candidate = user.partition(": ")
        grouped.setdefault(about, []).extend([candidate] if candidate else [])
    for about, names in grouped.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"{about}: {', '.join(names[:_NAMED])}{more}" if names else about


def _stale_row(one: CheckedModel) -> dict[str, Any]:
    return {
        "name": one.model.name,
        "provider": one.model.provider,
        "id": one.model.id,
        "tuned": one.model.tuned,
        "by": list(one.model.by),
        "created": one.created and one.created.isoformat(),
        "retires": one.retires and one.retires.isoformat(),
        "source": one.source or None,
        "newer": None if one.newer is None else list(one.newer),
        "alerts": [{"kind": a.kind, "sentence": a.sentence, "remedy": a.remedy} for a in one.findings],
        "not_checked": one.unknown or None,
    }


# A replacement


def replace_text(proposal: Proposal) -> str:
    """What retires, the recommended replacement, every candidate considered, and the cost of tuning again."""
    blocks = [
        "\n".join(map(paragraph, _retiring(proposal))),
        "\n".join(map(paragraph, _chosen(proposal))),
        _options(proposal),
    ]
    if proposal.reference.tuned:
        blocks.append(_retuning(proposal))
    return "\n\n".join(blocks)


def _retiring(proposal: Proposal) -> Iterator[str]:
    what = f"its {'base' if proposal.reference.tuned else 'model'} {proposal.base}"
    if proposal.base is None:
        end = "it uses no model"
    elif proposal.ours:
        end = f"{what} runs on local weights, which cannot be retired"
    elif proposal.retires is None:
        end = f"no retirement date of {what} is known"
    else:
        days = (proposal.retires - proposal.today).days
        ends = f"retires on {proposal.retires}, in {counted(days, 'day')}"
        when = ends if days > 0 else f"retired on {proposal.retires}"
        end = f"{what} {when} ({proposal.source})"
    yield f"{proposal.reference.candidate}: {end}."
    accuracy, cost = percent(proposal.reference.accuracy), usd(proposal.reference.per_request_usd)
    yield f"Accuracy: {accuracy} on {counted(proposal.items, 'item')}. Cost: {cost} per request."


def _chosen(proposal: Proposal) -> Iterator[str]:
    chosen, margin = proposal.chosen, points(proposal.margin)
    if chosen is None:
        yield f"No replacement: no available candidate is shown to be less than {margin} worse."
        best = max((one for one in proposal.options if one.outlives), key=lambda one: one.evidence.low, default=None)
        if best:
            needed = counted(best.evidence.needed, "test item")
            yield f"Closest: {best.cost.candidate}. If it is equally good, about {needed} would show it."
        return
    volume = proposal.assumptions.monthly_volume
    if volume is None or chosen.monthly_usd is None:
        price = f"{usd(chosen.cost.per_request_usd)} per request"
    else:
        monthly = f"{usd(chosen.monthly_usd)} per month for {counted(round(volume), 'request')}"
        price = f"{monthly}, fixed costs included"
    yield f"Recommended replacement: {chosen.cost.candidate}, at {price}."
    yield f"It is the cheapest available candidate shown to be less than {margin} worse (5 % risk of error overall)."
    if any(one.holds and one.outlives and one.cost.per_request_usd is None for one in proposal.options):
        yield "Other candidates are as good and may be cheaper: their cost is unknown."


def _options(proposal: Proposal) -> str:
    monthly = proposal.assumptions.monthly_volume is not None
    heads = (
        "accuracy %",
        "difference,\npoints",
        "at worst,\npoints",
        "cost $ per\nrequest",
        *["cost $ per\nmonth"] * monthly,
        "as good?",
        "available?",
    )
    rows = [
        (
            one.cost.candidate,
            percent(one.cost.accuracy).removesuffix(" %"),
            signed(one.evidence.difference),
            signed(one.evidence.low),
            amount(one.cost.per_request_usd),
            *[amount(one.monthly_usd)] * monthly,
            "yes" if one.holds else "not shown",
            _available(one),
        )
        for one in proposal.options
    ]
    table = Table([Column("candidate", "name"), *map(Column, heads)], rows).terminal()
    return f"{table}\n" + paragraph(
        "Difference: accuracy compared with the current candidate. At worst: its lower bound with 95 % confidence."
    )


def _available(option: Option) -> str:
    if option.ours:
        return "yes, local"
    if option.retires is None:
        return "no end known"
    return f"to {option.retires}" if option.outlives else f"no: {option.retires}"


def _retuning(proposal: Proposal) -> str:
    if not proposal.retuning:
        return "Tuning again: no provider with known rates tunes a base that stays available."
    tokens = "unknown number of tokens" if proposal.tokens is None else counted(proposal.tokens, "token")
    heads = ("training $", "hosting $\nper month", "input $ per\n1M tokens", "output $ per\n1M tokens", "rates as of")
    rows = [
        (
            f"{one.where} {one.base}",
            amount(one.usd),
            amount(None if one.idle_usd_per_hour is None else one.idle_usd_per_hour * HOURS_PER_MONTH),
            amount(one.input_per_m),
            amount(one.output_per_m),
            one.as_of.isoformat(),
        )
        for one in proposal.retuning
    ]
    work = usd(proposal.assumptions.managed_engineering_usd)
    return "\n".join(
        [
            f"Tuning again on the same data ({tokens}; other models may count differently):",
            Table([Column("base", "name"), *map(Column, heads)], rows).terminal(),
            paragraph(f"Engineering is extra (assumed: {work}). Only a run shows the accuracy of the new tune."),
        ]
    )
