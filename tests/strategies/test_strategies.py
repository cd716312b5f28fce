"""Every file in strategies/ runs on a small suite; then the prompts and the costs of each."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from conftest import make_suite
from helpers.encoders import Hashing
from inspect_ai.model import ModelName
from inspect_ai.solver import TaskState

import thirdlever
from thirdlever import Document, Item, Label, Split, Store
from thirdlever.core.errors import StrategyError
from thirdlever.core.project import files, load_module
from thirdlever.prompting import frame
from thirdlever.retrieval import embedders
from thirdlever.strategies.specs import parse
from thirdlever.testing import FakeModel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thirdlever import Deployment, Suite
    from thirdlever.analysis.run import Run

pytestmark = pytest.mark.usefixtures("project")

TUNED = {"distilled", "lora", "managed"}  # need a model that can be tuned; their tests are their own
EVERY = sorted(set(files("strategies")) - TUNED)
SENTENCES = {
    "rag:k=0": "rag: k=0, documents=0 retrieves nothing; give k or documents 1 or more",
    "rag:k=-1": "rag: k=-1, documents=0 retrieves nothing; give k or documents 1 or more",
    "rag:documents=2": "rag: suite 'payments' has no documents; leave documents=2 out",
    "long_context:documents=shared": "long_context: suite 'payments' has no documents; leave documents=shared out",
    "long_context:tokens=300": "300 tokens have no room for demonstrations; use zero_shot",
}


class Turn(NamedTuple):
    """A message without the id that each gets anew."""

    role: str
    text: str


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Hashing:
    """In place of all-MiniLM-L6-v2."""
    hashing = Hashing()
    monkeypatch.setattr(embedders, "_model", lambda _: hashing)
    return hashing


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def fuel(_: str) -> str:
    return "fuel"


def measure(suite: Suite, *strategies: str, model: FakeModel | None = None, **options: Any) -> Run:  # noqa: ANN401
    return thirdlever.run(suite, strategies, models=[model or FakeModel(answer=fuel)], **{"out": "out", **options})


def prepare(spec: str, suite: Suite, store: Store, model: FakeModel | None = None) -> Deployment:
    return parse(spec).prepare(suite.without_test(), model or FakeModel(answer=fuel), store)


def state_after(deployment: Deployment, text: str) -> TaskState:
    """What the solver leaves when the model says nothing."""

    async def generate(state: TaskState, *_: object, **__: object) -> TaskState:
        return state

    state = TaskState(model=ModelName("none/none"), sample_id="1", epoch=1, input=text, messages=[])
    return asyncio.run(deployment.solver(state, generate))


def asked(deployment: Deployment, text: str = "POS test purchase at shop number 0") -> list[Turn]:
    return [Turn(message.role, message.text) for message in state_after(deployment, text).messages]


def predicted(deployment: Deployment, text: str) -> str:
    return state_after(deployment, text).output.completion


def shots(chat: list[Turn]) -> list[tuple[str, str]]:
    """The demonstrations that are turns: what was asked and what was answered."""
    turns = chat[1:-1]
    return [(user.text, answer.text) for user, answer in zip(turns[::2], turns[1::2], strict=True)]


def with_documents(suite: Suite) -> Suite:
    rules = ("Fuel rule", "diesel and petrol are fuel"), ("Food rule", "bread and milk are food")
    documents = tuple(Document(f"d{i}", title, text) for i, (title, text) in enumerate(rules))
    return replace(suite, documents=documents)


def spoken(inputs: Sequence[tuple[str, str]], labels: tuple[str, ...]) -> Suite:
    """A suite whose train split is these inputs with their targets, and whose dev is the same in capitals."""
    train = tuple(Item(f"train-{i}", text, target) for i, (text, target) in enumerate(inputs))
    dev = tuple(Item(f"dev-{i}", text.upper(), target) for i, (text, target) in enumerate(inputs))
    test = Split("test", (Item("test-0", "fresh bread", labels[0]),))
    return replace(
        make_suite(), answer=Label(labels), train=Split("train", train), dev=Split("dev", dev), test_split=test
    )


# Every strategy, a new one too


@pytest.mark.parametrize("name", EVERY)
def test_every_strategy_runs(name: str, suite: Suite) -> None:
    done = measure(suite, name, probe=2)
    assert done.info["status"] == "complete"
    assert done.records.groupby("phase").size().to_dict() == {"accuracy": 12, "latency": 3}
    assert done.records["error"].isna().all()
    assert set(done.records["prediction"]) <= {"food", "fuel"}
    assert done.records["prompt_hash"].isna().all() == done.records["model"].isna().all()
    assert done.summary["candidate"].to_list() == [name]


@pytest.mark.parametrize("name", EVERY)
def test_every_strategy_has_a_headline(name: str) -> None:
    factory = load_module(files("strategies")[name], StrategyError)
    headline = (getattr(factory, name).__doc__ or "").partition("\n")[0]
    assert headline.endswith(".")
    assert len(headline) <= 100  # a line of `thirdlever strategies`


@pytest.mark.parametrize("name", [*EVERY, "few_shot:k=auto", "rag:documents=2"])
def test_a_second_prepare_does_no_work(name: str, suite: Suite, store: Store, encoder: Hashing) -> None:
    suite, model = with_documents(suite), FakeModel(answer=fuel)
    first = prepare(name, suite, store, model)
    embedded, prompts = len(encoder.texts), len(model.prompts)
    second = prepare(name, suite, store, model)
    assert (len(encoder.texts), len(model.prompts)) == (embedded, prompts)
    assert second.setup == first.setup  # the cost is what it took when it was done
    assert asked(second) == asked(first) or first.model is None


@pytest.mark.parametrize("name", [*EVERY, "few_shot:k=auto", "rag:documents=2"])
def test_no_test_item_is_given_embedded_or_shown(name: str, suite: Suite, store: Store, encoder: Hashing) -> None:
    suite, model = with_documents(suite), FakeModel(answer=fuel)
    given = prepare(name, suite, store, model).given
    seen = [*given, *encoder.texts, *model.prompts]
    assert not [piece for piece in seen if "POS test" in str(piece)]
    measure(suite, name, model=model, probe=0, limit=4)
    shown = {prompt.count("POS test") for prompt in model.prompts[-4:]}
    assert shown <= {1} or (name == "cascade" and shown <= {0, 1})  # the one that is asked, if it is


@pytest.mark.parametrize("name", [*EVERY, "rag:documents=2"])
def test_everything_in_the_prompt_is_in_given(name: str, suite: Suite, store: Store) -> None:
    deployment = prepare(name, with_documents(suite), store)
    given = {piece.input if isinstance(piece, Item) else piece.text for piece in deployment.given}
    text = "\n".join(turn.text for turn in asked(deployment))
    shown = set(re.findall(r"POS (?:train|dev) purchase at shop number \d+", text))
    shown |= {document.text for document in with_documents(suite).documents if document.text in text}
    assert shown <= given


# What a model is shown: instruction and answer specification first, the item last


@pytest.mark.parametrize("name", EVERY)
def test_the_frame_is_the_same_for_every_strategy(name: str, suite: Suite, store: Store) -> None:
    deployment = prepare(name, suite, store)
    chat = asked(deployment)
    if deployment.model is None:
        assert chat == []
        return
    assert chat[0].role == "system"
    assert chat[0].text == "Sort payments.\nAnswer with exactly one category from this list: food, fuel."
    assert chat[-1].role == "user"
    assert chat[-1].text.endswith("Payment: POS test purchase at shop number 0\nCategory:")


def test_zero_shot_shows_no_example(suite: Suite, store: Store) -> None:
    deployment = prepare("zero_shot", suite, store)
    assert len(asked(deployment)) == 2
    assert deployment.setup == thirdlever.SetupCost()


# few_shot


@pytest.mark.parametrize("k", [1, 3, 8])
def test_few_shot_shows_k_turns(k: int, suite: Suite, store: Store) -> None:
    deployment = prepare(f"few_shot:k={k}", suite, store)
    drawn = suite.train.sample(k)
    assert shots(asked(deployment)) == [(frame.question(suite, item.input), item.target) for item in drawn]
    assert deployment.setup.labels == k


def test_few_shot_shows_the_same_for_every_item(suite: Suite, store: Store) -> None:
    deployment = prepare("few_shot:k=4", suite, store)
    assert asked(deployment, "one")[:-1] == asked(deployment, "two")[:-1]


def test_few_shot_balances_labels_by_default(suite: Suite, store: Store) -> None:
    answers = [answer for _, answer in shots(asked(prepare("few_shot:k=4", suite, store)))]
    assert sorted(answers) == ["food", "food", "fuel", "fuel"]
    random = [shots(asked(prepare(f"few_shot:k=4,select=random,seed={seed}", suite, store))) for seed in range(3)]
    assert random[0] != random[1] != random[2]


def right_with(wanted: int, suite: Suite) -> FakeModel:
    """A model that is right when it is shown so many demonstrations."""
    targets = {item.input: item.target for item in suite.dev}

    def answer(prompt: str) -> str:
        text = prompt.rpartition("Payment: ")[2].partition("\n")[0]
        right = targets.get(text, "fuel")
        return right if prompt.count("Payment: ") == wanted + 1 else {"food": "fuel", "fuel": "food"}[right]

    return FakeModel(answer=answer)


def test_few_shot_chooses_k_on_dev(suite: Suite, store: Store) -> None:
    model = right_with(8, suite)
    deployment = prepare("few_shot:k=auto", suite, store, model)
    assert len(deployment.given) == len(shots(asked(deployment))) == 8
    assert len(model.prompts) == 4 * len(suite.dev)
    assert all("POS dev" in prompt.rpartition("Payment: ")[2] for prompt in model.prompts)


def test_few_shot_chooses_the_cheapest_of_equal_options(suite: Suite, store: Store) -> None:
    assert len(prepare("few_shot:k=auto", suite, store).given) == 4


def test_few_shot_counts_the_cost_of_choosing(suite: Suite, store: Store) -> None:
    model = FakeModel(answer=fuel)
    setup = prepare("few_shot:k=auto", suite, store, model).setup
    assert setup.input_tokens == sum(model.tokens(prompt) for prompt in model.prompts)
    assert setup.output_tokens == 4 * len(suite.dev) * model.tokens("fuel")
    assert setup.seconds > 0


def test_few_shot_counts_the_labels_of_its_demonstrations_and_of_dev(suite: Suite, store: Store) -> None:
    setup = prepare("few_shot:k=auto", suite, store, right_with(8, suite)).setup
    assert setup.labels >= 8 + len(suite.dev)


def test_few_shot_cannot_choose_without_dev(suite: Suite, store: Store) -> None:
    with pytest.raises(StrategyError, match="dev"):
        prepare("few_shot:k=auto", replace(suite, dev=Split("dev", ())), store)


@pytest.mark.parametrize("how", ["balanced", "random"])
def test_few_shot_refuses_a_negative_k(how: str, suite: Suite, store: Store) -> None:
    with pytest.raises(StrategyError, match="k"):
        prepare(f"few_shot:k=-1,select={how}", suite, store)


# long_context


def long_suite(train: int = 300) -> Suite:
    items = tuple(Item(f"train-{i}", f"shop number {i} " + "x " * (i % 40), "food") for i in range(train - 1))
    return replace(make_suite(), train=Split("train", (*items, Item("last", "pump", "fuel"))))


def test_long_context_packs_all_but_four_into_one_message(suite: Suite, store: Store) -> None:
    deployment = prepare("long_context", suite, store)
    chat = asked(deployment)
    assert len(deployment.given) == deployment.setup.labels == 12
    assert [turn.role for turn in chat] == ["system", *["user", "assistant"] * 4, "user"]
    assert chat[1].text.count("Payment: ") == 12 - 4 + 1
    assert all(frame.demonstration(suite, item) in chat[1].text for item in deployment.given[:8])  # type: ignore[arg-type]


@pytest.mark.parametrize("tokens", ["window", "32000", "900"])
@pytest.mark.parametrize("window", [1000, 2500, 6000])
def test_long_context_never_exceeds_the_window(window: int, tokens: str, store: Store) -> None:
    suite = long_suite()
    model = FakeModel(context_window=window)
    deployment = prepare(f"long_context:tokens={tokens}", suite, store, model)
    longest = max((item.input for item in suite.train), key=len)
    sent = sum(model.tokens(turn.text) for turn in asked(deployment, longest))
    room = window if tokens == "window" else min(window, int(tokens))
    assert sent + suite.answer.max_tokens <= room
    assert sent > room / 3  # and it is used


def test_long_context_keeps_to_its_token_limit(store: Store) -> None:
    model = FakeModel(context_window=100_000)
    small, large = (prepare(f"long_context:tokens={n}", long_suite(), store, model) for n in (1500, 3000))
    assert len(small.given) < len(large.given) < 300


def test_long_context_stays_small_if_the_window_is_unknown(store: Store) -> None:
    deployment = prepare("long_context:tokens=window", long_suite(3000), store, FakeModel())
    assert sum(FakeModel().tokens(turn.text) for turn in asked(deployment)) < 8192


def library(topics: Sequence[str] = ("bread", "petrol", "opera", "rent")) -> Suite:
    """A suite with a document of about 100 tokens on each topic; train asks most about the last ones."""
    documents = tuple(Document(f"d-{topic}", topic, f"{topic} is explained here. " * 20) for topic in topics)
    train = tuple(
        Item(f"train-{topic}-{n}", f"about {topic} number {n}", "food" if n % 2 else "fuel")
        for place, topic in enumerate(topics)
        for n in range(2 + 2 * place)
    )
    return replace(make_suite(), documents=documents, train=Split("train", train))


def titles(text: str, suite: Suite) -> list[str]:
    """The documents that a message shows, in its order."""
    shown = [each for each in suite.documents if f"{each.title}\n{each.text}" in text]
    return [each.title for each in sorted(shown, key=lambda each: text.index(each.text))]


def test_long_context_shows_all_documents_if_they_fit(store: Store) -> None:
    suite = library()
    deployment = prepare("long_context:documents=shared", suite, store, FakeModel(context_window=8000))
    one, other = (asked(deployment, text) for text in ("about bread", "about opera"))
    assert titles(one[-1].text, suite) == ["rent", "opera", "petrol", "bread"]
    assert deployment.lever == "prompt"
    assert len(shots(one)) == 4
    assert one[-1].text.partition("Payment:")[0] == other[-1].text.partition("Payment:")[0]  # a cache holds all of it


def test_long_context_prefers_the_documents_that_train_asks_about(store: Store) -> None:
    suite, model = library(), FakeModel(context_window=750)
    deployment = prepare("long_context:documents=shared", suite, store, model)
    chat = asked(deployment, "about bread")
    assert titles(chat[-1].text, suite) == ["opera", "rent"]
    assert sum(model.tokens(turn.text) for turn in chat) <= 750
    assert {each.id for each in deployment.given} >= {"d-opera", "d-rent"}
    assert "d-bread" not in {each.id for each in deployment.given}


def test_long_context_shows_the_documents_nearest_to_each_item(store: Store) -> None:
    suite = library()
    deployment = prepare("long_context:documents=nearest", suite, store, FakeModel(context_window=1000))
    for topic in ("bread", "petrol"):
        assert titles(asked(deployment, f"about {topic}")[-1].text, suite)[-1] == topic
    assert deployment.lever == "retrieval"


def test_long_context_passes_over_a_document_that_does_not_fit(store: Store) -> None:
    suite = library()
    huge = replace(suite.documents[-1], text="rent is long. " * 2000)
    suite = replace(suite, documents=(*suite.documents[:-1], huge))
    deployment = prepare("long_context:documents=shared", suite, store, FakeModel(context_window=750))
    assert titles(asked(deployment)[-1].text, suite) == ["petrol", "opera"]


def test_the_records_say_which_documents_a_long_context_held() -> None:
    records = measure(library(), "long_context:documents=shared", model=FakeModel(answer=fuel)).records
    assert set(records["retrieved"]) == {json.dumps([f"d-{topic}" for topic in ("bread", "petrol", "opera", "rent")])}
    assert records["retrieval_s"].isna().all()


# rag


def test_rag_shows_the_nearest_last(store: Store) -> None:
    suite = spoken([("bread", "food"), ("fresh bread loaf", "food"), ("diesel", "fuel")], ("food", "fuel"))
    found = shots(asked(prepare("rag:k=2", suite, store), "fresh bread loaf"))
    assert [text.partition("\n")[0] for text, _ in found] == ["Payment: bread", "Payment: fresh bread loaf"]


def test_rag_shows_all_examples_if_there_are_fewer(suite: Suite, store: Store) -> None:
    assert len(shots(asked(prepare("rag:k=99", suite, store)))) == 12


def test_rag_puts_documents_beside_the_input(suite: Suite, store: Store) -> None:
    chat = asked(prepare("rag:k=2,documents=1", with_documents(suite), store), "petrol diesel")
    assert chat[-1].text.startswith("Fuel rule\ndiesel and petrol are fuel\n\nPayment: ")
    assert "Food rule" not in "".join(turn.text for turn in chat)


def test_rag_finds_passages_where_documents_are_too_long_to_embed(suite: Suite, store: Store) -> None:
    filler = "The office is open on weekdays. " * 60
    rules = (("Rules", f"{filler}\n\nA deposit box is rented as storage.\n\n{filler}"), ("Other", filler))
    long = replace(suite, documents=tuple(Document(f"d{i}", *rule) for i, rule in enumerate(rules)))
    deployment = prepare("rag:k=0,documents=1,passage=40", long, store)
    shown = asked(deployment, "rent of a deposit box")[-1].text
    assert shown.startswith("Rules\n")
    assert "A deposit box is rented as storage." in shown
    assert len(shown) < 400
    ids = [piece.id for piece in deployment.given if isinstance(piece, Document)]
    assert ids[:2] == ["d0#1", "d0#2"]


def test_worked_examples_are_shown_with_the_documents_that_hold_their_answer(suite: Suite, store: Store) -> None:
    deployment = prepare("rag:k=0,documents=1,worked=2", with_documents(suite), store)
    first, second = asked(deployment, "petrol"), asked(deployment, "bread")
    assert first[:-1] == second[:-1]
    assert [turn.role for turn in first] == ["system", "user", "assistant", "user", "assistant", "user"]
    assert all(answer.text in asking.text for asking, answer in zip(first[1:5:2], first[2:5:2], strict=True))
    assert deployment.setup.labels == 2


def test_rag_works_with_documents_alone(suite: Suite, store: Store) -> None:
    deployment = prepare("rag:k=0,documents=2", with_documents(suite), store)
    assert len(asked(deployment)) == 2
    assert [type(piece) for piece in deployment.given] == [Document, Document]
    assert deployment.setup.labels == 0


def test_rag_records_the_retrieval_time(suite: Suite) -> None:
    records = measure(suite, "rag:k=2", "zero_shot", probe=0).records
    rag = records[records["strategy"] == "rag"]
    assert ((rag["retrieval_s"] > 0) & (rag["retrieval_s"] < rag["latency_s"])).all()
    assert records[records["strategy"] == "zero_shot"]["retrieval_s"].isna().all()


@pytest.mark.parametrize("spec", SENTENCES)
def test_an_impossible_configuration_is_refused_in_one_sentence(spec: str, suite: Suite, store: Store) -> None:
    with pytest.raises(StrategyError) as caught:
        prepare(spec, suite, store)
    assert SENTENCES[spec] in str(caught.value)


# null


def test_null_majority_gives_the_most_frequent_answer(suite: Suite, store: Store) -> None:
    deployment = prepare("null:method=majority", suite, store)
    assert {predicted(deployment, text) for text in ("a", "b")} == {"fuel"}  # two thirds of the suite
    assert deployment.model is None


THREE = [("fresh bread", "food"), ("diesel pump", "fuel"), ("cinema ticket", "fun")] * 3


@pytest.mark.parametrize("labels", [("food", "fuel", "fun"), ("food", "fuel"), ("fuel", "food")])
def test_null_classifies_by_meaning(labels: tuple[str, ...], store: Store) -> None:
    """With two labels, too: scikit-learn keeps other weights then."""
    inputs = [(text, target) for text, target in THREE if target in labels]
    deployment = prepare("null", spoken(inputs, labels), store)
    assert {target: predicted(deployment, f"the {text} again") for text, target in inputs} == dict(
        zip(labels, labels, strict=True)
    )
    assert deployment.setup.labels == 2 * len(inputs)


def test_null_works_without_dev(store: Store) -> None:
    suite = replace(spoken(THREE, ("food", "fuel", "fun")), dev=Split("dev", ()))
    assert predicted(prepare("null", suite, store), "fresh bread") == "food"


def test_null_with_one_label_answers_it(store: Store) -> None:
    assert predicted(prepare("null", spoken([("bread", "food")] * 2, ("food",)), store), "anything") == "food"


def test_null_calls_no_model(suite: Suite) -> None:
    model = FakeModel(answer=fuel)
    done = measure(suite, "null", "null:method=majority", model=model, probe=2)
    assert model.prompts == []
    assert (done.records["input_tokens"] == 0).all()
