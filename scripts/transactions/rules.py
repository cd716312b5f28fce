"""The bank's house rules: the one function that gives every label.

There is no label noise. Whatever decides a label (kind of merchant, amount, sign, time, marker) is
on the line or known from train, and `content/documents.yaml` says the same in words, with the
thresholds of this file filled in.
"""

from dataclasses import dataclass
from typing import Literal

Basis = Literal["plain", "house", "amount", "channel", "credit", "movement"]

# Thresholds, in dollars.
FUEL_MIN = 20
SUPERSTORE_MAX = 150
CAFE_MAX = 25
PHARMACY_MIN = 10
HOTEL_MIN = 60
RENT_MIN = 400
TUITION_MIN = 250
# A ride that starts in these hours is a night out: from 22:00, and before 05:00.
NIGHT_FROM, NIGHT_TO = 22, 5
CENTS = 100

THRESHOLDS = {
    "FUEL_MIN": FUEL_MIN,
    "SUPERSTORE_MAX": SUPERSTORE_MAX,
    "CAFE_MAX": CAFE_MAX,
    "PHARMACY_MIN": PHARMACY_MIN,
    "HOTEL_MIN": HOTEL_MIN,
    "RENT_MIN": RENT_MIN,
    "TUITION_MIN": TUITION_MIN,
}


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a categoriser may know of a transaction.

    Attributes:
        kind: Kind of merchant or movement.
        base: The kind's category before any rule.
        house: Whether the base itself is this bank's own choice.
        cents: Signed amount in US cents; positive is money in.
        recurring: Whether the line says that the payment is a standing one.
        hour: Hour at which a ride started, else None.
        marker: One word for what else the line shows: pump, grocery, payout, rent, self, or "".
        cashback: Cents of cash handed out at the till, part of the amount.
        movement: Whether there is no merchant.
    """

    kind: str
    base: str
    house: bool = False
    cents: int
    recurring: bool = False
    hour: int | None = None
    marker: str = ""
    cashback: int = 0
    movement: bool = False


@dataclass(frozen=True)
class Decision:
    """A label and the sort of rule that gave it."""

    label: str
    basis: Basis


def category(facts: Facts) -> Decision:
    """Give the bank's category for a transaction."""
    if facts.movement:
        return Decision(_movement(facts), "movement")
    if facts.cents > 0:
        return Decision(_credit(facts), "credit")
    return _by_amount(facts) or _by_channel(facts) or Decision(facts.base, "house" if facts.house else "plain")


def _movement(facts: Facts) -> str:
    if facts.marker == "self":
        return "own_transfer"
    if facts.marker == "rent" and facts.cents < 0:
        return "rent"
    if facts.kind == "wire":
        return "transfer_in" if facts.cents > 0 else "transfer_out"
    return facts.base


def _credit(facts: Facts) -> str:
    """Categorise money that comes back from a merchant."""
    if facts.marker == "payout":
        return "transfer_in" if facts.kind == "marketplace" else "payroll"
    if facts.kind in {"insurer", "special_cover", "government", "lender"}:
        return "transfer_in"
    if facts.kind == "broker" or facts.base == "travel":
        return facts.base
    return "refund"


def _by_amount(facts: Facts) -> Decision | None:
    spent = -facts.cents
    low_high = {
        "gas_station": (FUEL_MIN, "convenience", "fuel"),
        "pharmacy": (PHARMACY_MIN, "convenience", "health"),
        "hotel": (HOTEL_MIN, "restaurants", "travel"),
        "property": (RENT_MIN, "fees", "rent"),
        "college": (TUITION_MIN, "shopping", "education"),
        "superstore": (SUPERSTORE_MAX, "groceries", "shopping"),
        "cafe": (CAFE_MAX, "coffee", "restaurants"),
    }
    if facts.cashback:
        return Decision("cash" if 2 * facts.cashback > spent else facts.base, "amount")
    if facts.kind == "gas_station" and facts.marker == "pump":
        return Decision("fuel", "amount")
    if facts.kind not in low_high:
        return None
    threshold, below, from_there = low_high[facts.kind]
    return Decision(below if spent < threshold * CENTS else from_there, "amount")


def _by_channel(facts: Facts) -> Decision | None:
    if facts.kind == "rideshare" and facts.hour is not None:
        night = facts.hour >= NIGHT_FROM or facts.hour < NIGHT_TO
        return Decision("entertainment" if night else "transport", "channel")
    if facts.kind == "delivery_app":
        return Decision("groceries" if facts.marker == "grocery" else "restaurants", "channel")
    if facts.kind in {"digital_media", "box_club"} or (facts.kind == "car_wash" and facts.recurring):
        return Decision("subscriptions" if facts.recurring else facts.base, "channel")
    return None
