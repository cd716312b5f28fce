"""Replies, the journal that keeps each one as it arrives, and the rows of records.parquet.

A killed run resumes from its journals. inspect's own log is complete only when a pass is, its live buffer costs a third
more, and it cannot be resumed exactly. Each reply is one line, appended by one system call, so it survives the process;
a torn last line is a request that was in flight.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import math
import os
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.answers.answer import grade_item
from thirdlever.answers.reading import SHOWN, Reading
from thirdlever.core.files import content_hash
from thirdlever.core.text import counted, normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from thirdlever.answers.answer import Answer, Grade
    from thirdlever.answers.reading import Status
    from thirdlever.suites.suite import Item


Phase: TypeAlias = Literal["accuracy", "latency"]
Key: TypeAlias = tuple[Phase, str, int]

# Column names and pandas types of records.parquet, in order. Unknown values are missing.
COLUMNS = {
    "candidate": "str",
    "strategy": "str",
    "model": "str",
    "phase": "str",
    "item_id": "str",
    "epoch": "int64",
    "slice": "str",
    "group": "str",
    "input": "str",
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
    "status": "str",
    "reasoning_tokens": "Int64",
    "prompt_chars": "Int64",
    "confidence": "float64",
    "embedding_s": "float64",
    "search_s": "float64",
    "ranking_s": "float64",
    "retrieval_usd": "float64",
    "retrieved": "str",
    "gold": "str",
    "answer_rank": "Int64",
    "answer_passages": "Int64",
}
# Why a model stopped, in inspect's words, if it did before it was done.
LIMITS = ("max_tokens", "model_length")
FILTERED = "content_filter"
# Inputs repeat for every candidate: a dictionary page with room for all of them stores each once.
_DICTIONARY_BYTES = 1 << 28
_LOST = "lost_attempt"  # a line of the journal
LEAST_VARIED = 10  # answers: fewer may be the same by chance
SAME = 0.9  # of a candidate's answers: as many equal ones, where the right ones vary more, say little about it
MISREAD = 0.05  # of a candidate's answers: unparsed ones that contain the right label are a fault of the reading


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The response to one request and its grade. None is unknown or not applicable.

    Attributes:
        phase: the accuracy pass or the serial latency probe.
        item_id: the test item.
        epoch: from 1.
        completion: the complete text; "" if the request failed.
        input_tokens: of all model calls, including cached ones.
        cached_tokens: input tokens that the provider or the engine read from its cache.
        cache_write_tokens: input tokens that the provider wrote to its cache, which have their own rate.
        output_tokens: of all model calls.
        latency_s: wall time of the whole solver; in the accuracy pass this includes waiting for other requests.
        retrieval_s: the part of it that the solver reports as retrieval.
        ttft_s: from the start of the last model call to its first token.
        device_s: this request's share of its batch's time on the local device.
        stop_reason: why the model stopped.
        error: why the request failed; a resumed run sends it again.
        prompt_hash: sha256 of every message sent.
        cold: whether it was the first request of a probe in its process.
        score: 0 to 1; None if not graded yet.
        prediction: the answer read from the completion; None unless the status is "answered" or "ungraded".
        reason: how the completion was read, and why it got this score.
        status: how the request ended; None if not read yet. Only "answered" can have a score above 0; "ungraded" is an
            answer on which the grader gave no verdict.
        reasoning_tokens: the output tokens that went into reasoning.
        prompt_chars: characters of every message sent; plans learn from them how many make a token.
        confidence: of the answer, 0 to 1, if the solver knows it.
        embedding_s: the part of the retrieval in which the query was embedded.
        search_s: the part in which indexes were searched.
        ranking_s: the part in which the found was ranked again.
        retrieval_usd: what providers charge for the retrieval; 0 where none is asked.
        retrieved: ids of the documents found, best first, as a JSON list.
        gold: ids of the documents that hold the answer, as a JSON list, if the suite names them.
        answer_rank: place, from 1, of the first document found that contains the right answer; 0 if none does.
        answer_passages: how many of the documents found contain it.
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
    score: float | None = None
    prediction: str | None = None
    reason: str | None = None
    status: Status | None = None
    reasoning_tokens: int | None = None
    prompt_chars: int | None = None
    confidence: float | None = None
    embedding_s: float | None = None
    search_s: float | None = None
    ranking_s: float | None = None
    retrieval_usd: float | None = None
    retrieved: str | None = None
    gold: str | None = None
    answer_rank: int | None = None
    answer_passages: int | None = None

    @property
    def key(self) -> Key:
        """Identifies the request."""
        return (self.phase, self.item_id, self.epoch)

    def facts(self) -> dict[str, Any]:
        """Its fields by name; `dataclasses.asdict` would copy each value."""
        return {name: getattr(self, name) for name in self.__slots__}

    def graded(self, answer: Answer, target: str) -> Reply:
        """The reply with its grade. One that already has a grade keeps it: every reply is graded once."""
        if self.score is not None:
            return dataclasses.replace(
                self, status=self.status or status_of(self.error, self.prediction, self.stop_reason)
            )
        reading = self.read(answer)
        if reading.value is None:
            return dataclasses.replace(self, score=0.0, status=reading.status, reason=reading.reason)
        grade = grade_item(answer, reading.value, self.item_id, target)
        score = None if math.isnan(grade.value) else grade.value
        reason = "; ".join(filter(None, ["" if score is None else grade.reason, reading.reason]))
        return dataclasses.replace(self, score=score, prediction=reading.value, status=reading.status, reason=reason)

    def judged(self, grade: Grade) -> Reply:
        """The reply with a grader's verdict; "ungraded" if it gave none."""
        if math.isnan(grade.value):
            return dataclasses.replace(self, status="ungraded", reason=grade.reason)
        reason = "; ".join(filter(None, [grade.reason, self.reason]))
        return dataclasses.replace(self, score=grade.value, reason=reason)

    def read(self, answer: Answer) -> Reading:
        """How the request went, without a target to grade against."""
        if self.error is not None:
            return Reading(None, "failed", f"the request failed: {self.error}")
        if self.stop_reason == FILTERED:
            said = self.completion.strip()[:SHOWN]
            return Reading(None, "refused", f"the model refused: {said!r}" if said else "a content filter stopped it")
        if not self.completion.strip() and (self.stop_reason in LIMITS or self._only_reasoned):
            return Reading(None, "cut_off", self._no_room)
        return answer.read(self.completion, cut_off=self.stop_reason in LIMITS)

    @property
    def _only_reasoned(self) -> bool:
        """Whether all output was reasoning, which some APIs report without saying that the limit was reached."""
        return bool(self.reasoning_tokens) and self.reasoning_tokens == self.output_tokens

    @property
    def _no_room(self) -> str:
        if not self.reasoning_tokens:
            return "no room to answer: generation ended at its limit, without any text"
        spent = f"{self.reasoning_tokens:,} of {self.output_tokens:,}" if self.output_tokens else self.reasoning_tokens
        return f"no room to answer: {spent} output tokens went into reasoning"


