"""Run strategies over a suite: prepare each candidate, check for leakage, measure accuracy, then latency.

Every reply is kept as it arrives, so a run that was killed or ended at its budget resumes with the same command.
"""

from __future__ import annotations

import datetime as dt
import errno
import json
import math
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock, Timeout

from thirdlever.analysis.run import INFO, RECORDS, SUMMARY, Run
from thirdlever.analysis.run_file import SCHEMA
from thirdlever.analysis.scorecards import lever
from thirdlever.analysis.statuses import FIRST, MAX_FAILED, MAX_UNPARSED, Tolerance, early_warning
from thirdlever.answers.judge import UNGRADED, Judge
from thirdlever.answers.kinds import described
from thirdlever.catalog.listings import snapshots
from thirdlever.catalog.prices import device_cost
from thirdlever.core import files, project
from thirdlever.core.errors import BudgetError, LeakageError, ProviderError, RunError, TuningError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, progress
from thirdlever.core.project import hardware, versions
from thirdlever.core.store import Store
from thirdlever.core.text import counted, percent, without_password
from thirdlever.evaluation.ask import metered
from thirdlever.evaluation.judging import Grading, JudgedAnswer, check_grader
from thirdlever.evaluation.records import Journal, describe_lost, misread, monotonous, table, to_parquet
from thirdlever.models.base import BaseModel, check_constrains
from thirdlever.runner.budget import Budget, batches, priced_in_batch, timed_requests
from thirdlever.strategies.specs import candidates, in_prompts, once, parse_all
from thirdlever.suites.find import find_suite
from thirdlever.suites.suite import Document, Leakage, Suite, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pandas as pd

    from thirdlever.answers.answer import Grade
    from thirdlever.evaluation.passes import Pass
    from thirdlever.evaluation.records import Reply
    from thirdlever.strategies.contract import Deployment
    from thirdlever.strategies.specs import Candidate, StrategySpec


MOST_COMPARED = 100_000  # items, of which near-leaks are found in less than a minute
_LOCK = ".lock"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}


