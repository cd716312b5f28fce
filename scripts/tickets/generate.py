"""Write the `tickets` suite: support tickets, and the four fields that one firm reads in them.

    python scripts/tickets/generate.py --out datasets/tickets

The same seed gives the same bytes on every run.
"""

import argparse
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

sys.path.append(str(Path(__file__).parents[1]))  # what all generators share

from dice import Dice
from writing import SPLITS, Record, nearest, numbered, words, write_card, write_lines

CONTENT = Path(__file__).parent / "content"
SEED = 20270211
ROWS = {"train": 1_200, "dev": 150, "test": 400}
ORDER = re.compile(r"[A-F]-\d{4}")
# A ticket of another split may share less than this part of its words.
TOO_NEAR = 0.8
# The embedded model splits at least so: a ticket with no more pieces has 55 tokens at most.
PIECE = re.compile(r"[^\W\d]+|\d|[^\w\s]")
MOST_PIECES = 46
TWO_ORDERS = 0.8  # of the tickets that name an order: a bag of words does not tell which one counts
HELD_OUT = 2  # wordings of each situation that train does not have
NAMES_AN_ORDER = {"always": 1.0, "usual": 0.92, "rare": 0.55, "never": 0.0}


@dataclass(frozen=True)
class Ticket:
    """What is true of one ticket before it is put into words."""

    situation: str
    facts: dict[str, Any]
    product: str
    bare: str
    sender: str
    orders: tuple[str, ...]
    passing: str

    @property
    def nicknamed(self) -> bool:
        """Whether the product is named by its nickname."""
        return self.product not in {self.bare, "other"}

    @property
    def priority(self) -> str:
        """By the house rules; words of urgency play no part."""
        blocked = self.facts.get("blocked", False) and self.sender == "business"
        if blocked:
            return "high"
        return str(self.facts.get("priority", "normal"))

    def target(self) -> str:
        """The answer, in as few tokens as JSON allows."""
        fields = {
            "intent": self.facts["intent"],
            "product": self.product,
            "priority": self.priority,
            "order_id": self.orders[0] if self.orders else None,
        }
        return json.dumps(fields, separators=(",", ":"))


