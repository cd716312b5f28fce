"""Fine-tuning by OpenAI's protocol: OpenAI itself, Azure, Nebius, Crusoe and the local endpoint, told apart by profile.

Two things about the client are handled here. A 200 whose body is not JSON raises `json.JSONDecodeError`, not an error
of the client's. And the client repeats a request whose answer was lost: right for reading, wrong for creating a job, so
that creating is never repeated blindly.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING

from thirdlever.catalog.tuning import estimate
from thirdlever.core.errors import ModelError
from thirdlever.finetune.jobs import ENDED, Access, GoneError, State, Status, UndeployedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai import APIStatusError, OpenAI
    from openai.types.fine_tuning import FineTuningJob

    from thirdlever.catalog.tuning import Estimate, Profile
    from thirdlever.finetune.jobs import Job, Order


METADATA = "thirdlever"  # the key of a job's metadata that holds the order's tag
TIMEOUT = 60.0  # seconds for one request; an upload is one
_RETRIES = 3  # of the client, for requests that may be repeated
_STATUS: dict[str, Status] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "pending": "queued",  # Azure's
    "validating_files": "queued",
    "queued": "queued",
    "paused": "queued",
}
_LATER = {408, 409, 429}  # and every 5xx


class OpenAIProtocol:
    """A provider that speaks OpenAI's protocol."""

    def __init__(self, profile: Profile) -> None:
        """See `thirdlever.finetune.jobs.Tuner`."""
        self.profile = profile
        self.title = profile.title
        self.patience = profile.patience_s
        self.idle_usd_per_hour = profile.idle_usd_per_hour
        self._secret = ""

    def address(self) -> tuple[str, str]:
        """URL and key."""
        return self.profile.access()

    def estimate(self, base: str, tokens: int) -> Estimate:
        """From the dated rates."""
        return estimate(self.profile.name, base, tokens)

    def submit(self, order: Order) -> str:
        """Upload the files and create the job."""
        from openai import omit

        training = self._upload(order.training, f"{order.tag}.jsonl")
        validation = self._upload(order.validation, f"{order.tag}-dev.jsonl") if order.validation else omit
        once = self._client.with_options(max_retries=0)  # a lost answer is looked for, not asked for again
        with self._spoken():
            made = once.fine_tuning.jobs.create(
                model=order.base,
                training_file=training,
                validation_file=validation,
                method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": order.epochs or "auto"}}},
                seed=order.seed,
                suffix=order.tag if self.profile.suffix else omit,
                metadata={METADATA: order.tag} if self.profile.metadata else omit,
                extra_body=dict(self.profile.job) or None,
            )
            return _whole(made).id

    def find(self, tag: str) -> str | None:
        """By the job's metadata, or by the name of its training file, which every provider keeps."""
        with self._spoken():
            ours = {file.id for file in self._client.files.list() if file.filename == f"{tag}.jsonl"}
            for job in self._client.fine_tuning.jobs.list(limit=100):
                if (job.metadata or {}).get(METADATA) == tag or job.training_file in ours:
                    return job.id
        return None

    def poll(self, job_id: str) -> State:
        """The job and, while it runs, its latest event."""
        with self._spoken():
            job = _whole(self._client.fine_tuning.jobs.retrieve(job_id))
            if job.status in ENDED:
                return _state(job)
            events = self._client.fine_tuning.jobs.list_events(job_id, limit=1).data
            return _state(job, events[0].message if events else "")

    def cancel(self, job_id: str) -> State:
        """Stop it; what was trained until then is charged by some."""
        with self._spoken():
            return _state(_whole(self._client.fine_tuning.jobs.cancel(job_id)))

    def deploy(self, job: Job) -> str:
        """The tuned model where it answers by itself, else the deployment that its user named.

        Raises:
            GoneError: the provider has the tuned model no more.
            UndeployedError: nobody has deployed it yet.
        """
        if self.profile.serves == "itself":
            return self._there(job)
        if job.served:
            return job.served
        message = (
            f"{self.title} does not answer for {job.tuned} by itself: {self.profile.deploying}; then say "
            f"thirdlever jobs deployed {job.short} NAME and run the same command again"
        )
        raise UndeployedError(message)

    def access(self, served: str) -> Access:
        """Through inspect's client of the same protocol."""
        url, key = self.address()
        return Access(inspect_name=f"{self.profile.inspect}/{served}", url=url, key=key)

    def tear_down(self, job: Job) -> None:
        """Nothing here costs while it is idle."""

    def _there(self, job: Job) -> str:
        try:
            with self._spoken():
                return str(self._client.models.retrieve(job.tuned or "").id)
        except GoneError as error:
            message = f"{self.title} has {job.tuned} no more; thirdlever jobs resume {job.short} tunes it anew"
            raise GoneError(message) from error

    def _upload(self, path: Path, name: str) -> str:
        with self._spoken(), path.open("rb") as file:
            made = self._client.files.create(file=(name, file, "application/jsonl"), purpose="fine-tune")
            return str(made.id)

    @cached_property
    def _client(self) -> OpenAI:
        from openai import OpenAI

        url, self._secret = self.address()
        return OpenAI(base_url=url, api_key=self._secret, max_retries=_RETRIES, timeout=TIMEOUT)

    def close(self) -> None:
        """End the client's connections; the next request opens new ones, wherever the address then is."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """The client's errors in our words, without the key."""
        import openai

        try:
            yield
        except (ValueError, AttributeError, TypeError, openai.APIResponseValidationError) as error:
            # No JSON at all, or other JSON than was expected, which the client hands on as it is.
            message = f"{self.title} answered something that is not OpenAI's protocol; the same command goes on"
            raise UnreachableError(message) from error
        except openai.APIConnectionError as error:
            self.close()
            message = (
                f"{self.title} cannot be reached ({type(error.__cause__ or error).__name__}); the same command goes on"
            )
            raise UnreachableError(message) from error
        except openai.APIStatusError as error:
            raise self._refused(error) from error

    def _refused(self, error: APIStatusError) -> ModelError:
        body = error.body if isinstance(error.body, dict) else {}
        said = str(body.get("message") or error.message)
        said = said.replace(self._secret, "…") if self._secret else said
        code = body.get("code")
        if code == "training_not_available":
            return ModelError(f"{self.title} trains nothing for this organisation ({said}); {self.profile.instead}")
        if error.status_code == 401:  # noqa: PLR2004 - HTTP's; what it says may repeat the key
            return ModelError(f"{self.title} refused the key in {self.profile.key_variable}; set one that is valid")
        if error.status_code == 404:  # noqa: PLR2004 - HTTP's
            return GoneError(f"{self.title} has no such thing: {said}")
        if (error.status_code in _LATER or error.status_code >= 500) and code != "insufficient_quota":  # noqa: PLR2004
            return UnreachableError(
                f"{self.title} cannot answer now (HTTP {error.status_code}: {said}); the same command goes on"
            )
        return ModelError(f"{self.title} refused (HTTP {error.status_code}: {said}); correct that and run again")


