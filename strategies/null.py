"""No language model at all: what any lever has to beat."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from thirdlever import BaseModel, Deployment, Prepare, SetupCost, Store, Suite, embed, embed_once, reply, strategy
from thirdlever.core.errors import require
from thirdlever.retrieval.embedder import IDENTITY as EMBEDDER

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INVERSE_REGULARISATION = (3.0, 10.0, 30.0)  # tried on dev
ROUGHLY = 1e-3  # tolerance while choosing: half the iterations; the final fit takes scikit-learn's own, a point better


@strategy
def null(*, method: Literal["embeddings", "majority"] = "embeddings") -> Prepare:
    """No LLM: sentence embeddings and logistic regression, or always the most frequent answer.

    Args:
        method: "embeddings" classifies all-MiniLM-L6-v2 vectors; how strongly it is regularised is chosen on dev, then
            it is fitted on train and dev together. "majority" gives the commonest answer of train.
    """
    if method == "embeddings":
        require("sentence_transformers", extra="local")

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - it asks no model
        given = (*suite.train, *suite.dev)
        if method == "majority" or len({item.target for item in given}) == 1:
            ((answer, _),) = Counter(item.target for item in given).most_common(1)
            return Deployment(
                reply(lambda _: answer), model=None, lever="none", setup=SetupCost(labels=len(given)), given=given
            )
        classify, seconds = classifier(suite, store)
        setup = SetupCost(labels=len(given), seconds=seconds, device_seconds=seconds)
        return Deployment(reply(classify), model=None, lever="none", setup=setup, given=given)

    return prepare


def classifier(suite: Suite, store: Store) -> tuple[Callable[[str], str], float]:
    """Fit multinomial logistic regression, or find it fitted; and the seconds that embedding and fitting took."""
    train, train_s = embed_once([item.input for item in suite.train], store)
    dev, dev_s = embed_once([item.input for item in suite.dev], store)

    def build(folder: Path) -> dict[str, float]:
        from sklearn.linear_model import LogisticRegression

        targets, dev_targets = ([item.target for item in split] for split in (suite.train, suite.dev))
        tried = {
            c: LogisticRegression(C=c, tol=ROUGHLY, max_iter=1000).fit(train, targets) for c in INVERSE_REGULARISATION
        }
        best = max(tried, key=lambda c: tried[c].score(dev, dev_targets)) if len(dev) else 10.0
        fitted = LogisticRegression(C=best, max_iter=1000)
        fitted.fit(np.concatenate([train, dev]), targets + dev_targets)
        np.savez(folder / "fitted.npz", w=fitted.coef_, b=fitted.intercept_, labels=fitted.classes_.astype(str))
        return {"C": best}

    depends = {"train": suite.train.hash, "dev": suite.dev.hash, "tried": INVERSE_REGULARISATION, "embedder": EMBEDDER}
    made = store.once("classifier", of=depends, build=build)
    with np.load(made.folder / "fitted.npz", allow_pickle=False) as fitted:
        w, b, labels = fitted["w"], fitted["b"], fitted["labels"]

    def classify(text: str) -> str:
        scores = embed([text])[0] @ w.T + b
        if len(labels) == 2:  # scikit-learn keeps one row of weights for two classes  # noqa: PLR2004
            return str(labels[int(scores[0] > 0)])
        return str(labels[scores.argmax()])

    return classify, train_s + dev_s + made.facts["seconds"]
