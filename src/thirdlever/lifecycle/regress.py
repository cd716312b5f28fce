"""The release gate: measure a baseline's strategies on a new base model and compare the two, item by item."""

from __future__ import annotations

import datetime as dt
import difflib
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from thirdlever.analysis.stats.power import sequential_design
from thirdlever.analysis.statuses import Tolerance
from thirdlever.core import files, project
from thirdlever.core.errors import RunError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note
from thirdlever.core.text import counted, listed
from thirdlever.lifecycle.baseline import corrected, from_run, load, outcomes
from thirdlever.lifecycle.checks import (
    NEW,
    OLD,
    Verdict,
    accuracy,
    measured,
    one_look,
    operations,
    resolve_limits,
    worst,
)
from thirdlever.models.parameters import canonical
from thirdlever.strategies.specs import IMPORTED, parse, spec
from thirdlever.suites.find import find_suite
from thirdlever.suites.prompts import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thirdlever.analysis.run import Run
    from thirdlever.lifecycle.baseline import Baseline, BaselineCandidate, ItemResult
    from thirdlever.lifecycle.checks import Check, Level, Limits
    from thirdlever.models.base import BaseModel
    from thirdlever.suites.suite import Suite


REPORT = "regression.json"
EXIT_CODES: dict[Verdict, int] = {"PASS": 0, "FAIL": 1, "NOT-MEASURED": 2, "INCONCLUSIVE": 3}
_LINES = 6  # changed lines of a prompt in a note
FIRST = 20  # items asked before all others, so that a retired model fails on these and not on the whole suite
_RUN_OPTIONS = ("epochs", "seed", "constrain", "device_usd_per_hour", "utilisation")


