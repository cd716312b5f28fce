"""Managed fine-tuning jobs: the provider interface, the ledger of jobs on disk, and following a job to its end.

A job is written to the ledger before anything is sent, and again with the provider's id before the first poll, so that
no crash submits or pays for it twice.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from filelock import FileLock

from thirdlever.catalog.tuning import estimate, profile
from thirdlever.core import files, project
from thirdlever.core.errors import ModelError, ThirdleverError, TuningError, unknown
from thirdlever.core.progress import note
from thirdlever.finetune import conversations
from thirdlever.finetune.conversations import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from thirdlever.catalog.tuning import Profile


Status: TypeAlias = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Stage: TypeAlias = Literal["ordered"] | Status  # "ordered": perhaps submitted, but its id is not known yet
ENDED = frozenset({"succeeded", "failed", "cancelled"})

JOBS = project.STORE.with_name("jobs")
SETTLE_S = 10.0  # after which a provider lists any job whose submission was interrupted
MAX_SUBMISSIONS = 3  # unanswered submissions before giving up
MAX_MISSED_POLLS = 20  # unanswered polls in a row before giving up: about ten minutes at the longest interval
MAX_QUEUE_HOURS = 24.0  # for a job to start; then it is cancelled
FIRST_POLL_S = 0.5  # before the second poll; each interval is half as long again as the one before
REPEAT_NOTE_S = 15.0  # between two identical progress lines
_TAG_CHARS = 24  # of the identity, as sent to a provider
_SHORT_CHARS = 8  # of the identity, as shown to a person


class UnreachableError(ModelError):
    """A provider did not answer, or not in its protocol; retrying may help."""


class ForbiddenError(ModelError):
    """The account may not do this, as HTTP 403 says; jobs of other accounts may be accepted."""


class GoneError(ModelError):
    """A provider has no such job, file or model, or no longer has it."""


class UndeployedError(ModelError):
    """A tuned model is not deployed, and the user has to act first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRequest:
    """What a provider is asked to train.

    Attributes:
        tag: identifies the request at the provider: lower-case letters, digits and hyphens, at most 40.
        base: the base model as the provider names it.
        training: a file of `{"messages": […]}` lines.
        validation: another such file, optional.
        epochs: passes over the examples; None leaves the number to the provider.
        seed: for training, where the provider accepts one.
    """

    tag: str
    base: str
    training: Path
    validation: Path | None
    epochs: int | None
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobState:
    """A job as its provider reports it; None is not reported or not yet known.

    Attributes:
        status: in our terms.
        said: in the provider's terms.
        message: the latest event, or "".
        tuned: the provider's name of the tuned model.
        trained_tokens: over all epochs.
        epochs: passes completed.
        seconds: from creation to end.
        usd: what the provider charges, if it reports that.
        error: why it failed, in the provider's words.
    """

    status: Status
    said: str
    message: str = ""
    tuned: str | None = None
    trained_tokens: int | None = None
    epochs: int | None = None
    seconds: float | None = None
    usd: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How to reach a tuned model.

    Attributes:
        inspect_name: for inspect's `get_model`.
        url: for it; None for the provider's default.
        key: for it; None if inspect's provider finds one itself. It is never stored.
    """

    inspect_name: str
    url: str | None = None
    key: str | None = field(default=None, repr=False)


class Provider(ABC):
    """A fine-tuning service. Every method raises `UnreachableError`, `GoneError` or `ModelError`."""

    def __init__(self, terms: Profile) -> None:
        """Take the provider's row of `profiles.toml`; connects to nothing."""
        self.terms = terms

    @abstractmethod
    def submit(self, request: JobRequest) -> str:
        """Upload the files and create the job; its id. Called at most once for a tag that `find` does not know."""

    @abstractmethod
    def find(self, tag: str) -> str | None:
        """The id of the job with this tag, in any status; None if there is none."""

    @abstractmethod
    def poll(self, job_id: str) -> JobState:
        """The job's current state."""

    @abstractmethod
    def cancel(self, job_id: str) -> JobState:
        """Stop a job."""

    @abstractmethod
    def deploy(self, job: Job) -> str:
        """Make a tuned model answer; the name that requests use. Idempotent."""

    @abstractmethod
    def access(self, served: str) -> Access:
        """How to reach a deployed model."""

    def tear_down(self, job: Job) -> None:  # noqa: B027 - optional: most deployments cost nothing while idle
        """Remove what `deploy` created if it costs money while idle; the tuned model stays."""

    @abstractmethod
    def close(self) -> None:
        """Close connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job as its file in the ledger holds it.

    Attributes:
        identity: sha256 of provider, base model, data and settings: equal for equal jobs.
        base: the base model as the provider names it; `model` is the user's name for it.
        label: the suite's name.
        examples: rows in the training file; `validation` counts those in the validation file.
        epochs: passes requested; None leaves the number to the provider.
        estimated_tokens: before submission, over all epochs; `estimated_usd` is None if unknown.
        ordered: time of creation, in seconds since 1970; `tried` is that of the latest submission, 0 if never.
        max_queue_hours: from the submission until the job must have started.
        attempt: from 1; a job that failed or was cancelled can be submitted again.
        stage: the latest known status; the fields up to `error` are those of `JobState`.
        usd: what the provider says it charges for the attempt; None if it does not say.
        earlier_usd: what earlier attempts cost; None if unknown. `earlier_seconds` is their time.
        ended: when the end was seen, in seconds since 1970; 0 before.
        served: the name of the tuned model's deployment; None if not deployed.
        ours: whether thirdlever created that deployment and removes it.
        idle_usd_per_hour: what the deployment costs while idle; None if unknown.
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
    max_queue_hours: float = MAX_QUEUE_HOURS
    tried: float = 0.0
    attempt: int = 1
    stage: Stage = "ordered"
    id: str | None = None
    said: str = ""
    tuned: str | None = None
    trained_tokens: int | None = None
    epochs_made: int | None = None
    seconds: float | None = None
    usd: float | None = None
    error: str | None = None
    earlier_usd: float | None = 0.0
    earlier_seconds: float = 0.0
    ended: float = 0.0
    served: str | None = None
    ours: bool = False
    idle_usd_per_hour: float | None = 0.0

    @property
    def short(self) -> str:
        """The identity's first characters, for people."""
        return self.identity[:_SHORT_CHARS]

    @property
    def submitted(self) -> float:
        """When this attempt was submitted, in seconds since 1970."""
        return self.tried or self.ordered

    @property
    def charged_usd(self) -> float | None:
        """What the attempt costs: as reported, or the reported tokens at the known rate; None if unknown."""
        if self.usd is not None or profile(self.provider).free:
            return self.usd or 0.0
        if self.trained_tokens is None:
            return None
        return estimate(self.provider, self.base, self.trained_tokens).usd

    @property
    def total_usd(self) -> float | None:
        """What all attempts cost; None if unknown."""
        charged = self.charged_usd
        return None if charged is None or self.earlier_usd is None else charged + self.earlier_usd

    @property
    def total_seconds(self) -> float:
        """From creation to end, of all attempts."""
        return (self.seconds or 0.0) + self.earlier_seconds

    @property
    def tag(self) -> str:
        """Identifies this attempt of this job at the provider."""
        return f"thirdlever-{self.identity[:_TAG_CHARS]}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """A folder of jobs, safe against kills and concurrent processes."""

    root: Path = JOBS

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        found = [self._read(path) for path in self.root.glob("[!.]*.json")]
        return sorted(found, key=lambda job: (job.ordered, job.identity))

    def get(self, identity: str) -> Job | None:
        """The job with this identity, or None."""
        path = self._file(identity)
        return self._read(path) if path.exists() else None

    def find(self, name: str) -> Job:
        """The only job whose identity starts with `name`, or whose id at the provider it is."""
        jobs = self.jobs()
        found = [job for job in jobs if name and (job.id == name or job.identity.startswith(name))]
        if len(found) == 1:
            return found[0]
        if found:
            message = f"{name!r} matches {len(found)} jobs; give more characters (thirdlever jobs lists them)"
            raise ThirdleverError(message)
        raise ThirdleverError(unknown("job", name, [job.short for job in jobs]))

    def lock(self, identity: str) -> FileLock:
        """Hold this to submit, deploy or change a job; reentrant within a process."""
        self.root.mkdir(parents=True, exist_ok=True)
        return FileLock(self._file(identity).with_suffix(".lock"), is_singleton=True)

    def add(self, job: Job, training: str, validation: str) -> Job:
        """Write a new job, its data first, so that every job on disk can be submitted."""
        self.root.mkdir(parents=True, exist_ok=True)
        files.write(self._data(job.identity, "train"), training.encode())
        if validation:
            files.write(self._data(job.identity, "dev"), validation.encode())
        return self._write(job)

    def update(self, identity: str, **changes: Any) -> Job:  # noqa: ANN401 - fields of `Job`
        """Change some fields of a job and keep the others as other processes may have set them."""
        with self.lock(identity):
            return self._write(dataclasses.replace(self._read(self._file(identity)), **changes))

    def remove(self, job: Job) -> None:
        """Delete a job that its provider never had."""
        self._file(job.identity).unlink(missing_ok=True)
        for split in ("train", "dev"):
            self._data(job.identity, split).unlink(missing_ok=True)

    def request(self, job: Job) -> JobRequest:
        """What to submit for a job."""
        training, validation = self._data(job.identity, "train"), self._data(job.identity, "dev")
        for path in (training, *([validation] if job.validation else [])):
            if not path.exists():
                message = f"{path}: the data of job {job.short} is gone; delete {self._file(job.identity)} and re-run"
                raise ThirdleverError(message)
        return JobRequest(
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
                f"{path}: not a job of this version of thirdlever ({error}); look it up at the provider, then delete it"
            )
            raise ThirdleverError(message) from error


def submit(job: Job, provider: Provider, ledger: Ledger) -> Job:
    """Submit a job exactly once and write its id to the ledger.

    The provider may already have the job: a process died before writing the id, or the response was lost. So the job is
    looked up by its tag before anything is sent, and long enough after an earlier attempt.

    Raises:
        ModelError: the provider refuses; a first attempt is removed from the ledger.
        ForbiddenError: the account may not tune there; the message says who can.
        UnreachableError: the provider does not answer; the job stays in the ledger.
    """
    failures, title = 0, provider.terms.title
    with ledger.lock(job.identity):
        job = ledger.get(job.identity) or job
        while job.id is None:
            found = _look_up(job, provider)
            if found is not None:
                job = ledger.update(job.identity, id=found, stage="queued")
                continue
            job = ledger.update(job.identity, tried=time.time())
            try:
                job = ledger.update(job.identity, id=provider.submit(ledger.request(job)), stage="queued")
                note(f"{title}: job {job.id} submitted")
            except UnreachableError as error:
                failures += 1
                if failures == MAX_SUBMISSIONS:
                    raise
                note(f"{error}; checking whether the job arrived")
            except ModelError as error:
                if job.attempt == 1:  # the record of earlier attempts, which were paid for, is kept
                    ledger.remove(job)
                if isinstance(error, ForbiddenError):
                    raise ForbiddenError(_who_can(error, provider.terms)) from error
                raise
    return job


def _who_can(error: ForbiddenError, terms: Profile) -> str:
    instead = f"; {terms.instead}" if terms.instead else ""
    return (
        f"{error}; {terms.title} accepts jobs from {terms.accepts}{instead}; "
        "provider=local rehearses the same steps on this machine, free of charge"
    )


def _look_up(job: Job, provider: Provider) -> str | None:
    """The provider's id of a job that may have arrived; None once it is certain that it did not."""
    while True:
        found = provider.find(job.tag)
        if found is not None:
            note(f"{provider.terms.title}: job {found} was already submitted; following it")
        left = min(SETTLE_S, job.tried + SETTLE_S - time.time())  # also if the clock was set back
        if found is not None or left <= 0:
            return found
        time.sleep(min(1.0, left))


