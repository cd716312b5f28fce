"""Azure: OpenAI's protocol for tuning, and Azure's management plane for the deployment that a tuned model needs.

Not tested against the live service. A deployment costs money by the hour, even while idle, so it is created before the
first request and removed when the process ends; the tuned model stays and costs nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from thirdlever.catalog.tuning import profile
from thirdlever.core.errors import ModelError
from thirdlever.finetune.jobs import UndeployedError, UnreachableError
from thirdlever.finetune.providers.openai import OpenAIProtocol
from thirdlever.finetune.providers.shared import wait_until

if TYPE_CHECKING:
    import httpx2

    from thirdlever.finetune.jobs import Job

ADDRESS = "https://management.azure.com"
VERSION = "2024-10-21"
SKU = {"name": "GlobalStandard", "capacity": 50}  # thousands of tokens per minute
_TOKEN = "AZURE_MANAGEMENT_TOKEN"  # noqa: S105 - the variable's name
_WHERE = ("AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP", "AZURE_OPENAI_RESOURCE")


class Azure(OpenAIProtocol):
    """Azure OpenAI, or Foundry."""

    def __init__(self) -> None:
        """Connects to nothing."""
        super().__init__(profile("azure"))

    def deploy(self, job: Job) -> str:
        """The user's deployment of the job's model, or ours, created unless it exists."""
        if job.served and not job.ours:
            return job.served
        name = job.served or job.tag
        if self._deployment(job, "GET", name).get("state") != "Succeeded":
            model = {"format": "OpenAI", "name": job.tuned, "version": "1"}
            self._deployment(job, "PUT", name, {"sku": SKU, "properties": {"model": model}})
            wait_until(
                "Succeeded",
                lambda: self._deployment(job, "GET", name).get("state"),
                f"Azure: deployment {name}",
                failed={"Failed", "Canceled", None},
            )
        return name

    def tear_down(self, job: Job) -> None:
        """Remove our deployment."""
        if job.served and job.ours:
            self._deployment(job, "DELETE", job.served)

    def _deployment(self, job: Job, method: str, name: str, body: dict[str, object] | None = None) -> dict[str, str]:
        """Send one request to the management plane; the deployment's state, empty if it does not exist."""
        import httpx2

        missing = [variable for variable in (_TOKEN, *_WHERE) if not os.environ.get(variable)]
        if missing:
            message = (
                f"Azure answers for {job.tuned} only once it is deployed: set {', '.join(missing)} to have it "
                f"deployed, or deploy it yourself, run thirdlever jobs deployed {job.short} NAME, and the same command "
                "again"
            )
            raise UndeployedError(message)
        subscription, group, resource = (os.environ[variable] for variable in _WHERE)
        url = (
            f"{ADDRESS}/subscriptions/{subscription}/resourceGroups/{group}"
            f"/providers/Microsoft.CognitiveServices/accounts/{resource}/deployments/{name}"
        )
        headers = {"Authorization": f"Bearer {os.environ[_TOKEN]}"}
        try:
            response = httpx2.request(
                method, url, params={"api-version": VERSION}, headers=headers, json=body, timeout=60.0
            )
        except httpx2.TransportError as error:
            message = f"Azure's management plane cannot be reached ({type(error).__name__}); run the same command again"
            raise UnreachableError(message) from error
        return _read(response)


def _read(response: httpx2.Response) -> dict[str, str]:
    if response.status_code == 404:  # noqa: PLR2004 - HTTP's
        return {}
    try:
        body = response.json() if response.content else {}
    except ValueError:
        body = {}
    if response.is_success:
        return {"state": str(body.get("properties", {}).get("provisioningState"))}
    code = body.get("error", {}).get("code") or "no reason given"
    message = f"Azure's management plane refused (HTTP {response.status_code}: {code}); is {_TOKEN} still valid?"
    raise ModelError(message)
