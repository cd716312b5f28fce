"""A plan for a terminal, and for other programs."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING, Any, Literal

from thirdlever.core.text import UNKNOWN, fold, printable

if TYPE_CHECKING:
    from thirdlever.runner.plan import Plan, Planned, Sight

Format = Literal["text", "json"]
_NAME = 34  # characters of a line of a candidate's name


def render(plan: Plan, fmt: Format = "text", *, width: int = 100) -> str:
    """The plan as text.

    Args:
        plan: what `planning.plan` returns.
        fmt: "text" for a reader, "json" for a program: there unknown is null.
        width: columns of the terminal.
    """
    return _json(plan) if fmt == "json" else _text(plan, width)


def _text(plan: Plan, width: int) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1), collapse_padding=True)
    table.add_column("candidate")
    for header in ("requests", "tokens\nin/out", "set-up:\nrequests", "tokens\ntrained", "USD", "minutes"):
        table.add_column(header, justify="right", no_wrap=True)
    for one in plan.candidates:
        table.add_row(Text(fold(printable(one.candidate), _NAME)), *map(Text, _cells(one)))
    buffer = io.StringIO()
    console = Console(file=buffer, width=width, color_system=None, highlight=False, legacy_windows=False)
    times = "once each" if plan.epochs == 1 else f"{plan.epochs} times each"
    console.print(
        Text(f"Plan for {printable(plan.suite)}: {plan.items:,} of {plan.sight.available:,} test items, {times}.")
    )
    console.print()
    console.print(table)
    console.print()
    for line in (*_total(plan), "", *_sight(plan.sight), "", "What the figures rest on:", *_basis(plan)):
        console.print(Text(line))
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines()) + "\n"


def _cells(one: Planned) -> list[str]:
    return [
        f"{one.requests:,}",
        f"{tokens(one.input_tokens)}/{tokens(one.output_tokens)}",
        f"{one.setup_requests:,}" if one.setup_requests else "–",
        tokens(one.trained_tokens) if one.trained_tokens else "–",
        usd(one.usd),
        minutes(one.minutes),
    ]


def _total(plan: Plan) -> list[str]:
    """All candidates together; where a part is unknown, what is known and whose is not."""
    sent = sum(one.input_tokens + one.output_tokens + one.setup_tokens for one in plan.candidates)
    said = [f"In all: {plan.requests:,} requests, {tokens(sent)} tokens"]
    for name, total, show in (("usd", plan.usd, usd), ("minutes", plan.minutes, minutes)):
        known = [value for one in plan.candidates if (value := getattr(one, name)) is not None]
        unit = "USD " if name == "usd" else "about "
        after = " minutes" if name == "minutes" else ""
        if total is None and not known:
            said.append(f"{unit.removeprefix('about ')}{UNKNOWN}{after}")
        else:
            said.append(f"{'' if total is not None else 'at least '}{unit}{show(sum(known))}{after}")
    lines = [", ".join(said) + "."]
    if plan.usd is None:
        names = ", ".join(printable(one.candidate) for one in plan.candidates if one.usd is None)
        lines.append(
            f"Unknown USD: {names}. State --device-usd-per-hour for a local model, rates in prices.toml for others."
        )
    return lines


def _sight(sight: Sight) -> list[str]:
    found = "the difference between two candidates, however large, is likely missed"
    if not math.isnan(sight.detectable):
        found = (
            f"two candidates that differ by {100 * sight.detectable:.1f} points or more are told apart, "
            "in 4 of 5 cases; smaller differences are likely missed"
        )
    wanted = f"A difference of {100 * sight.wanted:g} points takes {sight.needed:,} items"
    if sight.needed <= sight.items:
        wanted += ": there are enough."
    elif sight.needed <= sight.available:
        wanted += f": run with --limit {sight.needed}, or without --limit."
    else:
        wanted += f", and the suite has {sight.available:,}: label more, or accept a coarser answer."
    return [f"With {sight.items:,} items {found}.", wanted, f"({printable(sight.basis)}.)"]


def _basis(plan: Plan) -> list[str]:
    """Candidates with the same basis share a line."""
    by_basis: dict[str, list[str]] = {}
    for one in plan.candidates:
        by_basis.setdefault("; ".join(map(printable, one.basis)), []).append(printable(one.candidate))
    return [f"- {', '.join(names)}: {basis}." for basis, names in by_basis.items()]


def _json(plan: Plan) -> str:
    sight: dict[str, Any] = {name: getattr(plan.sight, name) for name in plan.sight.__slots__}
    if math.isnan(plan.sight.detectable):
        sight["detectable"] = None
    whole = {
        "suite": plan.suite,
        "items": plan.items,
        "epochs": plan.epochs,
        "requests": plan.requests,
        "usd": plan.usd,
        "minutes": plan.minutes,
        "sight": sight,
        "candidates": [one.to_dict() for one in plan.candidates],
    }
    return json.dumps(whole, indent=2, allow_nan=False)


def tokens(count: float) -> str:
    """Whole, thousands or millions.

    >>> [tokens(count) for count in (0, 812, 15814, 1_234_567)]
    ['0', '812', '15.8k', '1.23M']
    """
    if count < 1000:  # noqa: PLR2004 - a thousand
        return f"{count:.0f}"
    return f"{count / 1e3:.3g}k" if count < 999_500 else f"{count / 1e6:.3g}M"  # noqa: PLR2004 - a million, rounded


def usd(value: float | None) -> str:
    """Two digits that say something.

    >>> [usd(value) for value in (None, 0.0, 0.0041, 12.345)]
    ['unknown', '0', '0.0041', '12.35']
    """
    if value is None:
        return UNKNOWN
    if not value:
        return "0"
    return f"{value:,.2f}" if value >= 1 else f"{value:.2g}"


def minutes(value: float | None) -> str:
    """Minutes, to a tenth where there are few.

    >>> [minutes(value) for value in (None, 0.02, 3.14, 47.2)]
    ['unknown', '< 0.1', '3.1', '47']
    """
    if value is None:
        return UNKNOWN
    if value < 0.1:  # noqa: PLR2004
        return "< 0.1" if value else "0"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"  # noqa: PLR2004
