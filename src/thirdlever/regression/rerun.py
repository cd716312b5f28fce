"""`regress`: run what was pinned on a new base model, and hold it against the baseline."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thirdlever.analysis.stats.sequential import Plan, plan
from thirdlever.core import files, project
from thirdlever.core.errors import RunError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note
from thirdlever.regression import pinning
from thirdlever.regression.checks import Check, Verdict, worst
from thirdlever.regression.gate import hold, judge
from thirdlever.regression.limits import limits as limits_of
from thirdlever.regression.work import Rerun
from thirdlever.suites.suite import find_suite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from thirdlever.models.base import BaseModel
    from thirdlever.regression.baseline import Baseline
    from thirdlever.regression.gate import Pair, Result
    from thirdlever.regression.limits import Limits
    from thirdlever.suites.suite import Suite

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
    judged, asked = _looks(work, held, plan(work.total, early=True)) if stop_early else ({}, work.total)
    fresh = work.measure(asked, probe=pinned.options["probe"])
    texts = {item.id: (item.input, item.target) for item in suite.test}
    results = [
        hold(work.reference(fresh), fresh, pair, held, judged=judged.get(pair), asked=texts) for pair in work.pairs
    ]
    return _kept(work.folder, _conclude(work, results, held, asked=asked))


def _looks(work: Rerun, held: Limits, looks: Plan) -> tuple[dict[Pair, list[Check]], int]:
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
    from thirdlever.report.regression import to_json

    files.write(folder / REPORT, to_json(found).encode())
    return found
