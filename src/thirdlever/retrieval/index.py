"""Search over labelled examples and documents: by meaning, by words or by both, re-ranked, filtered, varied."""

from __future__ import annotations

import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from thirdlever.core.errors import StrategyError, unknown
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note
from thirdlever.retrieval import vectors
from thirdlever.retrieval.embedders import MINILM, find_embedder, usd_of
from thirdlever.retrieval.lexical import lexical
from thirdlever.retrieval.rerankers import find_reranker
from thirdlever.retrieval.stores import CHROMA, find_store
from thirdlever.suites.suite import Document, Item

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store
    from thirdlever.retrieval.embedding import Embedded, Embedder
    from thirdlever.retrieval.lexical import Lexical
    from thirdlever.retrieval.rerankers import Reranker
    from thirdlever.retrieval.stores import Vectors


CANDIDATES = 50  # results that are ranked again
FUSION = 60  # the constant of reciprocal rank fusion, from the paper

_DECIMALS = 5  # of a distance that are the same however it is added up
_EQUALS = 20  # entries searched for beside twice those wanted
_SCORE_DECIMALS = 4  # of a re-ranker's score

Entry = TypeVar("Entry", Item, Document)
Ranking = list[tuple[int, float]]  # positions of entries and their scores, best first


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How entries are searched.

    Attributes:
        by: "dense" compares meanings by the cosine of embeddings, "lexical" compares words (BM25), "hybrid" fuses both
            by their ranks.
        rerank: a cross-encoder that ranks the best results again, see `find_reranker`; None for none.
        candidates: how many results are fused, ranked again and drawn from.
        diversity: 0 takes the most relevant entries; towards 1, also ones that differ from those before them.
        filter: which entries may be found for an item, see `read_filter`; "" for all.
        store: where vectors are kept, see `find_store`.
    """

    by: Literal["dense", "lexical", "hybrid"] = "dense"
    rerank: str | None = None
    candidates: int = CANDIDATES
    diversity: float = 0.0
    filter: str = ""
    store: str = CHROMA

    def __post_init__(self) -> None:
        """Refuse values that make no search.

        Raises:
            StrategyError: with what is allowed.
            ModelError: the re-ranker does not exist or is none.
        """
        if self.by not in {"dense", "lexical", "hybrid"}:
            message = f"search={self.by!r} is not allowed; expected dense, lexical or hybrid"
            raise StrategyError(message)
        if self.candidates < 1:
            message = f"candidates={self.candidates} is not allowed; expected 1 or more"
            raise StrategyError(message)
        if not 0 <= self.diversity < 1:
            message = f"diversity={self.diversity:g} is not allowed; expected 0 or more, and less than 1"
            raise StrategyError(message)
        if self.filter:
            read_filter(self.filter)
        if self.rerank is not None:
            find_reranker(self.rerank)


@dataclass(frozen=True)
class Query:
    """What is searched for; embedded once, however many indexes are searched.

    Attributes:
        text: the query.
        fields: columns of the item that it comes from, for filters.
    """

    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    _embedded: dict[str, Embedded] = field(default_factory=dict, repr=False, compare=False)

    def embedded(self, by: Embedder) -> tuple[NDArray[np.float32], Embedded | None]:
        """Its vector; and what embedding it took, if that was done now."""
        if (known := self._embedded.get(by.identity)) is not None:
            return known.vectors[0], None
        made = self._embedded[by.identity] = by.embed([self.text], query=True)
        return made.vectors[0], made


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits(Generic[Entry]):
    """What was found.

    Attributes:
        entries: best first.
        embedding_s: seconds that embedding the query took; None if that was not done, as for the other parts.
        search_s: seconds in the indexes.
        ranking_s: seconds that ranking the found again took.
        usd: what providers charge for it; None if unknown.
    """

    entries: Sequence[Entry]
    embedding_s: float | None = None
    search_s: float | None = None
    ranking_s: float | None = None
    usd: float | None = 0.0


@dataclass(frozen=True)
class Dense:
    """Entries by the meaning of their texts.

    Attributes:
        embedder: of queries and entries.
        rows: unit vectors of the entries.
    """

    embedder: Embedder
    rows: NDArray[np.float32]
    _vectors: Vectors

    def nearest(self, vector: NDArray[np.float32], n: int, among: NDArray[np.intp] | None) -> Ranking:
        """Positions and cosines of the `n` entries nearest to a vector, nearest first.

        Which of equally near entries Chroma finds first depends on how the index grew. More are searched for than are
        wanted, and of equals the earlier entry comes first, so that two indexes of the same texts agree. Among some
        entries only, each of them is compared: a graph of neighbours leads to few of them.
        """
        if among is None:
            found = self._vectors.nearest(vector, min(2 * n + _EQUALS, len(self.rows)))
        else:
            found = list(zip(among.tolist(), (1 - self.rows[among] @ vector).tolist(), strict=True))
        ranked = sorted((round(distance, _DECIMALS), position) for position, distance in found)
        return [(position, 1 - distance) for distance, position in ranked[:n]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """What building indexes took when it was done.

    Attributes:
        seconds: wall time.
        device_seconds: the part of them that was this machine's work.
        usd: what a provider charged for embedding; None if unknown.
        size: bytes on this machine.
    """

    seconds: float = 0.0
    device_seconds: float = 0.0
    usd: float | None = 0.0
    size: int = 0

    def __add__(self, other: Built) -> Built:
        """Both together."""
        return Built(
            seconds=self.seconds + other.seconds,
            device_seconds=self.device_seconds + other.device_seconds,
            usd=None if self.usd is None or other.usd is None else self.usd + other.usd,
            size=self.size + other.size,
        )


@dataclass(frozen=True)
class Index(Generic[Entry]):
    """Entries that can be searched.

    Attributes:
        entries: what is in it, by position.
        search: how they are searched.
        parts: what embedding and indexing took when they were done, by index: several searches share some.
    """

    entries: Sequence[Entry]
    search: Search
    parts: Mapping[str, Built]
    _dense: Dense | None
    _lexical: Lexical | None
    _reranker: Reranker | None
    _filter: Filter | None

    @property
    def built(self) -> Built:
        """What embedding and indexing took when they were done."""
        return sum(self.parts.values(), Built())

    @property
    def seconds(self) -> float:
        """Wall time that embedding and indexing took when they were done."""
        return self.built.seconds

    @property
    def identity(self) -> str:
        """Hash of what its results depend on, beside the entries."""
        by = self._dense.embedder.identity if self._dense else None
        return content_hash([asdict(self.search), by, self._reranker.identity if self._reranker else None])

    def nearest(self, query: str | Query, k: int) -> list[Entry]:
        """The `k` best entries for a query, best first; all if there are fewer."""
        return list(self.find(query, k).entries)

    def find(self, query: str | Query, k: int) -> Hits[Entry]:
        """The same, with what finding them took.

        Args:
            query: a text; a `Query` if several indexes are searched for it, or a filter needs columns of its item.
            k: how many entries at most. By words alone, only entries that share one are found.
        """
        if not (k and self.entries):
            return Hits(entries=())
        asked = query if isinstance(query, Query) else Query(query)
        clock = _Clock()
        with clock.measured("embedding_s", when=self._dense is not None):
            vector, new = asked.embedded(self._dense.embedder) if self._dense else (None, None)
        with clock.measured("search_s"):
            among = self._filter(asked.fields) if self._filter else None
            found = self._found(asked.text, vector, self._depth(k), among)
        with clock.measured("ranking_s", when=bool(self._reranker or self.search.diversity)):
            ranked = self._varied(self._reranked(asked.text, found), k)
        usd = 0.0 if new is None or self._dense is None else usd_of(self._dense.embedder, new.tokens)
        return Hits(entries=[self.entries[place] for place, _ in ranked[:k]], usd=usd, **clock.seconds)

    def check(self, items: Iterable[Item]) -> None:
        """Refuse a filter by columns that no item has.

        Raises:
            StrategyError: with the columns that items have.
        """
        if self._filter:
            self._filter.check(items)

    def _depth(self, k: int) -> int:
        """How many results are looked at."""
        plain = self.search.by != "hybrid" and not self._reranker and not self.search.diversity
        return min(k if plain else max(k, self.search.candidates), len(self.entries))

    def _found(self, text: str, vector: NDArray[np.float32] | None, n: int, among: NDArray[np.intp] | None) -> Ranking:
        by = self.search.by
        near: Ranking = []
        worded: Ranking = []
        if self._dense is not None and vector is not None and by != "lexical":
            near = self._dense.nearest(vector, n, among)
        if self._lexical is not None:
            worded = self._lexical.nearest(text, n, among)
        if by != "hybrid":
            return near or worded
        return fused([place for place, _ in near], [place for place, _ in worded])

    def _reranked(self, text: str, found: Ranking) -> Ranking:
        if not (self._reranker and found):
            return found
        first, rest = found[: self.search.candidates], found[self.search.candidates :]
        scores = self._reranker.scores(text, [text_of(self.entries[place]) for place, _ in first]).tolist()
        order = sorted(range(len(first)), key=lambda at: (-round(scores[at], _SCORE_DECIMALS), at))
        again: Ranking = [(first[at][0], scores[at]) for at in order]
        return again + [(place, min(scores)) for place, _ in rest]

    def _varied(self, found: Ranking, k: int) -> Ranking:
        if not (self.search.diversity and self._dense and found):
            return found
        rows = self._dense.rows[[place for place, _ in found]]
        return [found[at] for at in diverse([score for _, score in found], rows, k, self.search.diversity)]


def index(entries: Sequence[Entry], store: Store, *, embedder: str = MINILM, search: Search = Search()) -> Index[Entry]:
    """Index entries by their text; the index of the same texts is reused.

    Args:
        entries: to search.
        store: keeps the embeddings and the index.
        embedder: its name, see `find_embedder`.
        search: how they are searched.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
        ModelError: the embedder or the re-ranker cannot be loaded.
        StrategyError: no entry has a field that the filter names.
        ThirdleverError: the server at `THIRDLEVER_CHROMA_URL` does not answer.
    """
    if not entries:
        return Index(entries, search, {}, None, None, None, None)
    narrowed = Filter(search.filter, entries) if search.filter else None
    texts = [text_of(entry) for entry in entries]
    dense, worded, parts = None, None, {}
    if search.by != "lexical" or search.diversity:
        by = find_embedder(embedder)
        name = f"thirdlever-{content_hash([texts, by.identity])[:32]}"
        dense, parts[name] = _dense(texts, store, by, name=name, kept_in=search.store)
    if search.by != "dense":
        worded = lexical(texts, store)
        took = Built(seconds=worded.seconds, device_seconds=worded.seconds)
        parts[f"lexical-{content_hash(texts)[:32]}"] = took
    reranker = find_reranker(search.rerank) if search.rerank else None
    if reranker:
        reranker.scores("", [])  # loads the model, for which the first search should not pay
        _report_cut(texts, reranker, f"re-ranker {reranker.name!r}")
    return Index(entries, search, parts, dense, worded, reranker, narrowed)


def require_vectors(store: Store, *lists: Sequence[Item] | Sequence[Document], embedder: str = MINILM) -> None:
    """Let a plan count the texts of all indexes together; call it before the first `index`. A run goes on.

    Raises:
        NotBuilt: the store is a plan's, and lacks vectors.
    """
    vectors.require(store, find_embedder(embedder), *([text_of(entry) for entry in entries] for entries in lists))


def text_of(entry: Item | Document) -> str:
    """What an entry is found by: an example's input, a document's title and text."""
    return entry.input if isinstance(entry, Item) else f"{entry.title}\n{entry.text}"


def _dense(texts: Sequence[str], store: Store, by: Embedder, *, name: str, kept_in: str) -> tuple[Dense, Built]:
    """The vectors of texts in a vector store, and what embedding and indexing took."""
    kept = vectors.keep(texts, store, by)
    by.embed([])  # loads the model, for which the first search should not pay
    filled = find_store(kept_in)(name, kept.vectors, store, embedder=by.identity)
    _report_cut(texts, by, f"embedder {by.name!r}")
    embedding = Built(
        seconds=kept.seconds, device_seconds=kept.seconds if by.local else 0.0, usd=usd_of(by, kept.tokens)
    )
    indexing = Built(seconds=filled.seconds, device_seconds=filled.seconds, size=filled.size or 0)
    return Dense(by, kept.vectors, filled), embedding + indexing


def _report_cut(texts: Sequence[str], by: Embedder | Reranker, reader: str) -> None:
    """Say how many texts are longer than what a model reads."""
    if by.window is None:
        return
    long = [text for text in texts if len(text) > by.window]  # a token is a character at least
    lengths = [len(each.ids) for each in by.tokenizer.encode_batch(long, add_special_tokens=False)] if long else []
    if cut := sum(length > by.window for length in lengths):
        note(
            f"{cut:,} of {len(texts):,} texts are longer than the {by.window} tokens that the {reader} reads, up to "
            f"{max(lengths):,}; what follows is not searched. Give a passage length, such as rag:passage=200"
        )


class _Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measured(self, part: str, *, when: bool = True) -> Iterator[None]:
        start = time.perf_counter()
        yield
        if when:
            self.seconds[part] = time.perf_counter() - start


# Rankings of results: several in one, and one whose results differ


def fused(*rankings: Sequence[int]) -> list[tuple[int, float]]:
    """Reciprocal rank fusion of rankings, best first; of equals, the lower number.

    A result's score is the sum of 1 / (60 + its rank) over the rankings that have it (Cormack, Clarke and Büttcher,
    "Reciprocal rank fusion outperforms Condorcet and individual rank learning methods", SIGIR 2009).

    >>> [number for number, _ in fused([7, 3], [3, 5])]
    [3, 7, 5]
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, number in enumerate(ranking, start=1):
            scores[number] = scores.get(number, 0.0) + 1 / (FUSION + rank)
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 12), pair[0]))


