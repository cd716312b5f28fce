"""Retrieval: for each item, the best labelled examples and documents."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

from thirdlever import (
    BaseModel,
    Context,
    Deployment,
    Prepare,
    Query,
    Retrieved,
    Search,
    SetupCost,
    Store,
    StrategyError,
    Suite,
    Worked,
    add_setups,
    ask,
    choose,
    holds_answer,
    index,
    need,
    passages,
    require,
    require_vectors,
    strategy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inspect_ai.solver import Solver

    from thirdlever import Document, Hits, Index, Item

TRIED = 10  # train items looked at for each worked example that is wanted

# For "auto", the cheapest first.
KS = (5, 10, 20)
DOCUMENTS = (2, 4, 8)
PASSAGES = (100, 200, None)
SEARCHES: Sequence[Literal["dense", "lexical", "hybrid"]] = ("dense", "lexical", "hybrid")
MOST = 12  # settings that the model is asked with
KEPT = 3  # combinations of passage and search that retrieval alone selects for it
ITEMS = 200  # of dev, for this selection


@strategy
def rag(
    *,
    k: int | Literal["auto"] = 10,
    documents: int | Literal["auto"] = 0,
    passage: int | Literal["auto"] | None = None,
    overlap: int = 0,
    search: Literal["dense", "lexical", "hybrid", "auto"] = "dense",
    embedder: str = "minilm",
    store: str = "chroma",
    rerank: str | None = None,
    candidates: int = 50,
    diversity: float = 0.0,
    filter: str | None = None,  # noqa: A002 - the field's term
    rewrite: bool = False,
    worked: int = 0,
    order: Literal["nearest_last", "nearest_first"] = "nearest_last",
    think: bool = False,
    votes: int = 1,
) -> Prepare:
    """The k best labelled examples, and the best documents, from an index.

    Args:
        k: number of examples; 0 for none, "auto" to choose between 5, 10 and 20 on dev.
        documents: number of documents, if the suite has any; 0 for none, "auto" to choose between 2, 4 and 8 on dev.
        passage: retrieve passages of at most this many tokens of the embedder in place of whole documents, of which it
            reads the beginning only; "auto" to choose between 100, 200 and whole documents on dev.
        overlap: tokens that a passage repeats of the one before it.
        search: "dense" by the cosine of embeddings in Chroma, "lexical" by words (BM25), "hybrid" by both (reciprocal
            rank fusion); "auto" to choose on dev.
        embedder: name of the embedder: "minilm", a folder, "hf/OWNER/NAME", "openai/text-embedding-3-small", ….
        store: name of the vector store.
        rerank: cross-encoder that ranks the best results again: a folder, or hf/OWNER/NAME.
        candidates: number of results that are fused and ranked again.
        diversity: 0 to 1; above 0, results also differ from each other (maximal marginal relevance).
        filter: retrieve only documents whose field equals the item's column: FIELD, FIELD=COLUMN or FIELD:VALUE,
            several with + between them. Without documents, it concerns the examples.
        rewrite: have the model write a search query first.
        worked: number of train items to show, the same for every item, each with the documents found for it; items
            whose answer is in these documents come first.
        order: where the best example and document stand: next to the item, or first.
        think: have the model reason step by step before it answers.
        votes: ask so many times with some randomness, and take the answer that most completions give.
    """
    _check(documents=documents, passage=passage, overlap=overlap, worked=worked, votes=votes)
    base = Search(rerank=rerank, candidates=candidates, diversity=diversity, filter=filter or "", store=store)
    searches = [replace(base, by=by) for by in (SEARCHES if search == "auto" else (search,))]
    if search != "lexical" or diversity:
        need("chromadb", extra="rag")
        require("sentence_transformers", extra="local")
    sizes = PASSAGES if passage == "auto" else (passage,)
    ways = [_Way(by, size, overlap, embedder) for size, by in product(sizes, searches)]
    counts = list(product(KS if k == "auto" else (k,), DOCUMENTS if documents == "auto" else (documents,)))

    def prepare(suite: Suite, model: BaseModel, artefacts: Store) -> Deployment:
        if documents and not suite.documents:
            message = f"rag: suite {suite.name!r} has no documents; leave documents={documents} out"
            raise StrategyError(message)
        if any(min(numbers) < 0 or not any(numbers) for numbers in counts):
            message = f"rag: k={k}, documents={documents} retrieves nothing; give k or documents 1 or more"
            raise StrategyError(message)

        def indexed(way: _Way) -> _Indexed:
            return way.indexed(suite, artefacts, examples=bool(k), documents=bool(documents))

        def answering(found: _Indexed, k: int, documents: int) -> _Answering:
            step = 1 if order == "nearest_first" else -1
            shown = found.worked(suite, documents, worked, step)

            def find(text: str, item: Item) -> Context:
                return found.context(Query(text, item.fields), k, documents, shown, step)

            return _Answering(ask(suite, find, think=think, votes=votes, rewrite=rewrite), found, shown)

        if len(ways) == len(counts) == 1:
            one = answering(indexed(ways[0]), *counts[0])
            return one.deployment(model, one.setup)
        kept, costs = _kept(suite, artefacts, ways, counts)
        built = {way: indexed(way) for way in kept}
        costs = {
            name: cost for one in (costs, *(found.costs for found in built.values())) for name, cost in one.items()
        }
        options = {_named(numbers, way): answering(built[way], *numbers) for numbers in counts for way in kept}
        of = [[overlap, worked, order, think, votes, rewrite], [found.identity for found in built.values()]]
        solvers = {name: option.solver for name, option in options.items()}
        choice = choose(suite, model, artefacts, solvers, of={"rag": of})
        best = options[choice.best]
        labels = choice.setup.labels + best.setup.labels
        setup = replace(add_setups(choice.setup, *costs.values()), labels=labels)
        return replace(best.deployment(model, setup), chosen=choice.best)

    return prepare


def _check(*, documents: int | str, passage: int | str | None, overlap: int, worked: int, votes: int) -> None:
    """Refuse arguments that contradict each other."""
    message = ""
    if votes < 1:
        message = f"votes={votes} is not allowed; expected 1 or more"
    elif (passage or worked) and not documents:
        message = "passage and worked need documents; give documents 1 or more"
    elif worked < 0 or (isinstance(passage, int) and passage < 1):
        message = f"passage={passage}, worked={worked} is not allowed; expected a passage of 1 or more, worked of 0"
    elif overlap and not 0 < overlap < (min(filter(None, PASSAGES)) if passage == "auto" else int(passage or 0)):
        message = f"overlap={overlap} is not allowed; expected less than the passage that it is a part of"
    if message:
        message = f"rag: {message}"
        raise StrategyError(message)


@dataclass(frozen=True)
class _Way:
    """How documents are cut and searched."""

    search: Search
    passage: int | None
    overlap: int
    embedder: str

    def indexed(self, suite: Suite, store: Store, *, examples: bool, documents: bool) -> _Indexed:
        """The indexes of a suite. A filter concerns the documents, if there are any."""
        shots = replace(self.search, filter="") if documents else self.search
        known = suite.documents if documents else ()
        if self.passage:
            known = passages(known, self.passage, overlap=self.overlap, embedder=self.embedder)
        labelled = tuple(suite.train) if examples else ()
        if self.search.by != "lexical" or self.search.diversity:
            require_vectors(store, labelled, known, embedder=self.embedder)
        found = _Indexed(
            index(labelled, store, embedder=self.embedder, search=shots),
            index(known, store, embedder=self.embedder, search=self.search),
        )
        for each in (found.examples, found.notes):
            each.check([*suite.train, *suite.dev])
        return found


@dataclass(frozen=True)
class _Indexed:
    """Labelled examples and documents that can be searched."""

    examples: Index[Item]
    notes: Index[Document]

    @property
    def costs(self) -> dict[str, SetupCost]:
        """What building each index took."""
        return {
            name: SetupCost(
                seconds=built.seconds, device_seconds=built.device_seconds, usd=built.usd, index_bytes=built.size
            )
            for name, built in {**self.examples.parts, **self.notes.parts}.items()
        }

    @property
    def identity(self) -> list[str]:
        return [self.examples.identity, self.notes.identity]

    def context(self, query: Query, k: int, documents: int, shown: Sequence[Worked], step: int) -> Context:
        """What is shown for a query."""
        examples, notes = self.examples.find(query, k), self.notes.find(query, documents)
        return Context(
            shots=[*shown, *examples.entries[::step]],
            documents=notes.entries[::step],
            retrieved=_retrieved(examples, notes, documents=bool(documents)),
        )

    def worked(self, suite: Suite, documents: int, count: int, step: int) -> list[Worked]:
        """Train items with what retrieval finds for them; those whose answer it contains teach to read it off."""
        tried = [
            Worked(item, self.notes.nearest(Query(item.input, item.fields), documents)[::step])
            for item in suite.train.sample(count * TRIED, how="random")
        ]
        tried.sort(key=lambda each: not _contains(each.documents, suite.right_answer(each.item)))
        return tried[:count]


@dataclass(frozen=True)
class _Answering:
    """A solver, and what it retrieves from."""

    solver: Solver
    found: _Indexed
    shown: Sequence[Worked]

    @property
    def setup(self) -> SetupCost:
        labels = len(self.found.examples.entries) or len(self.shown)
        return replace(add_setups(SetupCost(), *self.found.costs.values()), labels=labels)

    def deployment(self, model: BaseModel, setup: SetupCost) -> Deployment:
        found = self.found
        given: list[Item | Document] = [
            *found.examples.entries,
            *found.notes.entries,
            *(each.item for each in self.shown),
        ]
        return Deployment(self.solver, model=model, lever="retrieval", setup=setup, given=given)


def _kept(
    suite: Suite, store: Store, ways: Sequence[_Way], counts: Sequence[tuple[int, int]]
) -> tuple[Sequence[_Way], dict[str, SetupCost]]:
    """The ways of searching that the model is asked with, the cheapest first: those that find most answers on dev.

    Returns:
        These ways, and what building the indexes of all ways took, by index; nothing if all are kept.

    Raises:
        StrategyError: there are too many, and nothing says what they should find.
    """
    room = min(KEPT, MOST // len(counts))
    if len(ways) <= room:
        return ways, {}
    most = max(documents for _, documents in counts)
    items = tuple(suite.dev.first(ITEMS)) if most else ()
    if all(holds_answer(suite, item, ()) is None for item in items):
        if len(ways) * len(counts) <= MOST:
            return ways, {}
        message = (
            f"rag: auto stands for {len(ways) * len(counts)} combinations, more than {MOST}, and neither a column gold "
            "nor answers that documents quote tell which finds most on dev; state k, documents, passage or search"
        )
        raise StrategyError(message)
    queries = [Query(item.input, item.fields) for item in items]

    def build(_: object) -> dict[str, Any]:
        recall: list[float] = []
        costs: dict[str, Any] = {}
        for way in ways:
            plain = replace(way, search=replace(way.search, rerank=None, diversity=0.0))
            found = plain.indexed(suite, store, examples=False, documents=True)
            costs |= {name: asdict(cost) for name, cost in found.costs.items()}
            held = [
                holds_answer(suite, item, found.notes.nearest(query, most))
                for item, query in zip(items, queries, strict=True)
            ]
            recall.append(sum(map(bool, held)) / len(held))
        return {"recall": recall, "costs": costs}

    of = {"suite": suite.seen_hash, "ways": [repr(way) for way in ways], "documents": most}
    facts = store.once("recall", of=of, build=build).facts
    best = sorted(range(len(ways)), key=lambda at: -facts["recall"][at])[:room]
    return [ways[at] for at in sorted(best)], {name: SetupCost(**cost) for name, cost in facts["costs"].items()}


def _named(numbers: tuple[int, int], way: _Way) -> str:
    k, documents = numbers
    cut = f",passage={way.passage or 'none'}" if documents else ""
    return f"k={k},documents={documents}{cut},search={way.search.by}"


def _retrieved(examples: Hits[Item], notes: Hits[Document], *, documents: bool) -> Retrieved:
    """What finding both took."""
    both = (examples, notes)

    def total(part: str) -> float | None:
        known = [seconds for hits in both if (seconds := getattr(hits, part)) is not None]
        return sum(known) if known else None

    return Retrieved(
        documents=notes.entries if documents else None,
        embedding_s=total("embedding_s"),
        search_s=total("search_s"),
        ranking_s=total("ranking_s"),
        usd=None if None in (examples.usd, notes.usd) else total("usd"),
    )


def _contains(documents: Sequence[Document], answer: str) -> bool:
    return any(document.says(answer) for document in documents)
