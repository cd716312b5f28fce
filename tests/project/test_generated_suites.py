"""The committed `tickets`, `handbook` and `voice` data is what the generators write and what the cards say."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import product, starmap
from pathlib import Path
from typing import Any

import pytest
import yaml

from thirdlever.answers.structured import Json
from thirdlever.suites.find import find_suite

ROOT = Path(__file__).parents[2]
SIZES = {
    "tickets": {"train": 1_200, "dev": 150, "test": 400},
    "handbook": {"train": 600, "dev": 80, "test": 240},
    "voice": {"train": 300, "dev": 60, "test": 120},
}
BESIDE = {"tickets": [], "handbook": ["documents.jsonl"], "voice": ["human.jsonl"]}
SPLITS = ("train", "dev", "test")
ORDER = r"[A-F]-\d{4}"
UNKNOWN = "not in the handbook"
TOO_NEAR = 0.8

Row = dict[str, Any]
every_suite = pytest.mark.parametrize("name", SIZES)


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project whose suites these are, wherever the tests are started."""
    monkeypatch.chdir(ROOT)


@cache
def read(name: str, file: str) -> list[Row]:
    return [json.loads(line) for line in (ROOT / "datasets" / name / file).read_text("utf-8").splitlines()]


def rows(name: str, *splits: str) -> list[Row]:
    return [row for split in splits or SPLITS for row in read(name, f"{split}.jsonl")]


def card(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "datasets" / name / "card.yaml").read_text("utf-8"))
    return loaded


@cache
def names() -> str:
    """A pattern of the order numbers and first names, each of which counts as one and the same word."""
    signed = {row["target"].removeprefix("Hi ").partition(",")[0] for row in rows("voice")}
    return rf"{ORDER}|\b(?:{'|'.join(sorted(signed))})\b"


