"""The release gate: a pinned run held against the same strategies on a new base model."""

from __future__ import annotations

import datetime as dt
import json
import math
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.stats.sequential import SequentialDesign, sequential_design
from thirdlever.core import files, project
from thirdlever.core.errors import RunError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note
from thirdlever.lifecycle import baseline
from thirdlever.lifecycle import baseline as pinning
from thirdlever.lifecycle.baseline import outcomes
from thirdlever.lifecycle.checks import (
    NEW,
    OLD,
    Check,
    Level,
    Sides,
    Verdict,
    accuracy,
    limits,
    one_look,
    operations,
    worst,
)
from thirdlever.lifecycle.checks import limits as limits_of
from thirdlever.strategies.specs import parse, spec
from thirdlever.suites.suite import find_suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.analysis.run import Run
    from thirdlever.lifecycle.baseline import Baseline, Got, Pinned
    from thirdlever.lifecycle.checks import Limits
    from thirdlever.models.base import BaseModel
    from thirdlever.suites.suite import Suite


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


FIRST = 20  # items asked before all others: a model that is gone fails on each, and patience ends here
_OPTIONS = ("epochs", "seed", "constrain", "device_usd_per_hour", "utilisation")


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """The new run.

    Attributes:
        pinned: what it is held against.
        suite: as it is now.
        models: the new ones, as they were given.
        remeasure: whether the old ones are asked too.
        budget: USD.
        folder: of the run.
    """

    pinned: Baseline
    suite: Suite
    models: Sequence[str | BaseModel]
    remeasure: bool
    budget: float | None
    folder: Path

    @cached_property
    def bases(self) -> list[str]:
        """Names of the new models."""
        return [model if isinstance(model, str) else model.name for model in self.models]

    @cached_property
    def specs(self) -> dict[str, str]:
        """What to run, by the pinned candidate's name; strategies that ask no model know no base, and rest."""
        found = {one.name: spec(one.strategy, one.args) for one in self.pinned.candidates if one.base is not None}
        if not found:
            message = f"baseline {self.pinned.name!r} holds no candidate that asks a model; pin a run that has one"
            raise RunError(message)
        return found

    @cached_property
    def asked_too(self) -> list[str]:
        """Old base models that are measured again."""
        if not self.remeasure:
            return []
        old = list(dict.fromkeys(one.base for one in self.pinned.candidates if one.base is not None))
        if again := set(old) & set(self.bases):
            message = f"model {min(again)!r} is the baseline's own and cannot be held against itself; leave it out"
            raise RunError(message)
        return old

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every pinned candidate against every new model."""
        several = len(self.bases) + len(self.asked_too) > 1

        def name(text: str, base: str | None) -> str:
            return f"{parse(text)} @ {base}" if several else str(parse(text))

        return [
            Pair(own, name(text, self.pinned.find(own).base) if self.remeasure else own, name(text, base))
            for own, text in self.specs.items()
            for base in self.bases
        ]

    @cached_property
    def total(self) -> int:
        """Items that there are to ask."""
        return min(self.pinned.options["limit"] or len(self.suite.test), len(self.suite.test))

    def first(self) -> None:
        """Ask a few items first; a model that answers none of them is not asked the rest."""
        records = self._run(min(FIRST, self.total), probe=0).records
        for name, own in records.groupby("candidate"):
            if own["error"].notna().all():
                message = (
                    f"{name}: all of the first {len(own)} requests failed, the first with {own['error'].iloc[0]}; "
                    "the baseline is as it was: make sure that the model is served, then give the same command again"
                )
                raise RunError(message)

    def measure(self, limit: int, *, probe: int) -> Baseline:
        """The new run on so many items; what was answered before is not asked again."""
        return baseline.of(self._run(limit, probe=probe), self.pinned.name)

    def reference(self, fresh: Baseline) -> Baseline:
        """What the new candidates are held against."""
        return fresh if self.remeasure else self.pinned

    def _run(self, limit: int, *, probe: int) -> Run:
        from thirdlever.runner.runner import run

        options = self.pinned.options
        return run(
            self.suite,
            list(dict.fromkeys(self.specs.values())),
            models=[*self.asked_too, *self.models],
            limit=limit if limit < len(self.suite.test) else None,
            probe=probe,
            out=self.folder,
            budget=self.budget,
            **{name: options[name] for name in _OPTIONS},
        )


REPORT = "regression.json"
EXIT_CODES: dict[Verdict, int] = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """What the release gate found.

    Attributes:
        verdict: the worst of the results'.
        suite: its name.
        baseline: its name.
        pinned: the date of the pinned run.
        results: one for each pinned candidate and new model.
        asked: items that each was asked.
        items: items that there are.
        limits: what they were held to.
        monthly_volume: requests a month, of the suite's card; None where it does not say.
        notes: what a reader must know of the whole.
        folder: where the new run is.
    """

    verdict: Verdict
    suite: str
    baseline: str
    pinned: str
    results: Sequence[Result]
    asked: int
    items: int
    limits: Limits
    monthly_volume: float | None
    notes: Sequence[str]
    folder: str

    @property
    def exit_code(self) -> int:
        """0, 1 or 3; 2 is for what never came to a verdict."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> str:
        """Everything, as JSON; an unknown figure is null."""
        return json.dumps(_plain(asdict(self) | {"exit_code": self.exit_code}), indent=2, ensure_ascii=False)


