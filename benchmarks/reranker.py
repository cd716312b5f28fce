"""A small cross-encoder, fine-tuned from the embedder's weights on questions and paragraphs of half of XQuAD.

    python benchmarks/reranker.py FOLDER OUT                 # of XQuAD: xquad.en.json; saves the cross-encoder in OUT
    python benchmarks/retrieval.py FOLDER --half 1 --passage 0 --rerank OUT

Articles are in two halves, every other one by title: the first half trains, the second is what `--half 1` measures.
Each question comes with its own paragraph and the paragraphs of its half that BM25 finds best beside it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from retrieval import xquad  # type: ignore[attr-defined]  # benchmarks/retrieval.py, beside this file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from thirdlever import Search, Store, index
from thirdlever.models.bundled import embedder_folder, quiet

if TYPE_CHECKING:
    from thirdlever import Suite

NEGATIVES = 3  # paragraphs beside the right one
TOKENS = 192  # of a question and a paragraph
RATE = 1e-4


def groups(suite: Suite, store: Store) -> list[tuple[str, list[str]]]:
    """Questions of the first half, each with its paragraph, then the hardest others."""
    titles = set(sorted({document.title for document in suite.documents})[::2])
    half = {document.id: document for document in suite.documents if document.title in titles}
    search = index(tuple(half.values()), store, search=Search(by="lexical"))
    found = []
    for item in suite.dev:
        if (gold := half.get(item.fields["gold"][0])) is not None:
            others = [one for one in search.nearest(item.input, 10) if one.id != gold.id]
            if len(others) >= NEGATIVES:
                # Between the best: the very best may answer the question too.
                picked = [gold, *others[:NEGATIVES]]
                found.append((item.input, [f"{one.title}\n{one.text}" for one in picked]))
    return found


def main() -> None:
    """Fine-tune, and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--questions", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4, help="questions")
    parser.add_argument("--store", type=Path, default=Path(".thirdlever", "store"))
    options = parser.parse_args()
    torch.manual_seed(0)
    draw = random.Random(0)  # noqa: S311 - a seeded draw
    known = groups(xquad(options.data / "xquad.en.json"), Store(options.store))
    draw.shuffle(known)
    known = known[: options.questions]
    with quiet(errors_only=True):
        model = AutoModelForSequenceClassification.from_pretrained(embedder_folder(), num_labels=1)
    tokenizer = AutoTokenizer.from_pretrained(embedder_folder())
    model.train()
    steps = options.epochs * -(-len(known) // options.batch)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps, pct_start=0.1)
    start, losses = time.perf_counter(), []
    for epoch in range(options.epochs):
        draw.shuffle(known)
        for at in range(0, len(known), options.batch):
            batch = known[at : at + options.batch]
            pairs = [(question, text) for question, texts in batch for text in texts]
            read = tokenizer(
                [question for question, _ in pairs],
                [text for _, text in pairs],
                truncation="only_second",
                max_length=TOKENS,
                padding=True,
                return_tensors="pt",
            )
            scores = model(**read).logits.view(len(batch), -1)
            loss = torch.nn.functional.cross_entropy(scores, torch.zeros(len(batch), dtype=torch.long))
            loss.backward()  # type: ignore[no-untyped-call]  # torch's
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            losses.append(loss.item())
            if len(losses) % 10 == 0:
                print(f"epoch {epoch + 1}, step {len(losses)} of {steps}: loss {sum(losses[-10:]) / 10:.3f}")
                sys.stdout.flush()
    model.eval()
    model.save_pretrained(options.out, safe_serialization=True)
    tokenizer.save_pretrained(options.out)
    print(f"{len(known):,} questions, {steps:,} steps in {time.perf_counter() - start:.0f} s; saved in {options.out}")


if __name__ == "__main__":
    main()
