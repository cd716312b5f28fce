"""The release gate: a pinned run held against the same strategies on a new base model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thirdlever.core.errors import RunError
from thirdlever.regression.checks import NEW, OLD, Check, Level, Verdict, accuracy, one_look, worst
from thirdlever.regression.operations import Sides, operations
from thirdlever.regression.scores import outcomes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.regression.baseline import Baseline, Got, Pinned
    from thirdlever.regression.limits import Limits

_RETIME = "give --remeasure to measure the old model here too"


@dataclass(frozen=True, slots=True)
class Flip:
    """An item that one model does better than the other.

    Attributes:
        id: the item's.
        input: what was asked; "" where the suite is not at hand.
        target: the right answer; "" likewise.
        before: the old model's answer, shortened, or in brackets why there is none.
        after: the new model's.
    """

    id: str
    input: str
    target: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One pinned candidate on one new model.

    Attributes:
        candidate: as it was pinned.
        old: the base model that it was pinned on.
        new: the base model that it is held to now.
        verdict: the worst of its checks.
        n: items that both answered.
        checks: accuracy first, then slices, then the rest.
        broken: items that the old model does better.
        fixed: items that the new one does better.
        notes: what else has changed.
    """

    candidate: str
    old: str
    new: str
    verdict: Verdict
    n: int
    checks: Sequence[Check]
    broken: Sequence[Flip]
    fixed: Sequence[Flip]
    notes: Sequence[str]


@dataclass(frozen=True, slots=True)
class Pair:
    """What is held against what.

    Attributes:
        candidate: as it was pinned.
        old: name of the candidate to be held against.
        new: name of the same strategy in the new run.
    """

    candidate: str
    old: str
    new: str


def hold(
    baseline: Baseline,
    fresh: Baseline,
    pair: Pair,
    limits: Limits,
    *,
    judged: Sequence[Check] | None = None,
    asked: Mapping[str, tuple[str, str]] | None = None,
) -> Result:
    """Hold one candidate of a new run against the pinned one.

    Args:
        baseline: pinned.
        fresh: the new run.
        pair: the candidates.
        limits: what the new one is held to.
        judged: the checks of accuracy, where they were made at an earlier look.
        asked: input and target of the items by id, as far as they are at hand.

    Raises:
        RunError: no such candidate, or the runs are of different questions.
    """
    old, new = baseline.find(pair.old), fresh.find(pair.new)
    checks = [
        *(judged or judge(baseline, fresh, pair, limits)),
        *operations(Sides(old, new, limits, _elsewhere(baseline, fresh))),
    ]
    was = [old.got[i] for i in _places(baseline, fresh)]
    flips = [
        (now.score - then.score, _flip(item.id, *(asked or {}).get(item.id, ("", "")), then, now))
        for item, then, now in zip(fresh.items, was, new.got, strict=True)
    ]
    return Result(
        candidate=pair.candidate,
        old=old.base or "",
        new=new.base or "",
        verdict=worst(check.verdict for check in checks),
        n=len(fresh.items),
        checks=checks,
        broken=[flip for change, flip in flips if change < 0],
        fixed=[flip for change, flip in flips if change > 0],
        notes=_changes(baseline, fresh, old, new),
    )


def judge(baseline: Baseline, fresh: Baseline, pair: Pair, limits: Limits, level: Level = one_look) -> list[Check]:
    """The checks of accuracy alone, on the items of the new run.

    Args:
        baseline: pinned; all of the new run's items are in it.
        fresh: the new run.
        pair: the candidates.
        limits: what the new one is held to.
        level: one-sided level of one of so many tests.
    """
    old, new = baseline.find(pair.old), fresh.find(pair.new)
    scores = {
        OLD: [old.got[i].score for i in _places(baseline, fresh)],
        NEW: [one.score for one in new.got],
    }
    o = outcomes(fresh.items, scores, epochs=int(fresh.options.get("epochs") or 1))
    return accuracy(o, limits, level)


def _places(baseline: Baseline, fresh: Baseline) -> list[int]:
    """Where the new run's items stand in the baseline."""
    place = {item.id: i for i, item in enumerate(baseline.items)}
    for item in fresh.items:
        if item.id not in place:
            message = f"item {item.id!r} is not in baseline {baseline.name!r}; run on the items that it was made of"
            raise RunError(message)
        if item.hash != baseline.items[place[item.id]].hash:
            message = f"item {item.id!r} is another question than in baseline {baseline.name!r}: its suite has changed"
            raise RunError(message + "; pin a run on the suite as it is now")
    return [place[item.id] for item in fresh.items]


def _flip(item_id: str, asked: str, target: str, then: Got, now: Got) -> Flip:
    return Flip(item_id, asked, target, _told(then, target), _told(now, target))


def _told(got: Got, target: str) -> str:
    if got.score == 1:
        return target or "(right)"
    return "(request failed)" if got.failed else "(not readable)" if got.answer is None else got.answer


def _elsewhere(baseline: Baseline, fresh: Baseline) -> str:
    """Why times cannot be compared; "" when both were taken on such a machine."""
    if _machine(baseline.facts.get("hardware")) == _machine(fresh.facts.get("hardware")):
        return ""
    return f"the baseline was timed on another machine; {_RETIME}"


def _machine(hardware: Mapping[str, Any] | None) -> dict[str, Any]:
    """Without the version of the system, which an update changes and the machine stays."""
    known = dict(hardware or {})
    return known | {"system": str(known.get("system", "")).partition("-")[0]}


def _changes(baseline: Baseline, fresh: Baseline, old: Pinned, new: Pinned) -> list[str]:
    """What else differs, in sentences."""
    notes = []
    sent, now = old.figure("input_tokens"), new.figure("input_tokens")
    if old.prompts == new.prompts and abs(now - sent) > 0.5:  # noqa: PLR2004 - half a token
        notes.append(
            f"the new model counts the same prompts otherwise ({sent:,.0f} tokens before, {now:,.0f} now): "
            "it has another tokenizer"
        )
    was, now_on = (side.facts.get("versions") or {} for side in (baseline, fresh))
    moved = [f"{name} {was[name]} to {now_on[name]}" for name in was if now_on.get(name, was[name]) != was[name]]
    if moved:
        notes.append(f"versions changed since: {', '.join(moved)}")
    added = sorted(set(new.args) ^ set(old.args))
    if added:
        notes.append(f"the strategy's arguments changed since ({', '.join(added)})")
    return notes
