"""Run the endpoint (`thirdlever serve`), and find or start the endpoint of a folder from another process."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from filelock import FileLock, Timeout

from thirdlever.core import files
from thirdlever.core.errors import ModelError, ThirdleverError
from thirdlever.finetune.endpoint.app import VARIABLE, application, key, key_file
from thirdlever.finetune.endpoint.storage import OWNER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.applications import Starlette
    from uvicorn import Server

ADDRESS_FILE = "endpoint.json"  # {"url": …, "pid": …}, present while the endpoint listens
_HANDOVER_S = 60.0  # for the previous server's worker to write a checkpoint
_GRACE_S = 5  # for answers in progress when the server is stopped
_START_S = 120.0  # allows for a slow disk and a first download of the embedded model
_POLL_S = 0.1
_END_S = 60.0
_LOG_CHARS = 500  # from the end of the log of a server that did not start


@dataclass(frozen=True)
class Listening:
    """An endpoint that is about to accept requests; `key_file` is None if the token comes from the environment."""

    url: str  # the protocol's base URL, such as "http://127.0.0.1:8089/v1"
    key_file: Path | None


def serve(
    model: str, *, host: str, port: int, folder: Path, announce: Callable[[Listening], None], leashed: bool = False
) -> None:
    """Serve until interrupted or terminated.

    Args:
        model: a local model, as `thirdlever models` names it.
        host: the address to listen on.
        port: 0 for any free port.
        folder: holds the state; one server at a time.
        announce: called once before requests are accepted.
        leashed: also stop when standard input closes, that is, when the process that started this one ends.

    Raises:
        ThirdleverError: the model is not local, the folder is already served, the port is taken, or other machines
            could connect with a token that the user did not choose.
    """
    folder = folder.resolve()
    _check_host(host)
    _check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # A harness that is restarted after a kill waits until the previous server's worker has written a checkpoint.
        timeout = _HANDOVER_S if leashed else 0
        with FileLock(folder / "endpoint.lock").acquire(timeout=timeout), _bind(host, port) as bound:
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{bound.getsockname()[1]}/v1"
            app = application(folder, base=model, key=key(folder))
            files.write(folder / ADDRESS_FILE, json.dumps({"url": url, "pid": os.getpid()}).encode())
            try:
                announce(Listening(url, None if VARIABLE in os.environ else key_file(folder)))
                _run(app, bound, leashed=leashed)
            finally:
                (folder / ADDRESS_FILE).unlink(missing_ok=True)
    except Timeout as error:
        message = f"{str(folder)!r} is already being served; stop that server, or pass another --folder"
        raise ThirdleverError(message) from error


def _check_host(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and VARIABLE not in os.environ:
        message = (
            f"{host!r} accepts connections from other machines; set {VARIABLE} to a long random token for them to "
            "send, or leave --host at 127.0.0.1"
        )
        raise ThirdleverError(message)


def _check_model(model: str) -> None:
    from thirdlever.models import registry

    if not registry.resolve(model).local:
        message = f"{model!r} is not a local model and cannot be tuned here; pass --model embedded or hf/<folder>"
        raise ModelError(message)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        message = f"cannot listen on {host}, port {port}: {reason}; pass another --port (0 for any free port)"
        raise ThirdleverError(message) from error


def _run(app: Starlette, bound: socket.socket, *, leashed: bool) -> None:
    import uvicorn

    # No access log: it would have a line for each of a run's thousands of requests.
    config = uvicorn.Config(app, log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=_GRACE_S)
    server = uvicorn.Server(config)
    if leashed:
        threading.Thread(target=_stop_with_stdin, args=(server,), daemon=True).start()
    with _signals_ignored_after():
        server.run(sockets=[bound])


@contextmanager
def _signals_ignored_after() -> Iterator[None]:
    """Ignore the signals that uvicorn raises a second time after it has shut down."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop_with_stdin(server: Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True


@dataclass(frozen=True)
class Endpoint:
    """A running endpoint, as a context manager that closes it.

    Attributes:
        url: the base URL, such as "http://127.0.0.1:8089/v1".
        key: the bearer token.
        pid: the server's process id.
    """

    url: str
    key: str
    pid: int
    _process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Stop it if it was started here; a job in training continues with the next server."""
        if self._process is not None:
            if self._process.stdin:
                self._process.stdin.close()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        """The endpoint itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def endpoint(model: str, folder: Path) -> Endpoint:
    """Find the running endpoint of a folder, or start one that ends with this process, even if it is killed.

    Raises:
        ThirdleverError: it serves another model, or does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if found := _running(model, folder):
        return found
    # -P: nothing in the current folder may shadow a package.
    command = [sys.executable, "-P", "-m", "thirdlever", "serve", "--model", model, "--port", "0"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - our own command
            [*command, "--folder", str(folder), "--leashed"],
            stdin=subprocess.PIPE,  # closes when this process ends, which stops the server
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches this process only, which then closes the server
        )
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        ended = process.poll() is not None
        if found := _running(model, folder):
            if found.pid == process.pid:
                return replace(found, _process=process)
            break  # another process was faster
        if ended:
            break
        time.sleep(_POLL_S)
    process.kill()
    process.communicate()
    if found:
        return found
    said = (folder / "server.log").read_text("utf-8", "replace").strip().removeprefix("error: ")[-_LOG_CHARS:]
    message = f"the local endpoint did not start: {said or 'its log is empty'}; try: {' '.join(command[3:])}"
    raise ThirdleverError(message)


def _running(model: str, folder: Path) -> Endpoint | None:
    """The folder's endpoint if it answers.

    Raises:
        ThirdleverError: it serves another model.
    """
    from openai import APIConnectionError, APIStatusError, OpenAI

    try:
        address = json.loads((folder / ADDRESS_FILE).read_bytes())
    except FileNotFoundError:
        return None
    url, token = address["url"], key(folder)
    try:
        with OpenAI(base_url=url, api_key=token, max_retries=0, timeout=10) as client:
            served = [entry.id for entry in client.models.list() if entry.owned_by == OWNER]
    except (APIConnectionError, APIStatusError):  # its process was killed, and another may have taken the port
        return None
    if model not in served:
        message = f"the endpoint of {str(folder)!r} at {url} serves {served[0]}, not {model}; stop it, or use its model"
        raise ThirdleverError(message)
    return Endpoint(url, token, address["pid"])