def follow(job: Job, provider: Provider, ledger: Ledger) -> Job:
    """Wait until a submitted job has ended, reporting its progress.

    A job that has not started its `max_queue_hours` after its submission is cancelled at the provider.

    Raises:
        ModelError: the provider has no such job, or has stopped answering.
        KeyboardInterrupt: the job continues at the provider.
    """
    try:
        return _follow(job, provider, ledger)
    except KeyboardInterrupt:
        note(f"{provider.terms.title}: job {job.id} continues; to stop it: thirdlever jobs cancel {job.short}")
        raise


def _follow(job: Job, provider: Provider, ledger: Ledger) -> Job:
    interval, misses, noted, last, stopped = FIRST_POLL_S, 0, 0.0, "", False
    while job.stage not in ENDED:
        try:
            state = poll(job, provider)
            if state.status == "queued" and not stopped and time.time() - job.submitted > job.max_queue_hours * 3600:
                state = provider.cancel(job.id or "")
                stopped = True
        except UnreachableError as error:
            misses += 1
            if misses == MAX_MISSED_POLLS:
                message = f"{error}; job {job.id} continues there, and the same command resumes waiting for it"
                raise ModelError(message) from error
        else:
            misses = 0
            if stopped and state.status == "cancelled":
                tokens = state.trained_tokens or 0  # none are reported of a job that never started
                state = dataclasses.replace(state, trained_tokens=tokens, error=_never_started(job.max_queue_hours))
            job = record(job, state, ledger)
            if state.said != last or time.monotonic() - noted >= REPEAT_NOTE_S:
                event = f": {state.message}" if state.message else ""
                note(f"{provider.terms.title}: job {job.id} {state.said}{event}")
                last, noted = state.said, time.monotonic()
        if job.stage not in ENDED:
            time.sleep(interval)
            interval = min(interval * 1.5, provider.terms.patience_s)
    return job


