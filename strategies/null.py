"""No language model: the baseline every approach must beat."""

from __future__ import annotations

import re
import time
import warnings
from collections import Counter, defaultdict
from itertools import groupby
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from thirdlever import (
    EMBEDDER,
    BaseModel,
    Deployment,
    Number,
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
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Way: TypeAlias = Literal["classify", "regress", "frequent", "nearest"]
Known: TypeAlias = "tuple[str, float | None]"  # a part's value, and how sure it is
Predict: TypeAlias = "Callable[[str, NDArray[np.float32]], Known]"  # from an input and its vector

INVERSE_REGULARISATION = (3.0, 10.0, 30.0)  # tried on dev
REGULARISATION = (0.1, 1.0, 10.0)  # of the regression, by leave-one-out
TOLERANCE = 1e-3  # while choosing: half the iterations; the final fit uses scikit-learn's default, a point better
FEW = 100  # values of a part that are classified, if each occurs twice on average
FORMS = 5  # of a value that is copied: most frequent ones
LONGEST = 64  # characters of a value that is copied
ABSENT = ""  # the value of a part that an answer does not have


@strategy
def null(*, method: Literal["embeddings", "majority"] = "embeddings", copy: bool = False) -> Prepare:
    """No LLM: each part of an answer classified from sentence embeddings, or the most frequent answer.

    Args:
        method: "embeddings" classifies all-MiniLM-L6-v2 vectors by logistic regression: regularisation is chosen on
            dev, then the classifier is fitted on train and dev together. A set of labels has one for each label, JSON
            one for each field; a field with many values has its most frequent one. Numbers are fitted by ridge
            regression. Free text is the answer of the most similar labelled input. "majority" always gives the most
            frequent answer.
        copy: write a field with many values, such as an order id, as the first text of the input that has the form of
            its values: the pattern that a programmer would write.
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
        answers, seconds = learned(suite, store, copy=copy)
        setup = SetupCost(labels=len(given), seconds=seconds, device_seconds=seconds)
        return Deployment(reply(answers), model=None, lever="none", setup=setup, given=given)

    return prepare


def learned(suite: Suite, store: Store, *, copy: bool) -> tuple[Callable[[str], tuple[str, float] | str], float]:
    """Learn every part of the answers, or find it learned; and the seconds that embedding and fitting took."""
    columns = parts_of(suite)
    ways = {part: way(suite, values) for part, values in columns.items()}

    def build(folder: Path) -> dict[str, float]:
        train, train_s = embed_once([item.input for item in suite.train], store)
        dev, dev_s = embed_once([item.input for item in suite.dev], store)
        start = time.perf_counter()

        def arrays(part: str, values: list[str]) -> dict[str, Any]:
            if ways[part] == "classify":
                return classified(train, values[: len(train)], dev, values[len(train) :])
            return regressed(np.concatenate([train, dev]), values) if ways[part] == "regress" else {}

        fitted = [arrays(part, values) for part, values in columns.items()]
        named = {f"{name}{number}": array for number, own in enumerate(fitted) for name, array in own.items()}
        np.savez(folder / "fitted.npz", **named)
        return {"spent": train_s + dev_s + time.perf_counter() - start}

    depends = {"data": [suite.train.hash, suite.dev.hash], "answer": repr(suite.answer), "embedder": EMBEDDER}
    made = store.once("classifier", of=depends, build=build)
    embed([])  # loads the embedder, for which no request should pay

    def predictor(number: int, part: str) -> Predict:
        values = columns[part]
        match ways[part]:
            case "classify":
                return classifier(*(fitted[f"{name}{number}"] for name in ("w", "b", "labels")))
            case "regress":
                return regression(fitted[f"w{number}"], fitted[f"b{number}"], values)
            case "frequent":
                return copied(values, [item.input for item in (*suite.train, *suite.dev)]) if copy else frequent(values)
            case "nearest":
                return nearest(suite, values, store)

    with np.load(made.folder / "fitted.npz", allow_pickle=False) as fitted:
        predictors = {part: predictor(number, part) for number, part in enumerate(columns)}
    join = getattr(suite.answer, "join", None)

    def answer(text: str) -> tuple[str, float] | str:
        vector = embed([text])[0]
        found = {part: predict(text, vector) for part, predict in predictors.items()}
        given = {part: value for part, (value, _) in found.items() if value != ABSENT}
        made = join(given) if join else found[""][0]
        sure = [share for _, share in found.values() if share is not None]
        return (made, min(sure)) if len(sure) == len(found) else made

    return answer, made.facts["spent"]


def parts_of(suite: Suite) -> dict[str, list[str]]:
    """The values of every part of the targets of train, then dev; an answer without named parts is one, called ""."""
    targets = [item.target for item in (*suite.train, *suite.dev)]
    if not hasattr(suite.answer, "join"):
        return {"": targets}
    answers: list[Mapping[str, str]] = [suite.answer.parts(target) for target in targets]  # type: ignore[attr-defined]
    names = dict.fromkeys(name for answer in answers for name in answer)
    return {name: [answer.get(name, ABSENT) for answer in answers] for name in names}


def way(suite: Suite, values: Sequence[str]) -> Way:
    """How a part is predicted."""
    distinct = len(set(values))
    if isinstance(suite.answer, Number):
        return "regress"
    if distinct > 1 and (suite.answer.choices or distinct <= min(FEW, len(values) / 2)):
        return "classify"
    return "frequent" if hasattr(suite.answer, "join") else "nearest"


# Logistic regression


def classified(
    train: NDArray[np.float32], targets: list[str], dev: NDArray[np.float32], dev_targets: list[str]
) -> dict[str, Any]:
    """The weights of a multinomial logistic regression."""
    from sklearn.linear_model import LogisticRegression

    best = 10.0
    with warnings.catch_warnings():
        # With few examples a label, scikit-learn wonders whether the labels are numbers.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        if len(dev) and len(set(targets)) > 1:
            tried = {
                c: LogisticRegression(C=c, tol=TOLERANCE, max_iter=1000).fit(train, targets)
                for c in INVERSE_REGULARISATION
            }
            best = max(tried, key=lambda c: tried[c].score(dev, dev_targets))
        fitted = LogisticRegression(C=best, max_iter=1000)
        fitted.fit(np.concatenate([train, dev]), targets + dev_targets)
    return {"w": fitted.coef_, "b": fitted.intercept_, "labels": fitted.classes_.astype(str)}


def classifier(w: NDArray[np.float64], b: NDArray[np.float64], labels: NDArray[np.str_]) -> Predict:
    """The most likely label, and its probability."""

    def predict(_: str, vector: NDArray[np.float32]) -> Known:
        scores = vector @ w.T + b
        if len(labels) == 2:  # scikit-learn keeps one row of weights for two classes  # noqa: PLR2004
            scores = np.array([0.0, scores[0]])
        shares = np.exp(scores - scores.max())
        return str(labels[scores.argmax()]), float(shares.max() / shares.sum())

    return predict


# Ridge regression


def regressed(vectors: NDArray[np.float32], targets: Sequence[str]) -> dict[str, Any]:
    """The weights of a ridge regression."""
    from sklearn.linear_model import RidgeCV

    fitted = RidgeCV(alphas=REGULARISATION).fit(vectors, [float(target) for target in targets])
    return {"w": fitted.coef_, "b": fitted.intercept_}


def regression(w: NDArray[np.float64], b: NDArray[np.float64], targets: Sequence[str]) -> Predict:
    """A number with as many decimal places as the targets have."""
    places = max(len(target.partition(".")[2]) for target in targets)

    def predict(_: str, vector: NDArray[np.float32]) -> Known:
        return f"{float(vector @ w + b):.{places}f}", None

    return predict


# Values that are too many to classify


def frequent(values: Sequence[str]) -> Predict:
    """The most frequent value."""
    ((value, times),) = Counter(values).most_common(1)
    return lambda *_: (value, times / len(values))


def copied(values: Sequence[str], inputs: Sequence[str]) -> Predict:
    """The first text of the input that has the form of the values, or else the most frequent value.

    Whichever of the two is right more often on the labelled inputs: an order id has a form, a name has none.
    """
    ((common, times),) = Counter(values).most_common(1)
    verbatim = [value for value, text in zip(values, inputs, strict=True) if value and _bare(value) in text]
    forms = re.compile(form([_bare(value) for value in verbatim]) or r"(?!)")
    quote = '"' if verbatim and verbatim[0].startswith('"') else ""
    others = Counter(
        value for value, text in zip(values, inputs, strict=True) if not (value and forms.search(text))
    ).most_common(1)
    otherwise = others[0][0] if others else common

    def find(text: str) -> str:
        found = forms.search(text)
        return f"{quote}{found[0]}{quote}" if found else otherwise

    right = sum(find(text) == value for value, text in zip(values, inputs, strict=True))
    copies, share = right > times, max(right, times) / len(values)
    return lambda text, _: (find(text) if copies else common, share)


def form(values: Sequence[str]) -> str:
    r"""A regular expression of the values' most frequent forms: runs of digits and of letters, and other signs.

    >>> form(["AC-1023", "AC-998", "AC-40"])
    '(?<!\\w)(?:AC\\-\\d{2,4})(?!\\w)'
    """
    alike: defaultdict[tuple[str, ...], list[list[str]]] = defaultdict(list)
    for value in values:
        runs = ["".join(run) for _, run in groupby(value, _class)]
        if len(value) <= LONGEST:
            alike[tuple(_class(run[0]) for run in runs)].append(runs)
    most = sorted(alike.items(), key=lambda pair: -len(pair[1]))[:FORMS]
    written = ["".join(map(_run, classes, zip(*runs, strict=True))) for classes, runs in most if len(runs) > 1]
    return rf"(?<!\w)(?:{'|'.join(written)})(?!\w)" if written else ""


def _class(sign: str) -> str:
    if sign.isdecimal():
        return r"\d"
    if sign.isalpha():
        return "[A-Z]" if sign.isupper() else r"[^\W\d_]"
    return re.escape(sign)


def _run(of: str, runs: Sequence[str]) -> str:
    """The same run of several values: its text if they agree, or else its class and lengths."""
    lengths = sorted(map(len, runs))
    return re.escape(runs[0]) if len(set(runs)) == 1 else f"{of}{{{lengths[0]},{lengths[-1]}}}"


def _bare(value: str) -> str:
    """A JSON value as texts have it."""
    return value[1:-1] if value.startswith('"') else value


# The most similar input


def nearest(suite: Suite, answers: Sequence[str], store: Store) -> Predict:
    """The answer of the most similar labelled input, and its cosine."""
    vectors = np.concatenate(
        [embed_once([item.input for item in split], store)[0] for split in (suite.train, suite.dev)]
    )

    def predict(_: str, vector: NDArray[np.float32]) -> Known:
        likeness = vectors @ vector
        place = int(likeness.argmax())
        return answers[place], float(max(likeness[place], 0.0))

    return predict
