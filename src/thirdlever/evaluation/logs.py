"""inspect's logs: written sample by sample, and read for the messages that were sent.

A log is a zip with one JSON member per sample. inspect's own recorder holds a summary of every sample in memory, and
its reader builds every sample with all of its events, which takes 24 ms each; the fields needed here come first in each
member, so the rest is not parsed. `inspect view` opens the logs.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from thirdlever.evaluation.records import Reply, item_hash, prompt_hash

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path

    from inspect_ai.event import ModelEvent
    from inspect_ai.model import ChatMessage, GenerateConfig, ModelOutput
    from inspect_ai.solver import TaskState

    from thirdlever.suites.suite import Item


Message: TypeAlias = tuple[str, str]  # role, text

_JSON = json.JSONDecoder()
_BETWEEN = re.compile(r"[\s{,:]*")
_ATTACHED = "attachment://"


@dataclass(frozen=True, slots=True)
class Sample:
    """One request in a log.

    Attributes:
        item_id: the test item.
        epoch: from 1.
        input: the item's text.
        prompt: takes a hash and returns the messages sent that have it. None if the log does not have them: the answer
            is from before a resume, or no model was asked.
    """

    item_id: str
    epoch: int
    input: str
    prompt: Callable[[str], list[Message] | None]


def read(log: Path, only: Collection[str] | None = None) -> Iterator[Sample]:
    """The samples of a log, in its order.

    Args:
        log: the file.
        only: item ids, all by default. Other samples are not unpacked.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is not a log, or damaged.
    """
    if sys.version_info < (3, 14):
        import zipfile_zstd  # noqa: F401 - adds inspect's compression to zipfile
        from zstandard import ZstdError
    else:
        from compression.zstd import ZstdError
    try:
        with zipfile.ZipFile(log) as members:
            for name in members.namelist():
                item, _, _ = name.removeprefix("samples/").rpartition("_epoch_")
                if name.startswith("samples/") and (only is None or item in only):
                    yield parse(members.read(name).decode("utf-8", errors="replace"))
    except (zipfile.BadZipFile, ZstdError, NotImplementedError, EOFError) as error:
        message = f"cannot read the log {log}: {error}"
        raise ValueError(message) from error


def parse(text: str) -> Sample:
    """Parse one member of a log."""
    front = _front(text, upto="messages")
    if not {"id", "epoch", "input"} <= front.keys() or not isinstance(front["messages"], list):
        message = "a sample lacks its id, epoch, input or messages"
        raise ValueError(message)

    def prompt(sent: str) -> list[Message] | None:
        messages = [_message(message) for message in front["messages"]]
        # The conversation ends with the answer. After several calls, or a failed one, only the events have the prompt.
        for found in (messages[:-1], messages):
            if prompt_hash(found) == sent:
                return found
        found = _called(json.loads(text))
        return found if prompt_hash(found) == sent else None

    given = front["input"]
    shown = given if isinstance(given, str) else "\n".join(_text(message["content"]) for message in given)
    return Sample(str(front["id"]), int(front["epoch"]), shown, prompt)


def _front(text: str, *, upto: str) -> dict[str, Any]:
    """The first members of a JSON object, up to and including one with this name."""
    found: dict[str, Any] = {}
    at = 0
    while upto not in found:
        at = _BETWEEN.match(text, at).end()  # type: ignore[union-attr] # it also matches the empty string
        key, at = _JSON.raw_decode(text, at)
        found[key], at = _JSON.raw_decode(text, _BETWEEN.match(text, at).end())  # type: ignore[union-attr]
    return found


def _called(sample: dict[str, Any]) -> list[Message]:
    """The messages of every model call, from the events, which refer to pools of messages and of long texts."""
    attached = sample.get("attachments") or {}
    pool = (sample.get("events_data") or {}).get("messages") or []
    sent: list[Message] = []
    for event in sample.get("events") or []:
        if event.get("event") == "model":
            ranges = event.get("input_refs") or []
            messages = event.get("input") or [message for start, end in ranges for message in pool[start:end]]
            sent += [_message(message, attached) for message in messages]
    return sent


def _message(message: dict[str, Any], attached: dict[str, str] | None = None) -> Message:
    return message["role"], _text(message["content"], attached)


def _text(content: Any, attached: dict[str, str] | None = None) -> str:  # noqa: ANN401 - JSON
    if isinstance(content, str):
        return (attached or {}).get(content.removeprefix(_ATTACHED), content)
    return "\n".join(_text(part["text"], attached) for part in content if part.get("type") == "text")


_SUMMARIES = "summaries.json"
_SUMMARISED = 350  # characters of a text in a summary
# The log has these elsewhere: as its output, its sample's id and its score.
_LOGGED_ELSEWHERE = {"completion", "phase", "item_id", "epoch", "score", "prediction", "reason", "status"}


class LogWriter:
    """Writes the log of one pass as its replies arrive; complete once `finish` returns. Memory stays flat."""

    def __init__(
        self,
        path: Path,
        *,
        task: str,
        items: int,
        epochs: int,
        model: str,
        config: GenerateConfig,
        about: Mapping[str, Any],
    ) -> None:
        """Open the file.

        Args:
            path: of the log.
            task: its name.
            items: number of items.
            epochs: repeats of each item.
            model: as inspect names it.
            config: the settings of its requests.
            about: the log's metadata.

        Raises:
            OSError: it cannot be created.
        """
        from inspect_ai.log import EvalConfig, EvalDataset, EvalPlan, EvalPlanStep, EvalSpec

        self._asked = items * epochs
        self._epochs = epochs
        self._model = model
        self._scores: dict[str, float] = {}  # summed over epochs, by item
        self._usage: dict[str, int] = {}
        self._started = _now()
        self._spec = EvalSpec(
            created=self._started,
            task=task,
            dataset=EvalDataset(samples=items),
            model=model,
            config=EvalConfig(epochs=epochs, epochs_reducer=["mean"], score_on_error=True),
            metadata=dict(about),
        )
        self._plan = EvalPlan(steps=[EvalPlanStep(solver=str(about.get("strategy", task)))], config=config)
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self._summaries = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by `close`
        start = {"version": 2, "eval": self._spec.model_dump(mode="json"), "plan": self._plan.model_dump(mode="json")}
        self._zip.writestr("_journal/start.json", json.dumps(start))

    def add(self, item: Item, reply: Reply, state: TaskState, calls: Sequence[ModelEvent]) -> None:
        """Write a request with what was sent."""
        # The conversation ends with the answer. After several calls, or a failed one, only the events have the prompt.
        events = calls if len(calls) != 1 or reply.error else ()
        self._write(item, reply, state.messages, state.output, events)

    def add_known(self, item: Item, reply: Reply) -> None:
        """Write the reply of an earlier process, whose messages are not known."""
        from inspect_ai.model import ChatMessageUser, ModelOutput

        output = ModelOutput.from_content(self._model, reply.completion)
        self._write(item, reply, [ChatMessageUser(content=item.input)], output, (), resumed=True)

    def finish(self) -> None:
        """Write what stands at the end of a log."""
        from inspect_ai.log import EvalStats

        self._summaries.seek(0)
        with self._zip.open(_SUMMARIES, "w") as member:
            member.write(b"[")
            for number, line in enumerate(self._summaries):
                member.write((", " if number else "").encode() + line.rstrip("\n").encode())
            member.write(b"]")
        from inspect_ai.model import ModelUsage

        usage = ModelUsage(**self._usage)
        header = {
            "version": 2,
            "status": "success",
            "eval": self._spec.model_dump(mode="json", exclude_none=True),
            "plan": self._plan.model_dump(mode="json", exclude_none=True),
            "results": self._results(),
            "stats": EvalStats(
                started_at=self._started, completed_at=_now(), model_usage={self._model: usage}
            ).model_dump(mode="json", exclude_none=True),
        }
        self._zip.writestr("header.json", json.dumps(header))

    def close(self) -> None:
        """Close the files."""
        self._zip.close()
        self._summaries.close()

    def _write(
        self,
        item: Item,
        reply: Reply,
        messages: Sequence[ChatMessage],
        output: ModelOutput,
        events: Sequence[ModelEvent],
        *,
        resumed: bool = False,
    ) -> None:
        score = self._score(reply)
        facts = {name: value for name, value in reply.facts().items() if name not in _LOGGED_ELSEWHERE}
        about = {
            "id": item.id,
            "epoch": reply.epoch,
            "input": item.input,
            "target": item.target,
        }
        ended = {
            "metadata": {
                "slice": item.slice,
                "group": item.group,
                "item_hash": item_hash(item),
                **facts,
                **({"resumed": True} if resumed else {}),
            },
            "model_usage": self._counted(reply),
            "total_time": reply.latency_s,
        }
        sample = {
            **about,
            "messages": [message.model_dump(exclude_none=True) for message in messages],
            "output": output.model_dump(exclude_none=True),
            "scores": score,
            **ended,
            "events": [event.model_dump(mode="json", exclude_none=True) for event in events],
        }
        summary = {
            **about,
            "input": item.input[:_SUMMARISED],
            "scores": {name: {**one, **_cut(one)} for name, one in score.items()},
            **ended,
            "completed": True,
            "message_count": len(messages),
        }
        if reply.error:
            sample["error"] = {"message": reply.error, "traceback": "", "traceback_ansi": ""}
            summary["error"] = reply.error
        self._zip.writestr(f"samples/{item.id}_epoch_{reply.epoch}.json", json.dumps(sample))
        self._summaries.write(json.dumps(summary) + "\n")

    def _score(self, reply: Reply) -> dict[str, Any]:
        if reply.score is None:
            return {}
        self._scores[reply.item_id] = self._scores.get(reply.item_id, 0.0) + reply.score
        return {"graded": {"value": reply.score, "answer": reply.prediction, "explanation": reply.reason}}

    def _counted(self, reply: Reply) -> dict[str, dict[str, int]]:
        if reply.input_tokens is None or reply.output_tokens is None:
            return {}
        cached, written = reply.cached_tokens or 0, reply.cache_write_tokens or 0
        usage = {
            "input_tokens": reply.input_tokens - cached - written,
            "input_tokens_cache_read": cached,
            "input_tokens_cache_write": written,
            "output_tokens": reply.output_tokens,
            "total_tokens": reply.input_tokens + reply.output_tokens,
            "reasoning_tokens": reply.reasoning_tokens or 0,
        }
        for name, count in usage.items():
            self._usage[name] = self._usage.get(name, 0) + count
        return {self._model: usage}

    def _results(self) -> Mapping[str, Any]:
        from statistics import fmean, stdev

        from inspect_ai.log import EvalMetric, EvalResults, EvalScore

        means = [total / self._epochs for total in self._scores.values()]
        found = {"accuracy": fmean(means)} if means else {}
        if len(means) > 1:
            found["stderr"] = stdev(means) / len(means) ** 0.5
        metrics = {name: EvalMetric(name=name, value=value) for name, value in found.items()}
        score = EvalScore(name="graded", scorer="graded", reducer="mean", metrics=metrics)
        results = EvalResults(total_samples=self._asked, completed_samples=self._asked, scores=[score] if means else [])
        return results.model_dump(mode="json", exclude_none=True)


def _cut(score: Mapping[str, Any]) -> dict[str, str]:
    """The texts of a score, as short as summaries have them."""
    return {name: score[name][:_SUMMARISED] for name in ("answer", "explanation") if score[name] is not None}


def _now() -> str:
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
