"""A local fine-tuning endpoint in this process, and the stock client of OpenAI to drive it with."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from helpers import described
from openai import DefaultHttpxClient, OpenAI

from thirdlever.finetune.endpoint.app import application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "sk-test"
PATIENCE_S = 120.0  # for a worker to import torch on a busy machine


@contextmanager
def serving(folder: Path, model: str = "hf/none", **options: Any) -> Iterator[str]:  # noqa: ANN401 - application's
    """The base URL of an endpoint that lives as long as the context."""
    config = uvicorn.Config(
        application(folder, base=model, key=KEY, **options),
        log_level="warning",
        access_log=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{bound.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def connected(url: str, key: str = KEY) -> Iterator[OpenAI]:
    """The stock client; every response that it gets is held against OpenAI's description."""
    http = DefaultHttpxClient(event_hooks={"response": [_check]}, trust_env=False)
    with OpenAI(base_url=url, api_key=key, max_retries=0, timeout=60, http_client=http) as client:
        yield client


def _check(response: Any) -> None:  # noqa: ANN401 - httpx2's, whichever openai brings
    kind = response.headers["content-type"].partition(";")[0]
    if kind != "application/json":
        return  # a file's content, or a stream
    response.read()
    if response.status_code >= 400:
        error = response.json()["error"]
        assert set(error) == {"message", "type", "param", "code"}
        assert error["message"]
        return
    url = f"https://api.openai.com{response.request.url.raw_path.decode()}"
    described.check(response.request.method, url, response.status_code, kind, response.content)


def wait_for(condition: Callable[[], Any], seconds: float = PATIENCE_S) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def jsonl(n: int = 12) -> bytes:
    """Examples for the tiny models' vocabulary: the answer to w<i> is w40 or w41."""
    lines = (
        {
            "messages": [
                {"role": "user", "content": f"w{3 + i % 20} w5 w6"},
                {"role": "assistant", "content": f"w{40 + i % 2}"},
            ]
        }
        for i in range(n)
    )
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def upload(client: OpenAI, content: bytes | None = None) -> str:
    """The id of a training file."""
    return client.files.create(file=("train.jsonl", jsonl() if content is None else content), purpose="fine-tune").id
