"""A baseline in a terminal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from thirdlever.core.text import printable

if TYPE_CHECKING:
    from thirdlever.lifecycle.baseline import Baseline, Pinned

_UNKNOWN = "unknown"


def described(pinned: Baseline) -> str:
    """What was pinned, when, of what, and how it did."""
    options = ", ".join(f"{name}={value}" for name, value in pinned.options.items() if value is not None)
    versions = ", ".join(f"{name} {number}" for name, number in (pinned.facts.get("versions") or {}).items())
    lines = [
        f"{pinned.name}: suite {pinned.suite['name']}, {len(pinned.items):,} items, {pinned.date}",
        f"suite hash {pinned.suite['hash'][:16]}; {options}",
        f"made with {versions}",
        "",
        f"{'candidate':<32}{'model':<28}{'accuracy':>9}{'p95':>11}{'$/1,000':>11}",
        *(_row(one) for one in pinned.candidates),
    ]
    return "\n".join(map(printable, lines))


def _row(one: Pinned) -> str:
    accuracy, p95, cost = (one.figure(name) for name in ("accuracy", "latency_p95_s", "cost_per_1k_usd"))
    cells = [
        f"{100 * accuracy:.1f} %",
        _UNKNOWN if math.isnan(p95) else f"{1000 * p95:,.0f} ms",
        _UNKNOWN if math.isnan(cost) else f"{cost:.4g}",
    ]
    return f"{one.name:<32}{one.base or '-':<28}{cells[0]:>9}{cells[1]:>11}{cells[2]:>11}"
