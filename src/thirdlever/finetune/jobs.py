"""Jobs as lines for a terminal."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from filelock import FileLock

from thirdlever.catalog.tuning import profile
from thirdlever.core import files, project
from thirdlever.core.errors import ModelError, StrategyError, ThirdleverError, unknown
from thirdlever.core.progress import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from thirdlever.catalog.tuning import Estimate


_HEAD = (
    "ID",
    "ORDERED",
    "PROVIDER",
    "BASE",
    "DATA",
    "ROWS",
    "STATE",
    "TOKENS",
    "EST. USD",
    "JOB, TUNED MODEL OR ERROR",
)


def lines(jobs: Iterable[Job]) -> list[str]:
    """A table with a head; nothing when there are no jobs."""
    rows = [_row(job) for job in jobs]
    if not rows:
        return []
    widths = [max(map(len, column)) for column in zip(_HEAD, *rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in (_HEAD, *rows)]


def costs(jobs: Iterable[Job]) -> list[str]:
    """What costs while nobody asks it."""
    return [
        f"WARNING: {profile(job.provider).title} deployment {job.served} stands and costs "
        f"${job.idle_usd_per_hour:.2f} an hour; remove it: thirdlever jobs teardown {job.short}"
        for job in jobs
        if job.served and job.idle_usd_per_hour
    ]


def _row(job: Job) -> tuple[str, ...]:
    tokens = job.estimated_tokens if job.trained_tokens is None else job.trained_tokens
    return (
        job.short,
        f"{dt.datetime.fromtimestamp(job.ordered).astimezone():%Y-%m-%d %H:%M}",
        job.provider,
        job.base,
        job.label,
        str(job.examples),
        job.said or job.stage,
        f"{'~' if job.trained_tokens is None else ''}{tokens}",
        "unknown" if job.estimated_usd is None else f"{job.estimated_usd:.2f}",
        job.error or job.tuned or job.id or "",
    )


Status: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ENDED = frozenset({"succeeded", "failed", "cancelled"})


class UnreachableError(ModelError):
    """A provider that did not answer, or not in a way that can be understood: asking again may help."""


class GoneError(ModelError):
    """A job, a file or a model that the provider does not have (any more)."""


class UndeployedError(ModelError):
    """A tuned model that does not answer yet, and that nothing was begun for: its user has to do something."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a provider is asked to tune.

    Attributes:
        tag: names the order at the provider: lower-case letters, digits and hyphens, at most 40.
        base: the base model as the provider names it.
        training: a file of `{"messages": […]}` lines.
        validation: another; None for none.
        epochs: passes over the examples; None leaves it to the provider.
        seed: of the training, where the provider takes one.
    """

    tag: str
    base: str
    training: Path
    validation: Path | None
    epochs: int | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """What a provider says of a job.

    Attributes:
        status: in our words.
        said: in the provider's.
        message: the latest event; "" for none.
        tuned: the provider's name of the tuned model; None until it succeeded.
        trained_tokens: all epochs together; None where the provider does not say.
        epochs: passes made; None where the provider does not say.
        seconds: from creation to end; None until it ended.
        error: why it failed, in the provider's words.
    """

    status: Status
    said: str
    message: str = ""
    tuned: str | None = None
    trained_tokens: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How requests reach a tuned model.

    Attributes:
        inspect_name: for inspect's `get_model`.
        url: for it; None for the provider's own.
        key: for it; None where the provider finds one by itself. It is passed on and kept nowhere.
    """

    inspect_name: str
    url: str | None = None
    key: str | None = field(default=None, repr=False)


class Tuner(Protocol):
    """One provider. Every method raises `UnreachableError`, `GoneError` or `ModelError`."""

    @property
    def title(self) -> str:
        """What messages and tables call it."""

    @property
    def patience(self) -> float:
        """Longest wait between two polls, in seconds."""

    @property
    def idle_usd_per_hour(self) -> float | None:
        """What a deployed model costs while nobody asks it; None when unknown."""

    def estimate(self, base: str, tokens: int) -> Estimate:
        """What training on so many tokens (all epochs) costs, from dated data: nothing is asked."""

    def submit(self, order: Order) -> str:
        """Upload and create the job; its id. Called at most once for a tag that `find` does not know."""

    def find(self, tag: str) -> str | None:
        """The id of the job with this tag, whatever became of it; None when there is none."""

    def poll(self, job_id: str) -> State:
        """How it stands."""

    def cancel(self, job_id: str) -> State:
        """Stop it."""

    def deploy(self, job: Job) -> str:
        """Have a tuned model answer; the name that requests give it. Asked again, it finds what it made before."""

    def access(self, served: str) -> Access:
        """How requests reach it."""

    def tear_down(self, job: Job) -> None:
        """Remove what `deploy` made, if it costs while it is idle; the tuned model itself stays."""

    def close(self) -> None:
        """End its connections."""


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


SETTLE = 10.0  # seconds after which a provider surely lists a job whose submission was cut off
TRIES = 3  # submissions that went unanswered
MISSES = 20  # polls in a row that did: at a provider's patience some ten minutes
FIRST_WAIT = 0.5  # seconds before the second poll; each wait is half as long again as the one before
TOLD_EVERY = 15.0  # seconds between two lines of progress that say the same