@dataclass(frozen=True, slots=True)
class Flip:
    """An item on which one model scores better than the other.

    Attributes:
        id: the item's id.
        input: "" if the suite is not available.
        target: the right answer; "" likewise.
        before: the old model's answer, shortened, or in brackets why it has none.
        after: the new model's.
    """

    id: str
    input: str
    target: str
    before: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One candidate of the baseline on one new model.

    Attributes:
        candidate: its name in the baseline.
        old: the baseline's base model; "" if it calls none.
        new: the new base model.
        verdict: the worst of its checks.
        n: number of items that both models were asked.
        checks: accuracy first, then slices, then the rest; if it is not measured, only that.
        broken: items on which the old model scores better.
        fixed: items on which the new model scores better.
        notes: other differences between the two runs, in sentences.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """The outcome of the release gate.

    Attributes:
        verdict: the worst of the results.
        pinned: date of the baseline's run, ISO 8601.
        results: one per candidate of the baseline and new model.
        asked: number of items that each candidate was asked.
        items: number of items available.
        monthly_volume: requests a month, from the suite's card; None if not stated.
        notes: facts about the whole comparison, in sentences.
        folder: the new run's folder.
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
        """0, 1, 2 or 3. Errors exit with 2 too: either way, there is no verdict on the model."""
        return EXIT_CODES[self.verdict]

    def to_json(self) -> str:
        """All fields as JSON; unknown figures are null."""
        return to_json(asdict(self) | {"exit_code": self.exit_code}, indent=2, inf_nan_mode="null").decode()


@dataclass(frozen=True, slots=True)
class Pair:
    """A candidate by its names in the baseline, in the run on the old model and in the run on the new model."""

    candidate: str
    old: str
    new: str


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
    max_connections: int | None = None,
    grader: str | BaseModel | None = None,
) -> Regression:
    """Run the baseline's strategies on new base models and compare each with the baseline.

    Artefacts that depend on the base model are built again (adapters, packed demonstrations); others are reused
    (indexes).

    Args:
        suite: the baseline's suite.
        baseline: name of the baseline; its file is only read.
        models: new base models.
        limits: `Limits` by name; the others come from the suite's card or are defaults.
        out: the run's folder. By default the unfinished run of the same command, if any, else a new folder.
        stop_early: ask the items in batches and stop when every verdict is clear.
        remeasure: measure the old models again instead of using the baseline's answers.
        accept_new_suite: allow a suite that has changed since the baseline, and measure the old models on it.
        budget: USD; see `run`.
        max_connections: requests in flight at once; see `run`.
        grader: the model that judges the answers; the baseline's by default.

    Raises:
        ThirdleverError: the runs cannot be compared, or a model answers no request.
    """
    pinned = load(baseline)
    suite = find_suite(suite) if isinstance(suite, str) else suite
    remeasure = _suite_changed(pinned, suite, accept=accept_new_suite) or remeasure
    applied = resolve_limits(suite.card, limits or {}, pinned.options)
    names = [canonical(model) if isinstance(model, str) else model.name for model in models]
    folder = Path(out) if out is not None else _folder(pinned, [*names, remeasure, stop_early])
    rerun = Rerun(
        baseline=pinned,
        suite=suite,
        models=models,
        remeasure=remeasure,
        budget=budget,
        max_connections=max_connections,
        grader=_grader(pinned, grader, remeasure=remeasure),
        folder=folder,
        tolerance=applied.tolerance,
    )
    rerun.check_items()
    rerun.ask_first_items()
    decided, asked = _stop_early(rerun, applied) if stop_early else ({}, rerun.total)
    fresh = rerun.measure(asked, probe=pinned.options["probe"])
    texts = {item.id: (item.input, item.target) for item in suite.test}
    old = rerun.reference(fresh)
    results = [
        compare(old, fresh, pair, applied, accuracy_checks=decided.get(pair), texts=texts) for pair in rerun.pairs
    ]
    notes = rerun.notes()
    if asked < rerun.total:
        notes.append(f"stopped early after {asked:,} of {counted(rerun.total, 'item')}")
    found = _regression(pinned, results, applied, suite.card, rerun.folder, asked=asked, items=rerun.total, notes=notes)
    files.write(rerun.folder / REPORT, found.to_json().encode())  # also marks the run as finished
    return found


def diff(baseline: Baseline, run: Run) -> Regression:
    """Compare a finished run with a baseline: every candidate that has the same strategy and arguments in both.

    Raises:
        RunError: the two share no candidate, or their items differ.
    """
    fresh = from_run(run, baseline.name)
    if judge := fresh.facts.get("grader"):
        _grader(baseline, judge["model"], remeasure=False)
        fresh = _shared(fresh, baseline)
    pairs = [
        Pair(old.name, old.name, new.name)
        for old in baseline.candidates
        for new in fresh.candidates
        if spec(old.strategy, old.args) == spec(new.strategy, new.args)  # whatever defaults were added since
    ]
    if not pairs:
        names = ", ".join(candidate.name for candidate in baseline.candidates)
        message = f"run {str(run.folder)!r} has no candidate of baseline {baseline.name!r}; run one of: {names}"
        raise RunError(message)
    card = run.info["suite"].get("card") or {}
    applied = resolve_limits(card, asdict(Tolerance.of(run.info)), baseline.options)
    results = [compare(baseline, fresh, pair, applied) for pair in pairs]
    return _regression(
        baseline, results, applied, card, run.folder, asked=len(fresh.items), items=len(baseline.items), notes=[]
    )


def compare(
    baseline: Baseline,
    fresh: Baseline,
    pair: Pair,
    limits: Limits,
    *,
    accuracy_checks: Sequence[Check] | None = None,
    texts: Mapping[str, tuple[str, str]] | None = None,
) -> Result:
    """Compare one candidate of a new run with the baseline.

    Args:
        baseline: the old run.
        fresh: the new run, as a baseline too.
        pair: the candidate.
        limits: the limits to apply.
        accuracy_checks: the checks of accuracy, if an earlier look decided them.
        texts: input and target by item id, as far as available.

    Raises:
        RunError: a candidate is missing, or an item is missing or different in the baseline.
    """
    old, new = baseline.find(pair.old), fresh.find(pair.new)
    if lost := measured(old, new, limits):
        return Result(
            candidate=pair.candidate,
            old=old.base or "",
            new=new.base or "",
            verdict=worst([lost.verdict]),
            n=len(fresh.items),
            checks=[lost],
            broken=[],
            fixed=[],
            notes=[],
        )
    checks = [
        *(accuracy_checks or _accuracy(baseline, fresh, pair, limits)),
        *operations(old, new, limits, _incomparable(baseline, fresh)),
    ]
    changed = []
    for item, before, after in zip(fresh.items, _old_results(baseline, fresh, old), new.results, strict=True):
        text, target = (texts or {}).get(item.id, ("", ""))
        answers = answer(before, target), answer(after, target)
        changed.append((after.score - before.score, Flip(item.id, text, target, *answers)))
    return Result(
        candidate=pair.candidate,
        old=old.base or "",
        new=new.base or "",
        verdict=worst(check.verdict for check in checks),
        n=len(fresh.items),
        checks=checks,
        broken=[item for change, item in changed if change < 0],
        fixed=[item for change, item in changed if change > 0],
        notes=_differences(baseline, fresh, old, new),
    )


def _accuracy(baseline: Baseline, fresh: Baseline, pair: Pair, limits: Limits, level: Level = one_look) -> list[Check]:
    """The checks of accuracy, on the items of the new run."""
    results = {OLD: _old_results(baseline, fresh, baseline.find(pair.old)), NEW: fresh.find(pair.new).results}
    scores = {name: [result.score for result in own] for name, own in results.items()}
    o = outcomes(fresh.items, scores, epochs=fresh.epochs)
    return accuracy(corrected(o, fresh, [*results.values()]), limits, level)


def _old_results(baseline: Baseline, fresh: Baseline, candidate: BaselineCandidate) -> list[ItemResult]:
    """A candidate's results in the baseline, in the order of the new run's items."""
    known = {item.id: (item.hash, result) for item, result in zip(baseline.items, candidate.results, strict=True)}
    for item in fresh.items:
        if item.id not in known:
            message = f"item {item.id!r} is not in baseline {baseline.name!r}; run on the baseline's items"
            raise RunError(message)
        if item.hash != known[item.id][0]:
            message = f"item {item.id!r} differs from baseline {baseline.name!r}, so the suite has changed; "
            raise RunError(message + "pin a run on the current suite")
    return [known[item.id][1] for item in fresh.items]


def answer(result: ItemResult, target: str) -> str:
    """What a candidate answered, or in brackets why there is nothing to show."""
    if result.score == 1:
        return target or "(right)"
    return "(request failed)" if result.failed else "(unparsed)" if result.answer is None else result.answer


def _incomparable(baseline: Baseline, fresh: Baseline) -> str:
    """Why times of the two runs cannot be compared; "" if both were measured on the same machine."""
    machines = []
    for side in (baseline, fresh):
        hardware = side.facts.get("hardware") or {}
        # An update changes the version of the system, but the machine stays the same.
        machines.append(hardware | {"system": str(hardware.get("system", "")).partition("-")[0]})
    if machines[0] == machines[1]:
        return ""
    return "the baseline was timed on another machine; use --remeasure to measure the old model on this one"


def _differences(baseline: Baseline, fresh: Baseline, old: BaselineCandidate, new: BaselineCandidate) -> list[str]:
    """What else differs between the two runs, in sentences."""
    notes = []
    before, after = old.figure("input_tokens"), new.figure("input_tokens")
    if old.prompts == new.prompts and abs(after - before) > 0.5:  # noqa: PLR2004 - half a token
        notes.append(
            "the new model has a different tokenizer: "
            f"the same prompts went from {before:,.0f} to {counted(round(after), 'token')}"
        )
    versions, now = (side.facts.get("versions") or {} for side in (baseline, fresh))
    moved = [f"{name} {old} to {now[name]}" for name, old in versions.items() if now.get(name, old) != old]
    if moved:
        notes.append(f"versions changed since the baseline: {', '.join(moved)}")
    notes += _prompt_changes(baseline, fresh, old, new)
    if args := sorted(set(new.args) ^ set(old.args)):
        notes.append(f"the strategy's arguments changed since the baseline: {', '.join(args)}")
    return notes


def prompt_lines(before: str, after: str) -> list[str]:
    """The changed lines of a prompt, with the one before and after each, as in a unified diff."""
    return [*difflib.unified_diff(before.splitlines(), after.splitlines(), n=1, lineterm="")][2:]  # without its heading


def _prompt_changes(
    baseline: Baseline, fresh: Baseline, old: BaselineCandidate, new: BaselineCandidate
) -> Iterator[str]:
    """The changed lines of the prompt in which a candidate is asked."""
    sources = [
        ((side.facts.get("prompts") or {}).get(one.args.get("prompt")) or {}).get("source", "")
        for side, one in ((baseline, old), (fresh, new))
    ]
    if sources[0] and sources[1] and sources[0] != sources[1]:
        lines = [line for line in prompt_lines(*sources) if line[0] in "+-"]
        shown = "; ".join(f"{line[0]} {line[1:].strip()!r}" for line in lines[:_LINES])
        more = f"; and {len(lines) - _LINES:,} more lines" if len(lines) > _LINES else ""
        yield f"prompt {new.args['prompt']} changed since the baseline: {shown}{more}"


@dataclass(frozen=True, kw_only=True)
class Rerun:
    """The run on the new models, and on the old ones too if `remeasure`; `budget` is in USD.

    `tolerance` says when a candidate counts as measured.
    """

    baseline: Baseline
    suite: Suite
    models: Sequence[str | BaseModel]
    remeasure: bool
    budget: float | None
    max_connections: int | None = None
    grader: str | BaseModel | None = None
    folder: Path
    tolerance: Tolerance

    @cached_property
    def total(self) -> int:
        """Number of items available."""
        return min(self.baseline.options["limit"] or len(self.suite.test), len(self.suite.test))

    @cached_property
    def specs(self) -> dict[str, str]:
        """Strategy specs by the candidate's name in the baseline; strategies that call no model are left out."""
        calling = [candidate for candidate in self.baseline.candidates if candidate.base is not None]
        if not calling:
            message = f"no candidate of baseline {self.baseline.name!r} calls a model; pin a run with one that does"
            raise RunError(message)
        if imported := [candidate.name for candidate in calling if candidate.strategy == IMPORTED]:
            message = (
                f"baseline {self.baseline.name!r} has results from elsewhere ({listed(imported)}), and nothing says "
                "which strategy they are of; import them again with --strategy NAME=SPEC, or pin others only"
            )
            raise RunError(message)
        return {candidate.name: spec(candidate.strategy, candidate.args) for candidate in calling}

    @cached_property
    def new_models(self) -> list[str]:
        """Names of the new models."""
        return [canonical(model) if isinstance(model, str) else model.name for model in self.models]

    @cached_property
    def old_models(self) -> list[str]:
        """Names of the old models to measure again."""
        if not self.remeasure:
            return []
        old = list(dict.fromkeys(one.base for one in self.baseline.candidates if one.base is not None))
        if same := set(old) & set(self.new_models):
            message = f"model {min(same)!r} is already the baseline's model; give a different --model"
            raise RunError(message)
        return old

    @cached_property
    def pairs(self) -> list[Pair]:
        """Every candidate of the baseline with every new model."""
        several = len(self.new_models) + len(self.old_models) > 1

        def name(text: str, base: str | None) -> str:
            return f"{parse(text)} @ {base}" if several else str(parse(text))

        return [
            Pair(own, name(text, self.baseline.find(own).base) if self.remeasure else own, name(text, base))
            for own, text in self.specs.items()
            for base in self.new_models
        ]

    def notes(self) -> list[str]:
        """What a reader must know about the comparison, in sentences."""
        notes = []
        if self.suite.hash != self.baseline.suite["hash"]:
            notes.append("the suite has changed since the baseline, so the old model was measured again on it")
        elif self.remeasure:
            notes.append("the old model was measured again on this machine")
        if skipped := [candidate.name for candidate in self.baseline.candidates if candidate.base is None]:
            notes.append(f"not run again, because these call no model: {', '.join(skipped)}")
        return notes

    def check_items(self) -> None:
        """Check that the baseline has every item that will be asked: results from elsewhere may be of any items.

        Raises:
            RunError: an item is missing.
        """
        known = {item.id for item in self.baseline.items}
        asked = self.suite.test.first(self.total, seed=self.baseline.options["seed"] or 0)
        if not self.remeasure and not self.grader and (lost := [item.id for item in asked if item.id not in known]):
            message = (
                f"baseline {self.baseline.name!r} has no result for {counted(len(lost), 'item')} that would be asked, "
                f"such as {lost[0]!r}; add --remeasure, or pin a run of all test items"
            )
            raise RunError(message)

    def ask_first_items(self) -> None:
        """Stop before the whole suite is asked if a model answers none of its first items."""
        records = self._run(min(FIRST, self.total), probe=0).records
        for name, own in records.groupby("candidate"):
            if own["error"].notna().all():
                message = (
                    f"{name}: all of the first {counted(len(own), 'request')} failed, "
                    f"the first with {own['error'].iloc[0]}; "
                    "the baseline is unchanged: make sure that the model is served, then repeat the command"
                )
                raise RunError(message)

    def measure(self, limit: int, *, probe: int) -> Baseline:
        """Run on the first `limit` items; answers of earlier calls are kept."""
        fresh = from_run(self._run(limit, probe=probe), self.baseline.name)
        return fresh if self.remeasure or not self.grader else _shared(fresh, self.baseline)

    def reference(self, fresh: Baseline) -> Baseline:
        """The run that holds the old models' answers."""
        return fresh if self.remeasure else self.baseline

    def _run(self, limit: int, *, probe: int) -> Run:
        from thirdlever.runner.runner import run

        options = self.baseline.options
        return run(
            self.suite,
            list(dict.fromkeys(self.specs.values())),
            models=[*self.old_models, *self.models],
            prompts=[DEFAULT],  # a candidate in another prompt names it
            limit=limit if limit < len(self.suite.test) else None,
            probe=probe,
            out=self.folder,
            budget=self.budget,
            max_connections=self.max_connections,
            grader=self.grader,
            allow_near_leaks="the baseline has the same",
            **{name: options[name] for name in _RUN_OPTIONS},
            **asdict(self.tolerance),
        )


