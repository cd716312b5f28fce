"""What earlier runs of this project measured: the best estimate of a hosted model, which a plan does not ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thirdlever.analysis.run import INFO, load
from thirdlever.core import project

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever.analysis.run import Run

ASSUMED_S = 1.5  # a request to a hosted model with a short answer, where no run has measured one


def runs() -> Iterator[Run]:
    """Finished runs, the latest first."""
    found = project.RESULTS.glob(f"*/{INFO}")
    for path in sorted(found, key=lambda path: path.stat().st_mtime, reverse=True):
        yield load(path.parent)


def seconds(model: str) -> tuple[float, str]:
    """Median latency of single requests to a model, and where it is from."""
    for run in runs():
        if not any(one["model"] == model for one in run.info["candidates"]):
            continue
        records = run.records
        probe = records[(records["model"] == model) & (records["phase"] == "latency") & ~records["cold"]]
        latencies = probe.loc[probe["error"].isna(), "latency_s"]
        if len(latencies):
            return float(latencies.median()), f"measured in {run.folder}"
    return ASSUMED_S, "assumed"
