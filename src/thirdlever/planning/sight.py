"""What so many items can show: the smallest difference that would be found, and the items that a wanted one takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.analysis.stats.power import Design
from thirdlever.planning import earlier

if TYPE_CHECKING:
    from thirdlever.suites.suite import Split, Suite

USUAL = 0.2  # share of items that two good candidates answer differently, where nobody has measured it


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What a comparison of two candidates would see, with a power of 80 % at a two-sided 5 %.

    Attributes:
        items: that are asked.
        detectable: the smallest difference in accuracy that is found; nan when none is.
        wanted: the difference that is to be found.
        needed: items that this takes.
        available: items of the test split.
        discordant: share of items that two candidates answer differently.
        effect: how many items are worth one, for items of one source are alike.
        basis: where these two are from.
    """

    items: int
    detectable: float
    wanted: float
    needed: int
    available: int
    discordant: float
    effect: float
    basis: str


def sight(suite: Suite, items: Split, wanted: float) -> Sight:
    """Look ahead, by the two best candidates of the latest run of the same suite where there is one."""
    design, basis = _measured(suite) or (
        Design(USUAL),
        f"assumed: two candidates answer {USUAL:.0%} of the items differently, and items are independent",
    )
    return Sight(
        items=len(items),
        detectable=design.detectable(len(items)),
        wanted=wanted,
        needed=design.needed(wanted),
        available=len(suite.test),
        discordant=design.discordant,
        effect=design.effect,
        basis=basis,
    )


def _measured(suite: Suite) -> tuple[Design, str] | None:
    from thirdlever.analysis.compare import Differences
    from thirdlever.analysis.outcomes import outcomes
    from thirdlever.core.errors import RunError

    for run in earlier.runs():
        if run.info["suite"]["hash"] != suite.hash or len(run.info["candidates"]) < 2:  # noqa: PLR2004 - a pair
            continue
        try:
            found = outcomes(run.records)
        except RunError:  # not all of its candidates answered the same items
            continue
        best = sorted(found.candidates, key=lambda name: -found.row(name).mean())[:2]
        differences = Differences(found, *best)
        if not differences.won + differences.lost:
            continue
        design = differences.design()
        return design, f"measured: {best[0]} and {best[1]} in {run.folder}, on {differences.n:,} items"
    return None
