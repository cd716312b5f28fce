"""The check of models as text for people and as JSON for programs."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.names import LOCAL
from thirdlever.core.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thirdlever.lifecycle.stale import Checked, Report

_WIDTH = 100
_NAMED = 3  # of what depends on a model


def text(report: Report) -> str:
    """One block a model, those with something to do first."""
    models = sorted(report.models, key=lambda one: (not one.alerts, not one.blank))
    lines = [line for one in models for line in _lines(one)]
    stale = sum(bool(one.alerts) for one in models)
    blank = sum(one.blank for one in models)
    counts = [
        f"{len(models)} {'model' if len(models) == 1 else 'models'} in use",
        f"{stale} stale",
        *([f"{blank} not checked at all"] if blank else []),
    ]
    lines.append(f"{report.today}: {', '.join(counts)}; retirements counted up to {report.within} days ahead.")
    return "\n".join(printable(line) for line in lines)


def as_json(report: Report) -> str:
    """Every field; days in ISO 8601, null for what is not known."""
    body = {
        "today": report.today.isoformat(),
        "within_days": report.within,
        "exit_code": report.exit_code,
        "models": [_row(one) for one in report.models],
    }
    return json.dumps(body, indent=2, ensure_ascii=False)


def _lines(one: Checked) -> Iterator[str]:
    state = "STALE  " if one.alerts else "unknown" if one.blank else "ok     "
    yield f"{state}  {one.pin.name}"
    indent = " " * 9
    for alert in one.alerts:
        yield from textwrap.wrap(f"{alert.sentence}.", _WIDTH, initial_indent=indent, subsequent_indent=indent)
        yield f"{indent}Next: {alert.remedy}"
    if one.pin.provider == LOCAL:
        yield f"{indent}Weights of your own: nobody can retire them."
    elif not one.alerts and one.source:
        yield f"{indent}{f'Answers until {one.retires}' if one.retires else 'No end is announced'}."
    if one.newer is None and one.source and not one.unknown:
        yield f"{indent}Newer models: not checked: its day of release is unknown."
    if one.unknown:
        yield f"{indent}{'Newer models: not' if one.source else 'Not'} checked: {one.unknown}."
    if one.source:
        yield f"{indent}According to: {one.source}"
    yield f"{indent}In use by: {'; '.join(_users(one.pin.by))}"


def _users(by: Iterable[str]) -> Iterator[str]:
    """`run demo: few_shot`, `run demo: rag` as `run demo: few_shot, rag`; a long list is cut."""
    grouped: dict[str, list[str]] = {}
    for user in by:
        about, _, candidate = user.partition(": ")
        grouped.setdefault(about, []).extend([candidate] if candidate else [])
    for about, names in grouped.items():
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"{about}: {', '.join(names[:_NAMED])}{more}" if names else about


def _row(one: Checked) -> dict[str, Any]:
    return {
        "name": one.pin.name,
        "provider": one.pin.provider,
        "id": one.pin.id,
        "tuned": one.pin.tuned,
        "by": list(one.pin.by),
        "created": one.created and one.created.isoformat(),
        "retires": one.retires and one.retires.isoformat(),
        "source": one.source or None,
        "newer": None if one.newer is None else list(one.newer),
        "alerts": [{"kind": a.kind, "sentence": a.sentence, "remedy": a.remedy} for a in one.alerts],
        "not_checked": one.unknown or None,
    }