def diverse(scores: Sequence[float], vectors: NDArray[np.float32], n: int, diversity: float) -> list[int]:
    """Maximal marginal relevance: places of `n` results, each relevant and unlike those before it.

    Next comes the result with the highest (1 - diversity) × relevance - diversity × its highest cosine with those
    already taken (Carbonell and Goldstein, "The use of MMR, diversity-based reranking", SIGIR 1998). The relevance is
    the score, scaled so that the results' scores span 0 to 1: cosines, BM25 and a re-ranker's scores have no common
    unit.

    Args:
        scores: of the results.
        vectors: unit vectors of the results, [results, dimensions].
        n: how many to take; all if there are fewer.
        diversity: 0 goes by relevance alone, 1 by difference alone.
    """
    import numpy as np

    relevance = np.asarray(scores, np.float64)
    spread = float(np.ptp(relevance)) if len(relevance) else 0.0
    relevance = (relevance - relevance.min()) / spread if spread else np.zeros_like(relevance)
    alike = vectors.astype(np.float64) @ vectors.T.astype(np.float64)
    closest = np.zeros(len(relevance))
    taken: list[int] = []
    while len(taken) < min(n, len(relevance)):
        gain = np.round((1 - diversity) * relevance - diversity * closest, 6)
        gain[taken] = -np.inf
        best = int(gain.argmax())
        closest = np.maximum(closest, alike[best]) if taken else alike[best]
        taken.append(best)
    return taken


