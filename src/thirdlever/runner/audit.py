"""`thirdlever audit`: is a suite's data good enough to spend money on?

Each check looks at one thing and returns what it found, with examples and what to do. Nothing is changed.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field, replace
from itertools import combinations, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml

from thirdlever.catalog.tuning import profiles, rates
from thirdlever.core import project
from thirdlever.core.errors import PromptError, SuiteError, need
from thirdlever.core.text import clipped, counted, listed, normalise
from thirdlever.finetune.conversations import MINIMUM, conversations, problems, suspects, to_jsonl
from thirdlever.finetune.managed import too_large
from thirdlever.models.bundled import CONTEXT_WINDOW
from thirdlever.models.engine.local import EMBEDDED
from thirdlever.suites.create import refuse, write_all
from thirdlever.suites.readers import read_rows, read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from thirdlever.core.store import Store
    from thirdlever.suites.readers import Row
    from thirdlever.suites.suite import Item, Suite

Level: TypeAlias = Literal["ok", "note", "warning", "error"]
_MATTERS = ("unlabelled", "train", "dev", "test")  # the last most: its items are never dropped for another's
MOST_NEAR = 0.01  # share of test items that may be nearly the same as one that strategies learn from
TOO_NEAR = 0.1  # then the results say little of new inputs
NEAR = 0.7  # Jaccard similarity: one word in ten replaced, or a few misspelt
_PIECE = 4  # characters
_HASHES = 64
_LOOSER = 0.15  # MinHash estimates; a lower threshold misses fewer of those that the exact similarity confirms
_FEWEST = 8  # pieces: of shorter texts, one word is most of the text
REWORDED = 0.95  # cosine of sentence embeddings
_RULE = 500  # labelled examples: what guides ask for before a model of 7B and more is tuned
_FEW = 10  # examples of a label
_EXAMPLES = 3
_FOLDS = 5
_CHARACTERS_PER_TOKEN = 3.0  # fewer than usual, to warn early
_MODELS = 3  # named for each window


@dataclass(frozen=True, slots=True)
class Concern:
    """What one check found.

    Attributes:
        check: what was looked at.
        level: "error" makes results wrong, "warning" less reliable, "note" is worth knowing.
        sentence: what was found and what to do.
        items: ids of the items concerned, of which examples show some.
        examples: for people, one a line.
        surplus: ids of items that a cleaned copy does without.
        notes: what there is to say about an item, by its id.
        beside: the item that another is like, by id.
        private: whether the texts of its items may not be shown.
    """

    check: str
    level: Level
    sentence: str
    items: Sequence[str] = ()
    examples: Sequence[str] = ()
    surplus: Sequence[str] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    private: bool = False


def audit(suite: Suite, store: Store | None = None) -> list[Concern]:
    """Every check, in the order of their importance for a result.

    Args:
        suite: what to look at.
        store: keeps the embeddings, which the two slow checks need: reworded leaks and doubtful labels. None leaves
            these out.
    """
    pools = {name: list(items) for name, items in _pools(suite).items() if items}
    vectors, known = None if store is None else _vectors(pools, store), windows()
    concerns = [
        _leaks(pools),
        _allowed(_near_leaks(pools), suite),
        None if vectors is None else _allowed(_reworded(pools, vectors), suite),
        _conflicts(pools),
        None if vectors is None or not suite.answer.choices else _doubtful(pools, vectors),
        _repeats(pools),
        _enough(suite),
        _balance(suite),
        _spelling(pools),
        _format(pools),
        _lengths(pools, known),
        _training_file(suite, known),
        _private(pools),
    ]
    return _withheld([concern for concern in concerns if concern is not None], pools)


def _allowed(concern: Concern, suite: Suite) -> Concern:
    """The concern as a note, if the suite's card gives a reason for near-leaks."""
    reason = suite.card.get("near_leaks")
    if not reason or concern.level in {"ok", "note"}:
        return concern
    found, _, _ = concern.sentence.partition(";")
    return replace(concern, level="note", sentence=f"{found}; allowed by the card: {reason}")


