"""A release gate that kills itself, as `kill -9` would, in the middle of the new model's answers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from conftest import make_suite
from helpers.releases import ITEMS, model

ASKED = "asked.txt"


def attempt(folder: Path, last: int | None, *, stop_early: bool) -> None:
    """The same command every time; the verdict's exit code ends the process.

    Args:
        folder: the project, with its baseline.
        last: the number of the request that kills it; None to live.
        stop_early: as `regress` takes it.
    """
    os.chdir(folder)
    from thirdlever.lifecycle.regress import regress

    def noted(_: int) -> str:
        with Path(ASKED).open("a", encoding="utf-8") as file:
            file.write("asked\n")
        if last is not None and len(Path(ASKED).read_text("utf-8").splitlines()) >= last:
            os.kill(os.getpid(), signal.SIGKILL)
        return ""

    found = regress(
        make_suite(ITEMS),
        baseline="payments",
        models=[model("fake/new", say=noted)],
        limits={"margin": 0.1},
        stop_early=stop_early,
    )
    os._exit(found.exit_code)