def status_of(error: str | None, prediction: str | None, stop_reason: str | None) -> Status:
    """The status of a graded request whose journal or record has none, because an earlier release wrote it.

    A request with an error failed. One with a prediction was answered. Otherwise the answer was cut off if the model
    stopped at its limit, and unparsed if it did not. Earlier releases did not tell refusals apart.
    """
    if error is not None:
        return "failed"
    if prediction is not None:
        return "answered"
    return "cut_off" if stop_reason in LIMITS else "unparsed"


def describe_lost(attempts: int) -> str:
    """What attempts without a usable reply mean for the bill, as a clause."""
    got = f"{counted(attempts, 'attempt')} got an unreadable reply or none"
    return f"{got}; the provider may have billed {'it' if attempts == 1 else 'them'}"


class Journal:
    """The replies of one candidate, in one file.

    Attributes:
        replies: by request.
        lost: attempts without a usable reply that the provider may have billed.
    """

    def __init__(self, path: Path) -> None:
        """Read the replies of earlier processes and open the file for appending.

        Raises:
            OSError: the folder cannot be written.
        """
        lines = list(_read(path))
        self.replies = {line.key: line for line in lines if isinstance(line, Reply)}
        self.lost = lines.count(_LOST)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o644)
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")  # end a torn line, so that the next one is complete

    def append(self, reply: Reply) -> None:
        """Write a reply. It replaces an earlier, failed one for the same request.

        Raises:
            OSError: the disk is full.
        """
        self._write(reply.facts())
        self.replies[reply.key] = reply

    def lose(self) -> None:
        """Write that an attempt got no usable reply and may have been billed.

        Raises:
            OSError: the disk is full.
        """
        self._write({_LOST: True})
        self.lost += 1

    def _write(self, content: Mapping[str, Any]) -> None:
        line = json.dumps(content).encode() + b"\n"
        while line:  # a short write means a full disk; the next write raises
            line = line[os.write(self._file, line) :]

    def answered(self, key: Key) -> Reply | None:
        """The reply to a request; None if it was never sent, or failed."""
        reply = self.replies.get(key)
        return reply if reply is not None and reply.error is None else None

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def _read(path: Path) -> Iterator[Reply | str]:
    """Replies, and `_LOST` for each lost attempt."""
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                content = json.loads(line)
                yield _LOST if content == {_LOST: True} else Reply(**content)
            except (json.JSONDecodeError, TypeError):
                continue  # torn by a kill