def _withheld(concerns: Sequence[Concern], pools: Mapping[str, Sequence[Item]]) -> list[Concern]:
    """The same concerns, in whose examples no text of an item with secrets or personal data stands."""
    ids = {name for concern in concerns if concern.private for name in concern.items}
    shown = {_shown(item): f"{item.id} (not shown)" for items in pools.values() for item in items if item.id in ids}

    def without(line: str) -> str:
        for text, instead in shown.items():
            line = line.replace(text, instead)
        return line

    return [replace(concern, examples=[without(line) for line in concern.examples]) for concern in concerns]


def _pools(suite: Suite) -> Mapping[str, Iterable[Item]]:
    return {"train": suite.train, "dev": suite.dev, "test": suite.test, "unlabelled": suite.unlabelled}


def _vectors(pools: Mapping[str, Sequence[Item]], store: Store) -> dict[str, NDArray[np.float32]]:
    """Sentence embeddings of each split's inputs: [items, 384]."""
    from thirdlever.retrieval.embedders import embed_once

    return {name: embed_once([item.input for item in items], store)[0] for name, items in pools.items()}


# Texts that are nearly the same


def pieces(text: str) -> frozenset[str]:
    """Every sequence of four characters of a text without case, punctuation and repeated white space."""
    plain = f" {normalise(text)} "
    return frozenset(plain[start : start + _PIECE] for start in range(max(1, len(plain) - _PIECE + 1)))


def similarity(a: frozenset[str], b: frozenset[str]) -> float:
    """Jaccard similarity: pieces in both, as a share of pieces in either."""
    return len(a & b) / len(a | b)


def near_pairs(texts: Sequence[str], *, at_least: float = NEAR) -> Iterator[tuple[int, int, float]]:
    """Pairs of different texts that are nearly the same, as (earlier, later, similarity).

    Of texts that are equal apart from case, punctuation and white space, the first stands for all. Candidates come from
    locality-sensitive hashing of MinHash signatures (Broder, 1997), so that 100,000 texts need not be compared pair by
    pair. Very short texts are not compared.

    Args:
        texts: in any order.
        at_least: Jaccard similarity of their pieces, 0 to 1.
    """
    import datasketch as library

    first = {normalise(text): number for number, text in reversed(list(enumerate(texts)))}
    found = {number: found for number in sorted(first.values()) if len(found := pieces(texts[number])) >= _FEWEST}
    index = library.MinHashLSH(threshold=max(0.1, at_least - _LOOSER), num_perm=_HASHES)
    signatures = library.MinHash.generator(
        [[piece.encode() for piece in sorted(each)] for each in found.values()], num_perm=_HASHES
    )
    for (number, own), signature in zip(found.items(), signatures, strict=True):
        for other in sorted(index.query(signature)):
            if (similar := similarity(found[other], own)) >= at_least:
                yield other, number, similar
        index.insert(number, signature)


# The same inputs


def _leaks(pools: Mapping[str, Sequence[Item]]) -> Concern:
    """Inputs of one split that another has, ignoring case, punctuation and white space."""
    where: defaultdict[str, dict[str, Item]] = defaultdict(dict)
    for name, items in pools.items():
        for item in items:
            where[normalise(item.input)].setdefault(name, item)
    shared = [places for places in where.values() if len(places) > 1]
    if not shared:
        return Concern("equal inputs across splits", "ok", "none")
    between = Counter(pair for places in shared for pair in combinations(places, 2))
    level: Level = "error" if any("test" in pair for pair in between) else "warning"
    which = listed([f"{number} of {a} and {b}" for (a, b), number in sorted(between.items())])
    examples = [" = ".join(f"{name} {_shown(item)}" for name, item in places.items()) for places in shared]
    return Concern(
        "equal inputs across splits",
        level,
        f"{which}; remove them from one of the two",
        [item.id for places in shared for item in places.values()],
        examples[:_EXAMPLES],
        _weaker(pools, shared),
    )


