"""Fine-tuning with OpenAI's protocol: OpenAI, Azure, Nebius, Crusoe and the local endpoint, which differ by profile.

Two properties of the client matter here. A 200 response whose body is not JSON raises `json.JSONDecodeError`, not one
of the client's errors. And the client repeats a request whose response was lost: right for reading, but for creating a
job this is turned off.
"""

from __future__ import annotations

import atexit
from contextlib import contextmanager
from functools import cache, cached_property
from typing import TYPE_CHECKING

from thirdlever.catalog.tuning import profile
from thirdlever.core import project
from thirdlever.core.files import content_hash
from thirdlever.core.text import clipped
from thirdlever.finetune.jobs import (
    ENDED,
    Access,
    GoneError,
    JobState,
    Provider,
    Status,
    UnreachableError,
)
from thirdlever.finetune.providers.shared import TIMEOUT_S, not_deployed, refusal
from thirdlever.models.engine.local import EMBEDDED

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from openai import APIStatusError, OpenAI
    from openai.types.fine_tuning import FineTuningJob

    from thirdlever.catalog.tuning import Profile
    from thirdlever.core.errors import ModelError
    from thirdlever.finetune.endpoint.server import Endpoint
    from thirdlever.finetune.jobs import Job, JobRequest


METADATA = "thirdlever"  # the key in a job's metadata that holds the request's tag
_RETRIES = 3  # by the client, for requests that may be repeated
_STATUS: dict[str, Status] = {
    "succeeded": "succeeded",
    "failed": "failed",
    "cancelled": "cancelled",
    "pending": "queued",  # Azure's
    "validating_files": "queued",
    "queued": "queued",
    "paused": "queued",
}


class OpenAIProtocol(Provider):
    """A provider with OpenAI's protocol."""

    def __init__(self, terms: Profile) -> None:
        """Connects to nothing."""
        super().__init__(terms)
        self._secret = ""

    def address(self) -> tuple[str, str]:
        """URL and key."""
        return self.terms.access()

    def submit(self, request: JobRequest) -> str:
        """Upload the files and create the job."""
        from openai import omit

        training = self._upload(request.training, f"{request.tag}.jsonl")
        validation = self._upload(request.validation, f"{request.tag}-dev.jsonl") if request.validation else omit
        once = self._client.with_options(max_retries=0)  # after a lost response the job is looked up, not created again
        with self._errors():
            job = once.fine_tuning.jobs.create(
                model=request.base,
                training_file=training,
                validation_file=validation,
                method={
                    "type": "supervised",
                    "supervised": {"hyperparameters": {"n_epochs": request.epochs or "auto"}},
                },
                seed=request.seed,
                suffix=request.tag if self.terms.suffix else omit,
                metadata={METADATA: request.tag} if self.terms.metadata else omit,
                extra_body=dict(self.terms.job) or None,
            )
            return _checked(job).id

    def find(self, tag: str) -> str | None:
        """By the job's metadata, or by the name of its training file, which every provider keeps."""
        with self._errors():
            ours = {file.id for file in self._client.files.list() if file.filename == f"{tag}.jsonl"}
            for job in self._client.fine_tuning.jobs.list(limit=100):
                if (job.metadata or {}).get(METADATA) == tag or job.training_file in ours:
                    return job.id
        return None

    def poll(self, job_id: str) -> JobState:
        """The job and, while it runs, its latest event."""
        with self._errors():
            job = _checked(self._client.fine_tuning.jobs.retrieve(job_id))
            if job.status in ENDED:
                return _state(job)
            events = self._client.fine_tuning.jobs.list_events(job_id, limit=1).data
            return _state(job, events[0].message if events else "")

    def cancel(self, job_id: str) -> JobState:
        """Stop a job; some providers charge for the training up to then."""
        with self._errors():
            return _state(_checked(self._client.fine_tuning.jobs.cancel(job_id)))

    def deploy(self, job: Job) -> str:
        """The tuned model if it answers without a deployment, else the deployment that the user named."""
        if self.terms.serves != "itself":
            return job.served or not_deployed(self.terms, job)
        try:
            with self._errors():
                return str(self._client.models.retrieve(job.tuned or "").id)
        except GoneError as error:
            message = f"{self.terms.title} no longer has {job.tuned}; thirdlever jobs resume {job.short} tunes it again"
            raise GoneError(message) from error

    def access(self, served: str) -> Access:
        """Through inspect's client of the same protocol."""
        url, key = self.address()
        return Access(inspect_name=f"{self.terms.inspect}/{served}", url=url, key=key)

    def close(self) -> None:
        """Close connections; the next request opens new ones, at the address that is then current."""
        client = self.__dict__.pop("_client", None)
        if client is not None:
            client.close()

    def _upload(self, path: Path, name: str) -> str:
        with self._errors(), path.open("rb") as file:
            made = self._client.files.create(file=(name, file, "application/jsonl"), purpose="fine-tune")
            return str(made.id)

    @cached_property
    def _client(self) -> OpenAI:
        from openai import OpenAI

        url, self._secret = self.address()
        return OpenAI(base_url=url, api_key=self._secret, max_retries=_RETRIES, timeout=TIMEOUT_S)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate the client's errors to ours, without the key."""
        import openai

        title = self.terms.title
        try:
            yield
        except (ValueError, AttributeError, TypeError, openai.APIResponseValidationError) as error:
            # Not JSON, or unexpected JSON, which the client passes on as it is.
            message = f"{title} sent a response that is not OpenAI's protocol; run the same command again to continue"
            raise UnreachableError(message) from error
        except openai.APIConnectionError as error:
            self.close()
            cause = type(error.__cause__ or error).__name__
            message = f"{title} cannot be reached ({cause}); run the same command again to continue"
            raise UnreachableError(message) from error
        except openai.APIStatusError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: APIStatusError) -> ModelError:
        body = error.body if isinstance(error.body, dict) else {}
        said, code = str(body.get("message") or error.message), str(body.get("code") or "")
        return refusal(self.terms, error.status_code, said, code=code, secret=self._secret)


