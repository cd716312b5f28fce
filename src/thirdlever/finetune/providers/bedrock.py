"""Fine-tuning on Amazon Bedrock, through boto3.

Not exercised against the live service: written to botocore's service description, and tested against its Stubber.
Nova and other models take the conversation format of 2024, Claude 3 Haiku one of its own. A tuned model answers through
an on-demand deployment, billed by tokens; models that Bedrock serves by provisioned throughput alone are refused by it
at that step, and are then their user's to deploy.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.tuning import estimate, profile
from thirdlever.core.errors import ModelError, need
from thirdlever.finetune.conversations import parse
from thirdlever.finetune.jobs import Access, GoneError, State, Status, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from thirdlever.catalog.tuning import Estimate
    from thirdlever.finetune.conversations import Conversation
    from thirdlever.finetune.jobs import Job, Order


ROLE = "BEDROCK_ROLE_ARN"  # lets Bedrock read and write the folder
FOLDER = "BEDROCK_S3_URI"  # s3://bucket/folder
PATIENCE = 3600.0  # seconds that a deployment may take
WAIT = 10.0
_STATUS: dict[str, Status] = {
    "InProgress": "running",
    "Stopping": "running",
    "Completed": "succeeded",
    "Failed": "failed",
    "Stopped": "cancelled",
}
_LATER = {"ThrottlingException", "InternalServerException", "ServiceUnavailableException", "ConflictException"}


class Bedrock:
    """See `thirdlever.finetune.jobs.Tuner`; credentials and region are boto3's own."""

    def __init__(self) -> None:
        """Without connecting.

        Raises:
            MissingExtraError: boto3 is not installed.
        """
        self._boto3 = need("boto3", extra="bedrock")
        terms = profile("bedrock")
        self.title = terms.title
        self.patience = terms.patience_s
        self.idle_usd_per_hour = terms.idle_usd_per_hour

    def estimate(self, base: str, tokens: int) -> Estimate:
        """From the dated rates."""
        return estimate("bedrock", base, tokens)

    def submit(self, order: Order) -> str:
        """Put the files into S3 and create the job; its request token lets Bedrock see a repetition."""
        role = _variable(ROLE)
        request: dict[str, Any] = {
            "jobName": order.tag,
            "customModelName": order.tag,
            "clientRequestToken": order.tag,
            "roleArn": role,
            "baseModelIdentifier": order.base,
            "customizationType": "FINE_TUNING",
            "trainingDataConfig": {"s3Uri": self._upload(order, order.training, "train")},
            "outputDataConfig": {"s3Uri": f"{_variable(FOLDER).rstrip('/')}/{order.tag}/output/"},
        }
        if order.validation:
            uri = self._upload(order, order.validation, "dev")
            request["validationDataConfig"] = {"validators": [{"s3Uri": uri}]}
        if order.epochs is not None:
            request["hyperParameters"] = {"epochCount": str(order.epochs)}
        with _spoken():
            return str(self.bedrock.create_model_customization_job(**request)["jobArn"])

    def find(self, tag: str) -> str | None:
        """By its name, which is unique in an account and region."""
        with _spoken():
            found = self.bedrock.list_model_customization_jobs(nameContains=tag)["modelCustomizationJobSummaries"]
        return next((str(job["jobArn"]) for job in found if job["jobName"] == tag), None)

    def poll(self, job_id: str) -> State:
        """How it stands; Bedrock tells no trained tokens."""
        with _spoken():
            job = self.bedrock.get_model_customization_job(jobIdentifier=job_id)
        ended = job.get("endTime")
        return State(
            status=_STATUS.get(job["status"], "running"),
            said=job["status"],
            tuned=job.get("outputModelArn"),
            epochs=_epochs(job.get("hyperParameters", {})),
            seconds=(ended - job["creationTime"]).total_seconds() if ended else None,
            error=job.get("failureMessage"),
        )

    def cancel(self, job_id: str) -> State:
        """Stop it."""
        with _spoken():
            self.bedrock.stop_model_customization_job(jobIdentifier=job_id)
        return self.poll(job_id)

    def deploy(self, job: Job) -> str:
        """An on-demand deployment of the job's tag, made unless it is there; it costs nothing while it is idle."""
        if job.served:
            return job.served
        with _spoken():
            found = self.bedrock.list_custom_model_deployments(nameContains=job.tag)["modelDeploymentSummaries"]
            names = {one["customModelDeploymentName"]: one["customModelDeploymentArn"] for one in found}
            if job.tag not in names:
                made = self.bedrock.create_custom_model_deployment(
                    modelDeploymentName=job.tag, modelArn=job.tuned, clientRequestToken=job.tag
                )
                names[job.tag] = made["customModelDeploymentArn"]
            self._wait(names[job.tag])
        return str(names[job.tag])

    def access(self, served: str) -> Access:
        """Through inspect's provider for Bedrock, with the same credentials."""
        return Access(inspect_name=f"bedrock/{served}")

    def tear_down(self, job: Job) -> None:
        """Nothing that was made here costs while it is idle."""

    def close(self) -> None:
        """End its connections."""
        for name in ("bedrock", "s3"):
            if client := self.__dict__.pop(name, None):
                client.close()

    @cached_property
    def bedrock(self) -> Any:  # noqa: ANN401 - boto3 makes its clients as it goes
        """The client of the service."""
        with _spoken():
            return self._boto3.client("bedrock")

    @cached_property
    def s3(self) -> Any:  # noqa: ANN401 - likewise
        """The client of the storage."""
        with _spoken():
            return self._boto3.client("s3")

    def _upload(self, order: Order, path: Path, split: str) -> str:
        folder = _variable(FOLDER).rstrip("/")
        bucket, _, prefix = folder.removeprefix("s3://").partition("/")
        key = "/".join(filter(None, (prefix, order.tag, f"{split}.jsonl")))
        examples = parse(path.read_bytes(), minimum=1)
        body = "".join(json.dumps(rows(one, order.base), ensure_ascii=False) + "\n" for one in examples)
        with _spoken():
            self.s3.put_object(Bucket=bucket, Key=key, Body=body.encode())
        return f"s3://{bucket}/{key}"

    def _wait(self, arn: str) -> None:
        until = time.monotonic() + PATIENCE
        while True:
            state = self.bedrock.get_custom_model_deployment(customModelDeploymentIdentifier=arn)
            if state["status"] == "Active":
                return
            if state["status"] == "Failed" or time.monotonic() > until:
                message = (
                    f"Bedrock: deployment {arn} is {state['status']}: {state.get('failureMessage', 'no reason given')}"
                )
                raise ModelError(message)
            time.sleep(WAIT)