def _weaker(pools: Mapping[str, Sequence[Item]], shared: Sequence[Mapping[str, Item]]) -> list[str]:
    """Ids of items whose input is also in a split that matters more: test before dev before train."""
    keep = {normalise(next(iter(places.values())).input): max(places, key=_MATTERS.index) for places in shared}
    return [item.id for name, items in pools.items() for item in items if keep.get(normalise(item.input), name) != name]


def _near_leaks(pools: Mapping[str, Sequence[Item]]) -> Concern:
    return _of_leaks("nearly equal inputs across splits", _near_leak_pairs(pools), len(pools["test"]))


def near_leaks(suite: Suite, store: Store) -> tuple[str, ...]:
    """Ids of test items that are nearly the same as one of train or dev, with the same target; found once and kept."""

    def build(folder: Path) -> Mapping[str, list[str]]:  # noqa: ARG001 - the answer is kept as a fact
        pools = {"train": [*suite.train], "dev": [*suite.dev], "test": [*suite.test]}
        return {"near": list(dict.fromkeys(item.id for _, item in _near_leak_pairs(pools)))}

    of = {"splits": [split.hash for split in (suite.train, suite.dev, suite.test)], "near": [NEAR, _FEWEST, _HASHES]}
    return tuple(store.once("near-leaks", of=of, build=build).facts["near"])


def _near_leak_pairs(pools: Mapping[str, Sequence[Item]]) -> list[tuple[Item, Item]]:
    """Test items that are nearly the same as one that strategies learn from, with the same target, after that one."""
    learned = [item for name in ("train", "dev") for item in pools.get(name, ())]
    items = [*learned, *pools["test"]]
    same: defaultdict[str, list[int]] = defaultdict(list)
    for place, item in enumerate(items):
        same[normalise(item.input)].append(place)
    groups = list(same.values())
    return [
        (items[min(a, b)], items[max(a, b)])
        for first, second, _ in near_pairs([items[group[0]].input for group in groups])
        for a, b in product(groups[first], groups[second])
        if min(a, b) < len(learned) <= max(a, b) and items[a].target == items[b].target
    ]


def _reworded(pools: Mapping[str, Sequence[Item]], vectors: Mapping[str, NDArray[np.float32]]) -> Concern:
    """Test items whose sentence embedding is next to that of one that strategies learn from, with the same target."""
    import numpy as np

    names = [name for name in ("train", "dev") if name in pools]
    learned = [item for name in names for item in pools[name]]
    of_learned = np.concatenate([vectors[name] for name in names])
    test, of_test = pools["test"], vectors["test"]
    pairs = []
    for start in range(0, len(test), 256):
        similar = of_test[start : start + 256] @ of_learned.T
        nearest = similar.argmax(axis=1)
        for row, column in enumerate(nearest):
            pair = learned[int(column)], test[start + row]
            same = normalise(pair[0].input) == normalise(pair[1].input)
            if similar[row, column] >= REWORDED and not same and pair[0].target == pair[1].target:
                pairs.append(pair)
    return _of_leaks("reworded inputs across splits", pairs, len(test))


def _of_leaks(check: str, pairs: Sequence[tuple[Item, Item]], size: int) -> Concern:
    found = list(dict.fromkeys(b.id for _, b in pairs))
    share = len(found) / size
    if not found:
        return Concern(check, "ok", "none")
    level: Level = "error" if share > TOO_NEAR else "warning" if share > MOST_NEAR else "note"
    sentence = f"{len(found):,} of {counted(size, 'test item')} ({100 * share:.1f} %) nearly in train or dev"
    if level != "note":
        sentence += "; keep rows of one source together (init --group), or drop those of train with --fix NAME"
    examples = [f"{_shown(a)} ~ test {_shown(b)}" for a, b in pairs]
    surplus = list(dict.fromkeys(a.id for a, _ in pairs))
    like = {b.id: a.id for a, b in reversed(pairs)}
    return Concern(check, level, sentence, found, examples[:_EXAMPLES], surplus, beside=like)


