"""One candidate at a time: prepare, leakage check, accuracy pass, latency probe; every answer kept as it comes."""

from __future__ import annotations

import datetime as dt
import errno
import json
import re
import shutil
import sys
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from thirdlever.analysis.run import INFO, RECORDS, SUMMARY, Run
from thirdlever.catalog.listings import snapshots
from thirdlever.catalog.prices import device_cost
from thirdlever.core import files, project
from thirdlever.core.errors import RunError
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, progress
from thirdlever.core.project import hardware, versions
from thirdlever.core.store import Store
from thirdlever.evaluation.records import Journal, rows, to_parquet
from thirdlever.models.base import BaseModel
from thirdlever.runner.budget import Budget, batches, priced_in_batch
from thirdlever.strategies.specs import candidates, once, parse_all
from thirdlever.suites.leakage import Audit
from thirdlever.suites.suite import Suite, check, find_suite

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from thirdlever.evaluation.inspect_eval import Pass
    from thirdlever.evaluation.records import Phase, Reply
    from thirdlever.strategies.contract import Deployment
    from thirdlever.strategies.specs import Candidate, StrategySpec
    from thirdlever.suites.suite import Split


@dataclass(frozen=True, slots=True)
class Measured:
    """What a candidate came to.

    Attributes:
        about: its entry in run.json.
        rows: its records.
        asks_a_model: whether another base model would make another candidate of it.
    """

    about: Mapping[str, Any]
    rows: Sequence[Mapping[str, Any]]
    asks_a_model: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What all candidates of a run share.

    Attributes:
        suite: with its test split.
        folder: the run's.
        audit: of that suite.
        budget: of the run.
        limit: how many test items are asked; None for all.
        epochs: how often.
        seed: of the draw of those items and of the models.
        probe: how many warm requests are timed.
        constrain: whether models may answer with a choice only.
        batch: whether accuracy passes go through the provider's batch API, where it has one.
    """

    suite: Suite
    folder: Path
    audit: Audit
    budget: Budget
    limit: int | None
    epochs: int
    seed: int
    probe: int
    constrain: bool
    batch: bool = False

    def measure(self, candidate: Candidate) -> Measured:
        """Prepare a candidate and ask it all that was not answered before.

        Raises:
            LeakageError: it was given test items.
            ThirdleverError: it cannot be prepared, priced or run.
            OSError: the run's folder cannot be written.
        """
        spec, base = candidate.spec, candidate.model
        with progress(f"{candidate.name}: preparing"):
            deployment = spec.prepare(self.suite.without_test(), base, Store(project.STORE))
        self.audit.check_given(deployment.given, strategy=spec.name)
        self.budget.admit(deployment.model)
        self.budget.add_setup(deployment.setup, base)
        name = candidate.name if deployment.model else str(spec)
        identity = candidate.identity(self.suite, seed=self.seed, constrain=self.constrain)
        model = deployment.model.name if deployment.model else None
        about: dict[str, Any] = {
            "name": name,
            "strategy": spec.name,
            "args": dict(spec.args),
            "model": model,
            "identity": identity,
        }
        batch = self.batch and batches(deployment.model)
        if self.batch and not batch and deployment.model:
            note(f"{name}: {deployment.model.name} has no batch API that can be used here; it is asked as usual")
        passes = self._passes(name, about, batch=batch)
        replies = self._replies(passes, deployment, self.folder / "journal" / f"{identity[:24]}.jsonl")
        about |= {
            "base": base.name,
            "revision": deployment.model.revision if deployment.model else None,
            "setup": asdict(deployment.setup),
            "tuning": asdict(deployment.tuning) if deployment.tuning else None,
            "given": len(deployment.given),
            "logs": [_log_name(work) for work in passes],
        }
        items = {item.id: item for item in self.suite.test}
        named = {"candidate": name, "strategy": spec.name, "model": model}
        made = rows(replies, items, self.suite.answer, named)
        return Measured(about, made, asks_a_model=deployment.model is not None)

    def tidy(self, candidates: Sequence[Mapping[str, Any]]) -> None:
        """Leave only the logs of these candidates: `inspect view` shows the run and nothing else."""
        shutil.rmtree(self.folder / ".partial", ignore_errors=True)
        named = {name for about in candidates for name in about["logs"]}
        for path in (self.folder / "logs").glob("*.eval"):
            if path.name not in named:
                path.unlink()

    def _passes(self, name: str, about: Mapping[str, Any], *, batch: bool) -> list[Pass]:
        from thirdlever.evaluation.inspect_eval import Pass

        def one(phase: Phase, items: Split, epochs: int) -> Pass:
            return Pass(
                name=name,
                phase=phase,
                suite=self.suite,
                items=items,
                epochs=epochs,
                seed=self.seed,
                constrain=self.constrain,
                about={**about, "suite_hash": self.suite.hash},
            )

        test = self.suite.test
        accuracy = one("accuracy", test.first(self.limit, seed=self.seed), self.epochs)
        passes = [replace(accuracy, batch=batch)]
        if self.probe:  # and one more: the first request of a probe is a cold start, and is kept apart
            passes.append(one("latency", test.first(self.probe + 1, seed=self.seed), 1))
        return passes

    def _replies(self, passes: Sequence[Pass], deployment: Deployment, path: Path) -> list[Reply]:
        journal = Journal(path)
        try:
            batched = [work.phase for work in passes if work.batch]
            for reply in journal.replies.values():
                self.budget.add([reply], self._priced(deployment, batch=reply.phase in batched))
            for work in passes:
                if not self.budget.passed:
                    self._run(work, deployment, journal)
        finally:
            journal.close()
        keys = [key for work in passes for key in work.keys]
        return [journal.replies[key] for key in keys if key in journal.replies]

    def _run(self, work: Pass, deployment: Deployment, journal: Journal) -> None:
        """Run a pass, unless all of it was answered and its log is there."""
        from thirdlever.evaluation.inspect_eval import evaluate

        log = self.folder / "logs" / _log_name(work)
        missing = [key for key in work.keys if journal.answered(key) is None]
        if not missing and log.exists():
            return
        partial = self.folder / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        log.parent.mkdir(exist_ok=True)
        failed: list[str] = []
        priced = self._priced(deployment, batch=work.batch)
        title = f"{work.name}: {work.phase}"
        with progress(title if missing else f"{title}, all known", len(missing) or None) as advance:

            def keep(reply: Reply) -> bool:
                journal.append(reply)
                failed.extend([reply.error] if reply.error else [])
                advance()
                self.budget.add([reply], priced)
                return not self.budget.passed

            if evaluate(work, deployment, partial, answered=journal.answered, keep=keep) is not None:
                next(partial.glob("*.eval")).replace(log)
        shutil.rmtree(partial)
        if failed:
            note(f"{work.name}: {work.phase}: {len(failed)} of {len(missing)} requests failed, the first: {failed[0]}")

    def _priced(self, deployment: Deployment, *, batch: bool) -> BaseModel | None:
        """The model whose rates requests are counted at."""
        if not (batch and deployment.model):
            return deployment.model
        return priced_in_batch(deployment.model, self.budget.prices)


def _log_name(work: Pass) -> str:
    """One name for what was asked of whom: a log under it is whole, for it was put there whole."""
    candidate = re.sub(r"[^A-Za-z0-9.-]+", "-", work.name).strip("-")
    return f"{candidate}.{work.phase}.{content_hash([work.about['identity'], work.keys])[:12]}.eval"


_LOCK = ".lock"
_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR}

# inspect's providers that pass vLLM's `structured_outputs` on to a server that may know it, and our own.
_TAKE_CHOICES = {"thirdlever", "vllm", "openai-api"}


def run(
    suite: str | Suite,
    strategies: Sequence[str],
    *,
    models: Sequence[str | BaseModel] = ("embedded",),
    limit: int | None = None,
    epochs: int = 1,
    seed: int = 0,
    budget: float | None = None,
    out: str | Path | None = None,
    probe: int = 20,
    constrain: bool = False,
    device_usd_per_hour: float | None = None,
    utilisation: float = 1.0,
    batch: bool = False,
) -> Run:
    """Run strategies over a suite, side by side; works in a notebook too.

    Args:
        suite: a name under `evals/`, or a suite.
        strategies: such as "rag:k=20", or "rag" for its defaults.
        models: base models; each strategy is run on each, and once if it asks none.
        limit: measure on so many test items, the same for all; None for every one.
        epochs: ask each item so often.
        seed: of the draw of those items, and passed to the models.
        budget: USD; when more is spent, what is under way finishes and the run ends with what it has.
        out: the run's folder; the same again resumes it and asks only what was not answered. By default suite and time.
        probe: time so many items one by one.
        constrain: let models answer with one of the suite's choices only, where they can.
        device_usd_per_hour: what an hour of this machine costs, for local models.
        utilisation: the share of its hours that it is in use.
        batch: send accuracy passes through the batch API of providers that have one: cheaper, within a day.

    Returns:
        The run, whose `summary` and `records` are pandas DataFrames.

    Raises:
        ThirdleverError: naming cause and remedy.
    """
    for name, value, least in (("limit", limit, 1), ("epochs", epochs, 1), ("probe", probe, 0)):
        if value is not None and value < least:
            message = f"{name}={value} is not allowed; give {least} or more"
            raise RunError(message)
    device_cost(0.0, device_usd_per_hour, utilisation)  # refuses a rate or a share that cannot be
    if budget is not None and not budget >= 0:  # NaN is not
        message = f"budget={budget} is not allowed; give an amount in USD"
        raise RunError(message)
    suite = find_suite(suite) if isinstance(suite, str) else check(suite)
    specs = parse_all(strategies)
    money = Budget(limit=budget, device_usd_per_hour=device_usd_per_hour, utilisation=utilisation)
    started = _now()
    folder = Path(out) if out else project.RESULTS / f"{suite.name}-{started:%Y%m%d-%H%M%S}"
    with opened(folder):
        bases = [_resolve(model) for model in models]  # last, for it may have to fetch weights
        once("model", [base.name for base in bases])
        earlier = _earlier(folder, suite, specs, bases)
        for base in bases:
            money.admit(base)
            if constrain and suite.answer.choices:
                _check_constrains(base)
        session = Session(
            suite=suite,
            folder=folder,
            audit=Audit(suite),
            budget=money,
            limit=limit,
            epochs=epochs,
            seed=seed,
            probe=probe,
            constrain=constrain,
            batch=batch,
        )
        session.audit.check_suite()
        if out is None:
            note(f"The run goes into {folder}; when it is cut off, the same command with --out {folder} goes on.")
        measured = _measure(session, candidates(specs, bases))
        about = [one.about for one in measured]
        session.tidy(about)
        info = {
            "status": "budget" if money.passed else "complete",
            "suite": _about_suite(suite),
            "candidates": about,
            "snapshots": snapshots(bases),
            "limit": limit,
            "epochs": epochs,
            "seed": seed,
            "probe": probe,
            "constrain": constrain,
            "batch": batch,
            "budget_usd": budget,
            "spent_usd": money.spent if budget is not None else None,
            "prices": {name: price and price.to_dict() for name, price in money.prices.items()},
            "device_usd_per_hour": device_usd_per_hour,
            "utilisation": utilisation,
            "versions": versions(),
            "hardware": hardware(),
            "command": sys.argv,
            "started": started.isoformat(),
            "finished": _now().isoformat(),
        }
        if _asked_before(info, earlier):
            info |= {key: earlier[key] for key in ("command", "started", "finished")}
        return save(folder, [row for one in measured for row in one.rows], info)


def _earlier(
    folder: Path, suite: Suite, specs: Sequence[StrategySpec], bases: Sequence[BaseModel]
) -> Mapping[str, Any]:
    """What run.json says of the run that is there already; empty when none is.

    Raises:
        RunError: it holds something that this run would leave out.
    """
    if not (folder / INFO).is_file():
        return {}
    found = Run(folder).info
    there = found["suite"]["name"]
    strategies = [(spec.name, json.loads(json.dumps(dict(spec.args)))) for spec in specs]
    models = [None, *(base.name for base in bases)]
    lost = [
        one["name"]
        for one in found["candidates"]
        if (one["strategy"], one["args"]) not in strategies or (one["model"] and one["base"]) not in models
    ]
    if there != suite.name or lost:
        of = f"suite {there!r}" if there != suite.name else f"{', '.join(lost)}, which this command leaves out"
        message = f"{str(folder)!r} holds a run of {of}; give another --out, or name what is there as well"
        raise RunError(message)
    return found


def _asked_before(info: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    """Whether an earlier run had all of these answers already."""
    same = ("status", "limit", "epochs", "seed", "probe", "constrain")
    if not earlier or any(earlier.get(key) != info[key] for key in same):
        return False
    return [one["identity"] for one in earlier["candidates"]] == [one["identity"] for one in info["candidates"]]


def _measure(session: Session, groups: Sequence[Sequence[Candidate]]) -> list[Measured]:
    """Every candidate, until the budget is passed; a strategy that asks no model is measured once."""
    measured: list[Measured] = []
    for number, group in enumerate(groups, start=1):
        if len(groups) > 1:
            note(f"{number} of {len(groups)}: {group[0].spec}")
        for candidate in group:
            if session.budget.passed:
                return measured
            measured.append(session.measure(candidate))
            if not measured[-1].asks_a_model:
                break
    return measured


def _about_suite(suite: Suite) -> dict[str, Any]:
    """What decides later needs of it: the card, so that a run is decided on offline."""
    splits = (suite.train, suite.dev, suite.test)
    return {
        "name": suite.name,
        "hash": suite.hash,
        "splits": {split.name: split.hash for split in splits},
        "counts": {split.name: len(split) for split in splits},
        "choices": len(suite.answer.choices),
        "documents": len(suite.documents),
        "card": json.loads(json.dumps(dict(suite.card), default=str)),  # YAML has dates
    }


def _check_constrains(base: BaseModel) -> None:
    service = base.inspect_name.partition("/")[0]
    if service not in _TAKE_CHOICES:
        message = (
            f"--constrain: {service!r} cannot be held to a list of answers, and every candidate must be; "
            "leave --constrain out, or use a local model or a vLLM server"
        )
        raise RunError(message)


def _resolve(model: str | BaseModel) -> BaseModel:
    if isinstance(model, BaseModel):
        return model
    from thirdlever.models import registry

    return registry.resolve(model)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).astimezone()


def save(folder: Path, records: Sequence[Mapping[str, Any]], info: Mapping[str, Any]) -> Run:
    """Write a run's files, each whole or not at all; run.json comes last and says that the others are there.

    Raises:
        OSError: the folder cannot be written.
    """
    from thirdlever.analysis import scorecards as export
    from thirdlever.charts import accuracy

    files.write(folder / RECORDS, to_parquet(records))
    written = Run(folder)
    vars(written)["info"] = dict(info)  # not on disk yet
    files.write(folder / SUMMARY, export.to_csv(written.summary).encode())
    accuracy.draw(written.summary, folder, suite=info["suite"]["name"], date=info["finished"][:10])
    files.write(folder / INFO, json.dumps(info, indent=2, ensure_ascii=False).encode())
    return written


@contextmanager
def opened(folder: Path) -> Iterator[None]:
    """Hold a run's folder for this process alone; one that is made here and comes to nothing is not left behind.

    Raises:
        RunError: another process holds it, or it cannot be written (now, or at any time in the block).
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
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
            message = f"{what}; free some space, then the same command with --out {folder} goes on"
        else:
            message = f"{what}; choose another --out"
        raise RunError(message) from error
    finally:
        for path in made:
            if path.is_dir() and {entry.name for entry in path.iterdir()} <= {_LOCK}:
                (path / _LOCK).unlink(missing_ok=True)
                path.rmdir()
