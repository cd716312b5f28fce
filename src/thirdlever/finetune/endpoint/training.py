"""Train the endpoint's jobs one at a time, each in a worker process that may outlive the server.

A worker holds the endpoint's `worker.lock` until it ends, however it ends. So a killed server leaves a worker that
continues, and the next server waits for it before it starts another.
"""

from __future__ import annotations

import base64
import csv
import io
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from thirdlever.core.errors import ThirdleverError
from thirdlever.finetune.endpoint.protocol import Hyperparameters
from thirdlever.finetune.endpoint.storage import FileStore, JobFolder, end_fields, hyperparameter_fields

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from thirdlever.finetune.endpoint.storage import JobRecord, JobStore
    from thirdlever.finetune.settings import Settings, Trained, TrainingStep

WORKER_LOCK = "worker.lock"
BUSY = 75  # a worker's exit status if another one holds the lock (sysexits' EX_TEMPFAIL)
_MAX_CRASHES = 3  # of a job's workers
_POLL_S = 0.5
_STOP_WAIT_S = 30.0  # for a worker to finish its step and write a checkpoint
_LOG_CHARS = 500  # from the end of a crashed worker's log
_LOCK_WAIT_S = 5.0  # for a worker of an earlier server that is just ending
_ESTIMATE_S = 2.0  # between two estimates of the time of completion
_METRICS = {  # OpenAI's names for a step's figures
    "loss": "train_loss",
    "accuracy": "train_mean_token_accuracy",
    "dev_loss": "valid_loss",
    "dev_accuracy": "valid_mean_token_accuracy",
}
_RESULT_COLUMNS = _METRICS | {"accuracy": "train_accuracy"}  # as in OpenAI's result files


def lock(folder: Path) -> FileLock:
    """The lock that the only worker of an endpoint's folder holds."""
    return FileLock(folder / WORKER_LOCK, thread_local=False)


class Scheduler:
    """A thread that trains one job after another."""

    def __init__(self, folder: Path, jobs: JobStore) -> None:
        """Take an endpoint's folder and its jobs."""
        self._jobs = jobs
        self._lock = lock(folder)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._crashes: Counter[str] = Counter()
        self._worker: subprocess.Popen[bytes] | None = None
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="thirdlever-scheduler", daemon=True)

    def start(self) -> None:
        """Continue where the previous server stopped."""
        self._thread.start()

    def wake(self) -> None:
        """Look for a queued job."""
        self._wake.set()

    def stop(self) -> None:
        """Have the worker write a checkpoint and end; its job continues with the next server."""
        with self._starting:
            self._stopping.set()
            worker = self._worker
        self._wake.set()
        if worker is not None:
            worker.terminate()
            try:
                worker.wait(_STOP_WAIT_S)
            except subprocess.TimeoutExpired:
                worker.kill()
        self._thread.join()

    def _run(self) -> None:
        for partial in self._jobs.root.glob(".ftjob-*"):  # left by a kill during creation
            shutil.rmtree(partial)
        for job in self._jobs.all():
            if job.read().status == "validating_files":
                job.validate()
        self._wait_for_worker()
        while not self._stopping.is_set():
            self._wake.clear()
            if following := self._next():
                self._train(following)
            else:
                self._wake.wait()

    def _wait_for_worker(self) -> None:
        """Wait for a worker that another server left running."""
        while not self._stopping.is_set():
            try:
                with self._lock.acquire(timeout=0):
                    return
            except Timeout:
                self._stopping.wait(_POLL_S)

    def _next(self) -> JobFolder | None:
        """The interrupted job, or else the one queued first."""
        jobs = [(job, job.read().status) for job in self._jobs.all()]
        return next((job for wanted in ("running", "queued") for job, status in jobs if status == wanted), None)

    def _train(self, job: JobFolder) -> None:
        code = self._run_worker(job)
        if code == BUSY:
            self._wait_for_worker()
        elif code and not self._stopping.is_set():
            self._crashes[job.id] += 1
            if self._crashes[job.id] < _MAX_CRASHES:
                job.log(f"Training crashed (exit status {code}); resuming from the last checkpoint", level="warn")
            else:
                said = (job.folder / "worker.log").read_text("utf-8", "replace").strip()[-_LOG_CHARS:]
                job.fail(f"training crashed {_MAX_CRASHES} times; its log ends with: {said}", code="server_error")

    def _run_worker(self, job: JobFolder) -> int:
        """Run a worker to its end; its exit status."""
        # -P: a project's folder named `datasets` must not shadow the package of that name.
        command = [sys.executable, "-P", "-m", "thirdlever.finetune.endpoint.training", str(job.folder)]
        with (job.folder / "worker.log").open("ab") as log:
            with self._starting:
                if self._stopping.is_set():
                    return 0
                # In its own session, so that Ctrl-C in the server's terminal does not reach the worker.
                self._worker = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
            code = self._worker.wait()
        self._worker = None
        return code


