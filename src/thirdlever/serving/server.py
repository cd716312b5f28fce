"""`thirdlever serve`: one process for a folder, which says where it listens as long as it does."""

from __future__ import annotations

import ipaddress
import json
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from thirdlever.core import files
from thirdlever.core.errors import ModelError, ThirdleverError
from thirdlever.serving.auth import VARIABLE, key, key_file

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

    from thirdlever.serving.app import application

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
