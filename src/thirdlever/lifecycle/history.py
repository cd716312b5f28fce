"""The history of a suite: accuracy, cost and latency of every candidate in all runs and baselines."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.run import INFO, load
from thirdlever.analysis.statuses import Tolerance
from thirdlever.core import project
from thirdlever.core.errors import RunError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from thirdlever.analysis.run import Run
    from thirdlever.lifecycle.baseline import Baseline


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One candidate in one run. NaN and None are unknown.

    Attributes:
        run: name of the run's folder, or of the baseline if the run is gone.
        baseline: name of the run's baseline; "" if it has none.
        when: end of the run.
        suite_hash: hash of the suite at that time.
        candidate: its name, without the model.
        strategy: its strategy's name.
        model: the base model; None if it calls none.
        released: release date of the base model.
        n: items.
        accuracy: 0 to 1; NaN if it is not measured.
        low: lower end of its 95 % interval.
        high: upper end.
        usd_per_1k: cost of 1,000 requests.
        p50_s: median latency.
        p95_s: 95th percentile of the latency.
    """

    run: str
    baseline: str = ""
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
    """Every candidate of every finished run and baseline of a suite, oldest first.

    Raises:
        RunError: the suite has no run.
    """
    from thirdlever.lifecycle import baseline as baselines

    names: set[str] = set()
    points: list[Point] = []
    for path in sorted(project.RESULTS.glob(f"*/{INFO}")):
        run = load(path.parent)
        names.add(run.info["suite"]["name"])
        if run.info["suite"]["name"] == suite:
            points += _of_run(run)
    for baseline in map(baselines.load, baselines.available()):
        names.add(baseline.suite["name"])
        if baseline.suite["name"] == suite:
            points = _with_baseline(points, baseline)
    if not points:
        raise RunError(unknown("history of suite", suite, names) + "; create one with `thirdlever run SUITE`")
    return sorted(points, key=lambda point: point.when)


def _of_run(run: Run) -> Iterator[Point]:
    from thirdlever.analysis.scorecards import rows

    info = run.info
    candidates = {one["name"]: one for one in info["candidates"]}
    for row in rows(run.summary):
        if not row["n"]:  # the run stopped at its budget before this candidate
            continue
        one = candidates[row["candidate"]]
        low, high = row["accuracy_ci95"] or (math.nan, math.nan)
        yield Point(
            run=run.folder.name,
            when=_when(info["finished"]),
            suite_hash=info["suite"]["hash"],
            n=row["n"],
            accuracy=row["accuracy"],
            low=low,
            high=high,
            usd_per_1k=row["cost_per_1k_usd"],
            p50_s=row["latency_p50_s"],
            p95_s=row["latency_p95_s"],
            **_names(one["name"], one["strategy"], one["base"] if one["model"] else None, info.get("snapshots")),
        )


def _with_baseline(points: list[Point], baseline: Baseline) -> list[Point]:
    """Mark the baseline's run; if its folder is gone, add its points from the baseline."""
    when = _when(baseline.facts["finished"])
    if any(point.when == when for point in points):
        return [replace(point, baseline=baseline.name) if point.when == when else point for point in points]
    return [*points, *_of_baseline(baseline, when)]


def _of_baseline(baseline: Baseline, when: dt.datetime) -> Iterator[Point]:
    from thirdlever.analysis.compare import accuracy
    from thirdlever.lifecycle.baseline import outcomes

    scores = {one.name: [result.score for result in one.results] for one in baseline.candidates}
    measured = outcomes(baseline.items, scores, epochs=baseline.epochs)
    for one in baseline.candidates:
        found = accuracy(measured, one.name)
        unmeasured = one.not_measured(Tolerance.of(baseline.options))
        yield Point(
            run=baseline.name,
            baseline=baseline.name,
            when=when,
            suite_hash=baseline.suite["hash"],
            n=int(one.figure("n")),
            accuracy=math.nan if unmeasured else found.value,
            low=math.nan if unmeasured else found.low,
            high=math.nan if unmeasured else found.high,
            usd_per_1k=one.figure("cost_per_1k_usd"),
            p50_s=one.figure("latency_p50_s"),
            p95_s=one.figure("latency_p95_s"),
            **_names(one.name, one.strategy, one.base, baseline.facts.get("snapshots")),
        )


def _names(name: str, strategy: str, base: str | None, snapshots: list[Mapping[str, Any]] | None) -> dict[str, Any]:
    """A point's candidate, strategy, model and the model's release date."""
    created = next((one.get("created") for one in snapshots or [] if one["name"] == base), None)
    released = dt.date.fromisoformat(created) if created else None
    return {"candidate": name.removesuffix(f" @ {base}"), "strategy": strategy, "model": base, "released": released}


def _when(text: str) -> dt.datetime:
    when = dt.datetime.fromisoformat(text)
    return when if when.tzinfo else when.replace(tzinfo=dt.UTC)
