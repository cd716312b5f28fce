"""Splits of a new suite: what is missing is drawn from train, and nothing of test stays in train or dev.

Rows are drawn in proportion to their classes: an item's label, each label of its set, or a part of its JSON. Items with
one input or one group stay together.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from thirdlever.core.errors import SuiteError
from thirdlever.core.text import normalise

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from thirdlever.suites.suite import Item

    Classes: TypeAlias = Callable[[Item], Sequence[str]]  # what an item is drawn by; none for free text

TEST_SHARE = 0.2
DEV_SHARE = 0.1
MAX_DEV = 1_000


@dataclass(frozen=True, slots=True)
class Splits:
    """Labelled rows by role.

    Attributes:
        parts: items of "train", "dev" and "test".
        changes: what was dropped or drawn, in sentences.
    """

    parts: Mapping[str, Sequence[Item]]
    changes: Sequence[str]

    def contradictions(self) -> list[str]:
        """One sentence per part in which an input has more than one target."""
        sentences = []
        for part, items in self.parts.items():
            found = [same for same in _by_input(items) if len({item.target for item in same}) > 1]
            if found:
                different = {item.target: item for item in found[0]}.values()
                example = " and ".join(f"{item.target!r} ({item.id})" for item in different)
                sentences.append(f"inputs of {part} with more than one target: {len(found)}, e.g. {example}")
        return sentences


def split(given: Mapping[str, Sequence[Item]], *, classes: Classes, closed: bool, seed: int = 0) -> Splits:
    """Make the splits that are missing, and remove from train and dev what is in test.

    Test rows are never changed. Rows of train and dev with the input of a test row (ignoring case, punctuation and
    white space) are dropped, as are rows of train with the input of a dev row, and repeated rows of train. Missing
    splits are drawn from train: 20 % for test, 10 % for dev (1,000 at most), whole groups at a time.

    Args:
        given: items of "train" and, if the user has them, "dev" and "test"; an item's id is its file and line.
        classes: what rows are drawn in proportion to.
        closed: whether train must have each class of the others: classes are labels.
        seed: for the draw.

    Raises:
        SuiteError: train or test is empty, or train lacks a label of the others.
    """
    first: dict[tuple[str, str], Item] = {}
    for item in given["train"]:
        first.setdefault((item.input, item.target), item)
    train = list(first.values())
    changes: list[str] = []
    if repeated := len(given["train"]) - len(train):
        changes.append(f"repeated rows of train dropped: {repeated}")
    sizes = {"test": int(TEST_SHARE * len(train)), "dev": min(int(DEV_SHARE * len(train)), MAX_DEV)}
    parts: dict[str, list[Item]] = {}
    for part, size in sizes.items():
        if part in given:
            parts[part] = _without(given[part], parts.get("test", ()), f"{part} dropped because test has them", changes)
            train = _without(train, parts[part], f"train dropped because {part} has them", changes)
        else:
            train, parts[part] = draw(train, size, classes=classes, seed=seed)
            how = f"by target, seed {seed}" if any(map(classes, train)) else f"seed {seed}"
            how += ", whole groups" if any(item.group for item in train) else ""
            changes.append(f"rows of train drawn for {part} ({how}): {len(parts[part])}")
    parts = {"train": train, "dev": parts["dev"], "test": parts["test"]}
    if shared := shared_groups(parts["test"], [*train, *parts["dev"]]):
        changes.append(f"groups of test that train or dev has too: {shared}")
    _check(parts, classes if closed else None)
    return Splits(parts, changes)


def draw(items: Sequence[Item], size: int, *, classes: Classes, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """Draw about `size` items (never more), in file order, and keep the rest.

    Items with the same normalised input or the same group stay together, so that nothing drawn is also kept in another
    spelling, and no source is on both sides.

    Args:
        items: what to draw from; ids are unique.
        size: the maximum to draw.
        classes: draw from each in proportion to its frequency, and keep at least one item of each.
        seed: for the draw.

    Returns:
        (kept, drawn)
    """
    frequency = Counter(each for item in items for each in classes(item))
    strata: defaultdict[str, list[list[Item]]] = defaultdict(list)
    for same in _units(items):
        rarest = min((each for item in same for each in classes(item)), key=lambda each: frequency[each], default="")
        strata[rarest].append(same)
    rng = random.Random(seed)  # noqa: S311 - not a secret
    units: list[list[Item]] = []
    quotas = _quotas({target: sum(map(len, units)) for target, units in strata.items()}, size, rng)
    for target in sorted(strata):
        room = quotas[target]
        for unit in rng.sample(strata[target], len(strata[target])):
            if len(unit) <= room:
                room -= len(unit)
                units.append(unit)
    units = _with_classes_left(units, classes, frequency)
    drawn = {item.id for unit in units for item in unit}
    return [item for item in items if item.id not in drawn], [item for item in items if item.id in drawn]


def shared_groups(test: Iterable[Item], others: Iterable[Item]) -> int:
    """How many groups have items on both sides."""
    return len(({item.group for item in test} & {item.group for item in others}) - {""})


def _units(items: Sequence[Item]) -> Iterable[list[Item]]:
    """The items that must stay together: connected by an equal input or an equal group."""
    above = list(range(len(items)))

    def root(i: int) -> int:
        while above[i] != i:
            above[i] = i = above[above[i]]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, item in enumerate(items):
        keys = [("input", normalise(item.input)), *([("group", item.group)] if item.group else [])]
        for key in keys:
            above[root(i)] = root(first.setdefault(key, i))
    found: defaultdict[int, list[Item]] = defaultdict(list)
    for i, item in enumerate(items):
        found[root(i)].append(item)
    return found.values()


def _with_classes_left(units: Sequence[list[Item]], classes: Classes, frequency: Mapping[str, int]) -> list[list[Item]]:
    """The drawn units without those that would take the last items of a class."""
    left, kept = Counter(frequency), []
    for unit in units:
        taken = Counter(each for item in unit for each in classes(item))
        if all(left[each] > number for each, number in taken.items()):
            left -= taken
            kept.append(unit)
    return kept


def _quotas(counts: Mapping[str, int], size: int, rng: random.Random) -> dict[str, int]:
    """`size` divided in proportion to the counts (largest remainder, ties at random), never a whole count."""
    share = {key: size * count / sum(counts.values()) for key, count in counts.items()}
    quotas = {key: min(int(share[key]), count - 1) for key, count in counts.items()}
    at_random = rng.sample(sorted(counts), len(counts))
    by_remainder = sorted(at_random, key=lambda key: int(share[key]) - share[key])
    for key in by_remainder[: size - sum(map(int, share.values()))]:
        quotas[key] += quotas[key] < counts[key] - 1
    return quotas


def _without(items: Sequence[Item], taken: Iterable[Item], what: str, changes: list[str]) -> list[Item]:
    """The items whose normalised input is not among `taken`; appends to `changes` how many were dropped."""
    inputs = {normalise(item.input) for item in taken}
    kept = [item for item in items if normalise(item.input) not in inputs]
    if len(kept) < len(items):
        changes.append(f"rows of {what} (by input): {len(items) - len(kept)}")
    return kept


def _by_input(items: Sequence[Item]) -> Iterable[list[Item]]:
    same: defaultdict[str, list[Item]] = defaultdict(list)
    for item in items:
        same[normalise(item.input)].append(item)
    return same.values()


def _check(parts: Mapping[str, Sequence[Item]], labels: Classes | None) -> None:
    for part in ("train", "test"):
        if not parts[part]:
            message = f"no rows are left for {part}; give more rows, smaller groups, or a {part} file with other inputs"
            raise SuiteError(message)
    if labels is None:
        return
    known = {label for item in parts["train"] for label in labels(item)}
    for part in ("test", "dev"):
        for item in parts[part]:
            if lacking := [label for label in labels(item) if label not in known]:
                message = (
                    f"{item.id}: label {lacking[0]!r} of {part} has no other row in train; "
                    f"add examples of it to train, or remove its rows from {part}"
                )
                raise SuiteError(message)