def _never_started(hours: float) -> str:
    return (
        f"it had not started after {hours:g} hours in the queue, so it was stopped; try another base or provider, "
        "or wait longer with managed:max_queue_hours=HOURS"
    )


def poll(job: Job, provider: Provider) -> JobState:
    """The current state of a submitted job; raises `GoneError` if the provider no longer has it."""
    if job.id is None:
        message = f"job {job.short} has not been submitted yet; run: thirdlever jobs resume {job.short}"
        raise ModelError(message)
    try:
        return provider.poll(job.id)
    except GoneError as error:
        message = (
            f"{provider.terms.title} no longer has job {job.id}; thirdlever jobs resume {job.short} submits it again"
        )
        raise GoneError(message) from error


def record(job: Job, state: JobState, ledger: Ledger) -> Job:
    """Write a reported state to the ledger, with what was paid for if the job has ended, however it ended."""
    same = {name: getattr(state, name) for name in ("said", "tuned", "trained_tokens", "usd", "error")}
    ended = (job.ended or time.time()) if state.status in ENDED else 0.0
    seconds = ended - job.submitted if ended and state.seconds is None else state.seconds
    stage, epochs = state.status, state.epochs
    return ledger.update(job.identity, stage=stage, epochs_made=epochs, seconds=seconds, ended=ended, **same)