# Filters: which entries may be found for an item, by what is known of both


@dataclass(frozen=True, slots=True)
class FieldCondition:
    """A field of an entry that must equal something.

    Attributes:
        field: of the entry.
        column: of the item, whose value it must equal; None if `value` is stated.
        value: that it must equal whatever the item.
    """

    field: str
    column: str | None
    value: str = ""

    def wanted(self, fields: Mapping[str, Any]) -> set[str]:
        """The values that it allows for an item with these columns."""
        return {self.value} if self.column is None else _values(fields.get(self.column))


def read_filter(text: str) -> tuple[FieldCondition, ...]:
    """Read "product+language:de+region=country": conditions that all must hold.

    "product": the field equals the item's column of that name; "region=country": the item's column `country`;
    "language:de": the text "de".

    Raises:
        StrategyError: it cannot be read.
    """
    found = []
    for part in text.split("+"):
        field, colon, value = (piece.strip() for piece in part.partition(":"))
        name, equals, column = (piece.strip() for piece in field.partition("="))
        if not name or (colon and (equals or not value)) or (equals and not column):
            message = f"invalid filter={text!r}; write FIELD, FIELD=COLUMN or FIELD:VALUE, several with + between them"
            raise StrategyError(message)
        found.append(FieldCondition(name, None, value) if colon else FieldCondition(name, column or name))
    return tuple(found)


