"""The audit finds planted faults, and none in clean data."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from thirdlever.catalog.tuning import profiles
from thirdlever.cli import main
from thirdlever.core import project
from thirdlever.core.store import Store
from thirdlever.runner.audit import Concern, audit, clean, hints, near_pairs, windows
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Item

if TYPE_CHECKING:
    from thirdlever.suites.suite import Suite

KEYS = [
    "sk-proj-" + "a1B2" * 5,
    "AKIA" + "A1B2" * 4,
    "ghp_" + "a1B2" * 9,
    "-----BEGIN RSA PRIVATE KEY-----",
    "my password is hunter2hunter2",
]


@pytest.fixture(scope="module")
def transactions() -> Suite:
    """A part of the suite without near duplicates of its own, and without its card, which allows them."""
    suite = find_suite("transactions")
    train, test = suite.train.first(600), suite.test.first(150)
    near = next(one for one in audit(replace(suite, train=train, test_split=test)) if one.check.startswith("nearly"))
    kept = tuple(item for item in test if item.id not in near.items)
    return replace(suite, train=train, dev=suite.dev.first(100), test_split=replace(test, items=kept), card={})


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


def test_near_leaks_that_the_card_allows_are_a_note(transactions: Suite) -> None:
    given = [replace(item, id=f"x{item.id}", input=f"{item.input} today") for item in transactions.test.items[:20]]
    leaky, check = planted(transactions, *given), "nearly equal inputs across splits"
    refused = found(leaky, check)
    allowed = found(replace(leaky, card={"near_leaks": "one ledger"}), check)
    assert (refused.level, allowed.level) == ("error", "note")
    assert allowed.sentence.endswith("nearly in train or dev; allowed by the card: one ledger")
    assert allowed.items == refused.items


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


def test_a_cleaned_copy_has_its_own_counts_history_and_command(project_of_tickets: Path) -> None:
    card = project_of_tickets / "datasets" / "mail" / "card.yaml"
    card.write_text(
        "# Describes the data.\nname: mail\nlicence: mine  # and how to credit it\n"
        "counts:\n  train: 42\n  test: 10\n  labels: 2\nchanges:\n- 'rows: 3'\nstable: true\n"
    )
    code = project_of_tickets / "evals" / "mail.py"
    code.write_text(code.read_text().replace('"""mail"""', '"""mail: sort.\n\nRun:     thirdlever run mail\n"""'))
    clean(find_suite("mail"), audit(find_suite("mail")), "post")
    assert Path("datasets/post/card.yaml").read_text() == (
        "# Describes the data.\nname: post\nlicence: mine  # and how to credit it\n"
        "counts:\n  train: 40\n  test: 10\n  labels: 2\nchanges:\n- 'rows: 3'\n"
        "- copied from mail by audit --fix, which dropped 2 of train.jsonl (dropped.jsonl)\nstable: true\n"
    )
    assert Path("evals/post.py").read_text().startswith('"""post: sort.\n\nRun:     thirdlever run post\n"""')


@pytest.mark.parametrize("changes", ["changes: []\n", ""])
def test_a_card_without_changes_gets_its_first(project_of_tickets: Path, changes: str) -> None:
    card = project_of_tickets / "datasets" / "mail" / "card.yaml"
    card.write_text(f"name: mail\n{changes}")
    clean(find_suite("mail"), audit(find_suite("mail")), "post")
    (change,) = find_suite("post").card["changes"]
    assert change == "copied from mail by audit --fix, which dropped 2 of train.jsonl (dropped.jsonl)"


@pytest.mark.usefixtures("project_of_tickets")
def test_a_quick_fix_says_what_it_did_not_look_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["thirdlever", "audit", "mail", "--quick", "--fix", "post"])
    with pytest.raises(SystemExit):
        main.main()
    assert "reworded leaks and doubtful labels were not looked for" in capsys.readouterr().out


# A training file, and JSON


def test_a_training_file_without_faults_is_ok(transactions: Suite) -> None:
    concern = found(transactions, "training file")
    assert (concern.level, concern.items) == ("ok", [])
    assert re.match(r"600 examples, 0\.\d MB; providers screen what is uploaded$", concern.sentence)


def test_what_a_provider_would_refuse_or_screen_is_named(transactions: Suite) -> None:
    first = transactions.train.items[0]
    added = [replace(first, id="empty", target=" "), replace(first, id="knife", input="TACTICAL KNIFE 12.00")]
    concern = found(planted(transactions, *added), "training file")
    assert concern.level == "warning"
    assert concern.notes == {
        "knife": "the word 'tactical' (weapons)",
        "empty": "the last message is empty; it must be the answer to learn",
    }
    few = replace(transactions, train=transactions.train.first(9))
    assert "9 are fewer than the 10 that providers ask for" in found(few, "training file").sentence


def test_a_file_too_large_for_a_provider_names_it(transactions: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {name: replace(one, max_file_mb=0) for name, one in profiles().items() if one.title == "OpenAI"}
    monkeypatch.setattr("thirdlever.runner.audit.profiles", lambda: {**profiles(), **small})
    assert "too large for OpenAI" in found(transactions, "training file").sentence


def test_lengths_are_compared_with_the_windows_of_models(transactions: Suite) -> None:
    assert windows()[8_192] == ["embedded"]
    assert "gpt-4o" in windows()[128_000]
    first = transactions.train.items[0]
    added = [replace(first, id=f"l{n}", input="x " * size) for n, size in enumerate((10_000, 13_000, 195_000))]
    concern = found(planted(transactions, *added), "lengths")
    assert concern.items == ["l1", "l2"]
    assert concern.sentence.endswith(
        "2 that of embedded (8,192 tokens) and 1 that of gpt-4o and gpt-4o-mini (128,000 tokens)"
    )
    assert "1 that of gpt-4o" in found(planted(transactions, *added), "training file").sentence


def test_json_targets_in_another_order_spelling_or_type_are_found(transactions: Suite) -> None:
    targets = ['{"team": "a", "order": "1"}'] * 5 + ['{"order": "2", "team": "b"}', '{"team": "b", "order": 3}']
    targets += ['{"Team": "a", "order": "1"}', '{"team": null, "order": "1"}']
    items = tuple(Item(f"i{n}", f"text {n}", target) for n, target in enumerate(targets))
    concern = found(replace(transactions, train=replace(transactions.train, items=items)), "format of targets")
    assert concern.level == "warning"
    assert concern.notes == {
        "i5": "'team' stands before 'order' in most",
        "i6": "'order' is a text in most",
        "i7": "key 'Team' is spelt otherwise in most",
    }


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
