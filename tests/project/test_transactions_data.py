"""The committed `transactions` data is what its generator writes and what its card says."""

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DATA = ROOT / "datasets" / "transactions"
GENERATOR = ROOT / "scripts" / "transactions" / "generate.py"
SIZES = {"train": 9_000, "dev": 1_000, "test": 2_000}
FILES = ("train.jsonl", "dev.jsonl", "test.jsonl", "documents.jsonl", "card.yaml")
MIN_TRAIN, MIN_TEST, MIN_MERCHANTS = 60, 12, 600

Row = dict[str, str]
Splits = dict[str, list[Row]]


def read(name: str) -> list[Row]:
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def folded(text: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())


@pytest.fixture(scope="module")
def splits() -> Splits:
    return {split: read(f"{split}.jsonl") for split in SIZES}


@pytest.fixture(scope="module")
def rows(splits: Splits) -> list[Row]:
    return [row for split in splits.values() for row in split]


@pytest.fixture(scope="module")
def card() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DATA / "card.yaml").read_text(encoding="utf-8"))
    return loaded


# The generator.


def test_the_generator_writes_the_committed_bytes(tmp_path: Path) -> None:
    command = [sys.executable, str(GENERATOR), "--out", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(written) == sorted(FILES)
    for name, content in written.items():
        assert content == (DATA / name).read_bytes(), f"{name} differs; run the generator again"


# Shape.


@pytest.mark.parametrize("split", SIZES)
def test_each_split_has_its_size(splits: Splits, split: str) -> None:
    assert len(splits[split]) == SIZES[split]


def test_rows_have_the_five_keys_and_one_line(rows: list[Row]) -> None:
    for row in rows:
        assert list(row) == ["id", "input", "target", "slice", "group"]
        assert row["input"] == " ".join(row["input"].split())
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", row["target"])


def test_ids_are_unique(rows: list[Row]) -> None:
    assert len({row["id"] for row in rows}) == len(rows)
    assert all(re.fullmatch(r"tx-\d{5}", row["id"]) for row in rows)


def test_every_label_is_well_represented(splits: Splits) -> None:
    train, test = (Counter(row["target"] for row in splits[split]) for split in ("train", "test"))
    assert {row["target"] for split in splits.values() for row in split} == set(train) == set(test)
    assert min(train.values()) >= MIN_TRAIN
    assert min(test.values()) >= MIN_TEST


# Leaks.


def test_no_two_rows_have_the_same_folded_input(rows: list[Row]) -> None:
    seen = Counter(folded(row["input"]) for row in rows)
    assert seen.most_common(1)[0][1] == 1


def test_documents_hold_no_input(rows: list[Row]) -> None:
    text = folded(" ".join(document["text"] for document in read("documents.jsonl")))
    for row in rows:
        assert folded(row["input"].split(" | ")[0]) not in text


# Merchants.


def test_there_are_many_merchants(rows: list[Row]) -> None:
    assert len({row["group"] for row in rows if row["group"].startswith("m")}) >= MIN_MERCHANTS


@pytest.mark.parametrize("split", ["dev", "test"])
def test_unseen_merchants_are_in_no_other_split(splits: Splits, split: str) -> None:
    unseen = {row["group"] for row in splits[split] if row["slice"] == "unseen_merchant"}
    elsewhere = {row["group"] for other in SIZES if other != split for row in splits[other]}
    assert unseen
    assert not unseen & elsewhere


@pytest.mark.parametrize("split", ["dev", "test"])
def test_other_purchases_are_at_merchants_of_train(splits: Splits, split: str) -> None:
    train = {row["group"] for row in splits["train"]}
    exempt = {"unseen_merchant", "refund", "money_movement"}
    assert {row["group"] for row in splits[split] if row["slice"] not in exempt} <= train


# Rules that can be checked from the text of the line alone.


def spent(row: Row) -> float:
    amount = row["input"].rpartition(" | ")[2]
    value = float(amount.split()[0])
    return value if "DR" in amount else -value


def lines(rows: list[Row], pattern: str) -> Iterator[tuple[Row, re.Match[str]]]:
    for row in rows:
        if (match := re.search(pattern, row["input"], re.IGNORECASE)) and spent(row) > 0:
            yield row, match


def test_paying_at_the_pump_is_fuel(rows: list[Row]) -> None:
    found = list(lines(rows, r"PAY AT PUMP|OUTDOOR PUMP|MCC 5542"))
    assert {row["target"] for row, _ in found} == {"fuel"}


def test_cash_back_is_cash_when_it_is_over_half(rows: list[Row]) -> None:
    found = list(lines(rows, r"(?:CASH ?BACK|W/CB) (\d+)\.00"))
    assert found
    for row, match in found:
        over_half = 2 * int(match[1]) > spent(row)
        assert row["target"] == ("cash" if over_half else "groceries"), row


def test_night_rides_are_entertainment(rows: list[Row]) -> None:
    found = list(lines(rows, r"\b(?:TRIP|RIDE|PICKUP|PU) (\d\d):\d\d\b"))
    assert found
    for row, match in found:
        night = not 5 <= int(match[1]) < 22
        assert row["target"] == ("entertainment" if night else "transport"), row


def test_paying_oneself_is_an_own_transfer(rows: list[Row]) -> None:
    pattern = r"\bTO (\w)\w* ([A-Z]+) (?:FR|ORIG) (\w) ([A-Z]+)\b"
    found = list(lines(rows, pattern))
    assert found
    for row, match in found:
        payee, payer = match.group(1, 2), match.group(3, 4)
        same = folded(" ".join(payee)) == folded(" ".join(payer))
        assert (row["target"] == "own_transfer") == same, row


# The card.


def test_the_card_counts_truly(card: dict[str, Any], splits: Splits) -> None:
    assert card["counts"] == SIZES
    for split, inside in splits.items():
        labels = Counter(row["target"] for row in inside)
        slices = Counter(row["slice"] for row in inside)
        assert {name: counts[split] for name, counts in card["labels"].items()} == labels
        # A Counter takes a missing key for zero, as train has no unseen merchants.
        assert Counter({name: entry[split] for name, entry in card["slices"].items()}) == slices


def test_the_card_digests_truly(card: dict[str, Any]) -> None:
    names = [name for name in FILES if name.endswith(".jsonl")]
    digests = {name: hashlib.sha256((DATA / name).read_bytes()).hexdigest() for name in names}
    assert card["sha256"] == digests


def test_the_card_reckons_a_ceiling_from_its_slices(card: dict[str, Any]) -> None:
    reckoned = card["difficulty"]["ceiling_by_slice"]
    hits = sum(reckoned[name] * entry["test"] for name, entry in card["slices"].items())
    assert card["difficulty"]["expected_ceiling"] == pytest.approx(hits / SIZES["test"], abs=5e-4)
