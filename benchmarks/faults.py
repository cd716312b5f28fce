"""What a provider's failures cost: requests sent, seconds to the first sentence and to the end, exit code, the resume.

Runs `thirdlever run transactions --strategy zero_shot --limit 60` against a provider on loopback that fails in one way
a row, then repairs the provider and repeats the command. Prints a Markdown table. Seconds count from the
first request; where none arrives, from the command's start.

    python benchmarks/faults.py [--only NAME …] [--budget USD]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from thirdlever.testing import Behaviour, Fault, LoopbackProvider, TokenPrices

LIMIT = 60
MODEL = "gpt-4.1-mini"
CASES: dict[str, list[Fault]] = {
    "no fault": [],
    "401": [Fault("unauthorized")],
    "403": [Fault("forbidden")],
    "404": [Fault("no_model")],
    "quota, OpenAI's wording": [Fault("quota")],
    "quota, Anthropic's wording": [Fault("credit")],
    "quota, a gateway's 402": [Fault("payment")],
    "quota after 20 answers": [Fault("quota", requests=range(20, 10**9))],
    "HTML, 200": [Fault("html")],
    "HTML, 502": [Fault("html_error")],
    "refused": [],
    "silent": [Fault("silent")],
    "silent after 20 answers": [Fault("silent", requests=range(20, 10**9))],
    "429 for 3 s": [Fault("rate_limit", after_s=0.5, until_s=3.5, retry_after_s=1)],
    "429 for 30 s": [Fault("rate_limit", after_s=0.5, until_s=30.5)],
    "429 for ever": [Fault("rate_limit")],
    "5 % 500s": [Fault("server_error", share=0.05)],
    "5 % truncated": [Fault("truncated", share=0.05)],
    "all truncated": [Fault("truncated")],
    "no usage": [Fault("no_usage")],
}


class Outcome(NamedTuple):
    """What one command did."""

    requests: int
    first_s: float | None
    end_s: float
    code: int
    sentence: str


def asked(provider: LoopbackProvider) -> int:
    """Requests so far, without those for the list of models, which cost nothing."""
    return sum(one.path != "/v1/models" for one in provider.requests.last)


def attempt(provider: LoopbackProvider, out: Path, extra: list[str]) -> Outcome:
    """Run the command once."""
    before = asked(provider)
    launched = time.monotonic()
    command = [sys.executable, "-m", "thirdlever", "run", "transactions", "--strategy", "zero_shot"]
    command += ["--model", f"openai/{MODEL}", "--limit", str(LIMIT), "--probe", "0", "--out", str(out), *extra]
    process = subprocess.Popen(  # noqa: S603 - its own interpreter
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, **provider.env}
    )
    lines: list[tuple[float, str]] = []

    def read() -> None:
        lines.extend((time.monotonic(), line.strip()) for line in process.stderr or ())

    reader = threading.Thread(target=read)
    reader.start()
    start = None
    while process.poll() is None:
        if start is None and (asked(provider) > before or (not before and provider.requests.at_once)):
            start = time.monotonic()
        time.sleep(0.02)
    reader.join()
    end = time.monotonic()
    start = start or launched  # nothing arrived
    said = [(at - start, line) for at, line in lines if line.startswith(("waiting", "error", f"openai/{MODEL}"))]
    return Outcome(
        requests=asked(provider) - before,
        first_s=max(0.0, said[0][0]) if said else None,
        end_s=end - start,
        code=process.returncode,
        sentence=said[-1][1] if said else "",
    )


def row(name: str, extra: list[str]) -> str:
    """One case, and the same command once the provider is well."""
    behaviour = Behaviour(answer=str.upper, latency_s=0.3, prices=TokenPrices(input=0.4, output=1.6))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "run")
        with LoopbackProvider({MODEL: behaviour}, faults=CASES[name]) as provider:
            if name == "refused":
                provider.stop()
            bad = attempt(provider, out, extra)
            if name == "refused":
                provider.start()
            provider.inject()
            good = attempt(provider, out, extra)
    first = "" if bad.first_s is None else f"{bad.first_s:.1f}"
    sentence = bad.sentence.replace("|", "/")[:160]
    cells = [name, bad.requests, first, f"{bad.end_s:.1f}", bad.code, f"{good.requests} (exit {good.code})", sentence]
    return "| " + " | ".join(map(str, cells)) + " |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=list(CASES))
    parser.add_argument("--budget", default=None)
    parser.add_argument("--jobs", type=int, default=3)
    chosen = parser.parse_args()
    extra = ["--budget", chosen.budget] if chosen.budget else []
    print("| provider | requests | first sentence, s | end, s | exit | requests of the repeated command | it says |")
    print("|---|---:|---:|---:|---:|---|---|")
    with ThreadPoolExecutor(chosen.jobs) as pool:
        for line in pool.map(lambda name: row(name, extra), chosen.only):
            print(line, flush=True)


if __name__ == "__main__":
    main()
