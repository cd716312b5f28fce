"""Rows without a merchant: wages, transfers, cash, interest and the bank's own fees."""

from dataclasses import dataclass
from typing import Any

from catalogue import Merchant, Namer, read
from dice import Dice
from rows import Row, amount_text, cased, price, tokens
from rules import Facts, category

EMPLOYERS = 110
# Some people work in shops, so that a merchant's name is no proof of a purchase.
MERCHANT_EMPLOYER_SHARE = 0.3
SAME_SURNAME_SHARE = 0.15
RENT_MEMO_ON_MONEY_IN = 0.12
EMPLOYER_WORDS = (
    "Logistics",
    "Health System",
    "Unified School Dist",
    "Staffing",
    "Mfg",
    "Holdings",
    "Consulting",
    "Foods Inc",
    "Hotels LLC",
    "Hospital",
    "County",
    "Software",
    "Freight",
    "Airlines",
    "Insurance Co",
    "Retail Corp",
    "Diagnostics",
    "Univ",
)


@dataclass(frozen=True)
class Movement:
    """One kind of movement, as `content/movements.yaml` describes it."""

    name: str
    label: str
    weight: int
    sign: int
    amount: tuple[float, float, float]
    step: int
    lines: tuple[str, ...]


def load_movements() -> dict[str, Movement]:
    """Read every kind of movement, in the order of the file."""
    movements = {}
    for name, row in read("movements.yaml").items():
        low, median, high = row["amount"]
        movements[name] = Movement(
            name,
            row["label"],
            row["weight"],
            row["sign"],
            (low, median, high),
            row.get("step", 0),
            tuple(row["lines"]),
        )
    return movements


class Desk:
    """Makes rows that no merchant is part of."""

    def __init__(self, dice: Dice, namer: Namer, shops: list[Merchant]) -> None:
        """Draw up the list of employers; `shops` are the merchants that may be among them."""
        self.dice = dice
        self.names: dict[str, Any] = namer.names
        self._groups: dict[str, str] = {}
        self.employers: list[tuple[str, str]] = []
        for _ in range(EMPLOYERS):
            if dice.chance(MERCHANT_EMPLOYER_SHARE):
                shop = dice.pick(shops)
                self.employers.append((shop.name[:20].strip(), shop.key))
            else:
                root = dice.pick(self.names[dice.pick(("surnames", "places", "brands", "nature"))])
                name = f"{root} {dice.pick(EMPLOYER_WORDS)}"
                self.employers.append((name, self._group(name)))
        self._employer_weights = {index: 1000 // (index + 6) for index in range(EMPLOYERS)}

    def row(self, movement: Movement) -> Row:
        """Draw one movement."""
        dice = self.dice
        line_number = dice.below(len(movement.lines))
        template = movement.lines[line_number]
        holder, person, marker = self._people(movement)
        memo = dice.pick(self.names["memos"])
        if movement.name == "p2p_rent" or (movement.name == "p2p_in" and dice.chance(RENT_MEMO_ON_MONEY_IN)):
            memo, marker = dice.pick(self.names["rent_memos"]), "rent"
        employer, employer_key = self.employers[dice.weighted(self._employer_weights)]
        city, state = dice.pick(self.names["cities"])
        fields = tokens(dice) | {
            "holder": holder,
            "person": person,
            "memo": memo,
            "employer": employer,
            "city": city,
            "st": state,
            "bank": dice.pick(self.names["banks"]),
            "brand": dice.pick(self.names["brands"]),
            "p2p": dice.pick(self.names["p2p"]),
            "street": f"{dice.below(9000) + 100} {dice.pick(self.names['streets'])}",
        }
        sign = movement.sign or dice.pick((-1, 1))
        cents = sign * price(dice, movement.amount, step=movement.step)
        decision = category(Facts(kind=movement.name, base=movement.label, cents=cents, marker=marker, movement=True))
        line = cased(dice, template.format(**fields))
        # The source is whoever sends the line: employer, other person or one of our own systems.
        if "{employer}" in template:
            group = employer_key
        elif "{person}" in template:
            group = self._group(person.split()[-1] + person[0])
        else:
            group = self._group(f"{movement.name}/{line_number}")
        return Row(f"{line} | {amount_text(dice, cents)}", decision.label, "money_movement", group)

    def _people(self, movement: Movement) -> tuple[str, str, str]:
        """Draw the account holder, the other party, and "self" where the two are the same."""
        dice = self.dice
        given, surname = dice.pick(self.names["given"]), dice.pick(self.names["surnames"])
        holder = f"{given[0]} {surname}"
        if movement.name == "p2p_self" or (movement.name == "wire" and dice.chance(0.3)):
            return holder, dice.pick((holder, f"{given} {surname}")), "self"
        other = dice.pick([name for name in self.names["given"] if name[0] != given[0]])
        family = (
            surname
            if dice.chance(SAME_SURNAME_SHARE)
            else dice.pick([name for name in self.names["surnames"] if name != surname])
        )
        return holder, dice.pick((f"{other[0]} {family}", f"{other} {family}")), ""

    def _group(self, source: str) -> str:
        """Give each source an opaque key, in order of first use."""
        return self._groups.setdefault(source, f"s{len(self._groups) + 1:04d}")
