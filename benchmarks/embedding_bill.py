"""What `thirdlever plan` says that indexing with a hosted embedder costs, beside what the provider then bills.

A suite of 100 labelled items and so many text chunks (of 20 to 120 words) is planned for
`rag:k=0,documents=3,embedder=openai-api/loopback/embed`, then run. The provider is on loopback: it counts a token for
every four characters of a text, at $0.02 per million. Then the chunks are embedded again with 1 % of them changed.
Prints a Markdown table.

    python benchmarks/embedding_bill.py [--chunks 100000]
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from thirdlever import Document, Store
from thirdlever.retrieval.embedders import find_embedder, usd_of
from thirdlever.retrieval.vectors import keep
from thirdlever.runner.plan import plan
from thirdlever.testing import Behaviour, FakeModel, LoopbackProvider, TokenPrices, example_suite

NAME = "openai-api/loopback/embed"
USD_PER_M = 0.02
_WORDS = (
    "account",
    "balance",
    "branch",
    "card",
    "charge",
    "customer",
    "delay",
    "fee",
    "fuel",
    "limit",
    "market",
    "order",
)


def chunks(n: int) -> list[str]:
    """Texts of 20 to 120 words, no two alike."""
    draw = random.Random(0)  # noqa: S311 - a seeded draw is wanted
    return [f"{at} {' '.join(draw.choices(_WORDS, k=draw.randint(20, 120)))}." for at in range(n)]


def main() -> None:
    """Plan, embed, embed again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    texts = chunks(parser.parse_args().chunks)
    behaviour = Behaviour(dimensions=384, prices=TokenPrices(input=USD_PER_M))
    with contextlib.ExitStack() as opened:
        folder = opened.enter_context(tempfile.TemporaryDirectory())
        opened.enter_context(contextlib.chdir(folder))
        provider = opened.enter_context(LoopbackProvider({"embed": behaviour}, process=True, keep=1))
        os.environ.update(provider.env)
        row = f'model = "{NAME}"\ninput = {USD_PER_M}\noutput = 0\nsource = "loopback"\nas_of = 2026-11-01\n'
        Path("prices.toml").write_text(f"[[price]]\n{row}", "utf-8")
        documents = tuple(Document(f"d{at}", "", text) for at, text in enumerate(texts))
        suite = replace(example_suite(), documents=documents)
        start = time.perf_counter()
        planned = plan(suite, [f"rag:k=0,documents=3,embedder={NAME}"], models=[FakeModel()]).candidates[0]
        took = time.perf_counter() - start
        sent = len(provider.requests)
        print("| | texts embedded | tokens | USD | requests | seconds |\n|---|---|---|---|---|---|")
        tokens, usd = planned.setup_tokens or float("nan"), planned.setup_usd or float("nan")
        print(f"| plan | {len(texts):,} | {tokens:,.0f} | {usd:.6f} | {sent} | {took:.1f} |")
        by, store = find_embedder(NAME), Store(Path("store"))
        shown = [f"\n{text}" for text in texts]  # as documents are indexed: title, line break, text
        billed = _embedded("index", shown, store, provider)
        shown[::100] = [f"{text} changed" for text in shown[::100]]
        _embedded("1 % changed", shown, store, provider)
        kept = keep(shown, store, by)
        print(f"\nplan and bill differ by {abs(tokens / billed - 1):.2%} in tokens")
        print(f"set-up cost of the changed list: ${usd_of(by, kept.tokens):.6f}")
        size = sum(file.stat().st_size for file in store.root.rglob("*.sqlite"))
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"vectors on disk: {size / 1e6:,.0f} MB; most memory: {memory:,.0f} MB")


def _embedded(what: str, texts: list[str], store: Store, provider: LoopbackProvider) -> int:
    """Embed and print what the provider billed; its tokens."""
    usage, usd, requests = provider.usage.input, provider.bill_usd, len(provider.requests)
    start = time.perf_counter()
    missing = len(texts) if what == "index" else len(texts[::100])
    keep(texts, store, find_embedder(NAME))
    took, tokens = time.perf_counter() - start, provider.usage.input - usage
    bill, sent = provider.bill_usd - usd, len(provider.requests) - requests
    print(f"| {what} | {missing:,} | {tokens:,} | {bill:.6f} | {sent} | {took:.1f} |", flush=True)
    return tokens


if __name__ == "__main__":
    main()
