"""The ledger of managed jobs: what was ordered, of whom, and how it stands, on disk before the next thing happens.

One file a job, `.thirdlever/jobs/<identity>.json`, and beside it the very data that was ordered to be trained on. The
file is written before anything is submitted and again with the provider's id before the first poll, each time whole.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from filelock import FileLock

from thirdlever.core import files, project
from thirdlever.core.errors import ThirdleverError, unknown
from thirdlever.tuning.tuner import Order, Status

if TYPE_CHECKING:
    from pathlib import Path

Stage: TypeAlias = Literal["ordered"] | Status  # "ordered": perhaps submitted, its id is not known yet
JOBS = project.STORE.with_name("jobs")
_TAG = 24  # characters of the identity that a provider is told
_SHORT = 8  # characters that a person is shown


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, as its file holds it.

    Attributes:
        identity: sha256 over provider, base model, data and settings: what makes two jobs the same.
        provider: a name of `profiles.toml`.
        base: the base model as the provider names it.
        model: the base model as the user names it.
        label: whose data it is, the suite's name.
        examples: rows to train on.
        validation: rows to validate on.
        epochs: passes ordered; None leaves it to the provider.
        seed: of the training.
        estimated_tokens: what it was thought to train on.
        estimated_usd: what it was thought to cost; None when unknown.
        ordered: when it was written down, seconds since 1970.
        tried: when its submission was last begun; 0 when never.
        attempt: from 1; a job that failed or was cancelled can be ordered anew.
        stage: how it stands, as far as is known here.
        id: the provider's.
        said: the provider's word for the stage.
        tuned: the provider's name of the tuned model.
        trained_tokens: all epochs together, as the provider counts.
        epochs_made: as the provider says.
        seconds: from creation to end, as the provider says.
        error: why it failed.
        served: the name under which a deployment of the tuned model answers; None when there is none.
        ours: whether thirdlever made that deployment, and removes it.
        idle_usd_per_hour: what it costs while it stands; None when unknown.
    """

    identity: str
    provider: str
    base: str
    model: str
    label: str
    examples: int
    validation: int
    epochs: int | None
    seed: int
    estimated_tokens: int
    estimated_usd: float | None
    ordered: float
    tried: float = 0.0
    attempt: int = 1
    stage: Stage = "ordered"
    id: str | None = None
    said: str = ""
    tuned: str | None = None
    trained_tokens: int | None = None
    epochs_made: int | None = None
    seconds: float | None = None
    error: str | None = None
    served: str | None = None
    ours: bool = False
    idle_usd_per_hour: float | None = 0.0

    @property
    def short(self) -> str:
        """What a person calls it by."""
        return self.identity[:_SHORT]

    @property
    def tag(self) -> str:
        """What the provider is told, so that this attempt of this job is found there again."""
        return f"thirdlever-{self.identity[:_TAG]}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """A folder of jobs, safe against a kill in the middle and a second process beside."""

    root: Path = JOBS

    def jobs(self) -> list[Job]:
        """Every job, the oldest first."""
        found = [self._read(path) for path in self.root.glob("[!.]*.json")]
        return sorted(found, key=lambda job: (job.ordered, job.identity))

    def get(self, identity: str) -> Job | None:
        """The job of an identity; None when none was ordered."""
        path = self._file(identity)
        return self._read(path) if path.exists() else None

    def find(self, name: str) -> Job:
        """The job that a person names by the beginning of its identity or by the provider's id.

        Raises:
            ThirdleverError: none, or more than one.
        """
        jobs = self.jobs()
        found = [job for job in jobs if name and (job.id == name or job.identity.startswith(name))]
        if len(found) == 1:
            return found[0]
        if found:
            message = f"{name!r} names {len(found)} jobs; give more of it: thirdlever jobs lists them"
            raise ThirdleverError(message)
        raise ThirdleverError(unknown("job", name, [job.short for job in jobs]))

    def lock(self, identity: str) -> FileLock:
        """Held by whoever submits, serves or changes a job; the same process may take it twice."""
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self._file(identity).with_suffix(".lock"), is_singleton=True)

    def order(self, job: Job, training: str, validation: str) -> Job:
        """Write down a new job, its data first: a job that is written down can be submitted."""
        self.root.mkdir(parents=True, exist_ok=True)
        files.write(self._data(job.identity, "train"), training.encode())
        if validation:
            files.write(self._data(job.identity, "dev"), validation.encode())
        return self._write(job)

    def update(self, identity: str, **changes: Any) -> Job:  # noqa: ANN401 - fields of `Job`
        """Change some fields of a job and leave the others as another process may have set them."""
        with self.lock(identity):
            return self._write(dataclasses.replace(self._read(self._file(identity)), **changes))

    def forget(self, job: Job) -> None:
        """Strike off a job that never came to anything at its provider."""
        self._file(job.identity).unlink(missing_ok=True)
        for split in ("train", "dev"):
            self._data(job.identity, split).unlink(missing_ok=True)

    def order_of(self, job: Job) -> Order:
        """What the provider is asked for.

        Raises:
            ThirdleverError: the data is gone.
        """
        training, validation = self._data(job.identity, "train"), self._data(job.identity, "dev")
        for path in (training, *([validation] if job.validation else [])):
            if not path.exists():
                message = (
                    f"{path}: the data of job {job.short} is gone; remove {self._file(job.identity)} and run again"
                )
                raise ThirdleverError(message)
        return Order(
            tag=job.tag,
            base=job.base,
            training=training,
            validation=validation if job.validation else None,
            epochs=job.epochs,
            seed=job.seed,
        )

    def _file(self, identity: str) -> Path:
        return self.root / f"{identity}.json"

    def _data(self, identity: str, split: str) -> Path:
        return self.root / f"{identity}.{split}.jsonl"

    def _write(self, job: Job) -> Job:
        files.write(self._file(job.identity), json.dumps(dataclasses.asdict(job), indent=2).encode())
        return job

    @staticmethod
    def _read(path: Path) -> Job:
        try:
            return Job(**json.loads(path.read_text("utf-8")))
        except (ValueError, TypeError) as error:
            message = (
                f"{path}: no job of this version of thirdlever ({error}); look it up at the provider, then remove it"
            )
            raise ThirdleverError(message) from error