def statuses(records: pd.DataFrame) -> pd.Series[str]:
    """The status of each record; derived for records of releases that did not store it, as by `status_of`."""
    import numpy as np
    import pandas as pd

    missing = records["prediction"].isna()
    derived = np.select(
        [records["error"].notna(), missing & records["stop_reason"].isin(list(LIMITS)), missing],
        ["failed", "cut_off", "unparsed"],
        "answered",
    )
    found = pd.Series(derived, index=records.index, dtype=object)
    return records["status"].astype(object).fillna(found) if "status" in records else found


def monotonous(replies: Iterable[Reply], items: Mapping[str, Item]) -> str | None:
    """A warning if nearly all answers are the same, and few of the right ones are; None otherwise.

    Args:
        replies: graded ones, of one candidate.
        items: the test items by id.
    """
    given = [one for one in replies if one.phase == "accuracy" and one.status == "answered"]
    return same_answer([(one.prediction, items[one.item_id].target) for one in given])


def same_answer(given: Sequence[tuple[Any, Any]]) -> str | None:
    """A clause if nearly all answers are the same, and few of the right ones are; None otherwise.

    Args:
        given: the prediction and the target of each answered request.
    """
    if len(given) < LEAST_VARIED:
        return None
    [(answer, number)] = Counter(prediction for prediction, _ in given).most_common(1)
    right = sum(target == answer for _, target in given)
    if number < SAME * len(given) or right > number / 2:
        return None
    return f"{number} of {len(given):,} answers are the same, {str(answer)[:SHOWN]!r}: it hardly looks at the input"


def misread(replies: Iterable[Reply], items: Mapping[str, Item]) -> str | None:
    """A warning if many unparsed answers contain the right one; None if there are few.

    Then the answer kind does not suit what the model writes, and the accuracy is too low
    (UKGovernmentBEIS/inspect_ai#5145: 58.7 % was reported where 87.5 % was true).

    Args:
        replies: graded ones, of one candidate.
        items: the test items by id.
    """
    given = [reply for reply in replies if reply.phase == "accuracy"]
    missed = [
        reply
        for reply in given
        if reply.status == "unparsed" and _contains(reply.completion, items[reply.item_id].target)
    ]
    if len(missed) <= MISREAD * len(given):
        return None
    example = f"{missed[0].completion.strip()[:SHOWN]!r} ({missed[0].reason})"
    return f"{len(missed)} of {len(given):,} answers are unparsed but contain the right one, for example {example}"


def _contains(text: str, words: str) -> bool:
    return f" {normalise(words)} " in f" {normalise(text)} "


def table(replies: Sequence[Reply], items: Mapping[str, Item], about: Mapping[str, Any]) -> pd.DataFrame:
    """Records of one candidate, one per reply, with the columns of `COLUMNS`.

    Column by column, because a mapping per reply takes ten times the memory.

    Args:
        replies: graded ones.
        items: the test items by id.
        about: the candidate's `candidate`, `strategy` and `model` (None without a model).
    """
    import pandas as pd

    asked = [items[reply.item_id] for reply in replies]
    hashes = {item.id: item_hash(item) for item in asked}

    def column(name: str) -> list[Any]:
        if name == "item_hash":
            return [hashes[item.id] for item in asked]
        if name in about:
            return [about[name]] * len(replies)
        return [getattr(of, name) for of in (replies if name in Reply.__slots__ else asked)]

    return pd.DataFrame({name: pd.Series(column(name), dtype=kind) for name, kind in COLUMNS.items()})


def to_parquet(tables: Sequence[pd.DataFrame]) -> bytes:
    """The content of records.parquet.

    Args:
        tables: the candidates' records.
    """
    import pandas as pd

    empty = pd.DataFrame(columns=list(COLUMNS)).astype(COLUMNS)
    frame = pd.concat(list(tables), ignore_index=True) if tables else empty
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, compression="zstd", dictionary_pagesize_limit=_DICTIONARY_BYTES)
    return buffer.getvalue()


def item_hash(item: Item) -> str:
    """sha256 of input and target, which differs between versions of a suite."""
    return content_hash([item.input, item.target])


def prompt_hash(messages: Iterable[tuple[str, str]]) -> str:
    """sha256 of every message sent, each as (role, text)."""
    digest = hashlib.sha256()
    for role, text in messages:
        digest.update(f"\0{role}\0{text}".encode(errors="replace"))
    return digest.hexdigest()