def _repeats(pools: Mapping[str, Sequence[Item]]) -> Concern:
    """Items of one split with the same input and target."""
    seen: dict[tuple[str, str, str], str] = {}
    found, like = [], {}
    for name, items in pools.items():
        for item in items:
            first = seen.setdefault((name, normalise(item.input), item.target), item.id)
            if first != item.id:
                found.append(item)
                like[item.id] = first
    if not found:
        return Concern("repeated items", "ok", "none")
    sentence = f"{counted(len(found), 'item')} repeat another of their split; one of each is enough"
    ids = [item.id for item in found]
    surplus = [item.id for item in found if item.id not in {test.id for test in pools["test"]}]
    examples = [_shown(item) for item in found[:_EXAMPLES]]
    return Concern("repeated items", "note", sentence, ids, examples, surplus, beside=like)


# Targets


def _conflicts(pools: Mapping[str, Sequence[Item]]) -> Concern:
    """Equal inputs with different targets: at least one is wrong, or the input does not say enough."""
    targets: defaultdict[str, dict[str, Item]] = defaultdict(dict)
    labelled = (item for name, items in pools.items() if name != "unlabelled" for item in items)
    for item in labelled:
        targets[normalise(item.input)].setdefault(item.target, item)
    found = [list(different.values()) for different in targets.values() if len(different) > 1]
    if not found:
        return Concern("conflicting targets", "ok", "none")
    sentence = f"{_have(len(found), 'input')} more than one target; correct them, or say more in the input"
    examples = [f"{_shown(items[0])}: {listed([clipped(item.target) for item in items])}" for items in found]
    ids = [item.id for items in found for item in items]
    return Concern("conflicting targets", "warning", sentence, ids, examples[:_EXAMPLES])


