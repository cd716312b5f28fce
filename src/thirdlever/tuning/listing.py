"""Jobs as lines for a terminal."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from thirdlever.catalog.tuning import profile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thirdlever.tuning.ledger import Job

_HEAD = (
    "ID",
    "ORDERED",
    "PROVIDER",
    "BASE",
    "DATA",
    "ROWS",
    "STATE",
    "TOKENS",
    "EST. USD",
    "JOB, TUNED MODEL OR ERROR",
)


def lines(jobs: Iterable[Job]) -> list[str]:
    """A table with a head; nothing when there are no jobs."""
    rows = [_row(job) for job in jobs]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (_HEAD, *rows)]


def costs(jobs: Iterable[Job]) -> list[str]:
    """What costs while nobody asks it."""
    return [
        f"WARNING: {profile(job.provider).title} deployment {job.served} stands and costs "
        f"${job.idle_usd_per_hour:.2f} an hour; remove it: thirdlever jobs teardown {job.short}"
        for job in jobs
        if job.served and job.idle_usd_per_hour
    ]


def _row(job: Job) -> tuple[str, ...]:
    tokens = job.estimated_tokens if job.trained_tokens is None else job.trained_tokens
    return (
        job.short,
        f"{dt.datetime.fromtimestamp(job.ordered).astimezone():%Y-%m-%d %H:%M}",
        job.provider,
        job.base,
        job.label,
        str(job.examples),
        job.said or job.stage,
        f"{'~' if job.trained_tokens is None else ''}{tokens}",
        "unknown" if job.estimated_usd is None else f"{job.estimated_usd:.2f}",
        job.error or job.tuned or job.id or "",
    )
