"""Whether our recall, MRR and nDCG equal those of other implementations to the last digit, on public test collections.

    python benchmarks/retrieval_reference.py xquad FILE          # xquad.en.json, github.com/google-deepmind/xquad
    python benchmarks/retrieval_reference.py cranfield FOLDER    # with cran.all.1400, cran.qry, cranqrel
    python benchmarks/retrieval_reference.py xquad FILE --queries 100 --depth 20

Each query is searched for in our index of the collection; its results become records of a run, and our figures of the
run are compared with those of pytrec_eval (NIST's trec_eval), of the definitions written out in numpy, and of the
evaluator of sentence-transformers, which searches the same vectors by itself. Exits with 1 if any of them differs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from thirdlever import Document, Store, index
from thirdlever.analysis.retrieval import figures
from thirdlever.evaluation.records import COLUMNS
from thirdlever.retrieval.embedders import find_embedder
from thirdlever.retrieval.index import text_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

SAME = 1e-12  # rounding of sums in another order


class Collection(NamedTuple):
    """Documents, the text of each query, and the ids of the documents that are relevant to it."""

    documents: Sequence[Document]
    queries: Mapping[str, str]
    relevant: Mapping[str, Sequence[str]]


def xquad(file: Path) -> Collection:
    """Questions; relevant is the paragraph that a question is asked of."""
    documents: list[Document] = []
    queries: dict[str, str] = {}
    relevant: dict[str, Sequence[str]] = {}
    for article in json.loads(file.read_text("utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            name = f"p{len(documents)}"
            documents.append(Document(name, article["title"].replace("_", " "), paragraph["context"]))
            queries |= {asked["id"]: asked["question"] for asked in paragraph["qas"]}
            relevant |= {asked["id"]: [name] for asked in paragraph["qas"]}
    return Collection(documents, queries, relevant)


def cranfield(folder: Path) -> Collection:
    """225 queries on 1,400 abstracts; judgements 1 to 4 are relevant, -1 is not. Queries are numbered in order."""
    documents = [
        Document(f"d{number}", fields.get("T", ""), fields.get("W", "") or "(empty)")
        for number, fields in _entries(folder / "cran.all.1400")
    ]
    queries = {str(place): fields["W"] for place, (_, fields) in enumerate(_entries(folder / "cran.qry"), 1)}
    relevant: dict[str, list[str]] = {}
    for line in (folder / "cranqrel").read_text("utf-8").splitlines():
        query, document, grade = line.split()
        if int(grade) > 0:
            relevant.setdefault(query, []).append(f"d{document}")
    return Collection(documents, queries, {query: list(dict.fromkeys(ids)) for query, ids in relevant.items()})


def _entries(file: Path) -> list[tuple[str, dict[str, str]]]:
    """Number and fields of each entry in SMART's format."""
    found = []
    for entry in re.split(r"^\.I ", file.read_text("utf-8"), flags=re.MULTILINE)[1:]:
        number, _, rest = entry.partition("\n")
        parts = re.split(r"^\.([A-Z])\n", rest, flags=re.MULTILINE)[1:]
        found.append(
            (number.strip(), {name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)})
        )
    return found


def ours(found: Mapping[str, Sequence[str]], relevant: Mapping[str, Sequence[str]], depth: int) -> dict[str, float]:
    """Our figures of a run with such records."""
    rows: dict[str, Any] = {
        "item_id": list(found),
        "phase": "accuracy",
        "epoch": 1,
        "slice": "",
        "group": "",
        "candidate": "rag",
        "strategy": "rag",
        "score": 0.0,
        "latency_s": 0.0,
        "cold": False,
        "retrieved": [json.dumps(ids) for ids in found.values()],
        "gold": [json.dumps(relevant[query]) for query in found],
    }
    measured = figures(pd.DataFrame(rows, columns=list(COLUMNS)).astype(COLUMNS))
    if measured is None or measured.ndcg is None or measured.k != depth:
        message = f"the records do not hold {depth} results a query; give a smaller --depth"
        raise SystemExit(message)
    named = {f"recall@{k}": one.value for k, one in measured.recall.items()}
    return named | {"MRR": measured.mrr.value, f"nDCG@{depth}": measured.ndcg.value}


def trec(found: Mapping[str, Sequence[str]], relevant: Mapping[str, Sequence[str]], depth: int) -> dict[str, float]:
    """The same by pytrec_eval."""
    import pytrec_eval

    names = {f"recall@{k}": f"recall_{k}" for k in (1, 3, 5, depth)}
    names |= {"MRR": "recip_rank", f"nDCG@{depth}": f"ndcg_cut_{depth}"}
    judged = {query: dict.fromkeys(relevant[query], 1) for query in found}
    ranked = {query: {id_: 1.0 / place for place, id_ in enumerate(ids, 1)} for query, ids in found.items()}
    asked = {f"recall.1,3,5,{depth}", "recip_rank", f"ndcg_cut.{depth}"}
    values = pytrec_eval.RelevanceEvaluator(judged, asked).evaluate(ranked)
    return {name: float(np.mean([values[query][own] for query in found])) for name, own in names.items()}


