"""Fine-tuning Gemini on Vertex AI, through google-genai.

Not tested against the live service: written to google-genai's types, and tested with responses of the documented
shapes. Vertex serves a tuned Gemini model from an endpoint that it creates with the model and bills by tokens.
"""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from thirdlever.catalog.tuning import profile
from thirdlever.core.errors import ModelError, need, require
from thirdlever.finetune.jobs import (
    Access,
    ForbiddenError,
    GoneError,
    JobState,
    Provider,
    Status,
    UnreachableError,
)
from thirdlever.finetune.providers.shared import bucket_and_key, is_retriable, rewritten, variable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.jobs import Job, JobRequest

PROJECT = "GOOGLE_CLOUD_PROJECT"
LOCATION = "GOOGLE_CLOUD_LOCATION"
FOLDER = "VERTEX_GCS_URI"  # gs://bucket/folder
LABEL = "thirdlever"
STORAGE = "https://storage.googleapis.com"
_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
_STATUS: dict[str, Status] = {
    "JOB_STATE_UNSPECIFIED": "queued",
    "JOB_STATE_QUEUED": "queued",
    "JOB_STATE_PENDING": "queued",
    "JOB_STATE_PAUSED": "queued",
    "JOB_STATE_RUNNING": "running",
    "JOB_STATE_UPDATING": "running",
    "JOB_STATE_CANCELLING": "running",
    "JOB_STATE_SUCCEEDED": "succeeded",
    "JOB_STATE_PARTIALLY_SUCCEEDED": "failed",
    "JOB_STATE_FAILED": "failed",
    "JOB_STATE_EXPIRED": "failed",
    "JOB_STATE_CANCELLED": "cancelled",
}


class Vertex(Provider):
    """Credentials are Google's application-default ones."""

    def __init__(self) -> None:
        """Connects to nothing; needs google-genai."""
        super().__init__(profile("vertex"))
        require("google", extra="vertex")
        self._genai = need("google.genai", extra="vertex")

    def submit(self, request: JobRequest) -> str:
        """Upload the files to Cloud Storage and create the job, labelled with its tag."""
        types = self._genai.types
        config = types.CreateTuningJobConfig(
            epoch_count=request.epochs, tuned_model_display_name=request.tag, labels={LABEL: request.tag}
        )
        if request.validation:
            uri = self._upload(request, request.validation, "dev")
            config.validation_dataset = types.TuningValidationDataset(gcs_uri=uri)
        data = types.TuningDataset(gcs_uri=self._upload(request, request.training, "train"))
        with self._errors():
            made = self.client.tunings.tune(base_model=request.base, training_dataset=data, config=config)
        return str(made.name)

    def find(self, tag: str) -> str | None:
        """By its label."""
        with self._errors():
            for job in self.client.tunings.list(config={"page_size": 100}):
                if (job.labels or {}).get(LABEL) == tag or job.tuned_model_display_name == tag:
                    return str(job.name)
        return None

    def poll(self, job_id: str) -> JobState:
        """The job's state."""
        with self._errors():
            return _state(self.client.tunings.get(name=job_id))

    def cancel(self, job_id: str) -> JobState:
        """Stop a job."""
        with self._errors():
            self.client.tunings.cancel(name=job_id)
        return self.poll(job_id)

    def deploy(self, job: Job) -> str:
        """The endpoint that Vertex created with the model, which costs nothing while idle."""
        return job.served or job.tuned or ""

    def access(self, served: str) -> Access:
        """Through inspect's provider for Google, with the same credentials."""
        return Access(inspect_name=f"google/vertex/{served}")

    def close(self) -> None:
        """Close connections."""
        if client := self.__dict__.pop("client", None):
            client.close()

    @cached_property
    def client(self) -> Any:  # noqa: ANN401 - of an optional package
        """google-genai's client."""
        with self._errors():
            project, location = variable("Vertex", PROJECT), variable("Vertex", LOCATION)
            return self._genai.Client(vertexai=True, project=project, location=location)

    @cached_property
    def storage(self) -> Any:  # noqa: ANN401 - of an optional package
        """An authorised session for Cloud Storage."""
        auth = need("google.auth", extra="vertex")
        transport = need("google.auth.transport.requests", extra="vertex")
        with self._errors():
            credentials, _ = auth.default(scopes=[_SCOPE])
        return transport.AuthorizedSession(credentials)

    def _upload(self, request: JobRequest, path: Path, split: str) -> str:
        bucket, name = bucket_and_key(variable("Vertex", FOLDER), request.tag, f"{split}.jsonl")
        url = f"{STORAGE}/upload/storage/v1/b/{quote(bucket)}/o"
        with self._errors():
            response = self.storage.post(url, params={"uploadType": "media", "name": name}, data=rewritten(path, row))
        if not response.ok:
            status = response.status_code
            message = f"Cloud Storage refused gs://{bucket}/{name} (HTTP {status}); check that you can write there"
            raise ModelError(message)
        return f"gs://{bucket}/{name}"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Translate the client's errors to ours, and suppress its warning that tuning is experimental."""
        auth = need("google.auth.exceptions", extra="vertex")
        transports = (need("httpx", extra="vertex").TransportError, need("requests", extra="vertex").ConnectionError)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except (*transports, auth.TransportError) as error:
            message = f"Vertex cannot be reached ({type(error).__name__}); run the same command again to continue"
            raise UnreachableError(message) from error
        except auth.GoogleAuthError as error:
            message = f"Vertex: {type(error).__name__}; run: gcloud auth application-default login"
            raise ModelError(message) from error
        except self._genai.errors.APIError as error:
            raise _refusal(error) from error


def _refusal(error: Any) -> ModelError:  # noqa: ANN401 - an APIError of an optional package
    said = f"(HTTP {error.code} {error.status}: {error.message})"
    if is_retriable(error.code):
        return UnreachableError(f"Vertex cannot answer now {said}; run the same command again to continue")
    if error.code == 404:  # noqa: PLR2004 - HTTP's
        return GoneError(f"Vertex does not have it {said}")
    if error.code == 403:  # noqa: PLR2004 - HTTP's
        return ForbiddenError(f"Vertex does not allow this account to do that {said}")
    return ModelError(f"Vertex refused {said}; correct this and run again")


def row(example: Conversation) -> dict[str, Any]:
    """A conversation in the format of Gemini's tuning."""
    system = "\n\n".join(turn["content"] for turn in example if turn["role"] == "system")
    contents = [
        {"role": "model" if turn["role"] == "assistant" else "user", "parts": [{"text": turn["content"]}]}
        for turn in example
        if turn["role"] != "system"
    ]
    return ({"systemInstruction": {"parts": [{"text": system}]}} if system else {}) | {"contents": contents}


def _state(job: Any) -> JobState:  # noqa: ANN401 - a TuningJob of an optional package
    said = getattr(job.state, "value", None) or "JOB_STATE_UNSPECIFIED"
    stats = job.tuning_data_stats and job.tuning_data_stats.supervised_tuning_data_stats
    spec = job.supervised_tuning_spec
    parameters = spec.hyper_parameters if spec else None
    tuned = job.tuned_model
    return JobState(
        status=_STATUS.get(said, "running"),
        said=said.removeprefix("JOB_STATE_").lower(),
        tuned=(tuned.endpoint or tuned.model) if tuned else None,
        trained_tokens=stats.total_billable_token_count if stats else None,
        epochs=parameters.epoch_count if parameters else None,
        seconds=(job.end_time - job.create_time).total_seconds() if job.end_time and job.create_time else None,
        error=job.error.message if job.error else None,
    )