class Filter:
    """Says which entries may be found for an item."""

    def __init__(self, text: str, entries: Sequence[Item | Document]) -> None:
        """Look up the fields of the entries.

        Raises:
            StrategyError: no entry has a field, or the filter cannot be read.
        """
        self._conditions = read_filter(text)
        self._positions: dict[str, dict[str, list[int]]] = {}
        for name in {condition.field for condition in self._conditions}:
            places: defaultdict[str, list[int]] = defaultdict(list)
            for place, entry in enumerate(entries):
                for value in _values(entry.fields.get(name)):
                    places[value].append(place)
            if not places:
                known = {name for entry in entries for name in entry.fields}
                raise StrategyError("filter: " + unknown("field", name, known))
            self._positions[name] = places

    def check(self, items: Iterable[Item]) -> None:
        """Refuse columns that no item has.

        Raises:
            StrategyError: with the columns that items have.
        """
        known = {name for item in items for name in item.fields}
        for condition in self._conditions:
            if condition.column is not None and condition.column not in known:
                raise StrategyError("filter: " + unknown("column", condition.column, known))

    def __call__(self, fields: Mapping[str, Any]) -> NDArray[np.intp]:
        """Positions of the entries that may be found for an item with these columns, in order."""
        import numpy as np

        allowed: set[int] | None = None
        for condition in self._conditions:
            places = self._positions[condition.field]
            own = {place for value in condition.wanted(fields) for place in places.get(value, ())}
            allowed = own if allowed is None else allowed & own
        return np.array(sorted(allowed or ()), np.intp)


def _values(value: object) -> set[str]:
    """A field as texts; several of a list, none of an empty one."""
    listed = value if isinstance(value, (list, tuple, set)) else [value]
    return {str(each).strip() for each in listed} - {"", "None"}