def _doubtful(pools: Mapping[str, Sequence[Item]], vectors: Mapping[str, NDArray[np.float32]]) -> Concern | None:
    """Labels that a classifier, which has not seen them, finds very unlikely: confident learning.

    Northcutt, Jiang and Chuang, Confident Learning (JAIR 70, 2021), as cleanlab has it, on out-of-fold probabilities of
    logistic regression over sentence embeddings.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    names = [name for name in ("train", "dev", "test") if name in pools]
    every = [item for name in names for item in pools[name]]
    frequency = Counter(item.target for item in every)
    kept = [place for place, item in enumerate(every) if frequency[item.target] >= _FOLDS]
    items, inputs = [every[place] for place in kept], np.concatenate([vectors[name] for name in names])[kept]
    labels = sorted({item.target for item in items})
    if len(labels) < 2:  # noqa: PLR2004 - a classifier needs two
        return None
    library = need("cleanlab.filter", extra="audit")
    number = {label: place for place, label in enumerate(labels)}
    codes = np.array([number[item.target] for item in items])
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    model = LogisticRegression(C=10.0, max_iter=300)
    likely = cross_val_predict(model, inputs, codes, cv=folds, method="predict_proba")
    ranked = library.find_label_issues(codes, likely, return_indices_ranked_by="self_confidence", n_jobs=1)
    found = [(items[int(place)], labels[int(likely[int(place)].argmax())]) for place in ranked]
    if not found:
        return Concern("doubtful labels", "ok", "none")
    share = 100 * len(found) / len(items)
    sentence = f"{len(found):,} of {len(items):,} ({share:.1f} %) may be wrong by a classifier; look at them first"
    examples = [f"{_shown(item)}: {clipped(item.target)}, or {clipped(other)}?" for item, other in found]
    notes = {item.id: f"or {clipped(other)}?" for item, other in found}
    return Concern("doubtful labels", "note", sentence, list(notes), examples[:_EXAMPLES], notes=notes)


def _enough(suite: Suite) -> Concern:
    train, test = len(suite.train), len(suite.test)
    size = f"{counted(train, 'example')} to learn from, {counted(test, 'item')} to measure on"
    if train < _RULE:
        remedy = f"guides ask for {_RULE} and more before a model of several billion parameters is tuned"
        return Concern("size", "note", f"{size}; {remedy}")
    return Concern("size", "ok", size)


def _balance(suite: Suite) -> Concern:
    """Labels with few examples to learn from, and labels that are not measured."""
    if not suite.answer.choices:
        return Concern("balance", "ok", "the answers are no labels")
    given = Counter(item.target for item in suite.train)
    few = sorted((number, label) for label, number in given.items() if number < _FEW)
    unmeasured = sorted(set(given) - {item.target for item in suite.test})
    parts = []
    if few:
        parts.append(f"{_have(len(few), 'label')} fewer than {_FEW} examples in train; label more of them")
    if unmeasured:
        parts.append(f"{counted(len(unmeasured), 'label')} of train in no test item")
    most, least = max(given.values()), min(given.values())
    spread = f"{counted(len(given), 'label')}, {least:,} to {most:,} examples each"
    examples = [f"{clipped(label)}: {counted(number, 'example')}" for number, label in few[:_EXAMPLES]]
    return Concern("balance", "warning" if parts else "ok", "; ".join(parts) or spread, (), examples)


def _spelling(pools: Mapping[str, Sequence[Item]]) -> Concern:
    """Targets that differ from others only in case, punctuation or white space, or have some at their ends."""
    items = [item for name, items in pools.items() if name != "unlabelled" for item in items]
    written: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for item in items:
        written[normalise(item.target)][item.target] += 1
    variants = [spellings for spellings in written.values() if len(spellings) > 1]
    rare = {target for spellings in variants for target, _ in spellings.most_common()[1:]}
    padded = {item.target for item in items if item.target != item.target.strip()}
    found = [item for item in items if item.target in rare | padded]
    if not found:
        return Concern("spelling of targets", "ok", "each answer is written in one way")
    sentence = f"{counted(len(found), 'target')} written in another way than most; write each answer in one way"
    examples = [" or ".join(clipped(target) for target in spellings) for spellings in variants[:_EXAMPLES]]
    return Concern("spelling of targets", "warning", sentence, [item.id for item in found], examples)


def _format(pools: Mapping[str, Sequence[Item]]) -> Concern:
    """JSON targets whose keys are spelt or ordered in two ways, or hold values of two types: a model copies either."""
    found = [(item, read) for items in pools.values() for item in items if (read := _object(item.target)) is not None]
    if not found:
        return Concern("format of targets", "ok", "the answers are no JSON objects")
    spelt: defaultdict[str, Counter[str]] = defaultdict(Counter)
    types: defaultdict[str, Counter[str]] = defaultdict(Counter)
    orders = Counter(pair for _, read in found for pair in combinations(read, 2))
    for _, read in found:
        for key, value in read.items():
            spelt[normalise(key.replace("_", " "))][key] += 1
            if value is not None:
                types[key][_TYPES.get(type(value), type(value).__name__)] += 1
    rare = {key for keys in spelt.values() for key, _ in keys.most_common()[1:]}
    mixed = {key: kinds for key, kinds in types.items() if len(kinds) > 1}
    notes: dict[str, str] = {}
    for item, read in found:
        said = [f"key {clipped(key)} is spelt otherwise in most" for key in read if key in rare]
        turned = next(((a, b) for a, b in combinations(read, 2) if orders[b, a] > orders[a, b]), None)
        said += [f"{clipped(turned[1])} stands before {clipped(turned[0])} in most"] if turned else []
        odd = [key for key, kinds in mixed.items() if key in read and _rarer(read[key], kinds)]
        said += [f"{clipped(key)} is a {mixed[key].most_common(1)[0][0]} in most" for key in odd]
        if said:
            notes[item.id] = "; ".join(said)
    if not notes:
        return Concern("format of targets", "ok", "keys, their order and their types are the same in all")
    level: Level = "warning" if rare else "note"
    sentence = f"{counted(len(notes), 'target')} written in another way than most; a model learns both, so choose one"
    examples = [f"{item}: {said}" for item, said in list(notes.items())[:_EXAMPLES]]
    return Concern("format of targets", level, sentence, list(notes), examples, notes=notes)


_TYPES: Mapping[type, str] = {
    str: "text",
    int: "number",
    float: "number",
    bool: "boolean",
    list: "list",
    dict: "object",
}


def _rarer(value: object, kinds: Counter[str]) -> bool:
    return value is not None and _TYPES.get(type(value)) != kinds.most_common(1)[0][0]


def _object(target: str) -> dict[str, object] | None:
    if not target.startswith("{"):
        return None
    try:
        read = json.loads(target)
    except ValueError:
        return None
    return read if isinstance(read, dict) else None


# Texts


def windows() -> dict[int, list[str]]:
    """Models by their context window in tokens, smallest first: the embedded one, and those with a tuning rate."""
    from inspect_ai.model import get_model_info

    found: defaultdict[int, list[str]] = defaultdict(list, {CONTEXT_WINDOW: [EMBEDDED]})
    for name in dict.fromkeys(rate.model for rate in rates() if rate.up_to_b is None):
        about = get_model_info(name)
        if about is not None and about.context_length:
            found[about.context_length].append(name)
    return dict(sorted(found.items()))


def _tokens(text: str) -> float:
    return len(text) / _CHARACTERS_PER_TOKEN


def _exceeding(lengths: Mapping[str, float], known: Mapping[int, Sequence[str]], what: str) -> tuple[str, list[str]]:
    """How many texts may exceed which model's window, as a clause, and their ids; ("", []) if none does.

    Args:
        lengths: in tokens, by id.
        known: models by window.
        what: a text.
    """
    smallest = next(iter(known))
    over = {window: sum(length > window for length in lengths.values()) for window in known}
    clauses = [
        f"{number:,} that of {listed([*names[:_MODELS], *['others'][: len(names) - _MODELS]])} ({window:,} tokens)"
        for (window, names), number in zip(known.items(), over.values(), strict=True)
        if number
    ]
    ids = [name for name, length in lengths.items() if length > smallest]
    return (f"{what} that may exceed a window: {listed(clauses)}" if clauses else ""), ids


def _lengths(pools: Mapping[str, Sequence[Item]], known: Mapping[int, Sequence[str]]) -> Concern:
    """Inputs that a model's window does not hold."""
    items = [item for items in pools.values() for item in items]
    lengths = sorted(len(item.input) for item in items)
    size = f"{lengths[len(lengths) // 2]:,} characters in the middle, {lengths[-1]:,} at most"
    clause, too_long = _exceeding({item.id: _tokens(item.input) for item in items}, known, "inputs")
    if not too_long:
        return Concern("lengths", "ok", size)
    by_id = {item.id: item for item in items}
    return Concern(
        "lengths", "warning", f"{size}; {clause}", too_long, [_shown(by_id[i]) for i in too_long[:_EXAMPLES]]
    )