def main(folder: Path) -> int:
    """Be the worker of the job in a folder, unless another worker is running."""
    endpoint = folder.parents[1]
    try:
        with lock(endpoint).acquire(timeout=_LOCK_WAIT_S):
            work(JobFolder(folder), FileStore(endpoint / "files"))
    except Timeout:
        return BUSY
    return 0


def work(job: JobFolder, files: FileStore) -> None:
    """Train a job and record its outcome."""
    if not job.move("running", when={"queued", "running"}):
        return  # cancelled or paused in the meantime
    job.log("Fine-tuning job started")
    from thirdlever.finetune.settings import Stopped
    from thirdlever.finetune.trainer import train

    record = job.read()
    examples = job.training_examples()
    settings = _settings(record, len(examples))
    try:
        trained = train(
            record.model,
            examples,
            into=job.training,
            settings=settings,
            dev=job.validation_examples(),
            on_step=_Watch(job),
        )
    except Stopped:
        return
    except ThirdleverError as error:
        job.fail(str(error), code="training_failed")
        return
    _succeed(job, trained, settings, files)


def _settings(record: JobRecord, examples: int) -> Settings:
    """A job's hyperparameters as the trainer's settings, which also provide the values for "auto"."""
    from thirdlever.finetune import trainer
    from thirdlever.finetune.settings import Settings

    given, default = record.hyperparameters, Settings()
    epochs = given.n_epochs if isinstance(given.n_epochs, int) else default.epochs
    return Settings(
        epochs=epochs,
        batch_size=given.batch_size if isinstance(given.batch_size, int) else Settings(epochs=epochs).batch(examples),
        learning_rate=default.peak_learning_rate(trainer.width(record.model)) * _multiplier(record),
        seed=record.seed,
    )


def _multiplier(record: JobRecord) -> float:
    given = record.hyperparameters.learning_rate_multiplier
    return given if isinstance(given, float) else 1.0


class _Watch:
    """Reports training progress to the job, and tells the training whether to continue."""

    def __init__(self, job: JobFolder) -> None:
        self._job = job
        self._metrics: dict[str, float] = {}  # of the last step, for its checkpoint
        self._terminated = threading.Event()
        self._first: tuple[float, int] | None = None  # time and number of this attempt's first step
        self._estimated = 0.0
        signal.signal(signal.SIGTERM, lambda *_: self._terminated.set())

    def __call__(self, step: TrainingStep) -> bool:
        """Record a step's metrics or its checkpoint, which the trainer reports separately."""
        found = {name: getattr(step, key) for key, name in _METRICS.items() if getattr(step, key) is not None}
        if found:
            same = self._metrics.get("step") == step.step  # training metrics come before those of validation
            self._metrics = (self._metrics if same else {"step": step.step}) | found
            shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in found.items())
            data = {"step": step.step, "total_steps": step.total} | found
            self._job.log(f"Step {step.step}/{step.total}: {shown}", data=data)
        if step.checkpoint is not None:
            self._job.log_checkpoint(step.step, self._metrics)
            self._job.log(f"Checkpoint created at step {step.step}")
        self._estimate(step)
        return self._job.read().status == "running" and not self._terminated.is_set()

    def _estimate(self, step: TrainingStep) -> None:
        now = time.time()
        start, first = self._first = self._first or (now, step.step)
        if step.step > first and now - self._estimated >= _ESTIMATE_S:
            self._estimated = now
            left = (now - start) / (step.step - first) * (step.total - step.step)
            self._job.move(None, when={"running"}, estimated_finish=int(now + left))


def _succeed(job: JobFolder, trained: Trained, settings: Settings, files: FileStore) -> None:
    record = job.read()
    result = files.add(
        io.BytesIO(base64.b64encode(results(trained.curve).encode())),
        filename="step_metrics.csv",
        purpose="fine-tune-results",
        name=f"file-{job.id.removeprefix('ftjob-')}",  # the same id if a kill causes a second attempt
    )
    chosen = Hyperparameters(
        n_epochs=settings.most_epochs,
        batch_size=settings.batch_size or "auto",
        learning_rate_multiplier=_multiplier(record),
    )
    done = job.move(
        "succeeded",
        when={"running"},
        fine_tuned_model=record.tuned_name,
        trained_tokens=trained.tokens,
        result_files=[result.id],
        **end_fields(),
        **hyperparameter_fields(chosen),
    )
    if done:
        job.log(f"New fine-tuned model created: {record.tuned_name}")
        job.log("The job has successfully completed")
    else:
        files.delete(result.id)


def results(curve: Sequence[Mapping[str, Any]]) -> str:
    """The result file: CSV with a row per step, and validation metrics where they were computed."""
    rows: dict[int, dict[str, Any]] = {}
    for point in curve:
        row = rows.setdefault(point["step"], {"step": point["step"]})
        row |= {column: point[key] for key, column in _RESULT_COLUMNS.items() if point.get(key) is not None}
    out = io.StringIO()
    writer = csv.DictWriter(out, ("step", *_RESULT_COLUMNS.values()), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[step] for step in sorted(rows))
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
