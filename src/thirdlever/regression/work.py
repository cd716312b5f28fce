"""The pinned strategies on new base models, as runs that grow: what was answered is not asked again."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from thirdlever.core.errors import RunError
from thirdlever.regression import baseline
from thirdlever.regression.gate import Pair
from thirdlever.strategies.specs import parse, spec

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from thirdlever.analysis.run import Run
    from thirdlever.models.base import BaseModel
    from thirdlever.regression.baseline import Baseline
    from thirdlever.suites.suite import Suite

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
