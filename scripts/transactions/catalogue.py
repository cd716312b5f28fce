"""The invented merchants: their kinds, their names and which split may show them."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from dice import Dice

CONTENT = Path(__file__).parent / "content"
Clarity = Literal["plain", "hint", "opaque"]
Split = Literal["train", "dev", "test"]
SPLITS: tuple[Split, ...] = ("train", "dev", "test")

# How clearly a merchant's name says what it sells. Part of the design, see the card's `difficulty`.
CLARITY_WEIGHTS: dict[Clarity, int] = {"plain": 45, "hint": 33, "opaque": 22}
BRANDISH_WEIGHTS: dict[Clarity, int] = {"plain": 70, "hint": 30}
ROOT_WEIGHTS = {
    "surnames": 26,
    "places": 15,
    "nature": 20,
    "brands": 22,
    "foreign": 13,
    "initials": 4,
}
# One root may name several merchants of different kinds, as "Juniper" does, but not too many.
MAX_USES_OF_A_ROOT = 5
# No two names agree in so many first letters, the least that a cut-off name field shows.
DISTINCT_LETTERS = 16
DEFAULT_CREDIT_RATE = 0.035
# Where a customer on a journey pays, and so where a foreign currency may turn up.
TRAVELLED_PROFILES = {"eatery", "small_shop", "chain", "travel", "tickets"}


@dataclass(frozen=True)
class Kind:
    """A kind of merchant, as `content/kinds_*.yaml` describes it; amounts in dollars."""

    name: str
    label: str
    weight: int
    profile: str
    words: tuple[str, ...]
    hints: tuple[str, ...]
    roots: tuple[str, ...]
    cues: tuple[str, ...]
    amount: tuple[float, float, float]
    mcc: str | None
    house: bool
    credit: float
    credit_words: tuple[str, ...]
    recurring: float
    clarity: str | None
    cue: str | None


@dataclass(frozen=True)
class Merchant:
    """One merchant.

    Its name comes in `parts`; the one at index `word`, if any, says or suggests the kind.
    """

    key: str
    kind: Kind
    parts: tuple[str, ...]
    word: int | None
    clarity: Clarity
    home: tuple[str, str]
    abroad: tuple[str, str, str] | None
    store: str
    phone: str
    only_in: Split | None
    squeeze: str

    @property
    def name(self) -> str:
        """The full name, as over the door."""
        return " ".join(self.parts)


def read(name: str) -> Any:  # noqa: ANN401 - the shape differs per file; the callers below give it a type
    """Read one YAML file of the content folder."""
    return yaml.safe_load((CONTENT / name).read_text(encoding="utf-8"))


def load_kinds() -> dict[str, Kind]:
    """Read every kind of merchant, in the order of the files."""
    kinds: dict[str, Kind] = {}
    for file in ("kinds_shops.yaml", "kinds_services.yaml", "kinds_bills.yaml"):
        for name, row in read(file).items():
            low, median, high = row["amount"]
            kinds[name] = Kind(
                name=name,
                label=row["label"],
                weight=row["weight"],
                profile=row["profile"],
                words=tuple(row["words"]),
                hints=tuple(row["hints"]),
                cues=tuple(row["cues"]),
                roots=tuple(row.get("roots", ROOT_WEIGHTS)),
                amount=(low, median, high),
                mcc=f"{row['mcc']:04d}" if "mcc" in row else None,
                house=row.get("house", False),
                credit=row.get("credit", DEFAULT_CREDIT_RATE),
                credit_words=tuple(row.get("credit_words", ())),
                recurring=row.get("recurring", 0.0),
                clarity=row.get("clarity"),
                cue=row.get("cue"),
            )
    return kinds


def plain(text: str) -> str:
    """Fold case, turn punctuation into spaces and collapse them; digits stay."""
    return " ".join(re.sub(r"[\W_]+", " ", text.casefold()).split())


class Namer:
    """Makes up merchants, never two with the same folded name."""

    def __init__(self, dice: Dice) -> None:
        """Read the raw material."""
        self.dice = dice
        self.names: dict[str, Any] = read("names.yaml")
        self._taken: set[str] = set()
        self._opaque: set[str] = set()
        self._of_kind: set[tuple[str, str]] = set()
        self._uses: dict[str, int] = {}
        self._count = 0

    def merchant(self, kind: Kind, only_in: Split | None) -> Merchant:
        """Make up one merchant of a kind, seen by one split only or by all of them."""
        dice = self.dice
        clarity = self._clarity(kind)
        parts, word = self._name(kind, clarity)
        self._count += 1
        city, state = dice.pick(self.names["cities"])
        return Merchant(
            key=f"m{self._count:04d}",
            kind=kind,
            parts=parts,
            word=word,
            clarity=clarity,
            home=(city, state),
            abroad=self._abroad(kind, word),
            store=dice.digits(dice.pick((3, 4, 4, 5))),
            # 555-01xx is kept free for invented numbers.
            phone=f"{dice.pick((800, 833, 844, 855, 866, 877, 888))}-555-01{dice.digits(2)}",
            only_in=only_in,
            squeeze=dice.weighted({"none": 62, "vowels": 12, "spaces": 12, "short": 14}),
        )

    def _abroad(self, kind: Kind, word: int | None) -> tuple[str, str, str] | None:
        """Put some merchants abroad, more often those named in another language."""
        if kind.profile not in TRAVELLED_PROFILES or not self.dice.chance(0.25 if word == 0 else 0.05):
            return None
        city, country, currency = self.dice.pick(self.names["foreign_cities"])
        return city, country, currency

    def _clarity(self, kind: Kind) -> Clarity:
        if kind.clarity == "plain":
            return "plain"
        return self.dice.weighted(BRANDISH_WEIGHTS if kind.clarity == "brandish" else CLARITY_WEIGHTS)

    def _name(self, kind: Kind, clarity: Clarity) -> tuple[tuple[str, ...], int | None]:
        """Draw names until a narrow field is enough to tell one from all others."""
        while True:
            parts, word = self._draw_name(kind, clarity)
            folded = plain("".join(parts)).replace(" ", "")[:DISTINCT_LETTERS]
            if folded not in self._taken:
                self._taken.add(folded)
                return parts, word

    def _draw_name(self, kind: Kind, clarity: Clarity) -> tuple[tuple[str, ...], int | None]:
        dice = self.dice
        root = self._root(kind, clarity)
        if clarity == "opaque":
            suffix = dice.pick(self.names["suffixes"])
            return ((root, suffix) if suffix else (root,)), None
        word = dice.pick(kind.words if clarity == "plain" else kind.hints)
        if word.endswith("~"):
            return (word.removesuffix("~").strip(), root), 0
        if "~" in word:
            before, after = (piece.strip() for piece in word.split("~"))
            return (before, root, after), 2
        return (root, word), 1

    def _root(self, kind: Kind, clarity: Clarity) -> str:
        dice = self.dice
        weights = {style: weight for style, weight in ROOT_WEIGHTS.items() if style in kind.roots}
        while True:
            style = "brands" if kind.clarity == "brandish" else dice.weighted(weights)
            root: str = dice.pick(self.names[style])
            if self._free(root, kind, clarity):
                break
        self._of_kind.add((root, kind.name))
        self._uses[root] = self._uses.get(root, 0) + 1
        if clarity == "opaque":
            self._opaque.add(root)
            return root
        if style == "surnames":
            owner = root if root.endswith(("s", "z")) else f"{root}'s"
            return dice.weighted({root: 6, owner: 3, f"{root} & Sons": 1, f"{root} Bros": 1, f"{root} Family": 1})
        return root

    def _free(self, root: str, kind: Kind, clarity: Clarity) -> bool:
        """Tell whether a root may name one more merchant."""
        if (root, kind.name) in self._of_kind:
            # Else a merchant of the test split could be known by its namesake in train.
            return False
        if clarity == "opaque" and root in self._opaque:
            # Two merchants of which nothing but the same root can be read would be a coin flip.
            return False
        return self._uses.get(root, 0) < MAX_USES_OF_A_ROOT
