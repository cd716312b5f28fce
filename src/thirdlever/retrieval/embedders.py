"""Embedders by name, and vectors that are computed once."""

from __future__ import annotations

import json
import random
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.catalog.price_lookup import embedding_price
from thirdlever.core.errors import ModelError, need, unknown
from thirdlever.core.files import content_hash, file_hash
from thirdlever.models import bundled, threads
from thirdlever.retrieval import prefixes, vectors
from thirdlever.retrieval.embedding import Embedded, Embedder, together, unit
from thirdlever.retrieval.hosted import ANY, SERVICES, HostedEmbedder, load_tokenizer
from thirdlever.retrieval.prefixes import Prefixes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store

__all__ = ["Embedded", "Embedder", "embed", "embed_once", "find_embedder", "usd_of"]

DIMENSIONS = 384
EMBEDDER = bundled.EMBEDDER.sha256  # identifies the embedder in hashes
MINILM = "minilm"
HF = "hf/"
_NAMES = [
    MINILM,
    "<folder>",
    "hf/<hub id>",
    *(f"{service}/<model>" for service in SERVICES),
    f"{ANY}/<service>/<model>",
]
_OPTIONS = ("dimensions", "prefix")
_OPTION = re.compile(r"^(?P<name>.+):(?P<option>\w+)=(?P<value>[^:]*)$", re.DOTALL)
_BATCH = 512  # texts that are embedded, and kept, at a time
_NEEDED = ["*.safetensors", "*.json", "*.txt", "*.model"]  # of a model on the hub
_LIBRARY = "sentence_transformers."
_LENGTHS = ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size", "dim", "d_model")