def _stop_early(rerun: Rerun, limits: Limits) -> tuple[dict[Pair, list[Check]], int]:
    """Ask in batches until every pair has a verdict: the checks that decided each, and how many items that took."""
    looks = sequential_design(rerun.total, early=True)
    decided: dict[Pair, list[Check]] = {}
    for look, asked in enumerate(looks.items):
        fresh = rerun.measure(asked, probe=0)
        for pair in rerun.pairs:
            if pair not in decided:
                checks = _accuracy(rerun.reference(fresh), fresh, pair, limits, partial(looks.level, look))
                if asked == looks.items[-1] or worst(check.verdict for check in checks) != "INCONCLUSIVE":
                    decided[pair] = checks
        if len(decided) == len(rerun.pairs):
            break
    return decided, asked


def _grader(baseline: Baseline, given: str | BaseModel | None, *, remeasure: bool) -> str | BaseModel | None:
    """The grader of the new run: the baseline's, for verdicts of two graders cannot be compared."""
    pinned: str | None = (baseline.facts.get("grader") or {}).get("model")
    name = given if isinstance(given, str) or given is None else given.name
    if name and pinned and canonical(name) != pinned and not remeasure:
        message = (
            f"baseline {baseline.name!r} was judged by {pinned}, and verdicts of two graders cannot be compared; "
            "leave --grader out, or add --remeasure"
        )
        raise RunError(message)
    return given or pinned


