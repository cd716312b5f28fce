"""Rows at merchants: purchases, standing payments, refunds and payouts."""

from catalogue import Merchant, Namer, Split
from descriptors import GENERIC_DES, TAILS, name_field, place, url
from dice import Dice
from rows import Row, amount_text, cased, price, tokens
from rules import CENTS, NIGHT_FROM, NIGHT_TO, Facts, category

PROFILES: dict[str, dict[str, int]] = {
    "chain": {"card": 94, "web": 6},
    "small_shop": {"card": 56, "square": 38, "wallet": 6},
    "eatery": {"card": 50, "toast": 30, "square": 20},
    "online": {"web": 62, "wallet": 38},
    "web_subscription": {"recurring": 60, "web": 25, "wallet": 15},
    "digital": {"recurring": 46, "web": 34, "wallet": 20},
    "app": {"web": 57, "card": 27, "wallet": 16},
    "tickets": {"web": 52, "card": 38, "wallet": 10},
    "travel": {"card": 68, "web": 32},
    "practice": {"card": 56, "web": 20, "ach": 24},
    "membership": {"recurring": 45, "ach": 25, "card": 30},
    "biller": {"ach": 60, "recurring": 20, "web": 20},
    "landlord": {"ach": 70, "web": 20, "card": 10},
}
SLICE_OF_BASIS = {
    "plain": "seen_merchant",
    "house": "house_rule",
    "amount": "amount_rule",
    "channel": "channel_rule",
    "credit": "refund",
}

# How often the line carries a cue. A merchant with few rows in train always gets one, unless its
# name speaks for itself.
CUE_RATE_PLAIN = 0.10
CUE_RATE_WELL_KNOWN = 0.25
MCC_SHARE_OF_CUES = 0.35
PUMP_RATE = 0.28
GROCERY_ORDER_RATE = 0.35
CASHBACK_RATE = 0.09
PAYOUT_RATE = 0.5
NIGHT_RATE = 0.42
WHOLE_DOLLARS = {
    "charity": 0.85,
    "broker": 0.75,
    "property": 0.6,
    "storage_hoa": 0.5,
    "childcare": 0.6,
    "lender": 0.2,
}
PAYOUT_WORDS = {
    "marketplace": ("SELLER PAYOUT", "SELLER DISB"),
    "rideshare": ("DRIVER PAYOUT", "DRIVER EARNINGS"),
    "delivery_app": ("COURIER EARN", "COURIER PAYOUT"),
}
PAYOUT_AMOUNT = (24.0, 160.0, 900.0)
CASHBACK_NOTES = (20, 40, 40, 60, 80, 100)


