"""The card of the suite: what was written by hand, plus every count and digest."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import yaml
from assembly import SEED, Suite
from catalogue import SPLITS, read

WIDTH = 100


def card(suite: Suite, out: Path) -> str:
    """Return the card as YAML.

    Args:
        suite: The rows, for the counts.
        out: The folder that already holds the data files, for the digests.
    """
    hand: dict[str, Any] = read("card.yaml")
    economics, slices, difficulty = (hand.pop(key) for key in ("economics", "slices", "difficulty"))
    labels = {split: Counter(row.target for row in suite.rows[split]) for split in SPLITS}
    parts = {split: Counter(row.slice for row in suite.rows[split]) for split in SPLITS}
    groups = {row.group for split in SPLITS for row in suite.rows[split]}
    test = parts["test"]
    reckoned = difficulty["ceiling_by_slice"]
    # In thousandths, so that the sum is over whole numbers and comes out the same on every Python.
    ceiling = sum(round(reckoned[name] * 1000) * count for name, count in test.items()) / (1000 * test.total())
    majority, most = labels["test"].most_common(1)[0]
    whole = hand | {
        "seed": suite.seed,
        "command": _command(suite.seed),
        **economics,
        "counts": {split: len(suite.rows[split]) for split in SPLITS},
        "merchants": sum(key.startswith("m") for key in groups),
        "labels": {name: {split: labels[split][name] for split in SPLITS} for name in sorted(labels["train"])},
        "slices": {
            name: {"meaning": meaning, **{split: parts[split][name] for split in SPLITS}}
            for name, meaning in slices.items()
        },
        "difficulty": difficulty
        | {
            "expected_ceiling": round(ceiling, 3),
            "majority_class": {"label": majority, "share": round(most / test.total(), 3)},
        },
        "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(out.glob("*.jsonl"))},
    }
    text: str = yaml.safe_dump(whole, sort_keys=False, width=WIDTH, allow_unicode=True)
    return text


def _command(seed: int) -> str:
    command = "python scripts/transactions/generate.py --out datasets/transactions"
    return command if seed == SEED else f"{command} --seed {seed}"
