"""The endpoint of a folder, for other programs: found when it runs, started when it does not.

with endpoint("embedded", Path(".thirdlever/endpoint")) as found:
    client = OpenAI(base_url=found.url, api_key=found.key)
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

from thirdlever.core.errors import ThirdleverError
from thirdlever.serving.auth import key
from thirdlever.serving.models import OWNER
from thirdlever.serving.server import FOUND

if TYPE_CHECKING:
    from pathlib import Path

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