def _training_file(suite: Suite, known: Mapping[int, Sequence[str]]) -> Concern:
    """What a provider would refuse, or screen, if train were uploaded as a training file."""
    check = "training file"
    try:
        examples = conversations(suite, suite.train)
    except PromptError as error:
        return Concern(check, "warning", f"cannot be made: {error}")
    ids = [item.id for item in suite.train]
    size = len(to_jsonl(examples).encode())
    refused = {ids[number - 1]: why for number, why in problems(examples)}
    screened = {ids[row.line - 1]: f"the word {row.word!r} ({row.category})" for row in suspects(examples)}
    tunable = {window: [name for name in names if name != EMBEDDED] for window, names in known.items()}
    lengths = {name: sum(_tokens(turn["content"]) for turn in turns) for name, turns in zip(ids, examples, strict=True)}
    clause, too_long = _exceeding(lengths, {window: names for window, names in tunable.items() if names}, "examples")
    full = [one.title for one in profiles().values() if too_large(one, size)]
    faults = [
        f"{counted(len(refused), 'example')} would be refused" if refused else "",
        f"{len(examples)} are fewer than the {MINIMUM} that providers ask for" if len(examples) < MINIMUM else "",
        f"too large for {listed(full)}" if full else "",
        clause,
    ]
    seen = (
        f"{counted(len(screened), 'example')} with words that safety checks react to: look at them first"
        if screened
        else ""
    )
    parts = list(filter(None, [*faults, seen]))
    level: Level = "warning" if any(faults) else "note" if screened else "ok"
    about = f"{counted(len(examples), 'example')}, {size / 1e6:.1f} MB; providers screen what is uploaded"
    notes = {**dict.fromkeys(too_long, "long"), **screened, **refused}
    shown = [f"{name}: {why}" for name, why in notes.items()][:_EXAMPLES]
    return Concern(check, level, "; ".join([about, *parts]), list(notes), shown, notes=notes)


