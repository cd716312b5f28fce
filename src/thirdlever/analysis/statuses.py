"""The status of every answer, and whether so many were lost that a candidate is not measured.

A failed, cut-off or refused request says nothing about what a model can do, and an answer that cannot be parsed may be
right. Counting a few of them as wrong is cautious; counting many of them measures the set-up, not the candidate.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, get_args

from thirdlever.answers.reading import Status
from thirdlever.core.errors import RunError
from thirdlever.core.text import listed
from thirdlever.evaluation.records import statuses

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from thirdlever.evaluation.records import Reply


STATUSES: tuple[Status, ...] = get_args(Status)
LOST: tuple[Status, ...] = ("failed", "cut_off", "refused", "ungraded")  # no fault of the model's knowledge or skill

# The "five-and-twenty rule" for losses in trials: below 5 % they hardly bias a result, above 20 % they threaten its
# validity. Schulz and Grimes, Sample size slippages in randomised trials, Lancet 359 (2002), 781-785. A lost request
# gets the strict end; an unparsed answer the lenient one, because a weak model's answers are often unparsed.
MAX_FAILED = 0.05
MAX_UNPARSED = 0.20

_WHAT: Mapping[Status, str] = {
    "failed": "requests failed",
    "cut_off": "answers were cut off",
    "refused": "answers were refused",
    "unparsed": "answers could not be parsed",
    "ungraded": "answers got no verdict of the grader",
}
_LONGEST = 120  # characters of an error or an answer that are quoted
_SEE = "read them with `thirdlever report`, then "
FIRST = 5  # answers of a pass that are looked at while it continues
_MANY = 3  # of these that are lost or unparsed, a share that no tolerance allows


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The largest shares of a candidate's requests, 0 to 1, with which it still counts as measured.

    Attributes:
        max_failed: of failed, cut-off and refused requests, and of answers that were not graded, together.
        max_unparsed: of unparsed answers.
    """

    max_failed: float = MAX_FAILED
    max_unparsed: float = MAX_UNPARSED

    def __post_init__(self) -> None:
        """Check the shares.

        Raises:
            RunError: one is not from 0 to 1.
        """
        for name, share in (("max_failed", self.max_failed), ("max_unparsed", self.max_unparsed)):
            if not 0 <= share <= 1:  # NaN is not
                message = f"{name}={share} is not allowed; give a share from 0 to 1"
                raise RunError(message)

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Tolerance:
        """A run's, from its run.json; the defaults for runs of earlier releases."""
        stated = {name: info[name] for name in cls.__dataclass_fields__ if info.get(name) is not None}
        return cls(**stated)

    def broken(self, counts: Mapping[Status, int]) -> bool:
        """Whether too many requests failed, were cut off or refused."""
        return sum(counts[status] for status in LOST) > self.max_failed * sum(counts.values())

    def unparsed(self, counts: Mapping[Status, int]) -> bool:
        """Whether too many answers are unparsed."""
        return counts["unparsed"] > self.max_unparsed * sum(counts.values())

    def options(self) -> list[str]:
        """As a command takes them."""
        return ["--max-failed", f"{self.max_failed:g}", "--max-unparsed", f"{self.max_unparsed:g}"]


def count(found: pd.Series[str]) -> dict[Status, int]:
    """How many records have each status."""
    counts = found.value_counts()
    return {status: int(counts.get(status, 0)) for status in STATUSES}


def why_not(records: pd.DataFrame, tolerance: Tolerance) -> str | None:
    """Why a candidate is not measured, and the remedy; None if it is measured.

    Args:
        records: its rows of the accuracy pass.
        tolerance: the largest shares that are tolerated.
    """
    if records.empty:
        return "not measured: no request was answered; repeat the run's command, with a larger --budget if it was spent"
    found = statuses(records)
    counts = count(found)
    if (sentence := sentence_for(counts, tolerance)) is None:
        return None
    most = max((status for of, _ in _exceeded(counts, tolerance) for status in of), key=counts.__getitem__)
    cause, remedy = _cause(records[found == most], most)
    see = _SEE if most in {"refused", "unparsed"} else ""
    return f"{sentence}: " + "; ".join(filter(None, [cause, see + remedy]))


def early_warning(first: Sequence[Reply]) -> str | None:
    """What happened to the first answers of a pass, and the remedy, if most of them say nothing about the candidate.

    Args:
        first: graded replies; nothing is said before there are `FIRST`.
    """
    counts = {status: sum(reply.status == status for reply in first) for status in STATUSES}
    if len(first) < FIRST or sum(counts[status] for status in _WHAT) < _MANY:
        return None
    import pandas as pd

    most = max(_WHAT, key=counts.__getitem__)
    cause, remedy = _cause(pd.DataFrame([asdict(reply) for reply in first if reply.status == most]), most)
    if most == "unparsed":
        cause = f"the first is {next(_short(reply.completion) for reply in first if reply.status == most)!r}"
    return f"{_happened(counts, tuple(_WHAT))}: {cause}; stop (Ctrl-C) and {remedy}"


def sentence_for(counts: Mapping[Status, int], tolerance: Tolerance) -> str | None:
    """What happened to the answers of a candidate that is not measured, without the cause; None if it is measured."""
    parts = [f"{_happened(counts, of)} ({limit})" for of, limit in _exceeded(counts, tolerance)]
    return f"not measured: {listed(parts)}" if parts else None


def _exceeded(counts: Mapping[Status, int], tolerance: Tolerance) -> list[tuple[tuple[Status, ...], str]]:
    """The statuses of which there are too many, with their limit."""
    found: list[tuple[tuple[Status, ...], str]] = []
    if tolerance.broken(counts):
        found.append((LOST, f"maximum {100 * tolerance.max_failed:g} %, --max-failed"))
    if tolerance.unparsed(counts):
        found.append((("unparsed",), f"maximum {100 * tolerance.max_unparsed:g} %, --max-unparsed"))
    return found


def _happened(counts: Mapping[Status, int], of: Sequence[Status]) -> str:
    total = sum(counts.values())
    return listed([f"{counts[status]:,} of {total:,} {_WHAT[status]}" for status in of if counts[status]])


def _cause(records: pd.DataFrame, status: Status) -> tuple[str, str]:
    """The cause ("" if it has to be read) and the remedy of one status, from the records that have it."""
    match status:
        case "failed":
            first = _short(str(records["error"].iloc[0]))
            return f"the first with {first!r}", "fix this, and repeat the run's command with the same --out"
        case "cut_off":
            return _no_room(records)
        case "ungraded":
            return "", "read them with `thirdlever report`, then use another --grader or a clearer rubric"
        case "refused":
            return "the model or its provider declined", "change the prompt or the model"
        case _:
            return "", "change the prompt or use --constrain"


def _short(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


def _no_room(records: pd.DataFrame) -> tuple[str, str]:
    reasoning = records["reasoning_tokens"].sum() if "reasoning_tokens" in records else 0
    if 2 * reasoning > records["output_tokens"].sum():
        return "reasoning used most of the tokens", "raise max_tokens in --model"
    if (records["stop_reason"] == "model_length").mean() > 0.5:  # noqa: PLR2004 - most of them
        return "prompt and answer exceed the model's context window", "shorten the prompt or use another model"
    remedy = "ask for a short answer in the prompt, use --constrain, or raise max_tokens in --model"
    return "the limit on output tokens was reached", remedy
