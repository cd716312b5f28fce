"""What changed between two runs of a suite: prompts, models, data, prices and versions; and the items that flipped.

Two candidates of one run are told apart by the same means.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.compare import compare
from thirdlever.core.errors import RunError
from thirdlever.core.text import counted
from thirdlever.lifecycle.baseline import BaselineItem, from_run, outcomes
from thirdlever.lifecycle.checks import NEW, OLD
from thirdlever.lifecycle.regress import Flip, answer, prompt_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thirdlever.analysis.compare import Comparison
    from thirdlever.analysis.run import Run
    from thirdlever.lifecycle.baseline import Baseline, BaselineCandidate, ItemResult


_OPTIONS = ("limit", "epochs", "seed", "constrain", "device_usd_per_hour", "utilisation", "max_failed", "max_unparsed")
_RATES = ("input_per_m", "cached_input_per_m", "output_per_m")


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateDiff:
    """One candidate in both runs.

    Attributes:
        before: its name in the first run.
        after: its name in the second.
        changes: what differs in how it was asked, in sentences.
        comparison: its accuracy in the second run against the first, on the items of both; None if one of them is not
            measured, or they have no item in common.
        why_not: why there is no comparison.
        broken: items that the first run has right and the second wrong, or less right.
        fixed: the reverse.
        reworded: items on which both score the same with different answers.
    """

    before: str
    after: str
    changes: Sequence[str]
    comparison: Comparison | None
    why_not: str
    broken: Sequence[Flip]
    fixed: Sequence[Flip]
    reworded: Sequence[Flip]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunDiff:
    """The difference between two runs.

    Attributes:
        before: folder of the first run.
        after: folder of the second.
        suite: its name.
        common: items that both asked, in the same words and with the same target.
        changes: what differs for all candidates, in sentences.
        prompts: unified diffs by the prompt's name, line by line.
        candidates: those of both runs.
        only_before: candidates that the second run lacks.
        only_after: candidates that the first run lacks.
    """

    before: str
    after: str
    suite: str
    common: int
    changes: Sequence[str]
    prompts: Mapping[str, Sequence[str]]
    candidates: Sequence[CandidateDiff]
    only_before: Sequence[str]
    only_after: Sequence[str]

    def to_json(self) -> str:
        """Every figure at full precision, and all flipped items."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=2, default=str)


def diff(before: Run, after: Run) -> RunDiff:
    """Compare two finished runs of a suite. No request is sent.

    A candidate is found again by its name, or else by its strategy and model, so that the same strategy in two prompts
    is compared too.

    Raises:
        RunError: they are runs of different suites, or one of them is unfinished.
    """
    names = [run.info["suite"]["name"] for run in (before, after)]
    if names[0] != names[1]:
        message = (
            f"{str(before.folder)!r} is a run of {names[0]!r}, {str(after.folder)!r} of {names[1]!r}; "
            "give two runs of one suite"
        )
        raise RunError(message)
    old, new = (from_run(run, run.folder.name) for run in (before, after))
    pairs = _pairs(old, new)
    hashes = {item.id: item.hash for item in old.items}
    common = [item for item in new.items if hashes.get(item.id) == item.hash]
    texts = _texts(after)
    statuses = [_statuses(run) for run in (before, after)]
    return RunDiff(
        before=str(before.folder),
        after=str(after.folder),
        suite=names[0],
        common=len(common),
        changes=[*_data(old, new, before, after), *_surroundings(before.info, after.info)],
        prompts=dict(_prompts(before.info, after.info, pairs)),
        candidates=[_candidate((old, one), (new, other), common, texts, statuses) for one, other in pairs],
        only_before=[one.name for one in old.candidates if one not in {pair[0] for pair in pairs}],
        only_after=[one.name for one in new.candidates if one not in {pair[1] for pair in pairs}],
    )