def regress(
    suite: str | Suite,
    *,
    baseline: str,
    models: Sequence[str | BaseModel],
    limits: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    stop_early: bool = False,
    remeasure: bool = False,
    accept_new_suite: bool = False,
    budget: float | None = None,
) -> Regression:
    """Run the pinned strategies on new base models and hold each against the baseline.

    What depends on the base model is made anew (adapters, packed demonstrations), what does not is reused (indexes).

    Args:
        suite: the one that the baseline is of.
        baseline: name of a pinned run; its file is only read.
        models: new base models.
        limits: by name, as `Limits` has them; the others come from the card or are defaults.
        out: the run's folder. By default an unfinished one of the same command, else a new one.
        stop_early: ask the items in parts, and no more than it takes to settle every candidate.
        remeasure: ask the old models too, instead of trusting the pinned answers.
        accept_new_suite: go on when the suite has changed since; the old models are asked too.
        budget: USD; see `run`.

    Raises:
        ThirdleverError: naming cause and remedy; a model that answers nothing is one.
    """
    pinned = pinning.load(baseline)
    suite = find_suite(suite) if isinstance(suite, str) else suite
    remeasure = _same_suite(pinned, suite, accept=accept_new_suite) or remeasure
    held = limits_of(suite.card, limits or {})
    names = [model if isinstance(model, str) else model.name for model in models]
    work = Rerun(
        pinned=pinned,
        suite=suite,
        models=models,
        remeasure=remeasure,
        budget=budget,
        folder=Path(out) if out is not None else _folder(pinned, [*names, remeasure, stop_early]),
    )
    work.first()
    judged, asked = _looks(work, held, sequential_design(work.total, early=True)) if stop_early else ({}, work.total)
    fresh = work.measure(asked, probe=pinned.options["probe"])
    texts = {item.id: (item.input, item.target) for item in suite.test}
    results = [
        hold(work.reference(fresh), fresh, pair, held, judged=judged.get(pair), asked=texts) for pair in work.pairs
    ]
    return _kept(work.folder, _conclude(work, results, held, asked=asked))


def _looks(work: Rerun, held: Limits, looks: SequentialDesign) -> tuple[dict[Pair, list[Check]], int]:
    """Ask in parts until every pair is settled: its checks of accuracy when it was, and how many items that took."""
    judged: dict[Pair, list[Check]] = {}
    for look, asked in enumerate(looks.items):
        fresh = work.measure(asked, probe=0)
        for pair in work.pairs:
            if pair not in judged:
                checks = judge(work.reference(fresh), fresh, pair, held, partial(looks.level, look))
                if asked == looks.items[-1] or worst(check.verdict for check in checks) != "INCONCLUSIVE":
                    judged[pair] = checks
        if len(judged) == len(work.pairs):
            break
    return judged, asked