def _whole(job: FineTuningJob) -> FineTuningJob:
    """The client hands on whatever JSON it got: a job without an id is none."""
    if not isinstance(getattr(job, "id", None), str) or not isinstance(getattr(job, "status", None), str):
        message = f"no fine-tuning job but {job!r:.80}"
        raise TypeError(message)
    return job


def _state(job: FineTuningJob, message: str = "") -> State:
    epochs = _epochs(job)
    ended = job.status in ENDED
    failed = job.error if job.error is not None and job.error.message else None
    return State(
        status=_STATUS.get(job.status, "running"),
        said=job.status,
        message=message,
        tuned=job.fine_tuned_model,
        trained_tokens=job.trained_tokens,
        epochs=epochs,
        seconds=float(job.finished_at - job.created_at) if ended and job.finished_at else None,
        error=f"{failed.message} ({failed.code})" if failed else None,
    )


def _epochs(job: FineTuningJob) -> int | None:
    """Where newer services say it, or where older ones do."""
    supervised = job.method.supervised if job.method else None
    newer = supervised.hyperparameters.n_epochs if supervised and supervised.hyperparameters else None
    older = getattr(job.hyperparameters, "n_epochs", None)  # left out by some, whatever its type says
    return next((epochs for epochs in (newer, older) if isinstance(epochs, int)), None)
