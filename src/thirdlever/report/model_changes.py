"""The check of models as text for people and as JSON for programs."""

from __future__ import annotations

import io
import json
import textwrap
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.names import LOCAL
from thirdlever.core.text import counted, fold, percent, points, printable, usd
from thirdlever.decision.costs import HOURS_PER_MONTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from thirdlever.lifecycle.replace import Option, Proposal
    from thirdlever.lifecycle.stale import CheckedModel, StaleReport


_STALE_WIDTH = 100
_NAMED = 3  # of what depends on a model


def stale_text(report: StaleReport) -> str:
    """One block a model, those with something to do first."""
    models = sorted(report.models, key=lambda one: (not one.findings, not one.unchecked))
    lines = [line for one in models for line in _lines(one)]
    stale = sum(bool(one.findings) for one in models)
    blank = sum(one.unchecked for one in models)
    counts = [
        f"{len(models)} {'model' if len(models) == 1 else 'models'} in use",
        f"{stale} stale",
        *([f"{blank} not checked at all"] if blank else []),
    ]
    lines.append(f"{report.today}: {', '.join(counts)}; retirements counted up to {report.within} days ahead.")
    return "\n".join(printable(line) for line in lines)


def as_json(report: StaleReport) -> str:
    """Every field; days in ISO 8601, null for what is not known."""
    body = {
        "today": report.today.isoformat(),
        "within_days": report.within,
        "exit_code": report.exit_code,
        "models": [_row(one) for one in report.models],
    }
    return json.dumps(body, indent=2, ensure_ascii=False)


def _lines(one: CheckedModel) -> Iterator[str]:
    state = "STALE  " if one.findings else "unknown" if one.unchecked else "ok     "
    yield f"{state}  {one.model.name}"
    indent = " " * 9
    for alert in one.findings:
        yield from textwrap.wrap(f"{alert.sentence}.", _STALE_WIDTH, initial_indent=indent, subsequent_indent=indent)
        yield f"{indent}Next: {alert.remedy}"
    if one.model.provider == LOCAL:
        yield f"{indent}Weights of your own: nobody can retire them."
    elif not one.findings and one.source:
        yield f"{indent}{f'Answers until {one.retires}' if one.retires else 'No end is announced'}."
    if one.newer is None and one.source and not one.unknown:
        yield f"{indent}Newer models: not checked: its day of release is unknown."
    if one.unknown:
        yield f"{indent}{'Newer models: not' if one.source else 'Not'} checked: {one.unknown}."
    if one.source:
        yield f"{indent}According to: {one.source}"
    yield f"{indent}In use by: {'; '.join(_users(one.model.by))}"


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


_WIDTH = 100
_NAME = 30


def replace_text(proposal: Proposal) -> str:
    """What retires, what takes its place, every candidate that was considered, and what tuning anew costs."""
    blocks = [_retiring(proposal), _chosen(proposal), _options(proposal)]
    if proposal.reference.tuned:
        blocks.append(_retuning(proposal))
    return "\n\n".join("\n".join(textwrap.fill(line, _WIDTH) for line in lines) for lines in blocks)


def _retiring(proposal: Proposal) -> Iterator[str]:
    what = f"its base {proposal.base}" if proposal.reference.tuned else f"its model {proposal.base}"
    if proposal.base is None:
        end = "it asks no model"
    elif proposal.ours:
        end = f"{what} runs on weights of your own, which nobody can retire"
    elif proposal.retires is None:
        end = f"no end of {what} is known"
    else:
        days = (proposal.retires - proposal.today).days
        when = f"stops answering on {proposal.retires}, in {counted(days, 'day')}"
        end = f"{what} {when if days > 0 else f'stopped answering on {proposal.retires}'} ({proposal.source})"
    yield printable(f"{proposal.reference.candidate}: {end}.")
    right, asked = percent(proposal.reference.accuracy), usd(proposal.reference.per_request_usd)
    yield f"It is right on {right} of {counted(proposal.items, 'item')}, at {asked} a request."


def _chosen(proposal: Proposal) -> Iterator[str]:
    chosen, margin = proposal.chosen, points(proposal.margin)
    if chosen is None:
        yield f"Nothing measured takes its place: no candidate that lasts is shown to lose less than {margin}."
        best = max((one for one in proposal.options if one.outlives), key=lambda one: one.evidence.low, default=None)
        if best:
            yield printable(
                f"Nearest is {best.cost.candidate}. If it is in truth as good, "
                f"about {counted(best.evidence.needed, 'test item')} would show it."
            )
        return
    volume = proposal.assumptions.monthly_volume
    if volume is None or chosen.monthly_usd is None:
        price = f"{usd(chosen.cost.per_request_usd)} a request"
    else:
        price = f"{usd(chosen.monthly_usd)} a month for {counted(round(volume), 'request')}, all that stands included"
    yield printable(f"Takes its place: {chosen.cost.candidate}, at {price}.")
    yield f"It is the cheapest that lasts and is shown to lose less than {margin}, with a 5 % risk of error in all."
    if any(one.holds and one.outlives and one.cost.per_request_usd is None for one in proposal.options):
        yield "Others that do as well may be cheaper: what they cost is unknown."


def _options(proposal: Proposal) -> Iterator[str]:
    monthly = proposal.assumptions.monthly_volume is not None
    headers = ["right", "difference", "at worst", "$ a request", *["$ a month"] * monthly, "no worse?", "lasts?"]
    rows = [
        [
            fold(printable(one.cost.candidate), _NAME),
            percent(one.cost.accuracy),
            _signed(one.evidence.difference),
            _signed(one.evidence.low),
            usd(one.cost.per_request_usd),
            *[usd(one.monthly_usd)] * monthly,
            "yes" if one.holds else "not shown",
            _lasts(one),
        ]
        for one in proposal.options
    ]
    yield from _table(["candidate", *headers], rows)
    yield "Difference: points of accuracy against the one to be replaced; at worst: with 95 % confidence, each alone."


def _lasts(option: Option) -> str:
    if option.ours:
        return "yes, yours"
    if option.retires is None:
        return "no end known"
    return f"to {option.retires}" if option.outlives else f"no: {option.retires}"


def _retuning(proposal: Proposal) -> Iterator[str]:
    if not proposal.retuning:
        yield "Tuning anew: no provider whose rates are known takes jobs for a base that lasts."
        return
    count = "an unknown number of tokens" if proposal.tokens is None else counted(proposal.tokens, "token")
    yield f"Tuning anew on the same data ({count}; another model may count others):"
    rows = [
        [
            printable(f"{one.where} {one.base}"),
            usd(one.usd),
            usd(None if one.idle_usd_per_hour is None else one.idle_usd_per_hour * HOURS_PER_MONTH),
            usd(one.input_per_m),
            usd(one.output_per_m),
            one.as_of.isoformat(),
        ]
        for one in proposal.retuning
    ]
    yield from _table(["base", "training", "hosting a month", "in per 1M", "out per 1M", "rates as of"], rows)
    work = proposal.assumptions.managed_engineering_usd
    yield f"People's work comes on top, assumed at {usd(work)}. How right such a tune is, only a run will tell."


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column(headers[0])
    for header in headers[1:]:
        table.add_column(Text(header), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(Text, row))
    buffer = io.StringIO()
    Console(file=buffer, width=_WIDTH, color_system=None, highlight=False, legacy_windows=False).print(table)
    yield from (line.rstrip() for line in buffer.getvalue().splitlines())


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}"
