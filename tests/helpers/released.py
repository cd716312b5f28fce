"""A release gate that kills its own process while the new model answers, as `kill -9` would."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from conftest import make_suite
from helpers.releases import ITEMS, model

ASKED = "asked.txt"


def attempt(folder: Path, last: int | None, *, stop_early: bool) -> None:
    """Run the gate and exit with its exit code.

    Args:
        folder: the project, with its baseline.
        last: number of the request that kills the process; None for none.
        stop_early: as `regress` takes it.
    """
    os.chdir(folder)
    from thirdlever.charts import accuracy
    from thirdlever.lifecycle.regress import regress

    accuracy.draw = lambda *_, **__: None  # charts take most of the time

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
