"""`kill -9` at random moments, then the same command again until it is done: what is lost, and what is paid twice.

Each command runs in a process of its own against a loopback provider that answers after 50 ms and counts every request.
Prints a Markdown table. Requests that were in flight when the process was killed
may be asked again, at most eight for each kill, no other.

    python benchmarks/kills.py [--kills N] [--only run curve import managed serve] [--seed N]

Exit code 1 if an answer is missing or there twice, more was paid than in-flight requests explain, or there is a
traceback.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from thirdlever.testing import Behaviour, LoopbackProvider, TokenPrices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MODEL = "gpt-4.1-mini"
ITEMS = 60
LONGEST_S = 300
EVAL = """from thirdlever import Suite, load_suite, suite


@suite
def pay() -> Suite:
    return load_suite("pay", instruction="Name the kind.")
"""
CARD = "name: pay\ntitle: t\nsource: s\nlicence: CC0-1.0\nnear_leaks: made up\n"


class Row(NamedTuple):
    """What came of one command."""

    command: str
    kills: int
    done: str  # what the last attempt left
    lost: int
    twice: int  # in the records
    asked: int  # at the provider
    needed: int
    again: int
    tracebacks: int


class Attempts:
    """One command, killed and repeated."""

    def __init__(self, command: Sequence[str], folder: Path, env: dict[str, str], draw: random.Random) -> None:
        """Take the command, its folder and environment, and the source of the moments."""
        self._command, self._folder, self._draw = command, folder, draw
        self._env = os.environ | env | {"OMP_NUM_THREADS": "1", "HOME": str(folder)}
        self._at = 0.0  # seconds to a moment at which it works, measured by the first attempt
        self.tracebacks = 0
        self.killed = 0

    def until_done(self, kills: int, *, begun: Callable[[], bool], killed: Callable[[], None]) -> None:
        """Kill it, up to that many times, and repeat it until it ends by itself.

        Args:
            kills: how many, if it does not end before.
            begun: whether it does what is to be interrupted; a moment after that it is killed.
            killed: called after each kill.
        """
        for _ in range(kills):
            process = self._start()
            end = time.monotonic() + LONGEST_S
            pause = self._draw.choice([0.0, self._draw.random() * 0.3, self._draw.random() * 2])
            early = self._draw.random() < 0.2  # while it starts
            moment = time.monotonic() + self._draw.random() * 3 if early else end
            while process.poll() is None and time.monotonic() < moment and not begun():
                time.sleep(0.01)
            try:
                process.wait(pause)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                self.killed += 1
            self._read(process)
            killed()
            if process.returncode == 0:
                break
        process = self._start()
        process.wait(LONGEST_S)
        self._read(process)
        if process.returncode:
            message = f"{' '.join(self._command)} ended with {process.returncode}: {self._said[-800:]}"
            raise SystemExit(message)

    def _start(self) -> subprocess.Popen[bytes]:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - read when the process has ended
        return subprocess.Popen(  # noqa: S603 - its own interpreter
            self._command,
            cwd=self._folder,
            env=self._env,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )

    def _read(self, _: object) -> None:
        self._log.seek(0)
        self._said = self._log.read().decode("utf-8", "replace")
        self._log.close()
        if "Traceback (most recent call last)" in self._said:
            self.tracebacks += 1
            print(self._said[-3000:], file=sys.stderr)


def make_project(folder: Path) -> None:
    """A suite of sixty test items."""
    for name in ("datasets/pay", "evals"):
        (folder / name).mkdir(parents=True)
    (folder / "evals/pay.py").write_text(EVAL)
    (folder / "datasets/pay/card.yaml").write_text(CARD)
    for split, size in (("train", 60), ("dev", 20), ("test", ITEMS)):
        rows = (
            {"id": f"{split}-{n}", "input": f"{split} paid {n * 7919} at {n}", "target": "fuel" if n % 3 else "food"}
            for n in range(size)
        )
        (folder / f"datasets/pay/{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def thirdlever(arguments: str) -> list[str]:
    """The command."""
    return [sys.executable, "-P", "-m", "thirdlever", *arguments.split()]


def answers(provider: LoopbackProvider) -> int:
    """Requests for completions, which cost money."""
    return sum(one.path != "/v1/models" for one in provider.requests.last)


def counted(name: str, arguments: str, place: Path, chosen: argparse.Namespace, *, runs: str) -> Row:
    """A command that asks the provider.

    Args:
        name: of the row.
        arguments: of the command.
        place: an empty folder.
        chosen: the script's arguments.
        runs: pattern of the folders of its runs.
    """
    make_project(place)
    behaviour = Behaviour(answer=lambda _: "fuel", latency_s=0.05, prices=TokenPrices(input=0.4, output=1.6))
    before = 0
    with LoopbackProvider({MODEL: behaviour}, keep=1_000_000) as provider:
        attempts = Attempts(thirdlever(arguments), place, dict(provider.env), random.Random(chosen.seed))  # noqa: S311

        def begun() -> bool:
            return answers(provider) > before

        def killed() -> None:
            nonlocal before
            time.sleep(0.3)  # the provider ends what it had begun
            before = answers(provider)

        attempts.until_done(chosen.kills, begun=begun, killed=killed)
        total = answers(provider)
    frames = [pd.read_parquet(path / "records.parquet") for path in place.glob(runs) if (path / "run.json").is_file()]
    hosted = pd.concat([one.assign(run=n) for n, one in enumerate(frames)]).query("model.notna()")
    key = ["run", "candidate", "phase", "item_id", "epoch"]
    twice = int(hosted.duplicated(key).sum())
    lost = int(hosted["error"].notna().sum()) + (not len(hosted))
    return Row(
        name,
        attempts.killed,
        f"{len(hosted)} records",
        lost,
        twice,
        total,
        len(hosted),
        total - len(hosted),
        attempts.tracebacks,
    )


def run(place: Path, chosen: argparse.Namespace) -> Row:
    """`thirdlever run`."""
    options = "--strategy zero_shot --strategy few_shot:k=4 --probe 4 --max-connections 8 --out results/a"
    return counted("run", f"run pay --model openai/{MODEL} {options}", place, chosen, runs="results/a")


def curve(place: Path, chosen: argparse.Namespace) -> Row:
    """`thirdlever curve`."""
    options = "--strategy few_shot:k=4 --sizes 20,40 --seeds 0,1 --limit 20 --probe 2 --out results/curve"
    return counted("curve", f"curve pay --model openai/{MODEL} {options}", place, chosen, runs="results/curve/**/")


def import_(place: Path, chosen: argparse.Namespace) -> Row:
    """`thirdlever import`, which asks nobody: its folder is complete or absent."""
    make_project(place)
    rows = [json.loads(line) for line in (place / "datasets/pay/test.jsonl").read_text().splitlines()]
    theirs = [{"id": row["id"], "input": row["input"], "output": row["target"]} for row in rows]
    (place / "theirs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in theirs))
    draw = random.Random(chosen.seed)  # noqa: S311
    command = thirdlever("import theirs.jsonl --suite pay --out results/i")
    attempts = Attempts(command, place, {}, draw)
    half = 0

    def killed() -> None:
        nonlocal half
        folder = place / "results/i"
        if (folder / "run.json").is_file():
            half += len(pd.read_parquet(folder / "records.parquet")) != ITEMS
            for path in folder.iterdir():
                path.unlink()

    attempts.until_done(
        chosen.kills, begun=lambda: (place / "results/i").exists() or draw.random() < 0.005, killed=killed
    )
    records = pd.read_parquet(place / "results/i/records.parquet")
    twice = int(records.duplicated(["candidate", "phase", "item_id", "epoch"]).sum())
    return Row(
        "import", attempts.killed, f"{len(records)} records", ITEMS - len(records) + half, twice, 0, 0, 0,
        attempts.tracebacks,
    )  # fmt: skip


def tuned(name: str, arguments: str, place: Path, chosen: argparse.Namespace) -> Row:
    """A tuning job at our own endpoint, which both the harness and its kills start again."""
    from helpers import tiny

    make_project(place)
    tiny.save(place / "base")
    command = thirdlever(f"run pay --model hf/{place}/base {arguments} --limit 10 --probe 0 --out results/m")
    attempts = Attempts(command, place, {}, random.Random(chosen.seed))  # noqa: S311
    seen = 0.0

    def begun() -> bool:
        newest = max((path.stat().st_mtime for path in place.rglob("events.jsonl")), default=0.0)
        return newest > seen

    def killed() -> None:
        nonlocal seen
        seen = time.time()

    attempts.until_done(chosen.kills, begun=begun, killed=killed)
    records = pd.read_parquet(place / "results/m/records.parquet")
    twice = int(records.duplicated(["candidate", "phase", "item_id", "epoch"]).sum())
    states = [json.loads(path.read_bytes())["status"] for path in place.rglob("job.json")]
    return Row(
        name, attempts.killed, f"{len(records)} records, jobs: {', '.join(states)}",
        int(records["error"].notna().sum()) + (10 - len(records)), twice, len(states), 1, 0, attempts.tracebacks,
    )  # fmt: skip


def managed(place: Path, chosen: argparse.Namespace) -> Row:
    """`managed` at the local endpoint: the harness and the server that it started are killed, or either."""
    return tuned("managed", "--strategy managed:examples=12,epochs=2", place, chosen)


COMMANDS = {"run": run, "curve": curve, "import": import_, "managed": managed}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=list(COMMANDS), choices=COMMANDS)
    chosen = parser.parse_args()
    print("| command | kills | at the end | lost | twice | asked | needed | asked again | tracebacks |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|")
    bad = False
    for name in chosen.only:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
            row = COMMANDS[name](Path(place), chosen)
        print("| " + " | ".join(map(str, row)) + " |", flush=True)
        bad |= bool(row.lost or row.twice or row.tracebacks or row.again > 8 * row.kills)
    sys.exit(int(bad))


if __name__ == "__main__":
    main()
