"""Fine-tuning on Amazon Bedrock, through boto3.

Not tested against the live service: written to botocore's service description, and tested with its Stubber. Nova and
other models use the conversation format of 2024, Claude 3 Haiku its own. A tuned model answers through an on-demand
deployment, billed by tokens; for models that need provisioned throughput Bedrock refuses this, and the user has to
deploy them.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.tuning import profile
from thirdlever.core.errors import ModelError, need
from thirdlever.finetune.jobs import (
    Access,
    ForbiddenError,
    GoneError,
    JobState,
    Provider,
    Status,
    UnreachableError,
)
from thirdlever.finetune.providers.shared import bucket_and_key, rewritten, variable, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.jobs import Job, JobRequest

ROLE = "BEDROCK_ROLE_ARN"  # allows Bedrock to read and write the folder
FOLDER = "BEDROCK_S3_URI"  # s3://bucket/folder
_STATUS: dict[str, Status] = {
    "InProgress": "running",
    "Stopping": "running",
    "Completed": "succeeded",
    "Failed": "failed",
    "Stopped": "cancelled",
}
_RETRIABLE = {"ThrottlingException", "InternalServerException", "ServiceUnavailableException", "ConflictException"}


class Bedrock(Provider):
    """Credentials and region are boto3's own."""

    def __init__(self) -> None:
        """Connects to nothing; needs boto3."""
        super().__init__(profile("bedrock"))
        self._boto3 = need("boto3", extra="bedrock")

    def submit(self, request: JobRequest) -> str:
        """Upload the files to S3 and create the job, with a token by which Bedrock recognises a repeated request."""
        role, folder = variable("Bedrock", ROLE), variable("Bedrock", FOLDER).rstrip("/")
        options: dict[str, Any] = {
            "jobName": request.tag,
            "customModelName": request.tag,
            "clientRequestToken": request.tag,
            "roleArn": role,
            "baseModelIdentifier": request.base,
            "customizationType": "FINE_TUNING",
            "trainingDataConfig": {"s3Uri": self._upload(request, request.training, "train")},
            "outputDataConfig": {"s3Uri": f"{folder}/{request.tag}/output/"},
        }
        if request.validation:
            uri = self._upload(request, request.validation, "dev")
            options["validationDataConfig"] = {"validators": [{"s3Uri": uri}]}
        if request.epochs is not None:
            options["hyperParameters"] = {"epochCount": str(request.epochs)}
        with _errors():
            return str(self.bedrock.create_model_customization_job(**options)["jobArn"])

    def find(self, tag: str) -> str | None:
        """By its name, which is unique in an account and region."""
        with _errors():
            found = self.bedrock.list_model_customization_jobs(nameContains=tag)["modelCustomizationJobSummaries"]
        return next((str(job["jobArn"]) for job in found if job["jobName"] == tag), None)

    def poll(self, job_id: str) -> JobState:
        """The job's state; Bedrock does not report trained tokens."""
        with _errors():
            job = self.bedrock.get_model_customization_job(jobIdentifier=job_id)
        ended, epochs = job.get("endTime"), job.get("hyperParameters", {}).get("epochCount", "")
        return JobState(
            status=_STATUS.get(job["status"], "running"),
            said=job["status"],
            tuned=job.get("outputModelArn"),
            epochs=int(epochs) if epochs.isdecimal() else None,
            seconds=(ended - job["creationTime"]).total_seconds() if ended else None,
            error=job.get("failureMessage"),
        )

    def cancel(self, job_id: str) -> JobState:
        """Stop a job."""
        with _errors():
            self.bedrock.stop_model_customization_job(jobIdentifier=job_id)
        return self.poll(job_id)

    def deploy(self, job: Job) -> str:
        """An on-demand deployment named by the job's tag, created unless it exists; it costs nothing while idle."""
        if job.served:
            return job.served
        with _errors():
            found = self.bedrock.list_custom_model_deployments(nameContains=job.tag)["modelDeploymentSummaries"]
            names = {one["customModelDeploymentName"]: one["customModelDeploymentArn"] for one in found}
            if job.tag not in names:
                made = self.bedrock.create_custom_model_deployment(
                    modelDeploymentName=job.tag, modelArn=job.tuned, clientRequestToken=job.tag
                )
                names[job.tag] = made["customModelDeploymentArn"]
        arn = str(names[job.tag])
        wait_until("Active", lambda: self._deployment_status(arn), f"Bedrock: deployment {arn}", failed={"Failed"})
        return arn

    def access(self, served: str) -> Access:
        """Through inspect's provider for Bedrock, with the same credentials."""
        return Access(inspect_name=f"bedrock/{served}")

    def close(self) -> None:
        """Close connections."""
        for name in ("bedrock", "s3"):
            if client := self.__dict__.pop(name, None):
                client.close()

    @cached_property
    def bedrock(self) -> Any:  # noqa: ANN401 - boto3 creates its client classes at run time
        """The service's client."""
        with _errors():
            return self._boto3.client("bedrock")

    @cached_property
    def s3(self) -> Any:  # noqa: ANN401 - likewise
        """The storage's client."""
        with _errors():
            return self._boto3.client("s3")

    def _upload(self, request: JobRequest, path: Path, split: str) -> str:
        bucket, key = bucket_and_key(variable("Bedrock", FOLDER), request.tag, f"{split}.jsonl")
        with _errors():
            self.s3.put_object(Bucket=bucket, Key=key, Body=rewritten(path, partial(row, base=request.base)))
        return f"s3://{bucket}/{key}"

    def _deployment_status(self, arn: str) -> str:
        with _errors():
            return str(self.bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn)["status"])


def row(example: Conversation, base: str) -> dict[str, Any]:
    """A conversation in the format of the base model's family."""
    system = "\n\n".join(turn["content"] for turn in example if turn["role"] == "system")
    turns = [turn for turn in example if turn["role"] != "system"]
    if base.startswith("anthropic."):
        return ({"system": system} if system else {}) | {"messages": [dict(turn) for turn in turns]}
    messages = [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in turns]
    head = {"system": [{"text": system}]} if system else {}
    return {"schemaVersion": "bedrock-conversation-2024", **head, "messages": messages}


@contextmanager
def _errors() -> Iterator[None]:
    """Translate the client's errors to ours."""
    errors = need("botocore.exceptions", extra="bedrock")
    try:
        yield
    except errors.ClientError as error:
        code, said = (error.response.get("Error", {}).get(key, "") for key in ("Code", "Message"))
        if code in _RETRIABLE:
            message = f"Bedrock cannot answer now ({code}: {said}); run the same command again to continue"
            raise UnreachableError(message) from error
        if code == "ResourceNotFoundException":
            message = f"Bedrock does not have it: {said}"
            raise GoneError(message) from error
        if code == "AccessDeniedException":
            message = f"Bedrock does not allow this account to do that ({said})"
            raise ForbiddenError(message) from error
        message = f"Bedrock refused ({code}: {said}); correct this and run again"
        raise ModelError(message) from error
    except (errors.HTTPClientError, errors.ConnectionError) as error:
        message = f"Bedrock cannot be reached ({type(error).__name__}); run the same command again to continue"
        raise UnreachableError(message) from error
    except errors.BotoCoreError as error:
        message = f"Bedrock cannot be used: {error}; see boto3's documentation on credentials and regions"
        raise ModelError(message) from error
