"""Train, dev and test out of labelled rows, so that no input stands on two sides."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thirdlever.core.errors import SuiteError
from thirdlever.core.text import normalise

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from thirdlever.suite import Item

TEST_SHARE = 0.2
DEV_SHARE = 0.1
DEV_MOST = 1_000


@dataclass(frozen=True, slots=True)
class Splits:
    """Labelled rows by role.

    Attributes:
        parts: items of "train", "dev" and "test".
        closed: whether the targets are labels, not free text: then they repeat.
        changes: what was dropped or drawn, in sentences.
    """

    parts: Mapping[str, Sequence[Item]]
    closed: bool
    changes: Sequence[str]

    def contradictions(self) -> list[str]:
        """One sentence for each part in which an input has more than one target."""
        sentences = []
        for part, items in self.parts.items():
            found = [same for same in _by_input(items) if len({item.target for item in same}) > 1]
            if found:
                unlike = {item.target: item for item in found[0]}.values()
                example = " and ".join(f"{item.target!r} ({item.id})" for item in unlike)
                sentences.append(f"inputs of {part} that have more than one target: {len(found)}, e.g. {example}")
        return sentences


def split(given: Mapping[str, Sequence[Item]], *, seed: int = 0) -> Splits:
    """Make the splits that are not given, and clear train and dev of what is in test.

    Given test rows stay as they are. Rows of train and dev whose input is a test row's (case, punctuation and white
    space set aside) are dropped, so are rows of train whose input is a dev row's, and repeated rows of train. What is
    not given is drawn from train: 20 % for test, 10 % for dev (1,000 at most).

    Args:
        given: items of "train" and, where the user has them, "dev" and "test"; ids say where an item comes from.
        seed: the draw.

    Raises:
        SuiteError: when train or test comes out empty, or train lacks a label of the others.
    """
    train = _unrepeated(given["train"])
    closed = 2 * len({item.target for item in train}) <= len(train)
    changes: list[str] = []
    if repeated := len(given["train"]) - len(train):
        changes.append(f"rows of train dropped because they are repeated: {repeated}")
    if not closed:
        changes.append("targets hardly repeat: they are taken as free text, not as labels")
    sizes = {"test": int(TEST_SHARE * len(train)), "dev": min(int(DEV_SHARE * len(train)), DEV_MOST)}
    parts: dict[str, list[Item]] = {}
    for part, size in sizes.items():
        if part in given:
            parts[part] = _without(given[part], parts.get("test", ()), f"{part} dropped because test has them", changes)
            train = _without(train, parts[part], f"train dropped because {part} has them", changes)
        else:
            train, parts[part] = draw(train, size, stratify=closed, seed=seed)
            how = f"by target, seed {seed}" if closed else f"seed {seed}"
            changes.append(f"rows of train drawn for {part} ({how}): {len(parts[part])}")
    parts = {"train": train, "dev": parts["dev"], "test": parts["test"]}
    _check(parts, closed=closed)
    return Splits(parts, closed, changes)


def draw(items: Sequence[Item], size: int, *, stratify: bool, seed: int = 0) -> tuple[list[Item], list[Item]]:
    """Draw about `size` items (never more), in file order, and keep the rest.

    Items of one input, normalised, go together: nothing drawn is left behind in another spelling.

    Args:
        items: what to draw from; their ids differ.
        size: how many, at most.
        stratify: draw from each target by its frequency, and leave at least one of each behind.
        seed: the draw.

    Returns:
        (kept, drawn)
    """
    frequency = Counter(item.target for item in items)
    strata: defaultdict[str, list[list[Item]]] = defaultdict(list)
    for same in _by_input(items):
        rarest = min((item.target for item in same), key=lambda target: frequency[target])
        strata[rarest if stratify else ""].append(same)
    rng = random.Random(seed)  # noqa: S311 - not a secret
    drawn: set[str] = set()
    quotas = _quotas({target: sum(map(len, units)) for target, units in strata.items()}, size, rng)
    for target in sorted(strata):
        room = quotas[target]
        for unit in rng.sample(strata[target], len(strata[target])):
            if len(unit) <= room:
                room -= len(unit)
                drawn |= {item.id for item in unit}
    return [item for item in items if item.id not in drawn], [item for item in items if item.id in drawn]


def _quotas(counts: Mapping[str, int], size: int, rng: random.Random) -> dict[str, int]:
    """`size` shared out by count (largest remainder, ties at random), never a whole count."""
    share = {key: size * count / sum(counts.values()) for key, count in counts.items()}
    quotas = {key: min(int(share[key]), count - 1) for key, count in counts.items()}
    at_random = rng.sample(sorted(counts), len(counts))
    by_remainder = sorted(at_random, key=lambda key: int(share[key]) - share[key])
    for key in by_remainder[: size - sum(map(int, share.values()))]:
        quotas[key] += quotas[key] < counts[key] - 1
    return quotas


def _unrepeated(items: Sequence[Item]) -> list[Item]:
    """The items less those whose input and target stood before."""
    first: dict[tuple[str, str], Item] = {}
    for item in items:
        first.setdefault((item.input, item.target), item)
    return list(first.values())


def _without(items: Sequence[Item], taken: Iterable[Item], what: str, changes: list[str]) -> list[Item]:
    """The items whose input, normalised, is none of `taken`'s; the others are told in `changes`."""
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


def _check(parts: Mapping[str, Sequence[Item]], *, closed: bool) -> None:
    for part in ("train", "test"):
        if not parts[part]:
            message = f"no rows are left for {part}; give more rows, or a {part} file of other inputs"
            raise SuiteError(message)
    known = {item.target for item in parts["train"]}
    for part in ("test", "dev"):
        lacking = next((item for item in parts[part] if item.target not in known), None)
        if closed and lacking is not None:
            message = (
                f"{lacking.id}: label {lacking.target!r} of {part} has no row of its own in train; "
                f"add examples of it to train, or remove its rows from {part}"
            )
            raise SuiteError(message)