class Till:
    """Makes rows at merchants."""

    def __init__(self, dice: Dice, namer: Namer) -> None:
        """Keep the source of chance and the raw names."""
        self.dice = dice
        self.names = namer.names
        self._credit_due: dict[Split, float] = {}

    def row(self, merchant: Merchant, split: Split, *, well_known: bool) -> Row:
        """Draw one transaction at a merchant.

        Args:
            merchant: Where it happened.
            split: The split that the row is for.
            well_known: Whether train holds enough rows of the merchant for its name alone to do.
        """
        facts, channel, extras = self._facts(merchant, credit=self._credit(merchant, split))
        decision = category(facts)
        part = SLICE_OF_BASIS[decision.basis]
        if part != "refund" and merchant.only_in:
            part = "unseen_merchant"
        line = self._line(merchant, facts, channel, extras, well_known=well_known)
        return Row(f"{line} | {amount_text(self.dice, facts.cents)}", decision.label, part, merchant.key)

    def holder(self) -> str:
        """Draw an account holder, initial and surname."""
        return f"{self.dice.pick(self.names['given'])[0]} {self.dice.pick(self.names['surnames'])}"

    def _credit(self, merchant: Merchant, split: Split) -> bool:
        """Tell whether money comes back: by rota, so that every split has the same share."""
        due = self._credit_due.get(split, 0.5) + merchant.kind.credit
        self._credit_due[split] = due % 1
        return due >= 1

    def _cashback(self, merchant: Merchant, channel: str) -> bool:
        at_till = merchant.kind.name == "supermarket" and channel == "card"
        return at_till and merchant.abroad is None and self.dice.chance(CASHBACK_RATE)

    def _facts(self, merchant: Merchant, *, credit: bool) -> tuple[Facts, str, list[str]]:
        """Draw what happened, by which channel, and the words that the line must show for it."""
        dice, kind = self.dice, merchant.kind
        channel = dice.weighted(PROFILES[kind.profile])
        if dice.chance(kind.recurring):
            channel = "recurring"
        cents = price(dice, kind.amount, whole=WHOLE_DOLLARS.get(kind.name, 0.12))
        marker, hour, cashback, extras = "", None, 0, list[str]()
        if credit:
            channel = {"recurring": "web"}.get(channel, channel)
            if kind.credit_words:
                channel, extras = "ach", [dice.pick(kind.credit_words)]
            elif kind.name in PAYOUT_WORDS and dice.chance(PAYOUT_RATE):
                marker, channel, extras = "payout", "ach", [dice.pick(PAYOUT_WORDS[kind.name])]
                cents = price(dice, PAYOUT_AMOUNT)
        elif kind.name == "gas_station" and dice.chance(PUMP_RATE):
            marker, extras = (
                "pump",
                [
                    dice.pick(
                        (
                            "PAY AT PUMP",
                            f"PUMP {dice.below(16) + 1:02d}",
                            "OUTDOOR PUMP",
                            "AFD MCC 5542",
                        )
                    )
                ],
            )
        elif kind.name == "delivery_app" and dice.chance(GROCERY_ORDER_RATE):
            marker, extras = (
                "grocery",
                [dice.pick(("GROC ORD", "GROCERY", "MKT BASKET ORD", "SUPERMKT ORD"))],
            )
        elif self._cashback(merchant, channel):
            cashback = dice.pick(CASHBACK_NOTES) * CENTS
            # A basket about as dear as the cash: which weighs more is for the reader to work out.
            cents = cashback + price(dice, (4.0, 0.9 * cashback / CENTS, 2.6 * cashback / CENTS))
            extras = [f"{dice.pick(('CASHBACK', 'CASH BACK', 'W/CB'))} {cashback // CENTS}.00"]
        elif kind.name == "rideshare":
            night = dice.chance(NIGHT_RATE)
            hour = (
                (NIGHT_FROM + dice.below(24 - NIGHT_FROM + NIGHT_TO)) % 24
                if night
                else NIGHT_TO + dice.below(NIGHT_FROM - NIGHT_TO)
            )
            extras = [f"{dice.pick(('TRIP', 'RIDE', 'PICKUP', 'PU'))} {hour:02d}:{dice.below(60):02d}"]
        facts = Facts(
            kind=kind.name,
            base=kind.label,
            house=kind.house,
            cents=cents if credit else -cents,
            recurring=channel == "recurring",
            hour=hour,
            marker=marker,
            cashback=cashback,
        )
        return facts, channel, extras

    def _line(self, merchant: Merchant, facts: Facts, channel: str, extras: list[str], *, well_known: bool) -> str:
        dice = self.dice
        if merchant.abroad and channel in {"card", "square", "toast", "web", "wallet"}:
            channel = "fx"
        name, legible = name_field(merchant, channel, dice)
        cue = self._cue(merchant, legible=legible, well_known=well_known)
        # A pump or a trip speaks for itself, and no terminal says a thing twice.
        if facts.marker == "pump" or facts.hour is not None or cue in name.upper():
            cue = ""
        notes = [*extras, cue] if cue else extras
        des = dice.pick(GENERIC_DES)
        if channel == "ach" and notes:
            des, notes = " ".join(notes), []
        where, state = place(merchant, dice, self.names["cities"])
        fields = tokens(dice) | {
            "name": " ".join([name, *notes]),
            "store": merchant.store,
            "phone": merchant.phone,
            "place": where,
            "state": state,
            "notes": " ".join(notes),
            "url": url(merchant),
            "des": des,
            "holder": self.holder(),
        }
        if merchant.abroad:
            city, country, currency = merchant.abroad
            fields |= {
                "place": f"{city} {country}",
                "state": country,
                "foreign": self._foreign(facts.cents, currency),
            }
        return cased(dice, dice.pick(TAILS[self._template(channel, credit=facts.cents > 0)]).format(**fields))

    def _template(self, channel: str, *, credit: bool) -> str:
        side = "credit" if credit else "debit"
        if channel in {"card", "square", "toast"}:
            return side
        if channel in {"web", "wallet"}:
            return f"web_{side}"
        return channel if channel == "recurring" else f"{channel}_{side}"

    def _cue(self, merchant: Merchant, *, legible: bool, well_known: bool) -> str:
        dice, kind = self.dice, merchant.kind
        if kind.cue == "always":
            rate = 1.0
        elif merchant.clarity == "plain" and legible:
            rate = CUE_RATE_PLAIN
        else:
            rate = CUE_RATE_WELL_KNOWN if well_known else 1.0
        if not dice.chance(rate):
            return ""
        if kind.mcc and dice.chance(MCC_SHARE_OF_CUES):
            return f"MCC {kind.mcc}"
        return dice.pick(kind.cues)

    def _foreign(self, cents: int, currency: str) -> str:
        rate = self.names["rates"][currency] * (97 + self.dice.below(7)) / 100
        amount = abs(cents) * rate / CENTS
        written = f"{amount:.0f}" if currency == "JPY" else f"{amount:.2f}"
        return f"{currency} {written} @{rate:.4f}"