def run(
    suite: str | Suite,
    strategies: Sequence[str],
    *,
    train: str | None = None,
    models: Sequence[str | BaseModel] = ("embedded",),
    prompts: Sequence[str | Path] | None = None,
    limit: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    budget: float | None = None,
    out: str | Path | None = None,
    probe: int | None = None,
    constrain: bool = False,
    device_usd_per_hour: float | None = None,
    utilisation: float = 1.0,
    batch: bool = False,
    max_failed: float = MAX_FAILED,
    max_unparsed: float = MAX_UNPARSED,
    max_connections: int | None = None,
    grader: str | BaseModel | None = None,
    allow_near_leaks: bool | str = False,
) -> Run:
    """Run strategies over a suite, side by side. Also works in a notebook.

    Args:
        suite: a suite, the name of one under `evals/`, or an inspect task such as "file.py@task".
        strategies: such as "rag:k=20", or "rag" for its defaults.
        train: another inspect task, whose samples strategies learn from, if `suite` is a task.
        models: base models. Each strategy runs on each of them; one that needs no model runs once.
        prompts: names of prompt files in `prompts/`, or paths; "default" is the prompt that ships. Each strategy runs
            in each of them; one that calls no model runs once. None is the suite's own prompt.
        limit: number of test items, the same for every candidate; None for all.
        epochs: repeats of each item.
        seed: for choosing those items, and passed to the models.
        budget: in USD. Once it is spent, requests in flight finish and the run ends with what it has.
        out: the run's folder, named after suite and time by default. A folder that holds the same run resumes it and
            sends only unanswered requests.
        probe: number of items that are timed one by one; by default 60, which a p95 needs, and at most `limit`.
        constrain: restrict models to answers that the suite allows.
        device_usd_per_hour: price of an hour of this machine, for local models.
        utilisation: share of its hours in which it serves requests.
        batch: use the batch API of providers that have one for the accuracy pass: cheaper, and done within a day.
        max_failed: share of failed, cut-off and refused requests above which a candidate is not measured.
        max_unparsed: the same of unparsed answers.
        max_connections: requests in flight at once; by default, as many as the provider allows.
        grader: the model that judges the answers of a suite whose answer kind is `Judge`.
        allow_near_leaks: measure also if more than 1 % of the test items are nearly the same as one of train or dev;
            may be the reason, which is reported.

    Returns:
        The run, with pandas DataFrames as `summary` and `records`.

    Raises:
        ThirdleverError: with the cause and what to do about it. A run that a budget or a provider ended is returned;
            its `require_complete` raises.
    """
    from thirdlever.models import registry

    for name, value, least in (
        ("limit", limit, 1),
        ("epochs", epochs, 1),
        ("probe", probe, 0),
        ("max_connections", max_connections, 1),
    ):
        if value is not None and value < least:
            message = f"{name}={value} is not allowed; give {least} or more"
            raise RunError(message)
    if budget is not None and not budget >= 0:  # NaN is not
        message = f"budget={budget} is not allowed; give an amount in USD"
        raise RunError(message)
    tolerance = Tolerance(max_failed, max_unparsed)
    device_cost(0.0, device_usd_per_hour, utilisation)  # raises for an invalid rate or utilisation
    probe = timed_requests(probe, limit)
    suite = find_suite(suite, train) if isinstance(suite, str) else check(suite)
    check_grader(suite, grader)
    groups = in_prompts(parse_all(strategies), suite, prompts)
    money = Budget(limit=budget, device_usd_per_hour=device_usd_per_hour, utilisation=utilisation)
    started = now()
    folder = Path(out) if out else project.RESULTS / f"{suite.name}-{started:%Y%m%d-%H%M%S}"
    with opened(folder):
        # Last, because it may download weights.
        bases = [model if isinstance(model, BaseModel) else registry.resolve(model) for model in models]
        once("model", [base.name for base in bases])
        earlier = _earlier(folder, suite, groups, bases)
        for base in bases:
            money.admit(base)
            if constrain:
                check_constrains(base, suite.answer)
        options: dict[str, Any] = {
            "limit": limit,
            "epochs": epochs,
            "seed": seed,
            "probe": probe,
            "constrain": constrain,
        }
        session = Session(
            suite=suite,
            folder=folder,
            leakage=Leakage(suite),
            budget=money,
            batch=batch,
            max_connections=max_connections,
            grading=_grading(suite, grader, bases, money, folder=folder, max_connections=max_connections),
            **options,
        )
        session.leakage.check_suite()
        near = near_leaks_of(suite, allowed=allow_near_leaks)
        used = {prompt.name: prompt for group in groups for spec in group for prompt in spec.prompts}
        if out is None:
            note(f"Writing to {folder}. To resume an interrupted run, repeat the command with --out {folder}.")
        about_grader = session.calibrate()
        measured = _measure(session, candidates(groups, bases))
        failures = [*session.failed.values(), *session.untuned]
        if failures and not any(len(one.records) for one in measured):
            raise failures[0]
        about = [one.about for one in measured]
        session.tidy(about)
        info = {
            "status": "failed" if failures else "budget" if session.unfinished else "complete",
            "unfinished": [asdict(one) for one in session.unfinished],
            "suite": about_suite(suite),
            "candidates": about,
            "prompts": {name: {"hash": one.hash, "source": one.source} for name, one in used.items()},
            "snapshots": snapshots(bases),
            **options,
            "batch": batch,
            "budget_usd": budget,
            "spent_usd": money.spent if budget is not None else None,
            "usage_unreported": money.unreported,
            **about_grader,
            **near,
            "prices": {name: price and price.to_dict() for name, price in money.prices.items()},
            "device_usd_per_hour": device_usd_per_hour,
            "utilisation": utilisation,
            **asdict(tolerance),
            "versions": versions(),
            "hardware": hardware(),
            "command": [without_password(word) for word in sys.argv],
            "started": started.isoformat(),
            "finished": now().isoformat(),
        }
        info["looks"] = _looks(info, earlier)
        if _nothing_new(info, earlier):
            info |= {key: earlier[key] for key in ("command", "started", "finished")}
        return save(folder, [one.records for one in measured], info)


