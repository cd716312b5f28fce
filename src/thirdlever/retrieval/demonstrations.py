"""Demonstrations: items whose texts differ, or those that a file names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from thirdlever.core.errors import StrategyError
from thirdlever.retrieval.embedders import embed_once
from thirdlever.suites.readers import read_rows, read_text
from thirdlever.suites.suite import Item

if TYPE_CHECKING:
    from thirdlever.core.store import Store
    from thirdlever.suites.suite import Split, Suite


def pick(items: Split, k: int, store: Store, *, seed: int = 0) -> tuple[Item, ...]:
    """`k` items whose texts differ: the farthest from those before it, one after another (Gonzalez 1985).

    Args:
        items: to pick from.
        k: how many; all if there are fewer.
        store: keeps the embeddings.
        seed: for the first one.
    """
    if not k or not len(items):
        return ()
    import numpy as np

    vectors, _ = embed_once([item.input for item in items], store)
    chosen = [int(np.random.default_rng(seed).integers(len(items)))]
    nearest = vectors @ vectors[chosen[0]]
    while len(chosen) < min(k, len(items)):
        nearest[chosen] = np.inf
        chosen.append(int(nearest.argmin()))
        nearest = np.maximum(nearest, vectors @ vectors[chosen[-1]])
    return tuple(items.items[place] for place in chosen)


def read_examples(suite: Suite, file: str) -> tuple[Item, ...]:
    """Demonstrations from a file: ids of train items, one a line, or labelled rows with columns input and target.

    Raises:
        StrategyError: an id is not one of train, or a target is no possible answer.
        SuiteError: the file cannot be read.
    """
    path = Path(file)
    if path.suffix == ".txt":
        known = {item.id: item for item in suite.train}
        ids = [line.strip() for line in read_text(path, StrategyError).splitlines() if line.strip()]
        if lost := next((each for each in ids if each not in known), None):
            message = f"{path}: {lost!r} is not the id of a train item; correct it or remove the line"
            raise StrategyError(message)
        return tuple(known[each] for each in ids)
    found = []
    for row in read_rows(path):
        fields = {name: value for name, value in row.values.items() if name not in {"id", "input", "target"}}
        item = Item(row.where, row.text("input"), row.text("target"), fields=fields)
        if problem := suite.answer.problem(item.target):
            message = f"{row.where}: {problem}; correct the target"
            raise StrategyError(message)
        found.append(item)
    return tuple(found)
