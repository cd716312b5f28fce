"""Together's and Fireworks' fine-tuning services as their documentation describes them; they train nothing.

The shapes are those of the pages that the providers' modules name. Both keep what they were asked, and both can be made
to refuse, to queue for ever, to fail, and to not know a finished model for a while.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message

    from helpers.tuning_service import Answer

ACCOUNT = "acme"
CREATED, ENDED = "2026-11-20T10:00:00Z", "2026-11-20T11:30:00Z"


@dataclass
class Open:
    """What both services share.

    Attributes:
        url: with the API's version.
        asked: "METHOD path" of every request.
        bodies: the JSON body of every request that has one, by "METHOD path".
        uploads: the content of every uploaded file, by its name.
        statuses: what a job says at each poll, the last again and again.
        answers: what these "METHOD path" are answered, whatever the service would say.
        missing: how often a finished model is not found.
        why: why a job failed.
    """

    url: str = ""
    asked: list[str] = field(default_factory=list)
    bodies: dict[str, Any] = field(default_factory=dict)
    uploads: dict[str, str] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    missing: int = 0
    why: str = "the training file has an empty answer in line 3"
    cancelled: bool = False
    keys: set[str] = field(default_factory=set)

    def respond(self, method: str, path: str, body: bytes, headers: Message) -> Answer:
        url = urlsplit(path)
        where = url.path.removeprefix("/v1").removeprefix(f"/accounts/{ACCOUNT}")
        self.asked.append(f"{method} {where}")
        self.keys.add(headers.get("authorization", ""))
        sent = json.loads(body) if headers.get("content-type") == "application/json" else None
        if sent is not None:
            self.bodies[f"{method} {where}"] = sent
        if found := self.answers.get(f"{method} {where}"):
            return found
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        return self.reply(method, where.strip("/").split("/"), query, sent, body)

    def reply(self, method: str, parts: list[str], query: Mapping[str, str], sent: Any, body: bytes) -> Answer:  # noqa: ANN401 - JSON
        raise NotImplementedError

    def status(self) -> str:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def keep(self, body: bytes) -> str:
        found = re.search(rb'filename="([^"]+)"\r\n.*?\r\n\r\n(.*?)\r\n--', body, re.DOTALL)
        assert found is not None
        self.uploads[found[1].decode()] = found[2].decode()
        return found[1].decode()


@dataclass
class TogetherService(Open):
    statuses: list[str] = field(default_factory=lambda: ["pending", "queued", "running", "uploading", "completed"])
    jobs: list[dict[str, Any]] = field(default_factory=list)

    def reply(self, method: str, parts: list[str], query: Mapping[str, str], sent: Any, body: bytes) -> Answer:  # noqa: ANN401, ARG002, PLR0911
        match method, parts:
            case "POST", ["files", "upload"]:
                return 200, self._file(self.keep(body), len(body))
            case "POST", ["fine-tunes"]:
                facts = {"user_id": "me", "created_at": CREATED, "updated_at": CREATED, "status": "pending"}
                self.jobs.append({"id": f"ft-{len(self.jobs)}", **facts, **sent})
                return 200, self.jobs[-1]
            case "GET", ["fine-tunes"]:
                return 200, {"data": self.jobs}
            case "GET", ["fine-tunes", name]:
                return self._poll(name)
            case "GET", ["fine-tunes", name, "events"]:
                return 200, {"data": self._events(name)}
            case "POST", ["fine-tunes", name, "cancel"]:
                self.statuses = ["cancel_requested", "cancelled"]
                return self._poll(name)
        return 404, {"error": {"message": "no such route", "type": "not_found", "param": None, "code": None}}

    @staticmethod
    def _file(name: str, size: int) -> dict[str, Any]:
        facts = {"object": "file", "created_at": 1715021438, "purpose": "fine-tune", "FileType": "jsonl"}
        return {"id": "file-1", "filename": name, "bytes": size, **facts, "Processed": True, "LineCount": 0}

    def _poll(self, name: str) -> Answer:
        found = [job for job in self.jobs if job["id"] == name]
        if not found:
            return 404, {"error": {"message": f"job {name} not found", "type": "invalid_request_error"}}
        job = found[0]
        job["status"] = self.status()
        if job["status"] in {"running", "uploading", "completed", "error"}:
            job |= {"token_count": 2_000_000, "total_price": 960_000_000, "epochs_completed": 1}
        if job["status"] in {"completed", "error", "cancelled"}:
            job["updated_at"] = ENDED
        if job["status"] == "completed":
            job["model_output_name"] = f"acme/Qwen3-8B-{job['suffix']}-1a2b"
        return 200, job

    def _events(self, name: str) -> list[dict[str, Any]]:
        job = next(job for job in self.jobs if job["id"] == name)
        said = [("job_pending", "info", "Job started", CREATED)]
        if job["status"] == "error":
            said.insert(0, ("job_error", "error", self.why, ENDED))  # the order is not documented
        return [
            {"object": "fine-tune-event", "type": kind, "level": level, "message": message, "created_at": when}
            for kind, level, message, when in said
        ]


@dataclass
class FireworksService(Open):
    statuses: list[str] = field(
        default_factory=lambda: [f"JOB_STATE_{name}" for name in ("CREATING", "VALIDATING", "RUNNING", "COMPLETED")]
    )
    datasets: dict[str, list[str]] = field(default_factory=dict)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    deployments: dict[str, list[str]] = field(default_factory=dict)
    fault: dict[str, str] = field(default_factory=lambda: {"code": "OK", "message": ""})

    def reply(self, method: str, parts: list[str], query: Mapping[str, str], sent: Any, body: bytes) -> Answer:  # noqa: ANN401, C901, PLR0911
        match method, parts:
            case "POST", ["datasets"]:
                self.datasets[sent["datasetId"]] = ["UPLOADING"]
                return self._dataset(sent["datasetId"])
            case "GET", ["datasets", name]:
                return self._dataset(name)
            case "POST", ["datasets", action]:
                self.datasets[action.removesuffix(":upload")] = ["UPLOADING", "READY"]
                return 200, {"id": action, "object": "file", "bytes": len(body), "filename": self.keep(body)}
            case "POST", ["supervisedFineTuningJobs"]:
                name = query["supervisedFineTuningJobId"]
                self.jobs[name] = {"name": self._name("supervisedFineTuningJobs", name), "createTime": CREATED, **sent}
                self.jobs[name] |= {"state": "JOB_STATE_CREATING", "outputModel": self._name("models", name)}
                return 200, self.jobs[name]
            case "GET", ["supervisedFineTuningJobs", name]:
                return self._poll(name)
            case "POST", ["supervisedFineTuningJobs", _]:
                self.statuses = ["JOB_STATE_CANCELLING", "JOB_STATE_CANCELLED"]
                return 200, {}
            case "GET", ["models", name] if name in self.jobs and not self.missing:
                return 200, {"name": self._name("models", name), "state": "READY", "kind": "HF_PEFT_ADDON"}
            case "GET", ["models", _]:
                self.missing -= 1
            case "POST", ["deployments"]:
                self.deployments[query["deploymentId"]] = ["CREATING", "READY"]
                return self._deployment(query["deploymentId"])
            case "GET", ["deployments", name]:
                return self._deployment(name)
            case "DELETE", ["deployments", name]:
                del self.deployments[name]
                return 200, {}
        return 404, {"code": 5, "message": "not found", "details": []}

    @staticmethod
    def _name(kind: str, name: str) -> str:
        return f"accounts/{ACCOUNT}/{kind}/{name}"

    def _next(self, kind: str, name: str, states: dict[str, list[str]], **facts: Any) -> Answer:  # noqa: ANN401 - fields
        if name not in states:
            return 404, {"code": 5, "message": f"{kind} {name} not found", "details": []}
        left = states[name]
        state = left.pop(0) if len(left) > 1 else left[0]
        return 200, {"name": self._name(kind, name), "state": state, **facts}

    def _dataset(self, name: str) -> Answer:
        return self._next("datasets", name, self.datasets, status=self.fault, userUploaded={}, format="CHAT")

    def _deployment(self, name: str) -> Answer:
        return self._next("deployments", name, self.deployments, baseModel="m", status={"code": "OK", "message": ""})

    def _poll(self, name: str) -> Answer:
        if name not in self.jobs:
            return 404, {"code": 5, "message": f"job {name} not found", "details": []}
        job = self.jobs[name]
        job["state"] = self.status()
        job["status"] = {"code": "OK", "message": ""}
        if job["state"] == "JOB_STATE_RUNNING":
            job["jobProgress"] = {"percent": 40, "epoch": 1, "inputTokens": 800_000}
        if job["state"] == "JOB_STATE_COMPLETED":
            job |= {"jobProgress": {"percent": 100, "inputTokens": 2_000_000}, "completedTime": ENDED}
            job["estimatedCost"] = {"currencyCode": "USD", "units": "1", "nanos": 20_000_000}
        if job["state"] == "JOB_STATE_FAILED":
            job |= {"status": {"code": "INVALID_ARGUMENT", "message": self.why}, "completedTime": ENDED}
        return 200, job
