"""Search by words, by both, re-ranked, varied and filtered; what is found, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import make_suite
from helpers.encoders import Hashing

from thirdlever import Document, Item, Query, Search, Store, Text, holds_answer, index
from thirdlever.core.errors import ModelError, StrategyError
from thirdlever.models import bundled
from thirdlever.retrieval import embedders
from thirdlever.retrieval.index import diverse, fused, read_filter
from thirdlever.retrieval.lexical import language_of, lexical, words
from thirdlever.retrieval.rerankers import find_reranker

pytest.importorskip("bm25s", reason="needs the extra `rag`")

ENGLISH = "The cup of the machine is in the box that was sent to you, and it is not for the oven."
GERMAN = "Die Tasse der Maschine ist in der Kiste, die an Sie gesandt wurde, und sie ist nicht für den Ofen."
RULES = (
    Document("a", "Fuel", "petrol and diesel at the pump", {"product": "card", "lang": ["en", "de"]}),
    Document("b", "Food", "bread and milk at the shop", {"product": "loan", "lang": "en"}),
    Document("c", "Rent", "bread is paid with the rent", {"product": "card", "lang": "de"}),
    Document("d", "Empty", "nothing of the kind"),
)


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Hashing:
    hashing = Hashing()
    monkeypatch.setattr(embedders, "_model", lambda _: hashing)
    monkeypatch.setattr(bundled, "embedder_folder", Path)  # nothing is downloaded for it
    return hashing


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cross-encoder of random weights, a few kilobytes."""
    return make_encoder(tmp_path_factory.mktemp("ranker"), labels=1)


def make_encoder(folder: Path, *, labels: int) -> Path:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    listed = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted(set(words(" ".join(d.title + " " + d.text for d in RULES))))]
    tokenizer = Tokenizer(models.WordLevel({word: at for at, word in enumerate(listed)}, unk_token=listed[1]))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    fast: Any = PreTrainedTokenizerFast  # carries no types
    fast(tokenizer_object=tokenizer, model_max_length=32, **special).save_pretrained(folder)
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    size |= {"num_labels": labels}
    config = BertConfig(vocab_size=len(listed), max_position_embeddings=32, initializer_range=1.0, **size)
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def ids(found: list[Document]) -> list[str]:
    return [document.id for document in found]


# By words


def test_lexical_search_finds_what_shares_words_best_first(store: Store) -> None:
    found = index(RULES, store, search=Search(by="lexical"))
    assert ids(found.nearest("BREAD, milk?", 5)) == ["b", "c"]
    assert ids(found.nearest("bread", 1)) == ["b"]
    assert found.nearest("zeppelin", 5) == found.nearest("…", 5) == []


def test_lexical_search_embeds_nothing(store: Store, encoder: Hashing) -> None:
    hits = index(RULES, store, search=Search(by="lexical")).find("bread", 2)
    assert encoder.texts == []
    assert (hits.embedding_s, hits.ranking_s, hits.usd) == (None, None, 0.0)
    assert (hits.search_s or 0) > 0


def test_lexical_scores_are_those_of_the_formula(store: Store) -> None:
    texts = ["a b b", "b c", "d"]
    scores = dict(lexical(texts, store).nearest("b", 9))
    idf = np.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    by_hand = {at: idf * f / (f + 1.5 * (1 - 0.75 + 0.75 * length / 2)) for at, f, length in ((0, 2, 3), (1, 1, 2))}
    assert scores == pytest.approx(by_hand, rel=1e-5)


def test_of_equal_scores_the_earlier_text_comes_first(store: Store) -> None:
    assert [at for at, _ in lexical(["x y"] * 30, store).nearest("y", 4)] == [0, 1, 2, 3]


def test_texts_without_words_are_never_found(store: Store) -> None:
    assert lexical(["…", "?!"], store).nearest("a", 3) == []


@pytest.mark.parametrize(("text", "language"), [(ENGLISH, "english"), (GERMAN, "german"), ("SHELL 0412 BERLIN", None)])
def test_the_language_is_that_of_the_function_words(text: str, language: str | None) -> None:
    assert language_of([text]) == language