class Measured(NamedTuple):
    """A candidate's entry in run.json, and its records."""

    about: Mapping[str, Any]
    records: pd.DataFrame


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """A candidate that a budget or a provider ended, or whose tuning failed.

    Attributes:
        candidate: its name.
        answered: requests that were answered.
        requests: all of its requests.
        why: the provider's failure, or why there is no model; None if the budget was spent.
    """

    candidate: str
    answered: int
    requests: int
    why: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What all candidates of a run share; the options are those of `run`.

    Attributes:
        unfinished: candidates that could not be finished.
        failed: why every request to a model fails, by its name.
        untuned: why candidates have no model.
    """

    suite: Suite
    folder: Path
    leakage: Leakage
    budget: Budget
    limit: int | None
    epochs: int
    seed: int
    probe: int
    constrain: bool
    batch: bool = False
    unfinished: list[Unfinished] = field(default_factory=list)
    failed: dict[str, ProviderError] = field(default_factory=dict)
    untuned: list[TuningError] = field(default_factory=list)
    max_connections: int | None = None
    grading: Grading | None = None

    def calibrate(self) -> dict[str, Any]:
        """Have the grader judge the answers that people labelled; its entry in run.json, empty without a grader.

        Raises:
            ProviderError: its provider fails every request.
        """
        if self.grading is None:
            return {}
        from thirdlever.analysis.grader import Grader, Labelled, answer_hash

        items = {item.id: item for split in (self.suite.dev, self.suite.test) for item in split}
        model, judge = self.grading.model, self.suite.answer
        read = [(one, judge.read(one.answer).value) for one in self.suite.human]
        if unread := sum(value is None for _, value in read):
            note(f"human.jsonl: {counted(unread, 'answer')} cannot be read, as a candidate's would not be; left out")
        labelled = {JudgedAnswer(items[one.item], value): one.right for one, value in read if value is not None}
        given = {case: judge.grade(case.value, case.item.target) for case in labelled}
        asked = [case for case, grade in given.items() if math.isnan(grade.value)]
        given |= self.grading.grades(asked, title=f"{model.name}: labelled answers")
        labels = [
            Labelled(case.item.id, answer_hash(case.value), right, None if math.isnan(score) else score)
            for case, right in labelled.items()
            for score in (given[case].value,)
        ]
        known = Grader(model.name, self.suite.name, labels)
        if known.why_not:
            note(f"there will be no verdict: {known.why_not}")
        about = {
            "model": model.name,
            "revision": model.revision,
            "agreement": known.summary,
            "setup": asdict(self.grading.cost(asked)),
            "labels": [list(one) for one in labels],
        }
        return {"grader": about}

    def measure(self, candidate: Candidate) -> Measured | None:
        """Prepare a candidate and send every request that has no answer yet.

        Returns:
            Its records as far as its provider and the budget allow; None if it could not be prepared.

        Raises:
            LeakageError: it was given test items.
            ThirdleverError: it cannot be prepared, priced or run.
            OSError: the run's folder cannot be written.
        """
        spec, base = candidate.spec, candidate.model
        try:
            deployment = self._prepared(candidate)
        except (ProviderError, BudgetError, TuningError) as error:
            asked = sum(len(work.keys) for work in self._passes(candidate.name, {}, batch=False))
            why = self._unprepared(error, base)
            self.unfinished.append(Unfinished(candidate=candidate.name, answered=0, requests=asked, why=why))
            return None
        if deployment.model is None and spec.plain:  # its prompt is never used
            candidate = replace(candidate, spec=spec.plain)
            spec = spec.plain
        name = candidate.name if deployment.model else str(spec)
        identity = candidate.identity(self.suite, seed=self.seed, constrain=self.constrain)
        model = deployment.model.name if deployment.model else None
        about: dict[str, Any] = {
            "name": name,
            "strategy": spec.name,
            "args": dict(spec.args),
            "model": model,
            "prompt": spec.prompts[0].name if spec.prompts else None,
            "identity": identity,
        }
        batch = self.batch and batches(deployment.model)
        if self.batch and not batch and deployment.model:
            note(f"{name}: no batch API can be used for {deployment.model.name}; sending requests as usual")
        passes = self._passes(name, about, batch=batch)
        journal = self._send(passes, deployment, self.folder / "journal" / f"{identity[:24]}.jsonl")
        replies = [journal.replies[key] for work in passes for key in work.keys if key in journal.replies]
        done, why = len(replies), self._why(model)
        if self.grading is not None:
            replies, done, about["grading"] = self._judged(self.grading, name, replies)
            why = why or self._why(self.grading.model.name)
        if done < (asked := sum(len(work.keys) for work in passes)):
            self.unfinished.append(Unfinished(candidate=name, answered=done, requests=asked, why=why))
        about |= {
            "base": base.name,
            "revision": deployment.model.revision if deployment.model else None,
            "lever": deployment.lever,
            "setup": asdict(deployment.setup),
            "tuning": asdict(deployment.tuning) if deployment.tuning else None,
            "given": len(deployment.given),
            "documents": sum(isinstance(piece, Document) for piece in deployment.given),
            "found": self._found(name, deployment),
            "chosen": deployment.chosen,
            "logs": [_log_name(work) for work in passes],
            "lost_attempts": journal.lost,
        }
        about["lever"] = lever(about, retrieves=any(reply.retrieval_s is not None for reply in replies))
        items = {item.id: item for item in self.suite.test}
        warnings = (misread(replies, items), monotonous(replies, items) if deployment.model else None)
        for warning in filter(None, warnings):
            note(f"{name}: {warning}")
        return Measured(about, table(replies, items, {"candidate": name, "strategy": spec.name, "model": model}))

    def _judged(self, grading: Grading, name: str, replies: Sequence[Reply]) -> tuple[list[Reply], int, dict[str, Any]]:
        """The replies with the grader's verdicts, how many of them are done with, and what that took."""
        items = {item.id: item for item in self.suite.test}
        cases = {
            reply.key: JudgedAnswer(items[reply.item_id], reply.prediction)
            for reply in replies
            if reply.phase == "accuracy" and reply.score is None and reply.prediction is not None
        }
        grader = grading.model.name
        grades: Mapping[JudgedAnswer, Grade] = {}
        if not self.budget.passed and grader not in self.failed:
            try:
                grades = grading.grades(cases.values(), title=f"{name}: grading")
            except ProviderError as error:
                self.failed[grader] = error
        found = [
            reply.judged(grades.get(cases[reply.key], UNGRADED)) if reply.key in cases else reply for reply in replies
        ]
        stopped = self.budget.passed or grader in self.failed
        left = sum(reply.status == "ungraded" for reply in found) if stopped else 0
        took = {"requests": grading.requests(cases.values()), **asdict(grading.cost(cases.values()))}
        return found, len(replies) - left, took

    def _found(self, name: str, deployment: Deployment) -> dict[str, Any] | None:
        """What a search found, and the file in the run's folder that can be copied to `prompts/`."""
        if deployment.found is None:
            return None
        file = Path("prompts", f"{_in_a_filename(name)}.jinja")
        (self.folder / file).parent.mkdir(exist_ok=True)
        files.write(self.folder / file, deployment.found.source.encode())
        return {**asdict(deployment.found), "file": file.as_posix()}

    def _why(self, model: str | None) -> str | None:
        return str(self.failed[model]) if model in self.failed else None

    def _unprepared(self, error: ProviderError | BudgetError | TuningError, base: BaseModel) -> str | None:
        """Why a candidate could not be prepared, as `Unfinished` states it; noted for the other candidates."""
        if isinstance(error, TuningError):
            self.untuned.append(error)
            self.budget.spent += error.usd or 0.0
            note(str(error))
            return f"no model: {error.reason}"
        if isinstance(error, ProviderError):
            self.failed[base.name] = error
        return self._why(base.name)

    def _prepared(self, candidate: Candidate) -> Deployment:
        """A deployment that was given no test item, whose price is known and whose set-up is counted.

        Raises:
            ProviderError: the model's provider fails every request.
            BudgetError: the budget is spent, now or while it was prepared.
            TuningError: its tuning failed.
        """
        if self.budget.passed:
            message = "the budget is spent"
            raise BudgetError(message)
        store = Store(project.STORE)
        with (
            progress(f"{candidate.name}: preparing"),
            self.budget.preparing() as count,
            metered(count, max_connections=self.max_connections),
        ):
            deployment = candidate.spec.prepare(self.suite.without_test(), candidate.model, store)
        self.leakage.check_given(deployment.given, strategy=candidate.spec.name)
        self.budget.admit(deployment.model)
        self.budget.add_setup(deployment.setup, candidate.model)
        return deployment

    def tidy(self, candidates: Sequence[Mapping[str, Any]]) -> None:
        """Delete all logs but these candidates', so that `inspect view` shows this run only."""
        shutil.rmtree(self.folder / ".partial", ignore_errors=True)
        named = {name for about in candidates for name in about["logs"]}
        for path in (self.folder / "logs").glob("*.eval"):
            if path.name not in named:
                path.unlink()

    def _passes(self, name: str, about: Mapping[str, Any], *, batch: bool) -> list[Pass]:
        from thirdlever.evaluation.passes import Pass

        test = self.suite.test
        accuracy = Pass(
            name=name,
            phase="accuracy",
            suite=self.suite,
            items=test.first(self.limit, seed=self.seed),
            epochs=self.epochs,
            seed=self.seed,
            constrain=self.constrain,
            about={**about, "suite_hash": self.suite.hash},
            batch=batch,
            max_connections=self.max_connections,
        )
        if not self.probe:
            return [accuracy]
        timed = test.first(self.probe + 1, seed=self.seed)  # the first request is a cold start, recorded as such
        return [accuracy, replace(accuracy, phase="latency", items=timed, epochs=1, batch=False)]

    def _send(self, passes: Sequence[Pass], deployment: Deployment, path: Path) -> Journal:
        """The journal of a candidate, with all replies that its provider and the budget allow."""
        journal = Journal(path)
        targets = {item.id: item.target for item in self.suite.test}
        try:
            batched = [work.phase for work in passes if work.batch]
            for key, reply in journal.replies.items():
                self.budget.add(reply, self._priced(deployment, batch=reply.phase in batched))
                # Journals of earlier releases hold no grades.
                journal.replies[key] = reply.graded(self.suite.answer, targets[reply.item_id])
            name = deployment.model.name if deployment.model else ""
            for work in passes:
                if not self.budget.passed and name not in self.failed:
                    self._run(work, deployment, journal)
        except ProviderError as error:
            self.failed[name] = error
        finally:
            journal.close()
        return journal

    def _run(self, work: Pass, deployment: Deployment, journal: Journal) -> None:
        """Run a pass, unless every request is answered and its log exists."""
        from thirdlever.evaluation.passes import evaluate

        log = self.folder / "logs" / _log_name(work)
        missing = [key for key in work.keys if journal.answered(key) is None]
        if not missing and log.exists():
            return
        partial = self.folder / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        log.parent.mkdir(exist_ok=True)
        failed: list[str] = []
        first: list[Reply] = []
        lost_before = journal.lost
        priced = self._priced(deployment, batch=work.batch)
        title = f"{work.name}: {work.phase}"
        with progress(title if missing else f"{title}, all answered", len(missing) or None) as advance:

            def keep(reply: Reply) -> bool:
                journal.append(reply)
                failed.extend([reply.error] if reply.error else [])
                advance()
                if work.phase == "accuracy" and len(first) < FIRST:
                    first.append(reply)
                    if warning := early_warning(first):
                        note(f"{work.name}: {warning}")
                self.budget.add(reply, priced)
                return not self.budget.passed

            written = partial / log.name
            try:
                if evaluate(work, deployment, answered=journal.answered, keep=keep, lose=journal.lose, log=written):
                    written.replace(log)
            finally:
                if lost := journal.lost - lost_before:
                    note(f"{title}: {describe_lost(lost)}")
        shutil.rmtree(partial)
        if failed:
            note(f"{title}: {len(failed):,} of {counted(len(missing), 'request')} failed, the first: {failed[0]}")

    def _priced(self, deployment: Deployment, *, batch: bool) -> BaseModel | None:
        """The model at whose rates requests are counted."""
        if not (batch and deployment.model):
            return deployment.model
        return priced_in_batch(deployment.model, self.budget.prices)


