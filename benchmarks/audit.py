"""What `thirdlever audit` finds of planted faults, and what it takes for faults in clean data; its time and memory.

In copies of the four suites: leaks (the same text, in capitals, with one word replaced, with its halves exchanged), 3 %
of the labels flipped, conflicts, and 40 secrets. Then the quick checks on 100,000 rows.
"""

from __future__ import annotations

import random
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core import project
from thirdlever.core.store import Store
from thirdlever.runner.audit import audit
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Item, Split, Suite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUITES = ("transactions", "tickets", "handbook", "voice")
PLANTED = 40
BIG = 100_000
SECRETS = ("sk-proj-" + "a1B2" * 5, "AKIA" + "A1B2" * 4, "ghp_" + "a1B2" * 9, "password: hunter2hunter2")


def other_word(text: str) -> str:
    """One word of the middle replaced."""
    words = text.split()
    return " ".join([*words[: len(words) // 2], "really", *words[len(words) // 2 + 1 :]])


def reordered(text: str) -> str:
    """The first half of the words after the second."""
    words = text.split()
    return " ".join([*words[len(words) // 2 :], *words[: len(words) // 2]])


LEAKS: dict[str, Callable[[str], str]] = {
    "equal": str,
    "in capitals": str.upper,
    "one word replaced": other_word,
    "halves exchanged": reordered,
}


def with_train(suite: Suite, items: Sequence[Item]) -> Suite:
    """The suite with other training items."""
    return replace(suite, train=Split("train", tuple(items)))


def ids(suite: Suite, store: Store) -> dict[str, set[str]]:
    """Ids of the items that each check names."""
    return {concern.check: set(concern.items) for concern in audit(suite, store) if concern.level != "ok"}


def leaks(suite: Suite, store: Store, clean: dict[str, set[str]]) -> None:
    """Plant each kind of leak and count what any of the three checks names beyond the clean suite."""
    rng = random.Random(0)  # noqa: S311 - not a secret
    tested = rng.sample(list(suite.test), min(PLANTED, len(suite.test)))
    for kind, change in LEAKS.items():
        given = [replace(item, id=f"planted-{item.id}", input=change(item.input)) for item in tested]
        found = ids(with_train(suite, [*suite.train, *given]), store)
        names = [check for check in found if "across splits" in check]
        wanted = {item.id for item in tested}
        by_check = {check.removesuffix(" across splits"): len(found[check] & wanted) for check in names}
        every = set().union(*(found[check] & wanted for check in names)) if names else set()
        false = sum(len(found[check] - wanted - clean.get(check, set()) - {g.id for g in given}) for check in names)
        print(f"  leaks, {kind}: {len(every)} of {len(wanted)} found ({by_check}), {false} others")


def labels(suite: Suite, store: Store, clean: dict[str, set[str]]) -> None:
    """Flip 3 % of the labels; give some inputs a second target."""
    rng = random.Random(1)  # noqa: S311 - not a secret
    train = list(suite.train)
    targets = sorted({item.target for item in train})
    flipped = {item.id for item in rng.sample(train, max(10, 3 * len(train) // 100))}
    wrong = {one: rng.choice(targets) for one in flipped}
    planted = [replace(item, target=wrong.get(item.id, item.target)) for item in train]
    different = {item.id for item, before in zip(planted, train, strict=True) if item.target != before.target}
    found = ids(with_train(suite, planted), store).get("doubtful labels")
    if found is not None:
        before = len(clean.get("doubtful labels", set()))
        hit = len(found & different)
        print(
            f"  labels flipped: {hit} of {len(different)} among {len(found)} named; {before} named in the clean suite"
        )
    doubled = [
        replace(item, id=f"planted-{item.id}", target=rng.choice(targets)) for item in rng.sample(train, PLANTED)
    ]
    conflicting = [
        item for item in doubled if item.target != next(o.target for o in train if f"planted-{o.id}" == item.id)
    ]
    named = ids(with_train(suite, [*train, *conflicting]), store).get("conflicting targets", set())
    print(f"  conflicts: {len(named & {item.id for item in conflicting})} of {len(conflicting)}")


def secrets(suite: Suite, clean: dict[str, set[str]]) -> None:
    """Put 40 secrets into inputs."""
    rng = random.Random(2)  # noqa: S311 - not a secret
    chosen = {item.id: SECRETS[n % len(SECRETS)] for n, item in enumerate(rng.sample(list(suite.train), PLANTED))}
    items = [replace(item, input=f"{item.input} {chosen.get(item.id, '')}") for item in suite.train]
    concerns = audit(with_train(suite, items))
    named = next(set(one.items) for one in concerns if one.check.startswith("secrets"))
    others = len(named - set(chosen) - clean.get("secrets and personal data", set()))
    print(f"  secrets: {len(named & set(chosen))} of {PLANTED}, {others} others")


def big() -> None:
    """The quick checks on 100,000 rows."""
    rng = random.Random(3)  # noqa: S311 - not a secret
    words = [f"word{number}" for number in range(5_000)]

    def split(name: str, size: int) -> Split:
        texts = (" ".join(rng.choices(words, k=12)) for _ in range(size))
        return Split(name, tuple(Item(f"{name}-{n}", text, f"label {n % 50}") for n, text in enumerate(texts)))

    suite = find_suite("transactions")
    whole = replace(
        suite, train=split("train", BIG * 8 // 10), dev=split("dev", BIG // 10), test_split=split("test", BIG // 10)
    )
    start = time.process_time()
    audit(whole)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{BIG:,} rows, quick checks: {time.process_time() - start:.0f} s of processor time; {peak:.1f} GB at most")


def main() -> None:
    """Print one block a suite."""
    store = Store(Path(project.STORE))
    for name in SUITES:
        suite = find_suite(name)
        if name == "transactions":
            suite = replace(
                suite, train=suite.train.first(2_000), test_split=suite.test.first(500), dev=suite.dev.first(200)
            )
        start = time.process_time()
        clean = ids(suite, store)
        shown = {check: len(found) for check, found in clean.items() if found}
        print(f"{name}: clean, {time.process_time() - start:.0f} s of processor time: {shown or 'nothing'}")
        leaks(suite, store, clean)
        labels(suite, store, clean)
        secrets(suite, clean)
    big()


if __name__ == "__main__":
    main()
