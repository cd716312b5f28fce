"""Embedders by name: folders, hosted ones, their prefixes, errors and prices; and vectors that are computed once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from helpers.embeddings_server import serving, vectors

from thirdlever import run
from thirdlever.core.errors import ModelError, ProviderError, RunError, ThirdleverError
from thirdlever.core.store import NotBuilt, ReadOnlyStore, Store
from thirdlever.retrieval import embedders, hosted
from thirdlever.retrieval.embedders import embed_once, find_embedder, usd_of
from thirdlever.retrieval.vectors import keep, measured, require
from thirdlever.runner.plan import plan
from thirdlever.testing import Behaviour, FakeModel, Fault, LoopbackProvider, TokenPrices, example_suite

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thirdlever.testing.loopback import FaultKind

pytest.importorskip("sentence_transformers", reason="needs the extra `local`")

WORDS = ("query:", "passage:", "the", "panther", "defence", "allowed", "points", "fuel", "is", "bought", "here")
TEXTS = ["the panther defence allowed points", "fuel is bought here", "the fuel", "here"]
HOSTED = "openai-api/loopback/small"


def saved(folder: Path, *, seed: int = 0, prompts: dict[str, str] | None = None) -> Path:
    """A tiny random model of sentence-transformers."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: at for at, word in enumerate(("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))  # noqa: S106 - no password
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    plain = folder.with_name(f"{folder.name}-plain")
    named: dict[str, Any] = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast: Any = PreTrainedTokenizerFast  # carries no types
    fast(tokenizer_object=tokenizer, model_max_length=16, **named).save_pretrained(plain)
    torch.manual_seed(seed)
    size: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    config = BertConfig(vocab_size=len(vocabulary), max_position_embeddings=16, initializer_range=0.5, **size)
    BertModel(config).save_pretrained(plain)
    transformer = Transformer(str(plain), max_seq_length=12)
    SentenceTransformer(modules=[transformer, Pooling(16), Normalize()], prompts=prompts or {}).save(str(folder))
    shutil.rmtree(plain)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = {"query": "query: ", "document": "passage: "}
    return saved(tmp_path_factory.mktemp("models") / "tiny", prompts=prompts)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackProvider]:
    """A service whose client tries each request once."""
    monkeypatch.setattr(hosted, "_RETRIES", 0)
    hosted._connected.cache_clear()  # noqa: SLF001 - clients of other tests retry
    behaviour = Behaviour(dimensions=8, prices=TokenPrices(input=0.02))
    with LoopbackProvider({"small": behaviour, "text-embedding-3-small": behaviour}) as loopback:
        for name, value in loopback.env.items():
            monkeypatch.setenv(name, value)
        yield loopback
    hosted._connected.cache_clear()  # noqa: SLF001


def requests(provider: LoopbackProvider) -> list[dict[str, Any]]:
    return [each.body for each in provider.requests.last]


def test_a_folder_is_an_embedder_with_its_own_prefixes(model: Path) -> None:
    by = find_embedder(str(model))
    found = by.embed(TEXTS).vectors
    assert (by.dimensions, by.local, found.shape) == (16, True, (4, 16))
    assert by.window == 12 - 3  # [CLS], the prefix and [SEP]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    plain = find_embedder(f"{model}:prefix=none")
    np.testing.assert_allclose(plain.embed([f"passage: {TEXTS[1]}"]).vectors[0], found[1], atol=2e-2)
    np.testing.assert_allclose(
        plain.embed([f"query: {TEXTS[1]}"]).vectors, by.embed(TEXTS[1:2], query=True).vectors, atol=2e-2
    )
    assert not np.allclose(plain.embed(TEXTS[1:2]).vectors[0], found[1], atol=2e-2)


def test_vectors_are_shortened_on_request(model: Path) -> None:
    by = find_embedder(f"{model}:dimensions=4")
    whole = find_embedder(str(model)).embed(TEXTS).vectors[:, :4]
    assert by.dimensions == 4
    np.testing.assert_allclose(by.embed(TEXTS).vectors, whole / np.linalg.norm(whole, axis=1)[:, None], atol=2e-2)


def test_identity_is_of_weights_prefixes_and_dimensions_not_of_the_name(model: Path, tmp_path: Path) -> None:
    copied = shutil.copytree(model, tmp_path / "copied")
    other = saved(tmp_path / "tiny", seed=1, prompts={"query": "query: ", "document": "passage: "})
    options = ("", ":prefix=none", ":dimensions=4", ":prefix=none:dimensions=4")
    found = {option: find_embedder(f"{model}{option}").identity for option in options}
    assert find_embedder(str(copied)).identity == found[""]
    assert len({*found.values(), find_embedder(str(other)).identity}) == 5


