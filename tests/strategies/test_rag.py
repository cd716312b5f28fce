"""The options of rag: what is shown, what is measured, what dev chooses, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from conftest import make_suite
from helpers.encoders import Hashing
from inspect_ai.model import ModelOutput

import thirdlever
from thirdlever import Document, Item, Split, Store, Text
from thirdlever.core.errors import StrategyError
from thirdlever.models import bundled
from thirdlever.prompting.frame import REWRITING
from thirdlever.retrieval import embedders
from thirdlever.strategies.specs import parse
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from pathlib import Path

    from thirdlever import Deployment, Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project")

TOWNS = ("Arden", "Brill", "Corby", "Delph", "Ember", "Frome", "Gweek", "Hythe", "Irton", "Jarow", "Keld", "Looe")


@pytest.fixture(scope="module")
def tokens_of_words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tokenizer whose tokens are words, so that nothing is downloaded."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    unknown = "[UNK]"
    tokenizer = Tokenizer(models.WordLevel({unknown: 0}, unk_token=unknown))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch, tokens_of_words: Path) -> Hashing:
    own = embedders.LocalEmbedder(embedders.MINILM, embedders.EMBEDDER)  # which has not read its tokenizer yet
    monkeypatch.setattr(embedders, "_MINILM", own)
    hashing = Hashing()
    monkeypatch.setattr(embedders, "_model", lambda _: hashing)
    monkeypatch.setattr(bundled, "embedder_folder", lambda: tokens_of_words)
    return hashing


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def depots() -> Suite:
    """Questions on depots of two regions: each has a document in both, with another answer."""

    def item(split: str, at: int) -> Item:
        region = ("north", "south")[at % 2]
        gold = f"{region}-{at % len(TOWNS)}"
        question = f"How many doors has the depot {TOWNS[at % len(TOWNS)]} for {split}?"
        return Item(
            f"{split}-{at}", question, answer(region, at % len(TOWNS)), fields={"region": region, "gold": [gold]}
        )

    def answer(region: str, at: int) -> str:
        return str(100 * (1 + (region == "south")) + at)

    documents = tuple(
        Document(f"{region}-{at}", f"Depot {town}", f"It has {answer(region, at)} doors.", {"region": region})
        for region in ("north", "south")
        for at, town in enumerate(TOWNS)
    )
    splits = {name: Split(name, tuple(item(name, at) for at in range(12))) for name in ("train", "dev", "test")}
    return replace(
        make_suite(),
        answer=Text(),
        train=splits["train"],
        dev=splits["dev"],
        test_split=splits["test"],
        documents=documents,
        card={"near_leaks": "the questions differ in a name only"},
    )


def measure(suite: Suite, *specs: str, model: FakeModel | None = None, probe: int = 0) -> Run:
    return thirdlever.run(suite, specs, models=[model or FakeModel(answer=last_number)], out="out", probe=probe)


def last_number(prompt: str) -> str:
    """Reads the last document that it is shown."""
    found = [word for word in prompt.split() if word.isdigit()]
    return found[-1] if found else "none"


def prepare(spec: str, suite: Suite, store: Store, model: FakeModel | None = None) -> Deployment:
    return parse(spec).prepare(suite.without_test(), model or FakeModel(answer=last_number), store)


# What is found


def test_a_filter_by_the_items_column_finds_its_document(depots: Suite) -> None:
    run = measure(depots, "rag:k=0,documents=1", "rag:k=0,documents=1,filter=region")
    right = run.records.groupby("candidate")["score"].mean()
    found = {name: rows["answer_rank"].gt(0).mean() for name, rows in run.records.groupby("candidate")}
    assert found["rag(k=0, documents=1, filter=region)"] == right["rag(k=0, documents=1, filter=region)"] == 1
    assert found["rag(k=0, documents=1)"] == 0.5  # of equals, the north's


@pytest.mark.parametrize("search", ["dense", "lexical", "hybrid"])
def test_records_say_what_was_found_and_how_long_it_took(search: str, depots: Suite) -> None:
    records = measure(depots, f"rag:k=2,documents=3,search={search}").records
    assert {len(json.loads(found)) for found in records["retrieved"]} == {3}
    assert records["embedding_s"].notna().all() == (search != "lexical")
    parts = records[["embedding_s", "search_s"]].sum(axis=1)
    assert ((parts > 0) & (parts <= records["retrieval_s"])).all()
    assert records["ranking_s"].isna().all()
    assert (records["retrieval_usd"] == 0).all()


def test_examples_alone_are_no_documents_that_were_not_found(depots: Suite) -> None:
    records = measure(depots, "rag:k=2").records
    assert records[["retrieved", "answer_rank", "gold"]].isna().all(axis=None)
    assert records["search_s"].gt(0).all()


def test_the_query_is_embedded_once_for_examples_and_documents(depots: Suite, encoder: Hashing) -> None:
    measure(depots, "rag:k=2,documents=2")
    assert all(encoder.texts.count(item.input) == 1 for item in depots.test)


# The query


def test_the_model_writes_the_query(depots: Suite) -> None:
    def answered(prompt: str) -> str:
        if prompt.startswith(REWRITING):
            return ' "Depot Keld"\nIt is about a depot.'
        return last_number(prompt)

    model = FakeModel(answer=answered)
    run = measure(depots, "rag:k=0,documents=1,rewrite=true", model=model)
    assert {tuple(json.loads(found)) for found in run.records["retrieved"]} == {("north-10",)}
    assert len(model.prompts) == 24
    plain = measure_plain(depots)
    assert run.records["input_tokens"].min() > plain.records["input_tokens"].max()  # both calls are counted


def measure_plain(suite: Suite) -> Run:
    model = FakeModel(answer=last_number)
    return thirdlever.run(suite, ["rag:k=0,documents=1"], models=[model], out="plain", probe=0)


@pytest.mark.parametrize("written", ["", "  \n", "word " * 65, "cut"])
def test_a_query_that_cannot_be_used_is_replaced_by_the_input(written: str, depots: Suite) -> None:
    def answered(prompt: str) -> str | ModelOutput:
        if not prompt.startswith(REWRITING):
            return last_number(prompt)
        return ModelOutput.from_content("fake", "Keld", stop_reason="max_tokens") if written == "cut" else written

    records = measure(depots, "rag:k=0,documents=1,rewrite=true", model=FakeModel(answer=answered)).records
    plain = measure_plain(depots).records
    assert records["retrieved"].to_list() == plain["retrieved"].to_list()


def test_a_context_function_may_take_the_item(depots: Suite) -> None:
    seen: list[Item] = []

    def find(text: str, item: Item) -> thirdlever.Context:
        assert item.input == text
        seen.append(item)
        return thirdlever.Context()

    model = FakeModel(answer=last_number)
    deployment = thirdlever.Deployment(thirdlever.ask(depots, find), model=model)
    from thirdlever.evaluation.passes import Pass, evaluate

    work = Pass(
        name="x", phase="accuracy", suite=depots, items=depots.test, epochs=1, seed=0, constrain=False, about={}
    )
    evaluate(work, deployment, answered=lambda _: None, keep=lambda _: True, lose=lambda: None)
    assert [item.fields["region"] for item in seen] == [item.fields["region"] for item in depots.test]
    assert {item.target for item in seen} == {""}


# What dev chooses


def test_dev_chooses_within_a_budget_and_the_run_says_what(depots: Suite, store: Store) -> None:
    model = FakeModel(answer=last_number)
    deployment = prepare("rag:k=0,documents=auto,passage=auto,search=auto,filter=region", depots, store, model)
    assert len(model.prompts) <= 12 * len(depots.dev)
    assert deployment.chosen == "k=0,documents=2,passage=100,search=dense"  # all find all: the cheapest
    asked = len(model.prompts)
    again = prepare("rag:k=0,documents=auto,passage=auto,search=auto,filter=region", depots, store, model)
    assert (again.chosen, again.setup) == (deployment.chosen, deployment.setup)
    assert len(model.prompts) == asked


def test_a_run_keeps_what_dev_chose(depots: Suite) -> None:
    from thirdlever.report.memo_content import chosen_facts

    run = measure(depots, "rag:k=0,documents=1,search=auto")
    assert run.info["candidates"][0]["chosen"] == "k=0,documents=1,passage=none,search=dense"
    [(what, value)] = chosen_facts(run)
    assert what == "rag(k=0, documents=1, search=auto), chosen on dev"
    assert value == "k=0, documents=1, passage=none, search=dense"


def test_retrieval_alone_selects_what_the_model_is_asked_with(depots: Suite, store: Store) -> None:
    model = FakeModel(answer=last_number)
    prepare("rag:k=auto,documents=auto,search=auto", depots, store, model)
    assert len(model.prompts) == 9 * len(depots.dev)  # 9 pairs of counts leave room for one search
    [facts] = [json.loads(path.read_text()) for path in store.root.glob("recall/*/artefact.json")]
    assert len(facts["recall"]) == 3
    assert all(0 <= share <= 1 for share in facts["recall"])


def test_each_index_that_was_tried_is_paid_for_once(depots: Suite, store: Store) -> None:
    deployment = prepare("rag:k=0,documents=1,passage=auto,search=auto", depots, store)
    [selected], [choice] = (
        [json.loads(path.read_text()) for path in store.root.glob(f"{kind}/*/artefact.json")]
        for kind in ("recall", "choice")
    )
    built = selected["costs"]
    assert len(built) == 2  # dense and lexical: documents this short are passages of any length
    expected = choice["seconds"] + sum(cost["seconds"] for cost in built.values())
    assert deployment.setup.seconds == pytest.approx(expected)


def test_too_many_combinations_are_refused_where_nothing_selects(suite: Suite, store: Store) -> None:
    known = replace(suite, documents=(Document("a", "Rule", "diesel is fuel"),))
    with pytest.raises(StrategyError, match="auto stands for 81 combinations, more than 12"):
        prepare("rag:k=auto,documents=auto,passage=auto,search=auto", known, store)
    assert prepare("rag:k=auto,search=auto", known, store, FakeModel(answer=lambda _: "fuel")).chosen


# What is refused


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rag:passage=100", "rag: passage and worked need documents; give documents 1 or more"),
        ("rag:documents=1,overlap=5", "rag: overlap=5 is not allowed; expected less than the passage"),
        ("rag:documents=1,passage=50,overlap=50", "rag: overlap=50 is not allowed"),
        ("rag:diversity=1", "diversity=1 is not allowed"),
        ("rag:candidates=0", "candidates=0 is not allowed"),
        ("rag:filter==x", "invalid filter='=x'; write FIELD, FIELD=COLUMN or FIELD:VALUE"),
        ("rag:search=fuzzy", "invalid search='fuzzy'; expected"),
    ],
)
def test_invalid_options_are_refused_before_anything_is_done(spec: str, message: str) -> None:
    with pytest.raises(StrategyError) as caught:
        parse(spec)
    assert message in str(caught.value)


def test_a_filter_by_what_is_not_there_is_refused(depots: Suite, store: Store) -> None:
    with pytest.raises(StrategyError, match="field 'regoin' not found; did you mean 'region'"):
        prepare("rag:k=0,documents=1,filter=regoin", depots, store)
    with pytest.raises(StrategyError, match="column 'area' not found"):
        prepare("rag:k=0,documents=1,filter=region=area", depots, store)
