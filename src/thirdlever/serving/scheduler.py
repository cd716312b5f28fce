"""Has jobs trained, one at a time, each in a process of its own that may outlive this one.

A worker holds the endpoint's `worker.lock` for as long as it lives, however it ends. So a server that was killed leaves
one that goes on by itself, and the next server waits for that before it starts another.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections import Counter
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from thirdlever.serving.validation import fail, validate

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever.serving.jobs import Job, Jobs

WORKER_LOCK = "worker.lock"
BUSY = 75  # a worker's exit status when another one holds the lock (sysexits' EX_TEMPFAIL)
_ATTEMPTS = 3  # of a worker that dies without a word
_POLL_S = 0.5
_PATIENCE_S = 30.0  # for a worker that was told to stop: a step, and its checkpoint
_TOLD = 500  # characters of the worker's last words


def lock(folder: Path) -> FileLock:
    """What the one worker of an endpoint's folder holds."""
    return FileLock(folder / WORKER_LOCK, thread_local=False)


class Scheduler:
    """A thread that goes from job to job."""

    def __init__(self, folder: Path, jobs: Jobs) -> None:
        """Take an endpoint's folder and its jobs."""
        self._jobs = jobs
        self._lock = lock(folder)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._deaths: Counter[str] = Counter()
        self._worker: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="thirdlever-scheduler", daemon=True)

    def start(self) -> None:
        """Go on where the last server was."""
        self._thread.start()

    def wake(self) -> None:
        """Say that a job may have been queued."""
        self._wake.set()

    def stop(self) -> None:
        """Have the worker leave a checkpoint and end; its job goes on with the next server."""
        with self._starting:
            self._stopping.set()
            worker = self._worker
        self._wake.set()
        if worker is not None:
            worker.terminate()
            try:
                worker.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                worker.kill()
        self._thread.join()

    def _run(self) -> None:
        for partial in self._jobs.root.glob(".ftjob-*"):  # a kill came while it was created
            shutil.rmtree(partial)
        for job in self._jobs.all():
            if job.read().status == "validating_files":
                validate(job)
        self._outlast()
        while not self._stopping.is_set():
            self._wake.clear()
            if following := self._next():
                self._train(following)
            else:
                self._wake.wait()

    def _outlast(self) -> None:
        """Wait for a worker that another server has left."""
        while not self._stopping.is_set():
            try:
                with self._lock.acquire(timeout=0):
                    return
            except Timeout:
                self._stopping.wait(_POLL_S)

    def _next(self) -> Job | None:
        """What was being trained, else what was queued first."""
        jobs = [(job, job.read().status) for job in self._jobs.all()]
        for wanted in ("running", "queued"):
            for job, status in jobs:
                if status == wanted:
                    return job
        return None

    def _train(self, job: Job) -> None:
        code = self._work(job)
        if code == BUSY:
            self._outlast()
        elif code and not self._stopping.is_set():
            self._deaths[job.id] += 1
            if self._deaths[job.id] < _ATTEMPTS:
                job.log(f"Training broke off (exit status {code}); going on from the last checkpoint", level="warn")
            else:
                said = (job.folder / "worker.log").read_text("utf-8", "replace").strip()[-_TOLD:]
                fail(job, f"training broke off {_ATTEMPTS} times; its last words: {said}", code="server_error")

    def _work(self, job: Job) -> int:
        """One worker, from its start to its end; its exit status."""
        # -P: a project's folder `datasets` is not to be taken for the package of that name.
        command = [sys.executable, "-P", "-m", "thirdlever.serving.worker", str(job.folder)]
        with (job.folder / "worker.log").open("ab") as log:
            with self._starting:
                if self._stopping.is_set():
                    return 0
                # A session of its own: Ctrl-C in the server's terminal is not for the worker.
                self._worker = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
            code = self._worker.wait()
        self._worker = None
        return code
