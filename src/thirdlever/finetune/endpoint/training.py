"""Has jobs trained, one at a time, each in a process of its own that may outlive this one.

A worker holds the endpoint's `worker.lock` for as long as it lives, however it ends. So a server that was killed leaves
one that goes on by itself, and the next server waits for that before it starts another.
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
from thirdlever.finetune.endpoint.storage import (
    Files,
    Job,
    ended,
    fail,
    model_name,
    training_examples,
    tuned_with,
    validate,
    validation_examples,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from thirdlever.finetune.endpoint.storage import Jobs, Tune
    from thirdlever.finetune.settings import Settings, Step, Trained


WORKER_LOCK = "worker.lock"
BUSY = 75  # a worker's exit status when another one holds the lock (sysexits' EX_TEMPFAIL)
_ATTEMPTS = 3  # of a worker that dies without a word
_POLL_S = 0.5
_STOP_WAIT_S = 30.0  # for a worker that was told to stop: a step, and its checkpoint
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
                worker.wait(_STOP_WAIT_S)
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
        command = [sys.executable, "-P", "-m", "thirdlever.finetune.endpoint.training", str(job.folder)]
        with (job.folder / "worker.log").open("ab") as log:
            with self._starting:
                if self._stopping.is_set():
                    return 0
                # A session of its own: Ctrl-C in the server's terminal is not for the worker.
                self._worker = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
            code = self._worker.wait()
        self._worker = None
        return code


_COLUMNS = ("step", "train_loss", "train_accuracy", "valid_loss", "valid_mean_token_accuracy")
_PATIENCE_S = 5.0  # for a worker that another server has left, and that ends just now
_ESTIMATE_S = 2.0  # between two estimates of when the job will be done


def main(folder: Path) -> int:
    """Train the job in a folder, or leave it to whoever is at it."""
    endpoint = folder.parents[1]
    try:
        with lock(endpoint).acquire(timeout=_PATIENCE_S):
            work(Job(folder), Files(endpoint / "files"))
    except Timeout:
        return BUSY
    return 0


def work(job: Job, files: Files) -> None:
    """Train, and write down how it went."""
    if not job.move("running", when={"queued", "running"}):
        return  # cancelled or paused before it came to it
    job.log("Fine-tuning job started")
    from thirdlever.finetune.settings import Stopped
    from thirdlever.finetune.trainer import train

    tune = job.read()
    settings = settings_of(tune)
    try:
        trained = train(
            tune.model,
            training_examples(job),
            into=job.training,
            settings=settings,
            dev=validation_examples(job),
            on_step=_Watch(job),
        )
    except Stopped:
        return
    except ThirdleverError as error:
        fail(job, str(error), code="training_failed")
        return
    _succeed(job, trained, files)


def settings_of(tune: Tune) -> Settings:
    """The trainer's words for a job's hyperparameters; "auto" is the trainer's own choice."""
    from thirdlever.finetune import trainer
    from thirdlever.finetune.settings import Settings

    given, ours = tune.hyperparameters, Settings()
    return Settings(
        epochs=given.n_epochs if isinstance(given.n_epochs, int) else ours.epochs,
        batch_size=given.batch_size if isinstance(given.batch_size, int) else ours.batch_size,
        learning_rate=ours.peak_learning_rate(trainer.width(tune.model)) * _multiplier(tune),
        seed=tune.seed,
    )


def _multiplier(tune: Tune) -> float:
    given = tune.hyperparameters.learning_rate_multiplier
    return given if isinstance(given, float) else 1.0


class _Watch:
    """Tells the job how far its training is, and the training whether to go on."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._figures: dict[str, float] = {}  # of the last step, for its checkpoint
        self._told_to_end = threading.Event()
        self._begun: tuple[float, int] | None = None  # clock time and number of this attempt's first step
        self._estimated = 0.0
        signal.signal(signal.SIGTERM, lambda *_: self._told_to_end.set())

    def __call__(self, step: Step) -> bool:
        """Note a step's figures, or its checkpoint; the trainer tells of each by itself."""
        figures = _figures(step)
        if figures:
            same = self._figures.get("step") == step.step  # training's come first, then those of validation
            self._figures = (self._figures if same else {"step": step.step}) | figures
            shown = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in figures.items())
            data = {"step": step.step, "total_steps": step.total} | figures
            self._job.log(f"Step {step.step}/{step.total}: {shown}", data=data)
        if step.checkpoint is not None:
            self._job.log_checkpoint(step.step, self._figures)
            self._job.log(f"Checkpoint created at step {step.step}")
        self._estimate(step)
        return self._job.read().status == "running" and not self._told_to_end.is_set()

    def _estimate(self, step: Step) -> None:
        now = time.time()
        start, first = self._begun = self._begun or (now, step.step)
        if step.step > first and now - self._estimated >= _ESTIMATE_S:
            self._estimated = now
            left = (now - start) / (step.step - first) * (step.total - step.step)
            self._job.move(None, when={"running"}, estimated_finish=int(now + left))


def _figures(step: Step) -> dict[str, float]:
    """Under the names of OpenAI's metrics."""
    found = {
        "train_loss": step.loss,
        "train_mean_token_accuracy": step.accuracy,
        "valid_loss": step.dev_loss,
        "valid_mean_token_accuracy": step.dev_accuracy,
    }
    return {name: value for name, value in found.items() if value is not None}


def _succeed(job: Job, trained: Trained, files: Files) -> None:
    tune = job.read()
    table = base64.b64encode(results(trained.curve).encode())
    # The same name however often a kill has this done again.
    result = files.add(
        io.BytesIO(table),
        filename="step_metrics.csv",
        purpose="fine-tune-results",
        name=f"file-{job.id.removeprefix('ftjob-')}",
    )
    name = model_name(tune)
    done = job.move(
        "succeeded",
        when={"running"},
        fine_tuned_model=name,
        trained_tokens=trained.tokens,
        result_files=[result.id],
        **ended(),
        **tuned_with(_chosen(tune)),
    )
    if done:
        job.log(f"New fine-tuned model created: {name}")
        job.log("The job has successfully completed")
    else:
        files.delete(result.id)


def _chosen(tune: Tune) -> Hyperparameters:
    """What "auto" came to."""
    settings = settings_of(tune)
    return Hyperparameters(
        n_epochs=settings.epochs, batch_size=settings.batch_size, learning_rate_multiplier=_multiplier(tune)
    )


def results(curve: Sequence[Mapping[str, Any]]) -> str:
    """The result file's table: a line a step, validation beside training where both were measured."""
    ours = dict(zip(_COLUMNS[1:], ("loss", "accuracy", "dev_loss", "dev_accuracy"), strict=True))
    rows: dict[int, dict[str, Any]] = {}
    for point in curve:
        row = rows.setdefault(point["step"], {"step": point["step"]})
        row |= {name: point[key] for name, key in ours.items() if point.get(key) is not None}
    out = io.StringIO()
    writer = csv.DictWriter(out, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows[step] for step in sorted(rows))
    return out.getvalue()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