@cache
def folded(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", re.sub(names(), "_", text).casefold()))


def overlap(one: str, other: str) -> float:
    both = len(folded(one) & folded(other))
    return both / (len(folded(one)) + len(folded(other)) - both)


# All three


@every_suite
def test_the_generator_writes_the_committed_bytes(name: str, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "scripts" / name / "generate.py"), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(written) == sorted([*(f"{split}.jsonl" for split in SPLITS), *BESIDE[name], "card.yaml"])
    for file, content in written.items():
        assert content == (ROOT / "datasets" / name / file).read_bytes(), f"{file} differs; run the generator again"


@every_suite
def test_each_split_has_its_size(name: str) -> None:
    assert {split: len(read(name, f"{split}.jsonl")) for split in SPLITS} == SIZES[name]


@every_suite
def test_rows_begin_with_the_four_keys_and_have_one_line(name: str) -> None:
    for row in rows(name):
        assert list(row)[:4] == ["id", "input", "target", "slice"]
        assert row["input"] == " ".join(row["input"].split())


@every_suite
def test_ids_and_inputs_are_unique(name: str) -> None:
    assert len({row["id"] for row in rows(name)}) == len(rows(name))
    assert len({row["input"].casefold() for row in rows(name)}) == len(rows(name))


@pytest.mark.parametrize("name", ["tickets", "voice"])
def test_no_input_is_near_to_one_of_another_split(name: str) -> None:
    for one, other in (("test", "train"), ("test", "dev"), ("dev", "train")):
        inputs = [[row["input"] for row in rows(name, split)] for split in (one, other)]
        assert max(starmap(overlap, product(*inputs))) < TOO_NEAR, (one, other)


@every_suite
def test_the_card_counts_and_digests_truly(name: str) -> None:
    stated, folder = card(name), ROOT / "datasets" / name
    for split in SPLITS:
        slices = Counter(row["slice"] for row in rows(name, split))
        assert Counter({part: entry[split] for part, entry in stated["slices"].items()}) == slices
    assert stated["counts"] == SIZES[name]
    assert stated["sha256"] == {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jsonl")
    }


@pytest.mark.parametrize("name", ["tickets", "voice"])
def test_train_has_every_situation(name: str) -> None:
    situations = {split: {row["situation"] for row in rows(name, split)} for split in SPLITS}
    assert situations["dev"] | situations["test"] <= situations["train"]


# Tickets


def target(row: Row) -> Row:
    fields: Row = json.loads(row["target"])
    return fields


def tickets(pattern: str) -> list[tuple[str, Row]]:
    """Inputs that match, with their fields."""
    found = [(row["input"], target(row)) for row in rows("tickets") if re.search(pattern, row["input"], re.IGNORECASE)]
    assert found
    return found


def test_fields_have_the_values_that_the_schema_lists() -> None:
    suite = find_suite("tickets")
    assert isinstance(suite.answer, Json)
    for key, count in {"intent": 8, "product": 6, "priority": 3}.items():
        values = {target(row)[key] for row in rows("tickets")}
        assert len(values) == count
        assert [value for value in values if value not in suite.answer.describe()] == []


def test_the_order_is_one_that_the_ticket_names() -> None:
    for row in rows("tickets"):
        named = re.findall(ORDER, row["input"])
        assert (target(row)["order_id"] in named) if named else (target(row)["order_id"] is None)
        assert (row["slice"] == "two_orders") == (len(named) == 2)


def test_which_of_two_orders_is_meant_does_not_follow_from_its_place() -> None:
    two = [row for row in rows("tickets", "test") if row["slice"] == "two_orders"]
    first = sum(target(row)["order_id"] == re.findall(ORDER, row["input"])[0] for row in two)
    assert 0.25 < first / len(two) < 0.75


def test_a_double_charge_is_billing_although_a_refund_is_asked_for() -> None:
    assert {fields["intent"] for _, fields in tickets(r"charged twice|charges for|double payment")} == {"billing"}


def test_a_nickname_stands_for_one_product() -> None:
    for nickname, meant in {"Ember": "lamp", "Alpine": "heater", "Puffin": "kettle"}.items():
        about = [fields for text, fields in tickets(rf"\b{nickname}\b") if len(re.findall(ORDER, text)) < 2]
        assert {fields["product"] for fields in about} == {meant}


def test_a_blocked_shipment_or_payment_is_high_for_businesses_only() -> None:
    business = r"café|hotel|office|company|school|the shop\.|guests|clinic|salon|the firm"
    for text, fields in tickets(r"no sign of|card is refused"):
        assert (fields["priority"] == "high") == bool(re.search(business, text, re.IGNORECASE)), text


def test_words_of_urgency_decide_nothing() -> None:
    assert {fields["priority"] for _, fields in tickets(r"urgent!|please hurry|can't wait")} == {
        "low",
        "normal",
        "high",
    }


def test_whole_targets_are_rare() -> None:
    """So that one who knows only the targets of train is seldom right."""
    known = {row["target"] for row in rows("tickets", "train")}
    test = [row["target"] for row in rows("tickets", "test")]
    assert sum(target in known for target in test) / len(test) < 0.3
    assert Counter(test).most_common(1)[0][1] / len(test) < 0.1


# Handbook


@cache
def pages() -> dict[str, str]:
    return {page["id"]: page["text"] for page in read("handbook", "documents.jsonl")}


def test_the_handbook_has_60_pages_that_an_embedder_cuts() -> None:
    assert len(pages()) == 60
    assert all(300 <= len(text.split()) <= 600 for text in pages().values())


def test_test_has_its_slices() -> None:
    slices = Counter(row["slice"] for row in rows("handbook", "test"))
    assert slices == {"stable": 40, "changed": 90, "never": 90, "unanswerable": 20}


def test_the_gold_page_states_the_answer_once_and_the_former_one_never() -> None:
    for row in rows("handbook", "dev", "test"):
        if row["slice"] == "unanswerable":
            assert (row["target"], row["gold"]) == (UNKNOWN, [])
            continue
        [page] = row["gold"]
        assert pages()[page].count(row["target"]) == 1, row
        assert (row["former"] != "") == (row["slice"] == "changed")
        if row["former"]:
            assert row["former"] not in pages()[page]
            assert row["target"] not in row["former"]


def test_answers_stand_anywhere_in_their_pages() -> None:
    places = [
        pages()[row["gold"][0]].index(row["target"]) / len(pages()[row["gold"][0]])
        for row in rows("handbook", "test")
        if row["gold"]
    ]
    quarters = Counter(int(place * 4) for place in places)
    assert min(quarters[quarter] for quarter in range(4)) >= len(places) / 8


@pytest.mark.parametrize("split", ["dev", "test"])
def test_train_has_the_former_answer_of_a_changed_fact(split: str) -> None:
    """Train asks for it in other words, so it is found by its page and its answer."""
    taught = {(row["group"], row["target"]) for row in rows("handbook", "train")}
    for row in rows("handbook", split):
        match row["slice"]:
            case "changed":
                assert (row["group"], row["former"]) in taught
                assert (row["group"], row["target"]) not in taught
            case "stable":
                assert (row["group"], row["target"]) in taught
            case "never":
                assert (row["group"], row["target"]) not in taught


def test_no_question_is_near_to_one_about_its_page_in_another_split() -> None:
    for one, other in (("test", "train"), ("test", "dev"), ("dev", "train")):
        pairs = product(rows("handbook", one), rows("handbook", other))
        near = [(a["input"], b["input"]) for a, b in pairs if a["group"] == b["group"]]
        assert near
        assert max(starmap(overlap, near)) < TOO_NEAR


# Voice


def test_replies_name_the_customer_and_are_short() -> None:
    for row in rows("voice"):
        name = re.match(r"Hi (\w+),", row["target"])
        assert name
        assert name[1] in row["input"]
        assert len(row["target"]) <= 180


def test_people_call_half_of_the_replies_right_and_each_is_to_a_dev_item() -> None:
    human = read("voice", "human.jsonl")
    assert Counter(row["right"] for row in human) == {True: 30, False: 30}
    assert {row["id"] for row in human} == {row["id"] for row in rows("voice", "dev")}


def test_right_replies_keep_the_rules_and_some_wrong_ones_do_too() -> None:
    answer = find_suite("voice").answer
    kept = Counter((row["right"], answer.problem(row["answer"]) is None) for row in read("voice", "human.jsonl"))
    assert kept == {(True, True): 30, (False, True): 11, (False, False): 19}
