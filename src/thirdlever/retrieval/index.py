"""Sentence embeddings, search in a Chroma index of examples and documents, and the choice of demonstrations."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from thirdlever.core.errors import StrategyError, ThirdleverError, need
from thirdlever.core.files import content_hash
from thirdlever.core.progress import progress
from thirdlever.models import bundled, threads
from thirdlever.suites.readers import read_rows, read_text
from thirdlever.suites.suite import Document, Item

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store
    from thirdlever.suites.suite import Split, Suite


DIMENSIONS = 384
EMBEDDER = bundled.EMBEDDER.sha256  # identifies the embedder in hashes
_BATCH = 512  # texts; progress is shown for more


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors of texts from all-MiniLM-L6-v2: [len(texts), 384].

    The first call loads the model, also without texts.

    Raises:
        MissingExtraError: the `local` extra is not installed.
    """
    import numpy as np

    model = _model()
    if not texts:
        return np.zeros((0, DIMENSIONS), np.float32)
    if len(texts) <= _BATCH:
        return _encode(model, texts)
    parts = []
    with progress("embedding", len(texts)) as advance:
        for start in range(0, len(texts), _BATCH):
            parts.append(_encode(model, texts[start : start + _BATCH]))
            for _ in parts[-1]:
                advance()
    return np.concatenate(parts)


def embed_once(texts: Sequence[str], store: Store) -> tuple[NDArray[np.float32], float]:
    """`embed`, kept in the store for whoever embeds the same texts.

    Returns:
        The vectors, and the seconds that computing them took.
    """
    import numpy as np

    def build(folder: Path) -> None:
        np.save(folder / "vectors.npy", embed(texts), allow_pickle=False)

    made = store.once("embeddings", of={"texts": list(texts), "embedder": EMBEDDER}, build=build)
    vectors: NDArray[np.float32] = np.load(made.folder / "vectors.npy", allow_pickle=False)
    return vectors, float(made.facts["seconds"])


def _encode(model: Any, texts: Sequence[str]) -> NDArray[np.float32]:  # noqa: ANN401
    import numpy as np

    vectors: NDArray[np.float32] = model.encode(list(texts), show_progress_bar=False).astype(np.float32)
    threads.release()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # in float32: the model may compute in bfloat16
    return vectors


@cache
def _model() -> Any:  # noqa: ANN401 - sentence-transformers is imported at the point of use
    library = need("sentence_transformers", extra="local")
    from thirdlever.models.bundled import quiet
    from thirdlever.models.engine.weights import best_dtype, device

    on = device()
    options = {"device": on.type, "model_kwargs": {"dtype": best_dtype(on)}}
    with quiet():
        return library.SentenceTransformer(str(bundled.embedder_folder()), **options)


SERVER = "THIRDLEVER_CHROMA_URL"  # http://host:port of a running Chroma server; if unset, Chroma is embedded
_ADDED = 1000  # vectors at a time
_DECIMALS = 5  # of a distance that are the same however it is added up
_EQUALS = 20  # entries searched for beside twice those wanted

Entry = TypeVar("Entry", Item, Document)


@dataclass(frozen=True)
class Index(Generic[Entry]):
    """Entries that can be searched by meaning.

    Attributes:
        entries: what is in it, by position.
        seconds: what embedding and indexing took when they were done.
    """

    entries: Sequence[Entry]
    seconds: float
    _collection: Any

    def nearest(self, text: str, k: int) -> list[Entry]:
        """The `k` entries nearest to a text by cosine, nearest first; all if there are fewer.

        Which of equally near entries the search finds first depends on how the index grew. More are searched for than
        are wanted, and of equals the earlier entry comes first, so that two indexes of the same texts agree.
        """
        if not (k and self.entries):
            return []
        vector = embed([text])
        more = min(2 * k + _EQUALS, len(self.entries))
        found = self._collection.query(query_embeddings=vector, n_results=more, include=["distances"])
        rounded = (round(float(distance), _DECIMALS) for distance in found["distances"][0])
        ranked = sorted(zip(rounded, map(int, found["ids"][0]), strict=True))
        return [self.entries[position] for _, position in ranked[:k]]


def index(entries: Sequence[Entry], store: Store) -> Index[Entry]:
    """Index entries by their text; the index of the same texts is reused.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
        ThirdleverError: the server at `THIRDLEVER_CHROMA_URL` does not answer.
    """
    if not entries:
        return Index(entries, 0.0, None)
    texts = [text_of(entry) for entry in entries]
    vectors, seconds = embed_once(texts, store)
    embed([])  # loads the model, for which the first search should not pay
    name = f"thirdlever-{content_hash([texts, EMBEDDER])[:32]}"
    if url := os.environ.get(SERVER):
        chromadb, httpx = need("chromadb", extra="rag"), need("httpx", extra="rag")
        try:
            return Index(entries, seconds, _fill_server(url, name, vectors))
        except (httpx.HTTPError, chromadb.errors.ChromaError) as error:
            message = f"the Chroma server at {url!r} failed ({type(error).__name__}); see its log, then run again"
            raise ThirdleverError(message) from error

    def build(folder: Path) -> None:
        with _embedded(folder) as client:
            _fill(client, name, vectors)

    made = store.once("index", of={"name": name}, build=build)
    collection = _embedded(made.folder).get_collection(name, embedding_function=None)
    return Index(entries, seconds + made.facts["seconds"], collection)


def text_of(entry: Item | Document) -> str:
    """What an entry is found by: an example's input, a document's title and text."""
    return entry.input if isinstance(entry, Item) else f"{entry.title}\n{entry.text}"


def passages(documents: Sequence[Document], tokens: int) -> tuple[Document, ...]:
    """Documents in passages of at most so many of the embedder's tokens, cut between sections, paragraphs or sentences.

    A document that is longer than the embedder's window is found by its beginning alone; its passages are all found.
    They keep its title, and their id is its id and their number.

    Raises:
        MissingExtraError: the `rag` extra is not installed.
    """
    splitters = need("semantic_text_splitter", extra="rag")
    splitter = splitters.MarkdownSplitter.from_huggingface_tokenizer(_tokenizer(), tokens)
    return tuple(
        Document(f"{document.id}#{number}", document.title, text)
        for document in documents
        for number, text in enumerate(splitter.chunks(document.text), start=1)
    )


@cache
def _tokenizer() -> Any:  # noqa: ANN401 - tokenizers is imported at the point of use
    library = need("tokenizers", extra="local")
    tokenizer = library.Tokenizer.from_file(str(bundled.embedder_folder() / "tokenizer.json"))
    tokenizer.no_truncation()  # otherwise every long text counts as one window
    tokenizer.no_padding()
    return tokenizer


def _embedded(folder: Path) -> Any:  # noqa: ANN401 - chromadb is imported at the point of use
    chromadb = need("chromadb", extra="rag")
    return chromadb.PersistentClient(str(folder.resolve()), settings=chromadb.Settings(anonymized_telemetry=False))


def _fill_server(url: str, name: str, vectors: Any) -> Any:  # noqa: ANN401
    chromadb = need("chromadb", extra="rag")
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        message = f"{url!r} is not the address of a Chroma server; expected one such as http://localhost:8000"
        raise ThirdleverError(message)
    secure = parts.scheme == "https"
    settings = chromadb.Settings(anonymized_telemetry=False)
    try:
        port = parts.port or (443 if secure else 8000)
        client = chromadb.HttpClient(parts.hostname, port, ssl=secure, settings=settings)
    except ValueError as error:
        message = f"no Chroma server answers at {url!r}; start one with `chroma run` or omit --chroma-url"
        raise ThirdleverError(message) from error
    return _fill(client, name, vectors)


def _fill(client: Any, name: str, vectors: Any) -> Any:  # noqa: ANN401
    """The collection of that name with every vector in it, completing what an interrupted attempt left."""
    # A wider search than Chroma's default finds all true neighbours here (recall 1.00 at k=20 of 10,000).
    configuration = {"hnsw": {"space": "cosine", "ef_construction": 200, "ef_search": 200}}
    collection = client.get_or_create_collection(name, configuration=configuration, embedding_function=None)
    for start in range(0, len(vectors), _ADDED):
        batch = vectors[start : start + _ADDED]
        if collection.count() < start + len(batch):
            collection.upsert(ids=[str(start + i) for i in range(len(batch))], embeddings=batch)
    return collection


def pick(items: Split, k: int, store: Store, *, seed: int = 0) -> tuple[Item, ...]:
    """`k` items whose texts differ: the farthest from those before it, one after another (Gonzalez 1985).

    Args:
        items: to pick from.
        k: how many; all if there are fewer.
        store: keeps the embeddings.
        seed: for the first one.
    """
    if not k or not len(items):
        return ()
    import numpy as np

    vectors, _ = embed_once([item.input for item in items], store)
    chosen = [int(np.random.default_rng(seed).integers(len(items)))]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < min(k, len(items)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return tuple(items.items[place] for place in chosen)


def read_examples(suite: Suite, file: str) -> tuple[Item, ...]:
    """Demonstrations from a file: ids of train items, one a line, or labelled rows with columns input and target.

    Raises:
        StrategyError: an id is not one of train, or a target is no possible answer.
        SuiteError: the file cannot be read.
    """
    path = Path(file)
    if path.suffix == ".txt":
        known = {item.id: item for item in suite.train}
        ids = [line.strip() for line in read_text(path, StrategyError).splitlines() if line.strip()]
        if lost := next((each for each in ids if each not in known), None):
            message = f"{path}: {lost!r} is not the id of a train item; correct it or remove the line"
            raise StrategyError(message)
        return tuple(known[each] for each in ids)
    found = []
    for row in read_rows(path):
        fields = {name: value for name, value in row.values.items() if name not in {"id", "input", "target"}}
        item = Item(row.where, row.text("input"), row.text("target"), fields=fields)
        if problem := suite.answer.problem(item.target):
            message = f"{row.where}: {problem}; correct the target"
            raise StrategyError(message)
        found.append(item)
    return tuple(found)
