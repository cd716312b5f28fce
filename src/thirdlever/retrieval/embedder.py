"""Sentence embeddings: one embedder for every strategy."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import need
from thirdlever.core.progress import progress
from thirdlever.models import bundled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store


DIMENSIONS = 384
EMBEDDER = bundled.EMBEDDER.sha256  # identifies the embedder in hashes
_BATCH = 512  # texts; progress is shown for more


def embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Unit vectors of texts from all-MiniLM-L6-v2: [len(texts), 384].

    Raises:
        MissingExtraError: the `local` extra is not installed.
    """
    import numpy as np

    if not texts:
        return np.zeros((0, DIMENSIONS), np.float32)
    model = _model()
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
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # in float32: the model may compute in bfloat16
    return vectors


@cache
def _model() -> Any:  # noqa: ANN401 - sentence-transformers is imported at the point of use
    library = need("sentence_transformers", extra="local")
    from thirdlever.models.engine.weights import best_dtype, device
    from thirdlever.models.quiet import quiet

    on = device()
    options = {"device": on.type, "model_kwargs": {"dtype": best_dtype(on)}}
    with quiet():
        return library.SentenceTransformer(str(bundled.embedder_folder()), **options)
