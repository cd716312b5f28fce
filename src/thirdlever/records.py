"""Records: one row a request, the reply of the journal joined with its item and graded. Made offline, from files."""

from __future__ import annotations

import dataclasses
import hashlib
import io
from typing import TYPE_CHECKING, Any

from thirdlever.core.files import content_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thirdlever.answers.answer import Answer
    from thirdlever.journal import Reply
    from thirdlever.suites.suite import Item

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
