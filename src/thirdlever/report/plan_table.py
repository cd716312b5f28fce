"""A plan as a table for the terminal, or as JSON."""

from __future__ import annotations

import io
import json
import math
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

from thirdlever.analysis.usage import total
from thirdlever.core.text import UNKNOWN, escape_terminal, fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from thirdlever.analysis.past_runs import DetectableEffect
    from thirdlever.runner.plan import PlannedCandidate, RunPlan


_NAME_WIDTH = 34  # characters


def render_plan(plan: RunPlan, fmt: Literal["text", "json"] = "text", *, width: int = 100) -> str:
    """The plan as text.

    Args:
        plan: what `runner.plan.plan` returns.
        fmt: "text" for a terminal, "json" with every figure at full precision; unknown is null.
        width: columns of the terminal.
    """
    return _json(plan) if fmt == "json" else _text(plan, width)


def _json(plan: RunPlan) -> str:
    found = asdict(plan)
    effect, candidates = found.pop("detectable_effect"), found.pop("candidates")
    if math.isnan(effect["detectable"]):
        effect["detectable"] = None
    totals = {"requests": plan.requests, "usd": plan.usd, "minutes": plan.minutes}
    return json.dumps(found | totals | {"detectable_effect": effect, "candidates": candidates}, indent=2)


def _text(plan: RunPlan, width: int) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("candidate")
    for header in ("requests", "tokens\nin/out", "set-up\nrequests", "trained\ntokens", "USD", "minutes"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in plan.candidates:
        table.add_row(Text(fold(escape_terminal(one.candidate), _NAME_WIDTH)), *map(Text, _cells(one)))
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, legacy_windows=False)
    times = "once" if plan.epochs == 1 else f"{plan.epochs} times"
    of = plan.detectable_effect.available
    title = f"Plan for {escape_terminal(plan.suite)}: {plan.items:,} of {of:,} test items, each asked {times}."
    body = (*_totals(plan), "", *_effect(plan.detectable_effect), "", "Basis:", *_basis(plan))
    for line in (Text(title), "", table, "", *map(Text, body)):
        console.print(line)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _cells(one: PlannedCandidate) -> list[str]:
    return [
        f"{one.requests:,}",
        UNKNOWN if one.input_tokens is None else f"{tokens(one.input_tokens)}/{tokens(one.output_tokens)}",
        f"{one.setup_requests:,}" if one.setup_requests else "–",
        "–" if one.trained_tokens == 0 else tokens(one.trained_tokens),
        _at_least(one.usd, [one.request_usd, one.setup_usd], dollars),
        _at_least(one.minutes, [one.request_minutes, one.setup_minutes], minutes),
    ]


def _at_least(value: float | None, parts: list[float | None], show: Callable[[float | None], str]) -> str:
    """A sum; if a part is unknown, what is known of it."""
    known = sum(part for part in parts if part is not None)
    return f"≥ {show(known)}" if value is None and known else show(value)


def _totals(plan: RunPlan) -> list[str]:
    candidates = plan.candidates
    used = [total([one.input_tokens, one.output_tokens, one.setup_tokens]) for one in candidates]
    usd = _at_least(plan.usd, [part for one in candidates for part in (one.request_usd, one.setup_usd)], dollars)
    time = _at_least(
        plan.minutes, [part for one in candidates for part in (one.request_minutes, one.setup_minutes)], minutes
    )
    lines = [
        f"Total: {plan.requests:,} requests, {_at_least(total(used), used, tokens)} tokens, USD {usd}, minutes {time}."
    ]
    if plan.usd is None:
        names = ", ".join(escape_terminal(one.candidate) for one in candidates if one.usd is None)
        lines.append(
            f"Unknown USD: {names}; the reasons are above. Missing rates go into prices.toml (training: tuning.toml); "
            "--device-usd-per-hour is the rate of local models."
        )
    return lines


def _effect(effect: DetectableEffect) -> list[str]:
    if math.isnan(effect.detectable):
        found = "can detect no difference between two candidates reliably"
    else:
        found = (
            f"can detect a difference of {100 * effect.detectable:.1f} points between two candidates in 4 of 5 cases; "
            "smaller differences are likely missed"
        )
    wanted = f"Detecting {100 * effect.wanted:g} points takes {effect.needed:,} items"
    if effect.needed <= effect.items:
        wanted += ": there are enough."
    elif effect.needed <= effect.available:
        wanted += f": run with --limit {effect.needed}, or without --limit."
    else:
        wanted += f", and the suite has {effect.available:,}: label more, or accept a larger difference."
    return [f"{effect.items:,} items {found}.", wanted, f"({escape_terminal(effect.basis)}.)"]


def _basis(plan: RunPlan) -> list[str]:
    """Candidates with the same basis share a line."""
    by_basis: dict[str, list[str]] = {}
    for one in plan.candidates:
        by_basis.setdefault("; ".join(map(escape_terminal, one.basis)), []).append(escape_terminal(one.candidate))
    return [f"- {', '.join(names)}: {basis}." for basis, names in by_basis.items()]


def tokens(count: float | None) -> str:
    """Whole, thousands or millions.

    >>> [tokens(count) for count in (None, 0, 812, 15814, 1_234_567)]
    ['unknown', '0', '812', '15.8k', '1.23M']
    """
    if count is None:
        return UNKNOWN
    if count < 1000:  # noqa: PLR2004 - a thousand
        return f"{count:.0f}"
    return f"{count / 1e3:.3g}k" if count < 999_500 else f"{count / 1e6:.3g}M"  # noqa: PLR2004 - a million, rounded


def dollars(value: float | None) -> str:
    """Two significant digits below a dollar.

    >>> [dollars(value) for value in (None, 0.0, 0.0041, 12.345)]
    ['unknown', '0', '0.0041', '12.35']
    """
    if value is None:
        return UNKNOWN
    if not value:
        return "0"
    return f"{value:,.2f}" if value >= 1 else f"{value:.2g}"


def minutes(value: float | None) -> str:
    """Minutes, to a tenth below ten.

    >>> [minutes(value) for value in (None, 0.02, 3.14, 47.2)]
    ['unknown', '< 0.1', '3.1', '47']
    """
    if value is None:
        return UNKNOWN
    if value < 0.1:  # noqa: PLR2004
        return "< 0.1" if value else "0"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004
