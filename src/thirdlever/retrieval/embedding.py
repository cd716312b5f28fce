"""What every embedder can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from thirdlever.core.errors import ProviderError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray


class Embedder(Protocol):
    """Turns texts into vectors whose cosines say how alike they are in meaning.

    Attributes:
        name: as it is written in a strategy.
        identity: hash of all that its vectors depend on: weights or the provider's model, prefixes, dimensions.
        dimensions: length of a vector. For a hosted model whose dimensions are not known, one short request.
        window: tokens of a text that it reads, prefix and special tokens not included; None if it is unknown.
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

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Embedded]]:
        """Vectors of texts that are searched, in batches: positions in `texts`, and their vectors, in any order."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """What an embedder returns.

    Attributes:
        vectors: unit vectors, [texts, dimensions].
        tokens: that the provider bills; None for an embedder on this machine, and if the provider does not report them.
    """

    vectors: NDArray[np.float32]
    tokens: int | None = None


def unit(vectors: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Vectors [n, dimensions] at length 1.

    Raises:
        ProviderError: one is not finite.
    """
    import numpy as np

    if not np.isfinite(vectors).all():
        message = f"embedder {name!r} returned a vector that is not finite (NaN or infinite); use another embedder"
        raise ProviderError(message)
    # In float32: the model may compute in bfloat16. A vector of zeros stays as it is.
    made: NDArray[np.float32] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return made


def together(parts: Iterable[tuple[Sequence[int], Embedded]], n: int) -> Embedded:
    """Batches of `n` texts in the order of the texts; tokens are None if those of a batch are."""
    import numpy as np

    found = list(parts)
    vectors = np.zeros((n, found[0][1].vectors.shape[1]), np.float32)
    for positions, part in found:
        vectors[list(positions)] = part.vectors
    tokens = [part.tokens for _, part in found]
    return Embedded(vectors, None if None in tokens else sum(count for count in tokens if count is not None))
