"""A run that kills itself, as `kill -9` would, at a moment that is given; in a module of its own for the processes."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

from conftest import PLAIN, add_strategy, make_suite

ITEMS = 30
PROBE = 4
REQUESTS = 2 * (ITEMS + PROBE + 1)  # two candidates, each an accuracy pass and a probe with its cold start
ASKED = "asked.txt"
FULL = 6_000  # bytes: the journal of some requests
HEAVY = [  # what a run imports: preloaded, it saves each process seconds
    "inspect_ai.agent._acp.server",
    "inspect_ai.model._openai_responses",
    "matplotlib.figure",
    "pyarrow.parquet",
    "sklearn.metrics",
    "thirdlever.testing",
    "thirdlever.evaluation.passes",
    "thirdlever.catalog.price_lookup",
    "thirdlever.charts.accuracy",
]

SLOW = PLAIN.replace("plain", "slow").replace(
    "shots = ", "from helpers.killed import reached; reached('prepare'); shots = "
)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


_moment: str | int | None = None


def reached(moment: str) -> None:
    if _moment == moment:
        die()


def _ask(_: str) -> str:
    """Note the request where it outlives the process; the one with the number given is the last."""
    with Path(ASKED).open("a", encoding="utf-8") as file:
        file.write("asked\n")
    if _moment == len(Path(ASKED).read_text("utf-8").splitlines()):
        die()
    return "fuel"


def attempt(folder: Path, moment: str | int | None = None) -> None:
    """The same command every time: `plain` and `slow` over the small suite, into `out`.

    Args:
        folder: the project.
        moment: "prepare" (of the second candidate), the number of a request, "records" (half of the file is written),
            "log" (answered, but the pass's log is not in its place), "full" (a file may not grow any further, as on a
            full disk); None to live.
    """
    global _moment  # noqa: PLW0603 - one process, one death
    _moment = moment
    os.chdir(folder)
    from thirdlever import run
    from thirdlever.testing import FakeModel

    add_strategy(folder, "plain", PLAIN)
    add_strategy(folder, "slow", SLOW)
    if moment == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (FULL, FULL))
    if moment == "records":
        Path.write_bytes = _half  # type: ignore[method-assign, assignment]
    if moment == "log":
        Path.replace = _never  # type: ignore[method-assign, assignment]
    run(make_suite(ITEMS), ["plain", "slow"], models=[FakeModel(answer=_ask)], out="out", probe=PROBE)


_write_bytes = Path.write_bytes


def _half(path: Path, data: bytes) -> int:
    _write_bytes(path, data[: len(data) // 2])
    die()
    return 0


def _never(path: Path, target: Path) -> None:  # noqa: ARG001 - Path.replace's signature
    die()
