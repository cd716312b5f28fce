"""Reports on models that change: which models in use are stale, and what can replace a candidate."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.names import LOCAL
from thirdlever.core.table import Column, Table
from thirdlever.core.text import amount, counted, escape_terminal, paragraph, percent, points, signed, usd
from thirdlever.decision.costs import HOURS_PER_MONTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thirdlever.lifecycle.replace import Option, Proposal
    from thirdlever.lifecycle.stale import CheckedModel, StaleReport


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


def as_json(report: StaleReport) -> str:
    """Every field; dates in ISO 8601, null for unknown."""
    body = {
        "today": report.today.isoformat(),
        "within_days": report.within,
        "exit_code": report.exit_code,
        "models": [_row(one) for one in report.models],
    }
    return json.dumps(body, indent=2, ensure_ascii=False)


def _model(one: CheckedModel) -> Iterator[str]:
    state = "STALE" if one.findings else "unknown" if one.unchecked else "ok"
    yield escape_terminal(f"{state:<9}{one.model.name}")
    for line in _about(one):
        command = line.startswith("Next: ")  # to be copied: not broken
        yield _INDENT + escape_terminal(line) if command else paragraph(line, first=_INDENT, rest=_INDENT)


def _about(one: CheckedModel) -> Iterator[str]:
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


def _row(one: CheckedModel) -> dict[str, Any]:
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