def _grading(
    suite: Suite,
    grader: str | BaseModel | None,
    bases: Sequence[BaseModel],
    money: Budget,
    *,
    folder: Path,
    max_connections: int | None,
) -> Grading | None:
    """The grader of a run, paid from the same budget as its candidates; None if the suite needs none."""
    if grader is None or not isinstance(suite.answer, Judge):
        return None
    from thirdlever.models import registry

    model = grader if isinstance(grader, BaseModel) else registry.resolve(grader)
    money.admit(model)
    if model.name in {base.name for base in bases}:
        note(f"{model.name} grades its own answers too, which it may prefer; another --grader is fairer")

    def count(reply: Reply) -> bool:
        money.add(reply, model)
        return not money.passed

    journals = folder / "journal"
    return Grading(
        suite=suite, judge=suite.answer, model=model, folder=journals, count=count, max_connections=max_connections
    )


def near_leaks_of(suite: Suite, *, allowed: bool | str) -> dict[str, Any]:
    """What run.json says of test items that are nearly in train or dev; empty if there are none.

    Raises:
        LeakageError: more than 1 % of the test items are near-leaks, and neither `allowed` nor the card permits them.
    """
    from thirdlever.runner.audit import MOST_NEAR, near_leaks

    size = sum(len(split) for split in (suite.train, suite.dev, suite.test))
    if size > MOST_COMPARED:
        note(f"suite {suite.name!r} is too large to look for near-leaks at each run: thirdlever audit {suite.name}")
        return {}
    near = near_leaks(suite, Store(project.STORE))
    share = len(near) / len(suite.test)
    stated = allowed if isinstance(allowed, str) else "by --allow-near-leaks"
    reason = stated if allowed else suite.card.get("near_leaks")
    if share > MOST_NEAR and not reason:
        found = (
            f"{len(near):,} of {counted(len(suite.test), 'test item')} ({percent(share)}) are nearly in train or dev"
        )
        remedy = f"see: thirdlever audit {suite.name}; drop them with its --fix, or allow them: --allow-near-leaks"
        message = f"suite {suite.name!r}: {found}; {remedy}"
        raise LeakageError(message)
    return {"near_leaks": {"items": list(near), "allowed": str(reason) if share > MOST_NEAR else None}} if near else {}


