"""`thirdlever serve` under load and under attack: what was answered, what was refused, tracebacks, memory.

Starts the real command on a tiny model, and sends: many clients at once, clients that send one byte a second, huge
bodies, paths that leave the folder, headers with line breaks, no token, wrong tokens, and a restart in the middle.
Prints a Markdown table.

    python benchmarks/endpoint_load.py [--clients N] [--slow-s S]

Exit code 1 if the server's log has a traceback, a file outside its folder was read, or an answer is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

START_S = 120.0
KEY = "load test"
AUTH = {"Authorization": f"Bearer {KEY}"}
NO_ANSWER = "no answer"


class Row(NamedTuple):
    """A line of the table."""

    name: str
    tried: int
    statuses: Counter[str]
    slowest_s: float


class Served:
    """The command in a process of its own."""

    def __init__(self, folder: Path, model: str) -> None:
        """Name the folder and the model."""
        self._folder, self._model = folder, model
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self.log = folder.parent / "server.log"

    def start(self) -> None:
        """Start it and wait for its address; again on the same port."""
        command = [sys.executable, "-P", "-m", "thirdlever", "serve", "--model", self._model]
        command += ["--folder", str(self._folder), "--port", str(self._port)]
        address = self._folder / "endpoint.json"
        address.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - its own interpreter
                command, stdout=log, stderr=log, env=os.environ | {"THIRDLEVER_ENDPOINT_KEY": KEY}
            )
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            with contextlib.suppress(OSError, ValueError):
                self.url = json.loads(address.read_bytes())["url"]
                self._port = int(self.url.split(":")[2].split("/")[0])
                if httpx.get(f"{self.url}/models", headers=AUTH, trust_env=False).is_success:
                    return
            time.sleep(0.05)
        message = f"the server did not start: {self.log.read_text('utf-8', 'replace')[-500:]}"
        raise SystemExit(message)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(60)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._port

    def memory(self) -> float:
        """Most memory so far, in MB."""
        assert self._process is not None
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


async def gathered(name: str, sends: list[Callable[[], Awaitable[str]]]) -> Row:
    """All at once."""
    slowest = 0.0

    async def timed(send: Callable[[], Awaitable[str]]) -> str:
        nonlocal slowest
        start = time.monotonic()
        try:
            return await send()
        except (httpx.HTTPError, OSError, EOFError, TimeoutError):
            return NO_ANSWER
        finally:
            slowest = max(slowest, time.monotonic() - start)

    done = await asyncio.gather(*(timed(send) for send in sends))
    return Row(name, len(sends), Counter(done), slowest)


class Load:
    """The clients."""

    def __init__(self, served: Served, clients: int, model: str, slow_s: float) -> None:
        """Take the server, the number of clients and how long slow ones send."""
        self.served, self.clients, self.model, self.slow_s = served, clients, model, slow_s
        limits = httpx.Limits(max_connections=None)
        self.http = httpx.AsyncClient(base_url=served.url, headers=AUTH, trust_env=False, timeout=120, limits=limits)

    async def models(self) -> str:
        """The lightest request."""
        return str((await self.http.get("/models")).status_code)

    async def chat(self) -> str:
        """An answer of one token."""
        messages = [{"role": "user", "content": "w5 w6"}]
        body = {"model": self.model, "messages": messages, "max_tokens": 1}
        return str((await self.http.post("/chat/completions", json=body)).status_code)

    async def upload(self, name: str = "train.jsonl", content: bytes = b'{"messages": []}\n' * 2000) -> str:
        """A file; read back, its content must be the same."""
        sent = await self.http.post("/files", files={"file": (name, content)}, data={"purpose": "fine-tune"})
        if not sent.is_success:
            return str(sent.status_code)
        back = await self.http.get(f"/files/{sent.json()['id']}/content")
        injected = {"x-injected", "set-cookie"} & {key.lower() for key in back.headers}
        return "injected" if injected else str(sent.status_code) if back.content == content else "other content"

    async def raw(self, head: bytes, body: bytes = b"", *, each_s: float = 0.0) -> str:
        """Bytes as they are; the status of the answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.served.port)
        try:
            writer.write(head)
            with contextlib.suppress(OSError):
                for at in range(len(body)) if each_s else ():
                    writer.write(body[at : at + 1])
                    await writer.drain()
                    if reader.at_eof():
                        break
                    with contextlib.suppress(TimeoutError):
                        return await asyncio.wait_for(_status(reader), each_s)
                if not each_s:
                    writer.write(body)
                    await writer.drain()
            return await asyncio.wait_for(_status(reader), 60)
        finally:
            writer.close()

    def head(self, method: str, path: str, *more: str, token: str | None = KEY) -> bytes:
        """A request's head."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"Authorization: Bearer {token}"] if token is not None else []
        return ("\r\n".join([*lines, *more]) + "\r\n\r\n").encode("latin-1")

    async def chunks(self, size: int) -> str:
        """A body without a stated length."""

        async def pieces() -> object:
            for _ in range(size >> 16):
                yield b" " * (1 << 16)

        return str((await self.http.post("/chat/completions", content=pieces())).status_code)  # type: ignore[arg-type]


async def _status(reader: asyncio.StreamReader) -> str:
    line = await reader.readline()
    if not line:
        return "closed"
    rest = await reader.read(1 << 16)
    leaked = b"root:" in rest
    injected = b"\nx-injected" in rest.lower()
    return "leaked" if leaked else "injected" if injected else line.split()[1].decode()


PATHS = (
    *(
        "../../../etc/passwd",
        "..%2f..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "/etc/passwd",
        "%2fetc%2fpasswd",
    ),
    *(
        "file-0123/../../key",
        "..%5c..%5ckey",
        "file-%00",
        "....//....//key",
        "%252e%252e%252fkey",
        "../key",
        "..%2fkey",
    ),
)
NAMES = ("../../key", "/etc/passwd", "a\r\nX-Injected: 1", 'a"; x="b', "\u202egpj.exe", "n" * 5000, "..", "\0")
VALUES = ("a\r\nX-Injected: 1", "a\nX-Injected: 1", "a\0b", "a" * 70_000, "\xff")


async def attacks(load: Load) -> list[Row]:
    """What a hostile client sends."""
    n = load.clients
    kinds = [f"/v1/{place}/{path}" for path in PATHS for place in ("files", "models", "fine_tuning/jobs")]
    kinds += [f"/v1/files/{path}/content" for path in PATHS]
    huge = load.head("POST", "/v1/chat/completions", f"Content-Length: {1 << 30}", "Content-Type: application/json")
    file = load.head("POST", "/v1/files", f"Content-Length: {1 << 30}", "Content-Type: multipart/form-data; boundary=b")
    headers = [load.head("GET", "/v1/models", f"X-Any: {value}") for value in VALUES]
    headers += [load.head("GET", f"/v1/models/{value}") for value in ("a%0d%0aX-Injected:%201", "a%0aX-Injected:%201")]
    return [
        await gathered("path traversal", [partial(load.raw, load.head("GET", path)) for path in kinds]),
        await gathered("file names", [partial(load.upload, name) for name in NAMES]),
        await gathered("header injection", [partial(load.raw, head) for head in headers]),
        await gathered("no token", [lambda: load.raw(load.head("GET", "/v1/models", token=None)) for _ in range(n)]),
        await gathered(
            "wrong token", [lambda: load.raw(load.head("GET", "/v1/models", token=KEY[::-1])) for _ in range(n)]
        ),
        await gathered("1 GiB stated, JSON", [lambda: load.raw(huge) for _ in range(n)]),
        await gathered("1 GiB stated, file", [lambda: load.raw(file) for _ in range(n)]),
        await gathered("32 MiB in chunks", [lambda: load.chunks(32 << 20) for _ in range(min(n, 20))]),
    ]


async def slow(load: Load) -> list[Row]:
    """Clients of one byte a second, and others beside them."""
    body = b'{"model": "' + b"a" * int(load.slow_s)
    head = load.head("POST", "/v1/chat/completions", "Content-Length: 4000", "Content-Type: application/json")
    trickle: asyncio.Task[Row] = asyncio.create_task(  # noqa: RUF006 - awaited below
        gathered("one byte a second", [lambda: load.raw(head, body, each_s=1.0) for _ in range(load.clients)])
    )
    await asyncio.sleep(2)
    beside = await gathered("others beside them", [load.models for _ in range(load.clients)])
    return [await trickle, beside]


async def restarted(load: Load, number: signal.Signals) -> Row:
    """Clients that ask again and again while the server is ended and started."""
    end = time.monotonic() + 600
    done = False

    async def client() -> str:
        """Ask until the restart is over; then the last request counts."""
        found = NO_ANSWER
        while time.monotonic() < end:
            last = done
            try:
                found = await load.chat()
            except httpx.HTTPError:
                found = NO_ANSWER
            if last:
                return found
            await asyncio.sleep(0.05)
        return found

    async def again() -> None:
        nonlocal done
        await asyncio.sleep(1)
        await asyncio.to_thread(load.served.stop, number)
        await asyncio.to_thread(load.served.start)
        done = True

    name = {signal.SIGTERM: "after a restart", signal.SIGKILL: "after kill -9"}[number]
    restart = asyncio.create_task(again())
    row = await gathered(name, [client for _ in range(min(load.clients, 50))])
    await restart
    return row


async def measure(served: Served, chosen: argparse.Namespace, model: str) -> list[tuple[Row, float]]:
    """Every row with the most memory that the server had until then."""
    load = Load(served, chosen.clients, model, chosen.slow_s)
    n = chosen.clients
    found: list[tuple[Row, float]] = []

    def keep(*rows: Row) -> None:
        found.extend((row, served.memory()) for row in rows)
        for row in rows:
            print(f"{row.name}: {dict(row.statuses)}", file=sys.stderr, flush=True)

    keep(await gathered("models, one client", [load.models]))
    keep(await gathered("first answer", [load.chat]))
    keep(await gathered("models", [load.models for _ in range(n)]))
    keep(await gathered("answers of one token", [load.chat for _ in range(n)]))
    keep(await gathered("files, sent and read", [load.upload for _ in range(n)]))
    keep(await gathered("more than the limit", [load.chat for _ in range(2 * n)]))
    keep(*await attacks(load))
    keep(*await slow(load))
    keep(await restarted(load, signal.SIGTERM))
    keep(await restarted(load, signal.SIGKILL))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--slow-s", type=float, default=45.0)
    chosen = parser.parse_args()
    from helpers import tiny

    with tempfile.TemporaryDirectory() as place:
        model = f"hf/{tiny.save(Path(place, 'base'))}"
        served = Served(Path(place, "endpoint"), model)
        Path(place, "endpoint").mkdir()
        served.start()
        try:
            found = asyncio.run(measure(served, chosen, model))
        finally:
            served.stop()
        log = served.log.read_text("utf-8", "replace")
    tracebacks = log.count("Traceback (most recent call last)")
    print("| requests | tried | answered | refused | none | slowest, s | server's memory, MB |")
    print("|---|---:|---:|---|---:|---:|---:|")
    for row, memory in found:
        ok = sum(count for status, count in row.statuses.items() if status.startswith("2"))
        bad = ", ".join(
            f"{count} x {status}" for status, count in sorted(row.statuses.items()) if status[0] in "345cilo"
        )
        cells = (row.name, row.tried, ok, bad, row.statuses[NO_ANSWER], f"{row.slowest_s:.1f}", f"{memory:.0f}")
        print("| " + " | ".join(map(str, cells)) + " |")
    print(f"\ntracebacks in the server's log: {tracebacks}")
    if tracebacks:
        print(log[-6000:])
    wrong = {"leaked", "injected", "other content"} & {status for row, _ in found for status in row.statuses}
    sys.exit(int(bool(tracebacks or wrong or any(row.statuses[NO_ANSWER] for row, _ in found))))


if __name__ == "__main__":
    main()
