"""Training on several devices: one process per device, started by torch's launcher and coordinated by accelerate.

`train_distributed` writes the job to a file and follows its progress; run as a program, this module is one of the
processes. They share each batch, and gradients are averaged over all of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core.errors import StrategyError, ThirdleverError
from thirdlever.core.files import write
from thirdlever.finetune.settings import Settings, Stopped, Trained, TrainingStep

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from thirdlever.finetune.conversations import Conversation


_JOB, _STEPS, _STOP, _LOG = "job.json", "steps.jsonl", "stop", "processes.log"
_STOPPED = 75  # exit status of processes after a requested stop (sysexits' EX_TEMPFAIL)
_POLL_S = 0.2
_LOG_CHARS = 500  # from the end of the log of a failed training


def train_distributed(
    model: str,
    examples: Sequence[Conversation],
    *,
    into: Path,
    settings: Settings,
    dev: Sequence[Conversation] = (),
    on_step: Callable[[TrainingStep], bool],
    processes: int,
) -> Trained:
    """`trainer.train` with the same arguments, in several processes, which share each batch; on GPUs one per device."""
    if (batch := settings.batch(len(examples), processes=processes)) % processes:
        message = f"batch_size={batch} cannot be divided among {processes} devices; give a multiple of {processes}"
        raise StrategyError(message)
    into.mkdir(parents=True, exist_ok=True)
    job = {"model": model, "examples": list(examples), "dev": list(dev), "settings": asdict(settings)}
    write(into / _JOB, json.dumps(job).encode())
    for name in (_STEPS, _STOP):
        (into / name).unlink(missing_ok=True)
    # -P: a project's folder named `datasets` must not shadow the package of that name.
    python = [sys.executable, "-P", "-m"]
    command = [*python, "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += ["--no-python", *python, "thirdlever.finetune.distributed", str(into)]
    with (into / _LOG).open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - our own command
        try:
            _follow(into, process, on_step)
        finally:
            process.terminate()
            process.wait()
    if (into / _STOP).exists():
        raise Stopped
    if process.returncode:
        said = (into / _LOG).read_text("utf-8", "replace").strip()[-_LOG_CHARS:]
        message = f"training on {processes} devices failed; its log ends with: {said}"
        raise ThirdleverError(message)
    from thirdlever.finetune.trainer import train

    return train(model, examples, into=into, settings=settings, dev=dev)  # already done: this reads the result


def _follow(into: Path, process: subprocess.Popen[bytes], on_step: Callable[[TrainingStep], bool]) -> None:
    """Pass on each step that the first process writes."""
    ended = threading.Event()

    def wait() -> None:
        process.wait()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    passed_on = 0
    while True:
        last = ended.wait(_POLL_S)
        lines = (into / _STEPS).read_text("utf-8").split("\n")[:-1] if (into / _STEPS).exists() else []
        for line in lines[passed_on:]:
            step = json.loads(line)
            checkpoint = step.pop("checkpoint")
            if not on_step(TrainingStep(**step, checkpoint=Path(checkpoint) if checkpoint else None)):
                (into / _STOP).touch()
        passed_on = len(lines)
        if last:
            return


def main(into: Path) -> int:
    """Run one of the processes."""
    from torch import distributed

    from thirdlever.finetune.trainer import train

    job = json.loads((into / _JOB).read_text("utf-8"))
    first = os.environ["RANK"] == "0"

    def report(step: TrainingStep) -> bool:
        if first:
            with (into / _STEPS).open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(step), default=str) + "\n")
        return not (into / _STOP).exists()

    try:
        train(
            job["model"],
            job["examples"],
            into=into,
            settings=Settings(**job["settings"]),
            dev=job["dev"],
            on_step=report,
        )
    except Stopped:
        return _STOPPED
    finally:  # leave in order, while the others still answer
        if distributed.is_initialized():
            distributed.destroy_process_group()
    return 0


if __name__ == "__main__":
    status = main(Path(sys.argv[1]))
    sys.stdout.flush()
    sys.stderr.flush()
    # All is written. An ordinary end aborts about once in ten times, where a thread of a library still runs.
    os._exit(status)
