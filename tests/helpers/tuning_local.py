"""The managed strategy with a tiny model and the real local endpoint, in a process that can be killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever import Item, Label, Split, Store, Suite, run
from thirdlever.core import project
from thirdlever.finetune import jobs
from thirdlever.finetune.providers.openai import OpenAIProtocol
from thirdlever.models import registry
from thirdlever.strategies import specs

if TYPE_CHECKING:
    from thirdlever.finetune.jobs import JobState

SPEC = "managed:epochs=2"
OPTIONS: Any = {"constrain": True, "budget": 1.0, "device_usd_per_hour": 0.1}


def words() -> Suite:
    """In the tiny models' vocabulary."""

    def split(name: str, start: int, n: int) -> Split:
        items = [Item(f"{name}-{i}", f"w{start + i} w{3 + i % 5} w6", f"w{40 + i % 2}") for i in range(n)]
        return Split(name, tuple(items))

    return Suite(
        name="words",
        instruction="w7 w8",
        answer=Label(("w40", "w41"), name="w9"),
        train=split("train", 3, 12),
        dev=split("dev", 20, 2),
        test_split=split("test", 30, 4),
        input_name="w10",
    )


def measure(folder: Path, model: Path) -> None:
    """The same run every time."""
    os.chdir(folder)
    jobs.FIRST_POLL_S = 0.05
    run(words(), [SPEC], models=[f"hf/{model}"], out="out", probe=1, **OPTIONS)


def prepare(folder: Path, model: Path, dies: str = "") -> None:
    """The same tune every time.

    Args:
        folder: the project.
        model: the tiny model.
        dies: who is killed when the job is said to be running: "harness" this process, "endpoint" that one, "" nobody.
    """
    os.chdir(folder)
    jobs.FIRST_POLL_S = 0.05
    poll = OpenAIProtocol.poll

    def polled(tuner: OpenAIProtocol, job_id: str) -> JobState:
        nonlocal dies
        state = poll(tuner, job_id)
        if state.status == "running" and dies:
            pid = os.getpid() if dies == "harness" else _endpoint_pid()
            dies = ""
            os.kill(pid, signal.SIGKILL)
        return state

    OpenAIProtocol.poll = polled  # type: ignore[method-assign, assignment]
    made = specs.parse(SPEC).prepare(words().without_test(), registry.resolve(f"hf/{model}"), Store(project.STORE))
    Path("tuned.txt").write_text(made.model.revision if made.model else "", "utf-8")


def _endpoint_pid() -> int:
    [found] = Path(".thirdlever").glob("endpoint*/endpoint.json")
    return int(json.loads(found.read_bytes())["pid"])
