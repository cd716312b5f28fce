"""`thirdlever` commands in forks of a process that has loaded the heavy libraries, whose import takes longest.

    python preloaded.py SOCKET                       the process
    python preloaded.py SOCKET COMMAND ARGUMENT…     a command, with the caller's folder, environment and streams

A fork runs the command as `python -m thirdlever` does: everything but the import of the libraries is its own.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import socket
import sys
import traceback

LIBRARIES = (
    *("inspect_ai.model", "inspect_ai.solver", "inspect_ai.scorer", "pandas", "pyarrow.parquet", "matplotlib.pyplot"),
    *("torch", "transformers", "sentence_transformers", "peft", "chromadb", "sklearn.linear_model", "scipy.stats"),
)
_LONGEST = 1 << 20  # bytes of a request


def serve(address: str) -> None:
    """Fork for every request, until the process is killed."""
    for name in LIBRARIES:
        importlib.import_module(name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()
        while True:
            connection, _ = server.accept()
            request, streams, *_ = socket.recv_fds(connection, _LONGEST, 3)
            if os.fork() == 0:
                if os.fork() == 0:  # a grandchild is nobody's zombie
                    server.close()
                    _run(json.loads(request), streams, connection)
                os._exit(0)
            os.wait()
            connection.close()
            for stream in streams:
                os.close(stream)


def _run(request: dict[str, object], streams: list[int], connection: socket.socket) -> None:
    """Run a command, and send its exit code."""
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    os.chdir(str(request["folder"]))
    os.environ.clear()
    os.environ.update(dict(request["environment"]))  # type: ignore[call-overload]
    sys.argv = list(request["command"])  # type: ignore[call-overload]
    code: object = 1
    try:
        from thirdlever.cli.main import main

        main()
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
    atexit._run_exitfuncs()  # noqa: SLF001 - `os._exit` does not
    sys.stdout.flush()
    sys.stderr.flush()
    connection.sendall(str(code).encode())
    os._exit(0)


def ask(address: str, command: list[str]) -> int:
    """Have a command run; its exit code."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        request = {"command": command, "folder": os.getcwd(), "environment": dict(os.environ)}  # noqa: PTH109 - fast
        socket.send_fds(connection, [json.dumps(request).encode()], [0, 1, 2])
        return int(connection.recv(10) or 1)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        serve(sys.argv[1])
    sys.exit(ask(sys.argv[1], sys.argv[2:]))