def written_out(
    found: Mapping[str, Sequence[str]], relevant: Mapping[str, Sequence[str]], depth: int
) -> dict[str, float]:
    """The same by the definitions."""
    hits = [np.isin(ids, relevant[query]).astype(float) for query, ids in found.items()]
    sizes = [len(relevant[query]) for query in found]
    discount = 1 / np.log2(np.arange(2, depth + 2))
    named = {
        f"recall@{k}": float(np.mean([hit[:k].sum() / size for hit, size in zip(hits, sizes, strict=True)]))
        for k in (1, 3, 5, depth)
    }
    first = [1 / (1 + int(hit.argmax())) if hit.any() else 0.0 for hit in hits]
    gains = [(hit @ discount) / discount[: min(size, depth)].sum() for hit, size in zip(hits, sizes, strict=True)]
    return named | {"MRR": float(np.mean(first)), f"nDCG@{depth}": float(np.mean(gains))}


def sentence_transformers(
    collection: Collection, vectors: Mapping[str, NDArray[np.float32]], depth: int
) -> dict[str, float]:
    """The same by sentence-transformers' evaluator, which searches the vectors by itself."""
    import torch
    from sentence_transformers.sentence_transformer.evaluation import InformationRetrievalEvaluator
    from sentence_transformers.util import cos_sim

    class Known:
        """Gives the vectors that were computed before."""

        similarity_fn_name = "cosine"
        similarity = staticmethod(cos_sim)

        def encode(self, texts: Sequence[str], **_: object) -> torch.Tensor:
            return torch.from_numpy(np.stack([vectors[text] for text in texts]))

        encode_query = encode_document = encode

    evaluator = InformationRetrievalEvaluator(
        dict(collection.queries),
        {one.id: text_of(one) for one in collection.documents},
        {query: set(ids) for query, ids in collection.relevant.items()},
        mrr_at_k=[depth],
        ndcg_at_k=[depth],
        accuracy_at_k=[1],
        precision_recall_at_k=[1, 3, 5, depth],
        map_at_k=[depth],
        score_functions={"cosine": cos_sim},
        write_csv=False,
    )
    model: Any = Known()  # in place of a model: the vectors are known
    found: Any = evaluator.compute_metrices(model)
    values = found["cosine"]
    named = {f"recall@{k}": float(values["recall@k"][k]) for k in (1, 3, 5, depth)}
    return named | {"MRR": float(values["mrr@k"][depth]), f"nDCG@{depth}": float(values["ndcg@k"][depth])}


def main() -> None:
    """Print the figures side by side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("collection", choices=["xquad", "cranfield"])
    parser.add_argument("path", type=Path)
    parser.add_argument("--queries", type=int, help="the first ones only")
    parser.add_argument("--depth", type=int, default=10, help="documents retrieved for a query")
    given = parser.parse_args()
    read = {"xquad": xquad, "cranfield": cranfield}[given.collection](given.path)
    kept = [query for query in read.queries if read.relevant.get(query)][: given.queries]
    collection = Collection(read.documents, {q: read.queries[q] for q in kept}, {q: read.relevant[q] for q in kept})
    files = sorted(given.path.iterdir()) if given.path.is_dir() else [given.path]
    for file in (one for one in files if one.is_file()):
        print(f"{file.name}: sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}")
    print(f"{len(collection.documents):,} documents, {len(kept):,} queries, {given.depth} results each\n")
    with tempfile.TemporaryDirectory() as folder:
        searched = index(tuple(collection.documents), Store(Path(folder)))
        found = {q: [one.id for one in searched.nearest(text, given.depth)] for q, text in collection.queries.items()}
    by = find_embedder()
    texts = [text_of(one) for one in collection.documents]
    vectors = dict(zip(texts, by.embed(texts).vectors, strict=True))
    vectors |= {text: by.embed([text], query=True).vectors[0] for text in collection.queries.values()}
    columns = {
        "ours": ours(found, collection.relevant, given.depth),
        "pytrec_eval": trec(found, collection.relevant, given.depth),
        "definitions": written_out(found, collection.relevant, given.depth),
        "sentence-transformers": sentence_transformers(collection, vectors, given.depth),
    }
    table = pd.DataFrame(columns)
    print(table.to_string(float_format=lambda value: f"{value:.12f}"))
    apart = float((table.sub(table["ours"], axis=0)).abs().to_numpy().max())
    print(f"\nlargest difference: {apart:.1e}")
    sys.exit(apart > SAME)


if __name__ == "__main__":
    main()
