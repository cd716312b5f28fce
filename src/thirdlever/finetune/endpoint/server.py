"""`thirdlever serve`: one process for a folder, which says where it listens as long as it does."""

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
from thirdlever.finetune.endpoint.app import VARIABLE, key, key_file
from thirdlever.finetune.endpoint.storage import OWNER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from uvicorn import Server


FOUND = "endpoint.json"  # {"url": …, "pid": …}, there while the endpoint listens
_HANDOVER_S = 60.0
_GRACE_S = 5  # for answers that are being written when the server is told to stop


@dataclass(frozen=True)
class Listening:
    """An endpoint that is about to answer.

    Attributes:
        url: the base URL of the protocol, e.g. "http://127.0.0.1:8089/v1".
        folder: where its state is.
        key: the token.
        key_file: where the token is; None when it is the environment's.
    """

    url: str
    folder: Path
    key: str
    key_file: Path | None


def serve(
    model: str, *, host: str, port: int, folder: Path, announce: Callable[[Listening], None], leashed: bool = False
) -> None:
    """Serve until interrupted or terminated.

    Args:
        model: a local model, as `thirdlever models` names it.
        host: the address to listen on.
        port: 0 for any that is free.
        folder: where the state is kept; one server at a time.
        announce: told once where it listens.
        leashed: also end when standard input does, which is when whoever started this has ended.

    Raises:
        ThirdleverError: the model is not local, the folder is being served, the port is taken, or other machines
            could come in with a token that nobody chose.
    """
    folder = folder.resolve()
    _check_host(host)
    _check_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        # Whoever is started again after a kill waits for the one before it to have its worker leave a checkpoint.
        patience = _HANDOVER_S if leashed else 0
        with FileLock(folder / "endpoint.lock").acquire(timeout=patience), _bind(host, port) as bound:
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{bound.getsockname()[1]}/v1"
            listening = Listening(url, folder, key(folder), None if VARIABLE in os.environ else key_file(folder))
            _run(model, bound, listening, announce, leashed=leashed)
    except Timeout as error:
        message = f"{str(folder)!r} is being served already; stop that server, or pass another --folder"
        raise ThirdleverError(message) from error


def _check_host(host: str) -> None:
    try:
        loopback = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and VARIABLE not in os.environ:
        message = (
            f"{host!r} lets other machines in; set {VARIABLE} to a long random token that they are to send, "
            "or leave --host at 127.0.0.1"
        )
        raise ThirdleverError(message)


def _check_model(model: str) -> None:
    from thirdlever.models import registry

    if not registry.resolve(model).local:
        message = f"{model!r} is not on this machine and cannot be tuned here; pass --model embedded or hf/<folder>"
        raise ModelError(message)


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        message = f"cannot listen on {host}, port {port}: {reason}; pass another --port (0 takes any that is free)"
        raise ThirdleverError(message) from error


def _run(
    model: str, bound: socket.socket, listening: Listening, announce: Callable[[Listening], None], *, leashed: bool
) -> None:
    import uvicorn

    from thirdlever.finetune.endpoint.app import application

    app = application(listening.folder, base=model, key=listening.key)
    # No access log: it would be one line for each of a run's thousands of requests.
    config = uvicorn.Config(app, log_level="warning", access_log=False, ws="none", timeout_graceful_shutdown=_GRACE_S)
    server = uvicorn.Server(config)
    found = listening.folder / FOUND
    files.write(found, json.dumps({"url": listening.url, "pid": os.getpid()}).encode())
    announce(listening)
    try:
        if leashed:
            threading.Thread(target=_leash, args=(server,), daemon=True).start()
        with _quiet_end():
            server.run(sockets=[bound])
    finally:
        found.unlink(missing_ok=True)


@contextmanager
def _quiet_end() -> Iterator[None]:
    """On these signals uvicorn ends in good order, and then raises them again; being told once is enough."""
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leash(server: Server) -> None:
    sys.stdin.buffer.read()
    server.should_exit = True


_START_S = 120.0  # for a cold disk, and a first fetch of the embedded model
_POLL_S = 0.1
_END_S = 60.0
_TOLD = 500  # characters of the server's last words


@dataclass(frozen=True)
class Endpoint:
    """An endpoint that answers.

    Attributes:
        url: the base URL, e.g. "http://127.0.0.1:8089/v1".
        key: the bearer token.
        pid: of the server.
    """

    url: str
    key: str
    pid: int
    _process: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """End it when it was started for this; a job in training goes on with the next one."""
        if self._process is not None:
            if self._process.stdin:
                self._process.stdin.close()
            try:
                self._process.wait(_END_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        """Use it as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def endpoint(model: str, folder: Path) -> Endpoint:
    """The endpoint of a folder.

    One that is started here ends with this process, however that ends: its standard input is a pipe from here.

    Raises:
        ThirdleverError: it serves another model, or does not start.
    """
    folder = folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    if found := _running(model, folder):
        return found
    # -P: nothing in the current folder is to be taken for a package of its name.
    command = [sys.executable, "-P", "-m", "thirdlever", "serve", "--model", model, "--port", "0"]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [*command, "--folder", str(folder), "--leashed"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C is for whoever started this, who then closes it
        )
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        ended = process.poll() is not None
        if found := _running(model, folder):
            if found.pid == process.pid:
                return replace(found, _process=process)
            break  # someone else was quicker
        if ended:
            break
        time.sleep(_POLL_S)
    process.kill()
    process.communicate()
    if found:
        return found
    said = (folder / "server.log").read_text("utf-8", "replace").strip().removeprefix("error: ")[-_TOLD:]
    message = f"the local endpoint did not start: {said or 'it said nothing'}; try: {' '.join(command[3:])}"
    raise ThirdleverError(message)


def _running(model: str, folder: Path) -> Endpoint | None:
    """The endpoint that says it listens, if it does.

    Raises:
        ThirdleverError: it serves another model.
    """
    from openai import APIConnectionError, APIStatusError, OpenAI

    try:
        said = json.loads((folder / FOUND).read_bytes())
    except FileNotFoundError:
        return None
    url, token = said["url"], key(folder)
    try:
        with OpenAI(base_url=url, api_key=token, max_retries=0, timeout=10) as client:
            served = [entry.id for entry in client.models.list() if entry.owned_by == OWNER]
    except (APIConnectionError, APIStatusError):  # its process was killed; someone else may have the port by now
        return None
    if model not in served:
        message = f"the endpoint of {str(folder)!r} at {url} serves {served[0]}, not {model}; stop it, or use its model"
        raise ThirdleverError(message)
    return Endpoint(url, token, said["pid"])