_SECRETS = {
    "an API key": re.compile(r"\b(?:sk-[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{36,}|xox[abprs]-[A-Za-z0-9-]{10,})"),
    "an AWS key": re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a token (JWT)": re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"),
    "a password": re.compile(r"\b(?:password|passwd|passwort|pwd)\s*(?::|=|is)\s*\S{6,}", re.IGNORECASE),
}
_PERSONAL = {
    "an e-mail address": re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]*[a-z]{2,}\b", re.IGNORECASE),
    # Visa, Mastercard, American Express and Discover: the beginnings and lengths that ISO/IEC 7812 registers.
    "a card number": re.compile(
        r"\b(?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|65\d\d)(?:([ -]?)\d{4}(?:\1\d{4}){2})\b"
        r"|\b3[47]\d\d([ -]?)\d{6}\2\d{5}\b"
    ),
    "an IBAN": re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b"),
    "a phone number": re.compile(r"(?<![\w.])(?:\+\d{1,3}[ -]?)\(?\d{2,4}\)?(?:[ -]?\d{2,4}){2,4}\b"),
}


def hints(text: str) -> Iterator[str]:
    """What in a text looks like a secret or like a person's data."""
    for what, pattern in {**_SECRETS, **_PERSONAL}.items():
        confirm = {"a card number": _luhn, "an IBAN": _iban}.get(what)
        if any(confirm is None or confirm(match[0]) for match in pattern.finditer(text)):
            yield what


def _private(pools: Mapping[str, Sequence[Item]]) -> Concern:
    """Secrets and personal data, which a provider would be sent and a tuned model may repeat."""
    found = [
        (item, what) for items in pools.values() for item in items for what in hints(f"{item.input}\n{item.target}")
    ]
    if not found:
        return Concern("secrets and personal data", "ok", "none of the usual forms")
    each: defaultdict[str, list[str]] = defaultdict(list)
    for item, what in found:
        each[item.id].append(what)
    kinds = Counter(what for _, what in found)
    level: Level = "warning" if any(what in _SECRETS for what in kinds) else "note"
    which = listed([f"{number} like {what}" for what, number in kinds.most_common()])
    sentence = f"{which}; remove what may not leave your house, since prompts and training files show it"
    # Never the text itself: a secret must not be copied into a report.
    return Concern(
        "secrets and personal data",
        level,
        sentence,
        list(each),
        [f"{name}: {listed(whats)}" for name, whats in list(each.items())[:_EXAMPLES]],
        notes={name: listed(whats) for name, whats in each.items()},
        private=True,
    )


def _luhn(text: str) -> bool:
    """Whether the digits end in the check digit of payment cards (ISO/IEC 7812)."""
    digits = [int(each) for each in text if each.isdigit()][::-1]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[1::2]]
    return len(set(digits)) > 1 and (sum(digits[::2]) + sum(doubled)) % 10 == 0


def _iban(text: str) -> bool:
    """Whether the account number's check digits are right (ISO 13616)."""
    plain = text.replace(" ", "")
    return int("".join(str(int(each, 36)) for each in plain[4:] + plain[:4])) % 97 == 1


def _have(number: int, thing: str) -> str:
    return f"{counted(number, thing)} {'has' if number == 1 else 'have'}"


def _shown(item: Item) -> str:
    return f"{item.id} {clipped(item.input)}"


# A cleaned copy


