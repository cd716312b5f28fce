"""Deal out the rows: so many of each kind to each split.

Most rows go to merchants that all splits share, some to merchants of one split alone.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from catalogue import SPLITS, Kind, Merchant, Namer, Split, load_kinds, plain
from dice import Dice
from movements import Desk, Movement, load_movements
from rows import Row
from sales import Till

SEED = 20260423
ROWS: dict[Split, int] = {"train": 9_000, "dev": 1_000, "test": 2_000}
# Share of a merchant kind's dev and test rows that goes to merchants of that split alone.
EXCLUSIVE_PER_CENT = 33
ROWS_PER_SHARED_MERCHANT = 13
ROWS_PER_EXCLUSIVE_MERCHANT = 3
MIN_SHARED, MAX_SHARED = 4, 45
# A merchant with so many rows in train may be known by its name alone.
WELL_KNOWN_ROWS = 5
# Every shared merchant has at least so many rows in train.
MIN_TRAIN_ROWS = 2
MAX_TRIES = 50


@dataclass(frozen=True)
class Suite:
    """The finished rows of each split, and the ids that go with them."""

    rows: dict[Split, list[Row]]
    ids: dict[Split, list[str]]
    merchants: int
    seed: int


def shares(total: int, weights: Mapping[str, int]) -> dict[str, int]:
    """Split `total` in proportion to whole weights; the largest remainders get the rest."""
    whole = sum(weights.values())
    counts = {name: total * weight // whole for name, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda name: (-(total * weights[name] % whole), name))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def exclusive_rows(count: int) -> int:
    """Return how many of `count` rows go to merchants of one split alone, rounded."""
    return (count * EXCLUSIVE_PER_CENT + 50) // 100


class Dealer:
    """Builds the suite from one seed."""

    def __init__(self, seed: int) -> None:
        """Open one stream of chance for names and one for rows."""
        self.seed = seed
        self.dice = Dice(seed, "rows")
        self.namer = Namer(Dice(seed, "names"))
        self.till = Till(self.dice, self.namer)
        self.rows: dict[Split, list[Row]] = {split: [] for split in SPLITS}
        self.shared: list[Merchant] = []
        self._seen: set[str] = set()
        self._merchants = 0

    def suite(self) -> Suite:
        """Deal every row and number them."""
        kinds, movements = load_kinds(), load_movements()
        weights = {name: kind.weight for name, kind in kinds.items()} | {
            name: move.weight for name, move in movements.items()
        }
        counts = {split: shares(ROWS[split], weights) for split in SPLITS}
        for name, kind in kinds.items():
            self._deal_kind(kind, {split: counts[split][name] for split in SPLITS})
        desk = Desk(self.dice, self.namer, self.shared)
        for split in SPLITS:
            for name, movement in movements.items():
                self._deal_movement(desk, movement, split, counts[split][name])
        return Suite(self.rows, self._ids(self.seed), self._merchants, self.seed)

    def _deal_movement(self, desk: Desk, movement: Movement, split: Split, count: int) -> None:
        for _ in range(count):
            self._add(split, lambda: desk.row(movement))

    def _deal_kind(self, kind: Kind, counts: dict[Split, int]) -> None:
        wanted = min(MAX_SHARED, max(MIN_SHARED, counts["train"] // ROWS_PER_SHARED_MERCHANT))
        shared = [self._open(kind, None) for _ in range(wanted)]
        self.shared += shared
        # A few merchants have most of the rows, as everywhere.
        popularity = {index: 1000 // (index + 3) for index in range(len(shared))}
        visits = {split: Counter(self._visits(popularity, split, counts[split])) for split in SPLITS}
        for split in SPLITS:
            for index, merchant in enumerate(shared):
                known = visits["train"][index] >= WELL_KNOWN_ROWS
                for _ in range(visits[split][index]):
                    self._sell(split, merchant, well_known=known)
        for split in ("dev", "test"):
            rows = exclusive_rows(counts[split])
            strangers = [self._open(kind, split) for _ in range(-(-rows // ROWS_PER_EXCLUSIVE_MERCHANT))]
            for number in range(rows):
                self._sell(split, strangers[number % len(strangers)], well_known=False)

    def _visits(self, popularity: dict[int, int], split: Split, count: int) -> list[int]:
        """Choose which shared merchants are visited; in train each of them at least a few times."""
        if split == "train":
            sure = [index for index in popularity for _ in range(MIN_TRAIN_ROWS)]
            return sure + [self.dice.weighted(popularity) for _ in range(count - len(sure))]
        shared_rows = count - exclusive_rows(count)
        return [self.dice.weighted(popularity) for _ in range(shared_rows)]

    def _open(self, kind: Kind, only_in: Split | None) -> Merchant:
        self._merchants += 1
        return self.namer.merchant(kind, only_in)

    def _sell(self, split: Split, merchant: Merchant, *, well_known: bool) -> None:
        self._add(split, lambda: self.till.row(merchant, split, well_known=well_known))

    def _add(self, split: Split, draw: Callable[[], Row]) -> None:
        """Add a row whose folded text no other row has, in any split."""
        for _ in range(MAX_TRIES):
            row = draw()
            folded = plain(row.input)
            if folded not in self._seen:
                self._seen.add(folded)
                self.rows[split].append(row)
                return
        msg = f"no new line found in {MAX_TRIES} tries; the last was {row.input!r}"
        raise RuntimeError(msg)

    def _ids(self, seed: int) -> dict[Split, list[str]]:
        """Shuffle each split and hand out ids, so that neither order nor id says anything."""
        dice = Dice(seed, "ids")
        total = sum(ROWS.values())
        numbers = list(range(1, total + 1))
        dice.shuffle(numbers)
        ids: dict[Split, list[str]] = {}
        for split in SPLITS:
            dice.shuffle(self.rows[split])
            ids[split] = sorted(f"tx-{numbers.pop():05d}" for _ in self.rows[split])
        return ids
