"""Whether a hosted model's accuracy and cost are what its provider says.

Asks `transactions` (100 items, zero_shot) of three models on loopback: a gpt-5-class model, one that writes its
reasoning in `<think>`, and the first with 16 tokens in all, which reasoning uses up. The provider is told to answer 82
rightly. Then `regress` and `decide` on the run that was not measured. Each command runs as a user would run it, in a
folder of its own; every output is printed, with what the provider billed.

    python benchmarks/hosted.py
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from thirdlever.suites.find import find_suite
from thirdlever.testing import Behaviour, LoopbackProvider, TokenPrices

ITEMS, RIGHT = 100, 82
ASKED = ("--strategy", "zero_shot", "--limit", str(ITEMS), "--budget", "1")
COMMAND = [sys.executable, "-m", "thirdlever"]
PRICES = """
[[price]]
model = "{model}"
input = 0.25
cached_input = 0.025
output = 2.0
source = "the provider on loopback"
as_of = 2026-11-01
"""


def main() -> None:
    """Measure each model, then judge the one without a result."""
    suite = find_suite("transactions")
    asked = suite.test.first(ITEMS).items
    wrong = {item.input: next(label for label in suite.answer.choices or () if label != item.target) for item in asked}
    told = {item.input: item.target if n < RIGHT else wrong[item.input] for n, item in enumerate(asked)}

    def answer(prompt: str) -> str:
        return next((label for text, label in told.items() if text in prompt), asked[0].target)

    def reasoning(prompt: str) -> int:
        return random.Random(prompt).randint(200, 500)  # noqa: S311 - not a secret

    rates = TokenPrices(input=0.25, output=2.0, cached=0.025)
    models = {
        "gpt-5-mini": Behaviour(answer=answer, reasoning_tokens=reasoning, refuses_temperature=True, prices=rates),
        "thinker": Behaviour(answer=answer, reasoning_tokens=reasoning, think=True, prices=rates),
    }
    with LoopbackProvider(models) as provider, tempfile.TemporaryDirectory() as folder:
        thinker = "openai-api/loopback/thinker"
        Path(folder, "prices.toml").write_text(
            "".join(PRICES.format(model=model) for model in ("openai/gpt-5-mini", thinker))
        )
        environment = os.environ | provider.env

        def call(*arguments: str) -> None:
            print(f"\n$ thirdlever {' '.join(arguments)}", flush=True)
            done = subprocess.run([*COMMAND, *arguments], cwd=folder, env=environment, check=False)  # noqa: S603 - ours
            print(f"exit {done.returncode}", flush=True)

        def measure(model: str, out: str) -> None:
            billed = provider.bill_usd
            call("run", "transactions", *ASKED, "--model", model, "--out", out)
            spent = json.loads(Path(folder, out, "run.json").read_text())["spent_usd"]
            print(f"spent {spent:.6f} USD, billed {provider.bill_usd - billed:.6f} USD", flush=True)

        measure("openai/gpt-5-mini", "results/reasoning")
        measure(thinker, "results/think")
        call("baseline", "set", "results/reasoning", "--name", "before")
        measure("openai/gpt-5-mini:max_tokens=16", "results/forced")
        call("regress", "transactions", "--baseline", "before", "--model", "openai/gpt-5-mini:max_tokens=16")
        call("decide", "results/forced")


if __name__ == "__main__":
    main()