def check_succeeded(job: Job, ledger: Ledger) -> Job:
    """The job; raises `TuningError` if it failed or was cancelled."""
    if job.stage == "succeeded" and job.tuned:
        return job
    why = f": {job.error.rstrip('.')}" if job.error else ""
    outcome, blocked = f"{job.said or job.stage}{why}", _blocked(job, ledger)
    message = (
        f"{profile(job.provider).title}: job {job.id} {outcome}{blocked} ({_paid(job)}); "
        f"thirdlever jobs resume {job.short} submits it again"
    )
    reason = "blocked by the provider's moderation" if blocked else f"its tuning job {outcome}"
    raise TuningError(message, reason=reason, usd=job.total_usd)


def _paid(job: Job) -> str:
    """What a job that produced no model used and cost."""
    tokens = "" if job.trained_tokens is None else f"{job.trained_tokens:,} tokens trained, "
    charged = job.charged_usd
    cost = "cost not reported; see the provider's bill" if charged is None else f"cost ${charged:.2f}"
    return f"{(job.seconds or 0.0) / 3600:.1f} hours, {tokens}{cost}"


def _blocked(job: Job, ledger: Ledger) -> str:
    """What blocked a job's data and which rows probably caused it; "" if moderation did not."""
    found = conversations.blocked_category(job.error or "")
    if job.stage != "failed" or found is None:
        return ""
    rows = conversations.suspects(parse(ledger.request(job).training.read_bytes(), minimum=1))
    return f"; category: {found}; {conversations.describe_suspects(rows)}"