@dataclass(frozen=True)
class LocalEmbedder:
    """A model of sentence-transformers on this machine. See `Embedder`.

    Attributes:
        folder: of the model; None for the bundled one, which is downloaded when it is used.
        dimensions: length of a vector.
        reads: tokens of a text that it reads, with prefix and special tokens; None if it is unknown.
        prefixes: that are put before the texts.
        shortened: whether the model's own vectors are longer.
    """

    name: str
    identity: str
    folder: Path | None = None
    dimensions: int = DIMENSIONS
    reads: int | None = 256
    prefixes: Prefixes = prefixes.NONE
    shortened: bool = False
    local: bool = True

    @property
    def window(self) -> int | None:
        """Tokens of a text that it reads."""
        if self.reads is None:
            return None
        if self.folder is None:
            return self.reads - 2  # [CLS] and [SEP]
        longest = max((self.prefixes.query, self.prefixes.document), key=len)
        return self.reads - len(self.tokenizer.encode(longest).ids)

    @cached_property
    def tokenizer(self) -> Any:  # noqa: ANN401 - tokenizers is imported at the point of use
        """Counts and cuts in its tokens."""
        return load_tokenizer(self.folder or bundled.embedder_folder())

    def embed(self, texts: Sequence[str], *, query: bool = False) -> Embedded:
        """Vectors of texts. The first call loads the model, also without texts.

        Raises:
            ModelError: the model cannot be loaded.
        """
        import numpy as np

        model = self._loaded
        if not texts:
            return Embedded(np.zeros((0, self.dimensions), np.float32))
        if query:
            return self._encoded(model, texts, self.prefixes.query)
        return together(self.batches(texts), len(texts))

    def batches(self, texts: Sequence[str]) -> Iterator[tuple[Sequence[int], Embedded]]:
        """Vectors of texts that are searched. Texts of a batch are about equally long, so that little is padded."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        groups = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
        random.Random(0).shuffle(groups)  # noqa: S311 - the time left is told from the batches done
        for group in groups:
            yield group, self._encoded(self._loaded, [texts[at] for at in group], self.prefixes.document)

    @property
    def _loaded(self) -> Any:  # noqa: ANN401 - sentence-transformers is imported at the point of use
        try:
            return _model(self.folder and str(self.folder))
        except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            message = f"embedder {self.name!r} cannot be loaded ({type(error).__name__}: {reason}); save it again"
            raise ModelError(message) from error

    def _encoded(self, model: Any, texts: Sequence[str], prefix: str) -> Embedded:  # noqa: ANN401
        import numpy as np

        # An empty prompt keeps the library from putting a default one before the text.
        options = {"truncate_dim": self.dimensions} if self.shortened else {}
        found = model.encode(list(texts), prompt=prefix, show_progress_bar=False, **options)
        threads.release()
        return Embedded(unit(found.astype(np.float32), self.name))


_MINILM = LocalEmbedder(MINILM, EMBEDDER)


def find_embedder(name: str = MINILM) -> Embedder:
    """The embedder of a name.

    "minilm" is the bundled all-MiniLM-L6-v2; "path/to/model" or "./model" a folder of sentence-transformers;
    "hf/owner/name" or "hf/owner/name@revision" a model on the Hugging Face hub; "openai/text-embedding-3-small" and
    "openai-api/<service>/<model>" models behind OpenAI's protocol.

    Options follow the name, each after a colon: `dimensions` for shortened vectors, and `prefix` for a family whose
    prefixes are used ("e5", "bge", …, "none") where the model's own settings or its name do not tell.

    >>> find_embedder("openai/text-embedding-3-small:dimensions=256").dimensions
    256

    Raises:
        ModelError: there is no such model or option, or its folder is not a model with safetensors weights.
    """
    plain, options = _split(name)
    if plain == MINILM:
        return _bundled(name, options)
    service, _, model = plain.partition("/")
    if service == ANY:
        service, _, model = model.partition("/")
    path = Path(plain.removeprefix(HF)).expanduser()
    if plain.startswith((".", "/", "~")) or path.is_dir():
        return _local(name, path.resolve(), options)
    if plain.startswith(HF):
        return _local(name, _downloaded(plain.removeprefix(HF)), options, known_as=plain)
    if model and (plain.startswith(f"{ANY}/") or service in SERVICES):
        return HostedEmbedder(name, service, model, _prefixes(options, {}, model), _dimensions(name, options))
    raise ModelError(unknown("embedder", plain, _NAMES, meant=_meant(plain)))


def usd_of(embedder: Embedder, tokens: float | None) -> float | None:
    """What a provider charges for tokens of texts; None if the tokens or the price are unknown.

    0 for an embedder on this machine, which takes device time.

    Raises:
        ThirdleverError: the user's prices.toml is malformed.
    """
    if not isinstance(embedder, HostedEmbedder):
        return 0.0
    price = embedding_price(embedder.plain_name)
    return None if price is None or tokens is None else price.cost(tokens, 0, 0)


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
    """Vectors of texts, kept in the store by text; see `vectors.keep`.

    Args:
        texts: to embed, as what is searched.
        store: keeps the vectors.
        embedder: all-MiniLM-L6-v2 if not stated.

    Returns:
        The vectors, and the seconds that computing them took.
    """
    kept = vectors.keep(texts, store, embedder or find_embedder())
    return kept.vectors, kept.seconds


def _split(name: str) -> tuple[str, dict[str, str]]:
    """A name without its options, and these."""
    options: dict[str, str] = {}
    plain = name.strip()
    while found := _OPTION.match(plain):
        option = found["option"]
        if option not in _OPTIONS or option in options:
            why = f"{option} is given twice" if option in options else unknown("option", option, _OPTIONS)
            message = f"embedder {name!r}: {why}"
            raise ModelError(message)
        options[option] = found["value"].strip()
        plain = found["name"].strip()
    return plain, options


def _dimensions(name: str, options: Mapping[str, str], most: int | None = None) -> int | None:
    """The dimensions that are asked for; None for the model's own."""
    if (text := options.get("dimensions")) is None:
        return None
    if not text.isdecimal() or not 0 < int(text) <= (most or int(text)):
        between = f"1 to {most}" if most else "1 or more"
        message = f"embedder {name!r}: dimensions={text} is not allowed; give {between}"
        raise ModelError(message)
    return int(text)


def _prefixes(options: Mapping[str, str], own: Mapping[str, str], model: str) -> Prefixes:
    """The prefixes that the options name, else the model's own, else those that models of its name ask for."""
    if (family := options.get("prefix")) is not None:
        if family not in prefixes.BY_NAME:
            raise ModelError(unknown("prefix", family, prefixes.BY_NAME))
        return prefixes.BY_NAME[family]
    document = next((own[role] for role in ("document", "passage", "corpus") if own.get(role)), "")
    found = Prefixes(own.get("query") or "", document)
    return found if found != prefixes.NONE else prefixes.expected(model)


def _meant(plain: str) -> str | None:
    if plain.startswith("text-embedding-"):
        return f"openai/{plain}"
    return f"{HF}{plain}" if plain.count("/") == 1 and not plain.startswith(HF) else None


def _bundled(name: str, options: Mapping[str, str]) -> Embedder:
    chosen, length = _prefixes(options, {}, MINILM), _dimensions(name, options, DIMENSIONS)
    if not options:
        return _MINILM
    identity = content_hash([EMBEDDER, chosen.query, chosen.document, length])
    return LocalEmbedder(name, identity, None, length or DIMENSIONS, prefixes=chosen, shortened=length is not None)


