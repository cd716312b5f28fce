"""A decision as text for a terminal, as Markdown, or as JSON for programs."""

from __future__ import annotations

import json
import math
import re
import textwrap
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.core.text import UNKNOWN, md_code, months, percent, printable, usd

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thirdlever.decision.assumptions import Assumption
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
        field.name: _plain(getattr(d, field.name), field.name) for field in fields(d) if field.name != "assumptions"
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
    blocks = [_wrapped(f"{d.verdict}. {d.sentence}"), _table(d)]
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
    blocks.append(_bullets("What would change this", d.what_would_change))
    blocks.append(_bullets("Besides", d.notes))
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
    lines = [f"**{d.verdict}.** {_md(d.sentence)}", "", f"| {' | '.join(HEADERS)} |", "|:--|" + "--:|" * 5]
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
    for title, sentences in (("What would change this", d.what_would_change), ("Besides", d.notes)):
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