def clean(suite: Suite, concerns: Sequence[Concern], name: str, folder: Path | None = None) -> dict[str, int]:
    """Write a copy of a suite without its surplus items, and what was left out in `dropped.jsonl`.

    Test items stay as they are: what is in train or dev as well is dropped there.

    Args:
        suite: whose data is in `datasets/`.
        concerns: of `audit`.
        name: of the copy.
        folder: the project; None is the current folder.

    Returns:
        How many items were dropped from each file.

    Raises:
        SuiteError: the name is taken or impossible, or the suite's data is not in `datasets/`.
    """
    refuse(name, folder or Path.cwd())
    source, evals = project.dataset(suite.name), project.files("evals")
    if not source.is_dir():
        message = f"suite {suite.name!r} has no folder {str(source)!r}; only data in datasets/ can be cleaned"
        raise SuiteError(message)
    why = {item: concern.check for concern in reversed(concerns) for item in concern.surplus}
    contents: dict[Path, bytes] = {}
    dropped: list[tuple[str, Row]] = []
    rows_of: dict[str, list[Mapping[str, Any]]] = {}
    for path in sorted(source.iterdir()):
        if path.stem not in _MATTERS or path.suffix != ".jsonl":
            contents[Path("datasets", name, path.name)] = path.read_bytes()
            continue
        rows = read_rows(path)
        dropped += [(path.name, row) for row in rows if row.values.get("id") in why]
        kept = [row.values for row in rows if row.values.get("id") not in why]
        rows_of[path.stem] = kept
        lines_kept = (json.dumps(values, ensure_ascii=False) for values in kept)
        contents[Path("datasets", name, path.name)] = "".join(f"{line}\n" for line in lines_kept).encode()
    lines = ({**row.values, "file": file, "why": why[row.values["id"]]} for file, row in dropped)
    listing = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    contents[Path("datasets", name, "dropped.jsonl")] = listing.encode()
    number = dict(Counter(file for file, _ in dropped))
    card = Path("datasets", name, "card.yaml")
    if card in contents:
        said = listed([f"{count} of {file}" for file, count in number.items()]) or "nothing"
        change = f"copied from {suite.name} by audit --fix, which dropped {said} (dropped.jsonl)"
        contents[card] = _card(contents[card].decode(), name, rows_of, change).encode()
    contents[Path("evals", f"{name}.py")] = _renamed(read_text(evals[suite.name]), suite.name, name).encode()
    write_all(contents, folder or Path.cwd())
    return number


def _renamed(code: str, old: str, new: str) -> str:
    """An eval file with the name of a copy, in its docstring too."""
    code = re.sub(rf"^def {old}\(", f"def {new}(", code, flags=re.MULTILINE)
    code = re.sub(rf'(load_suite\(\s*)(["\']){old}\2', rf'\1"{new}"', code)
    code = re.sub(rf'\A(r?"""){old}\b', rf"\1{new}", code)
    return re.sub(rf"(thirdlever \w+ |datasets/){old}\b", rf"\1{new}", code)


def _card(text: str, name: str, rows: Mapping[str, Sequence[Mapping[str, Any]]], change: str) -> str:
    """A card with a copy's name, counts and history; comments, and what else it says, stay."""
    counts = {part: len(of) for part, of in rows.items()}
    targets = [row.get("target") for part, of in rows.items() if part != "unlabelled" for row in of]
    counts["labels"] = len({str(label) for each in targets for label in (each if isinstance(each, list) else [each])})

    def recounted(block: re.Match[str]) -> str:
        return re.sub(
            r"^(\s+)(\w+): \d+$",
            lambda line: f"{line[1]}{line[2]}: {counts[line[2]]}" if line[2] in counts else line[0],
            block[0],
            flags=re.MULTILINE,
        )

    text = re.sub(r"^name: .*$", f"name: {name}", text, count=1, flags=re.MULTILINE)
    text = re.sub(r"^counts:\n(?:[ \t].*\n?)+", recounted, text, count=1, flags=re.MULTILINE)
    item = yaml.safe_dump([change], width=1_000).rstrip("\n")
    changed, found = re.subn(
        r"^changes:\n(?:[- ].*\n)+", lambda b: f"{b[0]}{item}\n", text, count=1, flags=re.MULTILINE
    )
    if found:
        return changed
    changed, found = re.subn(r"^changes: \[\]$", lambda _: f"changes:\n{item}", text, count=1, flags=re.MULTILINE)
    return changed if found else f"{text.rstrip()}\nchanges:\n{item}\n"
