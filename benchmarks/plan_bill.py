"""What `thirdlever plan` says a run will cost, beside what the provider then bills.

Plans the suite transactions (60 items, probe of 5) for hosted models and five strategies before any run, then after a
run of zero_shot on 10 items, then runs it. The provider is on loopback: it counts a token for every four characters and
caches prefixes from 1,024 tokens. Each candidate runs alone, in a project of its own; rag embeds texts by their words.
Prints a Markdown table.

    python benchmarks/plan_bill.py [--models NAME …] [--strategies SPEC …]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import re
import tempfile
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import thirdlever
from thirdlever.retrieval import embedders
from thirdlever.runner.plan import PlannedCandidate, plan
from thirdlever.suites.find import find_suite
from thirdlever.testing import Behaviour, FakeEmbedder, LoopbackProvider, TokenPrices

SUITE, LIMIT, PROBE, FIRST = "transactions", 60, 5, 10
STRATEGIES = ["zero_shot", "few_shot", "rag", "long_context:tokens=8000", "few_shot:k=auto"]
PRICES = TokenPrices(input=1.25, output=10.0, cached=0.125)


def reasoning(prompt: str) -> int:
    """300 to 600 tokens, the same for the same prompt."""
    return random.Random(prompt).randint(300, 600)  # noqa: S311 - not a secret


def nearest(prompt: str) -> str:
    """The label of the demonstration that shares most words with the question; without demonstrations, the first."""
    answers = re.findall(r"Transaction: (.*)\nCategory:\s*(\w*)", prompt)
    *shown, (asked, _) = answers or [("", "")]
    words = set(asked.split())
    return max(shown, key=lambda one: len(words & set(one[0].split())), default=("", "groceries"))[1] or "groceries"


MODELS = {
    "gpt-4.1-mini": Behaviour(answer=nearest, prices=PRICES),
    "gpt-5-mini": Behaviour(answer=nearest, reasoning_tokens=reasoning, refuses_temperature=True, prices=PRICES),
    "thinker": Behaviour(answer=nearest, reasoning_tokens=reasoning, think=True, prices=PRICES),
}


def full_name(model: str) -> str:
    """As `--model` takes it."""
    return f"openai/{model}" if model.startswith("gpt") else f"openai-api/loopback/{model}"


def shown(planned: PlannedCandidate, bill: float) -> str:
    """USD planned and its share of the bill; "≥" marks a lower bound."""
    parts = (planned.request_usd, planned.reasoning_usd, planned.setup_usd)
    usd = sum(part for part in parts if part is not None)
    return f"{'≥ ' * (planned.usd is None)}{usd:.4f} | {usd / bill:.2f}"


def row(model: str, strategy: str) -> str:
    """One candidate: both plans, and the bill of the run that follows."""
    name = full_name(model)
    rate = f'model = "{name}"\ninput = {PRICES.input}\ncached_input = {PRICES.cached}\noutput = {PRICES.output}\n'
    Path("prices.toml").write_text(f'[[price]]\n{rate}source = "the benchmark"\nas_of = 2026-11-25\n', "utf-8")
    suite = find_suite(SUITE)
    options: dict[str, Any] = {"models": [name], "limit": LIMIT, "probe": PROBE}
    [before] = plan(suite, [strategy], **options).candidates
    with LoopbackProvider({model: MODELS[model]}) as provider:
        os.environ.update(provider.env)
        thirdlever.run(suite, ["zero_shot"], models=[name], limit=FIRST, probe=PROBE)
    with LoopbackProvider({model: MODELS[model]}) as provider:  # with an empty cache
        os.environ.update(provider.env)
        [after] = plan(suite, [strategy], **options).candidates
        assert not provider.requests, "a plan sends no request"
        thirdlever.run(suite, [strategy], **options)
        bill = provider.bill_usd
        used = provider.usage
    tokens = f"{used.input:,} ({used.cached:,})/{used.output:,}"
    return f"| {model} | {strategy} | {shown(before, bill)} | {shown(after, bill)} | {bill:.4f} | {tokens} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--strategies", nargs="*", default=STRATEGIES)
    chosen = parser.parse_args()
    print(
        "| model | strategy | planned, no run | of the bill | planned, one run | of the bill | billed, USD | ", end=""
    )
    print("tokens in (cached)/out |\n|---|---|--:|--:|--:|--:|--:|--:|")
    for model, strategy in product(chosen.models, chosen.strategies):
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.chdir(folder),
            mock.patch.object(embedders, "_model", return_value=FakeEmbedder()),  # all-MiniLM-L6-v2 takes its time
        ):
            line = row(model, strategy)
        print(line, flush=True)


if __name__ == "__main__":
    main()
