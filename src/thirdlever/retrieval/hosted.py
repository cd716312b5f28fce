"""Embedders behind OpenAI's embeddings protocol: OpenAI's own, and any service or server that speaks it."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from thirdlever.core.errors import ModelError, ProviderError, need
from thirdlever.core.files import content_hash
from thirdlever.models import bundled
from thirdlever.retrieval.embedding import Embedded, together, unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from openai import APIStatusError, OpenAI

    from thirdlever.retrieval.prefixes import Prefixes

# Prefix: the address of its OpenAI-style API, and the environment variable of its key; None: it needs none.
SERVICES = {
    "openai": ("https://api.openai.com/v1", "OPENAI_API_KEY"),
    "mistral": ("https://api.mistral.ai/v1", "MISTRAL_API_KEY"),
    "together": ("https://api.together.xyz/v1", "TOGETHER_API_KEY"),
    "google": ("https://generativelanguage.googleapis.com/v1beta/openai/", "GOOGLE_API_KEY"),
    "ollama": ("http://localhost:11434/v1", None),
    "vllm": ("http://localhost:8000/v1", None),
}
ANY = "openai-api"  # openai-api/<service>/<model>, as for chat models
_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}
# Limits of a request and of a text: OpenAI's OpenAPI description, CreateEmbeddingRequest, as of 2026-11. A service
# with lower limits refuses a request, which is then halved.
_TEXTS = 2048
_TOKENS = 300_000
_WINDOW = 8192
_TOKEN_BYTES = 2  # cautious: an English token has about 4, a German one 3, a Chinese character 3
_CONNECTIONS = 8
_RETRIES = 6  # of the client, with backoff: for 408, 409, 429, 5xx and lost connections
_TIMEOUT_S = 60.0
_TOO_LARGE = {400, 413, 422}
_LENGTHS: dict[str, int] = {}  # of vectors that a service has returned
_MOST: dict[str, int] = {}  # texts that a request of a service takes, where it has refused more
_TOKEN_CHARS = 4  # "1 token is about 4 characters in English" (OpenAI's help centre)


@dataclass(frozen=True)
class HostedEmbedder:
    """A model behind OpenAI's embeddings protocol. See `Embedder`.

    Attributes:
        service: name of the service, in lower case: its address and key are `<SERVICE>_BASE_URL` and `_API_KEY`.
        model: as the service calls it.
        prefixes: that are put before the texts.
        shortened: dimensions to ask for; None for the model's own.
    """

    name: str
    service: str
    model: str
    prefixes: Prefixes
    shortened: int | None = None
    local: bool = False

    @property
    def identity(self) -> str:
        """Of the service, the model's name, the prefixes and the dimensions; the address may change."""
        what = [self.service, self.model, self.prefixes.query, self.prefixes.document, self.shortened]
        return content_hash(["hosted", *what])

    @property
    def plain_name(self) -> str:
        """The name without options: what prices go by."""
        return f"{'' if self.service in SERVICES else f'{ANY}/'}{self.service}/{self.model}"

    @property
    def dimensions(self) -> int:
        """Length of a vector; unless it is known, of the vector of a short text."""
        known = self.shortened or _DIMENSIONS.get(self.model) or _LENGTHS.get(self.identity)
        return known or self._ask(["dimensions"]).vectors.shape[1]

    @property
    def window(self) -> int | None:
        """Tokens of a text that it reads; None if it is unknown. OpenAI refuses a longer text."""
        return _WINDOW if self.model in _DIMENSIONS else None

    @cached_property
    def tokenizer(self) -> Any:  # noqa: ANN401 - tokenizers is imported at the point of use
        """That of all-MiniLM-L6-v2, whose tokens are as long or shorter in most languages."""
        return load_tokenizer(bundled.embedder_folder())

    @property
    def key(self) -> str | None:
        """Its API key; None if it needs none and none is set."""
        named = SERVICES.get(self.service, ("", f"{self._variable}_API_KEY"))[1]
        return os.environ.get(named or f"{self._variable}_API_KEY")

    @property
    def address(self) -> str | None:
        """Where it is; None if that is not set."""
        return os.environ.get(f"{self._variable}_BASE_URL") or SERVICES.get(self.service, (None,))[0]

    @property
    def _variable(self) -> str:
        return self.service.upper().replace("-", "_")

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Embedded:
        """Vectors of texts. Without texts, it checks that a key and an address are set.

        Raises:
            ModelError: they are not, or the service does not know the model.
            ProviderError: the service fails, or returns something else than a vector for each text.
        """
        if query:
            return self._ask([self.prefixes.query + text for text in texts])
        if not texts:
            import numpy as np

            self._client()
            return Embedded(np.zeros((0, self.shortened or _DIMENSIONS.get(self.model, 0)), np.float32), 0)
        return together(self.batches(texts), len(texts))

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Embedded]]:
        """Vectors of texts that are searched, from several requests at once. The first is sent alone, lest all fail."""
        first = self._requests(texts, range(len(texts)))[0]
        yield first, self._ask_for(texts, first)
        left = iter(self._requests(texts, range(len(first), len(texts))))
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            running = {pool.submit(self._ask_for, texts, some): some for some in islice(left, _CONNECTIONS)}
            try:
                while running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield running.pop(future), future.result()
                        running |= {pool.submit(self._ask_for, texts, some): some for some in islice(left, 1)}
            finally:  # after an error, nothing more is sent
                pool.shutdown(wait=True, cancel_futures=True)

    def tokens(
        self, texts: Sequence[str], chars_per_token: float | None = None, *, query: bool = False
    ) -> tuple[float, str]:
        """How many tokens texts are billed as, and how that is known. No request is sent.

        Args:
            texts: to embed, without their prefix.
            chars_per_token: measured in earlier requests, where the prefix counts no characters; None if unknown.
            query: whether they are queries.
        """
        prefix = self.prefixes.query if query else self.prefixes.document
        whole = [prefix + text for text in texts]
        if encoding := _encoding(self.model):
            return sum(map(len, encoding.encode_ordinary_batch(whole))), "counted by the model's tokenizer"
        if chars_per_token:
            how = f"estimated at the measured {chars_per_token:.2f} characters each"
            return sum(map(len, texts)) / chars_per_token, how
        return sum(
            math.ceil(len(text) / _TOKEN_CHARS) for text in whole
        ), f"estimated at {_TOKEN_CHARS} characters each"

    def _requests(self, texts: Sequence[str], positions: range) -> list[list[int]]:
        """Positions in groups that a request takes."""
        found: list[list[int]] = []
        size, most = 0.0, _MOST.get(self.identity, _TEXTS)
        for at in positions:
            tokens = len((self.prefixes.document + texts[at]).encode()) / _TOKEN_BYTES
            if not found or size + tokens > _TOKENS or len(found[-1]) >= most:
                found.append([])
                size = 0.0
            found[-1].append(at)
            size += tokens
        return found

    def _ask_for(self, texts: Sequence[str], positions: Sequence[int]) -> Embedded:
        return self._ask([self.prefixes.document + texts[at] for at in positions])

    def _ask(self, texts: list[str]) -> Embedded:
        """Send texts; a request that is refused as too large is sent in halves."""
        import openai

        client = self._client()
        asked: dict[str, Any] = {} if self.shortened is None else {"dimensions": self.shortened}
        try:
            reply = client.embeddings.create(model=self.model, input=texts, **asked)
        except openai.APIStatusError as error:
            if error.status_code in _TOO_LARGE and len(texts) > 1:
                half = _MOST[self.identity] = len(texts) // 2
                parts = [(range(half), self._ask(texts[:half])), (range(half, len(texts)), self._ask(texts[half:]))]
                return together(parts, len(texts))
            raise self._refused(error) from None  # its request holds the key
        except openai.APIConnectionError:
            message = f"embedder {self.name!r}: no server answers at {self._host}; check {self._variable}_BASE_URL"
            raise ProviderError(message) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            raise self._unreadable() from None
        return self._read(reply, len(texts))

    def _read(self, reply: Any, n: int) -> Embedded:  # noqa: ANN401 - what a server sends
        import numpy as np

        try:
            rows = [one.embedding for one in sorted(reply.data, key=lambda one: one.index)]
            lengths = {len(row) for row in rows}
            vectors = np.array(rows, np.float32) if len(lengths) == 1 else None
        except (ValueError, TypeError, AttributeError):
            raise self._unreadable() from None
        if len(rows) != n or vectors is None:
            found = f"{len(rows)} vectors of {' or '.join(map(str, sorted(lengths)))} numbers for {n} texts"
            message = f"embedder {self.name!r} returned {found}; check that {self._host} serves this model"
            raise ProviderError(message)
        wanted = self.shortened or _DIMENSIONS.get(self.model)
        if wanted and vectors.shape[1] != wanted:
            found = f"vectors of {vectors.shape[1]} numbers, not {wanted}"
            message = f"embedder {self.name!r} returned {found}; check the model and its dimensions"
            raise ProviderError(message)
        _LENGTHS[self.identity] = vectors.shape[1]
        used = getattr(reply, "usage", None)
        return Embedded(unit(vectors, self.name), getattr(used, "prompt_tokens", None))

    def _client(self) -> OpenAI:
        named = SERVICES.get(self.service, ("", f"{self._variable}_API_KEY"))[1]
        if named and not self.key:
            message = f"embedder {self.name!r} cannot be used: {named} is not set; set it and repeat the command"
            raise ModelError(message)
        if not self.address:
            variable = f"{self._variable}_BASE_URL"
            message = f"embedder {self.name!r} cannot be used: {variable} is not set; set it to the service's address"
            raise ModelError(message)
        return _connected(self.address, self.key or "none")

    @property
    def _host(self) -> str:
        """Without a path or a password, which may be secret."""
        parts = urlsplit(self.address or "")
        return f"{parts.hostname}:{parts.port}" if parts.port else parts.hostname or "an invalid address"

    def _refused(self, error: APIStatusError) -> ModelError | ProviderError:
        status, said = error.status_code, _said(error, self.key)
        start = f"embedder {self.name!r}: {self._host} answered {status}{said}"
        if status in {401, 403}:
            return ProviderError(f"{start}; check the key in {self._variable}_API_KEY and what it may use")
        if status == 404:  # noqa: PLR2004 - HTTP
            return ModelError(f"{start}; check the model's name and {self._variable}_BASE_URL")
        if status == 429:  # noqa: PLR2004 - HTTP
            return ProviderError(
                f"{start} {_RETRIES + 1} times; check the quota, or run again later: what is done is kept"
            )
        if status in _TOO_LARGE:
            return ProviderError(f"{start}; a text may be longer than the model reads: use shorter passages")
        return ProviderError(f"{start} {_RETRIES + 1} times; run again later: what is done is kept")

    def _unreadable(self) -> ProviderError:
        message = (
            f"embedder {self.name!r}: the reply of {self._host} has no embeddings; check {self._variable}_BASE_URL"
        )
        return ProviderError(message)