def _in_a_filename(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9.-]+", "-", name).strip("-")


def _log_name(work: Pass) -> str:
    """Named by candidate and requests. A log is moved here once complete, so one that exists is complete."""
    return f"{_in_a_filename(work.name)}.{work.phase}.{content_hash([work.about['identity'], work.keys])[:12]}.eval"


def _earlier(
    folder: Path, suite: Suite, groups: Sequence[Sequence[StrategySpec]], bases: Sequence[BaseModel]
) -> Mapping[str, Any]:
    """run.json of the run that is already in the folder; empty if there is none.

    Raises:
        RunError: it holds something that this command leaves out.
    """
    if not (folder / INFO).is_file():
        return {}
    found = Run(folder).info
    held = found["suite"]["name"]
    specs = [each for group in groups for spec in group for each in (spec, spec.plain) if each]
    strategies = [(spec.name, json.loads(json.dumps(dict(spec.args)))) for spec in specs]
    models = [None, *(base.name for base in bases)]
    lost = [
        one["name"]
        for one in found["candidates"]
        if (one["strategy"], one["args"]) not in strategies or (one["model"] and one["base"]) not in models
    ]
    if held != suite.name or lost:
        of = f"suite {held!r}" if held != suite.name else f"{', '.join(lost)}, which this command leaves out"
        message = f"{str(folder)!r} holds a run of {of}; give another --out, or include it in the command"
        raise RunError(message)
    return found


