"""What every maker of rows shares: the row itself, amounts, dates, codes and letter case."""

from dataclasses import dataclass

from dice import Dice
from rules import CENTS

# From so many dollars up a price may end in .99 and the like; below, the ending would be the price.
ENDINGS_FROM = 2
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
DAYS_IN_EVERY_MONTH = 28


@dataclass(frozen=True)
class Row:
    """One transaction before it has an id."""

    input: str
    target: str
    slice: str
    group: str


def price(dice: Dice, bounds: tuple[float, float, float], *, whole: float = 0.12, step: int = 0) -> int:
    """Draw an amount in cents.

    Args:
        dice: Source of chance.
        bounds: Low, median, high in dollars.
        whole: Share of amounts without cents.
        step: When set, amounts are multiples of so many dollars.
    """
    dollars = dice.skewed(*bounds)
    if step:
        return max(step, int(dollars) // step * step) * CENTS
    cents = max(1, int(dollars * CENTS))
    if dollars < ENDINGS_FROM:
        return cents
    if dice.chance(whole):
        return cents // CENTS * CENTS
    ending = dice.weighted({99: 18, 50: 6, 95: 6, -1: 70})
    return cents if ending < 0 else cents // CENTS * CENTS + ending


def amount_text(dice: Dice, cents: int) -> str:
    """Write an amount as one of the bank's three feeds does: signed, with DR or CR, or bare."""
    plain = f"{abs(cents) // CENTS}.{abs(cents) % CENTS:02d}"
    if cents < 0:
        return dice.weighted({f"-{plain} USD": 82, f"{plain} DR USD": 11, f"-{plain}": 7})
    return dice.weighted({f"{plain} USD": 50, f"{plain} CR USD": 22, f"+{plain} USD": 20, f"{plain}": 8})


def tokens(dice: Dice) -> dict[str, str]:
    """Draw the dates and codes that line templates may ask for."""
    month, day = dice.below(12) + 1, dice.below(DAYS_IN_EVERY_MONTH) + 1
    return {
        "mmdd": f"{month:02d}{day:02d}",
        "md": f"{month:02d}/{day:02d}",
        "hhmm": f"{dice.below(24):02d}{dice.below(60):02d}",
        "ref": dice.pick(LETTERS) * dice.below(2) + dice.digits(dice.pick((5, 6, 7, 8))),
        "ref4": dice.digits(4),
        "ref4b": dice.digits(4),
        "coid": f"{dice.below(9) + 1}{dice.digits(9)}",
        "sec": dice.pick(("PPD", "WEB", "CCD")),
        "pct": f"{dice.below(5)}.{dice.digits(2)}",
    }


def cased(dice: Dice, text: str) -> str:
    """Set a whole line in one of the cases that the feeds use."""
    line = " ".join(text.split())
    style = dice.weighted({"upper": 80, "title": 13, "lower": 7})
    if style == "title":
        return line.title()
    return line.upper() if style == "upper" else line.lower()
