"""How well a candidate retrieves: what was found, at which place, and what the model made of it.

Where the suite names the documents that hold the answer (`gold`), the measures are those of TREC, computed by
ir-measures: recall, reciprocal rank (MRR) and nDCG over documents, of which several passages count once, at the place
of the first. Elsewhere a passage that contains the right answer word for word counts as found.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from thirdlever.analysis.stats import intervals
from thirdlever.evaluation.records import statuses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from thirdlever.analysis.stats.intervals import Proportion


Basis: TypeAlias = Literal["gold", "answer"]
Unit: TypeAlias = Literal["document", "passage"]
CUTS = (1, 3, 5)  # places at which recall is given beside that of all that was found
PARTS = ("embedding", "search", "ranking")  # of the retrieval's time, as columns of the records
_PASSAGE = re.compile(r"#\d+$")  # a passage's id is its document's and its number


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalFigures:
    """A candidate's retrieval, on the items that some document answers.

    Attributes:
        basis: "gold" if the suite names the documents that hold the answer, "answer" if passages that contain it count.
        unit: what `split` counts as found: a gold "document", or a "passage" that contains the answer.
        n: number of items that can be answered from the documents.
        unanswerable: number of items that no document answers; they are left out.
        k: most passages that were found for an item.
        recall: by place: mean share of the gold documents that are found up to it; the last place is k. Without gold,
            the share of items with a passage that contains the answer up to it.
        mrr: mean of 1 / place of the first that is right, 0 without one.
        ndcg: nDCG at k (Järvelin and Kekäläinen 2002) with equally relevant gold documents; None without gold.
        precision: mean share of the found passages that are of a gold document or, without gold, contain the answer.
        answer_recall: share of items with a passage that contains the answer; None if answers cannot be quoted.
        split: how found and right meet; None if no answer has a score.
    """

    basis: Basis
    unit: Unit
    n: int
    unanswerable: int
    k: int
    recall: Mapping[int, Proportion]
    mrr: Proportion
    ndcg: Proportion | None
    precision: Proportion | None
    answer_recall: Proportion | None
    split: ErrorSplit | None

    @property
    def found(self) -> Proportion:
        """Recall of all that was found."""
        return self.recall[self.k]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorSplit:
    """Shares of the items, which add up to 1; partly right answers count in parts.

    An item's answer is found if at least one of its gold documents is. Of documents in passages, and without gold, it
    is found if a passage contains it: another passage of the right document does not help the model.

    Attributes:
        found_right: found and answered right.
        found_wrong: found but answered wrong.
        missed_right: answered right although it was not found.
        missed_wrong: not found and answered wrong.
        right_if_found: mean score of the items whose answer is found; None if there is none.
        right_if_missed: mean score of the others; None if there is none.
        best_search: mean score over all items, also those that no document answers, if search found everything and
            every answer to an item that was not found became right: no better search can give more.
        best_reader: the same if every answer became right but those to items that are not found.
    """

    found_right: float
    found_wrong: float
    missed_right: float
    missed_wrong: float
    right_if_found: Proportion | None
    right_if_missed: Proportion | None
    best_search: float
    best_reader: float

    @property
    def found(self) -> float:
        """Share of the items whose answer is found."""
        return self.found_right + self.found_wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrievalShare:
    """How much of the difference between two candidates lies on items whose answer is found.

    Attributes:
        a: the reference.
        b: the other candidate.
        unit: as of `RetrievalFigures`.
        found: by candidate that retrieves: share of the items whose answer it finds.
        right_if_found: by candidate that retrieves: mean score of these items; None if there is none.
        right_if_missed: by candidate that retrieves: mean score of the others; None if there is none.
        difference: b's mean score minus a's.
        gained: the part of it on items that b finds and a does not.
        lost: the part on items that a finds and b does not.
    """

    a: str
    b: str
    unit: Unit
    found: Mapping[str, float]
    right_if_found: Mapping[str, float | None]
    right_if_missed: Mapping[str, float | None]
    difference: float
    gained: float
    lost: float


@dataclass(frozen=True, slots=True)
class _Request:
    """What one request found.

    Attributes:
        passages: ids, best first.
        gold: documents that hold the answer; None if the suite does not say.
        place: of the first passage that contains the answer, 0 none; None if it cannot be quoted.
        bearing: how many passages contain it; None if it is unknown.
        score: of the answer, 0 to 1; None without a verdict.
    """

    passages: Sequence[str]
    gold: frozenset[str] | None
    place: int | None
    bearing: int | None
    score: float | None


def figures(asked: pd.DataFrame, *, confidence: float = 0.95) -> RetrievalFigures | None:
    """The figures of one candidate; None if it found no document, or the suite does not tell which are right.

    Args:
        asked: its records of the accuracy pass.
        confidence: coverage of the intervals.
    """
    rows = _Rows.of(asked)
    known = rows.answerable if rows else None
    if rows is None or not known:
        return None
    depth = max(len(one.passages) for one in known.requests)
    mean = partial(known.mean, confidence=confidence)
    cuts = [*(k for k in CUTS if k < depth), depth]
    values = known.ranked(cuts)
    quoted = known.where([one.place is not None for one in known.requests])
    return RetrievalFigures(
        basis=rows.basis,
        unit=rows.unit,
        n=known.items,
        unanswerable=rows.items - known.items,
        k=depth,
        recall={k: mean(values[f"R@{k}"]) for k in cuts},
        mrr=mean(values["RR"]),
        ndcg=mean(values[f"nDCG@{depth}"]) if rows.basis == "gold" else None,
        precision=_precision(known, confidence),
        answer_recall=quoted.mean([float(bool(one.place)) for one in quoted.requests]) if quoted else None,
        split=_split(rows, confidence),
    )


def ranked(
    found: Sequence[Sequence[str]], gold: Sequence[Iterable[str]], cuts: Iterable[int]
) -> dict[str, list[float]]:
    """Recall at each cut, reciprocal rank, and nDCG at the last, as trec_eval defines them, for each query.

    Args:
        found: ids of documents by query, best first, none twice.
        gold: ids of the relevant documents by query, at least one each.
        cuts: places, in ascending order.

    Returns:
        "R@k", "RR" and "nDCG@k" with one value a query, in order; 0 where nothing is found.
    """
    import ir_measures

    places = list(cuts)
    measures = [*(ir_measures.R @ k for k in places), ir_measures.RR, ir_measures.nDCG @ places[-1]]
    # trec_eval sorts by score, and equal scores by id: falling ones keep our order.
    run = {str(q): {id_: float(-place) for place, id_ in enumerate(ids)} for q, ids in enumerate(found)}
    relevant = {str(q): dict.fromkeys(ids, 1) for q, ids in enumerate(gold)}
    values = {str(measure): [0.0] * len(found) for measure in measures}
    for one in ir_measures.iter_calc(measures, relevant, run):
        values[str(one.measure)][int(one.query_id)] = float(one.value)
    return values


def parts_of_latency(probe: pd.DataFrame) -> dict[str, float | None]:
    """Median seconds of embedding, search, ranking and the model, as columns of a scorecard.

    Args:
        probe: warm, answered requests of the probe. The model's part is what retrieval leaves of the latency.
    """
    found: dict[str, float | None] = {
        f"{name}_p50_s": intervals.quantile(probe[f"{name}_s"].dropna().to_list(), 0.5)
        for name in PARTS
        if f"{name}_s" in probe
    }
    rest = (probe["latency_s"] - probe["retrieval_s"]).dropna()
    return found | {"model_p50_s": intervals.quantile(rest.to_list(), 0.5)}


def share(asked: Mapping[str, pd.DataFrame], scores: Mapping[str, pd.Series[float]]) -> RetrievalShare | None:
    """How much of a difference is retrieval; None if neither of the two retrieves, or too little is known.

    Args:
        asked: the records of the accuracy pass of a and b, in this order.
        scores: their mean scores by item, of the items compared.
    """
    import pandas as pd

    (a, own_a), (b, own_b) = scores.items()
    rows = {name: known for name, records in asked.items() if (known := _Rows.of(records)) is not None}
    if len({one.basis for one in rows.values()}) != 1:
        return None
    hits = {name: one.answerable.hits() for name, one in rows.items()}
    same = sorted(set.intersection(set(own_a.index), *(set(one.index) for one in hits.values())))
    if not same:
        return None
    none = pd.Series(0.0, index=same)
    hit_a, hit_b = (hits.get(name, none).loc[same] for name in (a, b))
    moved = (own_b - own_a).loc[same] / len(own_a)
    by_name = {name: (one.loc[same], scores[name].loc[same]) for name, one in hits.items()}
    return RetrievalShare(
        a=a,
        b=b,
        unit="passage" if any(one.unit == "passage" for one in rows.values()) else "document",
        found={name: float(one.mean()) for name, (one, _) in by_name.items()},
        right_if_found={name: _weighted(own, one) for name, (one, own) in by_name.items()},
        right_if_missed={name: _weighted(own, 1 - one) for name, (one, own) in by_name.items()},
        difference=float((own_b - own_a).mean()),
        gained=float((moved * hit_b * (1 - hit_a)).sum()),
        lost=float((moved * hit_a * (1 - hit_b)).sum()),
    )


def documents(passages: Iterable[str], named: frozenset[str] = frozenset()) -> list[str]:
    """The documents of passages, each once, at the place of its first passage.

    Args:
        passages: ids such as "hb-07#3", best first.
        named: ids of documents, which may end like a passage's.

    >>> documents(["hb-07#3", "hb-01#1", "hb-07#1"])
    ['hb-07', 'hb-01']
    """
    return list(dict.fromkeys(one if one in named else _PASSAGE.sub("", one) for one in passages))


# Records


@dataclass(frozen=True)
class _Rows:
    """Requests that report what they found, with what their items and sources are.

    Attributes:
        requests: in the order of the records.
        basis: as of `RetrievalFigures`.
        ids: of their items.
        groups: of their items.
        named: ids of all gold documents.
    """

    requests: Sequence[_Request]
    basis: Basis
    ids: pd.Series[Any] = field(repr=False)
    groups: pd.Series[Any] = field(repr=False)
    named: frozenset[str] = frozenset()

    @staticmethod
    def of(asked: pd.DataFrame) -> _Rows | None:
        """Those of a candidate; None if it found no document, or there is nothing to tell right from wrong by."""
        if "retrieved" not in asked:  # of an earlier release
            return None
        rows = asked[asked["retrieved"].notna()]
        judged = statuses(rows) != "ungraded"
        columns = (_column(rows, name) for name in ("retrieved", "gold", "answer_rank", "answer_passages", "score"))
        requests = [
            _Request(
                passages=id_list(found),
                gold=None if gold is None else frozenset(id_list(gold)),
                place=None if place is None else int(place),
                bearing=None if bearing is None else int(bearing),
                score=(score or 0.0) if known else None,
            )
            for found, gold, place, bearing, score, known in zip(*columns, judged, strict=True)
        ]
        if not any(one.passages for one in requests):
            return None
        named = frozenset[str]().union(*(one.gold for one in requests if one.gold))
        if not named and all(one.place is None for one in requests):
            return None
        return _Rows(requests, "gold" if named else "answer", rows["item_id"], rows["group"], named)

    @property
    def items(self) -> int:
        """Number of items."""
        return int(self.ids.nunique())

    @property
    def unit(self) -> Unit:
        """What has to be found."""
        return "passage" if self.basis == "answer" or any(map(self._in_passages, self.requests)) else "document"

    @property
    def answerable(self) -> _Rows:
        """Those about items that some document answers, as far as it is known."""
        if self.basis == "gold":
            return self.where([bool(one.gold) for one in self.requests])
        return self.where([one.place is not None and one.gold != frozenset() for one in self.requests])

    def where(self, keep: Sequence[bool]) -> _Rows:
        """Some of them."""
        chosen = [one for one, kept in zip(self.requests, keep, strict=True) if kept]
        rows = [*keep]
        return _Rows(chosen, self.basis, self.ids[rows], self.groups[rows], self.named)

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.requests)

    def documents(self, one: _Request) -> list[str]:
        """The documents of a request's passages, each once."""
        return documents(one.passages, self.named)

    @property
    def scores(self) -> list[float]:
        """Of the answers; 0 for one without."""
        return [one.score or 0.0 for one in self.requests]

    def right_passages(self, one: _Request) -> int | None:
        """How many passages of a request are of a gold document or contain the answer; None if it is unknown."""
        if self.basis == "answer":
            return one.bearing
        return sum(
            not frozenset(documents([passage], self.named)).isdisjoint(one.gold or ()) for passage in one.passages
        )

    def found(self, one: _Request) -> float:
        """1 if the request found what answers it, else 0."""
        if self.basis == "answer" or (self._in_passages(one) and not one.place):
            return float(bool(one.place))
        return float(not (one.gold or frozenset()).isdisjoint(self.documents(one)))

    def _in_passages(self, one: _Request) -> bool:
        """Whether a request found passages, of which it is known whether they contain the answer."""
        return one.place is not None and any(_PASSAGE.search(each) and each not in self.named for each in one.passages)

    def ranked(self, cuts: Sequence[int]) -> dict[str, list[float]]:
        """As the function `ranked`; without gold, by the first passage that contains the answer, and without nDCG."""
        if self.basis == "gold":
            return ranked([*map(self.documents, self.requests)], [one.gold or () for one in self.requests], cuts)
        places = [one.place or 0 for one in self.requests]
        recall = {f"R@{k}": [float(0 < place <= k) for place in places] for k in cuts}
        return {**recall, "RR": [1 / place if place else 0.0 for place in places]}

    def mean(self, values: Sequence[float], *, confidence: float = 0.95) -> Proportion:
        """The mean over items of one value a request, with its interval, clustered as that of the accuracy is."""
        import numpy as np

        item, means, first = self._by_item(values)
        return intervals.of_items(
            means,
            intervals.clusters(self.groups.iloc[first]),
            requests=len(item),
            graded=not set(np.unique(values)) <= {0.0, 1.0},
            confidence=confidence,
        )

    def hits(self) -> pd.Series[float]:
        """By item: the share of its requests that found what answers it."""
        import pandas as pd

        _, means, first = self._by_item([self.found(one) for one in self.requests])
        return pd.Series(means, index=self.ids.iloc[first].to_list())

    def _by_item(self, values: Sequence[float]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
        """Number of each request's item, mean value of each item, and the place of its first request."""
        import numpy as np
        import pandas as pd

        item = pd.factorize(self.ids)[0]
        means = np.bincount(item, weights=np.asarray(values, dtype=np.float64)) / np.bincount(item)
        return item, means, np.unique(item, return_index=True)[1]


def _column(rows: pd.DataFrame, name: str) -> list[Any]:
    """Its values, None where missing; an earlier release may not have it."""
    if name not in rows:
        return [None] * len(rows)
    return [None if missing else value for value, missing in zip(rows[name], rows[name].isna(), strict=True)]


def id_list(text: str) -> list[str]:
    """A JSON list of ids, each once; none if the text is something else, as in a file from elsewhere."""
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return list(dict.fromkeys(map(str, found))) if isinstance(found, list) else []


def _precision(rows: _Rows, confidence: float) -> Proportion | None:
    """Context precision; of the requests that found anything."""
    some = rows.where([bool(one.passages) and rows.right_passages(one) is not None for one in rows.requests])
    shares = [(some.right_passages(one) or 0) / len(one.passages) for one in some.requests]
    return some.mean(shares, confidence=confidence) if some else None


def _split(rows: _Rows, confidence: float) -> ErrorSplit | None:
    every = rows.where([one.score is not None for one in rows.requests])
    known = every.answerable
    if not known:
        return None

    def mean(of: _Rows) -> Proportion | None:
        return of.mean(of.scores, confidence=confidence) if of else None

    def share(values: Iterable[float]) -> float:
        return known.mean(list(values), confidence=confidence).value

    pairs = [(known.found(one), score) for one, score in zip(known.requests, known.scores, strict=True)]
    missed_wrong = share((1 - found) * (1 - score) for found, score in pairs)
    lost = missed_wrong * known.items / every.items
    return ErrorSplit(
        found_right=share(found * score for found, score in pairs),
        found_wrong=share(found * (1 - score) for found, score in pairs),
        missed_right=share((1 - found) * score for found, score in pairs),
        missed_wrong=missed_wrong,
        right_if_found=mean(known.where([found > 0 for found, _ in pairs])),
        right_if_missed=mean(known.where([found == 0 for found, _ in pairs])),
        best_search=every.mean(every.scores, confidence=confidence).value + lost,
        best_reader=1 - lost,
    )


def _weighted(values: pd.Series[float], weights: pd.Series[float]) -> float | None:
    """Their weighted mean; None if all weights are 0."""
    return float((values * weights).sum() / weights.sum()) if weights.sum() else None
