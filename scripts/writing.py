"""What the generators of small suites share: ids, near-duplicates, files and the card."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from dice import Dice

SPLITS = ("train", "dev", "test")
WIDTH = 100

Record = dict[str, Any]  # one line of a JSONL file


def words(text: str, *, masked: str = r"$^") -> frozenset[str]:
    """The words of a text, ignoring case and punctuation; what matches `masked` counts as one and the same word."""
    return frozenset(re.findall(r"\w+", re.sub(masked, " _ ", text).casefold()))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard similarity: the share of the words of both that both have."""
    return len(one & other) / len(one | other)


def nearest(one: frozenset[str], others: Iterable[frozenset[str]]) -> float:
    """The largest overlap with any of the others; 0 without others."""
    return max((overlap(one, other) for other in others), default=0.0)


def numbered(splits: Mapping[str, Sequence[Record]], *, prefix: str, seed: int) -> dict[str, list[Record]]:
    """Shuffle each split and hand out ids, so that neither order nor id says anything."""
    dice = Dice(seed, "ids")
    numbers = list(range(1, sum(map(len, splits.values())) + 1))
    dice.shuffle(numbers)
    done: dict[str, list[Record]] = {}
    for split, rows in splits.items():
        shuffled = list(rows)
        dice.shuffle(shuffled)
        ids = sorted(f"{prefix}-{numbers.pop():04d}" for _ in shuffled)
        done[split] = [{"id": name} | row for name, row in zip(ids, shuffled, strict=True)]
    return done


def write_lines(path: Path, rows: Iterable[Record]) -> None:
    """Write JSONL, as bytes, so that no platform turns line ends into its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode())


def write_card(out: Path, splits: Mapping[str, Sequence[Record]], hand: Path, seed: int) -> None:
    """Write card.yaml: what was written by hand in `hand`, plus every count, and the digests of the files in `out`."""
    card: dict[str, Any] = yaml.safe_load(hand.read_text(encoding="utf-8"))
    meanings, difficulty = card.pop("slices"), card.pop("difficulty")
    parts = {split: Counter(row["slice"] for row in rows) for split, rows in splits.items()}
    counts = {
        name: {"meaning": meaning, **{split: parts[split][name] for split in splits}}
        for name, meaning in meanings.items()
    }
    whole = card | {
        "seed": seed,
        "counts": {split: len(rows) for split, rows in splits.items()},
        "slices": counts,
        "difficulty": difficulty,
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.jsonl"))},
    }
    text = yaml.safe_dump(whole, sort_keys=False, width=WIDTH, allow_unicode=True)
    (out / "card.yaml").write_bytes(text.encode())