def between(run: Run, a: str, b: str, *, part: str | None = None) -> CandidateDiff:
    """Two candidates of one run: `broken` are the items on which `a` scores better than `b`, `fixed` the reverse.

    Args:
        run: a finished run.
        a: the reference.
        b: the other candidate.
        part: a slice of the items; None for all.

    Raises:
        RunError: the run is unfinished or has no such candidate.
    """
    pinned = from_run(run, run.folder.name, only=(a, b))
    one = {each.name: each for each in pinned.candidates}
    items = [item for item in pinned.items if part in {None, item.slice}]
    statuses = _statuses(run)
    return _candidate((pinned, one[a]), (pinned, one[b]), items, _texts(run), (statuses, statuses))


def _pairs(old: Baseline, new: Baseline) -> list[tuple[BaselineCandidate, BaselineCandidate]]:
    by_name = {one.name: one for one in new.candidates}
    pairs = [(one, by_name[one.name]) for one in old.candidates if one.name in by_name]
    left = [one for one in old.candidates if one.name not in by_name]
    free = [one for one in new.candidates if one not in {pair[1] for pair in pairs}]
    for one in left:
        alike = [other for other in free if (other.strategy, other.base) == (one.strategy, one.base)]
        if len(alike) == 1 and sum((other.strategy, other.base) == (one.strategy, one.base) for other in left) == 1:
            pairs.append((one, alike[0]))
    return pairs


def _candidate(
    first: tuple[Baseline, BaselineCandidate],
    second: tuple[Baseline, BaselineCandidate],
    common: Sequence[BaselineItem],
    texts: Mapping[str, tuple[str, str]],
    statuses: Sequence[Mapping[tuple[str, str], str]],
) -> CandidateDiff:
    (old, before), (new, after) = first, second
    results = [_results(side, one, common) for side, one in (first, second)]
    lost = [f"{side.name}: {one.why_unmeasured}" for side, one in (first, second) if one.why_unmeasured]
    broken: list[Flip] = []
    fixed: list[Flip] = []
    reworded: list[Flip] = []
    for item, was, now in zip(common, *results, strict=True):
        text, target = texts[item.id]
        if (was.score != now.score or was.answer != now.answer) and not lost:
            shown = [
                answer(result, target) if result.answer or result.score == 1 else side.get((one.name, item.id), "")
                for result, side, one in zip((was, now), statuses, (before, after), strict=True)
            ]
            flip = Flip(item.id, text, target, *shown)
            (broken if now.score < was.score else fixed if now.score > was.score else reworded).append(flip)
    comparison = None
    if common and not lost:
        scores = {name: [one.score for one in own] for name, own in zip((OLD, NEW), results, strict=True)}
        comparison = compare(outcomes(common, scores, epochs=max(old.epochs, new.epochs)), OLD, NEW)
    return CandidateDiff(
        before=before.name,
        after=after.name,
        changes=list(_asked(before, after)),
        comparison=comparison,
        why_not="; ".join(lost) or ("" if common else "the runs have no item in common"),
        broken=broken,
        fixed=fixed,
        reworded=reworded,
    )


def _results(side: Baseline, one: BaselineCandidate, common: Sequence[BaselineItem]) -> list[ItemResult]:
    known = {item.id: result for item, result in zip(side.items, one.results, strict=True)}
    return [known[item.id] for item in common]


def _texts(run: Run) -> dict[str, tuple[str, str]]:
    targets = dict(run.records[["item_id", "target"]].drop_duplicates("item_id").itertuples(index=False, name=None))
    inputs = run.inputs()
    return {item: (inputs.get(item, ""), target) for item, target in targets.items()}


def _statuses(run: Run) -> dict[tuple[str, str], str]:
    """Why a candidate has no answer to an item, in brackets."""
    records = run.records[run.records["phase"] == "accuracy"]
    if "status" not in records:  # of an older release
        return {}
    rows = records.loc[records["status"] != "answered", ["candidate", "item_id", "status"]]
    return {(name, item): f"({status.replace('_', ' ')})" for name, item, status in rows.itertuples(index=False)}


