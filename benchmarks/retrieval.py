"""What each way of searching finds, and how long it takes: recall@1 and @5 of dense, lexical, hybrid, re-ranked.

    python benchmarks/retrieval.py FOLDER                    # of XQuAD: xquad.en.json, github.com/google-deepmind/xquad
    python benchmarks/retrieval.py FOLDER --questions 200 --passage 100 --rerank DIR
    python benchmarks/retrieval.py handbook                  # a suite whose dev items name gold documents

A question's gold document is the paragraph that it is asked of. With passages, a passage counts if it belongs to that
document and quotes the answer. No language model is asked.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
from dataclasses import replace
from pathlib import Path

from thirdlever import Document, Item, Query, Search, Split, Store, Suite, Text, holds_answer, index, passages
from thirdlever.suites.find import find_suite


def xquad(file: Path) -> Suite:
    """Paragraphs as documents, questions as dev items."""
    documents: list[Document] = []
    items: list[Item] = []
    for article in json.loads(file.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            name = f"p{len(documents)}"
            documents.append(Document(name, article["title"].replace("_", " "), paragraph["context"]))
            for asked in paragraph["qas"]:
                fields = {"gold": [name]}
                items.append(Item(asked["id"], asked["question"], asked["answers"][0]["text"], fields=fields))
    empty = Split("train", ())
    return Suite(
        "xquad", "", Text(), train=empty, dev=Split("dev", tuple(items)), test_split=None, documents=tuple(documents)
    )


def measure(suite: Suite, items: list[Item], known: tuple[Document, ...], search: Search, store: Store) -> str:
    """One row of the table."""
    found = index(known, store, search=search)
    found.find("warm", 5)
    hits = [found.find(Query(item.input, item.fields), 5) for item in items]
    recall = [
        100
        * statistics.fmean(bool(holds_answer(suite, i, hit.entries[:k])) for i, hit in zip(items, hits, strict=True))
        for k in (1, 5)
    ]
    parts = []
    for part in ("embedding_s", "search_s", "ranking_s"):
        seconds = [took for hit in hits if (took := getattr(hit, part)) is not None]
        parts.append(f"{1000 * statistics.median(seconds):.1f}" if seconds else "")
    return " | ".join([f"{value:.1f}" for value in recall] + parts)


def searches(rerank: str | None, candidates: int) -> dict[str, Search]:
    """The rows."""
    by = {name: Search(by=name) for name in ("dense", "lexical", "hybrid")}
    found = {**by, "dense, diversity 0.3": replace(by["dense"], diversity=0.3)}
    found["hybrid, diversity 0.3"] = replace(by["hybrid"], diversity=0.3)
    if rerank:
        for name, search in by.items():
            found[f"{name}, re-ranked"] = replace(search, rerank=rerank, candidates=candidates)
    return found


def main() -> None:
    """Print one table for each length of passages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="folder with xquad.<language>.json, or the name of a suite")
    parser.add_argument("--language", default="en")
    parser.add_argument("--questions", type=int, default=1190)
    parser.add_argument("--passage", type=int, nargs="*", default=[0, 100], help="tokens; 0 for whole documents")
    parser.add_argument("--rerank", help="folder of a cross-encoder")
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument(
        "--half", type=int, choices=(0, 1), help="only every other article, to test what the rest tuned"
    )
    parser.add_argument("--store", type=Path, default=Path(".thirdlever", "store"))
    options = parser.parse_args()
    folder, store = Path(options.data), Store(options.store)
    suite = xquad(folder / f"xquad.{options.language}.json") if folder.is_dir() else find_suite(options.data)
    items = [item for item in suite.dev if holds_answer(suite, item, suite.documents) is not None]
    documents = suite.documents
    if options.half is not None:
        titles = sorted({document.title for document in documents})[options.half :: 2]
        documents = tuple(document for document in documents if document.title in titles)
        own = {document.id for document in documents}
        items = [item for item in items if own & set(item.fields["gold"])]
    items = random.Random(0).sample(items, min(options.questions, len(items)))  # noqa: S311 - a seeded draw
    for tokens in options.passage:
        known = passages(documents, tokens) if tokens else documents
        print(
            f"\n{len(items):,} questions, {len(known):,} {f'passages of {tokens}' if tokens else 'whole documents'}\n"
        )
        print("| search | recall@1 | recall@5 | embedding, ms | search, ms | ranking, ms |\n|:--|--:|--:|--:|--:|--:|")
        for name, search in searches(options.rerank, options.candidates).items():
            print(f"| {name} | {measure(suite, items, known, search, store)} |")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