def _said(error: APIStatusError, key: str | None) -> str:
    """The provider's message, without the key."""
    body = error.body if isinstance(error.body, dict) else {}
    text = " ".join(str(body.get("message") or "").split()).rstrip(".")[:200]
    return f" ({text.replace(key, '[key]') if key else text})" if text else ""


@cache
def _connected(address: str, key: str) -> OpenAI:
    from openai import OpenAI

    return OpenAI(base_url=address, api_key=key, max_retries=_RETRIES, timeout=_TIMEOUT_S)


def load_tokenizer(folder: Path) -> Any:  # noqa: ANN401 - tokenizers is imported at the point of use
    """The `tokenizers.Tokenizer` of a model's folder, which neither cuts nor pads."""
    tokenizer = need("tokenizers", extra="local").Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()  # otherwise every long text counts as one window
    tokenizer.no_padding()
    return tokenizer


_ENCODING_URL = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"


def _encoding(model: str) -> Any:  # noqa: ANN401 - tiktoken has it
    """The tokenizer of OpenAI's embedding models if tiktoken has it on this machine: a plan fetches nothing."""
    folder = os.environ.get("TIKTOKEN_CACHE_DIR") or os.environ.get("DATA_GYM_CACHE_DIR")
    file = hashlib.sha1(_ENCODING_URL.encode(), usedforsecurity=False).hexdigest()
    if model not in _DIMENSIONS or not Path(folder or Path(tempfile.gettempdir(), "data-gym-cache"), file).is_file():
        return None
    try:
        import tiktoken
    except ModuleNotFoundError:
        return None
    return tiktoken.get_encoding("cl100k_base")