def submit(job: Job, tuner: Tuner, ledger: Ledger) -> Job:
    """Have an ordered job at the provider, exactly once, and its id in the ledger.

    The job may be there already: a process died between the request and writing the id, or the answer never came. So
    the provider is asked for its tag before anything is sent, and long enough after an earlier try.

    Raises:
        ModelError: the provider refuses; the order is forgotten, for nothing came of it.
        UnreachableError: it does not answer; the order stands.
    """
    failures = 0
    with ledger.lock(job.identity):
        job = ledger.get(job.identity) or job
        while job.id is None:
            found = _look_up(job, tuner)
            if found is not None:
                job = ledger.update(job.identity, id=found, stage="queued")
                continue
            job = ledger.update(job.identity, tried=time.time())
            try:
                job = ledger.update(job.identity, id=tuner.submit(ledger.order_of(job)), stage="queued")
                note(f"{tuner.title}: job {job.id} submitted")
            except UnreachableError as error:
                failures += 1
                if failures == TRIES:
                    raise
                note(f"{error}; looking whether the job arrived")
            except ModelError:
                ledger.forget(job)
                raise
    return job


def _look_up(job: Job, tuner: Tuner) -> str | None:
    """The provider's id of a job that may have arrived; None when it surely did not."""
    while True:
        found = tuner.find(job.tag)
        if found is not None:
            note(f"{tuner.title}: job {found} was submitted before; going on with it")
        if found is not None or time.time() - job.tried >= SETTLE:
            return found
        time.sleep(1.0)


def follow(job: Job, tuner: Tuner, ledger: Ledger) -> Job:
    """Wait until a submitted job has ended, telling how it stands.

    Raises:
        ModelError: the provider has no such job, or has not answered for long.
        KeyboardInterrupt: the job goes on all the same.
    """
    try:
        return _follow(job, tuner, ledger)
    except KeyboardInterrupt:
        note(f"{tuner.title}: job {job.id} goes on; to stop it: thirdlever jobs cancel {job.short}")
        raise


def _follow(job: Job, tuner: Tuner, ledger: Ledger) -> Job:
    wait, misses, told, last = FIRST_WAIT, 0, 0.0, ""
    while job.stage not in ENDED:
        try:
            state = poll(job, tuner)
        except UnreachableError as error:
            misses += 1
            if misses == MISSES:
                message = f"{error}; job {job.id} goes on there, and the same command waits for it again"
                raise ModelError(message) from error
        else:
            misses = 0
            job = record(job, state, ledger)
            line = f"{tuner.title}: job {job.id} {state.said}{f': {state.message}' if state.message else ''}"
            if state.said != last or time.monotonic() - told >= TOLD_EVERY:
                note(line)
                last, told = state.said, time.monotonic()
        if job.stage not in ENDED:
            time.sleep(wait)
            wait = min(wait * 1.5, tuner.patience)
    return job


def poll(job: Job, tuner: Tuner) -> State:
    """How a submitted job stands at the provider.

    Raises:
        GoneError: it is not there any more.
    """
    if job.id is None:
        message = f"job {job.short} was not submitted yet; run: thirdlever jobs resume {job.short}"
        raise ModelError(message)
    try:
        return tuner.poll(job.id)
    except GoneError as error:
        message = f"{tuner.title} has no job {job.id} any more; thirdlever jobs resume {job.short} submits it anew"
        raise GoneError(message) from error


def record(job: Job, state: State, ledger: Ledger) -> Job:
    """Write down what the provider said."""
    return ledger.update(
        job.identity,
        stage=state.status,
        said=state.said,
        tuned=state.tuned,
        trained_tokens=state.trained_tokens,
        epochs_made=state.epochs,
        seconds=state.seconds,
        error=state.error,
    )


def succeeded(job: Job, title: str) -> Job:
    """The job, if it came to a tuned model.

    Raises:
        StrategyError: it failed or was cancelled.
    """
    if job.stage == "succeeded" and job.tuned:
        return job
    why = f": {job.error.rstrip('.')}" if job.error else ""
    message = f"{title}: job {job.id} {job.said or job.stage}{why}; thirdlever jobs resume {job.short} submits it anew"
    raise StrategyError(message)


def cancel(job: Job, tuner: Tuner, ledger: Ledger) -> Job:
    """Stop a job; one that never arrived at the provider is struck off the ledger.

    Raises:
        ModelError: it has ended, or the provider refuses.
    """
    if job.stage in ENDED:
        message = f"job {job.short} has ended ({job.stage}); there is nothing to cancel"
        raise ModelError(message)
    with ledger.lock(job.identity):
        if job.id is None:
            found = _look_up(job, tuner)
            if found is None:
                ledger.forget(job)
                return job
            job = ledger.update(job.identity, id=found, stage="queued")
        return record(job, tuner.cancel(job.id or ""), ledger)


def resume(job: Job, tuner: Tuner, ledger: Ledger, confirm: Callable[[], None]) -> Job:
    """Go on with a job until it ends; one that failed, was cancelled or is gone is ordered anew.

    Args:
        job: any.
        tuner: its provider.
        ledger: where it is written.
        confirm: raises unless a new submission, which may cost money, is wanted.
    """
    with ledger.lock(job.identity):
        if job.id is not None and (job.stage in {"failed", "cancelled"} or _gone(job, tuner)):
            confirm()
            anew = {"attempt": job.attempt + 1, "stage": "ordered", "id": None, "said": "", "tried": 0.0}
            job = ledger.update(job.identity, **anew, tuned=None, error=None, served=None)
        job = submit(job, tuner, ledger)
    return follow(job, tuner, ledger)


def _gone(job: Job, tuner: Tuner) -> bool:
    try:
        poll(job, tuner)
    except GoneError:
        return True
    return False