def _shared(fresh: Baseline, baseline: Baseline) -> Baseline:
    """The new run on the items of the baseline, which has none without a verdict."""
    known = {item.id for item in baseline.items}
    kept = [i for i, item in enumerate(fresh.items) if item.id in known]
    return replace(
        fresh,
        items=[fresh.items[i] for i in kept],
        candidates=[replace(one, results=tuple(one.results[i] for i in kept)) for one in fresh.candidates],
    )


def _suite_changed(baseline: Baseline, suite: Suite, *, accept: bool) -> bool:
    """Whether the suite has changed since the baseline, if that is accepted."""
    name = baseline.suite["name"]
    if suite.name != name:
        message = f"baseline {baseline.name!r} belongs to suite {name!r}, not {suite.name!r}; give that suite"
        raise RunError(message)
    if suite.hash == baseline.suite["hash"]:
        return False
    if not accept:
        message = (
            f"suite {name!r} has changed since baseline {baseline.name!r}, so their answers cannot be compared; "
            "use --accept-new-suite to measure the old model on it too, or pin a new run"
        )
        raise RunError(message)
    return True


def _folder(baseline: Baseline, how: Sequence[object]) -> Path:
    """The new run's folder: an unfinished one of the same command, if any."""
    key = content_hash([baseline.suite, baseline.facts["finished"], *how])[:8]
    stem = f"{baseline.name}-regress-{key}"
    unfinished = [path for path in sorted(project.RESULTS.glob(f"{stem}-*")) if not (path / REPORT).exists()]
    if unfinished:
        note(f"resuming {unfinished[-1]}")
        return unfinished[-1]
    return project.RESULTS / f"{stem}-{dt.datetime.now(dt.UTC):%Y%m%d-%H%M%S}"


def _regression(
    baseline: Baseline,
    results: Sequence[Result],
    limits: Limits,
    card: Mapping[str, Any],
    folder: Path,
    *,
    asked: int,
    items: int,
    notes: Sequence[str],
) -> Regression:
    volume: Any = card.get("monthly_volume")
    stated = isinstance(volume, int | float) and not isinstance(volume, bool)
    return Regression(
        verdict=worst(result.verdict for result in results),
        suite=baseline.suite["name"],
        baseline=baseline.name,
        pinned=baseline.date,
        results=results,
        asked=asked,
        items=items,
        limits=limits,
        monthly_volume=float(volume) if stated else None,
        notes=notes,
        folder=str(folder),
    )
