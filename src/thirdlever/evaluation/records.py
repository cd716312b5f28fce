"""Answers as they come in, on disk before the next thing happens: what a killed run resumes from.

inspect's own log is whole only when a pass is; its live buffer costs a third more and cannot be resumed exactly. So
each answer is one appended line here. A line is written by one system call and survives the process; a torn last line
(the kill came inside that call) is an answer that was in flight.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.core.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from thirdlever.answers.answer import Answer
    from thirdlever.suites.suite import Item


Phase: TypeAlias = Literal["accuracy", "latency"]
Key: TypeAlias = tuple[Phase, str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back for one request, before it is graded. None is unknown, or nothing there.

    Attributes:
        phase: the accuracy pass or the serial latency probe.
        item_id: the test item.
        epoch: from 1.
        completion: the whole text; "" when the request failed.
        input_tokens: of all model calls, cached ones included.
        cached_tokens: those of them that the provider or the engine had already computed.
        cache_write_tokens: those of the input tokens that the provider put into its cache, at a rate of its own.
        output_tokens: of all model calls.
        latency_s: of the whole solver, wall clock; in the accuracy pass it includes waiting for others.
        retrieval_s: the part of it that the solver says it spent retrieving.
        ttft_s: from the last model call's start to its first token.
        device_s: time of the local device, shared out over the requests of a batch.
        stop_reason: why the model stopped.
        error: why the request failed; it is asked again when the run is resumed.
        prompt_hash: sha256 of every message sent.
        cold: whether it was the first request of a probe in its process.
    """

    phase: Phase
    item_id: str
    epoch: int
    completion: str
    input_tokens: int | None
    cached_tokens: int | None
    output_tokens: int | None
    latency_s: float
    retrieval_s: float | None = None
    ttft_s: float | None = None
    device_s: float | None = None
    stop_reason: str | None = None
    error: str | None = None
    prompt_hash: str | None = None
    cold: bool = False
    cache_write_tokens: int | None = None

    @property
    def key(self) -> Key:
        """What it is the reply to."""
        return (self.phase, self.item_id, self.epoch)


class Journal:
    """The replies of one candidate, in a file of its own."""

    def __init__(self, path: Path) -> None:
        """Read what an earlier process left; open for appending.

        Raises:
            OSError: the folder cannot be written.
        """
        self.replies = {reply.key: reply for reply in _read(path)}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # closes a torn line, so that the next one is whole

    def append(self, reply: Reply) -> None:
        """Keep a reply; a later one for the same request replaces an earlier, failed one.

        Raises:
            OSError: the disk is full.
        """
        line = json.dumps(dataclasses.asdict(reply)).encode() + b"\n"
        while line:  # a short write means a full disk, which the next one says
            line = line[os.write(self._file, line) :]
        self.replies[reply.key] = reply

    def answered(self, key: Key) -> Reply | None:
        """The reply to a request that need not be asked again; None when it was not answered or failed."""
        reply = self.replies.get(key)
        return reply if reply is not None and reply.error is None else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _read(path: Path) -> Iterator[Reply]:
    """Whole lines, in the order they were written."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                yield Reply(**json.loads(line))
            except (json.JSONDecodeError, TypeError):
                continue  # torn by a kill


# By name, the pandas type: in this order in records.parquet, missing where unknown.
COLUMNS = {
    "candidate": "str",
    "strategy": "str",
    "model": "str",
    "phase": "str",
    "item_id": "str",
    "epoch": "int64",
    "slice": "str",
    "group": "str",
    "target": "str",
    "prediction": "str",
    "score": "float64",
    "reason": "str",
    "completion": "str",
    "input_tokens": "Int64",
    "cached_tokens": "Int64",
    "output_tokens": "Int64",
    "latency_s": "float64",
    "retrieval_s": "float64",
    "ttft_s": "float64",
    "device_s": "float64",
    "stop_reason": "str",
    "error": "str",
    "item_hash": "str",
    "prompt_hash": "str",
    "cold": "bool",
    "cache_write_tokens": "Int64",
}


def rows(
    replies: Iterable[Reply], items: Mapping[str, Item], answer: Answer, about: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Records of one candidate.

    Args:
        replies: what came back.
        items: the test items by id.
        answer: the suite's specification, which grades.
        about: the candidate's `candidate`, `strategy` and `model` (None when it asks none).

    Returns:
        One mapping a reply, with the keys of `COLUMNS`.
    """
    return [{**about, **_row(reply, items[reply.item_id], answer)} for reply in replies]


def to_parquet(records: Sequence[Mapping[str, Any]]) -> bytes:
    """The rows as the content of records.parquet."""
    import pandas as pd

    frame = pd.DataFrame(records, columns=list(COLUMNS)).astype(COLUMNS)
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd")
    return buffer.getvalue()


def item_hash(item: Item) -> str:
    """sha256 of input and target: runs over other versions of a suite are told apart by it."""
    return content_hash([item.input, item.target])


def prompt_hash(messages: Iterable[tuple[str, str]]) -> str:
    """sha256 of every message sent, each as (role, text)."""
    digest = hashlib.sha256()
    for role, text in messages:
        digest.update(f"\0{role}\0{text}".encode(errors="replace"))
    return digest.hexdigest()


def _row(reply: Reply, item: Item, answer: Answer) -> dict[str, Any]:
    grade = answer.grade(reply.completion, item.target)
    row = dataclasses.asdict(reply)
    row |= {"slice": item.slice, "group": item.group, "target": item.target, "item_hash": item_hash(item)}
    row |= {"prediction": grade.prediction, "score": grade.value, "reason": grade.reason}
    return row if reply.error is None else row | {"reason": f"the request failed: {reply.error}"}
