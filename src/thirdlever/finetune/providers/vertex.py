"""Fine-tuning Gemini on Vertex AI, through google-genai.

Not exercised against the live service: written to google-genai's types, and tested against the recorded shapes of its
answers. A tuned Gemini model is served by an endpoint that Vertex makes with it and bills by tokens.
"""

from __future__ import annotations

import json
import os
import warnings
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from thirdlever.catalog.tuning import estimate, profile
from thirdlever.core.errors import ModelError, need, require
from thirdlever.finetune.conversations import parse
from thirdlever.finetune.jobs import Access, GoneError, State, Status, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thirdlever.catalog.tuning import Estimate
    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.jobs import Job, Order


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
_LATER = {408, 409, 429}  # and every 5xx


class Vertex:
    """See `thirdlever.finetune.jobs.Tuner`; credentials are Google's application-default ones."""

    def __init__(self) -> None:
        """Without connecting.

        Raises:
            MissingExtraError: google-genai is not installed.
        """
        require("google", extra="vertex")
        self._genai = need("google.genai", extra="vertex")
        terms = profile("vertex")
        self.title = terms.title
        self.patience = terms.patience_s
        self.idle_usd_per_hour = terms.idle_usd_per_hour

    def estimate(self, base: str, tokens: int) -> Estimate:
        """From the dated rates."""
        return estimate("vertex", base, tokens)

    def submit(self, order: Order) -> str:
        """Put the files into Cloud Storage and create the job, labelled with its tag."""
        types = self._genai.types
        config = types.CreateTuningJobConfig(
            epoch_count=order.epochs, tuned_model_display_name=order.tag, labels={LABEL: order.tag}
        )
        if order.validation:
            uri = self._upload(order, order.validation, "dev")
            config.validation_dataset = types.TuningValidationDataset(gcs_uri=uri)
        data = types.TuningDataset(gcs_uri=self._upload(order, order.training, "train"))
        with self._spoken():
            made = self.client.tunings.tune(base_model=order.base, training_dataset=data, config=config)
        return str(made.name)

    def find(self, tag: str) -> str | None:
        """By its label."""
        with self._spoken():
            for job in self.client.tunings.list(config={"page_size": 100}):
                if (job.labels or {}).get(LABEL) == tag or job.tuned_model_display_name == tag:
                    return str(job.name)
        return None

    def poll(self, job_id: str) -> State:
        """How it stands."""
        with self._spoken():
            return _state(self.client.tunings.get(name=job_id))

    def cancel(self, job_id: str) -> State:
        """Stop it."""
        with self._spoken():
            self.client.tunings.cancel(name=job_id)
        return self.poll(job_id)

    def deploy(self, job: Job) -> str:
        """Vertex has made an endpoint with the model."""
        return job.served or job.tuned or ""

    def access(self, served: str) -> Access:
        """Through inspect's provider for Google, with the same credentials."""
        return Access(inspect_name=f"google/vertex/{served}")

    def tear_down(self, job: Job) -> None:
        """A tuned Gemini model's endpoint costs nothing while it is idle."""

    def close(self) -> None:
        """End its connections."""
        if client := self.__dict__.pop("client", None):
            client.close()

    @cached_property
    def client(self) -> Any:  # noqa: ANN401 - of an optional package
        """google-genai's client."""
        with self._spoken():
            return self._genai.Client(vertexai=True, project=_variable(PROJECT), location=_variable(LOCATION))

    @cached_property
    def storage(self) -> Any:  # noqa: ANN401 - of an optional package
        """A session that Cloud Storage accepts."""
        auth = need("google.auth", extra="vertex")
        transport = need("google.auth.transport.requests", extra="vertex")
        with self._spoken():
            credentials, _ = auth.default(scopes=[_SCOPE])
        return transport.AuthorizedSession(credentials)

    def _upload(self, order: Order, path: Path, split: str) -> str:
        bucket, _, prefix = _variable(FOLDER).rstrip("/").removeprefix("gs://").partition("/")
        name = "/".join(filter(None, (prefix, order.tag, f"{split}.jsonl")))
        examples = parse(path.read_bytes(), minimum=1)
        body = "".join(json.dumps(row(one), ensure_ascii=False) + "\n" for one in examples)
        url = f"{STORAGE}/upload/storage/v1/b/{quote(bucket)}/o"
        with self._spoken():
            answer = self.storage.post(url, params={"uploadType": "media", "name": name}, data=body.encode())
        if not answer.ok:
            message = f"Cloud Storage refused gs://{bucket}/{name} (HTTP {answer.status_code}); may you write there?"
            raise ModelError(message)
        return f"gs://{bucket}/{name}"

    @contextmanager
    def _spoken(self) -> Iterator[None]:
        """The client's errors in our words, and its warning that tuning is experimental kept to itself."""
        auth = need("google.auth.exceptions", extra="vertex")
        transports = (need("httpx", extra="vertex").TransportError, need("requests", extra="vertex").ConnectionError)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except (*transports, auth.TransportError) as error:
            message = f"Vertex cannot be reached ({type(error).__name__}); the same command goes on"
            raise UnreachableError(message) from error
        except auth.GoogleAuthError as error:
            message = f"Vertex: {type(error).__name__}; run: gcloud auth application-default login"
            raise ModelError(message) from error
        except self._genai.errors.APIError as error:
            raise _refused(error) from error


def _refused(error: Any) -> ModelError:  # noqa: ANN401 - an APIError of an optional package
    said = f"HTTP {error.code} {error.status}: {error.message}"
    if error.code in _LATER or error.code >= 500:  # noqa: PLR2004 - HTTP's
        return UnreachableError(f"Vertex cannot answer now ({said}); the same command goes on")
    if error.code == 404:  # noqa: PLR2004 - HTTP's
        return GoneError(f"Vertex has no such thing ({said})")
    return ModelError(f"Vertex refused ({said}); correct that and run again")


def row(example: Conversation) -> dict[str, Any]:
    """A conversation as Gemini's tuning takes it."""
    system = "\n\n".join(turn["content"] for turn in example if turn["role"] == "system")
    contents = [
        {"role": "model" if turn["role"] == "assistant" else "user", "parts": [{"text": turn["content"]}]}
        for turn in example
        if turn["role"] != "system"
    ]
    return ({"systemInstruction": {"parts": [{"text": system}]}} if system else {}) | {"contents": contents}


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        message = f"Vertex: the environment variable {name} is not set; set it and run again"
        raise ModelError(message)
    return value


def _state(job: Any) -> State:  # noqa: ANN401 - a TuningJob of an optional package
    said = getattr(job.state, "value", None) or "JOB_STATE_UNSPECIFIED"
    stats = job.tuning_data_stats and job.tuning_data_stats.supervised_tuning_data_stats
    spec = job.supervised_tuning_spec
    parameters = spec.hyper_parameters if spec else None
    tuned = job.tuned_model
    return State(
        status=_STATUS.get(said, "running"),
        said=said.removeprefix("JOB_STATE_").lower(),
        tuned=(tuned.endpoint or tuned.model) if tuned else None,
        trained_tokens=stats.total_billable_token_count if stats else None,
        epochs=parameters.epoch_count if parameters else None,
        seconds=(job.end_time - job.create_time).total_seconds() if job.end_time and job.create_time else None,
        error=job.error.message if job.error else None,
    )