def _nothing_new(info: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    """Whether the earlier run already had all of these answers."""
    same = ("status", "limit", "epochs", "seed", "probe", "constrain")
    if not earlier or any(earlier.get(key) != info.get(key) for key in (*same, "grader")):
        return False
    return [one["identity"] for one in earlier["candidates"]] == [one["identity"] for one in info["candidates"]]


def _looks(info: Mapping[str, Any], earlier: Mapping[str, Any]) -> list[int]:
    """How many test items each look at the run's results had: repeating it with more items is a further look."""
    before: list[int] = earlier.get("looks") or ([_items(earlier)] if earlier.get("status") == "complete" else [])
    now = _items(info)
    further = info["status"] == "complete" and now > max(before, default=0)
    return [*before, now] if further else before


def _items(info: Mapping[str, Any]) -> int:
    every: int = info["suite"]["counts"]["test"]
    return every if info["limit"] is None else min(info["limit"], every)


def _measure(session: Session, groups: Sequence[Sequence[Candidate]]) -> list[Measured]:
    """Every candidate. A strategy without a model is measured once, not once per model."""
    found: list[Measured] = []
    told: set[str] = set()
    for number, group in enumerate(groups, start=1):
        if len(groups) > 1:
            note(f"{number} of {len(groups)}: {group[0].spec.plain or group[0].spec}")
        for candidate in group:
            for model in session.failed.keys() - told:  # the last one is said when the run ends
                note(str(session.failed[model]))
                told.add(model)
            measured = session.measure(candidate)
            if measured is None:
                continue
            found.append(measured)
            if measured.about["model"] is None:
                break
    if session.grading is not None:
        session.grading.close()
    return found


def about_suite(suite: Suite) -> dict[str, Any]:
    """What `decide` needs, so that it works offline."""
    splits = (suite.train, suite.dev, suite.test)
    return {
        "name": suite.name,
        "hash": suite.hash,
        "splits": {split.name: split.hash for split in splits},
        "counts": {split.name: len(split) for split in splits},
        "choices": len(suite.answer.choices),
        "answer": described(suite.answer),
        "documents": len(suite.documents),
        "card": json.loads(json.dumps(dict(suite.card), default=str)),  # YAML has dates
    }


def now() -> dt.datetime:
    """The time, with this machine's zone."""
    return dt.datetime.now(dt.UTC).astimezone()


def save(folder: Path, records: Sequence[pd.DataFrame], info: Mapping[str, Any]) -> Run:
    """Write a run's files atomically, run.json last: a folder that has it is complete.

    Raises:
        OSError: the folder cannot be written.
    """
    from thirdlever.analysis import scorecards
    from thirdlever.charts import accuracy

    files.write(folder / RECORDS, to_parquet(records))
    info = {"schema": SCHEMA, **info}
    written = Run(folder)
    vars(written)["info"] = info  # not on disk yet
    files.write(folder / SUMMARY, scorecards.to_csv(written.summary).encode())
    accuracy.draw(written.summary, folder, suite=info["suite"]["name"], date=info["finished"][:10])
    files.write(folder / INFO, json.dumps(info, indent=2, ensure_ascii=False).encode())
    return written


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Lock a run's folder for this process. If it was created here and is still empty at the end, remove it.

    Raises:
        RunError: another process has it, or it cannot be written, now or later in the block.
    """
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / _LOCK, blocking=False):
            yield
    except Timeout:
        message = f"{str(folder)!r} is in use by another run; wait for it to end or choose another --out"
        raise RunError(message) from None
    except OSError as error:
        if error.errno not in _FULL | _FORBIDDEN:
            raise
        what = f"cannot write {str(error.filename or folder)!r}: {(error.strerror or str(error)).lower()}"
        if error.errno in _FULL:
            message = f"{what}; free some space and repeat the command with --out {folder}"
        else:
            message = f"{what}; choose another --out"
        raise RunError(message) from error
    finally:
        for path in created:
            if path.is_dir() and {entry.name for entry in path.iterdir()} <= {_LOCK}:
                (path / _LOCK).unlink(missing_ok=True)
                path.rmdir()