class Desk:
    """Writes tickets from one seed."""

    def __init__(self, seed: int) -> None:
        """Read the wordings."""
        self.dice = Dice(seed, "tickets")
        self.words: dict[str, Any] = _read("words.yaml")
        self.situations: dict[str, dict[str, Any]] = _read("situations.yaml")
        self.weights = {name: facts["weight"] for name, facts in self.situations.items()}
        self.products = self.words["products"]
        self._orders: set[str] = set()
        self._seen: dict[str, list[frozenset[str]]] = {split: [] for split in SPLITS}

    def rows(self, split: str) -> list[Record]:
        """Draw the tickets of one split, none too near to one of another."""
        rows: list[Record] = []
        others = [seen for other, seen in self._seen.items() if other != split]
        while len(rows) < ROWS[split]:
            ticket = self._ticket()
            text = self._text(ticket, split)
            folded = words(text, masked=ORDER.pattern)
            if len(PIECE.findall(text)) > MOST_PIECES or folded in self._seen[split]:
                continue
            if all(nearest(folded, seen) < TOO_NEAR for seen in others):
                self._seen[split].append(folded)
                rows.append(
                    {
                        "input": text,
                        "target": ticket.target(),
                        "slice": self._slice(ticket),
                        "situation": ticket.situation,
                    }
                )
        return rows

    def _ticket(self) -> Ticket:
        dice = self.dice
        situation = dice.weighted(self.weights)
        facts = self.situations[situation]
        product, bare = "other", ""
        if not facts.get("general", False):
            product = dice.pick(tuple(self.products))
            bare = self._name(product)
        business = dice.chance(0.4 if facts.get("blocked", False) else 0.25)
        sender = "business" if business else dice.weighted({"private": 25, "unsaid": 75})
        count = 0
        if dice.chance(NAMES_AN_ORDER[facts["order"]]):
            count = 2 if dice.chance(TWO_ORDERS) else 1
        passing = self._name(dice.pick(tuple(name for name in self.products if name != product)))
        orders = tuple(self._order() for _ in range(count))
        return Ticket(situation, facts, product, bare, sender, orders, passing)

    def _name(self, product: str) -> str:
        names = self.products[product]
        name: str = self.dice.pick(names["nicknames"]) if self.dice.chance(0.5) else names["plain"]
        return name

    def _order(self) -> str:
        while True:
            order = f"{self.dice.pick('ABCDEF')}-{self.dice.below(9) + 1}{self.dice.digits(3)}"
            if order not in self._orders:
                self._orders.add(order)
                return order

    def _slice(self, ticket: Ticket) -> str:
        if len(ticket.orders) > 1:
            return "two_orders"
        ruled = ticket.facts.get("rule", False) or ticket.bare in self.words["misleading"]
        # Blocked: the same words are normal or high, by who sends them.
        if ruled or ticket.priority == "high":
            return "rule"
        return "nickname" if ticket.nicknamed else "plain"

    # Words

    def _text(self, ticket: Ticket, split: str) -> str:
        dice = self.dice
        body = self._with_orders(ticket, self._wording(ticket, split))
        parts = [body]
        if ticket.sender != "unsaid":
            parts.insert(dice.below(2), dice.pick(self.words[ticket.sender]))
        if dice.chance(0.2):
            parts.insert(dice.below(len(parts) + 1), dice.pick(self.words["urgent" if dice.chance(0.7) else "calm"]))
        if dice.chance(0.06):
            parts.append(dice.pick(self.words["numbers"]).format(number=dice.digits(4)))
        if dice.chance(0.15):
            parts.insert(0, dice.pick(self.words["greetings"]))
        if dice.chance(0.12):
            parts.append(dice.pick(self.words["thanks"]))
        return self._typed(" ".join(parts))

    def _wording(self, ticket: Ticket, split: str) -> str:
        wordings = ticket.facts["wordings"]
        kept, held = wordings[:-HELD_OUT], wordings[-HELD_OUT:]
        chosen: str = self.dice.pick(held if split != "train" and self.dice.chance(1 / 3) else kept)
        item = self._item(ticket)
        return chosen.format(item=item, Item=item[:1].upper() + item[1:], bare=ticket.bare)

    def _item(self, ticket: Ticket) -> str:
        own = "our" if ticket.sender == "business" else "my"
        return f"{self.dice.pick(('the', own))} {ticket.bare}"

    def _with_orders(self, ticket: Ticket, body: str) -> str:
        if not ticket.orders:
            return body
        about, other = ticket.orders[0], ticket.orders[-1]
        if other == about:
            pattern = self.dice.pick(self.words["one_order"])
        elif ticket.situation == "charged_twice":
            pattern = self.dice.pick(self.words["two_charges"])
        else:
            pattern = self.dice.pick(self.words["two_orders"])
        text: str = pattern.format(about=about, other=other, body=body, bare=ticket.bare, passing=ticket.passing)
        return text

    def _typed(self, text: str) -> str:
        """As people type: one in six without capitals, but order numbers as they are printed."""
        if not self.dice.chance(1 / 6):
            return text
        return re.sub(r"[a-f]-\d{4}", lambda order: order[0].upper(), text.lower().rstrip(".!"))


def _read(name: str) -> Any:  # noqa: ANN401 - the shape differs per file
    return yaml.safe_load((CONTENT / name).read_text(encoding="utf-8"))


def main() -> None:
    """Read the command line and write the suite."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True, help="folder to write, made if need be")
    parser.add_argument(
        "--seed", type=int, default=SEED, help="another seed gives other tickets (default: %(default)s)"
    )
    arguments = parser.parse_args()
    desk = Desk(arguments.seed)
    splits = numbered({split: desk.rows(split) for split in SPLITS}, prefix="tk", seed=arguments.seed)
    for split, rows in splits.items():
        write_lines(arguments.out / f"{split}.jsonl", rows)
    write_card(arguments.out, splits, CONTENT / "card.yaml", arguments.seed)
    sys.stdout.write(f"wrote {sum(map(len, splits.values()))} tickets to {arguments.out}\n")


if __name__ == "__main__":
    main()