def _asked(before: BaselineCandidate, after: BaselineCandidate) -> Iterator[str]:
    """What differs in how a candidate was asked."""
    if before.base != after.base:
        yield f"model {before.base} -> {after.base}"
    elif before.revision != after.revision:
        yield f"revision of the model {_short(before.revision)} -> {_short(after.revision)}"
    for name in sorted(before.args.keys() | after.args.keys()):
        was, now = (json.dumps(one.args.get(name, "not given")) for one in (before, after))
        if was != now:
            yield f"{name} {was} -> {now}"
    if before.prompts == after.prompts and before.base is not None:
        yield "the messages sent are the same"


def _data(old: Baseline, new: Baseline, before: Run, after: Run) -> Iterator[str]:
    """What differs in the items and the suite."""
    was, now = ({item.id: item.hash for item in side.items} for side in (old, new))
    for name, ids in (("only the first", was.keys() - now.keys()), ("only the second", now.keys() - was.keys())):
        if ids:
            yield f"{counted(len(ids), 'item')} asked in {name} run, such as {min(ids)}"
    if changed := [item for item in was.keys() & now.keys() if was[item] != now[item]]:
        yield f"{counted(len(changed), 'item')} with another input or target, such as {min(changed)}"
    for split in ("train", "dev"):
        hashes = [run.info["suite"]["splits"].get(split) for run in (before, after)]
        if hashes[0] != hashes[1]:
            counts = [run.info["suite"]["counts"].get(split, 0) for run in (before, after)]
            yield f"the {split} split changed ({counts[0]:,} -> {counts[1]:,} items)"
    same = before.info["suite"]["splits"] == after.info["suite"]["splits"]
    if same and before.info["suite"]["hash"] != after.info["suite"]["hash"]:
        yield "the suite's instruction, answer kind or documents changed"


def _surroundings(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """What differs in options, prices, versions and machine."""
    for name in _OPTIONS:
        if before.get(name) != after.get(name):
            yield f"--{name.replace('_', '-')} {before.get(name)} -> {after.get(name)}"
    prices = (before.get("prices") or {}, after.get("prices") or {})
    for model in sorted(prices[0].keys() & prices[1].keys()):
        was, now = ([(one[model] or {}).get(rate) for rate in _RATES] for one in prices)
        if was != now:
            yield f"price of {model}, input/cached/output per million: {_rates(was)} -> {_rates(now)}"
    versions = (before.get("versions") or {}, after.get("versions") or {})
    moved = [
        f"{name} {versions[0].get(name, 'absent')} -> {versions[1].get(name, 'absent')}"
        for name in sorted(versions[0].keys() | versions[1].keys())
        if versions[0].get(name) != versions[1].get(name)
    ]
    if moved:
        yield f"versions: {', '.join(moved)}"
    if before.get("hardware") != after.get("hardware"):
        yield "they ran on different machines, so their times cannot be compared"


def _prompts(
    before: Mapping[str, Any], after: Mapping[str, Any], pairs: Sequence[tuple[BaselineCandidate, BaselineCandidate]]
) -> Iterator[tuple[str, list[str]]]:
    """The changed lines: of a prompt that both runs have, and of two in which one candidate was put."""
    was, now = ({name: one["source"] for name, one in (info.get("prompts") or {}).items()} for info in (before, after))
    compared = {(name, name) for name in was.keys() & now.keys()}
    compared |= {
        (old.args["prompt"], new.args["prompt"])
        for old, new in pairs
        if {"prompt"} <= old.args.keys() & new.args.keys()
    }
    for first, second in sorted(compared):
        if first in was and second in now and was[first] != now[second]:
            yield first if first == second else f"{first} -> {second}", prompt_lines(was[first], now[second])


def _rates(values: Sequence[float | None]) -> str:
    return "/".join("unknown" if value is None else f"${value:g}" for value in values)


def _short(revision: str | None) -> str:
    return (revision or "unknown")[:12]