def _local(name: str, folder: Path, options: Mapping[str, str], *, known_as: str = "") -> Embedder:
    """The embedder in a folder, from its settings; its weights are not loaded.

    Raises:
        ModelError: there is no such folder, or it is not a model with safetensors weights.
    """
    if not folder.is_dir():
        message = f"embedder {name!r} not found: there is no folder {str(folder)!r}; give one, or hf/<hub id>"
        raise ModelError(message)
    places = _modules(name, folder)
    length = next((found for place in reversed(places) if (found := _length(place))), None)
    if length is None:
        message = f"embedder {name!r}: {folder} does not state the length of its vectors; save it again with save()"
        raise ModelError(message)
    settings = _read(folder / "config_sentence_transformers.json")
    chosen = _prefixes(options, settings.get("prompts") or {}, known_as or str(folder))
    wanted = _dimensions(name, options, length)
    return LocalEmbedder(
        name,
        content_hash([_content(folder, places), chosen.query, chosen.document, wanted]),
        folder,
        wanted or length,
        _reads(folder),
        chosen,
        shortened=wanted is not None,
    )


def _modules(name: str, folder: Path) -> list[Path]:
    """The folders of a model's modules, in the order in which they run; the model's own if it states none.

    Raises:
        ModelError: a module has code of its own, or weights in pickle files alone: loading them would run code.
    """
    listed = _read(folder / "modules.json") or [{"path": "", "type": f"{_LIBRARY}models.Transformer"}]
    for module in listed:
        if not str(module.get("type", "")).startswith(_LIBRARY):
            message = (
                f"embedder {name!r} has code of its own ({module.get('type')}), which is not run; use another model"
            )
            raise ModelError(message)
    places = [(folder / str(module.get("path", ""))).resolve() for module in listed]
    if not any(any(place.glob("*.safetensors")) for place in [folder, *places]):
        pickled = any(any(place.glob(kind)) for place in places for kind in ("*.bin", "*.pt", "*.ckpt"))
        has = "has weights as pickle files only, which can run code" if pickled else "has no safetensors weights"
        message = f"embedder {name!r} {has}; save it with SentenceTransformer.save() and give that folder"
        raise ModelError(message)
    for place in places:
        if any(place.glob("*.bin")) and not any(place.glob("*.safetensors")):
            what = f"{place.name} has weights as a pickle file, which can run code"
            message = f"embedder {name!r}: {what}; save it with SentenceTransformer.save() and give that folder"
            raise ModelError(message)
    return places


def _length(place: Path) -> int | None:
    """Length of the vectors that a module returns, if its settings state it."""
    settings = _read(place / "config.json")
    return next((settings[key] for key in _LENGTHS if isinstance(settings.get(key), int)), None)


def _reads(folder: Path) -> int | None:
    """Tokens that a model reads: as stated for it, else what its positions and its tokenizer allow."""
    if isinstance(stated := _read(folder / "sentence_bert_config.json").get("max_seq_length"), int):
        return stated
    limits = (
        _read(folder / "config.json").get("max_position_embeddings"),
        _read(folder / "tokenizer_config.json").get("model_max_length"),
    )
    return min((limit for limit in limits if isinstance(limit, int)), default=None)


def _content(folder: Path, places: Sequence[Path]) -> list[str]:
    """Hashes of all files that a model's vectors depend on."""
    kinds = ("*.json", "*.safetensors", "vocab.txt", "*.model")
    files = {path for place in [folder, *places] for kind in kinds for path in place.glob(kind)}
    return [f"{path.relative_to(folder)} {file_hash(path)}" for path in sorted(files)]


def _read(path: Path) -> Any:  # noqa: ANN401 - JSON
    """A JSON file; {} if there is none."""
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text("utf-8"))
    except ValueError as error:
        message = f"{path} is not JSON ({error}); save the model again with save()"
        raise ModelError(message) from error


@cache
def _downloaded(wanted: str) -> Path:
    """The folder of a model on the hub, `owner/name` or `owner/name@revision`: safetensors and settings alone."""
    hub = need("huggingface_hub", extra="local")
    id_, _, revision = wanted.partition("@")
    try:
        return Path(hub.snapshot_download(id_, revision=revision or None, allow_patterns=_NEEDED))
    except (OSError, ValueError, need("httpx2", extra="local").HTTPError) as error:
        message = (
            f"embedder 'hf/{wanted}' not found: no folder {id_!r} exists, and the Hugging Face hub raised "
            f"{type(error).__name__}; give a folder with safetensors weights or the id of a model on the hub"
        )
        raise ModelError(message) from error


@cache
def _model(folder: str | None) -> Any:  # noqa: ANN401 - sentence-transformers is imported at the point of use
    library = need("sentence_transformers", extra="local")
    from thirdlever.models.bundled import quiet
    from thirdlever.models.engine.weights import best_dtype, device

    on = device()
    options = {"device": on.type, "model_kwargs": {"dtype": best_dtype(on), "use_safetensors": True}}
    with quiet():
        where = folder or str(bundled.embedder_folder())
        return library.SentenceTransformer(where, trust_remote_code=False, local_files_only=True, **options)