@pytest.mark.parametrize(
    ("name", "query", "document"),
    [
        ("openai-api/tei/intfloat/multilingual-e5-large", "query: ", "passage: "),
        ("openai-api/tei/BAAI/bge-small-en-v1.5", "Represent this sentence for searching relevant passages: ", ""),
        ("openai-api/tei/BAAI/bge-m3", "", ""),
        ("ollama/nomic-embed-text:latest", "search_query: ", "search_document: "),
        ("openai/text-embedding-3-small", "", ""),
        ("openai-api/acme/ours:prefix=e5", "query: ", "passage: "),
        ("openai-api/acme/our-e5-base:prefix=none", "", ""),
    ],
)
def test_models_that_ask_for_prefixes_get_them(name: str, query: str, document: str) -> None:
    by = find_embedder(name)
    assert isinstance(by, hosted.HostedEmbedder)
    assert (by.prefixes.query, by.prefixes.document) == (query, document)


def spoiled(folder: Path, model: Path, *, pickled: bool = False, coded: bool = False) -> Path:
    """A copy whose weights are a pickle file, or missing, or that has code of its own."""
    shutil.copytree(model, folder)
    if coded:
        (folder / "modules.json").write_text(json.dumps([{"idx": 0, "name": "0", "path": "", "type": "ours.Module"}]))
        return folder
    (folder / "model.safetensors").unlink()
    if pickled:
        (folder / "pytorch_model.bin").write_bytes(b"")
    return folder


def test_folders_that_cannot_be_used_are_refused(model: Path, tmp_path: Path) -> None:
    names = {
        "there is no folder": tmp_path / "nowhere",
        "pickle": spoiled(tmp_path / "pickled", model, pickled=True),
        "no safetensors weights": spoiled(tmp_path / "bare", model),
        "code of its own (ours.Module)": spoiled(tmp_path / "coded", model, coded=True),
    }
    for reason, folder in names.items():
        with pytest.raises(ModelError, match="embedder") as caught:
            find_embedder(str(folder))
        assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("minlm", "did you mean 'minilm'"),
        ("text-embedding-3-small", "did you mean 'openai/text-embedding-3-small'"),
        ("intfloat/multilingual-e5-small", "did you mean 'hf/intfloat/multilingual-e5-small'"),
        ("openai/text-embedding-3-small:dimension=256", "did you mean 'dimensions'"),
        ("openai/text-embedding-3-small:dimensions=none", "dimensions=none is not allowed"),
        ("minilm:dimensions=1000", "give 1 to 384"),
        ("minilm:prefix=e6", "did you mean 'e5'"),
    ],
)
def test_unknown_names_and_options_are_refused_with_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_embedder(name)
    assert hint in str(caught.value)


def test_hosted_vectors_are_in_the_order_of_the_texts(
    provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "_TEXTS", 7)
    texts = [f"{TEXTS[at % 4]} {at}" for at in range(50)]
    by = find_embedder(f"{HOSTED}:prefix=e5")
    found = by.embed(texts)
    sent = [text for body in requests(provider) for text in body["input"]]
    assert (len(provider.requests), by.dimensions, found.vectors.shape) == (8, 8, (50, 8))
    assert sorted(sent) == sorted(f"passage: {text}" for text in texts)
    assert found.tokens == provider.usage.input
    alone = by.embed([f"query: {texts[9]}"]).vectors
    np.testing.assert_allclose(by.embed(texts[9:10], query=True).vectors[0] @ alone[0], 7 / 8, atol=0.2)
    np.testing.assert_array_equal(by.embed(texts[9:10]).vectors[0], found.vectors[9])


def test_hosted_vectors_are_shortened_by_the_provider(provider: LoopbackProvider) -> None:
    by = find_embedder("openai/text-embedding-3-small:dimensions=4")
    assert by.embed(TEXTS).vectors.shape == (4, 4)
    assert requests(provider)[0]["dimensions"] == 4


