"""Trains one job: `python -m thirdlever.serving.worker <the job's folder>`, as the scheduler starts it.

It goes on from the last checkpoint there is, sees after each step whether it still should, and ends at the next one
when it is terminated; the job then stays "running", for the next worker.
"""

from __future__ import annotations

import base64
import csv
import io
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import Timeout

from thirdlever.core.errors import ThirdleverError
from thirdlever.serving.bodies import Hyperparameters
from thirdlever.serving.creating import tuned_with
from thirdlever.serving.files import Files
from thirdlever.serving.jobs import Job, model_name
from thirdlever.serving.scheduler import BUSY, lock
from thirdlever.serving.validation import ended, fail, training_examples, validation_examples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from thirdlever.serving.jobs import Tune
    from thirdlever.tuning.settings import Settings, Step, Trained

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
    from thirdlever.tuning.settings import Stopped
    from thirdlever.tuning.training import train

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
    from thirdlever.tuning import trainable
    from thirdlever.tuning.settings import Settings

    given, ours = tune.hyperparameters, Settings()
    return Settings(
        epochs=given.n_epochs if isinstance(given.n_epochs, int) else ours.epochs,
        batch_size=given.batch_size if isinstance(given.batch_size, int) else ours.batch_size,
        learning_rate=ours.peak_learning_rate(trainable.width(tune.model)) * _multiplier(tune),
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
