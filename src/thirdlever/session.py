"""One candidate at a time: prepare, leakage check, accuracy pass, latency probe; every answer kept as it comes."""

from __future__ import annotations

import re
import shutil
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from thirdlever.batching import batches, priced_in_batch
from thirdlever.core import project
from thirdlever.core.files import content_hash
from thirdlever.core.progress import note, progress
from thirdlever.core.store import Store
from thirdlever.evaluation.records import Journal, rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from thirdlever.budget import Budget
    from thirdlever.evaluation.inspect_eval import Pass
    from thirdlever.evaluation.records import Phase, Reply
    from thirdlever.models.base import BaseModel
    from thirdlever.strategies.contract import Deployment
    from thirdlever.strategies.specs import Candidate
    from thirdlever.suites.leakage import Audit
    from thirdlever.suites.suite import Split, Suite


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
