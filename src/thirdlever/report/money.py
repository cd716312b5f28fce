"""Costs, prices and payback as text: each figure with what it rests on."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING

from thirdlever.core.text import UNKNOWN, md_code, months, printable, usd

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.catalog.prices import Hour, Price
    from thirdlever.decision.assumptions import Assumption, Value
    from thirdlever.decision.costs import Cost
    from thirdlever.decision.payback import Payback

OLD_DAYS = 90


def price_lines(prices: Mapping[str, Price | None], today: dt.date | None = None) -> list[str]:
    """Which prices were used: rates, source, date; one line for models that share a price, then those that are old.

    Args:
        prices: by model; a model without one is left out, for its device's time is paid or its cost is unknown.
        today: from when age is counted; today by default.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    models: dict[Price, list[str]] = {}
    for model, price in prices.items():
        if price is not None:
            models.setdefault(price, []).append(printable(model))
    lines = [f"{', '.join(names)}: {_rates(price)}" for price, names in models.items()]
    for price in models:
        lines += _aged(price.model, price.as_of, today)
    return lines


def device_lines(device: Hour | None, utilisation: float, today: dt.date | None = None) -> list[str]:
    """Which hourly rate local models' time was paid at."""
    if device is None:
        return []
    origin = printable(", ".join(filter(None, [device.source, device.as_of, device.confidence])))
    least = "" if device.least is None else f", from {usd(device.least)}"
    line = f"device time: {usd(device.usd)} an hour ({origin}{least}), {100 * utilisation:.0f} % utilised"
    return [line, *_aged("device time", device.as_of, today or dt.datetime.now(dt.UTC).date())]


def costs_table(costs: Sequence[Cost]) -> str:
    """Markdown: what a request, a right answer, the set-up and a month cost."""
    lines = [
        "| candidate | 1,000 requests [95 % interval] | 1,000 right answers | set-up, once | standing, each month |",
        "|:--|--:|--:|--:|--:|",
    ]
    for cost in costs:
        cells = (_per_1000(cost), thousand(cost.per_correct_usd), usd(cost.setup_usd), usd(cost.standing_usd_per_month))
        lines.append(f"| {md_code(cost.candidate)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def cost_lines(cost: Cost) -> list[str]:
    """Every part of a candidate's cost, one line each, with what it rests on."""
    lines = [f"a request: {usd(cost.per_request_usd)}{_interval(cost)}: {cost.basis.get('per request', 'given')}"]
    for when, parts in (("once", cost.setup), ("a month", cost.standing)):
        for part, amount in parts.items():
            lines.append(f"{part}, {when}: {usd(amount)}: {cost.basis.get(part, 'given')}")
    return [printable(line) for line in lines]


def assumption_lines(assumptions: Sequence[Assumption]) -> list[str]:
    """What was assumed, and who says so."""
    return [
        printable(f"{one.name} = {_value(one.value)}{f' {one.unit}' if one.unit and one.value is not None else ''}: ")
        + printable(f"{one.meaning}{f' ({one.source})' if one.source else ''}")
        for one in assumptions
    ]


def payback_sentence(back: Payback) -> str:
    """When the money is back, in words."""
    pair = printable(f"{back.candidate} against {back.reference}")
    if back.months is None:
        return f"{pair}: when the money is back is {UNKNOWN}; it {back.condition}"
    if math.isinf(back.months):
        return f"{pair}: the money never comes back at this volume; it {back.condition}"
    if not back.months:
        return f"{pair}: costs no more from the first day; it {back.condition}"
    ends = (
        "" if back.months_low is None else f" (95 % interval {months(back.months_low)} to {months(back.months_high)})"
    )
    return f"{pair}: the money is back after {months(back.months)}{ends}; it {back.condition}"


def roi(value: float | None) -> str:
    """What a dollar of extra set-up brings over the model's life, its own return not counted."""
    if value is None or math.isnan(value):
        return UNKNOWN
    if math.isinf(value):
        return "a gain without extra set-up" if value > 0 else "a loss without extra set-up"
    return f"{usd(abs(value))} {'gained' if value >= 0 else 'lost'} for each $1 of extra set-up"


def thousand(amount: float | None) -> str:
    """USD for a thousand of what costs so much; never where there is none for any money."""
    if amount is None or math.isnan(amount):
        return UNKNOWN
    return "never" if math.isinf(amount) else usd(1000 * amount)


def _per_1000(cost: Cost) -> str:
    ends = "" if cost.low is None or cost.high is None else f" [{usd(1000 * cost.low)}, {usd(1000 * cost.high)}]"
    return thousand(cost.per_request_usd) + ends


def _interval(cost: Cost) -> str:
    if cost.low is None or cost.high is None:
        return ""
    return f" (95 % interval {usd(cost.low)} to {usd(cost.high)})"


def _rates(price: Price) -> str:
    parts = [f"{usd(price.input_per_m)} in", f"{usd(price.cached_input_per_m)} cached"]
    if price.cache_write_per_m is not None:
        parts.append(f"{usd(price.cache_write_per_m)} written to the cache")
    parts.append(f"{usd(price.output_per_m)} out, USD per 1M tokens")
    dearer = f"; dearer above {price.tiers[0].above:,} prompt tokens" if price.tiers else ""
    origin = ", ".join(filter(None, [price.source, price.as_of or "no date given", price.confidence]))
    return printable(f"{', '.join(parts)}{dearer} ({price.model}: {origin})")


def _aged(what: str, as_of: str | None, today: dt.date) -> list[str]:
    """A line when a price is so old that it may have changed."""
    if as_of is None:
        return []
    try:
        days = (today - dt.date.fromisoformat(as_of[:10])).days
    except ValueError:
        return [printable(f"{what}: its date {as_of!r} is none; write it as 2026-11-01 in prices.toml")]
    if days <= OLD_DAYS:
        return []
    return [
        printable(f"old: the price of {what} is {days} days old ({as_of}); check it, and state today's in prices.toml")
    ]


def _value(value: Value) -> str:
    match value:
        case None:
            return UNKNOWN
        case bool():
            return "yes" if value else "no"
        case str():
            return value
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"  # noqa: PLR2004 - no decimals