def _checked(job: FineTuningJob) -> FineTuningJob:
    """The client passes on any JSON; a job must have an id and a status."""
    if not isinstance(getattr(job, "id", None), str) or not isinstance(getattr(job, "status", None), str):
        message = f"not a fine-tuning job: {clipped(job)}"
        raise TypeError(message)
    return job


def _state(job: FineTuningJob, message: str = "") -> JobState:
    ended = job.status in ENDED
    failed = job.error if job.error is not None and job.error.message else None
    return JobState(
        status=_STATUS.get(job.status, "running"),
        said=job.status,
        message=message,
        tuned=job.fine_tuned_model,
        trained_tokens=job.trained_tokens,
        epochs=_epochs(job),
        seconds=float(job.finished_at - job.created_at) if ended and job.finished_at else None,
        error=f"{failed.message} ({failed.code})" if failed else None,
    )


def _epochs(job: FineTuningJob) -> int | None:
    """From where newer services report it, or older ones."""
    supervised = job.method.supervised if job.method else None
    newer = supervised.hyperparameters.n_epochs if supervised and supervised.hyperparameters else None
    older = getattr(job.hyperparameters, "n_epochs", None)  # missing at some providers, despite its type
    return next((epochs for epochs in (newer, older) if isinstance(epochs, int)), None)


ENDPOINT = project.STORE.with_name("endpoint")  # also the default folder of `thirdlever serve`


class LocalEndpoint(OpenAIProtocol):
    """Tunes one local model, named as users name it: "embedded" or "hf/…"."""

    def __init__(self, model: str) -> None:
        """Connects to nothing and starts nothing."""
        super().__init__(profile("local"))
        self._model = model

    def address(self) -> tuple[str, str]:
        """URL and key of the running endpoint, which may have restarted at another address."""
        running = _endpoint(self._model)
        return running.url, running.key

    def access(self, served: str) -> Access:
        """Through our own inspect provider, which records device time."""
        from thirdlever.finetune.providers import local_inspect  # noqa: F401 - registers it

        return super().access(served)


def _endpoint(model: str) -> Endpoint:
    from thirdlever.finetune.endpoint.server import endpoint

    # An endpoint tunes one base model, so each has a folder of its own.
    folder = ENDPOINT if model == EMBEDDED else ENDPOINT.with_name(f"{ENDPOINT.name}-{content_hash(model)[:12]}")
    running = endpoint(model, folder)
    _close_at_exit(running)
    return running


@cache
def _close_at_exit(running: Endpoint) -> None:
    atexit.register(running.close)
