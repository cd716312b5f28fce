"""Re-rankers by name: models that read a query and a text together."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from thirdlever.core.errors import ModelError, need
from thirdlever.core.once import once
from thirdlever.models import threads
from thirdlever.models.engine import local

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Reranker(Protocol):
    """Scores how well texts answer a query.

    Attributes:
        name: as it is written in a strategy.
        identity: hash of what its scores depend on.
        window: tokens of query and text together that it reads; None if it is unknown.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102
    @property
    def window(self) -> int | None: ...  # noqa: D102

    @property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """Its `tokenizers.Tokenizer`, which neither cuts nor pads."""

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """A score for each text, the higher the better; without texts, loads the model."""


@dataclass(frozen=True)
class CrossEncoder:
    """A cross-encoder of sentence-transformers on this machine. See `Reranker`."""

    name: str

    @property
    def identity(self) -> str:
        """Hash of configuration, weights and tokenizer."""
        return local.revision(self.name)

    @property
    def window(self) -> int | None:
        """Tokens that it reads."""
        length: int | None = _model(self.name).max_seq_length
        return length

    @cached_property
    def tokenizer(self) -> Any:  # noqa: ANN401 - tokenizers is imported at the point of use
        """Counts in its tokens."""
        tokenizer = need("tokenizers", extra="local").Tokenizer.from_file(
            str(local.folder(self.name) / "tokenizer.json")
        )
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float32]:
        """Logits: a sigmoid in bfloat16 would make the best texts equal."""
        import numpy as np
        import torch

        model = _model(self.name)
        if not texts:
            return np.zeros(0, np.float32)
        pairs = [(query, text) for text in texts]
        found: NDArray[np.float32] = model.predict(pairs, activation_fn=torch.nn.Identity(), show_progress_bar=False)
        threads.release()
        return found


@cache
def find_reranker(name: str) -> Reranker:
    """The re-ranker of a name: a cross-encoder's folder, or `hf/OWNER/NAME` of the Hugging Face hub.

    Raises:
        ModelError: it does not exist, is no cross-encoder with one score, or has no safetensors weights.
    """
    if not name.startswith(local.HF) and not Path(name).expanduser().is_dir():
        message = f"re-ranker {name!r} is not a folder; give a cross-encoder's folder, or hf/OWNER/NAME for the hub's"
        raise ModelError(message)
    config = json.loads((local.folder(name) / "config.json").read_text("utf-8"))
    classifies = any("SequenceClassification" in kind for kind in config.get("architectures") or ())
    outputs = len(config.get("id2label") or ()) or config.get("num_labels") or 2  # transformers' default
    if not classifies or outputs != 1:
        is_one = f"has {outputs} outputs" if classifies else f"is {(config.get('architectures') or ['unknown'])[0]}"
        message = (
            f"re-ranker {name!r} {is_one}, not a cross-encoder that gives one score for query and text; "
            "use one such as a fine-tuned MiniLM with num_labels=1"
        )
        raise ModelError(message)
    return CrossEncoder(name)


@once
def _model(name: str) -> Any:  # noqa: ANN401 - sentence-transformers is imported at the point of use
    library = need("sentence_transformers", extra="local")
    from thirdlever.models.bundled import quiet
    from thirdlever.models.engine.weights import best_dtype, device

    on = device()
    options = {"dtype": best_dtype(on), "use_safetensors": True}
    try:
        with quiet():
            return library.CrossEncoder(str(local.folder(name)), device=on.type, model_kwargs=options)
    except (OSError, ValueError, KeyError) as error:
        message = (
            f"cannot load re-ranker {name!r}: {type(error).__name__}: {error}; save it again with save_pretrained()"
        )
        raise ModelError(message) from error
