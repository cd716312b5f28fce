"""Training on several devices at once: one process each, started by torch's launcher, joined by accelerate.

This module is both ends: `train_together` writes down what to train and follows it; run as a program, it is one of the
processes. They share the batch, and gradients are averaged over all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import StrategyError, ThirdleverError
from thirdlever.core.files import write
from thirdlever.finetune.settings import Settings, Step, Stopped, Trained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.finetune.conversations import Conversation


_ORDER, _STEPS, _STOP, _LOG = "order.json", "steps.jsonl", "stop", "processes.log"
_STOPPED = 75  # exit status of processes that were told to stop (sysexits' EX_TEMPFAIL)
_POLL_S = 0.2
_TOLD = 500  # characters of a process's last words


def train_together(
    model: str,
    examples: Sequence[Conversation],
    *,
    into: Path,
    settings: Settings,
    dev: Sequence[Conversation] = (),
    on_step: Callable[[Step], bool],
    processes: int,
) -> Trained:
    """`training.train`, in several processes.

    Args:
        model: see `training.train`, as the next.
        examples: what to learn.
        into: the training run's folder.
        settings: how to train; `batch_size` is of all processes together.
        dev: what to choose the best epoch by.
        on_step: told of each step; False stops.
        processes: how many; on GPUs one each.

    Raises:
        Stopped: `on_step` said so.
        ThirdleverError: the training failed; its last words are in the message.
    """
    if settings.batch_size % processes:
        message = f"batch_size={settings.batch_size} cannot be shared by {processes} devices; give a multiple of it"
        raise StrategyError(message)
    into.mkdir(parents=True, exist_ok=True)
    order = {"model": model, "examples": list(examples), "dev": list(dev), "settings": asdict(settings)}
    write(into / _ORDER, json.dumps(order).encode())
    for name in (_STEPS, _STOP):
        (into / name).unlink(missing_ok=True)
    # -P: a project's folder `datasets` is not to be taken for the package of that name.
    python = [sys.executable, "-P", "-m"]
    command = [*python, "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += ["--no-python", *python, "thirdlever.finetune.distributed", str(into)]
    with (into / _LOG).open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - ourselves
        try:
            _follow(into, process, on_step)
        finally:
            process.terminate()
            process.wait()
    if (into / _STOP).exists():
        raise Stopped
    if process.returncode:
        said = (into / _LOG).read_text("utf-8", "replace").strip()[-_TOLD:]
        message = f"training on {processes} devices failed; its last words: {said}"
        raise ThirdleverError(message)
    from thirdlever.finetune.trainer import train

    return train(model, examples, into=into, settings=settings, dev=dev)  # done: it only reads what came of it


def _follow(into: Path, process: subprocess.Popen[bytes], on_step: Callable[[Step], bool]) -> None:
    """Pass on each step as the first process writes it down."""
    ended = threading.Event()

    def wait() -> None:
        process.wait()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    told = 0
    while True:
        last = ended.wait(_POLL_S)
        lines = (into / _STEPS).read_text("utf-8").split("\n")[:-1] if (into / _STEPS).exists() else []
        for line in lines[told:]:
            if not on_step(_step(json.loads(line))):
                (into / _STOP).touch()
        told = len(lines)
        if last:
            return


def _step(said: dict[str, Any]) -> Step:
    checkpoint = said.pop("checkpoint")
    return Step(**said, checkpoint=Path(checkpoint) if checkpoint else None)


def main(into: Path) -> int:
    """Be one of the processes."""
    from thirdlever.finetune.trainer import train

    order = json.loads((into / _ORDER).read_text("utf-8"))
    first = os.environ["RANK"] == "0"

    def told(step: Step) -> bool:
        if first:
            with (into / _STEPS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(step), default=str) + "\n")
        return not (into / _STOP).exists()

    try:
        train(
            order["model"],
            order["examples"],
            into=into,
            settings=Settings(**order["settings"]),
            dev=order["dev"],
            on_step=told,
        )
    except Stopped:
        return _STOPPED
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