def rows(example: Conversation, base: str) -> dict[str, Any]:
    """A conversation as the base model's family takes it."""
    system = "\n\n".join(turn["content"] for turn in example if turn["role"] == "system")
    turns = [turn for turn in example if turn["role"] != "system"]
    if base.startswith("anthropic."):
        return ({"system": system} if system else {}) | {"messages": [dict(turn) for turn in turns]}
    messages = [{"role": turn["role"], "content": [{"text": turn["content"]}]} for turn in turns]
    asked = {"system": [{"text": system}]} if system else {}
    return {"schemaVersion": "bedrock-conversation-2024", **asked, "messages": messages}


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        message = f"Bedrock: the environment variable {name} is not set; set it and run again"
        raise ModelError(message)
    return value


def _epochs(parameters: Mapping[str, str]) -> int | None:
    made = parameters.get("epochCount", "")
    return int(made) if made.isdecimal() else None


@contextmanager
def _spoken() -> Iterator[None]:
    """The client's errors in our words."""
    errors = need("botocore.exceptions", extra="bedrock")
    try:
        yield
    except errors.ClientError as error:
        code, said = (error.response.get("Error", {}).get(key, "") for key in ("Code", "Message"))
        if code in _LATER:
            message = f"Bedrock cannot answer now ({code}: {said}); the same command goes on"
            raise UnreachableError(message) from error
        if code == "ResourceNotFoundException":
            message = f"Bedrock has no such thing: {said}"
            raise GoneError(message) from error
        message = f"Bedrock refused ({code}: {said}); correct that and run again"
        raise ModelError(message) from error
    except (errors.HTTPClientError, errors.ConnectionError) as error:
        message = f"Bedrock cannot be reached ({type(error).__name__}); the same command goes on"
        raise UnreachableError(message) from error
    except errors.BotoCoreError as error:
        message = f"Bedrock cannot be used: {error}; see boto3's documentation on credentials and regions"
        raise ModelError(message) from error