def _same_suite(pinned: Baseline, suite: Suite, *, accept: bool) -> bool:
    """Whether the suite has changed, and that was accepted."""
    name = pinned.suite["name"]
    if suite.name != name:
        message = f"baseline {pinned.name!r} is of suite {name!r}, not {suite.name!r}; give that one"
        raise RunError(message)
    if suite.hash == pinned.suite["hash"]:
        return False
    if not accept:
        message = (
            f"suite {name!r} has changed since baseline {pinned.name!r} was pinned, so old answers cannot be compared; "
            "give --accept-new-suite to measure the old model on it too, or pin a new run"
        )
        raise RunError(message)
    return True


def _folder(pinned: Baseline, how: Sequence[object]) -> Path:
    """Where the new run goes: the same command finds the folder that it was stopped in."""
    key = content_hash([pinned.suite, pinned.facts["finished"], *how])[:8]
    stem = f"{pinned.name}-regress-{key}"
    begun = [path for path in sorted(project.RESULTS.glob(f"{stem}-*")) if not (path / REPORT).exists()]
    if begun:
        note(f"going on in {begun[-1]}")
        return begun[-1]
    return project.RESULTS / f"{stem}-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"


def _conclude(work: Rerun, results: Sequence[Result], held: Limits, *, asked: int) -> Regression:
    resting = [one.name for one in work.pinned.candidates if one.base is None]
    notes = []
    if work.suite.hash != work.pinned.suite["hash"]:
        notes.append("the suite has changed since the baseline was pinned: the old model was measured on it again")
    elif work.remeasure:
        notes.append("the old model was measured again, here and now")
    if resting:
        notes.append(f"not run again, because a new model changes nothing for it: {', '.join(resting)}")
    if asked < work.total:
        notes.append(f"stopped early: {asked:,} of {work.total:,} items settled it")
    return Regression(
        verdict=worst(result.verdict for result in results),
        suite=work.suite.name,
        baseline=work.pinned.name,
        pinned=work.pinned.date,
        results=results,
        asked=asked,
        items=work.total,
        limits=held,
        monthly_volume=monthly_volume(work.suite.card),
        notes=notes,
        folder=str(work.folder),
    )


def monthly_volume(card: Mapping[str, Any]) -> float | None:
    """Requests a month, where the card says."""
    volume = card.get("monthly_volume")
    return float(volume) if isinstance(volume, int | float) and not isinstance(volume, bool) else None


def _kept(folder: Path, found: Regression) -> Regression:
    """Leave the result beside the run: it marks the folder as finished."""
    files.write(folder / REPORT, found.to_json().encode())
    return found


def diff(pinned: Baseline, run: Run) -> Regression:
    """Hold every candidate of a run that is pinned too, with the same arguments, against the pinned one.

    Raises:
        RunError: nothing of it is pinned, or the runs are of different questions.
    """
    fresh = baseline.of(run, pinned.name)
    pairs = [
        Pair(old.name, old.name, new.name)
        for old in pinned.candidates
        for new in fresh.candidates
        if (old.strategy, old.args) == (new.strategy, new.args)
    ]
    if not pairs:
        listed = ", ".join(one.name for one in pinned.candidates)
        message = f"run {str(run.folder)!r} holds none of the candidates of baseline {pinned.name!r}: {listed}"
        raise RunError(message + "; run those")
    card = run.info["suite"].get("card") or {}
    held = limits(card, {})
    results = [hold(pinned, fresh, pair, held) for pair in pairs]
    return Regression(
        verdict=worst(result.verdict for result in results),
        suite=pinned.suite["name"],
        baseline=pinned.name,
        pinned=pinned.date,
        results=results,
        asked=len(fresh.items),
        items=len(pinned.items),
        limits=held,
        monthly_volume=monthly_volume(card),
        notes=[],
        folder=str(run.folder),
    )


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