def cancel(job: Job, provider: Provider, ledger: Ledger) -> Job:
    """Stop a job; one that never reached the provider is removed from the ledger."""
    if job.stage in ENDED:
        message = f"job {job.short} has already ended ({job.stage}); there is nothing to cancel"
        raise ModelError(message)
    with ledger.lock(job.identity):
        if job.id is None:
            found = _look_up(job, provider)
            if found is None:
                ledger.remove(job)
                return job
            job = ledger.update(job.identity, id=found, stage="queued")
        return record(job, provider.cancel(job.id or ""), ledger)


def resume(
    job: Job,
    provider: Provider,
    ledger: Ledger,
    confirm: Callable[[], None],
) -> Job:
    """Follow a job to its end; one that failed, was cancelled or is gone is submitted again.

    Before a new submission, which may cost money, `confirm` is called; it raises to prevent it.
    """
    with ledger.lock(job.identity):
        if job.id is not None and (job.stage in {"failed", "cancelled"} or _is_gone(job, provider)):
            confirm()
            paid = {"earlier_usd": job.total_usd, "earlier_seconds": job.total_seconds, "usd": None, "seconds": None}
            restart = {
                "attempt": job.attempt + 1,
                "stage": "ordered",
                "id": None,
                "said": "",
                "tried": 0.0,
                "ended": 0.0,
            }
            nothing = dict.fromkeys(("trained_tokens", "tuned", "error", "served"))
            job = ledger.update(job.identity, **paid, **restart, **nothing)
        job = submit(job, provider, ledger)
    return follow(job, provider, ledger)


def _is_gone(job: Job, provider: Provider) -> bool:
    try:
        poll(job, provider)
    except GoneError:
        return True
    return False


def table(jobs: Sequence[Job]) -> list[str]:
    """Jobs as the lines of a table; empty if there are none."""
    head = ("ID", "CREATED", "PROVIDER", "BASE", "DATA", "ROWS", "STATUS", "TOKENS", "EST. USD")
    rows = [(*head, "JOB, TUNED MODEL OR ERROR"), *map(_row, jobs)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows] if jobs else []


def _row(job: Job) -> tuple[str, ...]:
    return (
        job.short,
        f"{dt.datetime.fromtimestamp(job.ordered).astimezone():%Y-%m-%d %H:%M}",
        job.provider,
        job.base,
        job.label,
        str(job.examples),
        job.said or job.stage,
        f"~{job.estimated_tokens}" if job.trained_tokens is None else str(job.trained_tokens),
        "unknown" if job.estimated_usd is None else f"{job.estimated_usd:.2f}",
        job.error or job.tuned or job.id or "",
    )


def idle_cost_warnings(jobs: Sequence[Job]) -> list[str]:
    """A warning for each deployment that costs money while idle."""
    return [
        f"WARNING: {profile(job.provider).title} deployment {job.served} is running and costs "
        f"${job.idle_usd_per_hour:.2f} an hour; remove it: thirdlever jobs teardown {job.short}"
        for job in jobs
        if job.served and job.idle_usd_per_hour
    ]
