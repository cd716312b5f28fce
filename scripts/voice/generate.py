"""Write the `voice` suite: messages of customers, and replies in one house's style.

    python scripts/voice/generate.py --out datasets/voice

The same seed gives the same bytes on every run.
"""

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import yaml

sys.path.append(str(Path(__file__).parents[1]))  # what all generators share

from dice import Dice
from writing import SPLITS, Record, nearest, numbered, words, write_card, write_lines

CONTENT = Path(__file__).parent / "content"
SEED = 20270419
ROWS = {"train": 300, "dev": 60, "test": 120}
TONES = {"calm": 45, "angry": 30, "chatty": 25}
REPLY = "Hi {name}, {takes_up}. Next, {step}. – The Alder team"
TOO_NEAR = 0.8
HELD_OUT = 2  # messages of each situation that train does not have
# Of the replies that people call wrong, so many are of each kind.
WRONG = {
    "apology": 4,
    "shouting": 4,
    "unsigned": 4,
    "no_step": 3,
    "wrong_step": 4,
    "wrong_name": 3,
    "curt": 4,
    "stiff": 4,
}


class Mailbox:
    """Writes messages and replies from one seed."""

    def __init__(self, seed: int) -> None:
        """Read the wordings."""
        self.dice = Dice(seed, "voice")
        self.situations: dict[str, dict[str, list[str]]] = _read("situations.yaml")
        self.words: dict[str, Any] = _read("words.yaml")
        self._names = rf"\b(?:{'|'.join(self.words['names'])})\b"
        self._seen: dict[str, list[frozenset[str]]] = {split: [] for split in SPLITS}

    def rows(self, split: str) -> list[Record]:
        """Write one split's messages, none too near to one of another, with the words that their replies need."""
        rows: list[Record] = []
        others = [seen for other, seen in self._seen.items() if other != split]
        while len(rows) < ROWS[split]:
            row = self._row(split)
            folded = words(row["input"], masked=self._names)
            if folded not in self._seen[split] and all(nearest(folded, seen) < TOO_NEAR for seen in others):
                self._seen[split].append(folded)
                rows.append(row)
        return rows

    def human(self, dev: list[Record]) -> list[Record]:
        """One reply for each dev item, half of them right, with the label that people give it."""
        kinds = [kind for kind, count in WRONG.items() for _ in range(count)]
        kinds += ["right"] * (len(dev) - len(kinds))
        self.dice.shuffle(kinds)
        return [
            {"id": row["id"], "answer": self._reply(row, kind), "right": kind == "right"}
            for row, kind in zip(dev, kinds, strict=True)
        ]

    def _row(self, split: str) -> Record:
        dice = self.dice
        group = dice.pick(tuple(self.situations))
        situation = self.situations[group]
        tone = dice.weighted(TONES)
        item, name = dice.pick(self.words["items"]), dice.pick(self.words["names"])
        messages = situation["messages"]
        kept, held = messages[:-HELD_OUT], messages[-HELD_OUT:]
        bare = dice.pick(held if split != "train" and dice.chance(1 / 3) else kept).format(item=item)
        opening = dice.pick(self.words["tones"][tone])
        # An opening that is half a sentence goes on with what is the matter.
        patterns = self.words["signed" if tone == "chatty" else "introduced"]
        text = opening + dice.pick(patterns).format(name=name, body=bare)
        facts = self._facts(group, name, item)
        return {
            "input": text[:1].upper() + text[1:],
            "target": REPLY.format(**facts),
            "slice": tone,
            "situation": group,
        }

    def _facts(self, group: str, name: str, item: str) -> dict[str, str]:
        situation = self.situations[group]
        return {
            "name": name,
            "item": item,
            "takes_up": self.dice.pick(situation["takes_up"]).format(item=item),
            "step": self.dice.pick(situation["steps"]),
        }

    def _reply(self, row: Record, kind: str) -> str:
        """A reply to a dev item, of a kind that people call right or wrong."""
        [name] = re.findall(r"(?<=^Hi )\w+", row["target"])
        [item] = {item for item in self.words["items"] if re.search(rf"\b{item}\b", row["input"])}
        facts = self._facts(row["situation"], name, item)
        others = [group for group in self.situations if group != row["situation"]]
        facts["other_step"] = self.dice.pick(self.situations[self.dice.pick(others)]["steps"])
        facts["other_name"] = self.dice.pick([other for other in self.words["names"] if other != name])
        pattern = self.dice.pick(self.words["good"]) if kind == "right" else self.words["bad"][kind]
        reply: str = pattern.format(**facts)
        return reply


def _read(name: str) -> Any:  # noqa: ANN401 - the shape differs per file
    return yaml.safe_load((CONTENT / name).read_text(encoding="utf-8"))


def main() -> None:
    """Read the command line and write the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, made if need be")
    parser.add_argument("--seed", type=int, default=SEED, help="another seed gives other mail (default: %(default)s)")
    arguments = parser.parse_args()
    mailbox = Mailbox(arguments.seed)
    splits = numbered({split: mailbox.rows(split) for split in SPLITS}, prefix="vc", seed=arguments.seed)
    for split, rows in splits.items():
        write_lines(arguments.out / f"{split}.jsonl", rows)
    write_lines(arguments.out / "human.jsonl", mailbox.human(splits["dev"]))
    write_card(arguments.out, splits, CONTENT / "card.yaml", arguments.seed)
    sys.stdout.write(f"wrote {sum(map(len, splits.values()))} messages to {arguments.out}\n")


if __name__ == "__main__":
    main()
