"""A server of embeddings on this machine that answers as a test says, also wrongly."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def serving(answer: Callable[[dict[str, Any]], tuple[int, Any]]) -> Iterator[dict[str, str]]:
    """The environment that points the service `odd` here; `answer` maps a request's body to status and content."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, content = answer(body)
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield {"ODD_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1", "ODD_API_KEY": "sk-odd-secret"}
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def vectors(rows: list[list[float]], tokens: int = 1) -> tuple[int, Any]:
    """A reply with these vectors."""
    data = [{"object": "embedding", "index": at, "embedding": row} for at, row in enumerate(rows)]
    return 200, {
        "object": "list",
        "data": data,
        "model": "m",
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }
