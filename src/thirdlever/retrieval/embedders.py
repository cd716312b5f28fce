"""Sentence embeddings: an embedder by name, and vectors that are computed once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, Protocol

from thirdlever.core.errors import need
from thirdlever.core.progress import progress
from thirdlever.models import bundled, threads

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store


DIMENSIONS = 384
EMBEDDER = bundled.EMBEDDER.sha256  # identifies the embedder in hashes
MINILM = "minilm"
_BATCH = 512  # texts; progress is shown for more


class Embedder(Protocol):
    """Turns texts into vectors whose cosines say how alike they are in meaning.

    Attributes:
        name: as it is written in a strategy.
        identity: hash of all that its vectors depend on: weights or the provider's model, prefixes, dimensions.
        dimensions: length of a vector.
        window: tokens of a text that it reads; None if it is unknown.
        local: whether it runs on this machine.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def dimensions(self) -> int: ...  # noqa: D102
    @property
    def window(self) -> int | None: ...  # noqa: D102
    @property
    def local(self) -> bool: ...  # noqa: D102

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """Its `tokenizers.Tokenizer`, which neither cuts nor pads; of a similar model if its own is not known."""

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Embedded:
        """Vectors of texts, in the form that the embedder wants of a query or of what is searched."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What an embedder returns.

    Attributes:
        vectors: unit vectors, [texts, dimensions].
        tokens: that the provider bills; None for an embedder on this machine.
    """

    vectors: NDArray[np.float32]
    tokens: int | None = None


@dataclass(frozen=True)
class LocalEmbedder:
    """A model of sentence-transformers on this machine. See `Embedder`."""

    name: str
    identity: str
    local: bool = True

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return DIMENSIONS

    @property
    def window(self) -> int:
        """Tokens that it reads."""
        return 256

    @cached_property
    def tokenizer(self) -> Any:  # noqa: ANN401 - tokenizers is imported at the point of use
        """Counts and cuts in its tokens."""
        library = need("tokenizers", extra="local")
        tokenizer = library.Tokenizer.from_file(str(bundled.embedder_folder() / "tokenizer.json"))
        tokenizer.no_truncation()  # otherwise every long text counts as one window
        tokenizer.no_padding()
        return tokenizer

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Embedded:  # noqa: ARG002 - has no prefixes
        """Vectors of texts. The first call loads the model, also without texts."""
        import numpy as np

        model = _model(self.name)
        if not texts:
            return Embedded(np.zeros((0, self.dimensions), np.float32))
        if len(texts) <= _BATCH:
            return Embedded(_encode(model, texts))
        parts = []
        with progress("embedding", len(texts)) as advance:
            for start in range(0, len(texts), _BATCH):
                parts.append(_encode(model, texts[start : start + _BATCH]))
                for _ in parts[-1]:
                    advance()
        return Embedded(np.concatenate(parts))


@cache
def find_embedder(name: str = MINILM) -> Embedder:
    """The embedder of a name: "minilm" is the bundled all-MiniLM-L6-v2."""
    return LocalEmbedder(name, EMBEDDER)


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors of texts from all-MiniLM-L6-v2: [len(texts), 384].

    The first call loads the model, also without texts.

    Raises:
        MissingExtraError: the `local` extra is not installed.
    """
    return find_embedder().embed(texts).vectors


def embed_once(
    texts: Sequence[str], store: Store, *, embedder: Embedder | None = None
) -> tuple[NDArray[np.float32], float]:
    """Vectors of texts, kept in the store for whoever embeds the same texts.

    Args:
        texts: to embed, as what is searched.
        store: keeps the vectors.
        embedder: all-MiniLM-L6-v2 if not stated.

    Returns:
        The vectors, and the seconds that computing them took.
    """
    import numpy as np

    by = embedder or find_embedder()

    def build(folder: Path) -> None:
        np.save(folder / "vectors.npy", by.embed(texts).vectors, allow_pickle=False)

    made = store.once("embeddings", of={"texts": list(texts), "embedder": by.identity}, build=build)
    vectors: NDArray[np.float32] = np.load(made.folder / "vectors.npy", allow_pickle=False)
    return vectors, float(made.facts["seconds"])


def _encode(model: Any, texts: Sequence[str]) -> NDArray[np.float32]:  # noqa: ANN401
    import numpy as np

    vectors: NDArray[np.float32] = model.encode(list(texts), show_progress_bar=False).astype(np.float32)
    threads.release()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # in float32: the model may compute in bfloat16
    return vectors


@cache
def _model(name: str) -> Any:  # noqa: ANN401, ARG001 - sentence-transformers is imported at the point of use
    library = need("sentence_transformers", extra="local")
    from thirdlever.models.bundled import quiet
    from thirdlever.models.engine.weights import best_dtype, device

    on = device()
    options = {"device": on.type, "model_kwargs": {"dtype": best_dtype(on)}}
    with quiet():
        return library.SentenceTransformer(str(bundled.embedder_folder()), **options)