@pytest.mark.parametrize(
    ("fault", "kind", "said"),
    [
        ("unauthorized", ProviderError, "401"),
        ("no_model", ModelError, "404"),
        ("quota", ProviderError, "429"),
        ("server_error", ProviderError, "500"),
        ("html", ProviderError, "has no embeddings"),
        ("truncated", ProviderError, "has no embeddings"),
    ],
)
def test_a_failing_provider_is_one_sentence_without_the_key(
    provider: LoopbackProvider, fault: FaultKind, kind: type[ThirdleverError], said: str
) -> None:
    provider.inject(Fault(fault))
    with pytest.raises(kind) as caught:
        find_embedder(HOSTED).embed(TEXTS)
    assert said in str(caught.value)
    assert provider.key not in str(caught.value)
    assert len(provider.requests) == 1


def test_a_missing_key_and_a_dead_host_are_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted, "_RETRIES", 0)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match="OPENAI_API_KEY is not set"):
        find_embedder("openai/text-embedding-3-small").embed([])
    monkeypatch.setenv("GONE_API_KEY", "sk-gone")
    with pytest.raises(ModelError, match="GONE_BASE_URL is not set"):
        find_embedder("openai-api/gone/small").embed([])
    monkeypatch.setenv("GONE_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(ProviderError, match=r"no server answers at 127\.0\.0\.1:9"):
        find_embedder("openai-api/gone/small").embed(TEXTS)


@pytest.mark.parametrize("kind", ["rate_limit", "server_error"])
def test_a_request_is_repeated(provider: LoopbackProvider, monkeypatch: pytest.MonkeyPatch, kind: FaultKind) -> None:
    monkeypatch.setattr(hosted, "_RETRIES", 2)
    provider.inject(Fault(kind, requests=range(1), retry_after_s=0.01))
    assert find_embedder(HOSTED).embed(TEXTS).vectors.shape == (4, 8)
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[1.0, 0.0]], "1 vectors of 2 numbers for 2 texts"),
        ([[1.0, 0.0], [1.0]], "2 vectors of 1 or 2 numbers for 2 texts"),
        ([[1.0, float("nan")], [1.0, 0.0]], "not finite"),
    ],
)
def test_a_wrong_reply_is_refused(monkeypatch: pytest.MonkeyPatch, rows: list[list[float]], said: str) -> None:
    with serving(lambda _: vectors(rows)) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ProviderError) as caught:
            find_embedder("openai-api/odd/m").embed(TEXTS[:2])
    assert said in str(caught.value)


def test_a_request_that_is_refused_as_too_large_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def answer(body: dict[str, Any]) -> tuple[int, Any]:
        sizes.append(len(body["input"]))
        if len(body["input"]) > 4:
            return 413, {"error": {"message": "batch size 5 > maximum allowed batch size 4"}}
        return vectors([[1.0, float(len(text))] for text in body["input"]])

    texts = ["w" * length for length in range(1, 41)]
    with serving(answer) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(hosted, "_TEXTS", 16)
        by = find_embedder("openai-api/odd/small-batches")
        found = by.embed(texts).vectors
        assert sizes.count(16) == 1  # later requests are small at once
    np.testing.assert_allclose(found[:, 1] / found[:, 0], range(1, 41), rtol=1e-5)


def test_a_text_that_is_too_long_is_a_sentence_without_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = {"error": {"message": "8,193 tokens are too many for sk-odd-secret"}}
    with serving(lambda _: (400, refusal)) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ProviderError, match="use shorter passages") as caught:
            find_embedder("openai-api/odd/m").embed(TEXTS)
    assert "8,193 tokens are too many for [key]" in str(caught.value)


def test_only_new_texts_are_embedded_and_paid_for(provider: LoopbackProvider, store: Store) -> None:
    by = find_embedder(HOSTED)
    first = keep(TEXTS, store, by)
    paid = provider.usage.input
    again = keep([*TEXTS[::-1], "petrol", TEXTS[0]], store, by)
    sent = [text for body in requests(provider) for text in body["input"]]
    assert sent == [*TEXTS, "petrol"]
    assert first.tokens == paid
    assert again.tokens == pytest.approx(provider.usage.input)
    assert again.seconds > first.seconds > 0
    np.testing.assert_array_equal(again.vectors[:4], first.vectors[::-1])
    np.testing.assert_array_equal(again.vectors[5], first.vectors[0])


def test_an_interrupted_embedding_goes_on_where_it_stopped(
    provider: LoopbackProvider, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosted, "_TEXTS", 10)
    monkeypatch.setattr(hosted, "_CONNECTIONS", 1)
    texts = [f"text {at}" for at in range(100)]
    by = find_embedder(HOSTED)
    provider.inject(Fault("unauthorized", requests=range(4, 100)))
    with pytest.raises(ProviderError, match="401"):
        keep(texts, store, by)
    provider.inject()
    found = keep(texts, store, by)
    assert provider.requests.by_status[200] == 10
    assert found.tokens == provider.usage.input
    assert found.vectors.shape == (100, 8)