def test_words_are_stemmed_in_the_language_of_the_texts(store: Store) -> None:
    found = lexical([GERMAN, "Der Motor ist nicht in der Halle und wurde für die Straße geprüft."], store)
    assert found.language == "german"
    assert [at for at, _ in found.nearest("Maschinen", 2)] == [0]
    assert [at for at, _ in found.nearest("STRASSEN", 2)] == [1]


def test_the_lexical_index_is_built_once(store: Store) -> None:
    first, second = (index(RULES, store, search=Search(by="lexical")) for _ in range(2))
    assert first.seconds == second.seconds > 0
    assert len([*store.root.glob("lexical/*/artefact.json")]) == 1


# By both


def test_fusion_adds_reciprocal_ranks() -> None:
    assert fused([5, 6], [6, 7]) == [(6, 1 / 62 + 1 / 61), (5, 1 / 61), (7, 1 / 62)]
    assert [number for number, _ in fused([2], [1])] == [1, 2]  # of equals, the lower number


def test_hybrid_search_fuses_both_rankings(store: Store) -> None:
    ways = {by: index(RULES, store, search=Search(by=by)) for by in ("dense", "lexical", "hybrid")}
    for text in ("bread at the shop", "pump", "zeppelin"):
        dense, worded = (ids(ways[by].nearest(text, 4)) for by in ("dense", "lexical"))
        expected = fused(*([ord(each) for each in ranking] for ranking in (dense, worded)))
        assert ids(ways["hybrid"].nearest(text, 4)) == [chr(number) for number, _ in expected]


# Ranked again


def test_a_cross_encoder_ranks_the_candidates_again(cross_encoder: Path, store: Store) -> None:
    plain = index(RULES, store).nearest("bread", 4)
    found = index(RULES, store, search=Search(rerank=str(cross_encoder), candidates=3)).find("bread", 4)
    texts = [f"{document.title}\n{document.text}" for document in plain[:3]]
    scores = find_reranker(str(cross_encoder)).scores("bread", texts)
    assert len(set(scores.tolist())) == 3
    assert ids([*found.entries]) == [plain[at].id for at in np.argsort(-scores)] + [plain[3].id]
    assert (found.ranking_s or 0) > 0


