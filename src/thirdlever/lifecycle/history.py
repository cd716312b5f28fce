"""A suite over its runs: what was measured when, on which model, from results/ and its baselines."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.run import INFO, load
from thirdlever.core import project
from thirdlever.core.errors import RunError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from thirdlever.analysis.run import Run
    from thirdlever.lifecycle.baseline import Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What one candidate came to in one run. NaN and None are unknown.

    Attributes:
        run: its folder's name, or the baseline's.
        baseline: the name under which it is pinned; "" when it is not.
        when: the run ended.
        suite_hash: of the suite as it was.
        candidate: its name, without the model.
        strategy: its name.
        model: the base; None when none is asked.
        released: the day the base came out.
        n: items.
        accuracy: share that was right.
        low: lower end of its 95 % interval.
        high: upper end.
        usd_per_1k: cost of 1,000 requests.
        p50_s: median latency.
        p95_s: latency that 1 request in 20 exceeds.
    """

    run: str
    baseline: str
    when: dt.datetime
    suite_hash: str
    candidate: str
    strategy: str
    model: str | None
    released: dt.date | None
    n: int
    accuracy: float
    low: float
    high: float
    usd_per_1k: float
    p50_s: float
    p95_s: float


def history(suite: str) -> list[Point]:
    """Every candidate of every finished run and baseline of a suite, the oldest first.

    Raises:
        RunError: the suite has none.
    """
    names: set[str] = set()
    points: list[Point] = []
    for path in sorted(project.RESULTS.glob(f"*/{INFO}")):
        run = load(path.parent)
        names.add(run.info["suite"]["name"])
        if run.info["suite"]["name"] == suite:
            points += _of_run(run)
    for baseline in _baselines():
        names.add(baseline.suite["name"])
        if baseline.suite["name"] == suite:
            points = _with(points, baseline)
    if not points:
        raise RunError(unknown("history of suite", suite, names) + "; `thirdlever run SUITE` makes a first run")
    return sorted(points, key=lambda point: point.when)


def _baselines() -> Iterator[Baseline]:
    from thirdlever.lifecycle import baseline as pinning

    for name in pinning.available():
        yield pinning.load(name)


def _of_run(run: Run) -> Iterator[Point]:
    from thirdlever.analysis.scorecards import rows

    info = run.info
    about = {one["name"]: one for one in info["candidates"]}
    for row in rows(run.summary):
        if not row["n"]:  # the budget ended the run before its turn
            continue
        one = about[row["candidate"]]
        base = one["base"] if one["model"] else None
        low, high = row["accuracy_ci95"] or (math.nan, math.nan)
        yield Point(
            run=run.folder.name,
            baseline="",
            when=_when(info["finished"]),
            suite_hash=info["suite"]["hash"],
            candidate=one["name"].removesuffix(f" @ {base}"),
            strategy=one["strategy"],
            model=base,
            released=_released(info.get("snapshots"), base),
            n=row["n"],
            accuracy=row["accuracy"],
            low=low,
            high=high,
            usd_per_1k=row["cost_per_1k_usd"],
            p50_s=row["latency_p50_s"],
            p95_s=row["latency_p95_s"],
        )


def _with(points: list[Point], baseline: Baseline) -> list[Point]:
    """Mark the run that was pinned; where it is no longer here, take it from the baseline."""
    when = _when(baseline.facts["finished"])
    if any(point.when == when for point in points):
        return [replace(point, baseline=baseline.name) if point.when == when else point for point in points]
    from thirdlever.analysis.compare import accuracy
    from thirdlever.lifecycle.baseline import outcomes

    scores = {one.name: [got.score for got in one.got] for one in baseline.candidates}
    kept = outcomes(baseline.items, scores, epochs=int(baseline.options.get("epochs") or 1))
    made = []
    for one in baseline.candidates:
        found = accuracy(kept, one.name)
        made.append(
            Point(
                run=baseline.name,
                baseline=baseline.name,
                when=when,
                suite_hash=baseline.suite["hash"],
                candidate=one.name.removesuffix(f" @ {one.base}"),
                strategy=one.strategy,
                model=one.base,
                released=_released(baseline.facts.get("snapshots"), one.base),
                n=int(one.figure("n")),
                accuracy=found.value,
                low=found.low,
                high=found.high,
                usd_per_1k=one.figure("cost_per_1k_usd"),
                p50_s=one.figure("latency_p50_s"),
                p95_s=one.figure("latency_p95_s"),
            )
        )
    return points + made


def _released(snapshots: list[Mapping[str, Any]] | None, base: str | None) -> dt.date | None:
    """The day that a run noted of its model."""
    found = next((one for one in snapshots or [] if one["name"] == base), None)
    return dt.date.fromisoformat(found["created"]) if found and found.get("created") else None


def _when(text: str) -> dt.datetime:
    when = dt.datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)
