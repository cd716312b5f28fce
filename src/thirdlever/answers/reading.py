"""How a completion is read: the result, and what all answer kinds share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["answered", "unparsed", "refused", "cut_off", "failed"]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a completion says.

    Attributes:
        value: the answer, in the form that is compared with the target; None if there is none.
        status: "answered" if there is one. Otherwise why not: "unparsed", "refused", "cut_off" (generation ended before
            the answer) or "failed" (the request did).
        reason: how it was read, or why it was not, for the reader of a report.
    """

    value: str | None
    status: Status
    reason: str