def test_texts_longer_than_what_a_model_reads_are_reported(
    cross_encoder: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    long = Document("long", "Long", "bread " * 40)
    index([*RULES, long], store, search=Search(by="lexical", rerank=str(cross_encoder)))
    assert "1 of 5 texts are longer than the 32 tokens" in capsys.readouterr().err


@pytest.mark.parametrize("fault", ["missing", "embedder", "two", "pickle"])
def test_what_is_no_cross_encoder_is_refused(fault: str, cross_encoder: Path, tmp_path: Path) -> None:
    folder, expected = tmp_path / fault, "is not a folder"
    if fault == "embedder":
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
        (folder / "model.safetensors").touch()
        expected = "is BertModel, not a cross-encoder"
    elif fault == "two":
        make_encoder(folder, labels=2)
        expected = "has 2 outputs, not a cross-encoder"
    elif fault == "pickle":
        folder.mkdir()
        (folder / "config.json").write_bytes((cross_encoder / "config.json").read_bytes())
        (folder / "pytorch_model.bin").touch()
        expected = "has no *.safetensors"
    with pytest.raises(ModelError, match=expected.replace("*", r"\*")):
        Search(rerank=str(folder))


# Varied


def test_diversity_follows_the_formula() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    assert diverse([3, 2, 1], vectors, 3, 0.0) == [0, 1, 2]
    # After the first: 0.5 × 0.5 - 0.5 × 1 = -0.25 for its twin, 0 - 0 for the other.
    assert diverse([3, 2, 1], vectors, 3, 0.5) == [0, 2, 1]
    assert diverse([3, 2, 1], vectors, 1, 0.5) == [0]
    assert diverse([2, 2, 2], vectors, 3, 0.5) == [0, 2, 1]
    assert diverse([1], vectors[:1], 3, 0.5) == [0]


def test_diversity_passes_over_repeats(store: Store) -> None:
    entries = [Document(f"d{n}", "Bread", "bread milk") for n in range(3)] + [Document("x", "Bread", "rent opera")]
    assert ids(index(entries, store).nearest("bread", 2)) == ["d0", "d1"]
    assert ids(index(entries, store, search=Search(diversity=0.8)).nearest("bread", 2)) == ["d0", "x"]
    assert ids(index(entries, store, search=Search(by="lexical", diversity=0.8)).nearest("bread", 2)) == ["d0", "x"]


# Filtered


@pytest.mark.parametrize("by", ["dense", "lexical", "hybrid"])
@pytest.mark.parametrize(
    ("rule", "fields", "expected"),
    [
        ("product", {"product": "card"}, {"a", "c"}),
        ("product", {"product": "none of them"}, set()),
        ("product", {}, set()),
        ("product=kind", {"kind": "loan"}, {"b"}),
        ("lang:de", {}, {"a", "c"}),
        ("product+lang:en", {"product": "card"}, {"a"}),
        ("product", {"product": ["card", "loan"]}, {"a", "b", "c"}),
    ],
)
def test_a_filter_leaves_what_fits_the_item(
    by: str, rule: str, fields: dict[str, object], expected: set[str], store: Store
) -> None:
    found = index(RULES, store, search=Search(by=by, filter=rule))  # type: ignore[arg-type]
    query = Query("petrol and bread with milk", fields)
    assert set(ids(found.nearest(query, 4))) == expected


def test_a_filtered_search_ranks_as_an_index_of_the_rest(store: Store) -> None:
    text = "bread at the rent"
    filtered = index(RULES, store, search=Search(filter="product:card")).nearest(text, 4)
    assert filtered == index([RULES[0], RULES[2]], store).nearest(text, 4)


@pytest.mark.parametrize("rule", ["", "+", "a=", "=b", "a:", "a=b:c"])
def test_an_invalid_filter_is_refused(rule: str) -> None:
    with pytest.raises(StrategyError, match="invalid filter="):
        read_filter(rule)


def test_an_unknown_field_or_column_is_one_sentence(store: Store) -> None:
    with pytest.raises(StrategyError) as caught:
        index(RULES, store, search=Search(filter="produkt"))
    assert str(caught.value) == "filter: field 'produkt' not found; did you mean 'product'? Available: lang, product"
    found = index(RULES, store, search=Search(filter="product=kind"))
    with pytest.raises(StrategyError, match="column 'kind' not found"):
        found.check([Item("1", "bread", "x", fields={"other": 1})])


# Queries and settings


def test_a_query_is_embedded_once_for_several_indexes(store: Store, encoder: Hashing) -> None:
    both = [index(RULES, store), index(RULES[:2], store)]
    encoder.texts.clear()
    query = Query("bread")
    hits = [found.find(query, 1) for found in both]
    assert encoder.texts == ["bread"]
    assert [len(each.entries) for each in hits] == [1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"by": "fuzzy"}, "search='fuzzy' is not allowed; expected dense, lexical or hybrid"),
        ({"candidates": 0}, "candidates=0 is not allowed; expected 1 or more"),
        ({"diversity": 1.0}, "diversity=1 is not allowed; expected 0 or more, and less than 1"),
        ({"diversity": -0.1}, "diversity=-0.1 is not allowed; expected 0 or more, and less than 1"),
    ],
)
def test_settings_that_make_no_search_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(StrategyError) as caught:
        Search(**settings)  # type: ignore[arg-type]
    assert str(caught.value) == message


# Evidence


def test_evidence_is_a_quote_in_a_gold_document() -> None:
    text_suite = replace(make_suite(), answer=Text())
    known = Document("hb#2", "Oven", "It weighs 4.3 kg.")
    item = Item("1", "What does it weigh?", "4.3 kg", fields={"gold": ["hb"]})
    assert holds_answer(text_suite, item, [known]) is True
    assert holds_answer(text_suite, item, [Document("other", "Oven", "4.3 kg")]) is False
    assert holds_answer(text_suite, Item("1", "…", "4.3 kg"), [Document("other", "Oven", "4.3 kg")]) is True
    assert holds_answer(text_suite, item, []) is False
