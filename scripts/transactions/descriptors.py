"""How a merchant comes out on a ledger line: prefixes, cut-off names, squeezed words, places."""

from catalogue import Merchant
from dice import Dice

# Name fields of the card networks end at 22 to 25 characters, a facilitator's prefix included.
NAME_WIDTHS = (22, 23, 25, 25)
FACILITATOR_WIDTH = 22
LONG_WORD = 7
SHORT_WORD = 5
CITY_WIDTH = 13
# So many letters of the telling word must survive the cut for a reader to recognise it.
TELLING_LETTERS = 4

FACILITATORS = {
    "square": ("SQ *", "SQ *", "SQ *", "KWK*"),
    "toast": ("TST* ", "TST* ", "TST*", "ZP *"),
    "wallet": ("PP*", "PP *", "LNQ*"),
}
TAILS = {
    "debit": (
        "POS DEBIT {name} {mmdd} {place}",
        "POS DEBIT {name} #{store} {place}",
        "POS PURCHASE {name} {place} {ref}",
        "CKCD {mmdd} {name} {place} {ref}",
        "DBT CRD {hhmm} {md} {ref} {name} {place}",
        "PURCHASE AUTH {md} {name} {place} CARD {ref4}",
        "CTLS {name} {place} {mmdd} {ref4}",
        "{name} {store} {place} {mmdd} CARD {ref4}",
        "{name} {place} {ref} {mmdd}",
    ),
    "credit": (
        "POS CREDIT {name} {mmdd} {place}",
        "RETURN {md} {name} #{store} {place}",
        "CREDIT VOUCHER {name} {place} {ref}",
        "CKCD CR {mmdd} {name} {place}",
        "MERCH REFUND {name} {place} {ref4}",
        "{name} {store} {place}",
        "{name} {place} {ref}",
        "CARD {ref4} {name} {mmdd} {place}",
    ),
    "web_debit": (
        "WEB PMT {name} {phone} {state}",
        "{name} {phone} {state} {ref}",
        "ECOM {name} {url} {mmdd}",
        "{url} {notes} {phone} {state} {ref4}",
        "CNP {md} {name} {phone} {ref}",
    ),
    "web_credit": (
        "WEB REFUND {name} {phone} {state}",
        "{name} {phone} {state} {ref}",
        "ECOM CR {name} {url} {mmdd}",
        "{name} CREDIT {ref}",
    ),
    "recurring": (
        "RECURRING {name} {phone} {state}",
        "RECUR PMT {md} {name} {ref}",
        "RECURRING CARD {ref4} {name} {url}",
        "AUTOPAY {name} REF {ref}",
        "POS RECUR {name} {mmdd}",
    ),
    "ach_debit": (
        "ACH DEBIT {name} DES:{des} ID:{ref} INDN:{holder} {sec}",
        "{name} {des} {ref} {sec} ID: {coid}",
        "EFT {name} {des} {mmdd}",
        "ACH DR {name} {des} {mmdd} {ref4}",
    ),
    "ach_credit": (
        "ACH CREDIT {name} DES:{des} ID:{ref} INDN:{holder}",
        "{name} {des} {ref} {sec} ID: {coid}",
        "EFT CR {name} {des} {mmdd}",
    ),
    "fx_debit": (
        "FX {name} {place} {foreign}",
        "INTL POS {md} {name} {place} {foreign}",
        "{name} {place} {foreign}",
    ),
    "fx_credit": ("FX CR {name} {place} {foreign}", "INTL REFUND {name} {place} {foreign}"),
}
GENERIC_DES = ("PAYMENT", "WEB PMT", "E-PAY", "BILLPAY", "PMT", "ONLINE PMT")


def squeezed(piece: str, how: str) -> str:
    """Shorten the long words of a name as the merchant's terminal has been set up to."""
    words = piece.replace("'", "").split()
    if how == "vowels":
        words = [
            word[0] + "".join(c for c in word[1:] if c.lower() not in "aeiou") if len(word) >= LONG_WORD else word
            for word in words
        ]
    if how == "short":
        words = [word[:SHORT_WORD] if len(word) >= LONG_WORD else word for word in words]
    return "".join(words) if how == "spaces" else " ".join(words)


def printed_name(merchant: Merchant, width: int) -> tuple[str, bool]:
    """Return the name as printed within `width`, and whether its telling word is legible."""
    gap = "" if merchant.squeeze == "spaces" else " "
    name, legible = "", False
    for index, part in enumerate(merchant.parts):
        piece = squeezed(part, merchant.squeeze)
        name = f"{name}{gap}{piece}" if name else piece
        if index == merchant.word:
            last = len(piece.split()[-1])
            legible = len(name) - last + min(last, TELLING_LETTERS) <= width
    return name[:width].rstrip(" &*'"), legible


def name_field(merchant: Merchant, channel: str, dice: Dice) -> tuple[str, bool]:
    """Return the name field, facilitator's prefix included, and whether the kind is legible."""
    if channel in FACILITATORS:
        prefix = dice.pick(FACILITATORS[channel])
        name, legible = printed_name(merchant, FACILITATOR_WIDTH - len(prefix))
        return prefix + name, legible
    return printed_name(merchant, dice.pick(NAME_WIDTHS))


def place(merchant: Merchant, dice: Dice, cities: list[list[str]]) -> tuple[str, str]:
    """Return the place as printed and the state; only chains have branches."""
    city, state = merchant.home
    if merchant.kind.profile == "chain" and dice.chance(0.5):
        city, state = dice.pick(cities)
    glue = "" if dice.chance(0.08) else " "
    return f"{city[:CITY_WIDTH].rstrip()}{glue}{state}", state


def url(merchant: Merchant) -> str:
    """Return the merchant's address on the web the way a name field shows it."""
    slug = "".join(c for c in merchant.name.lower() if c.isalnum())
    return f"WWW.{slug}"
