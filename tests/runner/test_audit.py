"""The audit finds planted faults, and none in clean data."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thirdlever.core import project
from thirdlever.core.store import Store
from thirdlever.runner.audit import Concern, audit, clean, hints, near_pairs
from thirdlever.suites.find import find_suite

if TYPE_CHECKING:
    from thirdlever.suites.suite import Item, Suite

KEYS = [
    "sk-proj-" + "a1B2" * 5,
    "AKIA" + "A1B2" * 4,
    "ghp_" + "a1B2" * 9,
    "-----BEGIN RSA PRIVATE KEY-----",
    "my password is hunter2hunter2",
]


@pytest.fixture(scope="module")
def transactions() -> Suite:
    """A part of the suite without near duplicates of its own."""
    suite = find_suite("transactions")
    train, test = suite.train.first(600), suite.test.first(150)
    near = next(one for one in audit(replace(suite, train=train, test_split=test)) if one.check.startswith("nearly"))
    kept = tuple(item for item in test if item.id not in near.items)
    return replace(suite, train=train, dev=suite.dev.first(100), test_split=replace(test, items=kept))


def found(suite: Suite, check: str, store: Store | None = None) -> Concern:
    return next(concern for concern in audit(suite, store) if concern.check == check)


def planted(suite: Suite, *items: Item) -> Suite:
    return replace(suite, train=replace(suite.train, items=(*suite.train, *items)))


def test_clean_data_raises_no_alarm(transactions: Suite) -> None:
    quick = audit(transactions)
    assert {concern.check for concern in quick if concern.level not in {"ok", "note"}} <= {"balance"}
    assert [concern.check for concern in quick][:2] == [
        "equal inputs across splits",
        "nearly equal inputs across splits",
    ]


@pytest.mark.parametrize("change", [str, str.upper, str.title, lambda text: f" {text}!! "])
def test_equal_inputs_in_any_case_are_leaks(transactions: Suite, change: type[str]) -> None:
    given = [replace(item, id=f"x{item.id}", input=change(item.input)) for item in transactions.test.items[:20]]
    concern = found(planted(transactions, *given), "equal inputs across splits")
    assert concern.level == "error"
    assert set(concern.surplus) == {item.id for item in given}
    assert concern.sentence == "20 of train and test; remove them from one of the two"


def test_inputs_with_another_word_are_near_leaks(transactions: Suite) -> None:
    tested = [item for item in transactions.test if len(item.input.split()) >= 8][:30]
    given = [replace(item, id=f"x{item.id}", input=_other_word(item.input)) for item in tested]
    concern = found(planted(transactions, *given), "nearly equal inputs across splits")
    assert concern.level == "error"  # a fifth of test
    assert len(set(concern.items) & {item.id for item in tested}) >= 27


def _other_word(text: str) -> str:
    words = text.split()
    shortest = min(range(len(words)), key=lambda place: len(words[place]))
    return " ".join(["XY" if place == shortest else word for place, word in enumerate(words)])


def test_every_repeat_of_a_near_leak_counts(transactions: Suite) -> None:
    tested = next(item for item in transactions.test if len(item.input.split()) >= 8)
    twice = replace(tested, id="twice", input=f"{tested.input}!")
    suite = replace(transactions, test_split=replace(transactions.test, items=(*transactions.test, twice)))
    near = replace(tested, id="near", input=_other_word(tested.input))
    assert set(found(planted(suite, near), "nearly equal inputs across splits").items) == {tested.id, "twice"}


def test_conflicts_repeats_and_spellings_are_found(transactions: Suite) -> None:
    first, second, third = transactions.train.items[:3]
    other = next(item.target for item in transactions.train if item.target != first.target)
    suite = planted(
        transactions,
        replace(first, id="conflict", target=other),
        replace(second, id="repeat"),
        replace(third, id="spelling", input="something new", target=third.target.upper()),
    )
    assert set(found(suite, "conflicting targets").items) == {first.id, "conflict"}
    assert found(suite, "repeated items").surplus == ["repeat"]
    assert found(suite, "spelling of targets").items == ["spelling"]


def test_secrets_are_found_and_not_repeated(transactions: Suite) -> None:
    chosen = random.Random(0).sample(list(transactions.train), 40)
    marked = {item.id: KEYS[number % len(KEYS)] for number, item in enumerate(chosen)}
    items = tuple(replace(item, input=f"{item.input} {marked.get(item.id, '')}".strip()) for item in transactions.train)
    suite = replace(transactions, train=replace(transactions.train, items=items))
    concern = found(suite, "secrets and personal data")
    assert concern.level == "warning"
    assert set(concern.items) == set(marked)
    assert not any(key in str(concern) for key in KEYS)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("write to jo.doe+x@example.co.uk", ["an e-mail address"]),
        ("card 4111 1111 1111 1111", ["a card number"]),
        ("order 4111 1111 1111 1112", []),
        ("DE89 3704 0044 0532 0130 00", ["an IBAN"]),
        ("DE88 3704 0044 0532 0130 00", []),
        ("call +49 30 1234567", ["a phone number"]),
        ("POS DEBIT #7805 800-555-0176 -50.85 USD", []),
    ],
)
def test_hints_are_confirmed_by_their_check_digits(text: str, what: list[str]) -> None:
    assert list(hints(text)) == what


def test_doubtful_labels_are_those_that_were_flipped(transactions: Suite, tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    rng, train = random.Random(0), transactions.train
    labels = sorted(transactions.answer.choices)
    flipped = {item.id for item in rng.sample(list(train), 18)}  # 3 %

    def planted(item: Item) -> Item:
        wrong = [label for label in labels if label != item.target]
        return replace(item, target=rng.choice(wrong)) if item.id in flipped else item

    suite = replace(transactions, train=replace(train, items=tuple(map(planted, train))))
    concern = found(suite, "doubtful labels", Store(tmp_path))
    assert len(flipped & set(concern.items)) >= 0.7 * len(flipped)
    assert len(flipped & set(concern.items[:54])) >= 9  # of about 850: by chance, it would be one


def test_near_pairs_are_of_different_texts_and_not_of_short_ones() -> None:
    texts = ["the quick brown fox jumps", "The quick brown fox jumps!", "the quick brown fox leaps", "yes", "yep"]
    assert [(a, b) for a, b, _ in near_pairs(texts, at_least=0.5)] == [(0, 2)]


def test_a_cleaned_copy_drops_leaks_and_lists_them(project_of_tickets: Path) -> None:
    suite = find_suite("mail")
    concerns = audit(suite)
    assert clean(suite, concerns, "mail_clean") == {"train.jsonl": 2}
    cleaned = find_suite("mail_clean")
    assert [concern.level for concern in audit(cleaned) if "inputs" in concern.check] == ["ok", "ok"]
    assert len(cleaned.test) == len(suite.test)
    dropped = [json.loads(line) for line in Path("datasets/mail_clean/dropped.jsonl").read_text().splitlines()]
    assert [(row["id"], row["why"]) for row in dropped] == [
        ("t98", "equal inputs across splits"),
        ("t99", "repeated items"),
    ]
    assert project_of_tickets.joinpath("datasets/mail/train.jsonl").read_text().count("\n") == 42


@pytest.fixture
def project_of_tickets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "datasets" / "mail"
    folder.mkdir(parents=True)
    (tmp_path / "evals").mkdir()
    words = ["alpha", "bravo", "carol", "delta", "echo"]

    def row(number: int, part: str) -> dict[str, str]:
        text = f"{words[number % 5] * 4} {part} {number} {words[number // 5 % 5] * 3}"
        return {"id": f"{part[0]}{number}", "input": text, "target": "ab"[number % 2]}

    rows = {"train": [row(number, "train") for number in range(40)], "test": [row(n, "exam") for n in range(10)]}
    rows["train"].append(rows["test"][0] | {"id": "t98"})
    rows["train"].append(rows["train"][0] | {"id": "t99"})
    for part, given in rows.items():
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in given))
    (tmp_path / "evals" / "mail.py").write_text(
        '"""mail"""\n\nfrom thirdlever import Suite, load_suite, suite\n\n\n@suite\ndef mail() -> Suite:\n'
        '    """Mail."""\n    return load_suite("mail", instruction="Sort.")\n'
    )
    assert project.dataset("mail").is_dir()
    return tmp_path
