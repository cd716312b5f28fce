"""A provider with OpenAI's fine-tuning protocol that trains nothing and fails on demand.

Success is tested with the real local endpoint, which cannot be made to fail in all these ways.
"""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message

Answer = tuple[int, Any]  # status and body; a body of bytes is sent as it is


@dataclass
class Service:
    """Its state, and what it was asked.

    Attributes:
        url: of the protocol.
        files: name by id.
        jobs: as the protocol shows them, the newest first.
        asked: "METHOD path" of every request.
        created: the body of every request that creates a job.
        statuses: what a job says at each poll, the last again and again.
        answer: takes a request before the service does; None lets it pass.
        fault: why a job failed.
        kill: the process to kill once a job was created, before it hears of it.
    """

    url: str = ""
    files: dict[str, str] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    created: list[dict[str, Any]] = field(default_factory=list)
    statuses: list[str] = field(default_factory=lambda: ["validating_files", "queued", "running", "succeeded"])
    answer: Callable[[str, str], Answer | None] = lambda _method, _path: None
    kill: int | None = None
    fault: dict[str, Any] = field(
        default_factory=lambda: {
            "code": "invalid_training_file",
            "message": "Line 3 is no JSON.",
            "param": "training_file",
        }
    )
    authorisations: set[str] = field(default_factory=set)

    def respond(self, method: str, path: str, body: bytes, headers: Message) -> Answer:
        path = re.sub(r"^/v1(?=/)", "", path.partition("?")[0])
        self.asked.append(f"{method} {path}")
        self.authorisations.add(headers.get("authorization", ""))
        said = self.answer(method, path)
        if said is not None:
            return said
        match method, path.strip("/").split("/"):
            case "POST", ["files"]:
                shown = self._upload(body)
            case "GET", ["files"]:
                shown = page([file_object(name, filename) for name, filename in self.files.items()])
            case "POST", ["fine_tuning", "jobs"]:
                shown = self._create(json.loads(body))
            case "GET", ["fine_tuning", "jobs"]:
                shown = page(self.jobs)
            case "GET", ["fine_tuning", "jobs", job]:
                return self._poll(job)
            case "POST", ["fine_tuning", "jobs", job, "cancel"]:
                shown = self._job(job) | {"status": "cancelled", "finished_at": int(time.time())}
            case "GET", ["fine_tuning", "jobs", _, "events"]:
                shown = page([])
            case "GET", ["models", name]:
                shown = {"id": name, "object": "model", "created": 1, "owned_by": "me"}
            case _:
                return error(404, "no such route", "not_found")
        return 200, shown

    def _upload(self, body: bytes) -> dict[str, Any]:
        found = re.search(rb'filename="([^"]+)"', body)
        assert found is not None
        name = f"file-{len(self.files)}"
        self.files[name] = found[1].decode()
        return file_object(name, self.files[name])

    def _create(self, body: dict[str, Any]) -> dict[str, Any]:
        self.created.append(body)
        job = job_object(f"ftjob-{len(self.jobs)}", **{k: v for k, v in body.items() if k != "suffix"})
        self.jobs.insert(0, job)
        if self.kill is not None:
            pid, self.kill = self.kill, None
            os.kill(pid, signal.SIGKILL)
        return job

    def _job(self, name: str) -> dict[str, Any]:
        return next(job for job in self.jobs if job["id"] == name)

    def _poll(self, name: str) -> Answer:
        found = [job for job in self.jobs if job["id"] == name]
        if not found:
            return error(404, f"Could not find fine tune: {name}", "fine_tune_not_found")
        job = found[0]
        job["status"] = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        if job["status"] == "succeeded":
            job |= {
                "fine_tuned_model": f"ft:{name}",
                "trained_tokens": 1_000_000,
                "finished_at": job["created_at"] + 60,
            }
        if job["status"] == "failed":
            job["error"] = self.fault
        return 200, job


def error(status: int, message: str, code: str | None) -> Answer:
    return status, {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": code}}


def page(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"object": "list", "data": rows, "has_more": False}


def file_object(name: str, filename: str) -> dict[str, Any]:
    facts = {"bytes": 1, "created_at": 1, "purpose": "fine-tune", "status": "processed"}
    return {"id": name, "object": "file", "filename": filename, **facts}


def job_object(name: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a job
    shown = {
        "id": name,
        "object": "fine_tuning.job",
        "created_at": 1_700_000_000,
        "status": "validating_files",
        "hyperparameters": {"n_epochs": "auto"},
        "organization_id": "org",
        "result_files": [],
        "fine_tuned_model": None,
        "finished_at": None,
        "trained_tokens": None,
        "error": None,
    }
    return shown | given


class Responds(Protocol):
    url: str

    def respond(self, method: str, path: str, body: bytes, headers: Message) -> Answer: ...


Running = TypeVar("Running", bound=Responds)


@contextmanager
def serving() -> Iterator[Service]:
    """The service on a free port of this machine."""
    with listening(Service()) as service:
        yield service


@contextmanager
def listening(running: Running) -> Iterator[Running]:
    """Any service on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, said = running.respond(self.command, self.path, body, self.headers)
            data = said if isinstance(said, bytes) else json.dumps(said).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # whoever asked was killed

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
