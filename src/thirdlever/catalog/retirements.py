"""Announced retirement dates, for when a provider's list cannot be asked; the user's retirements.toml comes first."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path

from thirdlever.catalog.names import undated
from thirdlever.core.validation import FileModel, read_toml

OVERLAY = "retirements.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retirement(FileModel):
    """When a model stops answering.

    Attributes:
        retires: the first day on which it no longer answers.
        instead: the replacement that the provider recommends; "" if none.
        confidence: "list", "mirror" or "contract".
    """

    provider: str
    model: str
    retires: dt.date
    source: str
    as_of: dt.date
    instead: str = ""
    confidence: str = ""


@dataclass(frozen=True, slots=True)
class _Retirements(FileModel):
    retirement: list[Retirement] = field(default_factory=list)


def retirement(provider: str, model: str) -> Retirement | None:
    """The announced retirement of a model or of the dated snapshot's model; None if no row states it.

    Raises:
        ThirdleverError: the user's retirements.toml is malformed.
    """
    for path in (Path(OVERLAY), Path(__file__).with_name(OVERLAY)):
        rows = {(row.provider, row.model): row for row in read_toml(path, _Retirements).retirement}
        for name in (model, undated(model)):
            if (provider, name) in rows:
                return rows[provider, name]
    return None
