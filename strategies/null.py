"""No language model: the baseline every approach must beat."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Literal

import numpy as np

from thirdlever import (
    EMBEDDER,
    BaseModel,
    Deployment,
    Prepare,
    SetupCost,
    Store,
    Suite,
    embed,
    embed_once,
    reply,
    require,
    strategy,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INVERSE_REGULARISATION = (3.0, 10.0, 30.0)  # tried on dev
TOLERANCE = 1e-3  # while choosing: half the iterations; the final fit uses scikit-learn's default, a point better


@strategy
def null(*, method: Literal["embeddings", "majority"] = "embeddings") -> Prepare:
    """No LLM: logistic regression on sentence embeddings, or always the most frequent answer.

    Args:
        method: "embeddings" classifies all-MiniLM-L6-v2 vectors: regularisation is chosen on dev, then the classifier
            is fitted on train and dev together. "majority" always gives the most frequent answer.
    """
    if method == "embeddings":
        require("sentence_transformers", extra="local")

    def prepare(suite: Suite, model: BaseModel, store: Store) -> Deployment:  # noqa: ARG001 - no model is used
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


def classifier(suite: Suite, store: Store) -> tuple[Callable[[str], tuple[str, float]], float]:
    """Fit multinomial logistic regression, or find it fitted; and the seconds that embedding and fitting took."""

    def build(folder: Path) -> dict[str, float]:
        train, train_s = embed_once([item.input for item in suite.train], store)
        dev, dev_s = embed_once([item.input for item in suite.dev], store)
        start = time.perf_counter()
        from sklearn.linear_model import LogisticRegression

        targets, dev_targets = ([item.target for item in split] for split in (suite.train, suite.dev))
        tried = {
            c: LogisticRegression(C=c, tol=TOLERANCE, max_iter=1000).fit(train, targets) for c in INVERSE_REGULARISATION
        }
        best = max(tried, key=lambda c: tried[c].score(dev, dev_targets)) if len(dev) else 10.0
        fitted = LogisticRegression(C=best, max_iter=1000)
        fitted.fit(np.concatenate([train, dev]), targets + dev_targets)
        np.savez(folder / "fitted.npz", w=fitted.coef_, b=fitted.intercept_, labels=fitted.classes_.astype(str))
        return {"C": best, "spent": train_s + dev_s + time.perf_counter() - start}

    depends = {"data": [suite.train.hash, suite.dev.hash], "tried": INVERSE_REGULARISATION, "embedder": EMBEDDER}
    made = store.once("classifier", of=depends, build=build)
    with np.load(made.folder / "fitted.npz", allow_pickle=False) as fitted:
        w, b, labels = fitted["w"], fitted["b"], fitted["labels"]

    def classify(text: str) -> tuple[str, float]:
        scores = embed([text])[0] @ w.T + b
        if len(labels) == 2:  # scikit-learn keeps one row of weights for two classes  # noqa: PLR2004
            scores = np.array([0.0, scores[0]])
        shares = np.exp(scores - scores.max())
        return str(labels[scores.argmax()]), float(shares.max() / shares.sum())

    return classify, made.facts["spent"]