def test_embedders_do_not_share_vectors(model: Path, store: Store) -> None:
    found = [embed_once(TEXTS, store, embedder=find_embedder(f"{model}{end}"))[0] for end in ("", ":prefix=none")]
    assert not np.allclose(found[0], found[1], atol=2e-2)
    assert len([*store.root.glob("vectors/*.sqlite")]) == 2


def test_a_plan_counts_what_is_missing_and_writes_nothing(
    provider: LoopbackProvider, model: Path, store: Store
) -> None:
    reading = ReadOnlyStore(store.root)
    local, remote = find_embedder(str(model)), find_embedder(HOSTED)
    with pytest.raises(NotBuilt) as caught:
        require(reading, remote, TEXTS[:2], [*TEXTS[1:], TEXTS[0]])
    assert caught.value.of == {"texts": TEXTS, "embedder": HOSTED}
    assert not store.root.exists()
    keep(TEXTS[:3], store, local)
    with pytest.raises(NotBuilt) as caught:
        keep(TEXTS, reading, local)
    assert caught.value.of["texts"] == TEXTS[3:]
    assert keep(TEXTS[:3], reading, local).vectors.shape == (3, 16)
    keep(TEXTS, store, remote)
    with pytest.raises(NotBuilt) as caught:  # a search would send queries
        keep(TEXTS, reading, remote)
    assert caught.value.of["texts"] == []
    assert keep(TEXTS, ReadOnlyStore(store.root, builds=frozenset({"embeddings"})), remote).vectors.shape == (4, 8)
    assert measured(store, remote).tokens == provider.usage.input


def test_a_damaged_file_of_vectors_is_named(model: Path, store: Store) -> None:
    by = find_embedder(str(model))
    keep(TEXTS, store, by)
    file = next(store.root.glob("vectors/*.sqlite"))
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(RunError, match="delete it") as caught:
        keep(TEXTS, store, by)
    assert str(file) in str(caught.value)


def test_tokens_of_an_embedder_are_priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    small, ours = find_embedder("openai/text-embedding-3-small:dimensions=256"), find_embedder("openai-api/acme/ours")
    assert usd_of(small, 1_000_000) == pytest.approx(0.02)
    assert usd_of(small, None) is None
    assert usd_of(ours, 1_000_000) is None
    assert usd_of(find_embedder(str(model)), None) == 0.0
    row = (
        '[[price]]\nmodel = "openai-api/acme/ours"\ninput = 0.5\noutput = 0\nsource = "contract"\nas_of = 2026-11-01\n'
    )
    Path("prices.toml").write_text(row, "utf-8")
    assert usd_of(ours, 1_000_000) == pytest.approx(0.5)


def test_the_bundled_embedder_is_found_by_default() -> None:
    assert find_embedder().identity == embedders.EMBEDDER
    assert find_embedder("minilm:dimensions=64").dimensions == 64


@pytest.mark.parametrize("built", [False, True])
def test_a_plan_agrees_with_the_providers_bill(
    provider: LoopbackProvider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, built: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    row = f'[[price]]\nmodel = "{HOSTED}"\ninput = 0.02\noutput = 0\nsource = "loopback"\nas_of = 2026-11-01\n'
    Path("prices.toml").write_text(row, "utf-8")
    suite, spec = example_suite(train=64), f"rag:k=2,documents=1,embedder={HOSTED}"
    answering = FakeModel(answer=lambda _: "fuel")
    if built:
        run(suite, [spec], models=[answering], probe=0, out=tmp_path / "first")
    before = len(provider.requests), provider.bill_usd
    planned = plan(suite, [spec], models=[answering], probe=0).candidates[0]
    assert (planned.error, len(provider.requests)) == (None, before[0])  # it sends nothing
    setup = run(suite, [spec], models=[answering], probe=0, out=tmp_path / "second").info["candidates"][0]["setup"]
    spent = 0.0 if built else setup["usd"]  # what is built costs nothing again, and is reported nevertheless
    assert spent <= provider.bill_usd - before[1]
    assert planned.setup_usd == pytest.approx(spent, rel=0.05)
    assert planned.setup_tokens == pytest.approx(spent / 0.02 * 1e6, rel=0.05)
    assert setup["usd"] > 0
    assert setup["device_seconds"] < setup["seconds"]
    assert (planned.missing == ["embeddings"]) != built
