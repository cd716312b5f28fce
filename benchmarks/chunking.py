"""What the head of a passage buys on `handbook`: share of questions whose answer is in the k nearest passages.

    python benchmarks/chunking.py --tokens 64 --questions 240

The handbook's sections begin with a line of their own, which is made a Markdown heading here. Each row embeds the same
passages with another head: none, the title, or the title and the headings above the passage.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace

import numpy as np

from thirdlever.retrieval.chunking import passages
from thirdlever.retrieval.embedders import find_embedder
from thirdlever.suites.find import find_suite

DEPTHS = (1, 2, 4, 8)


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--questions", type=int, default=240)
    given = parser.parse_args()
    suite = find_suite("handbook")
    pages = tuple(
        replace(page, text=re.sub(r"(?:\A|(?<=\n\n))(.{3,60})\n", r"## \1\n\n", page.text)) for page in suite.documents
    )
    titles = {page.id: page.title for page in pages}
    asked = [item for item in suite.test if item.fields.get("gold")][: given.questions]
    by = find_embedder()
    queries = by.embed([item.input for item in asked], query=True).vectors
    print(f"| tokens | passages | head | {' | '.join(f'k={k}' for k in DEPTHS)} |")
    print("|---|---|---|" + "---|" * len(DEPTHS))
    for tokens in given.tokens:
        made = passages(pages, tokens)
        heads = {
            "none": [piece.text for piece in made],
            "title": [f"{titles[piece.id.rpartition('#')[0]]}\n{piece.text}" for piece in made],
            "title and headings": [f"{piece.title}\n{piece.text}" for piece in made],
        }
        for head, texts in heads.items():
            ranked = np.argsort(-(queries @ by.embed(texts).vectors.T), axis=1)
            hits = [
                next(
                    (rank for rank, at in enumerate(row[: max(DEPTHS)]) if made[at].says(suite.right_answer(item))), 99
                )
                for item, row in zip(asked, ranked, strict=True)
            ]
            shares = " | ".join(f"{100 * np.mean([hit < k for hit in hits]):.1f}" for k in DEPTHS)
            print(f"| {tokens} | {len(made):,} | {head} | {shares} |")


if __name__ == "__main__":
    main()
