"""Runs that retrieve, made of figures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from helpers import costed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from thirdlever.analysis.run import Run


def requests(
    found: Sequence[Sequence[str] | None],
    gold: Sequence[Sequence[str] | None] | None = None,
    *,
    name: str = "rag",
    **columns: Any,  # noqa: ANN401 - a value or one a row
) -> pd.DataFrame:
    """A candidate's requests, by the passages that each found and the documents that hold the answer."""
    lists = {"retrieved": found, "gold": gold or [None] * len(found)}
    told = {column: [None if one is None else json.dumps(one) for one in each] for column, each in lists.items()}
    more: dict[str, Any] = told | {"retrieval_s": 0.02, "strategy": name} | columns
    return costed.requests(name, len(found), **more)


def run(records: Mapping[str, pd.DataFrame], **info: Any) -> Run:  # noqa: ANN401 - a key of run.json
    """A run in memory, with the latency probe of the same requests."""
    parts = [frame for own in records.values() for frame in (own, own.assign(phase="latency"))]
    return costed.run([costed.candidate(name) for name in records], parts, **info)
