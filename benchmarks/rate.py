"""Requests per second against a bare AsyncOpenAI client, and peak memory by number of items. Prints Markdown tables.

The provider runs in a process of its own on loopback. Both clients send the same prompts with the same connections, in
turns, in processes of their own; imports and the run's files are not counted in the rate, but grading, the journal and
inspect's log are. Bounds: 60 % of the bare client at 300 ms, 150 requests/s at zero latency on two cores.

    python benchmarks/rate.py [--repeats N] [--items N …]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from statistics import median
from typing import TYPE_CHECKING, Any

from thirdlever.testing import Behaviour, LoopbackProvider

if TYPE_CHECKING:
    from thirdlever import Suite

MODEL = "gpt-4.1-mini"


def answer(_: str) -> str:
    """The same answer to everything."""
    return "fuel"


def suite(items: int) -> Suite:
    """Payments with one label."""
    from dataclasses import replace

    from thirdlever import Item, Split
    from thirdlever.testing import example_suite

    text = "Card payment {} at SHELL service station, paid with the card that ends in 4711, reference {}"
    test = Split("test", tuple(Item(f"item-{i}", text.format(i, i * 7), "fuel") for i in range(items)))
    return replace(example_suite(), test_split=test)


def bare(items: int, connections: int) -> None:
    """Print seconds for the same requests by OpenAI's client alone."""
    from openai import AsyncOpenAI

    from thirdlever import messages

    made = suite(items)
    prompts: list[Any] = [
        [{"role": one.role, "content": one.text} for one in messages(made, item.input)] for item in made.test
    ]

    async def main() -> float:
        waiting = iter(prompts)

        async def worker(client: AsyncOpenAI) -> None:
            for prompt in waiting:
                await client.chat.completions.create(
                    model=MODEL, messages=prompt, max_completion_tokens=4016, temperature=0, seed=0
                )

        async with AsyncOpenAI() as client:
            start = time.perf_counter()
            await asyncio.gather(*(worker(client) for _ in range(connections)))
            return time.perf_counter() - start

    print("seconds", asyncio.run(main()))


def ours(items: int, connections: int) -> None:
    """Print seconds of the accuracy pass, and the peak memory of the whole run."""
    import thirdlever

    with tempfile.TemporaryDirectory() as folder:
        thirdlever.run(
            suite(items), ["zero_shot"], models=[f"openai/{MODEL}"], probe=0, out=folder, max_connections=connections
        )
    print("memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def once(who: str, items: int, connections: int, provider: LoopbackProvider) -> dict[str, float]:
    """One client in a process of its own: seconds, and MB where measured."""
    command = [sys.executable, __file__, "--as", who, "--items", str(items), "--connections", str(connections)]
    done = subprocess.run(command, env={**os.environ, **provider.env}, capture_output=True, text=True, check=True)  # noqa: S603
    found = {
        name: float(value) for name, value in re.findall(r"^(seconds|memory) ([\d.]+)$", done.stdout, re.MULTILINE)
    }
    if took := re.search(r"done in ([\d.]+) s", done.stderr):
        found["seconds"] = float(took[1])
    return found


def rates(repeats: int) -> None:
    """Rates side by side."""
    print("| latency | connections | requests | bare client, requests/s | thirdlever, requests/s | ratio |")
    print("|---|---:|---:|---:|---:|---:|")
    for latency, connections, items in ((0.3, 20, 1000), (0.3, 100, 2000), (0.0, 20, 2000)):
        models = {MODEL: Behaviour(answer=answer, latency_s=latency)}
        with LoopbackProvider(models, process=True, keep=1) as provider:
            found = [
                [items / once(who, items, connections, provider)["seconds"] for who in ("bare", "ours")]
                for _ in range(repeats)
            ]
        cells = [" / ".join(f"{row[column]:.0f}" for row in found) for column in (0, 1)]
        ratio = median(row[1] / row[0] for row in found)
        print(
            f"| {1000 * latency:.0f} ms | {connections} | {items:,} | {' | '.join(cells)} | {ratio:.2f} |", flush=True
        )


def memory(sizes: list[int]) -> None:
    """Peak memory by number of items."""
    print("\n| items | seconds | peak memory, MB |\n|---:|---:|---:|")
    with LoopbackProvider({MODEL: Behaviour(answer=answer)}, process=True, keep=1) as provider:
        for items in sizes:
            found = once("ours", items, 20, provider)
            print(f"| {items:,} | {found['seconds']:.0f} | {found['memory']:.0f} |", flush=True)


def main() -> None:
    """Print the tables, or be one of the clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--as", choices=["bare", "ours"], dest="role")
    parser.add_argument("--items", type=int, nargs="*", default=[2_000, 100_000])
    parser.add_argument("--connections", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    if chosen.role:
        {"bare": bare, "ours": ours}[chosen.role](chosen.items[0], chosen.connections)
        return
    if chosen.repeats:
        rates(chosen.repeats)
    if chosen.items:
        memory(chosen.items)


if __name__ == "__main__":
    main()
